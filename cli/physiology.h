/* What `ventral physiology` measured, and how it is shown. */
#ifndef VT_CLI_PHYSIOLOGY_H
#define VT_CLI_PHYSIOLOGY_H

#include "cli.h"

enum { PHYSIOLOGY_FIGURE_WIDTH = 304, PHYSIOLOGY_FIGURE_HEIGHT = 220 };

/* Neurons of one layer of one model, or of one file of responses. */
typedef struct physiology_result {
    char *model, *layer; /* layer "": responses that were recorded elsewhere */
    char *name;          /* MODEL.LAYER, of its files in the output folder; NULL without layer */
    char *textures;      /* what they come from, where that is said; else NULL */
    vt_layer_tuning of_layer; /* without layer its tuning alone */
    vt_physiology_scores scores;
} physiology_result;

typedef struct physiology_results {
    physiology_result *list;
    int count;
    vt_references *references;
} physiology_results;

int physiology_print(const physiology_results *results);
int physiology_print_json(const physiology_results *results);

/* FOLDER/scores.csv, a row a property, and FOLDER/units.csv, a row a unit. */
vt_status physiology_write_tables(const physiology_results *results, const char *folder);
/* FOLDER/index.html, with figures; of several results a page each and one that compares them. */
vt_status physiology_write_pages(const physiology_results *results, const char *folder);

/* Figures of some units, in `folder`. */
vt_status physiology_put_units(vt_page *page, const char *folder, const physiology_result *result);

/* Which properties have a reference: "3 of 7", "no reference". */
void physiology_coverage(char out[64], const vt_average *average);
/* The mean of a category, or with VT_CATEGORIES of all. */
const vt_average *physiology_average(const physiology_result *result, int category);
/* The same of the result for which most benchmarks are scored. */
const vt_average *physiology_most_covered(const physiology_results *results, int category);
/* A sentence about results whose textures are not the published ones. */
void physiology_mark(char out[400], const physiology_result *result);
/* "receptive field size" of "receptive_field_size". */
void physiology_words(char out[64], const char *name);

#endif
