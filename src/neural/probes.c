/* Probes: one plan a model with all its wanted nodes.
 *
 * Models are shown each batch in the order of their image size and preprocessing, so that images
 * are resized and preprocessed once for all that take them alike. All share one workspace. */
#include "neural/probes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "neural/shown.h"

enum { BATCH = 32 }; /* that of teachers */

struct source {
    vt_model *model;
    int height, width;
    vt_plan *plan;
    int next; /* the source to be shown next; -1: none */
};

struct tap {
    int source;
    vt_node node;
    int64_t places, size, first; /* size: values an image; first: of its values among all */
};

struct vt_probes {
    struct source *sources;
    struct tap *taps;
    int source_count, tap_count, first_source; /* to be shown */
    int64_t size;
    vt_workspace *workspace;
    vt_shown shown;
    vt_image_records *records;
};

/* ---- values of a batch ---- */

/* Means over places, (batch, places, size), to the image's record. */
static void average(float *out, const float *values, const struct tap *tap)
{
    for (int64_t k = 0; k < tap->size; k++) {
        double sum = 0;
        for (int64_t i = 0; i < tap->places; i++)
            sum += values[i * tap->size + k];
        out[k] = (float)(sum / (double)tap->places);
    }
}

static vt_status keep(vt_probes *p, const struct tap *tap, const vt_image_batch *batch,
                      float *records)
{
    const vt_tensor *t = vt_plan_output(p->sources[tap->source].plan, tap->node);
    const float *values = t->data;
    for (int64_t i = 0; i < batch->count; i++, values += tap->places * tap->size) {
        float *out = records + i * p->size + tap->first;
        if (tap->places == 1)
            memcpy(out, values, (size_t)tap->size * sizeof *out);
        else
            average(out, values, tap);
        VT_TRY(vt_image_batch_check(batch, i, p->sources[tap->source].model, out, tap->size));
    }
    return VT_OK;
}

static vt_status compute(void *context, const vt_image_batch *batch, void *records)
{
    vt_probes *p = context;
    for (int s = p->first_source; s >= 0; s = p->sources[s].next) {
        const struct source *source = &p->sources[s];
        const float *pixels;
        VT_TRY(vt_shown_make(&p->shown, batch, s == p->first_source, source->height, source->width,
                             vt_model_preprocessing(source->model), &pixels));
        vt_tensor *input = vt_plan_input(source->plan, vt_model_input(source->model));
        if (input) memcpy(input->data, pixels, vt_tensor_bytes(input));
        VT_TRY(vt_plan_forward(source->plan));
        for (int t = 0; t < p->tap_count; t++)
            if (p->taps[t].source == s) VT_TRY(keep(p, &p->taps[t], batch, records));
    }
    return VT_OK;
}

static void copy_record(void *context, const void *record, void *out)
{
    const vt_probes *p = context;
    memcpy(out, record, (size_t)p->size * sizeof(float));
}

/* ---- making ---- */

static int compare_sources(const struct source *a, const struct source *b)
{
    if (a->height != b->height) return a->height < b->height ? -1 : 1;
    if (a->width != b->width) return a->width < b->width ? -1 : 1;
    return memcmp(vt_model_preprocessing(a->model), vt_model_preprocessing(b->model),
                  sizeof(vt_preprocessing));
}

/* Puts a source into the order in which they are shown. */
static void insert_source(vt_probes *p, int s)
{
    int *link = &p->first_source;
    while (*link >= 0 && compare_sources(&p->sources[*link], &p->sources[s]) <= 0)
        link = &p->sources[*link].next;
    p->sources[s].next = *link;
    *link = s;
}

static int find_source(vt_probes *p, vt_model *model)
{
    int s = 0;
    while (s < p->source_count && p->sources[s].model != model)
        s++;
    if (s == p->source_count) {
        struct source *source = &p->sources[p->source_count++];
        source->model = model;
        vt_model_image_size(model, &source->height, &source->width);
        insert_source(p, s);
    }
    return s;
}

static vt_status add_tap(vt_probes *p, const vt_probe *probe)
{
    int64_t size[VT_MAX_DIMS];
    struct tap tap = {.source = find_source(p, probe->model), .places = 1, .first = p->size};
    VT_TRY(vt_model_find(&tap.node, probe->model, probe->node));
    int ndim = vt_graph_node_size(vt_model_graph(probe->model), tap.node, size);
    for (int d = 0; d < ndim - 1; d++)
        tap.places *= size[d];
    tap.size = size[ndim - 1];
    p->size += tap.size;
    p->taps[p->tap_count++] = tap;
    return VT_OK;
}

