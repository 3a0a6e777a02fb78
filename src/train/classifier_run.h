/* A run of training, for the files of this room. */
#ifndef VT_TRAIN_CLASSIFIER_RUN_H
#define VT_TRAIN_CLASSIFIER_RUN_H

#include "ventral/classifier.h"

/* Sums over images of the loss and of those found among the best one and five. */
typedef struct vt_tally {
    double loss, top1, top5, images;
} vt_tally;

/* Adds `count` images of which `scores` (count, classes) and `labels` (count) are known. */
void vt_tally_add(vt_tally *tally, const float *scores, const float *labels, int64_t count,
                  int64_t classes);

/* VT_EINVAL or VT_EUNSUPPORTED unless `model` classifies what the transformation makes of these
 * images. */
vt_status vt_classifier_check(vt_model *model, const vt_dataset *dataset,
                              const vt_transform *transform);

typedef struct vt_train_run {
    vt_train_options options;
    vt_model *model;
    vt_graph *graph;
    vt_optimizer *optimizer;
    vt_workspace *workspace;
    vt_plan *plan, *rest_plan; /* of a whole batch and of an epoch's last, smaller one */
    vt_node outputs[2];        /* scores, loss */
    vt_loader *loader;
    int64_t batches;     /* an epoch's */
    bool *was_trainable; /* each parameter, before a frozen body; NULL without */
    /* The state: with the model's and the optimizer's, everything that decides how it goes on. */
    int64_t epoch, batch; /* the next one to train on, from 0 */
    vt_tally tally;       /* of this epoch */
    int64_t skipped;
    float *delta; /* Free training: the change of the last batch's images; NULL without */
    int64_t delta_floats;
    vt_train_epoch *history;
    int best_epoch;
    bool resumed;
} vt_train_run;

/* classifier_checkpoint.c: the state in options.folder/checkpoint.safetensors. `resume` does
 * nothing when there is none. */
vt_status vt_train_save(const vt_train_run *run);
vt_status vt_train_resume(vt_train_run *run);

/* classifier_files.c: a path in the run's folder, and the files an epoch leaves there. */
const char *vt_train_path(const vt_train_run *run, const char *name, char *text, size_t size);
vt_status vt_train_make_folder(const vt_train_run *run);
vt_status vt_train_write_metrics(const vt_train_run *run);

#endif
