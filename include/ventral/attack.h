/* Adversarial images: small changes of an image that raise a classifier's loss. */
#ifndef VENTRAL_ATTACK_H
#define VENTRAL_ATTACK_H

#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_attack_norm { VT_NORM_LINF, VT_NORM_L2 } vt_attack_norm;

/* One step without a random start is the fast gradient sign method (Goodfellow, Shlens & Szegedy
 * 2015; its L2 form along the gradient); several are projected gradient descent (Madry et al.
 * 2018). Sizes are in units of the whole range of values, 0 (black) to 1 (white): 8.0 / 255 is 8
 * grey levels. Images stay within that range. */
typedef struct vt_attack {
    vt_attack_norm norm;
    double epsilon;    /* largest change: of any value (Linf), or the change's length (L2) */
    double step;       /* 0: epsilon for one step, else 2.5 epsilon / steps */
    int steps;         /* 0: 1 */
    bool random_start; /* uniform in the ball */
    uint64_t seed;     /* of the start, with the image's number */
} vt_attack;

/* Plans that attack batches of one size. */
typedef struct vt_attacker vt_attacker;

/* `model` has a "loss" (see resnet.h). VT_EINVAL for sizes that are not above 0. */
vt_status vt_attacker_new(vt_attacker **out, vt_model *model, const vt_attack *attack,
                          int64_t batch);
/* Changes `images` (count, height, width, 3), as the model takes them, in place; count is at most
 * the batch. `labels` (count) are the true classes; `indices` number the images for the random
 * start. */
vt_status vt_attacker_run(vt_attacker *attacker, float *images, const float *labels,
                          const int64_t *indices, int64_t count);
void vt_attacker_free(vt_attacker *attacker);

#ifdef __cplusplus
}
#endif
#endif
