/* The inside of pruning: what is measured on images, and which filters stay. */
#ifndef VT_NEURAL_PRUNE_H
#define VT_NEURAL_PRUNE_H

#include "ventral/prune.h"

#define VT_PRUNE_INNER (VT_COMPACT_LAYERS - 1) /* layers that another one follows */

/* Of layer k's channels after the depthwise convolution in layer k + 1. */
typedef struct vt_prune_channels {
    double *mean;       /* (filters), over images and pixels */
    double *covariance; /* (filters, filters), likewise */
    double *squares;    /* (filters): sum of squares about each pixel's mean over images */
} vt_prune_channels;

struct vt_prune_statistics {
    vt_model *model;
    vt_compact_options shape;
    vt_prune_channels inner[VT_PRUNE_INNER];
    /* Of what the last layer's filters contribute to the response: covariances with each other
     * (filters, filters) and with the target (filters). */
    double *mean, *covariance, *with_target;
    double target_mean, target_variance;
    int64_t count;
    double *response, *target; /* (count) */
};

/* Filters of each layer that stay, in their order. */
typedef struct vt_prune_choice {
    int count[VT_COMPACT_LAYERS];
    int *filters[VT_COMPACT_LAYERS];
    double kept[VT_COMPACT_LAYERS];
} vt_prune_choice;

/* prune_choice.c. Options are checked there: VT_EINVAL. */
vt_status vt_prune_choose(vt_prune_choice *out, const vt_prune_statistics *statistics,
                          const vt_prune_options *options);
void vt_prune_choice_free(vt_prune_choice *choice);

/* Responses, (count, images->count), of models of one output each to images. */
vt_status vt_prune_responses(double *out, vt_model *const *models, int count,
                             const vt_prune_images *images, const vt_progress *progress);

/* prune_network.c: the smaller model, with the weights of what stays. */
vt_status vt_prune_build(vt_model **out, const vt_prune_statistics *statistics,
                         const vt_prune_choice *choice, bool refit);

/* prune_refit.c: replaces the copied weights that read filters which stay by fitted ones. */
vt_status vt_prune_refit(vt_model *small, const vt_prune_statistics *statistics,
                         const vt_prune_choice *choice);

#endif
