/* Neural predictivity: how well the features of a network's layers, mapped linearly to neurons,
 * predict them on images that the mapping did not see, in units of what the noise allows (Schrimpf
 * et al. 2018, Brain-Score; Pogoncheff, Granley & Beyeler, NeurIPS 2023). */
#ifndef VENTRAL_PREDICTIVITY_H
#define VENTRAL_PREDICTIVITY_H

#include "ventral/model.h"
#include "ventral/progress.h"
#include "ventral/session.h"
#include "ventral/stimulus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a correlation r and a ceiling c make a score; Brain-Score went from one to the other in
 * January 2026. */
typedef enum vt_predictivity_formula {
    VT_PREDICTIVITY_2026, /* r^2 / c */
    VT_PREDICTIVITY_2023, /* (r / c)^2 */
} vt_predictivity_formula;

double vt_predictivity_score(double r, double ceiling, vt_predictivity_formula formula);
const char *vt_predictivity_formula_name(vt_predictivity_formula formula); /* "2026", "2023" */
/* VT_EINVAL lists the names. */
vt_status vt_predictivity_formula_parse(vt_predictivity_formula *out, const char *name);

/* How features are mapped to neurons. */
typedef enum vt_predictivity_regression {
    VT_PREDICTIVITY_PLS,   /* partial least squares, vt_pls */
    VT_PREDICTIVITY_RIDGE, /* ridge, each neuron with the penalty that leaves out one image at a
                              time best (Allen 1974): the mean squared length of centered features
                              times one of 10^-6, 10^-5, ..., 10^5 */
} vt_predictivity_regression;

const char *vt_predictivity_regression_name(vt_predictivity_regression regression); /* "pls", ... */
/* VT_EINVAL lists the names. */
vt_status vt_predictivity_regression_parse(vt_predictivity_regression *out, const char *name);

/* The neurons to predict; everything is borrowed. */
typedef struct vt_predictivity_neurons {
    vt_stimulus_set *stimuli;
    const int64_t *stimulus; /* (images): which stimulus each image is; NULL: the one of its number
                              */
    int64_t images, neurons, repeats;
    const double *averaged; /* (neurons, images) */
    const double *raw;      /* (neurons, images, repeats), NaN where missing; NULL: no ceiling */
    const int64_t *labels;  /* (images): kinds of images, for stratified splits; NULL: one kind */
} vt_predictivity_neurons;

/* Zero means the default in brackets. */
typedef struct vt_predictivity_options {
    const char *const *layers; /* nodes or modules, as vt_graph_find takes them */
    int layer_count;           /* [every node up to the output that changes its input's values] */
    int splits;                /* [10] into training and test images, and of repeats */
    double test;               /* fraction of the images to test on [0.1] */
    vt_predictivity_regression regression; /* [partial least squares] */
    int components;                        /* of PLS [25]; fewer where a layer has fewer features */
    vt_predictivity_formula formula;       /* [2026] */
    int64_t batch;                         /* images at a time [50] */
    size_t memory;                         /* bytes of features held at a time [1 GiB] */
    uint64_t seed;                         /* of the splits */
    vt_backend_kind backend;
    bool bf16;
    const vt_progress *progress; /* may be NULL */
} vt_predictivity_options;

typedef struct vt_predictivity_layer {
    char name[VT_NAME_SIZE];
    int64_t features;
    int components;  /* asked for; of ridge 0 */
    double r;        /* median over neurons, then mean over splits; NaN: no split has any */
    double r_sd;     /* standard deviation over splits */
    double score;    /* NaN without a ceiling */
    double *neurons; /* (neurons): r of each, mean over splits in which it is defined */
} vt_predictivity_layer;

typedef struct vt_predictivity {
    int64_t images, neurons;
    int64_t training, testing; /* images of a split */
    double ceiling;            /* median over neurons; NaN without raw responses */
    double
        *ceilings; /* (neurons): split-half reliability, Spearman-Brown corrected; NaN likewise */
    vt_predictivity_layer *layers;
    int count, best; /* the layer of the largest r; -1: none has any */
} vt_predictivity;

/* Scores layers of a model. Features are computed batch by batch and reduced at once to inner
 * products of images, so that memory is that of options->memory, of a batch, and of images^2
 * numbers. Neurons that never vary in a split's test images do not count there. VT_ENOTFOUND: no
 * such layer; VT_EINVAL: too few images for the components; VT_ENUMERIC: features or responses that
 * are not finite. */
vt_status vt_predictivity_run(vt_predictivity *out, vt_model *model,
                              const vt_predictivity_neurons *neurons,
                              const vt_predictivity_options *options);
void vt_predictivity_free(vt_predictivity *result);

/* All that vt_predictivity_run needs of a session, borrowed from it; `labels` may be NULL. */
vt_status vt_predictivity_neurons_of(vt_predictivity_neurons *out, vt_session *session,
                                     vt_stimulus_set *stimuli, const int64_t *labels);

#ifdef __cplusplus
}
#endif
#endif
