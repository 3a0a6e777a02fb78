/* The spatial layers of V1, local receptive fields and cortical magnification: values and gradients
 * of the authors' code, properties of the maps, determinism, hostile options. */
#include "test.h"

#include "base/arena.h"
#include "base/half.h"
#include "naive_polar.h"
#include "op_driver.h"
#include "ops/polar_map.h"
#include "ventral/io.h"
#include "ventral/progress.h"

static const vt_backend *const backends[] = {&vt_backend_reference, &vt_backend_onednn};

/* ---- the authors' values ---- */

/* Runs of an NCHW array as NHWC: element i of the latter. */
static double nhwc_at(const vt_tensor *nchw, int64_t i)
{
    int64_t channels = nchw->size[1], pixels = nchw->size[2] * nchw->size[3];
    int64_t c = i % channels, q = i / channels % pixels, n = i / channels / pixels;
    return vt_tensor_get(nchw, (n * channels + c) * pixels + q);
}

/* Weight (1, filters, channels, height, width, taps) as (height, width, filters, taps, channels).
 */
static double local_at(const vt_tensor *w, int64_t i)
{
    int64_t filters = w->size[1], channels = w->size[2], taps = w->size[5];
    int64_t positions = w->size[3] * w->size[4];
    int64_t c = i % channels, t = i / channels % taps, f = i / channels / taps % filters;
    int64_t p = i / channels / taps / filters;
    return vt_tensor_get(w, ((f * channels + c) * positions + p) * taps + t);
}

typedef double (*element)(const vt_tensor *golden, int64_t i);

static const vt_tensor *find(const vt_tensor_map *golden, const char *name)
{
    const vt_tensor *t = vt_tensor_map_find(golden, name);
    if (!t) fail_msg("no %s", name);
    return t;
}

static void take(const vt_tensor *to, const vt_tensor_map *golden, const char *name, element at)
{
    const vt_tensor *from = find(golden, name);
    assert_int_equal(vt_tensor_count(to), vt_tensor_count(from));
    for (int64_t i = 0; i < vt_tensor_count(to); i++)
        op_set(to, i, at(from, i));
}

static void expect(const vt_tensor *actual, const vt_tensor_map *golden, const char *name,
                   element at)
{
    vt_tensor expected;
    assert_ok(vt_tensor_new(&expected, VT_F64, actual->ndim, actual->size));
    take(&expected, golden, name, at);
    op_assert_near(name, actual, &expected, 1e-5);
    vt_tensor_free(&expected);
}

/* The case in float on both backends and in double, with the authors' numbers. */
static void check_golden(const char *path, const char *text)
{
    vt_tensor_map *golden;
    assert_ok(vt_npz_read(&golden, path));
    for (int way = 0; way < 3; way++) {
        op_case c = op_parse(text);
        op_run r;
        op_mode mode = {.backward = true, .dtype = way == 2 ? VT_F64 : VT_F32};
        if (!op_open(&r, backends[way % 2], &c, &mode)) continue;
        vt_op_args *a = &r.args;
        bool has_kernel = r.shape.params == 1;
        take(&a->in[0], golden, "x", nhwc_at);
        take(&a->grad_out, golden, "gy", nhwc_at);
        if (has_kernel) take(&a->param[0], golden, "param.weight", local_at);
        op_forward(&r);
        op_backward(&r);
        expect(&a->out, golden, "y", nhwc_at);
        expect(&a->grad_in[0], golden, "gx", nhwc_at);
        if (has_kernel) expect(&a->grad_param[0], golden, "grad.weight", local_at);
        op_close(&r);
    }
    vt_tensor_map_free(golden);
}

static void test_published_local_receptive_field(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/local_rf.npz");
    check_golden(path, "local_receptive_field n3h8w8c4k3o6");
}

static void test_published_cortical_magnification(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/cortical_magnification.npz");
    check_golden(path, "cortical_magnification n2h32w32c5 released");
}

static float *new_masks(float counts[VT_POLAR_BINS])
{
    float *masks = malloc(sizeof *masks * VT_POLAR_BINS * VT_POLAR_PIXELS);
    assert_non_null(masks);
    vt_polar_masks(masks, counts);
    return masks;
}

