/* What pruning measures: one pass over the images, whatever is decided from it later.
 *
 * A filter of layer k reaches layer k + 1 through one depthwise kernel, d = kernel * channel, and
 * one row w of the pointwise weights. Without the filters of a set S, the output of the pointwise
 * convolution loses sum over i in S of d_i w_i, whose variance, summed over outputs, is
 *   sum over i, j in S of cov(d_i, d_j) (w_i . w_j).
 * The covariances of the depthwise outputs are therefore all that is needed to test any set, and
 * later layers enter by their weights alone: a filter that they lost is a column of w left out. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/linalg.h"
#include "neural/prune.h"

enum { BATCH = 16, BLOCK = 1 << 20 };

/* Sums over the images so far of the values of a map's channels, less those of the first pixel of
 * the first image, which keeps what is alike in all images out of the sums. */
typedef struct map_sums {
    vt_node node;
    int64_t pixels;
    int channels;
    double *shift;    /* (channels) */
    double *pixel;    /* (pixels, channels) */
    double *products; /* (channels, channels), upper triangle */
} map_sums;

typedef struct measurement {
    vt_prune_statistics *s;
    map_sums maps[VT_PRUNE_INNER];
    vt_node last; /* the map that is read out */
    int64_t positions;
    const float *readout; /* (positions, filters) */
    double bias;
    double *contributions;                 /* of one image, (filters) */
    double *shift, *sum, *products, *with; /* of the contributions, and of their products with the
                                              target */
    double *block;
    uint8_t *bytes;
} measurement;

static vt_node find(vt_graph *graph, const char *format, int layer)
{
    char name[32];
    snprintf(name, sizeof name, format, layer);
    return vt_graph_find(graph, name);
}

static double *doubles(int64_t rows, int64_t columns)
{
    return vt_alloc((size_t)rows * (size_t)columns, sizeof(double));
}

static vt_status prepare_map(map_sums *m, vt_graph *graph, int layer, int channels)
{
    int64_t size[VT_MAX_DIMS];
    m->node = find(graph, "layer%d_conv_depth", layer);
    vt_graph_node_size(graph, m->node, size);
    m->pixels = size[0] * size[1];
    m->channels = channels;
    m->shift = doubles(1, channels);
    m->pixel = doubles(m->pixels, channels);
    m->products = doubles(channels, channels);
    return m->shift && m->pixel && m->products ? VT_OK : VT_ENOMEM;
}

static vt_status prepare(measurement *w)
{
    vt_prune_statistics *s = w->s;
    vt_graph *graph = vt_model_graph(s->model);
    int filters = s->shape.filters[VT_PRUNE_INNER];
    int64_t largest = BLOCK, size[VT_MAX_DIMS];
    for (int k = 0; k < VT_PRUNE_INNER; k++) {
        map_sums *m = &w->maps[k];
        VT_TRY(prepare_map(m, graph, k + 1, s->shape.filters[k]));
        if (m->pixels * m->channels > largest) largest = m->pixels * m->channels;
    }
    w->last = find(graph, s->shape.linear ? "layer%d_bn" : "layer%d_act", VT_PRUNE_INNER);
    vt_graph_node_size(graph, w->last, size);
    w->positions = size[0] * size[1];
    w->readout = vt_graph_find_param(graph, "Beta.kernel")->value.data;
    w->bias = vt_tensor_get(&vt_graph_find_param(graph, "Beta.bias")->value, 0);
    w->contributions = doubles(1, filters);
    w->shift = doubles(1, filters);
    w->sum = doubles(1, filters);
    w->products = doubles(filters, filters);
    w->with = doubles(1, filters);
    w->block = doubles(1, largest);
    w->bytes = vt_alloc((size_t)BATCH * (size_t)s->shape.height * (size_t)s->shape.width, 3);
    s->response = doubles(1, s->count);
    s->target = doubles(1, s->count);
    return w->contributions && w->shift && w->sum && w->products && w->with && w->block &&
                   w->bytes && s->response && s->target
               ? VT_OK
               : VT_ENOMEM;
}

static void release(measurement *w)
{
    for (int k = 0; k < VT_PRUNE_INNER; k++) {
        free(w->maps[k].shift);
        free(w->maps[k].pixel);
        free(w->maps[k].products);
    }
    free(w->contributions);
    free(w->shift);
    free(w->sum);
    free(w->products);
    free(w->with);
    free(w->block);
    free(w->bytes);
}

/* ---- images ---- */

