/* What training made of components: parameters set by hand, filters whose preference is known,
 * receptive fields of kernels that are points. */
#include "test.h"

#include "base/arena.h"
#include "ventral/components.h"
#include "ventral/resnet.h"

#define PI 3.14159265358979323846

static vt_model *make(vt_resnet_variant variant, vt_formulation formulation)
{
    vt_model *model;
    vt_resnet_options options = {.variant = variant,
                                 .depth = 18,
                                 .width = 0.125,
                                 .classes = 3,
                                 .formulation = formulation,
                                 .seed = 5};
    assert_ok(vt_resnet_new(&model, &options));
    return model;
}

static float *values(vt_model *model, const char *name)
{
    vt_param *param = vt_graph_find_param(vt_model_graph(model), name);
    if (!param) fail_msg("no parameter %s", name);
    return param->value.data;
}

static void test_pairs(void **state)
{
    (void)state;
    for (int released = 0; released < 2; released++) {
        vt_model *model = make(VT_RESNET_COMPOSITE_A, released ? VT_RELEASED : VT_DESCRIBED);
        float *sigma1 = values(model, "layer1.0.conv2.dog.dog_conv.sigma1");
        float *scale = values(model, "layer1.0.conv2.dog.dog_conv.sigma2_scale");
        float *total = values(model, "layer1.0.conv2.dog.dog_conv.total_scale");
        const float set[4][3] = {{0.5F, 2, 1}, {2, 1.5F, -3}, {-1, 4, 0}, {1, 0.25F, 2}};
        const double bounded[4][2] = {{0.5, 2}, {2, 1.5}, {0.1, 4}, {1, 1.0001}};
        for (int i = 0; i < 4; i++) {
            sigma1[i] = set[i][0];
            scale[i] = set[i][1];
            total[i] = set[i][2];
        }
        vt_center_surround_pair *pairs;
        int64_t count;
        assert_ok(vt_center_surround_pairs(&pairs, &count, model));
        assert_int_equal(4, count);
        for (int i = 0; i < 4; i++) {
            const vt_center_surround_pair *p = &pairs[i];
            double s1 = bounded[i][0], s2 = s1 * bounded[i][1];
            assert_string_equal("layer1.0.conv2.dog.dog_conv",
                                vt_graph_node_name(vt_model_graph(model), p->node));
            assert_int_equal(i / 2, p->output);
            assert_int_equal(i % 2, p->input);
            assert_close(p->sigma1, s1, 1e-7);
            assert_close(p->sigma2_scale, bounded[i][1], 1e-7);
            assert_close(p->total_scale, set[i][2], 0);
            /* exp(-d^2 / s) falls to 1 / sqrt(e) at its standard deviation. */
            assert_close(p->center, released ? sqrt(s1 / 2) : s1, 1e-7);
            assert_close(p->surround, released ? sqrt(s2 / 2) : s2, 1e-7);
            assert_close(p->ratio, p->surround / p->center, 1e-12);
        }
        free(pairs);
        vt_model_free(model);
    }
}

static void test_widths(void **state)
{
    (void)state;
    vt_model *model = make(VT_RESNET_TUNED_NORM, VT_DESCRIBED);
    float *first = values(model, "layer1.0.dn.sigmas"),
          *second = values(model, "layer1.1.dn.sigmas");
    for (int c = 0; c < 8; c++) {
        first[c] = 1 + (float)c;
        second[c] = -2;
    }
    vt_tuned_width *widths;
    vt_center_surround_pair *pairs;
    int64_t count;
    assert_ok(vt_tuned_widths(&widths, &count, model));
    assert_int_equal(16, count);
    for (int c = 0; c < 16; c++) {
        assert_int_equal(c % 8, widths[c].channel);
        assert_int_equal(8, widths[c].channels);
        assert_close(widths[c].sigma, c < 8 ? 1 + c : 0.5, 1e-7);
        assert_close(widths[c].fraction, widths[c].sigma / 8, 1e-12);
    }
    assert_true(widths[0].node < widths[8].node);
    free(widths);
    assert_ok(vt_center_surround_pairs(&pairs, &count, model));
    assert_int_equal(0, count);
    assert_null(pairs);
    vt_model_free(model);
}