/* The authors' map, from the masks that go into checkpoints. */
static void test_published_masks(void **state)
{
    (void)state;
    need_shared(path, "golden/v1_layers/cortical_magnification.npz");
    vt_tensor_map *golden;
    assert_ok(vt_npz_read(&golden, path));
    const vt_tensor *x = find(golden, "x"), *y = find(golden, "y");
    float counts[VT_POLAR_BINS], *masks = new_masks(counts);
    naive_polar *polar = calloc(1, sizeof *polar);
    for (int b = 0; b < VT_POLAR_BINS; b++) {
        polar->divisor[b / 30][b % 30] = counts[b];
        for (int q = 0; q < VT_POLAR_PIXELS; q++)
            polar->mask[b / 30][b % 30][q / 32][q % 32] = masks[b * VT_POLAR_PIXELS + q];
    }
    for (int64_t channel = 0; channel < x->size[0] * x->size[1]; channel++) {
        double image[VT_POLAR_PIXELS], map[16][16];
        for (int q = 0; q < VT_POLAR_PIXELS; q++)
            image[q] = vt_tensor_get(x, channel * VT_POLAR_PIXELS + q);
        naive_polar_apply(polar, VT_RELEASED, image, map);
        for (int q = 0; q < VT_POLAR_SITES; q++)
            assert_close(map[q / 16][q % 16], vt_tensor_get(y, channel * VT_POLAR_SITES + q), 2e-6);
    }
    free(polar);
    free(masks);
    vt_tensor_map_free(golden);
}

/* ---- properties of the maps ---- */

static double row_sum(const vt_sparse *m, int row)
{
    double sum = 0;
    for (int e = m->start[row]; e < m->start[row + 1]; e++)
        sum += m->weight[e];
    return sum;
}

/* 16 + 24 empty bins in the two outer rings, none elsewhere; all numbers fit half precision. */
static void test_masks(void **state)
{
    (void)state;
    float counts[VT_POLAR_BINS], *masks = new_masks(counts);
    int empty[VT_POLAR_RINGS] = {0};
    for (int b = 0; b < VT_POLAR_BINS; b++) {
        double sum = 0;
        for (int q = 0; q < VT_POLAR_PIXELS; q++) {
            float weight = masks[b * VT_POLAR_PIXELS + q];
            assert_true(weight >= 0 && weight <= 1);
            assert_true(vt_float_from_half(vt_half_from_float(weight)) == weight);
            sum += weight;
        }
        assert_true(vt_float_from_half(vt_half_from_float(counts[b])) == counts[b]);
        assert_close(sum == 0 ? 1 : sum, counts[b], 2e-3 * counts[b]);
        empty[b / VT_POLAR_ANGLES] += sum == 0;
    }
    for (int ring = 0; ring < VT_POLAR_RINGS; ring++)
        assert_int_equal(empty[ring], ring == 16 ? 16 : ring == 17 ? 24 : 0);
    free(masks);
}

/* released: outer sites are darker, because of the empty bins, and some see nothing. described:
 * each site is a mean of pixels, and each pixel is seen. */
static void test_constant_image(void **state)
{
    (void)state;
    const vt_sparse *released = &vt_polar_map_of(VT_RELEASED)->forward;
    const vt_sparse *described = &vt_polar_map_of(VT_DESCRIBED)->forward;
    int dark = 0, blind = 0;
    for (int site = 0; site < VT_POLAR_SITES; site++) {
        double sum = row_sum(released, site);
        dark += sum < 0.99;
        blind += sum == 0;
        assert_true(site >= 14 * VT_POLAR_CORTEX || fabs(sum - 1) < 1e-3);
        assert_close(row_sum(described, site), 1, 1e-12);
    }
    assert_true(dark >= 16 && dark < 32);
    assert_true(blind > 0);
    const vt_sparse *seen = &vt_polar_map_of(VT_DESCRIBED)->backward;
    for (int q = 0; q < VT_POLAR_PIXELS; q++)
        assert_true(row_sum(seen, q) > 0);
}

static void test_transposes(void **state)
{
    (void)state;
    for (int f = VT_DESCRIBED; f <= VT_RELEASED; f++) {
        const vt_polar_map *map = vt_polar_map_of((vt_formulation)f);
        static double dense[VT_POLAR_SITES][VT_POLAR_PIXELS];
        memset(dense, 0, sizeof dense);
        assert_int_equal(map->forward.rows, VT_POLAR_SITES);
        assert_int_equal(map->backward.rows, VT_POLAR_PIXELS);
        int entries = map->forward.start[VT_POLAR_SITES];
        assert_int_equal(map->backward.start[VT_POLAR_PIXELS], entries);
        assert_true(entries <= VT_POLAR_ENTRIES);
        for (int r = 0; r < VT_POLAR_SITES; r++)
            for (int e = map->forward.start[r]; e < map->forward.start[r + 1]; e++)
                dense[r][map->forward.column[e]] = map->forward.weight[e];
        for (int q = 0; q < VT_POLAR_PIXELS; q++)
            for (int e = map->backward.start[q]; e < map->backward.start[q + 1]; e++)
                assert_true(dense[map->backward.column[e]][q] == map->backward.weight[e]);
    }
}

