/* Simulated recordings: natural-like images shown to model neurons whose computation is known.
 * For trying the tools without data, and for checking them against a truth no recording has. */
#ifndef VENTRAL_SIMULATE_H
#define VENTRAL_SIMULATE_H

#include "ventral/progress.h"
#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Image `index` of the endless stream `seed` of dead leaves: occluding textured, shaded leaves with
 * radii distributed as r^-3 (Lee, Mumford & Huang 2001, "Occlusion models for natural images"), so
 * that amplitude falls about as 1/frequency. Writes (height, width, 3) RGB bytes to `out`; sizes
 * 1 to 8192. The same image whatever the threads, and any thread may call. */
vt_status vt_dead_leaves(uint8_t *out, int height, int width, uint64_t seed, uint32_t index);

typedef enum vt_simulate_kind {
    VT_SIMULATE_ORIENTATION, /* energy of a quadrature pair of Gabor filters */
    VT_SIMULATE_CURVATURE,   /* two such energies along an arc, multiplied: both must be there */
    VT_SIMULATE_COLOUR,      /* blob of one colour, rectified */
    VT_SIMULATE_DOT,         /* small center-surround filter, inhibited by edges, rectified */
    VT_SIMULATE_KINDS,
} vt_simulate_kind;

/* "orientation", "curvature", "colour", "dot"; "?" for another number. */
const char *vt_simulate_kind_name(vt_simulate_kind kind);

/* A model neuron. Its drive is computed at every place of its receptive field; E is the root mean
 * square over the field, S over a ring around it, N the local contrast of luminance; E and S in
 * units of `drive_unit`, N of `contrast_unit`. Spikes expected in a 100 ms bin (normalization
 * model, Carandini & Heeger 2012):
 *   baseline + gain E^n / (semisaturation^n + E^n + (contrast N)^n + (surround S)^n)
 * Lengths are pixels; pixel k spans k to k + 1; y points down; angles turn from x towards y. */
typedef struct vt_simulate_neuron {
    vt_simulate_kind kind;
    double x, y;           /* centre of the receptive field */
    double size;           /* its diameter; the surround reaches twice as far */
    double colour[3];      /* weights of R, G, B (0 to 1, about mid grey) it looks at */
    double orientation;    /* of contours; of the arc's chord; radians */
    double frequency;      /* orientation, curvature: cycles a pixel */
    double bend;           /* curvature: angle between chord and contour at either end, radians */
    double radius;         /* colour: s.d. of the blob; dot: radius of the preferred dot */
    double inhibition;     /* dot: weight of edges */
    double drive_unit;     /* mean E, and */
    double contrast_unit;  /* mean N, over dead leaves */
    double semisaturation; /* all four in the equation above */
    double contrast;
    double surround; /* 0: no surround suppression */
    double exponent; /* n */
    double baseline;
    double gain;
} vt_simulate_neuron;

typedef struct vt_simulate_options {
    int sessions;      /* 1 to 999: sim001, sim002, ... */
    int images;        /* a session, 2 to 1,000,000; they are held in memory, at most 8 GiB */
    int neurons;       /* a session, 1 to 10,000 */
    int repeats;       /* of each image, 1 to 1,000 */
    int height, width; /* 56 to 1,024 pixels */
    uint64_t seed;
} vt_simulate_options;

#define VT_SIMULATE_DEFAULTS                                                                       \
    {                                                                                              \
        .sessions = 3, .images = 1500, .neurons = 16, .repeats = 10, .height = 112, .width = 112,  \
        .seed = 1                                                                                  \
    }

/* Draws the options->neurons neurons of session `session` (from 1): all kinds, receptive fields of
 * 15 to 40 pixels at 112 pixels around one place, mean counts of 1 to 8 spikes over dead leaves.
 * Depends on seed, session, height and width alone: more neurons begin with the same ones. */
vt_status vt_simulate_neurons(vt_simulate_neuron *out, const vt_simulate_options *options,
                              int session);

/* Expected spike counts (count, images) of neurons for `images`, uint8 (images, height, width, 3);
 * around an image is mid grey. Parallel over images. */
vt_status vt_simulate_rates(double *out, const vt_simulate_neuron *neurons, int count,
                            const vt_tensor *images);

/* Writes sessions sim001, sim002, ... into `folder` in the published layout (see session.h):
 * images, averaged and raw spike counts, Poisson about vt_simulate_rates of the images as stored.
 * The truth comes beside them in truth/truth_ID.npz: one array a field of vt_simulate_neuron,
 * `kind` numbering the lines of the text `kinds`, and `rates` (neurons, images). Progress counts
 * images. VT_EINVAL when `folder` has such a session already; on failure or interruption what was
 * written is removed. The same options give the same files. */
vt_status vt_simulate(const char *folder, const vt_simulate_options *options,
                      const vt_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
