/* The shared model that students start from: it learns all of its neurons, in the teacher's units,
 * without the images that are held out; its parts are students; a stopped run goes on; refusals. */
#include "toy_distill.h"

#include <unistd.h>

#include "ventral/score.h"

enum { IMAGES = 400, NEURONS = 2 };

static const int64_t neurons[NEURONS] = {2, 1};

static vt_distill_start_options usual(void)
{
    return (vt_distill_start_options){
        .filters = {8, 8, 8, 8, 8}, .held_out = 60, .passes = 6, .batch = 16, .seed = 5};
}

static double median_r(const toy *t, vt_model *model)
{
    double r[NEURONS], a[IMAGES], b[IMAGES];
    float *got = toy_responses(t, model);
    for (int n = 0; n < NEURONS; n++) {
        float *want = toy_responses(t, t->models[neurons[n]]);
        for (int i = 0; i < IMAGES; i++) {
            a[i] = (double)got[i * NEURONS + n];
            b[i] = (double)want[i];
        }
        r[n] = vt_pearson(a, b, IMAGES);
        free(want);
    }
    free(got);
    return vt_median(r, NEURONS);
}

static void test_learns(void **state)
{
    (void)state;
    toy t;
    vt_model *model, *again;
    vt_distill_start_options o = usual();
    toy_open(&t, 3, IMAGES);
    assert_ok(vt_distill_start(&model, neurons, NEURONS, t.teacher, t.stream, &o));
    assert_int_equal(NEURONS, vt_model_outputs(model));
    assert_true(median_r(&t, model) > 0.8);
    assert_ok(vt_distill_start(&again, neurons, NEURONS, t.teacher, t.stream, &o));
    toy_assert_same_weights(model, again);
    vt_model_free(again);

    /* Students made of it go on from what it knows. */
    vt_model *parts[NEURONS];
    vt_distill_student students[NEURONS];
    vt_distill_report report;
    for (int i = 0; i < NEURONS; i++) {
        assert_ok(vt_compact_split(&parts[i], model, i));
        students[i] = (vt_distill_student){parts[i], &neurons[i]};
    }
    vt_distill_options more = {
        .held_out = 60, .batch = 16, .rate = 1e-4, .readout_rate = 0.1, .seed = 5};
    assert_ok(vt_distill(students, NEURONS, t.teacher, t.stream, &more, &report));
    for (int i = 0; i < NEURONS; i++) {
        assert_true(report.r[i] > 0.7);
        vt_model_free(parts[i]);
    }
    vt_distill_report_free(&report);
    vt_model_free(model);
    toy_close(&t);
}

/* ---- stopped and resumed ---- */

typedef struct stopper {
    int64_t after; /* reports */
} stopper;

static bool stop(void *context, int64_t done, int64_t total, const char *line)
{
    stopper *s = context;
    (void)done, (void)total, (void)line;
    return s->after-- > 0;
}

static void test_resumes(void **state)
{
    (void)state;
    toy t;
    vt_model *whole, *model = NULL;
    char path[4200];
    vt_distill_start_options o = usual();
    toy_open(&t, 3, IMAGES);
    o.passes = 2;
    assert_ok(vt_distill_start(&whole, neurons, NEURONS, t.teacher, t.stream, &o));
    snprintf(path, sizeof path, "%s/checkpoint", t.folder);
    stopper s = {.after = 12};
    o.checkpoint = path;
    o.progress = &(vt_progress){stop, &s};
    int stops = 0;
    for (;; stops++) {
        vt_status status = vt_distill_start(&model, neurons, NEURONS, t.teacher, t.stream, &o);
        if (status == VT_OK) break;
        assert_int_equal(VT_EINTERRUPTED, status);
        assert_null(model);
        assert_true(stops < 20);
        s.after = 12 + 3 * stops;
    }
    assert_true(stops > 1);
    toy_assert_same_weights(whole, model);
    vt_model_free(model);
    vt_model_free(whole);
    toy_close(&t);
}

static void test_refusals(void **state)
{
    (void)state;
    toy t;
    vt_model *model = NULL;
    vt_distill_start_options o = usual();
    toy_open(&t, 2, 40);
    assert_int_equal(VT_EINVAL,
                     vt_distill_start(&model, (int64_t[]){2}, 1, t.teacher, t.stream, &o));
    assert_non_null(strstr(vt_error_message(), "neuron 2"));
    assert_int_equal(VT_EINVAL, vt_distill_start(&model, neurons, 0, t.teacher, t.stream, &o));
    assert_int_equal(VT_EINVAL,
                     vt_distill_start(&model, (int64_t[]){1}, 1, t.teacher, t.stream, &o));
    assert_non_null(strstr(vt_error_message(), "held out"));
    assert_null(model);
    toy_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