static void apply_described(const double image[VT_POLAR_PIXELS], double map[VT_POLAR_SITES])
{
    const vt_sparse *m = &vt_polar_map_of(VT_DESCRIBED)->forward;
    for (int site = 0; site < VT_POLAR_SITES; site++) {
        map[site] = 0;
        for (int e = m->start[site]; e < m->start[site + 1]; e++)
            map[site] += m->weight[e] * image[m->column[e]];
    }
}

/* Half a turn of the image is eight columns, its mirror image reverses them. */
static void test_described_symmetry(void **state)
{
    (void)state;
    vt_rng rng;
    vt_rng_init(&rng, 5, VT_RNG_INIT, 0, 0);
    double image[VT_POLAR_PIXELS], turned[VT_POLAR_PIXELS], mirrored[VT_POLAR_PIXELS];
    double map[VT_POLAR_SITES], turned_map[VT_POLAR_SITES], mirrored_map[VT_POLAR_SITES];
    for (int q = 0; q < VT_POLAR_PIXELS; q++)
        image[q] = vt_rng_normal(&rng);
    for (int q = 0; q < VT_POLAR_PIXELS; q++) {
        turned[q] = image[VT_POLAR_PIXELS - 1 - q];
        mirrored[q] = image[q / 32 * 32 + 31 - q % 32];
    }
    apply_described(image, map);
    apply_described(turned, turned_map);
    apply_described(mirrored, mirrored_map);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            assert_close(turned_map[i * 16 + j], map[i * 16 + (j + 8) % 16], 1e-12);
            assert_close(mirrored_map[i * 16 + j], map[i * 16 + (23 - j) % 16], 1e-12);
        }
}

/* A wheel of two spokes that turns by a column's angle shifts the map by one column, and rows show
 * the radius: (i + 1/2) 18 / 16 rings of one pixel from the centre, up to the 14th. */
static void test_described_rows_and_columns(void **state)
{
    (void)state;
    const double column = acos(-1) / 8;
    double wheel[3][VT_POLAR_PIXELS], cone[VT_POLAR_PIXELS];
    double map[3][VT_POLAR_SITES], radius[VT_POLAR_SITES];
    for (int q = 0; q < VT_POLAR_PIXELS; q++) {
        double x = q % 32 - 15.5, y = 15.5 - q / 32;
        cone[q] = hypot(x, y);
        for (int k = 0; k < 3; k++)
            wheel[k][q] = cos(2 * (atan2(y, x) - k * column));
    }
    apply_described(cone, radius);
    for (int k = 0; k < 3; k++)
        apply_described(wheel[k], map[k]);
    for (int i = 2; i < 12; i++)
        for (int j = 0; j < 16; j++) {
            assert_close(radius[i * 16 + j], (i + 0.5) * 18 / 16, 0.1);
            assert_close(map[0][i * 16 + j], cos(2 * (j + 0.5) * column), 0.05);
            for (int k = 1; k < 3; k++)
                assert_close(map[k][i * 16 + j], map[0][i * 16 + (j + 16 - k) % 16], 0.1);
        }
}

/* ---- the fast local receptive fields ---- */

static void test_thread_counts(void **state)
{
    (void)state;
    op_case c = op_parse("local_receptive_field n131h7w6c5k3o9");
    op_run one, more;
    vt_threads_set(1);
    assert_true(op_open(&one, &vt_backend_onednn, &c, &(op_mode){.backward = true}));
    op_forward(&one);
    op_backward(&one);
    for (int threads = 2; threads <= 4; threads++) {
        vt_threads_set(threads);
        assert_true(op_open(&more, &vt_backend_onednn, &c, &(op_mode){.backward = true}));
        op_forward(&more);
        op_backward(&more);
        for (int i = 0; op_result(&one, i); i++)
            assert_memory_equal(op_result(&one, i)->data, op_result(&more, i)->data,
                                vt_tensor_bytes(op_result(&one, i)));
        op_close(&more);
    }
    vt_threads_set(0);
    vt_kernel_request request = {c.op, one.args, true, false, false};
    vt_kernel kernel;
    vt_alloc_fail_after(0);
    assert_status(VT_ENOMEM, vt_backend_onednn.prepare(&kernel, &request));
    vt_alloc_fail_after(-1);
    op_close(&one);
}

