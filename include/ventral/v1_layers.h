/* The layers of a biologically constrained V1 (Pogoncheff, Granley & Beyeler, NeurIPS 2023).
 *
 * Each comes in two formulations. `released` is what the authors' published code computes, to
 * rounding, so that their checkpoints and results carry over. `described` is what their text and
 * the literature it cites define; docs/v1-layers.md shows how the two differ. Parameters have the
 * authors' names under NODE. in the order given here. Activations are (height, width, channels). */
#ifndef VENTRAL_V1_LAYERS_H
#define VENTRAL_V1_LAYERS_H

#include "ventral/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_formulation { VT_DESCRIBED, VT_RELEASED } vt_formulation;

/* Center-surround antagonism: a convolution of the first `channels` channels among themselves with
 * differences of Gaussians (2 radius + 1 square, zero padding), other channels pass unchanged.
 * Parameters: sigma1, sigma2_scale, total_scale, each (channels, channels), output first; bias
 * (channels), a constant. */
typedef struct vt_center_surround_options {
    const char *name;
    int channels, radius;
    vt_formulation formulation;
} vt_center_surround_options;
vt_node vt_center_surround(vt_graph *graph, vt_node x, const vt_center_surround_options *options);

/* Local receptive fields: a convolution (odd square kernel, stride 1, zero padding that keeps the
 * size, no bias) whose weights are not shared between positions.
 * Parameter: kernel (PyTorch naming: weight), (height, width, filters, kernel * kernel, channels).
 * One formulation. */
typedef struct vt_local_receptive_field_options {
    const char *name;
    int filters, kernel;
} vt_local_receptive_field_options;
vt_node vt_local_receptive_field(vt_graph *graph, vt_node x,
                                 const vt_local_receptive_field_options *options);

/* Divisive normalization (Cirincione et al. 2022): y = x / (G x + |bias|), G x a convolution (odd
 * square kernel, zero padding) whose kernel between any two channels is a rotated Gaussian.
 * Parameters: A, rho, sigma, theta, v, w, each (channels, channels), output first; bias (1). */
typedef struct vt_divisive_normalization_options {
    const char *name;
    int kernel;
    vt_formulation formulation;
} vt_divisive_normalization_options;
vt_node vt_divisive_normalization(vt_graph *graph, vt_node x,
                                  const vt_divisive_normalization_options *options);

/* Tuned normalization (opponent channel inhibition): y = x / (1 + W x), W a pool over channels
 * whose weights fall with circular channel distance as a Gaussian. Parameter: sigmas (channels). */
typedef struct vt_tuned_normalization_options {
    const char *name;
    vt_formulation formulation;
} vt_tuned_normalization_options;
vt_node vt_tuned_normalization(vt_graph *graph, vt_node x,
                               const vt_tuned_normalization_options *options);

/* Cortical magnification: (32, 32, channels) resampled to (16, 16, channels), finer at the centre
 * of gaze; rows are eccentricities from the centre out, columns polar angles counterclockwise from
 * the right. No parameters. */
typedef struct vt_cortical_magnification_options {
    const char *name;
    vt_formulation formulation;
} vt_cortical_magnification_options;
vt_node vt_cortical_magnification(vt_graph *graph, vt_node x,
                                  const vt_cortical_magnification_options *options);

#ifdef __cplusplus
}
#endif
#endif
