/* Pruning: useless filters go and no others, every decision against one made by removing filters
 * from the network itself, the smaller network's responses, bounds, failures. */
#include "test.h"

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/prune.h"
#include "ventral/resnet.h"
#include "ventral/rng.h"
#include "ventral/score.h"

enum { SIDE = 16, IMAGES = 37, LAYERS = VT_COMPACT_LAYERS, MOST = 8 };

static char root[4096];
static vt_image_stream *stream;
static int64_t indices[IMAGES];

static float normal(uint64_t seed, uint32_t index)
{
    vt_rng rng;
    vt_rng_init(&rng, seed, 0, 0, index);
    return (float)vt_rng_normal(&rng);
}

static int set_up(void **state)
{
    char path[4200];
    vt_tensor images;
    const char *list = path;
    (void)state;
    new_folder(root);
    snprintf(path, sizeof path, "%s/images.npy", root);
    assert_ok(vt_tensor_new(&images, VT_U8, 4, (int64_t[]){IMAGES, SIDE, SIDE, 3}));
    for (int64_t i = 0; i < vt_tensor_count(&images); i++) {
        double wave = sin(0.01 * (double)(i / (SIDE * SIDE * 3) + 1) * (double)(i % 600));
        double value = 128 + 60 * wave + 20 * (double)normal(1, (uint32_t)i);
        ((uint8_t *)images.data)[i] = (uint8_t)fmin(fmax(value, 0), 255);
    }
    assert_ok(vt_npy_write(&images, path));
    vt_tensor_free(&images);
    assert_ok(vt_image_stream_open(
        &stream, &(vt_image_stream_options){
                     .paths = &list, .path_count = 1, .height = SIDE, .width = SIDE}));
    for (int i = 0; i < IMAGES; i++)
        indices[i] = (i * 5) % IMAGES;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vt_image_stream_close(stream);
    remove_folder(root);
    return 0;
}

static vt_tensor *find(vt_model *model, const char *name)
{
    vt_param *param = vt_graph_find_param(vt_model_graph(model), name);
    assert_non_null(param);
    return &param->value;
}

/* Parameter `role` of a layer, such as "conv.bias". */
static vt_tensor *of_layer(vt_model *model, int layer, const char *role)
{
    char name[64];
    snprintf(name, sizeof name, "layer%d_%s", layer, role);
    return find(model, name);
}

static float *values_of(vt_model *model, int layer, const char *role)
{
    return of_layer(model, layer, role)->data;
}

/* A model whose channels all vary, and whose biases tell the filters apart. */
static vt_model *make_model(const int filters[LAYERS], bool linear, uint64_t seed)
{
    vt_model *model;
    vt_compact_options o = {
        .height = SIDE, .width = SIDE, .outputs = 1, .linear = linear, .seed = seed};
    memcpy(o.filters, filters, sizeof o.filters);
    assert_ok(vt_compact_new(&model, &o));
    for (int k = 0; k < LAYERS; k++)
        for (int f = 0; f < filters[k]; f++) {
            uint32_t at = (uint32_t)(100 * k + f);
            float scale = k == 0 ? 50 : 1;
            values_of(model, k, "conv.bias")[f] = normal(seed, at);
            values_of(model, k, "bn.gamma")[f] = 1 + 0.3f * normal(seed + 1, at);
            values_of(model, k, "bn.beta")[f] = 1 + 0.3f * normal(seed + 2, at);
            values_of(model, k, "bn.moving_mean")[f] = scale * 0.2f * normal(seed + 3, at);
            values_of(model, k, "bn.moving_variance")[f] =
                scale * scale * (0.1f + 0.05f * fabsf(normal(seed + 4, at)));
        }
    vt_graph_touch(vt_model_graph(model));
    return model;
}

static const int usual[LAYERS] = {6, 8, 5, 7, 6};

/* Filters of the pruned model by their numbers in the whole one, told by their biases. */
static int find_kept(int out[MOST], vt_model *small, vt_model *whole, int layer)
{
    int64_t count = vt_tensor_count(of_layer(small, layer, "conv.bias")),
            all = vt_tensor_count(of_layer(whole, layer, "conv.bias"));
    const float *a = values_of(small, layer, "conv.bias"),
                *b = values_of(whole, layer, "conv.bias");
    for (int64_t i = 0; i < count; i++) {
        int64_t f = 0;
        while (f < all && a[i] != b[f])
            f++;
        assert_true(f < all);
        out[i] = (int)f;
        assert_true(i == 0 || out[i] > out[i - 1]);
    }
    return (int)count;
}

