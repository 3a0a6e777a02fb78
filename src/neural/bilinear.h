/* Bilinear regression: y_t = sum_k pool[t][k] sum_c mixing[t][c] z[k][c] for every target t, by
 * alternating ridge regressions of
 *   sum (y - y_t)^2 + penalty |pool|^2 |mixing|^2
 * (alternating least squares; the penalty is that of ridge on the rank-1 weights pool x mixing). */
#ifndef VT_NEURAL_BILINEAR_H
#define VT_NEURAL_BILINEAR_H

#include "ventral/status.h"

typedef struct vt_bilinear {
    const float *z;  /* (samples, positions, channels) */
    const double *y; /* (samples, targets) */
    int64_t samples, positions, channels, targets;
} vt_bilinear;

/* One factor pair a target: pools have norm 1. */
typedef struct vt_bilinear_factors {
    float *pool;   /* (targets, positions) */
    float *mixing; /* (targets, channels) */
} vt_bilinear_factors;

vt_status vt_bilinear_factors_init(vt_bilinear_factors *out, const vt_bilinear *b);
void vt_bilinear_factors_copy(vt_bilinear_factors *out, const vt_bilinear_factors *from,
                              const vt_bilinear *b);
void vt_bilinear_factors_destroy(vt_bilinear_factors *f);

/* The best rank-1 approximation of weights (targets, positions, channels), by power iteration. */
void vt_bilinear_from_weights(vt_bilinear_factors *out, const vt_bilinear *b, const float *weights);

/* Improves the factors on the samples `rows` by at most `iterations` alternations, fewer for
 * targets whose objective falls by less than 10^-6 of itself. Responses and features are centered
 * over those samples. `penalties` (targets). */
vt_status vt_bilinear_improve(vt_bilinear_factors *f, const vt_bilinear *b, const int64_t *rows,
                              int64_t count, const double *penalties, int iterations);

/* out (count, targets) = predictions for the samples `rows`, without intercept. */
vt_status vt_bilinear_predict(const vt_bilinear_factors *f, const vt_bilinear *b, double *out,
                              const int64_t *rows, int64_t count);

#endif
