/* What training made of the components of a V1 network: its centers and surrounds, the widths of
 * its normalization, where its units look, and what its first filters prefer. */
#ifndef VENTRAL_COMPONENTS_H
#define VENTRAL_COMPONENTS_H

#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One difference of Gaussians, from channel `input` to channel `output` of a center-surround layer.
 * The standard deviations are those of the Gaussians that its formulation computes, pixels. */
typedef struct vt_center_surround_pair {
    vt_node node;
    int output, input;
    double sigma1, sigma2_scale, total_scale; /* parameters, the first two as bounded */
    double center, surround, ratio;           /* standard deviations; surround / center */
} vt_center_surround_pair;

/* Pairs of all center-surround layers, in order; none: NULL and 0. Free with free(). */
vt_status vt_center_surround_pairs(vt_center_surround_pair **out, int64_t *out_count,
                                   vt_model *model);

/* The width of a channel's tuned normalization. */
typedef struct vt_tuned_width {
    vt_node node;
    int channel, channels;
    double sigma;    /* standard deviation in channels, as bounded */
    double fraction; /* of the circle of channels */
} vt_tuned_width;

/* Widths of all tuned normalizations, in order; none: NULL and 0. Free with free(). */
vt_status vt_tuned_widths(vt_tuned_width **out, int64_t *out_count, vt_model *model);

/* Where the units of one place of a map look, in pixels of the image. */
typedef struct vt_unit_field {
    int row, column;     /* in the map */
    double y, x;         /* middle of the receptive field, from the middle of the image */
    double eccentricity; /* its distance */
    double size;         /* twice the root mean square distance from the middle */
} vt_unit_field;

/* Receptive fields of the places of a node's map, at most 16 x 16 of them, evenly taken. The field
 * is the mean square of the gradient of the place's channels by the image, over `images` images of
 * noise [4]. Places whose gradient is 0 are NaN. VT_ENOTFOUND: no such node; VT_ESHAPE: it is no
 * map. Free with free(). */
vt_status vt_unit_fields(vt_unit_field **out, int64_t *out_count, vt_model *model, const char *node,
                         int images, uint64_t seed);

/* What a first-layer filter prefers. It is split into a spatial profile and a colour, the best
 * product of both (SVD); its answers are those to gratings of 36 orientations and 16 spatial
 * frequencies up to half a cycle a pixel. */
typedef struct vt_filter_preference {
    double orientation; /* degrees, as vt_grating has it; NaN for a filter of zeros */
    double frequency;   /* cycles a pixel */
    double selectivity; /* of orientation: 1 - circular variance at that frequency */
    double colour[3];   /* red, green, blue, length 1, largest in size positive */
    double chromatic;   /* share of the colour that is not grey: 0 luminance, 1 opponent colours */
    double hue;         /* degrees in the plane of red - green and blue - yellow */
    double separable;   /* share of the filter's energy that the product holds */
} vt_filter_preference;

/* Preferences of kernels (filters, height, width, 3), float32. Free with free(). */
vt_status vt_filter_preferences(vt_filter_preference **out, const vt_tensor *kernels);

#ifdef __cplusplus
}
#endif
#endif
