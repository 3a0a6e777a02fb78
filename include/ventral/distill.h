/* Distillation: small students learn what a teacher answers to many images (Cowley, Stan, Pillow &
 * Smith 2026). */
#ifndef VENTRAL_DISTILL_H
#define VENTRAL_DISTILL_H

#include "ventral/teacher.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A compact or shared compact model, trained in place from the weights it has. */
typedef struct vt_distill_student {
    vt_model *model;
    const int64_t *neurons; /* of the teacher: one for each of the model's outputs */
} vt_distill_student;

/* Zero means the default in brackets, that of the paper where it has one. */
typedef struct vt_distill_options {
    int64_t held_out; /* images at random that only measure [a tenth of the stream, 5000 at most] */
    int passes;       /* over the other images [1] */
    int64_t stretch;  /* images between measurements, each followed by the blur [one pass] */
    int batch;        /* [64] */
    double rate;      /* of Adam [1e-4] */
    bool cosine;      /* the rate rises over the first 5 %, then falls to 0 along a cosine */
    double blur;      /* s.d. in pixels of the Gaussian on depthwise kernels and readouts after
                         each stretch but the last; never layer 0 [0.5; < 0: none] */
    double readout_rate; /* of flat and pooling readouts, relative to `rate` [1] */
    double clip_value;   /* of gradients [none] */
    bool bf16;
    uint64_t seed;
    const char *checkpoint; /* file for the state of the run; NULL: none */
    const vt_progress *progress;
} vt_distill_options;

/* The course: after every stretch, what each student has come to. */
typedef struct vt_distill_report {
    int stretches;
    int64_t trained, held_out; /* images of each kind */
    bool resumed;
    double processor_seconds; /* of all processes that took part */
    int64_t neurons;          /* of all students */
    double *loss; /* (stretches, neurons): mean squared error in units of the teacher's variance */
    double *r;    /* (stretches, neurons): correlation with the teacher on held-out images */
} vt_distill_report;

/* Trains all students in one pass over the images, so that decoding and the teacher are paid once.
 * Mean squared error on responses z-scored over the training images; the scale is folded back into
 * the readout, so that a student answers in its teacher's units.
 *
 * With a checkpoint, a killed run called again with the same students, options, stream and teacher
 * goes on where it was saved last and ends in the identical students; VT_EINVAL when the file is of
 * others, which the message names. The file is removed only by the caller. VT_EINTERRUPTED after
 * progress asked to stop; the state is saved. VT_ENUMERIC: a loss that is not finite. */
vt_status vt_distill(const vt_distill_student *students, int count, vt_teacher *teacher,
                     vt_image_stream *stream, const vt_distill_options *options,
                     vt_distill_report *report);
/* Zero means the default in brackets. */
typedef struct vt_distill_start_options {
    int filters[VT_COMPACT_LAYERS]; /* [100 each] */
    int64_t held_out;               /* as in vt_distill, which holds out the same images */
    int passes;                     /* over the other images [10] */
    int batch;                      /* [32] */
    double rate;                    /* highest learning rate [0.006] */
    uint64_t seed;
    const char *checkpoint; /* as in vt_fit */
    const vt_progress *progress;
} vt_distill_start_options;

/* A shared compact model of these neurons of the teacher, trained as vt_fit trains on recordings:
 * much faster to learn than a student a neuron. vt_compact_split makes students of it, which
 * vt_distill goes on with. Not in the paper, whose students start from random weights. */
vt_status vt_distill_start(vt_model **out, const int64_t *neurons, int count, vt_teacher *teacher,
                           vt_image_stream *stream, const vt_distill_start_options *options);

void vt_distill_report_free(vt_distill_report *report);

#ifdef __cplusplus
}
#endif
#endif
