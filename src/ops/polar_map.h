/* The map of cortical magnification as a sparse matrix from pixels to cortex; see polar_map.c. */
#ifndef VT_OPS_POLAR_MAP_H
#define VT_OPS_POLAR_MAP_H

#include "ventral/v1_layers.h"

enum {
    VT_POLAR_IMAGE = 32,  /* height and width of the input */
    VT_POLAR_CORTEX = 16, /* height and width of the output: eccentricities, polar angles */
    VT_POLAR_RINGS = 18,
    VT_POLAR_ANGLES = 30,
    VT_POLAR_PIXELS = VT_POLAR_IMAGE * VT_POLAR_IMAGE,
    VT_POLAR_SITES = VT_POLAR_CORTEX * VT_POLAR_CORTEX,
    VT_POLAR_BINS = VT_POLAR_RINGS * VT_POLAR_ANGLES,
    VT_POLAR_ENTRIES = 4096, /* room for every matrix of polar_map.c: at most 3696 are used */
};

/* Compressed rows: row r holds the entries start[r] to start[r + 1] - 1, columns ascending. */
typedef struct vt_sparse {
    int rows;
    int start[VT_POLAR_PIXELS + 1];
    int16_t column[VT_POLAR_ENTRIES];
    double weight[VT_POLAR_ENTRIES];
} vt_sparse;

typedef struct vt_polar_map {
    vt_sparse forward;  /* a row an output site */
    vt_sparse backward; /* its transpose, a row a pixel */
} vt_polar_map;

/* Computed by the first call, the same for the whole process. */
const vt_polar_map *vt_polar_map_of(vt_formulation formulation);

/* The constant buffers of the authors' checkpoints, pooling_masks (540, 32, 32) and
 * pooling_mask_counts (540), whose numbers half precision holds exactly. */
void vt_polar_masks(float *masks, float *counts);

#endif
