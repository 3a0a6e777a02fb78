/* Learning rates over time, and the blur of kernels between stretches of training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "graph/graph.h"
#include "ventral/train.h"

double vt_schedule_rate(const vt_schedule *s, double epoch)
{
    if (epoch < s->warmup) return s->rate * epoch / s->warmup;
    switch (s->kind) {
    case VT_SCHEDULE_CONSTANT: return s->rate;
    case VT_SCHEDULE_EXPONENTIAL: return s->rate * pow(s->factor, epoch);
    case VT_SCHEDULE_STEP: {
        double rate = s->rate;
        for (int i = 0; i < s->milestone_count; i++)
            if (epoch >= s->milestones[i]) rate *= s->factor;
        return rate;
    }
    case VT_SCHEDULE_COSINE: {
        double length = s->epochs - s->warmup;
        double part = length > 0 ? fmin((epoch - s->warmup) / length, 1) : 1;
        return s->rate * (s->floor + (1 - s->floor) * 0.5 * (1 + cos(3.141592653589793 * part)));
    }
    }
    return s->rate;
}

/* A (planes, count, stride) line of a kernel blurred in place; weights are normalised inside. */
static void blur_line(float *line, float *copy, int64_t count, int64_t stride, double sigma)
{
    int64_t radius = (int64_t)ceil(4 * sigma);
    for (int64_t i = 0; i < count; i++)
        copy[i] = line[i * stride];
    for (int64_t i = 0; i < count; i++) {
        double sum = 0, total = 0;
        for (int64_t d = -radius; d <= radius; d++) {
            if (i + d < 0 || i + d >= count) continue;
            double weight = exp(-0.5 * (double)(d * d) / (sigma * sigma));
            sum += weight * copy[i + d];
            total += weight;
        }
        line[i * stride] = (float)(sum / total);
    }
}

/* A kernel (filters, height, width, channels). */
static vt_status blur(vt_tensor *t, double sigma)
{
    int64_t height = t->size[1], width = t->size[2], channels = t->size[3];
    float *copy = vt_alloc((size_t)(height > width ? height : width), sizeof *copy);
    if (!copy) return VT_ENOMEM;
    for (int64_t f = 0; f < t->size[0]; f++)
        for (int64_t c = 0; c < channels; c++) {
            float *plane = (float *)t->data + f * height * width * channels + c;
            for (int64_t y = 0; y < height; y++)
                blur_line(plane + y * width * channels, copy, width, channels, sigma);
            for (int64_t x = 0; x < width; x++)
                blur_line(plane + x * channels, copy, height, width * channels, sigma);
        }
    free(copy);
    return VT_OK;
}

/* The parameter as kernels (filters, height, width, channels): a convolution's is that already, a
 * linear layer's holds them when it reads a flattened map. False when it has no height and width.
 */
static bool as_kernels(const vt_graph *graph, int index, vt_tensor *out)
{
    const vt_tensor *value = &graph->params[index].value;
    *out = *value;
    if (value->dtype != VT_F32) return false;
    for (size_t i = 0; value->ndim == 2 && i < graph->node_count; i++) {
        const vt_node_def *node = &graph->nodes[i];
        if (node->op != &vt_op_linear || node->param[0] != index) continue;
        const vt_node_def *input = &graph->nodes[node->in[0]];
        if (input->op != &vt_op_flatten) return false;
        const vt_shape *map = &graph->nodes[input->in[0]].shape;
        if (map->ndim != 3) return false;
        int64_t size[] = {value->size[0], map->size[0], map->size[1], map->size[2]};
        return vt_tensor_init(out, VT_F32, 4, size, value->data) == VT_OK;
    }
    return value->ndim == 4;
}

vt_status vt_blur_kernels(vt_graph *graph, const char *suffix, double sigma)
{
    if (!(sigma > 0)) return vt_error(VT_EINVAL, "blur: sigma %g must be above 0", sigma);
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        vt_tensor kernels;
        if (vt_ends_with(vt_graph_param(graph, i)->name, suffix) && as_kernels(graph, i, &kernels))
            VT_TRY(blur(&kernels, sigma));
    }
    vt_graph_touch(graph);
    return VT_OK;
}
