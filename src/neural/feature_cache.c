/* Features kept on disk. A record is a power of two, which brings the largest feature of the image
 * to 2^14 .. 2^15, and the features times it as float16: what is 2^28 times smaller than the
 * largest still has all 11 digits, and nothing overflows. */
#include "ventral/feature_cache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/half.h"
#include "neural/runner.h"
#include "neural/shown.h"
#include "ventral/progress.h"

enum { BATCH = 16 };

struct vt_feature_cache {
    vt_model *model;
    int64_t values; /* features of an image */
    int height, width;
    vt_workspace *workspace;
    vt_runner runner;
    vt_shown shown;
    vt_image_records *records;
};

/* ---- records ---- */

static void encode(void *record, const float *features, int64_t count)
{
    float largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(features[i]));
    int32_t exponent = 0;
    frexpf(largest, &exponent);
    int32_t power = largest > 0 ? 15 - exponent : 0;
    double scale = ldexp(1, power);
    uint16_t *halves = (uint16_t *)((char *)record + sizeof power);
    memcpy(record, &power, sizeof power);
    for (int64_t i = 0; i < count; i++)
        halves[i] = vt_half_from_float((float)(features[i] * scale));
}

static void decode(void *context, const void *record, void *out)
{
    const vt_feature_cache *cache = context;
    int32_t power;
    memcpy(&power, record, sizeof power);
    const uint16_t *halves = (const uint16_t *)((const char *)record + sizeof power);
    double scale = ldexp(1, -power);
    for (int64_t i = 0; i < cache->values; i++)
        ((float *)out)[i] = (float)(vt_float_from_half(halves[i]) * scale);
}

static size_t record_size(const vt_feature_cache *cache)
{
    return sizeof(int32_t) + (size_t)cache->values * sizeof(uint16_t);
}

static vt_status compute(void *context, const vt_image_batch *batch, void *records)
{
    vt_feature_cache *c = context;
    const float *pixels;
    const vt_tensor *features;
    VT_TRY(vt_shown_make(&c->shown, batch, true, c->height, c->width,
                         vt_model_preprocessing(c->model), &pixels));
    VT_TRY(vt_runner_run(&c->runner, 0, pixels, &features));
    const float *values = features->data;
    for (int64_t i = 0; i < batch->count; i++)
        VT_TRY(vt_image_batch_check(batch, i, c->model, values + i * c->values, c->values));
#pragma omp parallel for num_threads(vt_threads())
    for (int64_t i = 0; i < batch->count; i++)
        encode((char *)records + (size_t)i * record_size(c), values + i * c->values, c->values);
    return VT_OK;
}

/* ---- opening ---- */

static vt_status open_records(vt_feature_cache *c, const char *path)
{
    vt_records_part part;
    char kind[VT_RECORDS_KIND_SIZE];
    /* The node's own name, which several taps may find. */
    snprintf(kind, sizeof kind, "features at %s",
             vt_graph_node_name(vt_model_graph(c->model), c->runner.nodes[0]));
    VT_TRY(vt_image_records_part(&part, c->model));
    return vt_image_records_open(
        &c->records, &(vt_image_records_options){.path = path,
                                                 .format = {.kind = kind,
                                                            .parts = &part,
                                                            .part_count = 1,
                                                            .record_size = record_size(c)},
                                                 .batch = BATCH,
                                                 .out_bytes = (size_t)c->values * sizeof(float),
                                                 .compute = compute,
                                                 .decode = decode,
                                                 .context = c});
}

static vt_status prepare(vt_feature_cache *c, const char *path, const char *tap)
{
    VT_TRY(vt_workspace_new(&c->workspace));
    VT_TRY(vt_runner_new(&c->runner, &(vt_runner_options){.models = &c->model,
                                                          .count = 1,
                                                          .tap = tap,
                                                          .batch = BATCH,
                                                          .workspace = c->workspace}));
    int64_t size[VT_MAX_DIMS];
    int ndim = vt_feature_cache_size(c, size);
    c->values = 1;
    for (int i = 0; i < ndim; i++)
        c->values *= size[i];
    vt_model_image_size(c->model, &c->height, &c->width);
    VT_TRY(vt_shown_init(&c->shown, BATCH, (size_t)c->height * (size_t)c->width));
    return open_records(c, path);
}

vt_status vt_feature_cache_open(vt_feature_cache **out, const char *path, vt_model *model,
                                const char *tap)
{
    vt_feature_cache *c = vt_alloc(1, sizeof *c);
    if (!c) return VT_ENOMEM;
    c->model = model;
    vt_status status = prepare(c, path, tap);
    if (status != VT_OK) {
        vt_feature_cache_close(c);
        return status;
    }
    *out = c;
    return VT_OK;
}

void vt_feature_cache_close(vt_feature_cache *c)
{
    if (!c) return;
    vt_runner_free(&c->runner);
    vt_workspace_free(c->workspace);
    vt_image_records_close(c->records);
    vt_shown_destroy(&c->shown);
    free(c);
}

int vt_feature_cache_size(const vt_feature_cache *cache, int64_t size[VT_MAX_DIMS])
{
    return vt_graph_node_size(vt_model_graph(cache->model), cache->runner.nodes[0], size);
}

vt_status vt_feature_cache_read(vt_feature_cache *cache, vt_image_stream *stream,
                                const int64_t *indices, int64_t count, float *out)
{
    return vt_image_records_read(cache->records, stream, indices, count, NULL, out, NULL);
}
