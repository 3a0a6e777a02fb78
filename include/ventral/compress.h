/* From a session and its teacher to compact models: the whole chain for a population of neurons
 * (Cowley, Stan, Pillow & Smith 2026). */
#ifndef VENTRAL_COMPRESS_H
#define VENTRAL_COMPRESS_H

#include "ventral/distill.h"
#include "ventral/evaluate.h"
#include "ventral/prune.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default in brackets. */
typedef struct vt_compress_options {
    vt_model *const *teachers; /* together they predict the session's neurons */
    int teacher_count;
    vt_model *core; /* instead of teachers: an ensemble or another core, whose readout is fitted to
                       the first half of the session's images (vt_fit_readout) */
    const int64_t *neurons; /* of the session; NULL: all that the teachers predict */
    int64_t neuron_count;
    const char *folder;             /* of the products; made where it is not there */
    int group;                      /* neurons whose students train in one pass [10] */
    int filters[VT_COMPACT_LAYERS]; /* of the students [100 each] */
    int start_passes;               /* of a shared model that a group's students start from, see
                                       vt_distill_start; 0: each starts from random weights */
    bool start_only;                /* students are what they start from, without distilling */
    vt_distill_options distill;     /* `seed` is also that of the initial weights; `checkpoint`
                                       and `progress` are not used */
    vt_distill_options retrain;     /* of the pruned models; likewise */
    vt_prune_options prune;         /* `progress` is not used */
    int64_t prune_images;           /* of the stream, at random [5000] */
    const int *shared; /* also shared models of all neurons with so many filters in layers 0 to 2,
                          and 100 in layers 3 and 4; NULL: none */
    int shared_count;
    const vt_progress *progress;
} vt_compress_options;

/* The stages a neuron goes through, each with its models' folder in the run's. */
typedef enum vt_compress_stage {
    VT_COMPRESS_TEACHER,
    VT_COMPRESS_STUDENT, /* distilled */
    VT_COMPRESS_PRUNED,
    VT_COMPRESS_COMPACT, /* retrained: what the run is for */
    VT_COMPRESS_STAGES,
} vt_compress_stage;
/* "teacher", "student", "pruned", "compact" */
const char *vt_compress_stage_name(vt_compress_stage stage);

typedef struct vt_compress_neuron {
    int64_t neuron;
    int filters[VT_COMPACT_LAYERS];         /* of the compact model */
    int64_t parameters[VT_COMPRESS_STAGES]; /* the teacher's are those of its whole model */
    double r[VT_COMPRESS_STAGES];           /* with responses to the session's second half */
    double r2_er[VT_COMPRESS_STAGES];       /* noise-corrected; NaN without raw repeats */
    double r_teacher[VT_COMPRESS_STAGES];   /* with the teacher's responses to these images */
} vt_compress_neuron;

/* One model for all neurons; medians over them with bootstrap 90 % intervals. */
typedef struct vt_compress_shared {
    int filters;
    int64_t parameters;
    vt_interval r2, r2_er, r_teacher;
} vt_compress_shared;

typedef struct vt_compress_report {
    int64_t count; /* of neurons */
    vt_compress_neuron *neurons;
    int shared_count;
    vt_compress_shared *shared;
    double processor_seconds; /* of distilling, pruning and retraining, over all calls */
} vt_compress_report;

/* Distils, prunes and retrains a compact model for each neuron, then scores all stages on the
 * second half of the session's images, which must not be in the stream. Products are
 * FOLDER/STAGE/SESSION_neuronN.safetensors and, for compact ones, .h5 as Keras has it; the teacher
 * made from a core is FOLDER/teacher/SESSION.safetensors, shared models are
 * FOLDER/shared/SESSION_filtersN.safetensors.
 *
 * What is there already is not made again: a run killed at any moment and called again with the
 * same options ends in the identical files. A folder of other options, teachers or images is
 * VT_EINVAL, and the message says what differs. VT_EINTERRUPTED after progress asked to stop. */
vt_status vt_compress(vt_compress_report *report, vt_session *session, vt_image_stream *stream,
                      const vt_compress_options *options);
void vt_compress_report_free(vt_compress_report *report);

#ifdef __cplusplus
}
#endif
#endif
