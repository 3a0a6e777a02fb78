/* One neuron of a shared compact model as a compact model of its own. */
#include <stdio.h>
#include <string.h>

#include "models/model.h"

/* The same layers, by name. */
static void copy_core(vt_graph *to, vt_graph *from)
{
    for (int i = 0; i < vt_graph_param_count(to); i++) {
        vt_param *param = vt_graph_param(to, i);
        const vt_param *same = vt_graph_find_param(from, param->name);
        if (same) memcpy(param->value.data, same->value.data, vt_tensor_bytes(&param->value));
    }
}

/* Beta[s, c] = pool[s] mixing[c]; the mixing stage's bias is pooled too. */
static void copy_readout(vt_graph *to, vt_graph *from, int64_t output)
{
    const vt_tensor *mixing = &vt_graph_find_param(from, "mixing_stage.kernel")->value;
    const vt_tensor *pool =
        &vt_graph_find_param(from, "spatial_pool_stage.depthwise_kernel")->value;
    int64_t channels = mixing->size[3], places = pool->size[1] * pool->size[2];
    const float *m = (const float *)mixing->data + output * channels;
    const float *p = (const float *)pool->data + output * places;
    float *beta = vt_graph_find_param(to, "Beta.kernel")->value.data;
    double sum = 0;
    for (int64_t s = 0; s < places; s++) {
        sum += (double)p[s];
        for (int64_t c = 0; c < channels; c++)
            beta[s * channels + c] = p[s] * m[c];
    }
    double inner = vt_tensor_get(&vt_graph_find_param(from, "mixing_stage.bias")->value, output);
    double outer =
        vt_tensor_get(&vt_graph_find_param(from, "spatial_pool_stage.bias")->value, output);
    *(float *)vt_graph_find_param(to, "Beta.bias")->value.data = (float)(outer + sum * inner);
}

/* The session that `output` belongs to, where the model says so. */
static vt_status copy_session(vt_model *to, const vt_model *from, int64_t output)
{
    for (int i = 0; i < vt_model_session_count(from); i++) {
        const vt_model_session *s = vt_model_session_at(from, i);
        if (output < s->first || output >= s->first + s->count) continue;
        vt_model_session own = *s;
        own.first = 0;
        own.count = 1;
        own.first_neuron = s->first_neuron + output - s->first;
        return vt_model_add_session(to, &own);
    }
    return VT_OK;
}

vt_status vt_compact_split(vt_model **out, vt_model *shared, int64_t output)
{
    vt_compact_options options;
    vt_model *model;
    VT_TRY(vt_model_compact_options(shared, &options));
    if (!options.shared || output < 0 || output >= options.outputs)
        return vt_error(VT_EINVAL, "%s: neuron %lld of a shared compact model with %d is wanted",
                        vt_model_label(shared), (long long)output, options.outputs);
    options.shared = false;
    options.outputs = 1;
    VT_TRY(vt_compact_new(&model, &options));
    copy_core(vt_model_graph(model), vt_model_graph(shared));
    copy_readout(vt_model_graph(model), vt_model_graph(shared), output);
    vt_graph_touch(vt_model_graph(model));
    vt_status status = copy_session(model, shared, output);
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    *out = model;
    return VT_OK;
}
