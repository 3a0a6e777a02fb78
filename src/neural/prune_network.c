/* The network that is left: weights of the filters that stay, copied into a smaller model. A filter
 * takes with it its kernel, bias and normalization, its depthwise kernel and pointwise column in
 * the next layer, or its readout. */
#include <stdio.h>
#include <string.h>

#include "neural/prune.h"

typedef struct copier {
    vt_graph *from, *to;
    const vt_prune_choice *choice;
} copier;

/* Rows (the first dimension) of the filters of `layer`. */
static void copy_rows(const copier *c, const char *format, int name_layer, int layer)
{
    char name[64];
    snprintf(name, sizeof name, format, name_layer);
    const vt_tensor *from = &vt_graph_find_param(c->from, name)->value;
    vt_tensor *to = &vt_graph_find_param(c->to, name)->value;
    size_t row = vt_tensor_bytes(from) / (size_t)from->size[0];
    for (int i = 0; i < c->choice->count[layer]; i++)
        memcpy((char *)to->data + (size_t)i * row,
               (const char *)from->data + (size_t)c->choice->filters[layer][i] * row, row);
}

/* A matrix's columns of the filters of `layer`, from the rows listed (NULL: all of them). */
static void copy_columns(float *to, const float *from, const int *rows, int64_t row_count,
                         const copier *c, int layer, int64_t columns)
{
    int kept = c->choice->count[layer];
    for (int64_t r = 0; r < row_count; r++)
        for (int i = 0; i < kept; i++)
            to[r * kept + i] = from[(rows ? rows[r] : r) * columns + c->choice->filters[layer][i]];
}

static void copy_layer(const copier *c, int layer, int previous_filters)
{
    static const char *const rows[] = {"layer%d_conv.bias", "layer%d_bn.gamma", "layer%d_bn.beta",
                                       "layer%d_bn.moving_mean", "layer%d_bn.moving_variance"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        copy_rows(c, rows[i], layer, layer);
    if (layer == 0) {
        copy_rows(c, "layer%d_conv.kernel", 0, 0);
        return;
    }
    copy_rows(c, "layer%d_conv.depthwise_kernel", layer, layer - 1);
    char name[64];
    snprintf(name, sizeof name, "layer%d_conv.pointwise_kernel", layer);
    copy_columns(vt_graph_find_param(c->to, name)->value.data,
                 vt_graph_find_param(c->from, name)->value.data, c->choice->filters[layer],
                 c->choice->count[layer], c, layer - 1, previous_filters);
}

static void copy_readout(const copier *c, int filters)
{
    const vt_tensor *from = &vt_graph_find_param(c->from, "Beta.kernel")->value,
                    *bias = &vt_graph_find_param(c->from, "Beta.bias")->value;
    copy_columns(vt_graph_find_param(c->to, "Beta.kernel")->value.data, from->data, NULL,
                 vt_tensor_count(from) / filters, c, VT_PRUNE_INNER, filters);
    memcpy(vt_graph_find_param(c->to, "Beta.bias")->value.data, bias->data, vt_tensor_bytes(bias));
}

vt_status vt_prune_build(vt_model **out, const vt_prune_statistics *statistics,
                         const vt_prune_choice *choice, bool refit)
{
    vt_model *model = statistics->model;
    vt_compact_options whole, shape;
    vt_model *small;
    VT_TRY(vt_model_compact_options(model, &whole));
    shape = whole;
    memcpy(shape.filters, choice->count, sizeof shape.filters);
    VT_TRY(vt_compact_new(&small, &shape));
    copier c = {vt_model_graph(model), vt_model_graph(small), choice};
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        copy_layer(&c, k, k ? whole.filters[k - 1] : 3);
    copy_readout(&c, whole.filters[VT_PRUNE_INNER]);
    vt_status status = refit ? vt_prune_refit(small, statistics, choice) : VT_OK;
    vt_graph_touch(c.to);
    for (int i = 0; i < vt_model_session_count(model) && status == VT_OK; i++)
        status = vt_model_add_session(small, vt_model_session_at(model, i));
    if (status == VT_OK)
        *out = small;
    else
        vt_model_free(small);
    return status;
}