enum { SIDE = 15, FILTERS = 6 };

/* A Gabor of 0.1875 cycles a pixel, or, with frequency 0, a blob. */
static void fill(float *kernel, double degrees, double frequency, const double colour[3])
{
    double angle = degrees * PI / 180;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double dy = y - SIDE / 2, dx = x - SIDE / 2;
            double along = dx * cos(angle) + dy * sin(angle);
            double value = exp(-(dx * dx + dy * dy) / 18) * cos(2 * PI * frequency * along);
            for (int c = 0; c < 3; c++)
                kernel[(y * SIDE + x) * 3 + c] = (float)(value * colour[c]);
        }
}

static void test_filters(void **state)
{
    (void)state;
    static const struct {
        double degrees, frequency, colour[3], chromatic, hue;
    } made[FILTERS - 1] = {{30, 0.1875, {1, 1, 1}, 0, NAN},
                           {0, 0.25, {2, -2, 0}, 1, 0},
                           {135, 0.1875, {-1, -1, 2}, 1, 90},
                           {90, 0.3125, {0, 0, 3}, 2 / 3.0, 90},
                           {0, 0, {1, 1, 1}, 0, NAN}};
    vt_tensor kernels;
    vt_filter_preference *p;
    assert_ok(vt_tensor_new(&kernels, VT_F32, 4, (int64_t[]){FILTERS, SIDE, SIDE, 3}));
    for (int i = 0; i < FILTERS - 1; i++)
        fill((float *)kernels.data + i * SIDE * SIDE * 3, made[i].degrees, made[i].frequency,
             made[i].colour);
    assert_ok(vt_filter_preferences(&p, &kernels));
    for (int i = 0; i < FILTERS - 1; i++) {
        double length = 0;
        for (int c = 0; c < 3; c++)
            length += made[i].colour[c] * made[i].colour[c];
        for (int c = 0; c < 3; c++)
            assert_close(p[i].colour[c], made[i].colour[c] / sqrt(length), 1e-6);
        assert_close(p[i].chromatic, made[i].chromatic, 1e-6);
        if (!isnan(made[i].hue)) assert_close(p[i].hue, made[i].hue, 1e-4);
        assert_close(p[i].separable, 1, 1e-6);
        if (made[i].frequency > 0) {
            assert_close(p[i].orientation, made[i].degrees, 0);
            assert_close(p[i].frequency, made[i].frequency, 1e-12);
            assert_true(p[i].selectivity > 0.5);
        }
    }
    assert_close(p[4].frequency, 0.5 / 16, 1e-12); /* a blob: the lowest, of no orientation */
    assert_true(p[4].selectivity < 0.01);
    assert_true(isnan(p[5].orientation) && isnan(p[5].chromatic));
    free(p);
    /* Half of the energy in another colour and place. */
    float *mixed = kernels.data;
    memset(mixed, 0, SIDE * SIDE * 3 * sizeof *mixed);
    mixed[0] = 2;
    mixed[3 * 9 + 1] = 1;
    assert_ok(vt_filter_preferences(&p, &kernels));
    assert_close(p[0].separable, 0.8, 1e-6);
    assert_close(p[0].colour[0], 1, 1e-6);
    free(p);
    mixed[7] = NAN;
    assert_status(VT_ENUMERIC, vt_filter_preferences(&p, &kernels));
    kernels.size[3] = 1;
    assert_status(VT_ESHAPE, vt_filter_preferences(&p, &kernels));
    kernels.size[3] = 3;
    vt_tensor_free(&kernels);
}

