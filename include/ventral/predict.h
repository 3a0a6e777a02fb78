/* Responses of models to stimuli, streamed: memory does not grow with the number of stimuli. */
#ifndef VENTRAL_PREDICT_H
#define VENTRAL_PREDICT_H

#include "ventral/model.h"
#include "ventral/progress.h"
#include "ventral/stimulus.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_predict_options {
    int64_t begin, end; /* stimuli [begin, end); both 0: all */
    int batch;          /* stimuli at a time; 0: 50 */
    const char *tap;    /* node to read instead of the output; NULL: the output */
    vt_backend_kind backend;
    bool bf16;
    const vt_progress *progress;
    /* Receives `count` consecutive stimuli's values of a model, float32 (count, size of the node).
     */
    vt_status (*receive)(void *context, int model, int64_t first, int64_t count,
                         const vt_tensor *values);
    void *context;
} vt_predict_options;

/* Shows the stimuli to all models (of one image size), reading each once. VT_ENOTFOUND: no such
 * tap; VT_EINVAL: range outside the set, models of different image sizes. */
vt_status vt_predict(vt_model *const *models, int count, vt_stimulus_set *stimuli,
                     const vt_predict_options *options);

/* Predicted responses, float32 (sum of the models' outputs, end - begin), into `out`, which
 * vt_tensor_free gives back. options->receive and tap are not used. VT_EINVAL for a model without
 * outputs. */
vt_status vt_predict_responses(vt_tensor *out, vt_model *const *models, int count,
                               vt_stimulus_set *stimuli, const vt_predict_options *options);

#ifdef __cplusplus
}
#endif
#endif
