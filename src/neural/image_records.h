/* What is computed from images, kept in a file under the images' names. */
#ifndef VT_NEURAL_IMAGE_RECORDS_H
#define VT_NEURAL_IMAGE_RECORDS_H

#include "io/records.h"
#include "ventral/image_stream.h"
#include "ventral/model.h"

typedef struct vt_image_records vt_image_records;

/* `count` images of a stream; `pixels` has room, and after them zeros, for a whole batch. */
typedef struct vt_image_batch {
    const vt_image_stream *stream;
    const int64_t *indices;
    int64_t count;
    int height, width;
    const uint8_t *pixels; /* (batch, height, width, 3) */
} vt_image_batch;

/* VT_ENUMERIC, naming model and image, when one of a model's `count` values for the batch's image
 * `image` is not finite. */
vt_status vt_image_batch_check(const vt_image_batch *batch, int64_t image, const vt_model *model,
                               const float *values, int64_t count);

typedef struct vt_image_records_options {
    const char *path; /* NULL: kept nowhere */
    vt_records_format format;
    int64_t batch;    /* images computed at a time, also when fewer are wanted */
    size_t out_bytes; /* of what the caller gets of a record */
    /* Fills the batch's records. */
    vt_status (*compute)(void *context, const vt_image_batch *batch, void *records);
    /* From a record what the caller gets. Several threads may call. */
    void (*decode)(void *context, const void *record, void *out);
    void *context;
} vt_image_records_options;

/* Errors of vt_records_open. */
vt_status vt_image_records_open(vt_image_records **out, const vt_image_records_options *options);
void vt_image_records_close(vt_image_records *records);

/* Decoded records of images of a stream; those that lack are computed and added. `images`, their
 * bytes as vt_image_stream_read gives them, may be NULL: what is needed is read. An image whose
 * bytes changed since its record was made is VT_EINVAL. VT_EINTERRUPTED after progress asked to
 * stop; what was computed is kept. */
vt_status vt_image_records_read(vt_image_records *records, vt_image_stream *stream,
                                const int64_t *indices, int64_t count, const uint8_t *images,
                                void *out, const vt_progress *progress);

/* The model as part of a format: its file's name and its checksum. */
vt_status vt_image_records_part(vt_records_part *out, const vt_model *model);

#endif
