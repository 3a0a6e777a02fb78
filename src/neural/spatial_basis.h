/* Smooth functions on a grid: the discrete cosines (DCT-II), which are the eigenvectors of the
 * grid's Laplacian with reflecting edges, eigenvalue 4 - 2 cos(pi u / h) - 2 cos(pi v / w). */
#ifndef VT_NEURAL_SPATIAL_BASIS_H
#define VT_NEURAL_SPATIAL_BASIS_H

#include "ventral/status.h"

typedef struct vt_spatial_basis {
    int64_t height, width, count; /* functions kept */
    int64_t rows, columns;        /* frequencies kept along y, along x */
    double *y, *x;                /* (rows, height), (columns, width): orthonormal cosines */
    int64_t *row, *column;        /* (count) frequencies of each function */
    double *laplacian;            /* (count) eigenvalues, ascending along x within a row */
} vt_spatial_basis;

/* Keeps the functions with eigenvalue <= limit: at least the constant. */
vt_status vt_spatial_basis_init(vt_spatial_basis *out, int64_t height, int64_t width, double limit);
void vt_spatial_basis_destroy(vt_spatial_basis *b);

/* out (samples, count, channels) = coefficients of features (samples, height, width, channels). */
vt_status vt_spatial_basis_project(const vt_spatial_basis *b, float *out, const float *features,
                                   int64_t samples, int64_t channels);

/* map (height, width) from coefficients (count). */
void vt_spatial_basis_expand(const vt_spatial_basis *b, double *map, const double *coefficients);

#endif