static vt_model *prune(vt_prune_report *report, vt_model *model, const float *target,
                       vt_prune_options options)
{
    vt_model *small;
    assert_ok(vt_prune(&small, report, model, stream, indices, IMAGES, target, &options));
    return small;
}

/* Values of a node for all images: (images, size of the node). */
static double *values_at(vt_model *model, vt_node node, int64_t *size)
{
    vt_plan *plan;
    uint8_t *bytes = vt_alloc(IMAGES * SIDE * SIDE, 3);
    assert_ok(vt_plan_new(&plan, vt_model_graph(model),
                          &(vt_plan_options){.batch = IMAGES,
                                             .outputs = &node,
                                             .output_count = 1,
                                             .backend = VT_BACKEND_REFERENCE}));
    assert_ok(vt_image_stream_read(stream, indices, IMAGES, bytes));
    vt_preprocess(vt_plan_input(plan, vt_model_input(model))->data, bytes, IMAGES * SIDE * SIDE,
                  vt_model_preprocessing(model));
    assert_ok(vt_plan_forward(plan));
    const vt_tensor *t = vt_plan_output(plan, node);
    double *out = vt_alloc((size_t)vt_tensor_count(t), sizeof *out);
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        out[i] = vt_tensor_get(t, i);
    *size = vt_tensor_count(t) / IMAGES;
    vt_plan_free(plan);
    free(bytes);
    return out;
}

static double *responses_of(vt_model *model)
{
    int64_t one;
    return values_at(model, vt_model_output(model), &one);
}

/* ---- the definition, by removing filters and looking at what comes out ---- */

typedef struct direct {
    int kept[LAYERS][MOST], count[LAYERS];
    double share[LAYERS];
} direct;

static void sort_by(int *order, const double *score, int n)
{
    for (int i = 0; i < n; i++) {
        int place = i;
        while (place > 0 && score[order[place - 1]] > score[i]) {
            order[place] = order[place - 1];
            place--;
        }
        order[place] = i;
    }
}

static void keep(direct *d, int layer, const int *order, const double *share, int n, int passed,
                 const vt_prune_options *o)
{
    int removed = passed + (o->form == VT_PRUNE_RELEASED), least = o->minimum;
    if (n - removed < least) removed = n - least;
    if (removed < 0) removed = 0;
    d->count[layer] = 0;
    for (int f = 0; f < n; f++) {
        bool gone = false;
        for (int i = 0; i < removed; i++)
            gone = gone || order[i] == f;
        if (!gone) d->kept[layer][d->count[layer]++] = f;
    }
    d->share[layer] = share[removed];
}

static void direct_last(direct *d, vt_model *model, const double *target, int n,
                        const vt_prune_options *o)
{
    int64_t size;
    vt_compact_options shape;
    assert_ok(vt_model_compact_options(model, &shape));
    vt_graph *graph = vt_model_graph(model);
    double *map =
        values_at(model, vt_graph_find(graph, shape.linear ? "layer4_bn" : "layer4_act"), &size);
    double parts[MOST][IMAGES] = {{0}}, sd[MOST], share[MOST], left[IMAGES];
    const float *readout = find(model, "Beta.kernel")->data;
    int order[MOST], passed = 0;
    for (int i = 0; i < IMAGES; i++)
        for (int64_t at = 0; at < size; at++)
            parts[at % n][i] += map[i * size + at] * (double)readout[at];
    for (int f = 0; f < n; f++) {
        double mean = 0;
        sd[f] = 0;
        for (int i = 0; i < IMAGES; i++)
            mean += parts[f][i] / IMAGES;
        for (int i = 0; i < IMAGES; i++)
            sd[f] += (parts[f][i] - mean) * (parts[f][i] - mean);
    }
    sort_by(order, sd, n);
    for (int removed = 0; removed < n; removed++) {
        for (int i = 0; i < IMAGES; i++) {
            left[i] = 0;
            for (int k = removed; k < n; k++)
                left[i] += parts[order[k]][i];
        }
        double r = vt_pearson(left, target, IMAGES);
        share[removed] = r * r / (removed ? share[0] : 1);
    }
    share[0] = 1;
    while (passed + 1 < n && share[passed + 1] > o->threshold)
        passed++;
    keep(d, LAYERS - 1, order, share, n, passed, o);
    free(map);
}

