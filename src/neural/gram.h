/* Inner products of samples: with many more features than samples, what a linear method needs of
 * the features (the dual form). Centering undoes any shift, so that the matrix made once from all
 * samples serves every part of them: B = G - 1 g' - g 1' + gg, with g the means of G's rows over
 * the part and gg their mean. */
#ifndef VT_NEURAL_GRAM_H
#define VT_NEURAL_GRAM_H

#include "neural/linalg.h"

/* Columns of `samples` rows that make a block of at most 32 MiB of double; at least one. */
int64_t vt_gram_block_columns(int64_t samples, int64_t features);

/* gram (rows, rows) += (x - mean) (x - mean)', upper triangle, in blocks of columns; `block` has
 * room for `block_columns` of them. */
void vt_gram_add(double *gram, const vt_matrix *x, const double *mean, double *block,
                 int64_t block_columns);
/* The lower triangle from the upper one. */
void vt_gram_mirror(double *gram, int64_t n);

/* A part of the samples: its Gram matrix centered, and by what. */
typedef struct vt_gram_part {
    const double *gram; /* (total, total), borrowed */
    int64_t total;
    const int64_t *rows; /* (count), borrowed */
    int64_t count;
    double *mean; /* (count), the caller's room */
    double grand;
} vt_gram_part;

/* out (count, count); fills in the part's mean and grand. */
void vt_gram_center(double *out, vt_gram_part *part);
/* out (others, count): other samples beside those of a part that vt_gram_center was called for, all
 * less the mean of the part. */
void vt_gram_center_others(double *out, const vt_gram_part *part, const int64_t *others,
                           int64_t count);

/* weights (features, targets) = (x - mean)' dual, dual (count, targets) for the rows `rows` (NULL:
 * the first `count`). */
void vt_gram_weights(double *weights, const vt_matrix *x, const int64_t *rows, int64_t count,
                     const double *mean, const double *dual, int64_t targets, double *block,
                     int64_t block_columns);

#endif
