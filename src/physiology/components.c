/* Learned parameters of V1 networks, in units of what they do. */
#include "ventral/components.h"

#include "base/arena.h"
#include "ops/center_surround.h"
#include "ops/normalization.h"
#include "ventral/resnet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The node's parameter of that name; NULL when the node is of another kind. */
static const vt_tensor *parameter(vt_graph *graph, vt_node node, const char *kind, const char *name)
{
    char text[VT_NAME_SIZE + 32];
    if (strcmp(vt_graph_node_kind(graph, node), kind) != 0) return NULL;
    snprintf(text, sizeof text, "%s.%s", vt_graph_node_name(graph, node), name);
    const vt_param *found = vt_graph_find_param(graph, text);
    return found ? &found->value : NULL;
}

static int64_t count_elements(vt_graph *graph, const char *kind, const char *name)
{
    int64_t count = 0;
    for (vt_node node = 0; node < vt_graph_node_count(graph); node++) {
        const vt_tensor *t = parameter(graph, node, kind, name);
        if (t) count += vt_tensor_count(t);
    }
    return count;
}

/* As the layers bound their parameters; NaN stays. */
static double bounded(double value, double least)
{
    return value < least ? least : value;
}

/* The formulations' Gaussians are exp(-d^2 / 2 s^2) and exp(-d^2 / s). */
static double deviation(double sigma, vt_formulation formulation)
{
    return formulation == VT_RELEASED ? sqrt(sigma / 2) : sigma;
}

vt_status vt_center_surround_pairs(vt_center_surround_pair **out, int64_t *out_count,
                                   vt_model *model)
{
    vt_graph *graph = vt_model_graph(model);
    vt_resnet_options options;
    int64_t count = count_elements(graph, "center_surround", "sigma1"), at = 0;
    if (count > 0) VT_TRY(vt_model_resnet_options(model, &options));
    vt_center_surround_pair *pairs = count > 0 ? vt_alloc((size_t)count, sizeof *pairs) : NULL;
    if (count > 0 && !pairs) return VT_ENOMEM;
    for (vt_node node = 0; count > 0 && node < vt_graph_node_count(graph); node++) {
        const vt_tensor *sigma1 = parameter(graph, node, "center_surround", "sigma1");
        if (!sigma1) continue;
        const vt_tensor *scale = parameter(graph, node, "center_surround", "sigma2_scale");
        const vt_tensor *total = parameter(graph, node, "center_surround", "total_scale");
        for (int64_t i = 0; i < vt_tensor_count(sigma1); i++) {
            vt_center_surround_pair *p = &pairs[at++];
            *p = (vt_center_surround_pair){
                .node = node,
                .output = (int)(i / sigma1->size[1]),
                .input = (int)(i % sigma1->size[1]),
                .sigma1 = bounded(vt_tensor_get(sigma1, i), VT_DOG_LEAST_SIGMA),
                .sigma2_scale = bounded(vt_tensor_get(scale, i), VT_DOG_LEAST_RATIO),
                .total_scale = vt_tensor_get(total, i)};
            p->center = deviation(p->sigma1, options.formulation);
            p->surround = deviation(p->sigma1 * p->sigma2_scale, options.formulation);
            p->ratio = p->surround / p->center;
        }
    }
    *out = pairs;
    *out_count = count;
    return VT_OK;
}

vt_status vt_tuned_widths(vt_tuned_width **out, int64_t *out_count, vt_model *model)
{
    vt_graph *graph = vt_model_graph(model);
    int64_t count = count_elements(graph, "tuned_normalization", "sigmas"), at = 0;
    vt_tuned_width *widths = count > 0 ? vt_alloc((size_t)count, sizeof *widths) : NULL;
    if (count > 0 && !widths) return VT_ENOMEM;
    for (vt_node node = 0; count > 0 && node < vt_graph_node_count(graph); node++) {
        const vt_tensor *sigmas = parameter(graph, node, "tuned_normalization", "sigmas");
        if (!sigmas) continue;
        int channels = (int)vt_tensor_count(sigmas);
        for (int c = 0; c < channels; c++) {
            double sigma = bounded(vt_tensor_get(sigmas, c), VT_TUNED_LEAST_SIGMA);
            widths[at++] = (vt_tuned_width){node, c, channels, sigma, sigma / channels};
        }
    }
    *out = widths;
    *out_count = count;
    return VT_OK;
}