/* Sum of squares of what the depthwise outputs of the filters `which` give, about the mean of each
 * output channel that is kept. */
static double spread(const double *maps, int64_t samples, int n, const bool *which,
                     const float *weights, const direct *d, int next)
{
    double total = 0;
    for (int o = 0; o < d->count[next]; o++) {
        const float *row = weights + d->kept[next][o] * n;
        double mean = 0, squares = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t s = 0; s < samples; s++) {
                double y = 0;
                for (int f = 0; f < n; f++)
                    y += which[f] ? maps[s * n + f] * (double)row[f] : 0;
                if (pass == 0)
                    mean += y / (double)samples;
                else
                    squares += (y - mean) * (y - mean);
            }
        total += squares;
    }
    return total;
}

static void direct_inner(direct *d, vt_model *model, int layer, int n, const vt_prune_options *o)
{
    char name[32];
    int64_t size;
    snprintf(name, sizeof name, "layer%d_conv_depth", layer + 1);
    double *maps = values_at(model, vt_graph_find(vt_model_graph(model), name), &size);
    const float *weights = values_of(model, layer + 1, "conv.pointwise_kernel");
    double score[MOST], share[MOST];
    int order[MOST], passed = 0;
    bool which[MOST] = {false};
    for (int f = 0; f < n; f++) {
        double squares = 0, products = 0;
        for (int64_t at = f; at < size; at += n) {
            double mean = 0;
            for (int i = 0; i < IMAGES; i++)
                mean += maps[i * size + at] / IMAGES;
            for (int i = 0; i < IMAGES; i++)
                squares += (maps[i * size + at] - mean) * (maps[i * size + at] - mean);
        }
        for (int k = 0; k < d->count[layer + 1]; k++) {
            double weight = (double)weights[d->kept[layer + 1][k] * n + f];
            products += weight * weight;
        }
        score[f] = squares * products;
        which[f] = true;
    }
    sort_by(order, score, n);
    int64_t samples = IMAGES * size / n;
    double whole = spread(maps, samples, n, which, weights, d, layer + 1);
    memset(which, 0, sizeof which);
    share[0] = 1;
    for (int removed = 1; removed < n; removed++) {
        which[order[removed - 1]] = true;
        share[removed] = 1 - spread(maps, samples, n, which, weights, d, layer + 1) / whole;
        if (share[removed] >= o->threshold) passed = removed;
    }
    keep(d, layer, order, share, n, passed, o);
    free(maps);
}

static void check_against_definition(const int filters[LAYERS], bool linear, bool with_target,
                                     vt_prune_options o)
{
    vt_model *model = make_model(filters, linear, 3 + (uint64_t)linear), *small;
    double *own = responses_of(model), target[IMAGES];
    float given[IMAGES];
    direct d;
    vt_prune_report report;
    for (int i = 0; i < IMAGES; i++) {
        given[i] = (float)(own[i] + 0.3 * (double)normal(9, (uint32_t)i));
        target[i] = with_target ? (double)given[i] : own[i];
    }
    direct_last(&d, model, target, filters[LAYERS - 1], &o);
    for (int k = LAYERS - 2; k >= 0; k--)
        direct_inner(&d, model, k, filters[k], &o);
    small = prune(&report, model, with_target ? given : NULL, o);
    for (int k = 0; k < LAYERS; k++) {
        int kept[MOST];
        assert_int_equal(d.count[k], find_kept(kept, small, model, k));
        assert_memory_equal(d.kept[k], kept, (size_t)d.count[k] * sizeof *kept);
        assert_int_equal(filters[k], report.layers[k].before);
        assert_int_equal(d.count[k], report.layers[k].after);
        assert_close(report.layers[k].kept, d.share[k], 1e-5);
    }
    double *after = responses_of(small);
    assert_close(report.r_before, vt_pearson(own, target, IMAGES), 1e-5);
    assert_close(report.r_after, vt_pearson(after, target, IMAGES), 1e-5);
    assert_true(report.parameters_before == vt_model_parameters(model));
    assert_true(report.parameters_after == vt_model_parameters(small));
    free(after);
    free(own);
    vt_model_free(small);
    vt_model_free(model);
}

