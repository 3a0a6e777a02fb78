/* The table of studies and properties (properties.def). */
#include <math.h>
#include <string.h>

#include "ventral/tuning.h"

static const vt_study studies[VT_STUDIES] = {
#define STUDY(symbol, name, title, journal, set, neurons)                                          \
    [VT_STUDY_##symbol] = {name, title, journal, set, neurons},
#define PROPERTY(study, key, label, unit, benchmark, category, bins, counts)
#include "physiology/properties.def"
#undef STUDY
#undef PROPERTY
};

#define LISTED(...)                                                                                \
    (const double[]){__VA_ARGS__}, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))
#define STUDY(symbol, name, title, journal, set, neurons)

/* How the edges are made: listed, or evenly spaced, or powers of 10 of what is evenly spaced. */
typedef struct edge_rule {
    const double *listed;
    int edges;
    double first, last;
    bool power;
} edge_rule;

static const edge_rule rules[] = {
#define LINEAR(first, last, edges) NULL, edges, first, last, false
#define LOG10(first, last, edges) NULL, edges, first, last, true
#define EDGES(...) LISTED(__VA_ARGS__), 0, 0, false
#define PROPERTY(study, key, label, unit, benchmark, category, bins, counts) {bins},
#include "physiology/properties.def"
#undef LINEAR
#undef LOG10
#undef EDGES
#undef PROPERTY
};
enum { PROPERTIES = sizeof rules / sizeof *rules };

static const vt_property properties[PROPERTIES] = {
#define LINEAR(first, last, edges) (edges) - 1, false
#define LOG10(first, last, edges) (edges) - 1, true
#define EDGES(...) (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)) - 1, true
#define COUNTS(...) ((const int[]){__VA_ARGS__})
#define NOT_PRINTED NULL
#define PROPERTY(study, key, label, unit, benchmark, category, bins, counts)                       \
    {key, label, unit, benchmark, VT_STUDY_##study, VT_CATEGORY_##category, bins, counts},
#include "physiology/properties.def"
};

const vt_study *vt_study_at(int study)
{
    return study >= 0 && study < VT_STUDIES ? &studies[study] : NULL;
}

int vt_property_count(void)
{
    return PROPERTIES;
}

const vt_property *vt_property_at(int property)
{
    return property >= 0 && property < PROPERTIES ? &properties[property] : NULL;
}

int vt_property_find(const char *key)
{
    for (int i = 0; i < PROPERTIES; i++)
        if (strcmp(properties[i].key, key) == 0) return i;
    return -1;
}

int vt_study_properties(int study, int *count)
{
    int first = -1;
    *count = 0;
    for (int i = 0; i < PROPERTIES; i++) {
        if ((int)properties[i].study != study) continue;
        if (first < 0) first = i;
        ++*count;
    }
    return first;
}

void vt_property_edges(const vt_property *property, double *out)
{
    const edge_rule *rule = &rules[property - properties];
    double step = (rule->last - rule->first) / (rule->edges - 1);
    for (int i = 0; i < rule->edges; i++) {
        double even = i == rule->edges - 1 ? rule->last : rule->first + i * step;
        out[i] = rule->listed ? rule->listed[i] : rule->power ? pow(10, even) : even;
    }
}

const char *vt_category_name(vt_category category)
{
    static const char *const names[] = {
        [VT_CATEGORY_ORIENTATION] = "orientation",
        [VT_CATEGORY_SPATIAL_FREQUENCY] = "spatial_frequency",
        [VT_CATEGORY_RESPONSE_SELECTIVITY] = "response_selectivity",
        [VT_CATEGORY_RECEPTIVE_FIELD_SIZE] = "receptive_field_size",
        [VT_CATEGORY_SURROUND_MODULATION] = "surround_modulation",
        [VT_CATEGORY_TEXTURE_MODULATION] = "texture_modulation",
        [VT_CATEGORY_RESPONSE_MAGNITUDE] = "response_magnitude",
        [VT_CATEGORY_UNSCORED] = "unscored",
    };
    return (unsigned)category < sizeof names / sizeof *names ? names[category] : NULL;
}
