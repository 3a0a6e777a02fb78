/* Pruning compact models: filters whose removal changes little are removed (Cowley, Stan, Pillow &
 * Smith 2026, step 1); distillation of what is left is step 2. */
#ifndef VENTRAL_PRUNE_H
#define VENTRAL_PRUNE_H

#include "ventral/image_stream.h"
#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_prune_form {
    VT_PRUNE_CORRECTED, /* the largest set that passes the test */
    VT_PRUNE_RELEASED,  /* one filter more, as the published code does */
} vt_prune_form;

/* Zero means the default in brackets. */
typedef struct vt_prune_options {
    vt_prune_form form;
    double threshold; /* share of the variance (last layer: of corr^2 with the target) kept [0.9] */
    int minimum;      /* filters a layer keeps at least [3] */
    bool refit;       /* the weights that read the filters that stay are fitted by least squares to
                         what all filters gave, instead of copied */
    const vt_progress *progress;
} vt_prune_options;

typedef struct vt_prune_layer {
    int before, after;
    double kept; /* share of the variance, or of corr^2, that the kept filters explain */
} vt_prune_layer;

typedef struct vt_prune_report {
    vt_prune_layer layers[VT_COMPACT_LAYERS];
    int64_t parameters_before, parameters_after;
    double r_before, r_after; /* correlation with the target, without retraining */
} vt_prune_report;

/* Prunes a compact model from the last layer to the first, on images of a stream. `target` (count)
 * are the responses that the last layer's test refers to, the teacher's; NULL: the model's own.
 * Without `refit` the new model keeps the weights of the filters that stay: its responses are those
 * of the old one with the others silenced. VT_EUNSUPPORTED unless the model is compact with one
 * neuron; VT_ENUMERIC when its response, or the target, is constant on these images. */
vt_status vt_prune(vt_model **out, vt_prune_report *report, vt_model *model,
                   vt_image_stream *stream, const int64_t *indices, int64_t count,
                   const float *target, const vt_prune_options *options);

/* ---- several thresholds for one pass over the images ---- */

/* What decides about a model's filters. It does not depend on threshold, minimum or form, so that
 * each choice from it is what vt_prune would have made. Memory does not grow with the images but
 * for 16 bytes each. Arguments and errors are those of vt_prune; the model is borrowed. */
typedef struct vt_prune_statistics vt_prune_statistics;
vt_status vt_prune_measure(vt_prune_statistics **out, vt_model *model, vt_image_stream *stream,
                           const int64_t *indices, int64_t count, const float *target,
                           const vt_progress *progress);
void vt_prune_statistics_free(vt_prune_statistics *statistics);

/* The pruned model, without looking at images: report->r_before is that on the measured ones,
 * r_after is NaN. */
vt_status vt_prune_select(vt_model **out, vt_prune_report *report,
                          const vt_prune_statistics *statistics, const vt_prune_options *options);

/* Images that say how well pruned models do: the measured ones, or others. */
typedef struct vt_prune_images {
    vt_image_stream *stream;
    const int64_t *indices;
    int64_t count;
    const float *target; /* (count); NULL: the responses of the model before pruning */
} vt_prune_images;

/* What each of the thresholds would give, for `out` (count): sizes of the pruned models, and the
 * correlation with the target on `images` before and after. options->threshold is not used. */
vt_status vt_prune_curve(vt_prune_report *out, const vt_prune_statistics *statistics,
                         const double *thresholds, int count, const vt_prune_images *images,
                         const vt_prune_options *options);

#ifdef __cplusplus
}
#endif
#endif