/* ---- nodes ---- */

static void test_nodes(void **state)
{
    (void)state;
    vt_graph *g;
    int64_t size[VT_MAX_DIMS];
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_TORCH));
    vt_node x = vt_input(g, "image", 3, (int64_t[]){32, 32, 4});
    x = vt_cortical_magnification(g, x, &(vt_cortical_magnification_options){.name = "lpp"});
    x = vt_local_receptive_field(
        g, x, &(vt_local_receptive_field_options){.name = "conv2", .filters = 6, .kernel = 3});
    assert_ok(vt_graph_finish(g, 1));
    assert_int_equal(vt_graph_node_size(g, x, size), 3);
    assert_true(size[0] == 16 && size[1] == 16 && size[2] == 6);
    assert_true(vt_graph_node_flops(g, x) == 2 * (16 * 3 - 2) * (16 * 3 - 2) * 4 * 6);
    assert_int_equal(vt_graph_param_count(g), 1);
    const vt_param *weight = vt_graph_find_param(g, "conv2.weight");
    assert_non_null(weight);
    int64_t count = vt_tensor_count(&weight->value);
    assert_int_equal(count, 16 * 16 * 6 * 9 * 4);
    double mean = 0, square = 0;
    for (int64_t i = 0; i < count; i++) {
        mean += vt_tensor_get(&weight->value, i) / (double)count;
        square += pow(vt_tensor_get(&weight->value, i), 2) / (double)count;
    }
    assert_close(mean, 0, 0.02); /* N(0, 1): five standard errors */
    assert_close(square, 1, 0.03);
    vt_graph_free(g);
}

static void check_mistake(int ndim, const int64_t *size, const void *options, bool local,
                          vt_status status, const char *message)
{
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_TORCH));
    vt_node x = vt_input(g, "image", ndim, size);
    x = local ? vt_local_receptive_field(g, x, options) : vt_cortical_magnification(g, x, options);
    assert_int_equal(VT_NO_NODE, x);
    assert_status(status, vt_graph_finish(g, 0));
    assert_message("lrf");
    assert_message(message);
    vt_graph_free(g);
}

static void test_hostile_options(void **state)
{
    (void)state;
    typedef vt_local_receptive_field_options local;
    typedef vt_cortical_magnification_options cortical;
    const int64_t image[] = {8, 8, 3}, square[] = {32, 32, 3}, narrow[] = {32, 31, 3};
    check_mistake(3, image, &(local){"lrf", 0, 3}, true, VT_EINVAL, "0 filters");
    check_mistake(3, image, &(local){"lrf", -1, 3}, true, VT_EINVAL, "-1 filters");
    check_mistake(3, image, &(local){"lrf", 4, 0}, true, VT_EINVAL, "kernel is 0");
    check_mistake(3, image, &(local){"lrf", 4, 2}, true, VT_EINVAL, "odd");
    check_mistake(3, image, &(local){"lrf", 4, -3}, true, VT_EINVAL, "kernel is -3");
    check_mistake(3, image, &(local){"lrf", 4, INT32_MAX}, true, VT_ESHAPE, "too large");
    check_mistake(3, image, &(local){"lrf", INT32_MAX, 46339}, true, VT_ESHAPE, "too large");
    check_mistake(1, image, &(local){"lrf", 4, 3}, true, VT_ESHAPE, "expected (height, width");
    check_mistake(3, image, &(cortical){.name = "lrf"}, false, VT_ESHAPE, "(32, 32, channels)");
    check_mistake(3, narrow, &(cortical){.name = "lrf"}, false, VT_ESHAPE, "(32, 31, 3)");
    check_mistake(1, image, &(cortical){.name = "lrf"}, false, VT_ESHAPE, "expected (height");
    check_mistake(3, square, &(cortical){"lrf", (vt_formulation)7}, false, VT_EINVAL,
                  "unknown formulation 7");
    check_mistake(3, square, &(cortical){"lrf", (vt_formulation)-1}, false, VT_EINVAL,
                  "unknown formulation -1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_local_receptive_field),
        cmocka_unit_test(test_published_cortical_magnification),
        cmocka_unit_test(test_published_masks),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_constant_image),
        cmocka_unit_test(test_transposes),
        cmocka_unit_test(test_described_symmetry),
        cmocka_unit_test(test_described_rows_and_columns),
        cmocka_unit_test(test_thread_counts),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_hostile_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
