/* Which filters stay (Cowley, Stan, Pillow & Smith 2026, step 1), decided from the last layer to
 * the first.
 *
 * Last layer: a filter's contribution to the response is the readout applied to its map. Filters
 * are dropped in the order of their contributions' standard deviations, lowest first, while the
 * squared correlation of what remains with the target stays above threshold x that of all.
 *
 * Layers k = 3, 2, 1, 0: filters are dropped in the order of
 *   sum over images and pixels of (d - mean over images of d)^2 x sum of squares of w,
 * d being the depthwise output of the filter's channel in layer k + 1 and w its pointwise weights
 * there, as long as what remains explains the share `threshold` of the variance of the pointwise
 * output Y before batch normalization,
 *   1 - sum (Y - Y' - mean(Y - Y'))^2 / sum (Y - mean Y)^2 >= threshold,
 * means of each output channel over images and pixels. Weights to filters that layer k + 1 has
 * lost already do not count; layers before k are still whole.
 *
 * All this is what the authors' published code does, with two differences. It marks one filter
 * more than it tested (VT_PRUNE_RELEASED). And it looks for the last passing number of filters by a
 * binary search, which supposes that the share falls with every filter dropped; here every number
 * is tested, which costs nothing, and the largest that passes is taken, so that filters which only
 * cancel each other may go together. At equal scores the filter with the lower number goes first;
 * in a layer without variance all may go but the minimum. */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "neural/prune.h"

typedef struct scored {
    double score;
    int filter;
} scored;

static int compare(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return x->filter - y->filter;
}

static int compare_int(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* share[s]: what is left without the first s filters of `order`, by the last layer's measure. */
static void correlation_shares(double *share, const scored *order, const vt_prune_statistics *s,
                               int n)
{
    double variance = 0, with = 0, whole = 0;
    for (int removed = n - 1; removed >= 0; removed--) {
        int f = order[removed].filter;
        variance += s->covariance[f * n + f];
        with += s->with_target[f];
        for (int other = removed + 1; other < n; other++)
            variance += 2 * s->covariance[f * n + order[other].filter];
        share[removed] = variance > 0 ? with * with / (variance * s->target_variance) : 0;
    }
    whole = share[0];
    for (int removed = 0; removed < n; removed++)
        share[removed] = whole > 0 ? share[removed] / whole : 1;
}

static int drop_last(double *share, scored *order, const vt_prune_statistics *s, double threshold)
{
    int n = s->shape.filters[VT_PRUNE_INNER], passed = 0;
    for (int f = 0; f < n; f++)
        order[f] = (scored){s->covariance[f * n + f], f};
    qsort(order, (size_t)n, sizeof *order, compare);
    correlation_shares(share, order, s, n);
    while (passed + 1 < n && share[passed + 1] > threshold)
        passed++;
    return passed;
}

/* Products of the filters' weights to those of the next layer that stay: (n, n). */
static void weight_products(double *out, const float *weights, int n, const vt_prune_choice *choice,
                            int next)
{
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            double sum = 0;
            for (int o = 0; o < choice->count[next]; o++) {
                const float *row = weights + (size_t)choice->filters[next][o] * (size_t)n;
                sum += (double)row[i] * (double)row[j];
            }
            out[i * n + j] = out[j * n + i] = sum;
        }
}

static int drop_inner(double *share, scored *order, double *products, const vt_prune_statistics *s,
                      const vt_prune_choice *choice, int layer, double threshold)
{
    int n = s->shape.filters[layer], passed = 0;
    const vt_prune_channels *channels = &s->inner[layer];
    char name[64];
    snprintf(name, sizeof name, "layer%d_conv.pointwise_kernel", layer + 1);
    const vt_param *kernel = vt_graph_find_param(vt_model_graph(s->model), name);
    weight_products(products, kernel->value.data, n, choice, layer + 1);
    double whole = 0, lost = 0;
    for (int i = 0; i < n; i++) {
        order[i] = (scored){channels->squares[i] * products[i * n + i], i};
        for (int j = 0; j < n; j++)
            whole += channels->covariance[i * n + j] * products[i * n + j];
    }
    qsort(order, (size_t)n, sizeof *order, compare);
    share[0] = 1;
    for (int removed = 1; removed < n; removed++) {
        int f = order[removed - 1].filter;
        lost += channels->covariance[f * n + f] * products[f * n + f];
        for (int other = 0; other < removed - 1; other++) {
            int at = f * n + order[other].filter;
            lost += 2 * channels->covariance[at] * products[at];
        }
        share[removed] = whole > 0 ? 1 - lost / whole : 1;
        if (share[removed] >= threshold) passed = removed;
    }
    return passed;
}

typedef struct limits {
    double threshold;
    int minimum;
    bool released;
} limits;

/* `passed` is the largest number of filters whose removal passes. */
static vt_status keep(vt_prune_choice *choice, int layer, const scored *order, const double *share,
                      int n, int passed, const limits *l)
{
    int removed = passed + l->released;
    if (removed > n - l->minimum) removed = n > l->minimum ? n - l->minimum : 0;
    int *filters = vt_alloc((size_t)(n - removed), sizeof *filters);
    if (!filters) return VT_ENOMEM;
    for (int i = removed; i < n; i++)
        filters[i - removed] = order[i].filter;
    qsort(filters, (size_t)(n - removed), sizeof *filters, compare_int);
    choice->filters[layer] = filters;
    choice->count[layer] = n - removed;
    choice->kept[layer] = share[removed];
    return VT_OK;
}

static vt_status choose(vt_prune_choice *choice, const vt_prune_statistics *s, const limits *l)
{
    int largest = 0;
    for (int k = 0; k < VT_COMPACT_LAYERS; k++)
        if (s->shape.filters[k] > largest) largest = s->shape.filters[k];
    size_t n = (size_t)largest;
    double *share = vt_alloc(n, sizeof *share), *products = vt_alloc(n * n, sizeof *products);
    scored *order = vt_alloc(n, sizeof *order);
    vt_status status = share && products && order ? VT_OK : VT_ENOMEM;
    for (int k = VT_COMPACT_LAYERS - 1; k >= 0 && status == VT_OK; k--) {
        int passed = k == VT_PRUNE_INNER
                         ? drop_last(share, order, s, l->threshold)
                         : drop_inner(share, order, products, s, choice, k, l->threshold);
        status = keep(choice, k, order, share, s->shape.filters[k], passed, l);
    }
    free(order);
    free(products);
    free(share);
    return status;
}

vt_status vt_prune_choose(vt_prune_choice *out, const vt_prune_statistics *statistics,
                          const vt_prune_options *options)
{
    limits l = {.threshold = options->threshold != 0 ? options->threshold : 0.9,
                .minimum = options->minimum != 0 ? options->minimum : 3,
                .released = options->form == VT_PRUNE_RELEASED};
    if (!(l.threshold > 0 && l.threshold <= 1))
        return vt_error(VT_EINVAL, "prune: threshold %g; above 0, up to 1 is possible",
                        options->threshold);
    if (l.minimum < 1)
        return vt_error(VT_EINVAL, "prune: a minimum of %d filters; at least 1 is needed",
                        options->minimum);
    vt_prune_choice choice = {.count = {0}};
    vt_status status = choose(&choice, statistics, &l);
    if (status == VT_OK)
        *out = choice;
    else
        vt_prune_choice_free(&choice);
    return status;
}

void vt_prune_choice_free(vt_prune_choice *choice)
{
    for (int k = 0; k < VT_COMPACT_LAYERS; k++) {
        free(choice->filters[k]);
        choice->filters[k] = NULL;
    }
}