static void test_definition(void **state)
{
    static const double thresholds[] = {0.3, 0.6, 0.8, 0.9, 0.97, 0.999, 1};
    (void)state;
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++)
        for (int form = VT_PRUNE_CORRECTED; form <= VT_PRUNE_RELEASED; form++) {
            vt_prune_options o = {
                .form = (vt_prune_form)form, .threshold = thresholds[i], .minimum = 1};
            check_against_definition(usual, false, i % 2, o);
            if (i % 3 == 0) check_against_definition(usual, true, !(i % 2), o);
            o.minimum = 4;
            check_against_definition(usual, false, !(i % 2), o);
        }
    check_against_definition((int[]){1, 2, 1, 3, 1}, false, true,
                             (vt_prune_options){.threshold = 0.5, .minimum = 3});
}

/* ---- useless filters ---- */

/* Filter 2 of each layer reaches nothing; filter 4 of layer 1 is never active. */
static void make_useless(vt_model *model, const int filters[LAYERS])
{
    for (int k = 0; k < LAYERS - 1; k++) {
        float *pointwise = values_of(model, k + 1, "conv.pointwise_kernel");
        for (int o = 0; o < filters[k + 1]; o++)
            pointwise[o * filters[k] + 2] = 0;
    }
    int last = filters[LAYERS - 1];
    float *readout = find(model, "Beta.kernel")->data;
    for (int64_t at = 2; at < vt_tensor_count(find(model, "Beta.kernel")); at += last)
        readout[at] = 0;
    values_of(model, 1, "bn.gamma")[4] = 0;
    values_of(model, 1, "bn.beta")[4] = -1; /* ReLU: 0 everywhere */
    vt_graph_touch(vt_model_graph(model));
}

static bool is_useless(int layer, int filter)
{
    return filter == 2 || (layer == 1 && filter == 4);
}

/* The same to 1e-6 of the largest: sums of float32 in another order. */
static void check_responses(const double *a, const double *b)
{
    double largest = 0;
    for (int i = 0; i < IMAGES; i++)
        largest = fmax(largest, fabs(b[i]));
    for (int i = 0; i < IMAGES; i++)
        assert_close(a[i], b[i], 1e-6 * largest);
}

static void test_useless_filters(void **state)
{
    (void)state;
    vt_model *model = make_model(usual, false, 14); /* none of its filters is idle by chance */
    make_useless(model, usual);
    double *before = responses_of(model);
    for (int form = VT_PRUNE_CORRECTED; form <= VT_PRUNE_RELEASED; form++) {
        vt_prune_report report;
        vt_prune_options o = {.form = (vt_prune_form)form, .threshold = 1 - 1e-9, .minimum = 1};
        vt_model *small = prune(&report, model, NULL, o);
        for (int k = 0; k < LAYERS; k++) {
            int kept[MOST], count = find_kept(kept, small, model, k);
            int useless = 1 + (k == 1);
            assert_int_equal(usual[k] - useless - (form == VT_PRUNE_RELEASED), count);
            for (int i = 0; i < count; i++)
                assert_false(is_useless(k, kept[i]));
            if (form == VT_PRUNE_CORRECTED) assert_close(report.layers[k].kept, 1, 1e-9);
        }
        double *after = responses_of(small);
        assert_close(report.r_before, 1, 1e-12);
        if (form == VT_PRUNE_CORRECTED)
            check_responses(after, before);
        else
            assert_true(report.r_after < 1 - 1e-9);
        free(after);
        vt_model_free(small);
    }
    free(before);
    vt_model_free(model);
}

