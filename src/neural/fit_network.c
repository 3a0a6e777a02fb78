/* The network of a fit: the core, a readout by Gaussian pools, the loss; and the model it becomes.
 *
 * While training, the image is divided by VT_FIT_PIXEL_SCALE and the core's map is normalized to
 * s.d. FEATURE_SCALE before the readout, both of which condition the optimisation and change
 * nothing that the network can compute: export folds them into the first kernel and the mixing
 * weights. A frozen front end is no part of the network: its features are the network's input. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "graph/graph.h"
#include "neural/fit_run.h"
#include "ops/gaussian_pool.h"
#include "train/weights.h"
#include "ventral/rng.h"

#define FEATURE_SCALE 4.0
#define POOL_SD (5.0 / 28) /* of the map's side */
#define EPSILON 1e-3
#define MOMENTUM 0.1

static vt_status build(vt_fit_run *run)
{
    const vt_model *core = run->subject.core;
    int64_t size[VT_MAX_DIMS], map[VT_MAX_DIMS];
    vt_graph_node_size(core->graph, core->core_input, size);
    vt_graph_node_size(core->graph, core->output, map);
    vt_gaussian_readout_options readout = {.name = "readout",
                                           .group_count = run->options.session_count,
                                           .sd = POOL_SD * (double)map[0]};
    for (int i = 0; i < run->options.session_count; i++)
        readout.neurons[i] = (int)run->groups[i].neurons;
    VT_TRY(vt_graph_new(&run->graph, VT_F32, VT_NAMES_KERAS));
    vt_graph *g = run->graph;
    run->image = vt_input(g, "image", 3, size);
    run->group = vt_input(g, "session", 1, (int64_t[]){1});
    run->target = vt_input(g, "responses", 1, (int64_t[]){run->outputs});
    vt_node x = vt_graph_copy(g, run->image, core->graph, core->core_input, core->output, "");
    run->map = x;
    x = vt_batch_norm(
        g, x,
        &(vt_batch_norm_options){.name = "features", .epsilon = EPSILON, .momentum = MOMENTUM});
    x = vt_gaussian_readout(g, x, run->group, &readout);
    run->loss = vt_mean_squared_error(g, x, run->target, "loss");
    VT_TRY(vt_graph_finish(g, run->options.seed));
    vt_graph_set_momentum(g, MOMENTUM);
    return VT_OK;
}

/* He-normal kernels (He et al. 2015): s.d. sqrt(2 / fan in), sqrt(1 / fan in) for depthwise ones,
 * which no ReLU follows. Biases before a normalization do nothing and stay 0. */
static void initialise(vt_fit_run *run)
{
    vt_graph *g = run->graph;
    for (int i = 0; i < vt_graph_param_count(g); i++) {
        vt_param *param = vt_graph_param(g, i);
        if (param->value.ndim != 4) continue;
        int64_t count = vt_tensor_count(&param->value);
        bool depthwise = strstr(param->name, "depthwise") != NULL;
        double fan = (double)(count / param->value.size[0]);
        double sd = sqrt((depthwise ? 1 : 2) / fan);
        vt_rng rng;
        vt_rng_init(&rng, run->options.seed, VT_RNG_INIT, 1, (uint32_t)i);
        for (int64_t k = 0; k < count; k++)
            ((float *)param->value.data)[k] = (float)(sd * vt_rng_normal(&rng));
    }
    for (int i = 0; i < vt_graph_param_count(g); i++) {
        vt_param *param = vt_graph_param(g, i);
        if (vt_ends_with(param->name, "_conv.bias")) param->trainable = false;
    }
    vt_param *scale = vt_graph_find_param(g, "features.gamma");
    for (int64_t c = 0; c < scale->value.size[0]; c++)
        ((float *)scale->value.data)[c] = FEATURE_SCALE;
    vt_graph_set_trainable(g, "features.", false);
    vt_graph_touch(g);
}

static vt_status make_optimizer(vt_fit_run *run)
{
    VT_TRY(vt_optimizer_new(
        &run->optimizer, run->graph,
        &(vt_optimizer_options){.kind = VT_ADAM, .beta1 = 0.9, .beta2 = 0.99, .clip_norm = 5}));
    for (int i = 0; i < vt_graph_param_count(run->graph); i++) {
        const vt_param *param = vt_graph_param(run->graph, i);
        if (param->value.ndim == 4)
            vt_optimizer_set_decay(run->optimizer, param->name, run->options.weight_decay);
    }
    vt_optimizer_set_rate(run->optimizer, "readout.position", 3);
    vt_optimizer_set_rate(run->optimizer, "readout.log_sd", 3);
    return VT_OK;
}

vt_status vt_fit_make_plan(vt_fit_run *run)
{
    run->floats = vt_weights_count(run->graph);
    size_t bytes = (size_t)run->floats * sizeof(float);
    VT_TRY(vt_arena_alloc(run->arena, &run->average, bytes, "averaged weights"));
    VT_TRY(vt_arena_alloc(run->arena, &run->best, bytes, "best weights"));
    vt_weights_gather(run->graph, run->average);
    return vt_plan_new(&run->plan, run->graph,
                       &(vt_plan_options){.batch = run->options.batch,
                                          .training = true,
                                          .backward = true,
                                          .outputs = &run->loss,
                                          .output_count = 1,
                                          .seed = run->options.seed});
}

