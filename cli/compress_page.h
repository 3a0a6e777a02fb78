/* What a compressed population is shown as: a table in CSV and JSON, figures and a page. */
#ifndef VT_CLI_COMPRESS_PAGE_H
#define VT_CLI_COMPRESS_PAGE_H

#include "cli.h"
#include "ventral/compress.h"

typedef struct compress_result {
    const char *folder, *session;
    uint64_t seed; /* of the bootstrap */
    vt_compress_report report;
} compress_result;

/* What is measured of each neuron at each stage. */
typedef double (*compress_value)(const vt_compress_neuron *neuron, vt_compress_stage stage);
typedef struct compress_measure {
    const char *name;
    compress_value value;
} compress_measure;
enum { COMPRESS_MEASURES = 5 };
extern const compress_measure compress_measures[COMPRESS_MEASURES];
double compress_r(const vt_compress_neuron *neuron, vt_compress_stage stage);
double compress_r_teacher(const vt_compress_neuron *neuron, vt_compress_stage stage);

/* Median over neurons with its bootstrap 90 % interval. */
vt_status compress_median(vt_interval *out, const compress_result *result, compress_value value,
                          vt_compress_stage stage);

/* FOLDER/neurons.csv */
vt_status compress_write_csv(const compress_result *result);
/* FOLDER/index.html and the figures beside it. */
vt_status compress_write_page(const compress_result *result);

#endif
