/* The demonstration: what its steps made, for the page that shows it. */
#ifndef VT_CLI_DEMO_H
#define VT_CLI_DEMO_H

#include "cli.h"

/* Of every simulated session; the second half of the first one is held out. */
#define DEMO_SESSION "sim001"
#define DEMO_INDEX "index.html"
#define DEMO_MODEL "model.safetensors"
#define DEMO_RECORDINGS "recordings"
#define DEMO_FIGURES "figures"

typedef struct demo {
    const char *folder;
    vt_simulate_options simulation;
    int epochs;
    vt_model *model;
    vt_fit_report fit;
    vt_session *session;    /* the one with images held out */
    vt_session_score score; /* on them */
    vt_tensor_map *truth;   /* of that session */
    double *r_truth;        /* (score.count), correlation with expected responses */
    vt_interval r_truth_median;
} demo;

/* d->folder/NAME, or d->folder/FOLDER/NAME. */
typedef char demo_path[4096];
vt_status demo_path_of(demo_path out, const demo *d, const char *folder, const char *name);

/* A field of the neurons' truth, see vt_simulate; NULL when there is none of that name. */
const double *demo_truth(const demo *d, const char *name);
vt_simulate_kind demo_kind(const demo *d, int64_t neuron);
/* Expected responses of a neuron to the images scored. */
const double *demo_expected(const demo *d, int64_t neuron);

/* Where the model looks, (neurons of the session, places, places): the squared
 * gradient of the response with respect to the pixels, summed over some images, by block. */
vt_status demo_fields(double *out, const demo *d, int places);

/* Draws the figures, then writes the page, which is there only when all of it is. */
vt_status demo_write_page(const demo *d, const vt_progress *progress);

#endif
