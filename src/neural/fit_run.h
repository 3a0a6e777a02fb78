/* A fit in progress, for the files that make it up: data, network, checkpoint, loop. */
#ifndef VT_NEURAL_FIT_RUN_H
#define VT_NEURAL_FIT_RUN_H

#include "base/arena.h"
#include "models/model.h"
#include "ventral/feature_cache.h"
#include "ventral/fit.h"
#include "ventral/stimulus.h"
#include "ventral/train.h"

/* Training on pixels divides their values by this; the exported first kernel does it instead. */
#define VT_FIT_PIXEL_SCALE 60.0

/* One session's part of the data. */
typedef struct vt_fit_group {
    vt_session *session;
    vt_stimulus_set *stimuli;
    const int64_t *indices;  /* of the images among the stimuli; NULL: all, in their order */
    const double *responses; /* (neurons, images) */
    int64_t begin, end, images, neurons;
    int64_t first;     /* its first neuron among all */
    int64_t streamed;  /* its image 0 in the stream that a front end sees */
    double *mean, *sd; /* of each neuron over [begin, end); sd 1 for a silent one */
} vt_fit_group;

/* Data from elsewhere than recordings: neurons' responses to some of the stimuli. */
typedef struct vt_fit_taught {
    vt_stimulus_set *stimuli;
    const int64_t *indices;  /* (images) */
    const double *responses; /* (neurons, images) */
    int64_t images, neurons;
} vt_fit_taught;

/* What is trained, on what. */
typedef struct vt_fit_subject {
    const vt_model *core;        /* one map and no readout; untrained */
    const vt_fit_taught *taught; /* NULL: the sessions of the options */
    vt_model *front;             /* where the core's front end is from, to its node `tap`; NULL:
                                    none */
    const char *tap;
    const char *cache; /* file of the front end's features; NULL: kept nowhere */
    bool by_session;   /* see fit_by_session.c */
} vt_fit_subject;

typedef struct vt_fit_sample {
    int group;
    int64_t image;
} vt_fit_sample;

typedef struct vt_fit_run {
    vt_fit_options options; /* without zeros */
    vt_fit_subject subject;
    vt_arena *arena;
    /* data */
    vt_fit_group *groups, validation; /* validation.session NULL: none */
    int64_t neurons, sample_count, steps_per_epoch;
    int64_t outputs; /* of the network */
    float absent;    /* target of an output that a sample has no response for; NaN: it is none */
    vt_fit_sample *samples;
    int64_t *order;             /* of samples in the present epoch */
    vt_feature_cache *features; /* of the front end, with the images it sees; NULL: none */
    vt_image_stream *stream;
    /* network */
    vt_graph *graph;
    vt_node image, group, map, target, loss; /* map: the core's */
    vt_plan *plan;
    vt_optimizer *optimizer;
    int64_t floats; /* of all parameters, running statistics included */
    float *average; /* running average of them */
    float *best;    /* the average of the best epoch */
    /* state */
    int64_t step, steps; /* so far, and in all */
    double loss_sum;     /* of the present epoch's steps so far */
    int done, rounds;    /* epochs, or visits, that have ended, and in all */
    int best_epoch;
    double best_score;
    vt_fit_epoch *history; /* `rounds` of them */
    bool resumed;
    double saved; /* when, in seconds */
} vt_fit_run;

/* fit_data.c */
vt_status vt_fit_open_data(vt_fit_run *run);
void vt_fit_close_data(vt_fit_run *run);
/* Shuffles the samples for an epoch. */
void vt_fit_shuffle(vt_fit_run *run, int epoch);
/* Fills the plan's inputs with step `step` of the present epoch. */
vt_status vt_fit_load_batch(vt_fit_run *run, int64_t step);
/* What the network takes of a group's images: features of the front end, or pixels in the units of
 * training. */
vt_status vt_fit_load_images(vt_fit_run *run, const vt_fit_group *g, const int64_t *images,
                             int64_t count, float *out);

/* fit_validation.c: the median r of the validation session's neurons, predicted from the map of the
 * core that has the weights in `block` (vt_weights_gather). */
vt_status vt_fit_validate(vt_fit_run *run, float *block, double *out);

/* fit.c: trains the subject as vt_fit does; of the options, filters are of no account, and with
 * `taught` neither are recordings and sessions. */
vt_status vt_fit_core(vt_model **out, vt_fit_report *report, const vt_fit_options *options,
                      const vt_fit_subject *subject);

/* The loop of one optimisation step, of whose loss the run's sum is told; the rate is for the
 * message when it is not finite. */
vt_status vt_fit_step(vt_fit_run *run, int64_t batch, double rate);
/* Ends an epoch or a visit: its record, `loss` and the score of the core with the run's averaged
 * weights, and whether these are the best. */
vt_status vt_fit_end_round(vt_fit_run *run, double loss);
bool vt_fit_out_of_patience(const vt_fit_run *run);
/* After a step: saves the state when it is `due`, when a minute has gone by or when `status` ends
 * the run; returns that, or the failure to save. */
vt_status vt_fit_keep(vt_fit_run *run, vt_status status, bool due);

/* fit_by_session.c: the whole training of a run whose subject and arena are there. */
vt_status vt_fit_by_session(vt_fit_run *run, const vt_fit_options *options);

/* fit_network.c */
vt_status vt_fit_make_network(vt_fit_run *run);
/* The blocks of weights, and the plan that trains. */
vt_status vt_fit_make_plan(vt_fit_run *run);
void vt_fit_free_network(vt_fit_run *run);
/* The model that the parameters in `block` (vt_weights_gather) make: readout as mixing and
 * pooling stages, normalizations of features and responses folded in. Without `readout` it ends at
 * the core's map.
 */
vt_status vt_fit_export(vt_model **out, vt_fit_run *run, const float *block, bool readout);
/* Running mean and variance of the core's channels in `block`; borrow its memory. */
vt_status vt_fit_feature_statistics(const vt_fit_run *run, float *block, vt_tensor *mean,
                                    vt_tensor *variance);

/* fit_checkpoint.c */
vt_status vt_fit_save(const vt_fit_run *run);
/* Takes up run->options.checkpoint where there is one. */
vt_status vt_fit_resume(vt_fit_run *run);

#endif
