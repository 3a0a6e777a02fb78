/* Gaudy images: natural images pushed to their rails, 0 and 255, which drive neurons more and teach
 * models of them faster (Cowley & Pillow 2020, "High-contrast 'gaudy' images improve the training
 * of deep neural network models of visual cortex"). */
#ifndef VENTRAL_GAUDY_H
#define VENTRAL_GAUDY_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_gaudy_kind {
    VT_GAUDY_NONE,    /* the image stays as it is */
    VT_GAUDY_CHANNEL, /* each colour against its own mean (Cowley, Stan, Pillow & Smith 2026) */
    VT_GAUDY_GLOBAL,  /* all against the mean over pixels and colours (Cowley & Pillow 2020) */
} vt_gaudy_kind;

typedef struct vt_gaudy_options {
    vt_gaudy_kind kind;
    double blur; /* s.d. in pixels of a Gaussian filter before; 0: none */
} vt_gaudy_options;

#define VT_GAUDY_MAX_BLUR 1000

/* "none", "channel", "global"; VT_ENOTFOUND lists them. */
vt_status vt_gaudy_find(vt_gaudy_kind *out, const char *name);

/* Turns (height, width, 3) bytes in place: values below the mean become 0; others, the mean itself
 * included, 255. What is constant, even black, therefore becomes 255, as in the published code. The
 * mean is exact; after a blur, values within 1e-9 grey levels of it count as equal to it. The blur
 * is SciPy's gaussian_filter: cut off at 4 s.d., mirrored at the edges. VT_EINVAL for a blur that
 * is negative, not finite or above VT_GAUDY_MAX_BLUR. */
vt_status vt_gaudy(uint8_t *pixels, int height, int width, const vt_gaudy_options *options);

#ifdef __cplusplus
}
#endif
#endif
