/* A readout of new neurons on a core that stays as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "models/model.h"
#include "neural/part_progress.h"
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

static vt_param *find(vt_model *model, const vt_model_map *map, const char *tail)
{
    char name[VT_NAME_SIZE];
    snprintf(name, sizeof name, "%s%s", map->prefix, tail);
    return vt_graph_find_param(vt_model_graph(model), name);
}

static void set_all(vt_model *model, const vt_model_map *map, const char *tail,
                    const double *values)
{
    vt_param *param = find(model, map, tail);
    for (int64_t i = 0; i < vt_tensor_count(&param->value); i++)
        ((float *)param->value.data)[i] = values ? (float)values[i] : 0;
}

/* Both flatten (height, width, channels); ridge has (features, targets), a layer (units, features).
 */
static void set_flat(vt_model *model, const vt_model_map *map, const vt_ridge *readout)
{
    int64_t features = vt_ridge_features(readout), targets = vt_ridge_targets(readout);
    const double *weights = vt_ridge_weights(readout);
    float *kernel = find(model, map, "readout.kernel")->value.data;
    for (int64_t f = 0; f < features; f++)
        for (int64_t i = 0; i < targets; i++)
            kernel[i * features + f] = (float)weights[f * targets + i];
    set_all(model, map, "readout.bias", vt_ridge_intercept(readout));
}

static void set_factorized(vt_model *model, const vt_model_map *map, const vt_factorized *readout)
{
    set_all(model, map, "mixing_stage.kernel", vt_factorized_mixing(readout));
    set_all(model, map, "mixing_stage.bias", NULL);
    set_all(model, map, "spatial_pool_stage.depthwise_kernel", vt_factorized_pool(readout));
    set_all(model, map, "spatial_pool_stage.bias", vt_factorized_intercept(readout));
}

static void set_readout(vt_model *model, const vt_model_map *map, const vt_readout *readout)
{
    if (vt_readout_kind_of(readout) == VT_READOUT_RIDGE)
        set_flat(model, map, vt_readout_ridge(readout));
    else
        set_factorized(model, map, vt_readout_factorized(readout));
    vt_graph_touch(vt_model_graph(model));
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

/* What the readouts of all maps are fitted to. */
typedef struct readout_data {
    vt_stimulus_set *stimuli;
    double *y; /* (images, neurons) */
    int64_t begin, end, neurons;
    vt_readout_options options;
    const vt_progress *progress;
} readout_data;

static vt_status fit_map(vt_model *model, const vt_model_map *map, const readout_data *d)
{
    int64_t size[VT_MAX_DIMS];
    vt_readout *readout = NULL;
    vt_graph_node_size(vt_model_graph(model), map->node, size);
    map_list maps = {.begin = d->begin, .floats = size[0] * size[1] * size[2]};
    maps.data = vt_alloc((size_t)(d->end - d->begin), (size_t)maps.floats * sizeof *maps.data);
    if (!maps.data) return VT_ENOMEM;
    vt_predict_options show = {.begin = d->begin,
                               .end = d->end,
                               .tap = vt_graph_node_name(vt_model_graph(model), map->node),
                               .receive = receive_maps,
                               .context = &maps};
    vt_status status = vt_predict(&model, 1, d->stimuli, &show);
    if (status == VT_OK) {
        vt_readout_features x = {maps.data, d->end - d->begin, size[0], size[1], size[2]};
        vt_readout_options options = d->options;
        options.factorized.progress = d->progress;
        status = vt_readout_fit(&readout, &x, d->y, d->neurons, &options);
    }
    free(maps.data);
    VT_TRY(status);
    set_readout(model, map, readout);
    vt_readout_free(readout);
    return VT_OK;
}

static vt_status fit_maps(vt_model *model, vt_session *session, const vt_tensor *averaged,
                          readout_data *d)
{
    vt_model_map maps[VT_ENSEMBLE_MEMBERS];
    int count = vt_model_maps(model, maps);
    VT_TRY(vt_stimulus_set_from_images(&d->stimuli, vt_session_images(session)));
    d->y = responses_of(averaged, d->begin, d->end);
    vt_status status = d->y ? VT_OK : VT_ENOMEM;
    for (int m = 0; m < count && status == VT_OK; m++) {
        vt_part_progress part;
        readout_data one = *d;
        one.progress = vt_part_progress_start(&part, d->progress, "member", m, count);
        status = fit_map(model, &maps[m], &one);
    }
    vt_stimulus_set_close(d->stimuli);
    free(d->y);
    return status;
}

vt_status vt_fit_readout(vt_model **out, vt_model *core, vt_session *session,
                         const vt_fit_session *images, const vt_readout_options *readout,
                         const vt_progress *progress)
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
    vt_readout_options options =
        readout ? *readout : vt_readout_options_default(VT_READOUT_FACTORIZED);
    VT_TRY(options.kind == VT_READOUT_RIDGE
               ? vt_model_with_flat_readout(&model, core, (int)info.neurons)
               : vt_model_with_outputs(&model, core, (int)info.neurons));
    vt_model_session made_for = {.count = info.neurons};
    memcpy(made_for.id, info.id, sizeof made_for.id);
    vt_status status = vt_model_add_session(model, &made_for);
    readout_data data = {.begin = images->begin,
                         .end = end,
                         .neurons = info.neurons,
                         .options = options,
                         .progress = progress};
    if (status == VT_OK) status = fit_maps(model, session, averaged, &data);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}