static void add_map(map_sums *m, double *block, const float *values, int64_t images, bool first)
{
    int64_t channels = m->channels, pixels = m->pixels, step = BLOCK / (pixels * channels);
    if (step < 1) step = 1;
    for (int64_t c = 0; first && c < channels; c++)
        m->shift[c] = values[c];
    for (int64_t done = 0; done < images; done += step) {
        int64_t part = images - done < step ? images - done : step;
        const float *from = values + done * pixels * channels;
#pragma omp parallel for num_threads(vt_threads_for(4 * part * pixels * channels))
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t i = 0; i < part; i++)
                for (int64_t c = 0; c < channels; c++) {
                    int64_t at = (i * pixels + p) * channels + c;
                    double value = from[at] - m->shift[c];
                    block[at] = value;
                    m->pixel[p * channels + c] += value;
                }
        vt_blas_threads(part * pixels * channels * channels);
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)channels, (int)(part * pixels), 1,
                    block, (int)channels, 1, m->products, (int)channels);
    }
}

/* One image's map, read out filter by filter. */
static void add_response(measurement *w, const float *map, int64_t image, const float *target)
{
    vt_prune_statistics *s = w->s;
    int filters = s->shape.filters[VT_PRUNE_INNER];
    double response = w->bias, *c = w->contributions;
    memset(c, 0, (size_t)filters * sizeof *c);
    for (int64_t p = 0; p < w->positions; p++)
        for (int f = 0; f < filters; f++)
            c[f] += (double)w->readout[p * filters + f] * (double)map[p * filters + f];
    for (int f = 0; f < filters; f++)
        response += c[f];
    s->response[image] = response;
    s->target[image] = target ? (double)target[image] : response;
    double t = s->target[image] - s->target[0];
    for (int f = 0; f < filters; f++) {
        if (image == 0) w->shift[f] = c[f];
        c[f] -= w->shift[f];
        w->sum[f] += c[f];
        w->with[f] += c[f] * t;
        for (int g = 0; g <= f; g++)
            w->products[g * filters + f] += c[g] * c[f];
    }
}

static vt_status run_batch(measurement *w, vt_plan *plan, int64_t first, int64_t count,
                           const float *target)
{
    vt_prune_statistics *s = w->s;
    vt_tensor *input = vt_plan_input(plan, vt_model_input(s->model));
    vt_preprocess(input->data, w->bytes, count * s->shape.height * s->shape.width,
                  vt_model_preprocessing(s->model));
    VT_TRY(vt_plan_forward(plan));
    for (int k = 0; k < VT_PRUNE_INNER; k++)
        add_map(&w->maps[k], w->block, vt_plan_output(plan, w->maps[k].node)->data, count,
                first == 0);
    const float *map = vt_plan_output(plan, w->last)->data;
    for (int64_t i = 0; i < count; i++)
        add_response(w, map + i * w->positions * s->shape.filters[VT_PRUNE_INNER], first + i,
                     target);
    return VT_OK;
}

static vt_status make_plan(vt_plan **out, const measurement *w, int64_t batch)
{
    vt_node nodes[VT_COMPACT_LAYERS];
    for (int k = 0; k < VT_PRUNE_INNER; k++)
        nodes[k] = w->maps[k].node;
    nodes[VT_PRUNE_INNER] = w->last;
    return vt_plan_new(
        out, vt_model_graph(w->s->model),
        &(vt_plan_options){.batch = batch, .outputs = nodes, .output_count = VT_COMPACT_LAYERS});
}

static vt_status run(measurement *w, vt_image_stream *stream, const int64_t *indices,
                     const float *target, const vt_progress *progress)
{
    vt_plan *plan = NULL;
    vt_status status = VT_OK;
    int64_t planned = 0, count = w->s->count;
    for (int64_t first = 0; first < count && status == VT_OK; first += BATCH) {
        int64_t part = count - first < BATCH ? count - first : BATCH;
        if (part != planned) {
            vt_plan_free(plan);
            plan = NULL;
            status = make_plan(&plan, w, part);
            planned = part;
        }
        if (status == VT_OK) status = vt_image_stream_read(stream, indices + first, part, w->bytes);
        if (status == VT_OK) status = run_batch(w, plan, first, part, target);
        if (status == VT_OK) status = vt_progress_report(progress, first + part, count, NULL);
    }
    vt_plan_free(plan);
    return status;
}

/* ---- from sums to covariances ---- */

/* `products` (n, n), upper triangle, of `count` samples with the sums `sum`, in place. */
static void center(double *products, const double *sum, int n, int64_t count)
{
    double samples = (double)count;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            double value = (products[i * n + j] - sum[i] * (sum[j] / samples)) / samples;
            products[i * n + j] = products[j * n + i] = value;
        }
}

