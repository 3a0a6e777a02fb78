/* Teachers: models whose responses to a stream of images others learn. The responses are computed
 * once, stored, and extended when the stream is. */
#ifndef VENTRAL_TEACHER_H
#define VENTRAL_TEACHER_H

#include "ventral/image_stream.h"
#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_teacher vt_teacher;

/* One output of one model; `session` is empty when the model does not say whose it is. */
typedef struct vt_teacher_neuron {
    char session[64];
    int64_t neuron; /* of the session; of the model without one */
    int model;
    int64_t output; /* of the model */
} vt_teacher_neuron;

/* The cache holds responses as the float32 they are, 4 bytes a neuron and 24 an image: so a run
 * that finds them there and one that computes them are the same to the bit. */
typedef struct vt_teacher_options {
    const char *cache; /* file of responses; NULL: kept nowhere. Made where it is not there. */
    bool bf16;         /* responses differ: they are kept in a file of their own */
} vt_teacher_options;

/* The models, borrowed, may be of different image sizes and preprocessing; images are resized for
 * them. A cache made by other models (another checksum of their weights), in another order or with
 * another bf16 is VT_EINVAL, and the message names the file and the model that changed; VT_EFORMAT
 * when it is corrupt; VT_EIO while another process, or another teacher, has it. */
vt_status vt_teacher_new(vt_teacher **out, vt_model *const *models, int count,
                         const vt_teacher_options *options);
void vt_teacher_free(vt_teacher *teacher);
int64_t vt_teacher_count(const vt_teacher *teacher); /* neurons */
const vt_teacher_neuron *vt_teacher_neuron_at(const vt_teacher *teacher, int64_t index);
/* The index of a session's neuron; -1 when no model predicts it. */
int64_t vt_teacher_find(const vt_teacher *teacher, const char *session, int64_t neuron);

/* Responses, float32 (count, vt_teacher_count), to images of a stream. Those that the cache lacks
 * are computed and added to it, each with the checksum of its image's bytes; an image whose bytes
 * changed since is VT_EINVAL, and the message names image and cache. An image is found by its name
 * and size, so streams may grow and change order. A process killed at any moment leaves a cache
 * that the next one goes on with. VT_ENUMERIC for a response that is not finite; VT_EINTERRUPTED
 * after progress asked to stop, what was computed being kept. After a failure `out` is undefined.
 */
vt_status vt_teacher_responses(vt_teacher *teacher, vt_image_stream *stream, const int64_t *indices,
                               int64_t count, float *out, const vt_progress *progress);
/* The same for a caller who has the images' bytes, as vt_image_stream_read gives them, so that they
 * are not decoded twice. */
vt_status vt_teacher_answer(vt_teacher *teacher, vt_image_stream *stream, const int64_t *indices,
                            int64_t count, const uint8_t *images, float *out,
                            const vt_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
