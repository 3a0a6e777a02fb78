/* A distillation in progress, for the files that make it up: reader, data, students, checkpoint,
 * loop. */
#ifndef VT_NEURAL_DISTILL_RUN_H
#define VT_NEURAL_DISTILL_RUN_H

#include "base/arena.h"
#include "ventral/distill.h"
#include "ventral/train.h"

typedef struct vt_distill_reader vt_distill_reader;

/* A student and what trains it. While it learns it answers z-scored responses. */
typedef struct vt_distill_pupil {
    vt_model *model;
    vt_graph *graph;
    int64_t first, outputs; /* its columns of the targets */
    float *given;           /* its weights as they came */
    int64_t floats;         /* of its weights, running statistics included */
    vt_optimizer *optimizer;
    vt_plan *training, *inference;
    double *statistics; /* of batch normalization, summed over batches */
} vt_distill_pupil;

typedef struct vt_distill_run {
    vt_distill_options options; /* without zeros */
    vt_arena *arena;
    /* data */
    vt_image_stream *stream;
    vt_teacher *teacher;
    vt_distill_reader *reader;
    int64_t neurons;                   /* of all students */
    int64_t *teacher_neuron;           /* of each */
    int64_t trained, held_out;         /* images of each kind */
    int64_t *training, *measuring;     /* their indices in the stream */
    uint64_t names;                    /* checksum of the names of all images */
    float *targets, *measured_targets; /* (images, neurons); z-scored and not */
    double *mean, *sd;                 /* of each neuron over the training images */
    int64_t *order;                    /* places in `training` of the present pass */
    int64_t *ordered;                  /* indices in the stream, in that order */
    /* students */
    vt_distill_pupil *pupils;
    int count;
    vt_workspace *workspace;
    float *predictions; /* (held_out, neurons) */
    /* times, in steps */
    int64_t steps_per_pass, steps, stretch;
    int stretches;
    /* state */
    int64_t step;
    int measured;  /* stretches measured and blurred */
    double *sums;  /* (neurons), squared errors of this stretch */
    double *loss;  /* (stretches, neurons) */
    double *r;     /* (stretches, neurons) */
    double before; /* seconds of processor time of processes before this one */
    double clock;  /* of this process when it began */
    bool resumed;
} vt_distill_run;

/* distill.c: stretches that are over after so many steps. */
int vt_distill_due(const vt_distill_run *run, int64_t step);

/* distill_reader.c: batches of images, preprocessed, in the order of a list. */
vt_status vt_distill_reader_new(vt_distill_reader **out, vt_image_stream *stream, int64_t batch,
                                const vt_preprocessing *preprocessing);
void vt_distill_reader_free(vt_distill_reader *reader);
/* Begins a list, borrowed until the next one; what was read ahead of another is dropped. */
void vt_distill_reader_start(vt_distill_reader *reader, const int64_t *indices, int64_t count);
/* The next batch, lent until the next call; *count 0 after the last one. */
vt_status vt_distill_reader_next(vt_distill_reader *reader, const float **images, int64_t *count);

/* distill_data.c: splits the images, asks the teacher, and measures its neurons. */
vt_status vt_distill_split(vt_distill_run *run);
vt_status vt_distill_ask(vt_distill_run *run);
/* Targets in units of run->mean and run->sd. */
void vt_distill_standardize(vt_distill_run *run);
/* Places and indices of the training images in the order of a pass. */
void vt_distill_shuffle(vt_distill_run *run, int64_t pass);

/* distill_student.c */
/* Checks the students and keeps their weights; then, when the batch is known, plans for them. */
vt_status vt_distill_enrol(vt_distill_run *run, const vt_distill_student *students);
vt_status vt_distill_plan(vt_distill_run *run);
void vt_distill_dismiss(vt_distill_run *run);
/* From the teacher's units to z-scored ones, for students that were trained before, and back. */
void vt_distill_unfold(vt_distill_run *run);
void vt_distill_fold(vt_distill_run *run);
/* Weights as they were given. */
void vt_distill_restore(vt_distill_run *run);
/* One step of all students on a batch, whose first image is the pass's number `first`. */
vt_status vt_distill_step(vt_distill_run *run, const float *images, int64_t first, double rate);
/* Shows batch number `number` of those from which running statistics are estimated anew. */
vt_status vt_distill_settle(vt_distill_run *run, const float *images, int number);
/* Predicts held-out images first .. first + count - 1. */
vt_status vt_distill_predict(vt_distill_run *run, const float *images, int64_t first,
                             int64_t count);
vt_status vt_distill_blur(vt_distill_run *run);

/* distill_checkpoint.c; both do nothing without options.checkpoint, resume without the file. */
vt_status vt_distill_save(const vt_distill_run *run);
vt_status vt_distill_resume(vt_distill_run *run);
double vt_distill_seconds(const vt_distill_run *run); /* of processor time, of all processes */

#endif
