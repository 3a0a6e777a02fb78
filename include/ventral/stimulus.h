/* Stimulus sets: what models are shown, as float32 arrays ready for their input. */
#ifndef VENTRAL_STIMULUS_H
#define VENTRAL_STIMULUS_H

#include "ventral/image_stream.h"
#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_stimulus_set vt_stimulus_set;

/* `path` is what vt_image_source_open takes (a folder or zip of images, a .npy of uint8), whose
 * images are resized to the model's size and preprocessed for it; or a float32 .npy (images,
 * height, width, channels), used as it is and read piece by piece. */
vt_status vt_stimulus_set_open(vt_stimulus_set **out, const char *path);
/* The same over images that are open already, borrowed. */
vt_status vt_stimulus_set_from_images(vt_stimulus_set **out, vt_image_source *images);
/* The same over a stream, borrowed, whose images have the model's size. */
vt_status vt_stimulus_set_from_stream(vt_stimulus_set **out, vt_image_stream *stream);
void vt_stimulus_set_close(vt_stimulus_set *set);

int64_t vt_stimulus_set_count(const vt_stimulus_set *set);
/* The stimuli at `indices` as float32 (count, height, width, 3). VT_ESHAPE when an array's stimuli
 * have other sizes; VT_ENUMERIC when one holds NaN or infinity. */
vt_status vt_stimulus_set_read(vt_stimulus_set *set, const int64_t *indices, int64_t count,
                               int height, int width, const vt_preprocessing *preprocessing,
                               float *out);

#ifdef __cplusplus
}
#endif
#endif
