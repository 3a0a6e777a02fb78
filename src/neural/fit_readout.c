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

static void set_all(vt_model *model, const vt_model_map *map, const char *tail,
                    const double *values)
{
    char name[VT_NAME_SIZE];
    snprintf(name, sizeof name, "%s%s", map->prefix, tail);
    vt_param *param = vt_graph_find_param(vt_model_graph(model), name);
    for (int64_t i = 0; i < vt_tensor_count(&param->value); i++)
        ((float *)param->value.data)[i] = values ? (float)values[i] : 0;
}

static void set_readout(vt_model *model, const vt_model_map *map, const vt_factorized *readout)
{
    set_all(model, map, "mixing_stage.kernel", vt_factorized_mixing(readout));
    set_all(model, map, "mixing_stage.bias", NULL);
    set_all(model, map, "spatial_pool_stage.depthwise_kernel", vt_factorized_pool(readout));
    set_all(model, map, "spatial_pool_stage.bias", vt_factorized_intercept(readout));
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
    uint64_t seed;
    const vt_progress *progress;
} readout_data;

static vt_status fit_map(vt_model *model, const vt_model_map *map, const readout_data *d)
{
    int64_t size[VT_MAX_DIMS];
    vt_factorized *readout = NULL;
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
        vt_factorized_options options = vt_factorized_options_default();
        options.seed = d->seed;
        options.progress = d->progress;
        status = vt_factorized_fit(&readout, maps.data, d->y, d->end - d->begin, size[0], size[1],
                                   size[2], d->neurons, &options);
    }
    free(maps.data);
    VT_TRY(status);
    set_readout(model, map, readout);
    vt_factorized_free(readout);
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
    VT_TRY(vt_model_with_outputs(&model, core, (int)info.neurons));
    vt_model_session made_for = {.count = info.neurons};
    memcpy(made_for.id, info.id, sizeof made_for.id);
    vt_status status = vt_model_add_session(model, &made_for);
    readout_data data = {.begin = images->begin,
                         .end = end,
                         .neurons = info.neurons,
                         .seed = seed,
                         .progress = progress};
    if (status == VT_OK) status = fit_maps(model, session, averaged, &data);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}
