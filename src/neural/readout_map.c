/* Readouts as named tensors.
 *
 * PREFIX.kind        "ridge" or "factorized"
 * PREFIX.maps        (3) height, width, channels
 * ridge:             PREFIX.weights (features, targets), .feature_means (features),
 *                    .response_means (targets), .alphas (targets)
 * factorized:        PREFIX.pool (targets, height, width), .mixing (targets, channels),
 *                    .intercept (targets), .penalties (2): l2, smoothness
 * All tensors are float64. */
#include "neural/readout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static vt_status name_of(char out[VT_NAME_SIZE], const char *prefix, const char *part)
{
    if (snprintf(out, VT_NAME_SIZE, "%s.%s", prefix, part) < VT_NAME_SIZE) return VT_OK;
    return vt_error(VT_EINVAL, "the name of a readout, %.40s..., is too long", prefix);
}

/* ---- to a map ---- */

static vt_status add(vt_tensor_map *map, const char *prefix, const char *part, int ndim,
                     const int64_t *size, const double *values)
{
    vt_tensor t = {.data = NULL};
    char name[VT_NAME_SIZE];
    VT_TRY(name_of(name, prefix, part));
    VT_TRY(vt_tensor_map_add(map, name, VT_F64, ndim, size, &t));
    memcpy(t.data, values, vt_tensor_bytes(&t));
    return VT_OK;
}

static vt_status add_ridge(vt_tensor_map *map, const char *prefix, const vt_ridge *r)
{
    int64_t size[] = {r->features, r->targets};
    VT_TRY(add(map, prefix, "weights", 2, size, r->weights));
    VT_TRY(add(map, prefix, "feature_means", 1, size, r->mean_x));
    VT_TRY(add(map, prefix, "response_means", 1, size + 1, r->mean_y));
    return add(map, prefix, "alphas", 1, size + 1, r->alphas);
}

static vt_status add_factorized(vt_tensor_map *map, const char *prefix, const vt_factorized *r)
{
    VT_TRY(add(map, prefix, "pool", 3, (int64_t[]){r->targets, r->height, r->width}, r->pool));
    VT_TRY(add(map, prefix, "mixing", 2, (int64_t[]){r->targets, r->channels}, r->mixing));
    VT_TRY(add(map, prefix, "intercept", 1, &r->targets, r->intercept));
    return add(map, prefix, "penalties", 1, (int64_t[]){2}, (double[]){r->l2, r->smoothness});
}

/* The kind comes last: without it, a map that could not take all has no readout. */
vt_status vt_readout_to_map(const vt_readout *r, vt_tensor_map *map, const char *prefix)
{
    char name[VT_NAME_SIZE];
    VT_TRY(name_of(name, prefix, "kind"));
    VT_TRY(add(map, prefix, "maps", 1, (int64_t[]){3},
               (double[]){(double)r->height, (double)r->width, (double)r->channels}));
    VT_TRY(r->kind == VT_READOUT_RIDGE ? add_ridge(map, prefix, r->ridge)
                                       : add_factorized(map, prefix, r->factorized));
    return vt_tensor_map_set_text(map, name, vt_readout_kind_name(r->kind));
}

/* ---- from a map ---- */

typedef struct source {
    const vt_tensor_map *map;
    const char *prefix, *label;
} source;

static vt_status find(const vt_tensor **out, const source *s, const char *part, int ndim)
{
    char name[VT_NAME_SIZE];
    VT_TRY(name_of(name, s->prefix, part));
    const vt_tensor *t = vt_tensor_map_find(s->map, name);
    if (!t) return vt_error(VT_EFORMAT, "%s: readout without a tensor %s", s->label, name);
    if (t->dtype != VT_F64 || t->ndim != ndim || !vt_tensor_is_contiguous(t) ||
        vt_tensor_count(t) < 1)
        return vt_error(VT_EFORMAT, "%s: %s must be a float64 array of %d dimensions", s->label,
                        name, ndim);
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        if (!isfinite(((const double *)t->data)[i]))
            return vt_error(VT_EFORMAT, "%s: %s holds NaN or infinity", s->label, name);
    *out = t;
    return VT_OK;
}