/* conv1, 7 x 7 with stride 2: the place (r, c) has its middle tap on the pixel (2 r, 2 c). */
static void test_fields(void **state)
{
    (void)state;
    vt_model *model = make(VT_RESNET_PLAIN, VT_DESCRIBED);
    float *kernel = values(model, "conv1.weight"); /* (8, 7, 7, 3) */
    memset(kernel, 0, 8 * 7 * 7 * 3 * sizeof *kernel);
    for (int f = 0; f < 4; f++) { /* two taps in the middle row, 2 pixels left and right */
        kernel[((f * 7 + 3) * 7 + 1) * 3 + f % 3] = 1;
        kernel[((f * 7 + 3) * 7 + 5) * 3 + f % 3] = -1;
    }
    vt_graph_touch(vt_model_graph(model));
    vt_unit_field *fields;
    int64_t count;
    assert_ok(vt_unit_fields(&fields, &count, model, "conv1", 1, 0));
    assert_int_equal(256, count); /* every second of 32 x 32 */
    for (int64_t i = 0; i < count; i++) {
        const vt_unit_field *f = &fields[i];
        assert_int_equal(i / 16 * 2, f->row);
        assert_int_equal(i % 16 * 2, f->column);
        assert_close(f->y, 2 * f->row - 31.5, 1e-5);
        if (f->column == 0) continue; /* one of the taps is outside */
        assert_close(f->x, 2 * f->column - 31.5, 1e-5);
        assert_close(f->eccentricity, hypot(f->y, f->x), 1e-9);
        assert_close(f->size, 4, 1e-4);
    }
    assert_close(fields[0].size, 0, 1e-4);
    free(fields);
    assert_status(VT_ENOTFOUND, vt_unit_fields(&fields, &count, model, "conv9", 1, 0));
    assert_status(VT_ESHAPE, vt_unit_fields(&fields, &count, model, "fc", 1, 0));
    assert_message("no map");
    vt_model_free(model);
}

static void test_magnification(void **state)
{
    (void)state;
    for (int magnified = 0; magnified < 2; magnified++) {
        vt_model *model =
            make(magnified ? VT_RESNET_CORTICAL_MAGNIFICATION : VT_RESNET_PLAIN, VT_DESCRIBED);
        vt_unit_field *fields;
        int64_t count;
        assert_ok(vt_unit_fields(&fields, &count, model, "maxpool", 1, 3));
        double inner = 0, outer = 0, near = 0, far = 0;
        int64_t inner_count = 0, outer_count = 0;
        for (int64_t i = 0; i < count; i++) {
            if (isnan(fields[i].size)) continue;
            if (fields[i].eccentricity < 8) {
                inner += fields[i].size;
                near += fields[i].eccentricity;
                inner_count++;
            } else if (fields[i].eccentricity > 20 && fields[i].eccentricity < 28) {
                outer += fields[i].size;
                far += fields[i].eccentricity;
                outer_count++;
            }
        }
        assert_true(inner_count > 0 && outer_count > 0);
        double growth = outer / (double)outer_count / (inner / (double)inner_count);
        if (magnified)
            assert_true(growth > 1.15);
        else
            assert_close(growth, 1, 0.1);
        /* More of the map looks at the middle than its share of the image. */
        if (magnified) assert_true(inner_count > 40);
        if (!magnified) assert_true(inner_count < 20);
        assert_true(far / (double)outer_count > near / (double)inner_count);
        free(fields);
        vt_model_free(model);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    vt_model *model = make(VT_RESNET_COMPOSITE_A, VT_DESCRIBED);
    vt_center_surround_pair *pairs;
    vt_tuned_width *widths;
    vt_unit_field *fields;
    int64_t count, allowed = 0;
    vt_alloc_fail_after(0);
    assert_status(VT_ENOMEM, vt_center_surround_pairs(&pairs, &count, model));
    vt_alloc_fail_after(0);
    assert_status(VT_ENOMEM, vt_tuned_widths(&widths, &count, model));
    vt_status status = VT_ENOMEM;
    for (; status != VT_OK; allowed++) {
        vt_alloc_fail_after(allowed);
        status = vt_unit_fields(&fields, &count, model, "conv1", 1, 0);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_status(VT_ENOMEM, status);
    }
    free(fields);
    assert_true(allowed > 5);
    vt_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),         cmocka_unit_test(test_widths),
        cmocka_unit_test(test_filters),       cmocka_unit_test(test_fields),
        cmocka_unit_test(test_magnification), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
