/* Ensembles of networks that predict V4 neurons: teachers of compact models (Cowley, Stan, Pillow &
 * Smith 2026). Their members are alike and start from different weights; what they agree on is
 * predicted better than by any of them, and where they disagree is worth recording.
 *
 * A member: a 1 x 1 convolution to C channels, batch normalization, ReLU; a separable 3 x 3
 * convolution with stride 2; residual blocks of two separable 3 x 3 convolutions to C / 2 channels,
 * each with batch normalization and ReLU, and a 1 x 1 convolution back to C; and on this map, its
 * embedding, the readout of a shared compact model (see model.h) or a flat one. The members share a
 * front end, layers of another model that stay as they are, or have each a stem on pixels: a 5 x 5
 * convolution and a separable one, both with stride 2, batch normalization and ReLU. */
#ifndef VENTRAL_ENSEMBLE_H
#define VENTRAL_ENSEMBLE_H

#include "ventral/fit.h"
#include "ventral/predict.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VT_ENSEMBLE_MEMBERS 64
#define VT_ENSEMBLE_STEM 2

/* Zero means the default in brackets. */
typedef struct vt_ensemble_options {
    int members;                /* [1] */
    int stem[VT_ENSEMBLE_STEM]; /* filters of the stem; without one, of no account [16, 32] */
    int channels;               /* C, even [512 with a front end, else 64] */
    int blocks;                 /* [4] */
    int height, width;          /* of the image [112]; with a front end, the front end's */
    double epsilon;             /* of the members' batch normalization [1e-3] */
    int outputs;                /* neurons; 0: none yet */
    bool flat;                  /* a weight of every neuron for every place and channel of the map,
                                   instead of mixing and pool */
    uint64_t seed;              /* of the initial weights */
} vt_ensemble_options;

/* A model with initial weights. Its nodes are "member0." and on, "front." for the front end;
 * "member3" is the fourth one's responses, or without neurons its embedding. The output is the
 * members' mean. `front` up to its node `tap` is copied and stays frozen; NULL: stems on pixels.
 * VT_ENOTFOUND: no such node; VT_ESHAPE: it is no map; VT_EUNSUPPORTED: `front` is an ensemble. */
vt_status vt_ensemble_new(vt_model **out, const vt_ensemble_options *options, const vt_model *front,
                          const char *tap);
/* VT_EUNSUPPORTED when it is not an ensemble. */
vt_status vt_model_ensemble_options(const vt_model *model, vt_ensemble_options *out);

/* The node at which the front end ends; NULL: none, or not an ensemble. Borrowed. */
const char *vt_ensemble_tap(const vt_model *model);

/* One ensemble of the members of several with the same layers, front end and neurons. */
vt_status vt_ensemble_join(vt_model **out, vt_model *const *models, int count);

/* How a member is trained.
 * joint: as vt_fit trains a core: all sessions are mixed in every step, each neuron keeps its
 *   readout throughout, and the ensemble predicts them all.
 * paper: as the published code does: one session at a time, visited in random order for as many
 *   passes as the epoch has number, with a readout that starts anew at each visit. No neuron's
 *   readout outlasts it: the ensemble ends at its embedding, which vt_fit_readout maps to a
 *   session. See src/neural/fit_by_session.c. */
typedef enum vt_ensemble_training { VT_TRAINING_JOINT, VT_TRAINING_PAPER } vt_ensemble_training;

/* Training from recordings. `fit` says on what and how, as for vt_fit, whose defaults hold: its
 * filters are of no account, member i has its seed + i, and its checkpoint is the first part of the
 * names of the members' checkpoints, "CHECKPOINT.0" and on. With `training` paper the defaults are
 * 5 epochs, batch 64 and rate 2; weight decay and blur are VT_EINVAL, and so is a session of more
 * than 200 neurons; patience counts visits. */
typedef struct vt_ensemble_fit_options {
    vt_ensemble_training training; /* [joint] */
    vt_ensemble_options shape;     /* outputs and seed are of no account */
    vt_model *front;               /* see vt_ensemble_new; NULL: stems on pixels */
    const char *tap;
    const char *cache; /* file of the front end's features (see feature_cache.h), made or extended;
                          NULL: they are computed anew at every step, to the same bits */
    vt_fit_options fit;
} vt_ensemble_fit_options;

typedef struct vt_ensemble_report {
    int members;
    vt_fit_report *fits; /* one a member; vt_ensemble_report_free */
} vt_ensemble_report;

/* Trains one member after the other. The ensemble predicts spike counts of all sessions' neurons,
 * in their order, unless no readout was kept; vt_fit_readout maps it to a new session. With
 * `validation`, every epoch's core, or every visit's, is scored as vt_fit scores it, and the best
 * one is kept. Of a training by visits, the reports' history has one entry a visit.
 *
 * With a checkpoint, a killed run called again goes on where it was saved last and ends in the
 * identical ensemble; members trained before are taken as they are, also when more are asked for.
 * The files are removed only by the caller (vt_ensemble_remove_checkpoints). */
vt_status vt_ensemble_fit(vt_model **out, vt_ensemble_report *report,
                          const vt_ensemble_fit_options *options);
void vt_ensemble_report_free(vt_ensemble_report *report);
void vt_ensemble_remove_checkpoints(const char *checkpoint, int members);

/* Where the members disagree about stimuli: the s.d. of their predictions, float64 (neurons,
 * stimuli), and for each stimulus the median distance between two members' responses
 * (vt_disagreement), float64 (stimuli). Free both with vt_tensor_free. Of the options, receive and
 * tap are not used. VT_EINVAL for one member or none with neurons. */
vt_status vt_ensemble_disagreement(vt_tensor *deviation, vt_tensor *distance, vt_model *model,
                                   vt_stimulus_set *stimuli, const vt_predict_options *options);

#ifdef __cplusplus
}
#endif
#endif