static vt_status make_plan(vt_probes *p, int s, bool bf16)
{
    vt_node *nodes = vt_alloc((size_t)p->tap_count, sizeof *nodes);
    if (!nodes) return VT_ENOMEM;
    vt_plan_options options = {
        .batch = BATCH, .outputs = nodes, .bf16 = bf16, .workspace = p->workspace};
    for (int t = 0; t < p->tap_count; t++) {
        bool wanted = p->taps[t].source == s;
        for (int k = 0; k < options.output_count && wanted; k++)
            wanted = nodes[k] != p->taps[t].node;
        if (wanted) nodes[options.output_count++] = p->taps[t].node;
    }
    struct source *source = &p->sources[s];
    vt_status status = vt_plan_new(&source->plan, vt_model_graph(source->model), &options);
    free(nodes);
    return status;
}

/* What the records are, in words: those of a teacher where they are the same. */
static void describe(char out[VT_RECORDS_KIND_SIZE], const vt_probes *p,
                     const vt_probes_options *options)
{
    uint64_t hash = 0;
    bool outputs = p->source_count == p->tap_count;
    for (int t = 0; t < p->tap_count; t++) {
        const vt_probe *probe = &options->probes[t];
        const char *name = probe->node ? probe->node : "";
        outputs = outputs && !probe->node;
        hash = vt_hash64(name, strlen(name) + 1, hash + (uint64_t)p->taps[t].source);
    }
    const char *precision = options->bf16 ? " in bfloat16" : "";
    if (outputs)
        snprintf(out, VT_RECORDS_KIND_SIZE, "responses%s", precision);
    else
        snprintf(out, VT_RECORDS_KIND_SIZE, "values of %d nodes%s (%016llx)", p->tap_count,
                 precision, (unsigned long long)hash);
}

static vt_status open_records(vt_probes *p, const vt_probes_options *options)
{
    char kind[VT_RECORDS_KIND_SIZE];
    vt_records_part *parts = vt_alloc((size_t)p->source_count, sizeof *parts);
    vt_status status = parts ? VT_OK : VT_ENOMEM;
    for (int s = 0; s < p->source_count && status == VT_OK; s++)
        status = vt_image_records_part(&parts[s], p->sources[s].model);
    describe(kind, p, options);
    size_t size = (size_t)p->size * sizeof(float);
    vt_image_records_options o = {.path = options->cache,
                                  .format = {.kind = kind,
                                             .parts = parts,
                                             .part_count = p->source_count,
                                             .record_size = size},
                                  .batch = BATCH,
                                  .out_bytes = size,
                                  .compute = compute,
                                  .decode = copy_record,
                                  .context = p};
    if (status == VT_OK) status = vt_image_records_open(&p->records, &o);
    free(parts);
    return status;
}

static vt_status prepare(vt_probes *p, const vt_probes_options *options)
{
    size_t pixels = 0;
    p->sources = vt_alloc((size_t)options->count, sizeof *p->sources);
    p->taps = vt_alloc((size_t)options->count, sizeof *p->taps);
    if (!p->sources || !p->taps) return VT_ENOMEM;
    for (int i = 0; i < options->count; i++)
        VT_TRY(add_tap(p, &options->probes[i]));
    for (int s = 0; s < p->source_count; s++) {
        size_t own = (size_t)p->sources[s].height * (size_t)p->sources[s].width;
        pixels = own > pixels ? own : pixels;
    }
    VT_TRY(open_records(p, options));
    VT_TRY(vt_shown_init(&p->shown, BATCH, pixels));
    VT_TRY(vt_workspace_new(&p->workspace));
    for (int s = 0; s < p->source_count; s++)
        VT_TRY(make_plan(p, s, options->bf16));
    return VT_OK;
}

vt_status vt_probes_new(vt_probes **out, const vt_probes_options *options)
{
    if (options->count < 1) return vt_error(VT_EINVAL, "no model to predict with");
    vt_probes *p = vt_alloc(1, sizeof *p);
    if (!p) return VT_ENOMEM;
    p->first_source = -1;
    vt_status status = prepare(p, options);
    if (status == VT_OK)
        *out = p;
    else
        vt_probes_free(p);
    return status;
}

void vt_probes_free(vt_probes *p)
{
    if (!p) return;
    for (int s = 0; s < p->source_count; s++)
        vt_plan_free(p->sources[s].plan);
    vt_shown_destroy(&p->shown);
    vt_workspace_free(p->workspace);
    vt_image_records_close(p->records);
    free(p->sources);
    free(p->taps);
    free(p);
}

int64_t vt_probes_size(const vt_probes *probes)
{
    return probes->size;
}

int64_t vt_probes_size_of(const vt_probes *probes, int probe)
{
    return probes->taps[probe].size;
}

vt_status vt_probes_read(vt_probes *p, vt_image_stream *stream, const int64_t *indices,
                         int64_t count, const uint8_t *images, float *out,
                         const vt_progress *progress)
{
    return vt_image_records_read(p->records, stream, indices, count, images, out, progress);
}
