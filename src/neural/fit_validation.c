/* How well a core being trained predicts neurons of a session that has no part in the training:
 * each neuron gets a ridge regression from the core's map, cross-validated; the score is the median
 * r of what each image is predicted by the others. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "neural/fit_run.h"
#include "train/weights.h"
#include "ventral/readout.h"
#include "ventral/score.h"

/* The features are the map, each channel normalized, averaged over the cells of a GRID x GRID. Few
 * enough for a few hundred images; with the whole map the score would not follow what the core has
 * learnt. */
enum { GRID = 4 };

#define EPSILON 1e-3

typedef struct channel_sums {
    double sum, squares;
} channel_sums;

typedef struct features {
    double *data; /* (images, each) */
    int64_t images, each;
    int64_t size[VT_MAX_DIMS]; /* of the map */
    channel_sums *channels;    /* over images and places */
} features;

static int64_t cell_of(const features *f, int64_t y, int64_t x)
{
    return y * GRID / f->size[0] * GRID + x * GRID / f->size[1];
}

/* Adds one map (height, width, channels) into its cells. */
static void pool_map(features *f, double *cells, const float *map)
{
    for (int64_t y = 0; y < f->size[0]; y++)
        for (int64_t x = 0; x < f->size[1]; x++) {
            double *cell = cells + cell_of(f, y, x) * f->size[2];
            for (int64_t c = 0; c < f->size[2]; c++, map++) {
                cell[c] += *map;
                f->channels[c].sum += *map;
                f->channels[c].squares += (double)*map * *map;
            }
        }
}

static vt_status pool_images(features *f, vt_fit_run *run, vt_plan *plan)
{
    const vt_fit_group *g = &run->validation;
    int64_t batch = run->options.batch, images[batch];
    vt_tensor *input = vt_plan_input(plan, run->image);
    for (int64_t first = 0; first < f->images; first += batch) {
        int64_t count = f->images - first < batch ? f->images - first : batch;
        for (int64_t i = 0; i < count; i++)
            images[i] = g->begin + first + i;
        VT_TRY(vt_fit_load_images(run, g, images, count, input->data));
        VT_TRY(vt_plan_forward(plan));
        const float *maps = vt_plan_output(plan, run->map)->data;
        int64_t floats = f->size[0] * f->size[1] * f->size[2];
        for (int64_t i = 0; i < count; i++)
            pool_map(f, f->data + (first + i) * f->each, maps + i * floats);
    }
    return VT_OK;
}

/* In units of the channel's standard deviation: as the readout of the training sees it, or, where
 * there is no such readout, over these images. */
static vt_status normalize(features *f, const vt_fit_run *run, float *block)
{
    vt_tensor mean, variance;
    bool running = vt_graph_find_param(run->graph, "features.gamma") != NULL;
    double places = (double)(f->size[0] * f->size[1] * f->images), sums[GRID * GRID] = {0};
    if (running) VT_TRY(vt_fit_feature_statistics(run, block, &mean, &variance));
    for (int64_t y = 0; y < f->size[0]; y++)
        for (int64_t x = 0; x < f->size[1]; x++)
            sums[cell_of(f, y, x)]++;
    for (int64_t c = 0; c < f->size[2]; c++) {
        double m = running ? vt_tensor_get(&mean, c) : f->channels[c].sum / places;
        double v = running ? vt_tensor_get(&variance, c)
                           : fmax(f->channels[c].squares / places - m * m, 0);
        for (int64_t i = 0; i < f->images; i++)
            for (int64_t cell = 0; cell < GRID * GRID; cell++) {
                double *x = f->data + i * f->each + cell * f->size[2] + c;
                *x = (*x - sums[cell] * m) / sqrt(v + EPSILON);
            }
    }
    return VT_OK;
}

/* Median r of out-of-fold ridge predictions. */
static vt_status ridge_score(double *out, const vt_fit_group *g, const features *f, uint64_t seed)
{
    int64_t count = f->images;
    vt_ridge_options options = vt_ridge_options_default();
    options.seed = seed;
    double *y = vt_alloc((size_t)(count * g->neurons), sizeof *y);
    double *prediction = vt_alloc((size_t)(count * g->neurons), sizeof *prediction);
    double *columns = vt_alloc((size_t)(2 * count + g->neurons), sizeof *columns);
    vt_status status = y && prediction && columns ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        for (int64_t k = 0; k < count; k++)
            for (int64_t i = 0; i < g->neurons; i++)
                y[k * g->neurons + i] = g->responses[i * g->images + g->begin + k];
        status =
            vt_ridge_cross_validate(prediction, f->data, y, count, f->each, g->neurons, &options);
    }
    if (status == VT_OK) {
        double *a = columns, *b = columns + count, *r = columns + 2 * count;
        for (int64_t i = 0; i < g->neurons; i++) {
            for (int64_t k = 0; k < count; k++) {
                a[k] = y[k * g->neurons + i];
                b[k] = prediction[k * g->neurons + i];
            }
            r[i] = vt_pearson(a, b, count);
        }
        *out = vt_median(r, g->neurons);
    }
    free(y);
    free(prediction);
    free(columns);
    return status;
}

/* The pooled map of every validation image, with the weights in `block`. */
static vt_status compute(features *f, vt_fit_run *run, const float *block)
{
    vt_plan *plan;
    float *weights = vt_alloc((size_t)run->floats, sizeof *weights);
    if (!weights) return VT_ENOMEM;
    vt_weights_gather(run->graph, weights);
    vt_weights_scatter(run->graph, block);
    vt_status status = vt_plan_new(
        &plan, run->graph,
        &(vt_plan_options){.batch = run->options.batch, .outputs = &run->map, .output_count = 1});
    if (status == VT_OK) {
        status = pool_images(f, run, plan);
        vt_plan_free(plan);
    }
    vt_weights_scatter(run->graph, weights);
    free(weights);
    return status;
}

vt_status vt_fit_validate(vt_fit_run *run, float *block, double *out)
{
    const vt_fit_group *g = &run->validation;
    features f = {.images = g->end - g->begin};
    vt_graph_node_size(run->graph, run->map, f.size);
    f.each = GRID * GRID * f.size[2];
    f.data = vt_alloc((size_t)f.images, (size_t)f.each * sizeof *f.data);
    f.channels = vt_alloc((size_t)f.size[2], sizeof *f.channels);
    vt_status status = f.data && f.channels ? compute(&f, run, block) : VT_ENOMEM;
    if (status == VT_OK) status = normalize(&f, run, block);
    if (status == VT_OK) status = ridge_score(out, g, &f, run->options.seed);
    free(f.data);
    free(f.channels);
    return status;
}
