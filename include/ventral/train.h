/* Optimisers, schedules and what training does to weights between steps. */
#ifndef VENTRAL_TRAIN_H
#define VENTRAL_TRAIN_H

#include "ventral/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_optimizer_kind { VT_SGD, VT_ADAM } vt_optimizer_kind;

/* Zero means: momentum, decay and clipping off; Adam's constants 0.9, 0.999, 1e-8. */
typedef struct vt_optimizer_options {
    vt_optimizer_kind kind;
    double momentum;              /* SGD: v = momentum v + g; w -= rate v (PyTorch's form) */
    double beta1, beta2, epsilon; /* Adam (Kingma & Ba 2015), with bias correction */
    double weight_decay; /* SGD: g += decay w. Adam: w -= rate decay w (AdamW, decoupled) */
    double clip_value;   /* each gradient element into [-clip, clip] */
    double clip_norm;    /* all gradients scaled so that their joint norm is at most this */
} vt_optimizer_options;

typedef struct vt_optimizer vt_optimizer;

/* Steps the trainable parameters of a finished graph; state is one block. */
vt_status vt_optimizer_new(vt_optimizer **out, vt_graph *graph,
                           const vt_optimizer_options *options);
void vt_optimizer_free(vt_optimizer *optimizer);
/* Overrides the decay of parameters whose names start with `prefix`. */
void vt_optimizer_set_decay(vt_optimizer *optimizer, const char *prefix, double decay);
/* Learning rate of parameters whose names start with `prefix`, relative to the others' (1). */
void vt_optimizer_set_rate(vt_optimizer *optimizer, const char *prefix, double factor);
/* One update from the gradients in the graph, which it then zeroes. Parameters whose gradient is
 * exactly zero everywhere (their part of the graph did not run) stay as they are. VT_ENUMERIC, and
 * nothing changed, when a gradient is NaN or infinite. */
vt_status vt_optimizer_step(vt_optimizer *optimizer, double rate);
/* State to and from named tensors "optimizer.*": a resumed run takes the identical next step. */
vt_status vt_optimizer_save(const vt_optimizer *optimizer, vt_tensor_map *map);
vt_status vt_optimizer_load(vt_optimizer *optimizer, const vt_tensor_map *map, const char *label);

typedef enum vt_schedule_kind {
    VT_SCHEDULE_CONSTANT,
    VT_SCHEDULE_STEP,        /* rate * factor^(number of milestones reached) */
    VT_SCHEDULE_COSINE,      /* half a cosine from rate to rate * floor */
    VT_SCHEDULE_EXPONENTIAL, /* rate * factor^epoch */
} vt_schedule_kind;

typedef struct vt_schedule {
    vt_schedule_kind kind;
    double rate, factor, floor;
    double warmup; /* epochs of linear rise from 0 */
    double epochs; /* cosine: length, warm-up included */
    double milestones[8];
    int milestone_count;
} vt_schedule;

/* Learning rate at a time in epochs (fractions count). */
double vt_schedule_rate(const vt_schedule *schedule, double epoch);

/* Gaussian blur with s.d. `sigma` pixels over height and width of the kernels whose names end in
 * `suffix`, each filter and channel by itself, edges weighted by what lies inside (Cowley et al.
 * 2026 blur depthwise kernels and readouts with 0.5 between stretches of training). The kernel of a
 * linear layer that reads a flattened map has its height and width, too. */
vt_status vt_blur_kernels(vt_graph *graph, const char *suffix, double sigma);

#ifdef __cplusplus
}
#endif
#endif
