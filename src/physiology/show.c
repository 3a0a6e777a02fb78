/* Showing gratings and textures to a network: drawn, preprocessed, answered, a batch at a time. */
#include "physiology/show.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "stimuli/grating.h"

enum { BATCH = 64, LEAST_BATCH = 8, MAX_BATCH = 1 << 16 }; /* the first for 64 x 64 pixels */
#define DEGREES 8

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static vt_status find_node(vt_show_node *out, const vt_subject *s, vt_node node)
{
    int64_t size[VT_MAX_DIMS];
    int dimensions = vt_graph_node_size(s->graph, node, size);
    if (dimensions != 1 && dimensions != 3)
        return vt_error(VT_EUNSUPPORTED, "%s: %s is no layer to record from", s->label,
                        vt_graph_node_name(s->graph, node));
    out->node = node;
    out->size[0] = dimensions == 3 ? size[0] : 1;
    out->size[1] = dimensions == 3 ? size[1] : 1;
    out->size[2] = size[dimensions - 1];
    out->units = out->size[0] * out->size[1] * out->size[2];
    return VT_OK;
}

static vt_status find_sizes(vt_show *show, const vt_node *nodes)
{
    const vt_subject *s = &show->subject;
    int64_t input[VT_MAX_DIMS];
    if (vt_graph_node_size(s->graph, s->input, input) != 3 || input[2] != 3)
        return vt_error(VT_EUNSUPPORTED, "%s: gratings are shown to networks that take images",
                        s->label);
    show->height = (int)input[0];
    show->width = (int)input[1];
    for (int i = 0; i < show->count; i++) {
        show->nodes[i].first = show->units;
        VT_TRY(find_node(&show->nodes[i], s, nodes[i]));
        show->units += show->nodes[i].units;
    }
    return VT_OK;
}

/* As many pixels at a time for networks of all sizes. */
static int64_t default_batch(const vt_show *show)
{
    int64_t fitting = (int64_t)BATCH * 64 * 64 / ((int64_t)show->height * show->width);
    return fitting > BATCH ? BATCH : fitting < LEAST_BATCH ? LEAST_BATCH : fitting;
}

static vt_status prepare(vt_show *show, const vt_node *nodes, const vt_recording_options *options)
{
    show->degrees = options->degrees != 0 ? options->degrees : DEGREES;
    vt_screen_options screen = {
        .degrees = show->degrees, .height = show->height, .width = show->width};
    VT_TRY(vt_screen_new(&show->screen, &screen));
    show->gratings = vt_alloc((size_t)show->batch, sizeof *show->gratings);
    show->grey =
        vt_alloc((size_t)show->batch * (size_t)show->height * (size_t)show->width, sizeof(uint8_t));
    if (!show->gratings || !show->grey) return VT_ENOMEM;
    uint8_t bytes[256][3];
    for (int i = 0; i < 256; i++)
        memset(bytes[i], i, sizeof bytes[i]);
    vt_preprocess(show->levels[0], bytes[0], 256, show->subject.preprocessing);
    vt_plan_options plan = {.batch = show->batch,
                            .outputs = nodes,
                            .output_count = show->count,
                            .backend = options->backend,
                            .bf16 = options->bf16};
    VT_TRY(vt_plan_new(&show->plan, show->subject.graph, &plan));
    if (vt_plan_output(show->plan, nodes[0])->dtype != VT_F32)
        return vt_error(VT_EUNSUPPORTED, "%s: gratings are shown to networks of float32 only",
                        show->subject.label);
    return VT_OK;
}

vt_status vt_show_new(vt_show *out, const vt_subject *subject, const vt_node *nodes, int count,
                      const vt_recording_options *options)
{
    *out = (vt_show){.subject = *subject, .count = count, .progress = options->progress};
    if (options->batch < 0 || options->batch > MAX_BATCH)
        return vt_error(VT_EINVAL, "%d stimuli at a time: 1 to %d are possible", options->batch,
                        MAX_BATCH);
    if (count < 1) return vt_error(VT_EINVAL, "%s: no layer to record from", subject->label);
    out->nodes = vt_alloc((size_t)count, sizeof *out->nodes);
    if (!out->nodes) return VT_ENOMEM;
    VT_TRY(find_sizes(out, nodes));
    out->batch = options->batch > 0 ? options->batch : default_batch(out);
    double start = seconds();
    VT_TRY(prepare(out, nodes, options));
    out->time.network += seconds() - start;
    return VT_OK;
}

void vt_show_free(vt_show *show)
{
    vt_plan_free(show->plan);
    vt_screen_free(show->screen);
    free(show->nodes);
    free(show->gratings);
    free(show->grey);
    *show = (vt_show){.plan = NULL};
}

