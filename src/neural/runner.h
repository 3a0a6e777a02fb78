/* Models made ready to answer batches of one number of images, in one workspace. */
#ifndef VT_NEURAL_RUNNER_H
#define VT_NEURAL_RUNNER_H

#include "ventral/model.h"

typedef struct vt_runner_options {
    vt_model *const *models; /* borrowed */
    int count;
    const char *tap; /* node to read instead of the output; NULL: the output */
    int64_t batch;
    vt_backend_kind backend;
    bool bf16;
    vt_workspace *workspace; /* borrowed */
} vt_runner_options;

typedef struct vt_runner {
    vt_runner_options options;
    vt_node *nodes; /* what is read of each model */
    vt_plan **plans;
} vt_runner;

/* Errors of vt_model_find. `out` is freed by vt_runner_free also after a failure. */
vt_status vt_runner_new(vt_runner *out, const vt_runner_options *options);
void vt_runner_free(vt_runner *runner);

/* Shows a batch, preprocessed for the model, to it; *out is lent until the next run. */
vt_status vt_runner_run(const vt_runner *runner, int model, const float *pixels,
                        const vt_tensor **out);

#endif