/* What is left answers as the whole network does with the other filters silenced. */
static void test_silenced(void **state)
{
    (void)state;
    for (int linear = 0; linear < 2; linear++) {
        vt_prune_report report;
        vt_model *model = make_model(usual, linear, 21), *small;
        vt_model_session session = {.id = "s", .count = 1, .first_neuron = 5};
        assert_ok(vt_model_add_session(model, &session));
        assert_ok(vt_model_set_epsilon(model, 0.02));
        small = prune(&report, model, NULL, (vt_prune_options){.threshold = 0.7, .minimum = 1});
        assert_int_equal(1, vt_model_session_count(small));
        assert_int_equal(5, (int)vt_model_session_at(small, 0)->first_neuron);
        double *after = responses_of(small);
        int gone = 0;
        for (int k = 0; k < LAYERS; k++) {
            int kept[MOST], count = find_kept(kept, small, model, k), next = 0;
            for (int f = 0; f < usual[k]; f++) {
                if (next < count && kept[next] == f) {
                    next++;
                    continue;
                }
                values_of(model, k, "bn.gamma")[f] = 0;
                values_of(model, k, "bn.beta")[f] = 0;
                gone++;
            }
        }
        assert_true(gone > 5);
        vt_graph_touch(vt_model_graph(model));
        double *silenced = responses_of(model);
        check_responses(after, silenced);
        free(after);
        free(silenced);
        vt_model_free(small);
        vt_model_free(model);
    }
}

/* ---- bounds, failures ---- */

/* ---- refitting ---- */

/* Filter 1 of each layer does what filter 0 does, and both weigh so little that they go first. */
static void make_twins(vt_model *model, const int filters[LAYERS])
{
    static const char *const each[] = {"conv.bias", "bn.gamma", "bn.beta", "bn.moving_mean",
                                       "bn.moving_variance"};
    for (int k = 0; k < LAYERS; k++) {
        const char *kernel = k ? "conv.pointwise_kernel" : "conv.kernel";
        int row = k ? filters[k - 1] : 75;
        memcpy(values_of(model, k, kernel) + row, values_of(model, k, kernel),
               (size_t)row * sizeof(float));
        for (size_t i = 0; i < sizeof each / sizeof *each; i++)
            values_of(model, k, each[i])[1] = values_of(model, k, each[i])[0];
        if (k == LAYERS - 1) break;
        float *depth = values_of(model, k + 1, "conv.depthwise_kernel");
        for (int at = 0; at < 25; at++)
            depth[25 + at] = depth[at];
        float *next = values_of(model, k + 1, "conv.pointwise_kernel");
        for (int o = 0; o < filters[k + 1]; o++)
            for (int f = 0; f < 2; f++)
                next[o * filters[k] + f] *= 0.2f;
    }
    vt_tensor *readout = find(model, "Beta.kernel");
    for (int64_t at = 0; at < vt_tensor_count(readout); at += filters[LAYERS - 1]) {
        float *beta = (float *)readout->data + at;
        beta[0] *= 0.2f;
        beta[1] = beta[0];
    }
    vt_graph_touch(vt_model_graph(model));
}

/* One twin goes, and the other takes over what it did. */
static void test_refit(void **state)
{
    static const int filters[LAYERS] = {6, 6, 6, 6, 6};
    (void)state;
    vt_model *model = make_model(filters, false, 33);
    make_twins(model, filters);
    double *before = responses_of(model), largest = 0;
    vt_prune_options o = {.threshold = 1e-9, .minimum = 5};
    vt_prune_report copied, refitted;
    vt_model_free(prune(&copied, model, NULL, o));
    o.refit = true;
    vt_model *small = prune(&refitted, model, NULL, o);
    double *after = responses_of(small);
    for (int k = 0; k < LAYERS; k++) {
        assert_int_equal(5, refitted.layers[k].after);
        assert_close(refitted.layers[k].kept, copied.layers[k].kept, 0);
    }
    for (int i = 0; i < IMAGES; i++)
        largest = fmax(largest, fabs(before[i]));
    for (int i = 0; i < IMAGES; i++)
        assert_close(after[i], before[i], 1e-3 * largest);
    assert_true(refitted.r_after > 0.9999);
    assert_true(copied.r_after < 0.999);
    free(after);
    free(before);
    vt_model_free(small);
    vt_model_free(model);
}