/* ---- stimuli ---- */

/* Of one kind: which, and how a batch from `first` on is drawn into show->grey. */
typedef struct stimuli {
    vt_status (*draw)(vt_show *show, const struct stimuli *stimuli, int64_t first);
    int64_t count;
    vt_grating_set set;
    const int64_t *order;
    const vt_texture_set *textures;
} stimuli;

/* Grating i of those that are shown; a blank after the last one. */
static vt_status grating_at(vt_grating *out, const stimuli *s, int64_t i)
{
    if (i >= s->count) return vt_grating_set_at(out, VT_GRATINGS_BLANK, 0);
    return vt_grating_set_at(out, s->set, s->order ? s->order[i] : i);
}

static vt_status draw_gratings(vt_show *show, const stimuli *s, int64_t first)
{
    for (int64_t i = 0; i < show->batch; i++)
        VT_TRY(grating_at(&show->gratings[i], s, first + i));
    return vt_screen_draw(show->screen, show->gratings, show->batch, show->grey);
}

static vt_status draw_textures(vt_show *show, const stimuli *s, int64_t first)
{
    size_t pixels = (size_t)show->height * (size_t)show->width;
    vt_screen_options screen = {
        .degrees = show->degrees, .height = show->height, .width = show->width};
    vt_error_state failure = {.code = VT_OK};
#pragma omp parallel for schedule(dynamic, 1) num_threads(vt_threads())
    for (int64_t i = 0; i < show->batch; i++) {
        uint8_t *grey = show->grey + (size_t)i * pixels;
        if (first + i >= s->count) {
            memset(grey, VT_GREY, pixels);
            continue;
        }
        vt_status status = vt_texture_set_draw(s->textures, first + i, &screen, grey);
        if (status != VT_OK) {
#pragma omp critical(vt_show_failure)
            vt_error_save(&failure, status);
        }
    }
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

static vt_status draw(vt_show *show, const stimuli *s, int64_t first)
{
    VT_TRY(s->draw(show, s, first));
    vt_tensor *input = vt_plan_input(show->plan, show->subject.input);
    if (!input) return VT_OK; /* the node does not depend on it */
    int64_t pixels = (int64_t)show->height * show->width;
#pragma omp parallel for schedule(static) num_threads(vt_threads())
    for (int64_t i = 0; i < show->batch; i++) {
        const uint8_t *grey = show->grey + i * pixels;
        float *to = (float *)input->data + 3 * i * pixels;
        for (int64_t p = 0; p < pixels; p++)
            memcpy(to + 3 * p, show->levels[grey[p]], sizeof show->levels[0]);
    }
    return VT_OK;
}

static vt_status show_all(vt_show *show, const stimuli *s, vt_show_receive receive, void *context)
{
    for (int64_t first = 0; first < s->count; first += show->batch) {
        int64_t count = s->count - first < show->batch ? s->count - first : show->batch;
        double start = seconds();
        VT_TRY(draw(show, s, first));
        double drawn = seconds();
        VT_TRY(vt_plan_forward(show->plan));
        double answered = seconds();
        for (int i = 0; i < show->count; i++) {
            const vt_tensor *output = vt_plan_output(show->plan, show->nodes[i].node);
            VT_TRY(receive(context, show, i, first, count, output->data));
        }
        show->time.stimuli += drawn - start;
        show->time.network += answered - drawn;
        show->time.analysis += seconds() - answered;
        show->done += count;
        VT_TRY(vt_progress_report(show->progress, show->done, show->total, NULL));
    }
    return VT_OK;
}

vt_status vt_show_set(vt_show *show, vt_grating_set set, const int64_t *order,
                      vt_show_receive receive, void *context)
{
    stimuli s = {
        .draw = draw_gratings, .count = vt_grating_set_count(set), .set = set, .order = order};
    return show_all(show, &s, receive, context);
}

vt_status vt_show_textures(vt_show *show, const vt_texture_set *textures, vt_show_receive receive,
                           void *context)
{
    stimuli s = {
        .draw = draw_textures, .count = vt_texture_set_count(textures), .textures = textures};
    return show_all(show, &s, receive, context);
}

vt_status vt_show_not_finite(const vt_show *show, int node, int64_t unit, float value)
{
    const vt_show_node *n = &show->nodes[node];
    int64_t column = unit / n->size[2];
    return vt_error(VT_ENUMERIC,
                    "%s: %s: the unit at row %lld, column %lld, channel %lld answers %g to a "
                    "stimulus",
                    show->subject.label, vt_graph_node_name(show->subject.graph, n->node),
                    (long long)(column / n->size[1]), (long long)(column % n->size[1]),
                    (long long)(unit % n->size[2]), (double)value);
}
