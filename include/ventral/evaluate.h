/* How well models predict a session's neurons. */
#ifndef VENTRAL_EVALUATE_H
#define VENTRAL_EVALUATE_H

#include "ventral/predict.h"
#include "ventral/score.h"
#include "ventral/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_neuron_score {
    int64_t neuron;     /* of the session */
    int model;          /* which of the models predicts it */
    double r, r2;       /* with the averaged responses; r2 = r squared */
    double r2_er;       /* noise-corrected, NaN without raw repeats */
    double snr;         /* of the recording, unbiased; NaN without raw repeats */
    double reliability; /* split-half, Spearman-Brown corrected; NaN without raw repeats */
} vt_neuron_score;

typedef struct vt_session_score {
    int64_t begin, end; /* images scored */
    int64_t count;      /* of neurons */
    vt_neuron_score *neurons;
    vt_tensor predictions;    /* float32 (count, end - begin), rows as in `neurons` */
    vt_interval r, r2, r2_er; /* medians over neurons with bootstrap 90 % intervals */
} vt_session_score;

typedef struct vt_score_options {
    int64_t begin, end;     /* images [begin, end); both 0: all */
    const int64_t *neurons; /* only these; NULL: all that the models predict */
    int64_t neuron_count;
    uint64_t seed; /* of bootstrap and split halves */
    const vt_progress *progress;
} vt_score_options;

/* Scores models on a session that has images. A model knows which outputs are whose (see
 * vt_model_session); one that does not must have as many outputs as the session has neurons.
 * VT_ENOTFOUND: a wanted neuron is predicted by no model; VT_EINVAL: a model of other sessions. */
vt_status vt_score_session(vt_session_score *out, vt_model *const *models, int count,
                           vt_session *session, const vt_score_options *options);
void vt_session_score_free(vt_session_score *score);

#ifdef __cplusplus
}
#endif
#endif
