/* Parts of `ventral prune`: what is asked for, what came of it, how that is shown. */
#ifndef VT_CLI_PRUNE_H
#define VT_CLI_PRUNE_H

#include "models.h"
#include "ventral/prune.h"

enum { PRUNE_MOST_STEPS = 1000 };

typedef struct prune_request {
    char *output, *form, *curve;
    const char **teachers;
    long long images_used;
    double threshold, epsilon;
    int minimum, refit, h5;
    /* from the above */
    vt_prune_options options;
    double thresholds[PRUNE_MOST_STEPS + 1]; /* --threshold, then those of the curve */
    int steps;                               /* of the curve; 0: none */
} prune_request;

typedef struct prune_result {
    const char *input;
    char output[4400];
    vt_prune_report *reports; /* one for each of the request's thresholds */
} prune_result;

typedef struct prune_results {
    prune_result *models;
    int count;
    int64_t used, held_out; /* images; 0 held out: the same measure r */
} prune_results;

/* FOLDER/curve.csv, and curve.svg where gnuplot is installed. */
vt_status prune_write_curve(const prune_request *request, const prune_results *results);
int prune_print(const prune_request *request, const prune_results *results);

#endif
