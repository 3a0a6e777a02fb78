/* A run of vt_compress, for the files that make it up: stages, folder, scores. */
#ifndef VT_NEURAL_COMPRESS_RUN_H
#define VT_NEURAL_COMPRESS_RUN_H

#include "ventral/compress.h"

#define VT_COMPRESS_PATH 4096

typedef struct vt_compress_run {
    vt_compress_options options; /* without zeros */
    vt_session *session;
    vt_session_info info;
    vt_image_stream *stream;
    vt_model *mapped; /* the core with a readout; NULL: teachers were given */
    vt_model *const *teachers;
    int teacher_count;
    vt_teacher *teacher;
    int64_t *neurons; /* of the session */
    int64_t count;
} vt_compress_run;

/* compress_folder.c */
/* FOLDER/NAME */
vt_status vt_compress_join(char out[VT_COMPRESS_PATH], const vt_compress_run *run,
                           const char *name);
/* FOLDER/STAGE/SESSION_neuronN.EXTENSION */
vt_status vt_compress_path(char out[VT_COMPRESS_PATH], const vt_compress_run *run,
                           vt_compress_stage stage, int64_t neuron, const char *extension);
/* Makes the folders; refuses those of a run with other options, teachers or images. */
vt_status vt_compress_open_folder(const vt_compress_run *run);
/* Adds to the processor time that the folder remembers for a piece of work. */
vt_status vt_compress_add_seconds(const vt_compress_run *run, double seconds);
vt_status vt_compress_get_seconds(double *out, const vt_compress_run *run);

/* Progress of a stage: the caller's, with what is being done in front of each line. */
typedef struct vt_compress_progress {
    const vt_progress *outer;
    char label[96];
    vt_progress progress;
} vt_compress_progress;
/* compress.c */
const vt_progress *vt_compress_begin(vt_compress_progress *p, const vt_compress_run *run,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));

/* compress_shared.c: trains what is not there yet, and scores it. */
vt_status vt_compress_make_shared(vt_compress_report *report, const vt_compress_run *run);

/* compress_score.c */
vt_status vt_compress_score(vt_compress_report *report, const vt_compress_run *run);
/* Scores a model of all the run's neurons, in their order. */
vt_status vt_compress_score_shared(vt_compress_shared *out, const vt_compress_run *run,
                                   vt_model *model);

#endif
