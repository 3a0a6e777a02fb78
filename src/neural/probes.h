/* Values of nodes of several models for images of a stream, kept in a file where wanted. A model is
 * run once a batch, whatever the number of its nodes. */
#ifndef VT_NEURAL_PROBES_H
#define VT_NEURAL_PROBES_H

#include "ventral/image_stream.h"
#include "ventral/model.h"

typedef struct vt_probes vt_probes;

typedef struct vt_probe {
    vt_model *model;  /* borrowed */
    const char *node; /* NULL: the output */
} vt_probe;

typedef struct vt_probes_options {
    const vt_probe *probes;
    int count;
    const char *cache; /* NULL: none; one of outputs is what a teacher of these models has */
    bool bf16;
} vt_probes_options;

/* Maps are averaged over places. VT_ENOTFOUND: no such node. */
vt_status vt_probes_new(vt_probes **out, const vt_probes_options *options);
void vt_probes_free(vt_probes *probes);

int64_t vt_probes_size(const vt_probes *probes);               /* values an image, of all probes */
int64_t vt_probes_size_of(const vt_probes *probes, int probe); /* of one */

/* Values (count, vt_probes_size), the probes' in their order. VT_ENUMERIC, naming model and image,
 * when one is not finite; errors of vt_image_records_read. */
vt_status vt_probes_read(vt_probes *probes, vt_image_stream *stream, const int64_t *indices,
                         int64_t count, const uint8_t *images, float *out,
                         const vt_progress *progress);

#endif
