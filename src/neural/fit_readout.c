/* A readout of new neurons on a core that stays as it is. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/fit.h"
#include "ventral/predict.h"
#include "ventral/readout.h"

typedef struct map_list {
    float *data; /* (images, floats) */
    int64_t begin, floats;
} map_list;

static vt_status receive_maps(void *context, int model, int64_t first, int64_t count,
                              const vt_tensor *values)
{
    const map_list *m = context;
    (void)model, (void)count;
    memcpy(m->data + (first - m->begin) * m->floats, values->data, vt_tensor_bytes(values));
    return VT_OK;
}

/* The new model: the core's layers with its weights, an empty readout of `neurons` neurons. */
static vt_status make_model(vt_model **out, vt_model *core, int64_t neurons)
{
    vt_compact_options options;
    vt_model *model;
    vt_model_get_options(core, &options);
    options.shared = true;
    options.outputs = (int)neurons;
    VT_TRY(vt_compact_new(&model, &options));
    vt_graph *from = vt_model_graph(core), *to = vt_model_graph(model);
    for (int i = 0; i < vt_graph_param_count(to); i++) {
        vt_param *param = vt_graph_param(to, i);
        const vt_param *source = vt_graph_find_param(from, param->name);
        if (strncmp(param->name, "layer", 5) == 0)
            memcpy(param->value.data, source->value.data, vt_tensor_bytes(&param->value));
    }
    *out = model;
    return VT_OK;
}

static void set_all(vt_graph *graph, const char *name, const double *values)
{
    vt_param *param = vt_graph_find_param(graph, name);
    for (int64_t i = 0; i < vt_tensor_count(&param->value); i++)
        ((float *)param->value.data)[i] = values ? (float)values[i] : 0;
}

static void set_readout(vt_model *model, const vt_factorized *readout)
{
    vt_graph *graph = vt_model_graph(model);
    set_all(graph, "mixing_stage.kernel", vt_factorized_mixing(readout));
    set_all(graph, "mixing_stage.bias", NULL);
    set_all(graph, "spatial_pool_stage.depthwise_kernel", vt_factorized_pool(readout));
    set_all(graph, "spatial_pool_stage.bias", vt_factorized_intercept(readout));
    vt_graph_touch(graph);
}

/* Responses of [begin, end) as (images, neurons). */
static double *responses_of(const vt_tensor *averaged, int64_t begin, int64_t end)
{
    int64_t neurons = averaged->size[0], images = averaged->size[1];
    double *y = vt_alloc((size_t)((end - begin) * neurons), sizeof *y);
    for (int64_t k = begin; y && k < end; k++)
        for (int64_t i = 0; i < neurons; i++)
            y[(k - begin) * neurons + i] = ((const double *)averaged->data)[i * images + k];
    return y;
}

static vt_status fit_on(vt_model *model, vt_model *core, vt_session *session,
                        const vt_tensor *averaged, int64_t begin, int64_t end, uint64_t seed,
                        const vt_progress *progress)
{
    int64_t size[VT_MAX_DIMS];
    vt_compact_options shape;
    vt_stimulus_set *stimuli = NULL;
    vt_factorized *readout = NULL;
    vt_model_get_options(core, &shape);
    const char *tap = shape.linear ? "layer4_bn" : "layer4_act";
    vt_graph_node_size(vt_model_graph(core), vt_graph_find(vt_model_graph(core), tap), size);
    map_list maps = {.begin = begin, .floats = size[0] * size[1] * size[2]};
    double *y = responses_of(averaged, begin, end);
    maps.data = vt_alloc((size_t)(end - begin), (size_t)maps.floats * sizeof *maps.data);
    vt_status status = y && maps.data ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_stimulus_set_from_images(&stimuli, vt_session_images(session));
    if (status == VT_OK) {
        vt_predict_options options = {
            .begin = begin, .end = end, .tap = tap, .receive = receive_maps, .context = &maps};
        status = vt_predict(&core, 1, stimuli, &options);
    }
    if (status == VT_OK) {
        vt_factorized_options options = vt_factorized_options_default();
        options.seed = seed;
        options.progress = progress;
        status = vt_factorized_fit(&readout, maps.data, y, end - begin, size[0], size[1], size[2],
                                   averaged->size[0], &options);
    }
    if (status == VT_OK) set_readout(model, readout);
    vt_factorized_free(readout);
    vt_stimulus_set_close(stimuli);
    free(maps.data);
    free(y);
    return status;
}

vt_status vt_fit_readout(vt_model **out, vt_model *core, vt_session *session,
                         const vt_fit_session *images, uint64_t seed, const vt_progress *progress)
{
    vt_session_info info;
    vt_session_get_info(session, &info);
    bool all = images->begin == 0 && images->end == 0;
    int64_t end = all ? info.images : images->end;
    const vt_tensor *averaged = vt_session_averaged(session);
    if (!averaged) return vt_error_context(VT_ENUMERIC, "session %s", info.id);
    if (!info.has_images)
        return vt_error(VT_ENOTFOUND, "session %s has no images to fit a readout on", info.id);
    if (images->begin < 0 || end > info.images || end - images->begin < 10)
        return vt_error(VT_EINVAL,
                        "session %s: images %lld to %lld of %lld; a readout needs at least 10",
                        info.id, (long long)images->begin, (long long)end, (long long)info.images);
    vt_model *model;
    VT_TRY(make_model(&model, core, info.neurons));
    vt_model_session made_for = {.count = info.neurons};
    memcpy(made_for.id, info.id, sizeof made_for.id);
    vt_status status = vt_model_add_session(model, &made_for);
    if (status == VT_OK)
        status = fit_on(model, core, session, averaged, images->begin, end, seed, progress);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}
