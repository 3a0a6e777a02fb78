/* The statistics of a texture as one vector, and the gradient of their distance from others'. */
#ifndef VT_STIMULI_TEXTURE_STATISTICS_H
#define VT_STIMULI_TEXTURE_STATISTICS_H

#include "base/arena.h"
#include "stimuli/pyramid.h"
#include "ventral/texture.h"

/* Groups of statistics, in the order of the vector; names and sizes are in ventral/texture.h. */
typedef enum vt_texture_group {
    VT_TEXTURE_PIXEL,
    VT_TEXTURE_LOW_MOMENTS,
    VT_TEXTURE_HIGH_VARIANCE,
    VT_TEXTURE_LOW_AUTO,
    VT_TEXTURE_MAGNITUDE_AUTO,
    VT_TEXTURE_ORIENTATIONS,
    VT_TEXTURE_SCALES,
    VT_TEXTURE_PHASE,
    VT_TEXTURE_MEAN,
    VT_TEXTURE_GROUPS,
} vt_texture_group;

typedef struct vt_texture_layout {
    int scales, orientations, reach, shifts; /* reach: (M - 1) / 2 */
    int first[VT_TEXTURE_GROUPS], count;     /* in the vector */
} vt_texture_layout;

vt_status vt_texture_layout_init(vt_texture_layout *out, const vt_texture_options *options);
/* "pixel", ..., its number of dimensions and sizes. */
const char *vt_texture_group_sizes(const vt_texture_layout *layout, int group, int *dimensions,
                                   int64_t size[4]);
/* Units (count) in which the distance from `target` counts; infinite: not counted. */
vt_status vt_texture_units(double *out, const vt_texture_layout *layout, const double *target);
/* Sum of squared differences in these units, and how many. */
double vt_texture_sum(const double *target, const double *units, const double *statistics,
                      int count, int *counted);

/* Everything that measuring an image of one size needs; one thread at a time. */
typedef struct vt_texture_meter {
    vt_texture_layout layout;
    vt_pyramid pyramid;
    double complex *spectrum, *sum; /* (height, width) */
    double *high;                   /* (height, width) */
    double *low[VT_PYRAMID_MAX_SCALES + 1];
    double complex *band[VT_PYRAMID_MAX_SCALES][VT_PYRAMID_MAX_ORIENTATIONS];
    double *magnitude[VT_PYRAMID_MAX_SCALES][VT_PYRAMID_MAX_ORIENTATIONS]; /* less its mean */
    /* The next coarser scale's bands as images of this scale, and their moduli less their means. */
    double complex *parent[VT_PYRAMID_MAX_SCALES][VT_PYRAMID_MAX_ORIENTATIONS];
    double *parent_magnitude[VT_PYRAMID_MAX_SCALES][VT_PYRAMID_MAX_ORIENTATIONS];
    double *scratch[3]; /* (height + 2 reach, width + 2 reach); (height, width) twice */
    double complex *scratch_complex; /* (height, width) */
    vt_arena *arena;
} vt_texture_meter;

/* `out` is freed by vt_texture_meter_free, also after a failure. */
vt_status vt_texture_meter_init(vt_texture_meter *out, int height, int width,
                                const vt_texture_options *options);
void vt_texture_meter_free(vt_texture_meter *meter);
/* Statistics (count) of an image. */
void vt_texture_measure(vt_texture_meter *m, double *out, const double *image);
/* After vt_texture_measure of `image`: from the derivatives (count) of anything by the statistics
 * those by the pixels; smallest, largest and magnitude.mean are taken as constant. */
void vt_texture_gradient(vt_texture_meter *m, double *out, const double *image,
                         const double *derivative);

/* Of `count` values, in `moments`: mean, and central moments 2, 3, 4. */
void vt_texture_moments(double moments[4], const double *x, size_t count);

#endif
