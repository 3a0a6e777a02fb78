/* Gratings, and the sets of them with which properties of V1 neurons are measured in models
 * (Marques, Schrimpf & DiCarlo 2021, "Multi-scale hierarchical neural network models that bridge
 * from single neurons in the primate primary visual cortex to object recognition behavior"), drawn
 * when they are needed: the published pictures byte for byte. */
#ifndef VENTRAL_GRATING_H
#define VENTRAL_GRATING_H

#include "ventral/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A sine grating within a disc, grey 128 around it. Degrees are of visual angle from the middle of
 * the picture, x to the right and y down. */
typedef struct vt_grating {
    double y, x;        /* centre of the disc, degrees */
    double contrast;    /* 0 to 1 */
    double radius;      /* of the disc, degrees; negative: no disc, a blank */
    double frequency;   /* cycles a degree */
    double orientation; /* degrees; 0: the sine runs along x, its bars are vertical */
    double phase;       /* degrees, at the centre */
} vt_grating;

typedef enum vt_grating_set {
    VT_GRATINGS_BLANK,             /* 1 */
    VT_GRATINGS_RECEPTIVE_FIELD,   /* 3528: 8 small gratings at each of 21 x 21 positions */
    VT_GRATINGS_ORIENTATION,       /* 1152 */
    VT_GRATINGS_SPATIAL_FREQUENCY, /* 2112 */
    VT_GRATINGS_SIZE,              /* 2304 */
    VT_GRATING_SETS,
} vt_grating_set;

/* "blank", "receptive_field", "orientation", "spatial_frequency", "size"; VT_ENOTFOUND lists them.
 */
vt_status vt_grating_set_find(vt_grating_set *out, const char *name);
const char *vt_grating_set_name(vt_grating_set set);
int64_t vt_grating_set_count(vt_grating_set set);
/* Grating `index` of a set, in the published order: the phase runs fastest, then orientation,
 * frequency, radius (cycles in the orientation set); in receptive_field x, then y, phase and
 * orientation. VT_EINVAL for an index that is not in the set. */
vt_status vt_grating_set_at(vt_grating *out, vt_grating_set set, int64_t index);

/* Where gratings are shown. The published pictures are 12 degrees wide; the middle of one is what a
 * model with a smaller field sees, a larger field has grey 128 around it; then it is resized as
 * vt_image_resize does. Zero means the default in brackets. */
#define VT_GRATING_DEGREES 12
typedef struct vt_screen_options {
    double resolution; /* pixels a degree at which gratings are drawn [56] */
    double degrees;    /* visual field [12] */
    int height, width; /* of the images [the pixels that the field has at this resolution] */
} vt_screen_options;

typedef struct vt_screen vt_screen;

/* VT_EINVAL for values that are not possible. */
vt_status vt_screen_new(vt_screen **out, const vt_screen_options *options);
void vt_screen_free(vt_screen *screen);
void vt_screen_size(const vt_screen *screen, int *height, int *width);

/* Draws gratings as grey bytes (count, height, width), on vt_threads() threads; within the disc
 * floor(255 (1 + contrast sin(2 pi frequency (x cos + y sin) + phase)) / 2), computed in double.
 * VT_EINVAL, which names the grating, for a contrast outside 0 to 1 or values that are not finite.
 */
vt_status vt_screen_draw(const vt_screen *screen, const vt_grating *gratings, int64_t count,
                         uint8_t *out);

/* Gratings begin .. end - 1 of a set as files in a folder, made where it is not there: images.zip,
 * PNGs SET_INDEX.png, and stimuli.csv, a line for each: file, position_y, position_x, contrast,
 * radius, spatial_frequency, orientation, phase. Both appear whole, the list last. */
vt_status vt_grating_set_write(const char *folder, vt_grating_set set, int64_t begin, int64_t end,
                               const vt_screen *screen, const vt_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