/* Copies a tensor that must have the sizes. */
static vt_status take(double *out, const source *s, const char *part, int ndim, const int64_t *size)
{
    const vt_tensor *t = NULL;
    VT_TRY(find(&t, s, part, ndim));
    if (memcmp(t->size, size, (size_t)ndim * sizeof *size) != 0)
        return vt_error(VT_EFORMAT, "%s: %s.%s has other sizes than the rest of the readout",
                        s->label, s->prefix, part);
    memcpy(out, t->data, vt_tensor_bytes(t));
    return VT_OK;
}

static vt_status take_ridge(vt_readout *r, const source *s)
{
    const vt_tensor *weights = NULL;
    VT_TRY(find(&weights, s, "weights", 2));
    const int64_t *size = weights->size;
    if (size[0] != r->height * r->width * r->channels)
        return vt_error(VT_EFORMAT, "%s: %s.weights has other sizes than %s.maps says", s->label,
                        s->prefix, s->prefix);
    r->targets = size[1];
    VT_TRY(vt_ridge_new(&r->ridge, size[0], size[1]));
    VT_TRY(take(r->ridge->weights, s, "weights", 2, size));
    VT_TRY(take(r->ridge->mean_x, s, "feature_means", 1, size));
    VT_TRY(take(r->ridge->mean_y, s, "response_means", 1, size + 1));
    VT_TRY(take(r->ridge->alphas, s, "alphas", 1, size + 1));
    vt_ridge_set_intercept(r->ridge);
    return VT_OK;
}

static vt_status take_factorized(vt_readout *r, const source *s)
{
    const vt_tensor *mixing = NULL;
    double penalties[2];
    VT_TRY(find(&mixing, s, "mixing", 2));
    r->targets = mixing->size[0];
    int64_t pool[] = {r->targets, r->height, r->width};
    int64_t channels[] = {r->targets, r->channels};
    const vt_tensor *stored = NULL;
    VT_TRY(find(&stored, s, "pool", 3)); /* its sizes are checked before memory is taken */
    if (memcmp(stored->size, pool, sizeof pool) != 0 ||
        memcmp(mixing->size, channels, sizeof channels) != 0)
        return vt_error(VT_EFORMAT, "%s: %s.pool and .mixing have other sizes than %s.maps says",
                        s->label, s->prefix, s->prefix);
    VT_TRY(vt_factorized_new(&r->factorized, r->height, r->width, r->channels, r->targets));
    VT_TRY(take(r->factorized->pool, s, "pool", 3, pool));
    VT_TRY(take(r->factorized->mixing, s, "mixing", 2, channels));
    VT_TRY(take(r->factorized->intercept, s, "intercept", 1, pool));
    VT_TRY(take(penalties, s, "penalties", 1, (int64_t[]){2}));
    r->factorized->l2 = penalties[0];
    r->factorized->smoothness = penalties[1];
    return VT_OK;
}

static vt_status take_sizes(vt_readout *r, const source *s)
{
    double sizes[3];
    VT_TRY(take(sizes, s, "maps", 1, (int64_t[]){3}));
    int64_t *to[] = {&r->height, &r->width, &r->channels};
    for (int i = 0; i < 3; i++) {
        if (!(sizes[i] >= 1 && sizes[i] <= 1 << 20) || sizes[i] != floor(sizes[i]))
            return vt_error(VT_EFORMAT, "%s: %s.maps holds %g, which is no size of a map", s->label,
                            s->prefix, sizes[i]);
        *to[i] = (int64_t)sizes[i];
    }
    return VT_OK;
}

vt_status vt_readout_from_map(vt_readout **out, const vt_tensor_map *map, const char *prefix,
                              const char *label)
{
    source s = {map, prefix, label};
    char name[VT_NAME_SIZE];
    VT_TRY(name_of(name, prefix, "kind"));
    const char *kind = vt_tensor_map_get_text(map, name);
    if (!kind) return vt_error(VT_ENOTFOUND, "%s: there is no readout %s in it", label, prefix);
    vt_readout_kind known;
    if (vt_readout_kind_parse(&known, kind) != VT_OK)
        return vt_error(VT_EFORMAT, "%s: the readout %s is of the unknown kind '%.40s'", label,
                        prefix, kind);
    vt_readout *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->kind = known;
    vt_status status = take_sizes(r, &s);
    if (status == VT_OK)
        status = known == VT_READOUT_RIDGE ? take_ridge(r, &s) : take_factorized(r, &s);
    if (status == VT_OK)
        *out = r;
    else
        vt_readout_free(r);
    return status;
}