static void test_minimum(void **state)
{
    (void)state;
    vt_model *model = make_model(usual, false, 31);
    vt_prune_report report;
    for (int minimum = 0; minimum < 9; minimum++) { /* 0: 3 */
        int least = minimum ? minimum : 3;
        vt_model *small =
            prune(&report, model, NULL, (vt_prune_options){.threshold = 1e-9, .minimum = minimum});
        for (int k = 0; k < LAYERS; k++) {
            assert_true(report.layers[k].after >= (least < usual[k] ? least : usual[k]));
            if (k < LAYERS - 1 && least < usual[k]) assert_true(report.layers[k].after < usual[k]);
        }
        vt_model_free(small);
    }
    vt_model_free(model);
}

static void test_refusals(void **state)
{
    (void)state;
    vt_model *model = make_model(usual, false, 41), *other, *small = NULL;
    vt_prune_report report = {.r_before = 7};
    vt_prune_options o = {.threshold = 0};
    float target[IMAGES];
    for (int i = 0; i < IMAGES; i++)
        target[i] = 2.5f;
    assert_status(VT_ENUMERIC,
                  vt_prune(&small, &report, model, stream, indices, IMAGES, target, &o));
    assert_message("target is the same");
    target[3] = NAN;
    assert_status(VT_ENUMERIC,
                  vt_prune(&small, &report, model, stream, indices, IMAGES, target, &o));
    assert_message("image 3 is not finite");
    assert_status(VT_EINVAL, vt_prune(&small, &report, model, stream, indices, 1, NULL, &o));
    assert_message("at least 2");
    assert_status(VT_EINVAL,
                  vt_prune(&small, &report, model, stream, (int64_t[]){0, IMAGES}, 2, NULL, &o));
    static const double wrong[] = {-0.1, 1.01, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        o.threshold = wrong[i];
        assert_status(VT_EINVAL,
                      vt_prune(&small, &report, model, stream, indices, IMAGES, NULL, &o));
        assert_message("threshold");
    }
    o = (vt_prune_options){.minimum = -1};
    assert_status(VT_EINVAL, vt_prune(&small, &report, model, stream, indices, IMAGES, NULL, &o));
    assert_message("minimum");
    o.minimum = 0;
    memset(find(model, "Beta.kernel")->data, 0,
           (size_t)vt_tensor_count(find(model, "Beta.kernel")) * sizeof(float));
    vt_graph_touch(vt_model_graph(model));
    assert_status(VT_ENUMERIC, vt_prune(&small, &report, model, stream, indices, IMAGES, NULL, &o));
    assert_message("response is the same");
    vt_model_free(model);

    vt_compact_options shape = {
        .filters = {2, 2, 2, 2, 2}, .height = SIDE, .width = SIDE, .outputs = 2, .shared = true};
    assert_ok(vt_compact_new(&other, &shape));
    assert_status(VT_EUNSUPPORTED,
                  vt_prune(&small, &report, other, stream, indices, IMAGES, NULL, &o));
    vt_model_free(other);
    shape = (vt_compact_options){.filters = {2, 2, 2, 2, 2}, .height = 20, .width = SIDE};
    shape.outputs = 1;
    assert_ok(vt_compact_new(&other, &shape));
    assert_status(VT_EINVAL, vt_prune(&small, &report, other, stream, indices, IMAGES, NULL, &o));
    assert_message("20 x 16");
    vt_model_free(other);
    shape.outputs = 0;
    assert_ok(vt_compact_new(&other, &shape));
    assert_status(VT_EUNSUPPORTED,
                  vt_prune(&small, &report, other, stream, indices, IMAGES, NULL, &o));
    vt_model_free(other);
    vt_resnet_options resnet = {.depth = 0};
    assert_ok(vt_resnet_parse_name(&resnet, "resnet18"));
    resnet.width = 0.0625;
    resnet.classes = 3;
    assert_ok(vt_resnet_new(&other, &resnet));
    assert_status(VT_EUNSUPPORTED,
                  vt_prune(&small, &report, other, stream, indices, IMAGES, NULL, &o));
    vt_model_free(other);
    assert_null(small);
    assert_true(report.r_before == 7);
}

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    (void)done;
    (void)line;
    assert_int_equal(IMAGES, total);
    return --*(int *)context > 0;
}

