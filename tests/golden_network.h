/* The networks and images that golden/v1_networks was computed with: every entry of a state
 * dictionary by the formula in golden/README.md. */
#ifndef GOLDEN_NETWORK_H
#define GOLDEN_NETWORK_H

#include <jansson.h>

#include "test.h"
#include "ventral/tensor.h"

static const char *const golden_variants[] = {"resnet50",
                                              "center_surround",
                                              "local_rf",
                                              "div_norm",
                                              "tuned_norm",
                                              "composite_a",
                                              "composite_b",
                                              "composite_c",
                                              "composite_d",
                                              "composite_e",
                                              "composite_f",
                                              "composite_g",
                                              "cortical_magnification"};
enum { GOLDEN_VARIANTS = sizeof golden_variants / sizeof *golden_variants };

static inline bool golden_ends(const char *name, const char *tail)
{
    size_t a = strlen(name), b = strlen(tail);
    return a >= b && strcmp(name + a - b, tail) == 0;
}

/* What s = sin(12.9898 i + 78.233 (p + 1)) becomes in an entry: base + factor s + square s^2. */
typedef struct golden_rule {
    double base, factor, square;
} golden_rule;

static inline golden_rule golden_rule_of(const char *name, const vt_tensor *t)
{
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    double n = (double)vt_tensor_count(t), pi = 3.14159265358979323846;
    const struct {
        const char *last;
        golden_rule rule;
    } rules[] = {{"running_mean", {0, 0.1, 0}},
                 {"running_var", {1, 0, 0.5}},
                 {"sigma1", {1.5, 0.4, 0}},
                 {"sigma2_scale", {1.5, 0.4, 0}},
                 {"total_scale", {0, 2, 0}},
                 {"sigmas", {n / 8 + 0.5, 0.5, 0}},
                 {"A", {0.5, 0.5, 0}},
                 {"rho", {1.5, 0.5, 0}},
                 {"sigma", {1.5, 0.5, 0}},
                 {"theta", {pi, pi, 0}},
                 {"v", {1, 1, 0}},
                 {"w", {1, 1, 0}}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(last, rules[i].last) == 0) return rules[i].rule;
    if (t->ndim == 1 && strcmp(last, "bias") == 0 && strstr(name, ".dn"))
        return (golden_rule){1.5, 0.5, 0};
    if (t->ndim == 1) return (golden_rule){strcmp(last, "weight") == 0, 0.1, 0};
    double fan_in = 1;
    for (int d = 1; d < t->ndim; d++)
        fan_in *= (double)t->size[d];
    if (t->ndim == 6) fan_in = (double)(t->size[2] * t->size[5]);
    return (golden_rule){0, sqrt(2 / fan_in), 0};
}

/* Tables that a network computes for itself are left at 0: they are not read. */
static inline bool golden_is_table(const char *name)
{
    return golden_ends(name, "kernel_dists") || golden_ends(name, "channel_distances") ||
           golden_ends(name, "_coords") || golden_ends(name, "pooling_masks") ||
           golden_ends(name, "pooling_mask_counts") || golden_ends(name, "num_batches_tracked");
}

/* The state dictionary VARIANT.state.json describes. */
static inline vt_tensor_map *golden_state(const char *variant)
{
    char relative[128];
    snprintf(relative, sizeof relative, "golden/v1_networks/%s.state.json", variant);
    json_t *entries = json_load_file(shared_path(relative), 0, NULL), *entry;
    vt_tensor_map *map;
    size_t p;
    assert_non_null(entries);
    assert_ok(vt_tensor_map_new(&map));
    json_array_foreach(entries, p, entry)
    {
        const char *name = json_string_value(json_array_get(entry, 0));
        json_t *sizes = json_array_get(entry, 1);
        int64_t size[VT_MAX_DIMS];
        for (size_t d = 0; d < json_array_size(sizes); d++)
            size[d] = json_integer_value(json_array_get(sizes, d));
        vt_tensor t;
        assert_ok(vt_tensor_map_add(map, name, VT_F32, (int)json_array_size(sizes), size, &t));
        golden_rule r = golden_rule_of(name, &t);
        int64_t count = golden_is_table(name) ? 0 : vt_tensor_count(&t);
        for (int64_t i = 0; i < count; i++) {
            double s = sin(12.9898 * (double)i + 78.233 * ((double)p + 1));
            ((float *)t.data)[i] = (float)(r.base + r.factor * s + r.square * s * s);
        }
    }
    json_decref(entries);
    return map;
}

/* float32 (count, 64, 64, 3) of the input given in (count, 3, 64, 64). */
static inline void golden_images(float *out, int count)
{
    enum { SIDE = 64, PIXELS = SIDE * SIDE };
    for (int64_t i = 0; i < (int64_t)count * 3 * PIXELS; i++) {
        int64_t n = i / (3 * PIXELS), c = i / PIXELS % 3, pixel = i % PIXELS;
        out[(n * PIXELS + pixel) * 3 + c] =
            (float)sin(0.37 * (double)i + 0.001 * pow((double)i, 1.5));
    }
}

#endif