vt_status vt_fit_make_network(vt_fit_run *run)
{
    VT_TRY(build(run));
    initialise(run);
    VT_TRY(make_optimizer(run));
    return vt_fit_make_plan(run);
}

void vt_fit_free_network(vt_fit_run *run)
{
    vt_plan_free(run->plan);
    vt_optimizer_free(run->optimizer);
    vt_graph_free(run->graph);
}

/* ---- export ---- */

/* A parameter's values in a block. */
static const float *values_in(const vt_fit_run *run, const float *block, const char *name)
{
    for (int i = 0; i < vt_graph_param_count(run->graph); i++) {
        const vt_param *param = vt_graph_param(run->graph, i);
        if (strcmp(param->name, name) == 0) return block;
        block += vt_tensor_count(&param->value);
    }
    return NULL;
}

vt_status vt_fit_feature_statistics(const vt_fit_run *run, float *block, vt_tensor *mean,
                                    vt_tensor *variance)
{
    int64_t channels = vt_graph_find_param(run->graph, "features.gamma")->value.size[0];
    const float *m = values_in(run, block, "features.moving_mean");
    const float *v = values_in(run, block, "features.moving_variance");
    VT_TRY(vt_tensor_init(mean, VT_F32, 1, &channels, block + (m - block)));
    return vt_tensor_init(variance, VT_F32, 1, &channels, block + (v - block));
}

/* The core's parameters come first in the network; the first of all is the kernel that pixels meet.
 */
static void export_core(vt_graph *to, const vt_fit_run *run, const float *block)
{
    for (int i = 0; i < vt_graph_param_count(to); i++) {
        vt_param *param = vt_graph_param(to, i);
        const float *from = values_in(run, block, param->name);
        if (!from) continue;
        memcpy(param->value.data, from, vt_tensor_bytes(&param->value));
        if (from != block || run->subject.front) continue;
        for (int64_t k = 0; k < vt_tensor_count(&param->value); k++)
            ((float *)param->value.data)[k] /= (float)VT_FIT_PIXEL_SCALE;
    }
}

/* A parameter of the readout of the model's one map. */
static vt_param *readout_param(vt_model *model, const char *name)
{
    vt_model_map maps[VT_ENSEMBLE_MEMBERS];
    char full[VT_NAME_SIZE];
    vt_model_maps(model, maps);
    snprintf(full, sizeof full, "%s%s", maps[0].prefix, name);
    return vt_graph_find_param(vt_model_graph(model), full);
}

/* With features f' = s (f - mean) / sqrt(variance + epsilon) and response sd z + mean:
 * mixing = sd m s / sqrt(variance + epsilon), its bias - sum mixing mean, the pool's sd b + mean.
 */
static void export_neuron(vt_model *to, const vt_fit_run *run, const float *block, int64_t i,
                          double mean, double sd)
{
    vt_param *mixing = readout_param(to, "mixing_stage.kernel");
    vt_param *pool = readout_param(to, "spatial_pool_stage.depthwise_kernel");
    int64_t channels = mixing->value.size[3], height = pool->value.size[1];
    int64_t width = pool->value.size[2];
    const float *m = values_in(run, block, "readout.mixing") + i * channels;
    const float *b = values_in(run, block, "readout.bias") + i;
    const float *position = values_in(run, block, "readout.position") + 2 * i;
    const float *log_sd = values_in(run, block, "readout.log_sd") + 2 * i;
    const float *f_mean = values_in(run, block, "features.moving_mean");
    const float *f_variance = values_in(run, block, "features.moving_variance");
    double shift = 0, rows[height], columns[width];
    for (int64_t c = 0; c < channels; c++) {
        double w = sd * m[c] * FEATURE_SCALE / sqrt(f_variance[c] + EPSILON);
        ((float *)mixing->value.data)[i * channels + c] = (float)w;
        shift -= w * f_mean[c];
    }
    ((float *)readout_param(to, "mixing_stage.bias")->value.data)[i] = (float)shift;
    vt_gaussian_pool(rows, height, position[0], log_sd[0]);
    vt_gaussian_pool(columns, width, position[1], log_sd[1]);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            ((float *)pool->value.data)[(i * height + y) * width + x] =
                (float)(rows[y] * columns[x]);
    ((float *)readout_param(to, "spatial_pool_stage.bias")->value.data)[i] =
        (float)(sd * b[0] + mean);
}

vt_status vt_fit_export(vt_model **out, vt_fit_run *run, const float *block, bool readout)
{
    vt_model *model;
    VT_TRY(vt_model_with_outputs(&model, run->subject.core, readout ? (int)run->neurons : 0));
    vt_graph *to = vt_model_graph(model);
    export_core(to, run, block);
    for (int s = 0; readout && s < run->options.session_count; s++) {
        const vt_fit_group *g = &run->groups[s];
        vt_model_session session = {.first = g->first, .count = g->neurons};
        strcpy(session.id, run->options.sessions[s].id);
        vt_status status = run->subject.taught ? VT_OK : vt_model_add_session(model, &session);
        if (status != VT_OK) {
            vt_model_free(model);
            return status;
        }
        for (int64_t i = 0; i < g->neurons; i++)
            export_neuron(model, run, block, g->first + i, g->mean[i], g->sd[i]);
    }
    vt_graph_touch(to);
    *out = model;
    return VT_OK;
}