static void test_curve(void **state)
{
    static const double thresholds[] = {0.99, 0.5, 0.9, 0.5, 1};
    enum { COUNT = 5 };
    (void)state;
    vt_model *model = make_model(usual, false, 61), *small;
    vt_prune_statistics *s;
    vt_prune_report reports[COUNT], one;
    float target[IMAGES];
    double *own = responses_of(model), held_out[20];
    for (int i = 0; i < IMAGES; i++)
        target[i] = (float)(own[i] + 0.2 * (double)normal(19, (uint32_t)i));
    assert_ok(vt_prune_measure(&s, model, stream, indices, IMAGES, target, NULL));
    vt_prune_images same = {stream, indices, IMAGES, target}, few = {stream, indices, 20, NULL};
    vt_prune_options o = {.minimum = 1};
    assert_ok(vt_prune_curve(reports, s, thresholds, COUNT, &same, &o));
    for (int i = 0; i < COUNT; i++) {
        o.threshold = thresholds[i];
        small = prune(&one, model, target, o);
        assert_memory_equal(one.layers, reports[i].layers, sizeof one.layers);
        assert_true(one.parameters_after == reports[i].parameters_after);
        assert_close(reports[i].r_after, one.r_after, 1e-6);
        assert_close(reports[i].r_before, one.r_before, 1e-6);
        vt_model_free(small);
    }
    assert_true(reports[1].parameters_after < reports[2].parameters_after);
    assert_true(reports[2].parameters_after < reports[0].parameters_after);

    assert_ok(vt_prune_curve(reports, s, thresholds, 2, &few, &o));
    o.threshold = thresholds[1];
    assert_ok(vt_prune_select(&small, &one, s, &o));
    assert_true(isnan(one.r_after));
    double *after = responses_of(small);
    memcpy(held_out, own, sizeof held_out);
    assert_close(reports[1].r_before, 1, 1e-12);
    assert_close(reports[1].r_after, vt_pearson(after, held_out, 20), 1e-5);
    free(after);
    vt_model_free(small);

    reports[0].r_before = 7;
    assert_status(VT_EINVAL, vt_prune_curve(reports, s, (double[]){0.9, 0}, 2, &same, &o));
    assert_message("threshold 0");
    same.count = 1;
    assert_status(VT_EINVAL, vt_prune_curve(reports, s, thresholds, 2, &same, &o));
    same.count = IMAGES;
    int calls = 2;
    vt_progress progress = {stop_at_once, &calls};
    o.progress = &progress;
    assert_status(VT_EINTERRUPTED, vt_prune_curve(reports, s, thresholds, 2, &same, &o));
    calls = 1;
    small = NULL;
    assert_status(VT_EINTERRUPTED,
                  vt_prune(&small, &one, model, stream, indices, IMAGES, NULL, &o));
    assert_null(small);
    assert_true(reports[0].r_before == 7);
    vt_prune_statistics_free(s);
    vt_prune_statistics_free(NULL);
    vt_model_free(model);
    free(own);
}

static void test_memory_failures(void **state)
{
    (void)state;
    vt_model *model = make_model(usual, false, 71);
    vt_prune_options o = {.threshold = 0.9};
    vt_status status = VT_ENOMEM;
    int64_t allowed = 0;
    for (; status != VT_OK; allowed++) {
        vt_model *small = NULL;
        vt_prune_report report;
        vt_alloc_fail_after(allowed);
        status = vt_prune(&small, &report, model, stream, indices, 4, NULL, &o);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || (status == VT_ENOMEM && !small));
        vt_model_free(small);
    }
    assert_true(allowed > 50);
    vt_prune_statistics *s;
    vt_prune_images images = {stream, indices, 4, NULL};
    assert_ok(vt_prune_measure(&s, model, stream, indices, 8, NULL, NULL));
    status = VT_ENOMEM;
    for (allowed = 0; status != VT_OK; allowed++) {
        vt_prune_report reports[2];
        vt_alloc_fail_after(allowed);
        status = vt_prune_curve(reports, s, (double[]){0.5, 0.99}, 2, &images, &o);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_true(allowed > 50);
    vt_prune_statistics_free(s);
    vt_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_useless_filters),
        cmocka_unit_test(test_silenced),   cmocka_unit_test(test_refit),
        cmocka_unit_test(test_minimum),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_curve),      cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
