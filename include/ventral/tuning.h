/* Physiology of V1 in silico: the tuning properties of neurons that were shown gratings and
 * textures, measured as the Brain-Score benchmarks of Marques, Schrimpf & DiCarlo 2021 measure them
 * after six studies of single neurons. Similarity of their distributions to the studies': see
 * similarity.h. */
#ifndef VENTRAL_TUNING_H
#define VENTRAL_TUNING_H

#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what is known of each property ---- */

typedef enum vt_study_id {
    VT_STUDY_RINGACH2002,
    VT_STUDY_DEVALOIS1982A,
    VT_STUDY_DEVALOIS1982B,
    VT_STUDY_SCHILLER1976,
    VT_STUDY_CAVANAUGH2002A,
    VT_STUDY_FREEMANZIEMBA2013,
    VT_STUDIES,
} vt_study_id;

typedef struct vt_study {
    const char *name;            /* "ringach2002" */
    const char *title, *journal; /* authors and year; where it appeared */
    const char *set;             /* of stimuli: "orientation", "spatial_frequency", "size", ... */
    int neurons;                 /* in the published distributions */
} vt_study;

/* What a property counts for; VT_CATEGORY_UNSCORED: published, but in no benchmark. */
typedef enum vt_category {
    VT_CATEGORY_ORIENTATION,
    VT_CATEGORY_SPATIAL_FREQUENCY,
    VT_CATEGORY_RESPONSE_SELECTIVITY,
    VT_CATEGORY_RECEPTIVE_FIELD_SIZE,
    VT_CATEGORY_SURROUND_MODULATION,
    VT_CATEGORY_TEXTURE_MODULATION,
    VT_CATEGORY_RESPONSE_MAGNITUDE,
    VT_CATEGORY_UNSCORED,
} vt_category;
#define VT_CATEGORIES ((int)VT_CATEGORY_UNSCORED)

#define VT_MAX_BINS 24 /* of any property */

typedef struct vt_property {
    const char *key;          /* published name, unique: "circular_variance" */
    const char *label, *unit; /* in words; "" without unit */
    const char *benchmark;    /* Brain-Score's "Ringach2002-circular_variance"; NULL: unscored */
    vt_study_id study;
    vt_category category;
    int bins;          /* of the histogram */
    bool logarithmic;  /* edges are evenly spaced on a logarithmic scale */
    const int *counts; /* (bins), neurons published; NULL: not printed, needs the study's data */
} vt_property;

const vt_study *vt_study_at(int study); /* NULL out of range */
/* Properties are numbered through all studies. */
int vt_property_count(void);
const vt_property *vt_property_at(int property); /* NULL out of range */
int vt_property_find(const char *key);           /* -1 when absent */
/* Number of the study's first property, and how many follow from there. */
int vt_study_properties(int study, int *count);
/* Edges (bins + 1) of the property's histogram. A bin holds its lower edge, the last one both. */
void vt_property_edges(const vt_property *property, double *out);
/* "orientation", "spatial_frequency", ...; "unscored"; NULL out of range. */
const char *vt_category_name(vt_category category);

/* ---- measuring ---- */

/* One study repeated on the neurons that respond enough: by more than 5 spikes/s above baseline. */
typedef struct vt_study_tuning {
    bool measured;     /* its stimuli were shown */
    int64_t neurons;   /* that responded enough */
    int64_t *neuron;   /* (neurons) which of the recorded ones */
    double *values;    /* (neurons, properties of the study), NaN where a property is undefined */
    int points;        /* of tuning curves */
    double *x;         /* (points) degrees, cycles/degree or radii in degrees; families' numbers */
    double *curves;    /* (neurons, points) spikes/s, other parameters at the largest response */
    double *preferred; /* (neurons, 3) radius, spatial frequency, orientation of that response;
                          NaN for textures */
} vt_study_tuning;

typedef struct vt_tuning {
    int64_t neurons; /* recorded */
    vt_study_tuning study[VT_STUDIES];
} vt_tuning;

/* Measures all studies whose stimuli are in `recording`, which holds, rates in spikes/s:
 *   responses.SET (neurons, stimuli) and stimuli.SET (stimuli, 7: position y, position x, contrast,
 *     radius, spatial frequency, orientation, phase), SET orientation, spatial_frequency, size:
 *     whole grids at one position and contrast, phase running fastest, then orientation, frequency,
 *   responses.texture with texture.type (2 values, noise the smaller), texture.family and
 *     texture.sample (stimuli), every combination once, in any order,
 *   baseline (neurons) or (neurons, 1): the response to grey.
 * VT_ENOTFOUND: no baseline, or no set; VT_ESHAPE: sizes do not fit, or no such grid; VT_ENUMERIC:
 * NaN or infinity among the responses. */
vt_status vt_tuning_measure(vt_tuning *out, const vt_tensor_map *recording);
void vt_tuning_free(vt_tuning *tuning);

/* Values (study.neurons) of one property, allocated, to be freed; *count of them. */
vt_status vt_tuning_values(double **out, int64_t *count, const vt_tuning *tuning, int property);

/* Puts a result into a map, for vt_npz_write, and takes it out again: recorded, the number of
 * neurons, and of each study measured neuron.STUDY, properties.STUDY, curve.STUDY, curve.STUDY.x
 * and preferred.STUDY, as vt_study_tuning has them. VT_EFORMAT when the map holds no such result.
 */
vt_status vt_tuning_store(vt_tensor_map *map, const vt_tuning *tuning);
vt_status vt_tuning_load(vt_tuning *out, const vt_tensor_map *map);

#ifdef __cplusplus
}
#endif
#endif
