/* Streams of images that models are shown in large numbers: folders, zips, sessions, varied
 * versions of their images, and as many generated ones as wanted. */
#ifndef VENTRAL_IMAGE_STREAM_H
#define VENTRAL_IMAGE_STREAM_H

#include "ventral/fit.h"
#include "ventral/gaudy.h"
#include "ventral/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_image_stream vt_image_stream;

/* Zero means the default in brackets. */
typedef struct vt_image_stream_options {
    const char *const *paths; /* what vt_image_source_open takes */
    int path_count;
    const char *recordings; /* folder of sessions, whose images come after those of `paths` */
    const vt_fit_session *sessions;
    int session_count;
    int variants;      /* varied versions of each of these images: mirrored, magnified, shifted,
                          of other contrast and colour; after all of them [0] */
    int64_t generated; /* dead leaves, after all others [0] */
    int height, width; /* of all images [112] */
    uint64_t seed;     /* of variants and generated images */
    vt_gaudy_options gaudy; /* how all images are made gaudy [not at all] */
} vt_image_stream_options;

/* Image i is the same whenever and however often it is read, and whatever the threads. VT_EINVAL
 * for an empty stream and for images given twice; errors of vt_image_source_open and
 * vt_session_open. */
vt_status vt_image_stream_open(vt_image_stream **out, const vt_image_stream_options *options);
void vt_image_stream_close(vt_image_stream *stream);
int64_t vt_image_stream_count(const vt_image_stream *stream);
void vt_image_stream_size(const vt_image_stream *stream, int *height, int *width);

/* A name that stays the image's own when the stream is extended or its parts change places:
 * "images_190925.zip/image0001.jpg", "session 190925/image0001.jpg", each with "~0:3" for its third
 * varied version of seed 0, and "leaves 0:17", image 17 of seed 0; with " gaudy channel" or
 * " gaudy global 1.5" (after a blur) behind it. Of sources of the same file name
 * as much of the folders is part of it as tells them apart. Names that are too long end in their
 * hash; an index that is not in the stream has an empty one. */
#define VT_IMAGE_NAME_SIZE 512
void vt_image_stream_name(const vt_image_stream *stream, int64_t index,
                          char out[VT_IMAGE_NAME_SIZE]);

/* The images at `indices` as bytes (count, height, width, 3); decodes on vt_threads() threads. The
 * error of a corrupt image names it. */
vt_status vt_image_stream_read(vt_image_stream *stream, const int64_t *indices, int64_t count,
                               uint8_t *out);

#ifdef __cplusplus
}
#endif
#endif
