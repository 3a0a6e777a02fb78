/* The fifteen common corruptions of Hendrycks & Dietterich 2019 ("Benchmarking neural network
 * robustness to common corruptions and perturbations", ICLR), with the constants published for
 * Tiny-ImageNet-C. docs/corruptions.md defines each. */
#ifndef VENTRAL_CORRUPTION_H
#define VENTRAL_CORRUPTION_H

#include "ventral/dataset.h"
#include "ventral/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In the order of the paper: noise, blur, weather, digital. */
typedef enum vt_corruption {
    VT_CORRUPTION_GAUSSIAN_NOISE,
    VT_CORRUPTION_SHOT_NOISE,
    VT_CORRUPTION_IMPULSE_NOISE,
    VT_CORRUPTION_DEFOCUS_BLUR,
    VT_CORRUPTION_GLASS_BLUR,
    VT_CORRUPTION_MOTION_BLUR,
    VT_CORRUPTION_ZOOM_BLUR,
    VT_CORRUPTION_SNOW,
    VT_CORRUPTION_FROST,
    VT_CORRUPTION_FOG,
    VT_CORRUPTION_BRIGHTNESS,
    VT_CORRUPTION_CONTRAST,
    VT_CORRUPTION_ELASTIC_TRANSFORM,
    VT_CORRUPTION_PIXELATE,
    VT_CORRUPTION_JPEG_COMPRESSION,
    VT_CORRUPTIONS,
} vt_corruption;

#define VT_CORRUPTION_SEVERITIES 5

/* "gaussian_noise", ...: names of the folders of Tiny-ImageNet-C; "?" for another number. */
const char *vt_corruption_name(vt_corruption kind);
/* VT_ENOTFOUND lists the names there are. */
vt_status vt_corruption_find(vt_corruption *out, const char *name);

/* A corrupted copy of `image`, of the same size; `severity` is 1 to 5. Random numbers come from
 * (seed, kind, severity, index) alone, so any thread may call in any order. The constants are meant
 * for images of 64 x 64 pixels and are used, in pixels, for any size. `out` may not be `image`;
 * free it with vt_image_free. */
vt_status vt_corrupt(vt_image *out, const vt_image *image, vt_corruption kind, int severity,
                     uint64_t seed, uint32_t index);

typedef struct vt_corrupt_options {
    bool kinds[VT_CORRUPTIONS];                /* all false: all */
    bool severities[VT_CORRUPTION_SEVERITIES]; /* of 1, 2, ...; all false: all */
    int64_t limit; /* only so many images, of all classes alike; 0: all */
    uint64_t seed;
} vt_corrupt_options;

typedef struct vt_corrupt_report {
    int64_t written, kept; /* files; kept were there from an earlier call */
} vt_corrupt_report;

/* Writes corrupted images of a data set in the layout of Tiny-ImageNet-C,
 * FOLDER/CORRUPTION/SEVERITY/CLASS/FILE, FILE being the name of the image, which vt_dataset_open
 * reads from FOLDER/CORRUPTION/SEVERITY. As in the original, images of other sizes are first
 * resized to 64 x 64 and files are JPEGs of quality 85 with 4:2:0 chroma, but PNGs where the name
 * says so. `index` of vt_corrupt is the image's in the data set, so a call for some images,
 * corruptions or severities writes the files that a call for all would. Each file appears whole or
 * not at all; a call that was stopped or failed is repeated to go on where it was.
 *
 * Seed and images are noted in FOLDER/corruptions.json: VT_EINVAL when the folder holds other
 * things, or images of another seed or set. Progress counts files. */
vt_status vt_corrupt_dataset(vt_corrupt_report *out, const char *folder, vt_dataset *dataset,
                             const vt_corrupt_options *options, const vt_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
