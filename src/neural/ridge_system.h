/* The linear systems of ridge regression: made from some of the samples, decomposed, solved.
 *
 * The smaller of the two Gram matrices is the system. The dual one is made once, from all samples:
 * that of a fold is a part of it, centered anew, because centering undoes any shift. One
 * eigendecomposition V' S V of a system serves all alphas: predictions are
 * Z (S + alpha)^-1 B, with Z what the test samples and B what the targets look like in V. */
#ifndef VT_NEURAL_RIDGE_SYSTEM_H
#define VT_NEURAL_RIDGE_SYSTEM_H

#include "neural/gram.h"

typedef struct vt_ridge_problem {
    vt_matrix x;
    const double *y;
    int64_t targets;
    double *gram;   /* (samples, samples) of the centered rows; NULL: the primal form */
    double *mean_x; /* (features) over all samples */
    double *block;  /* room for `block_columns` columns of all rows, or `block_rows` rows */
    int64_t block_columns, block_rows;
} vt_ridge_problem;

/* The system of some of the samples. */
typedef struct vt_ridge_system {
    const int64_t *rows; /* borrowed */
    int64_t count, size; /* samples, unknowns */
    double *matrix;      /* (size, size); eigenvectors as rows once decomposed */
    double *right;       /* (size, targets): X'Y or Y; V times that once decomposed */
    double *values;      /* (size) eigenvalues */
    double *mean_x;      /* primal: (features) */
    double *mean_y;      /* (targets) */
    double *gram_mean;   /* dual: (count), the part's */
    vt_gram_part part;   /* dual */
} vt_ridge_system;

/* Checks x and y (VT_EINVAL, VT_ENUMERIC) and makes what all systems share. */
vt_status vt_ridge_problem_init(vt_ridge_problem *out, vt_matrix x, const double *y,
                                int64_t targets);
void vt_ridge_problem_destroy(vt_ridge_problem *p);

/* Mean squared norm of a centered sample: the natural unit of alpha; 1 when all are alike. */
double vt_ridge_problem_scale(const vt_ridge_problem *p);

/* The system of the samples `rows`, which are borrowed. */
vt_status vt_ridge_system_init(vt_ridge_system *out, vt_ridge_problem *p, const int64_t *rows,
                               int64_t count);
void vt_ridge_system_destroy(vt_ridge_system *s);

/* matrix -> eigenvectors, right -> right in their basis. */
vt_status vt_ridge_system_decompose(vt_ridge_system *s, int64_t targets);

/* Samples in the eigenvectors' basis: out (count, size). */
vt_status vt_ridge_system_project(double *out, const vt_ridge_system *s, vt_ridge_problem *p,
                                  const int64_t *rows, int64_t count);

/* Predictions (count, targets) of projected samples with an alpha for each target; `room` has
 * (size, targets). */
void vt_ridge_system_predict(double *out, const vt_ridge_system *s, const double *projected,
                             int64_t count, const double *alphas, int64_t targets, double *room);

/* Solution (size, targets) with an alpha for each target, in place of `right`; destroys `matrix`:
 * weights in the primal form, weights of the samples in the dual one. */
vt_status vt_ridge_system_solve(vt_ridge_system *s, const double *alphas, int64_t targets);

#endif
