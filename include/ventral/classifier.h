/* Training and testing of image classifiers. */
#ifndef VENTRAL_CLASSIFIER_H
#define VENTRAL_CLASSIFIER_H

#include "ventral/attack.h"
#include "ventral/dataset.h"
#include "ventral/progress.h"
#include "ventral/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_accuracy {
    double loss;       /* mean cross-entropy */
    double top1, top5; /* fractions of images whose class is the first, among the first five by
                          score; of equal scores the lower class number's comes first */
    int64_t images;
    int64_t skipped; /* images that could not be read, whose place others took */
} vt_accuracy;

/* Zero means the default in brackets; the defaults are the recipe of Pogoncheff et al. 2023. */
typedef struct vt_train_options {
    vt_dataset *train, *validation;
    vt_transform train_transform, validation_transform; /* of the size the model takes */
    int epochs;                                         /* [100] */
    int batch;                                          /* [128] */
    /* In epochs [rate 0.1, a tenth of it after 60, a hundredth after 80]; a cosine of length 0 ends
     * with the last epoch. */
    vt_schedule schedule;
    double momentum;     /* [0.9] */
    double weight_decay; /* [1e-5] */
    bool no_momentum, no_weight_decay;
    /* Free adversarial training (Shafahi et al. 2019): each batch is trained on `replays` times,
     * its images changed by up to free_epsilon (Linf, range 0 to 1) along the gradient each replay
     * leaves. An epoch takes `replays` times as long. 0: ordinary training. */
    int replays;
    double free_epsilon;
    bool frozen_body; /* only the last layer, "fc", learns; running statistics move all the same */
    bool bf16;
    uint64_t seed;
    const char *folder;          /* where the run's files go; it is made when it does not exist */
    double save_seconds;         /* between checkpoints [300] */
    const vt_progress *progress; /* counts images, of both data sets */
} vt_train_options;

typedef struct vt_train_epoch {
    double epoch, rate;      /* from 1; learning rate at its start */
    double loss, top1, top5; /* of training, as it went on */
    double validation_loss, validation_top1, validation_top5;
    double skipped; /* images that could not be read */
} vt_train_epoch;

typedef struct vt_train_report {
    int epochs, best_epoch; /* best: highest validation top-1 */
    bool resumed;
    vt_train_epoch *history; /* one an epoch; free with vt_train_report_free */
} vt_train_report;

/* Trains `model`, a network of resnet.h, and leaves its last state in it; after a failure its
 * weights are those of some step. In `folder`: best.safetensors and last.safetensors, the models;
 * checkpoint.safetensors, everything that is needed to go on; metrics.csv and metrics.jsonl, one
 * line an epoch.
 *
 * A run that was killed goes on from its checkpoint when called again with the same options, data
 * and number of threads, and ends in the identical files. VT_EINVAL: the checkpoint is of another
 * run, or options that are not possible. VT_ENUMERIC: loss or gradient is not finite; the last
 * checkpoint is as it was. VT_EINTERRUPTED after progress asked to stop; the state is saved. */
vt_status vt_train_classifier(vt_train_report *report, vt_model *model,
                              const vt_train_options *options);
void vt_train_report_free(vt_train_report *report);

/* Zero means the default in brackets. */
typedef struct vt_evaluate_options {
    vt_transform transform;
    int batch;               /* [128] */
    const vt_attack *attack; /* on every image; NULL: none */
    int64_t limit;           /* only so many images, taken at equal distances; 0: all */
    bool bf16;
    const vt_progress *progress; /* counts images */
} vt_evaluate_options;

/* VT_EUNSUPPORTED when the model is no classifier; VT_EINVAL when the numbers of classes differ, or
 * the transformation's size and the model's. Damaged images are skipped and counted. */
vt_status vt_evaluate_classifier(vt_accuracy *out, vt_model *model, vt_dataset *dataset,
                                 const vt_evaluate_options *options);

#define VT_SEVERITIES 5

/* Accuracies on one kind of corrupted images; images 0 where a severity's folder is not there. */
typedef struct vt_corruption_score {
    char name[64];
    vt_accuracy severity[VT_SEVERITIES];
} vt_corruption_score;

/* Tests on a tree in the layout of Tiny-ImageNet-C (Hendrycks & Dietterich 2019),
 * TREE/CORRUPTION/SEVERITY/CLASS/IMAGE: all corruptions it holds, in order of their names, into
 * `*out`, which the caller frees with free(). Progress counts severities. VT_ENOTFOUND when the
 * tree holds none; VT_EINVAL, with the folder's name, when one has not the model's classes. */
vt_status vt_evaluate_corruptions(vt_corruption_score **out, int *out_count, vt_model *model,
                                  const char *tree, const vt_evaluate_options *options);

#ifdef __cplusplus
}
#endif
#endif
