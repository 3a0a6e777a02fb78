/* Weights fitted to the filters that stay.
 *
 * A pointwise convolution Y = W d + b that loses the channels outside of S does best, in the least
 * squares over the measured images and pixels, with
 *   W' = W C[:, S] C[S, S]^-1,  b' = b + W m - W' m[S],
 * m and C the mean and covariance of the depthwise outputs d (the reconstruction by which He, Zhang
 * & Sun 2017 and Luo, Wu & Lin 2017 prune channels; here in closed form). The readout keeps its
 * spatial pattern for each filter, and the filters' contributions are weighted anew to give the
 * target. What other layers lose is not counted: each layer is fitted as if it alone were pruned.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "neural/linalg.h"
#include "neural/prune.h"

/* Of the mean variance, added to each: channels that are silent or alike leave C[S, S] singular. */
#define RIDGE 1e-6

/* out (kept, columns) = C[S, S]^-1 right (kept, columns), in place. */
static vt_status solve(double *right, const double *covariance, int n, const int *kept, int count,
                       int columns)
{
    double trace = 0, *a = vt_alloc((size_t)count * (size_t)count, sizeof *a);
    if (!a) return VT_ENOMEM;
    for (int i = 0; i < count; i++) {
        trace += covariance[kept[i] * n + kept[i]];
        for (int j = 0; j < count; j++)
            a[i * count + j] = covariance[kept[i] * n + kept[j]];
    }
    /* Where nothing varies, nothing is to be fitted: right is 0, and so is what solves it. */
    double ridge = trace > 0 ? RIDGE * trace / count : 1;
    for (int i = 0; i < count; i++)
        a[i * count + i] += ridge;
    vt_status status = vt_cholesky_solve(a, right, count, columns);
    free(a);
    return status;
}

/* The weights in layer + 1 that read `layer`. */
static vt_status refit_inner(vt_model *small, const vt_prune_statistics *s,
                             const vt_prune_choice *choice, int layer)
{
    const vt_prune_channels *channels = &s->inner[layer];
    int n = s->shape.filters[layer], count = choice->count[layer], rows = choice->count[layer + 1];
    char name[64], bias_name[64];
    snprintf(name, sizeof name, "layer%d_conv.pointwise_kernel", layer + 1);
    snprintf(bias_name, sizeof bias_name, "layer%d_conv.bias", layer + 1);
    const float *from = vt_graph_find_param(vt_model_graph(s->model), name)->value.data;
    float *to = vt_graph_find_param(vt_model_graph(small), name)->value.data;
    float *bias = vt_graph_find_param(vt_model_graph(small), bias_name)->value.data;
    double *right = vt_alloc((size_t)count * (size_t)rows, sizeof *right);
    if (!right) return VT_ENOMEM;
    for (int i = 0; i < count; i++)
        for (int r = 0; r < rows; r++) {
            const float *w = from + (int64_t)choice->filters[layer + 1][r] * n;
            double sum = 0;
            for (int j = 0; j < n; j++)
                sum += (double)w[j] * channels->covariance[j * n + choice->filters[layer][i]];
            right[i * rows + r] = sum;
        }
    vt_status status = solve(right, channels->covariance, n, choice->filters[layer], count, rows);
    for (int r = 0; r < rows && status == VT_OK; r++) {
        const float *w = from + (int64_t)choice->filters[layer + 1][r] * n;
        double shift = 0;
        for (int j = 0; j < n; j++)
            shift += (double)w[j] * channels->mean[j];
        for (int i = 0; i < count; i++) {
            to[r * count + i] = (float)right[i * rows + r];
            shift -= right[i * rows + r] * channels->mean[choice->filters[layer][i]];
        }
        bias[r] += (float)shift;
    }
    free(right);
    return status;
}

static vt_status refit_readout(vt_model *small, const vt_prune_statistics *s,
                               const vt_prune_choice *choice)
{
    int n = s->shape.filters[VT_PRUNE_INNER], count = choice->count[VT_PRUNE_INNER];
    const int *kept = choice->filters[VT_PRUNE_INNER];
    vt_tensor *beta = &vt_graph_find_param(vt_model_graph(small), "Beta.kernel")->value;
    float *bias = vt_graph_find_param(vt_model_graph(small), "Beta.bias")->value.data;
    double intercept = s->target_mean, *scale = vt_alloc((size_t)count, sizeof *scale);
    if (!scale) return VT_ENOMEM;
    for (int i = 0; i < count; i++)
        scale[i] = s->with_target[kept[i]];
    vt_status status = solve(scale, s->covariance, n, kept, count, 1);
    for (int64_t k = 0; k < vt_tensor_count(beta) && status == VT_OK; k++)
        ((float *)beta->data)[k] *= (float)scale[k % count];
    for (int i = 0; i < count; i++)
        intercept -= scale[i] * s->mean[kept[i]];
    if (status == VT_OK) *bias = (float)intercept;
    free(scale);
    return status;
}

vt_status vt_prune_refit(vt_model *small, const vt_prune_statistics *statistics,
                         const vt_prune_choice *choice)
{
    for (int k = 0; k < VT_PRUNE_INNER; k++)
        VT_TRY(refit_inner(small, statistics, choice, k));
    return refit_readout(small, statistics, choice);
}