static vt_status conclude_map(vt_prune_channels *out, map_sums *m, int64_t images)
{
    int n = m->channels;
    double *sum = doubles(1, n);
    out->squares = doubles(1, n);
    if (!sum || !out->squares) {
        free(sum);
        return VT_ENOMEM;
    }
    for (int c = 0; c < n; c++)
        out->squares[c] = m->products[c * n + c];
    for (int64_t p = 0; p < m->pixels; p++)
        for (int c = 0; c < n; c++) {
            double value = m->pixel[p * n + c];
            sum[c] += value;
            out->squares[c] -= value * value / (double)images;
        }
    for (int c = 0; c < n; c++)
        if (out->squares[c] < 0) out->squares[c] = 0; /* rounding */
    center(m->products, sum, n, images * m->pixels);
    out->covariance = m->products;
    m->products = NULL;
    for (int c = 0; c < n; c++)
        sum[c] = m->shift[c] + sum[c] / (double)(images * m->pixels);
    out->mean = sum;
    return VT_OK;
}

/* Whether values differ by no more than float32 can tell. */
static bool is_constant(const double *values, int64_t count)
{
    double low = values[0], high = values[0];
    for (int64_t i = 1; i < count; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    return high - low <= 1e-6 * fmax(fabs(low), fabs(high));
}

static vt_status conclude(measurement *w)
{
    vt_prune_statistics *s = w->s;
    int n = s->shape.filters[VT_PRUNE_INNER];
    double target_sum = 0, squares = 0, samples = (double)s->count;
    if (is_constant(s->response, s->count))
        return vt_error(VT_ENUMERIC, "%s: its response is the same to all %lld images",
                        vt_model_label(s->model), (long long)s->count);
    if (is_constant(s->target, s->count))
        return vt_error(VT_ENUMERIC, "%s: the target is the same for all %lld images",
                        vt_model_label(s->model), (long long)s->count);
    for (int k = 0; k < VT_PRUNE_INNER; k++)
        VT_TRY(conclude_map(&s->inner[k], &w->maps[k], s->count));
    for (int64_t i = 0; i < s->count; i++) {
        double t = s->target[i] - s->target[0];
        target_sum += t;
        squares += t * t;
    }
    s->target_variance = (squares - target_sum * (target_sum / samples)) / samples;
    for (int f = 0; f < n; f++)
        w->with[f] = (w->with[f] - w->sum[f] * (target_sum / samples)) / samples;
    center(w->products, w->sum, n, s->count);
    for (int f = 0; f < n; f++)
        w->sum[f] = w->shift[f] + w->sum[f] / samples;
    s->target_mean = s->target[0] + target_sum / samples;
    s->mean = w->sum;
    s->covariance = w->products;
    s->with_target = w->with;
    w->sum = w->products = w->with = NULL;
    return VT_OK;
}

static vt_status check(const vt_prune_statistics *s, const vt_image_stream *stream,
                       const float *target)
{
    int height, width;
    const char *label = vt_model_label(s->model);
    if (s->shape.shared || s->shape.outputs != 1)
        return vt_error(VT_EUNSUPPORTED,
                        "%s: a compact model of one neuron can be pruned, this one has %d", label,
                        s->shape.outputs);
    if (s->count < 2)
        return vt_error(VT_EINVAL, "%s: %lld images to prune on; at least 2 are needed", label,
                        (long long)s->count);
    vt_image_stream_size(stream, &height, &width);
    if (height != s->shape.height || width != s->shape.width)
        return vt_error(VT_EINVAL, "%s takes images of %d x %d, the stream has %d x %d", label,
                        s->shape.height, s->shape.width, height, width);
    for (int64_t i = 0; target && i < s->count; i++)
        if (!isfinite(target[i]))
            return vt_error(VT_ENUMERIC, "%s: the target for image %lld is not finite", label,
                            (long long)i);
    return VT_OK;
}

vt_status vt_prune_measure(vt_prune_statistics **out, vt_model *model, vt_image_stream *stream,
                           const int64_t *indices, int64_t count, const float *target,
                           const vt_progress *progress)
{
    vt_compact_options shape;
    VT_TRY(vt_model_compact_options(model, &shape));
    vt_prune_statistics *s = vt_alloc(1, sizeof *s);
    if (!s) return VT_ENOMEM;
    *s = (vt_prune_statistics){.model = model, .shape = shape, .count = count};
    measurement w = {.s = s};
    vt_status status = check(s, stream, target);
    if (status == VT_OK) status = prepare(&w);
    if (status == VT_OK) status = run(&w, stream, indices, target, progress);
    if (status == VT_OK) status = conclude(&w);
    release(&w);
    if (status != VT_OK) {
        vt_prune_statistics_free(s);
        return status;
    }
    *out = s;
    return VT_OK;
}

void vt_prune_statistics_free(vt_prune_statistics *s)
{
    if (!s) return;
    for (int k = 0; k < VT_PRUNE_INNER; k++) {
        free(s->inner[k].mean);
        free(s->inner[k].covariance);
        free(s->inner[k].squares);
    }
    free(s->mean);
    free(s->covariance);
    free(s->with_target);
    free(s->response);
    free(s->target);
    free(s);
}
