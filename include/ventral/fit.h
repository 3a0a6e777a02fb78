/* Fitting a shared compact model directly to recordings. */
#ifndef VENTRAL_FIT_H
#define VENTRAL_FIT_H

#include "ventral/model.h"
#include "ventral/progress.h"
#include "ventral/readout.h"
#include "ventral/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Images [begin, end) of a session; both 0: all. */
typedef struct vt_fit_session {
    char id[64];
    int64_t begin, end;
} vt_fit_session;

#define VT_FIT_SESSIONS 64

/* Zero means the default in brackets. */
typedef struct vt_fit_options {
    const char *recordings; /* folder of sessions, see vt_session_open */
    const vt_fit_session *sessions;
    int session_count;
    const vt_fit_session *validation; /* NULL: none */
    int filters[VT_COMPACT_LAYERS];   /* [16, 32, 32, 64, 64] */
    int epochs;                       /* [10] */
    int batch;                        /* images a step, of all sessions [32] */
    double rate;                      /* highest learning rate [0.006] */
    double weight_decay;              /* of the core's kernels [1e-4] */
    double blur;                      /* s.d. in pixels of the blur of depthwise kernels between
                                         epochs; 0: none */
    int patience;                     /* stop after so many epochs without a better validation
                                         score; 0: never */
    uint64_t seed;
    const char *checkpoint; /* file for the state of the run; NULL: none */
    const vt_progress *progress;
} vt_fit_options;

typedef struct vt_fit_epoch {
    double loss;       /* mean squared error of z-scored responses during training */
    double validation; /* median r on the validation images; NaN without */
    /* Of a visit (see vt_ensemble_training): which of the sessions, and passes over its images. */
    int session, passes;
} vt_fit_epoch;

typedef struct vt_fit_report {
    int epochs;     /* trained; or visits */
    int best_epoch; /* the one kept, from 1 */
    bool resumed;   /* from a checkpoint */
    int64_t images, neurons;
    vt_fit_epoch *history; /* one an epoch; vt_fit_report_free */
} vt_fit_report;

/* Trains the five convolutional layers on all sessions at once, each neuron with its own mixing
 * weights and a Gaussian spatial pool, on responses z-scored per neuron; AdamW, one warm-up and
 * cosine cycle, running average of the weights. With `validation`, every epoch's averaged core is
 * scored there by cross-validated ridge regression on its map, averaged over a 4 x 4 grid, and the
 * best one is kept.
 * The model predicts spike counts of all sessions' neurons, in their order.
 *
 * With a checkpoint, a killed run called again with the same options goes on where it was saved
 * last and ends in the identical model; VT_EINVAL when the file is of other options. The file is
 * removed after success only by the caller. VT_EINTERRUPTED after progress asked to stop; the state
 * is saved. */
vt_status vt_fit(vt_model **out, vt_fit_report *report, const vt_fit_options *options);
void vt_fit_report_free(vt_fit_report *report);

/* A model whose layers are those of `core`, a compact model or an ensemble, and whose readout (each
 * member's), fitted to one session's images, predicts that session's neurons. NULL `readout`: a
 * factorized one with penalties by cross-validation; its progress is of no account. VT_EUNSUPPORTED
 * for ridge on a compact model, whose readout has no place for the weights. */
vt_status vt_fit_readout(vt_model **out, vt_model *core, vt_session *session,
                         const vt_fit_session *images, const vt_readout_options *readout,
                         const vt_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
