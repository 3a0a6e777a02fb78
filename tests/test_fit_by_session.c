/* Training session by session: that it learns, what a visit does to readout, weights and momentum,
 * that a run stopped after any step ends the same, and what it refuses. */
#include "toy_distill.h"

#include "models/model.h"
#include "ventral/ensemble.h"
#include "ventral/session.h"

enum { IMAGES = 320, NEURONS = 40, OUTPUTS = 200, CHANNELS = 16 };

static char folder[4096], checkpoint[4200], member[4300];
static const vt_fit_session both[2] = {{.id = "s0"}, {.id = "s1"}};
static const vt_fit_session few[2] = {{.id = "s0", .end = 40}, {.id = "s1", .end = 53}};

static vt_status read_blob(void *context, int64_t index, vt_image *out)
{
    *out = (vt_image){.height = TOY_SIZE, .width = TOY_SIZE};
    out->pixels = malloc(TOY_SIZE * TOY_SIZE * 3);
    toy_image(out->pixels, *(const int64_t *)context + index);
    return VT_OK;
}

/* A neuron sums a colour of its own under a Gaussian at a place of its own, and squares that. */
static double respond(const uint8_t *pixels, int session, int neuron)
{
    vt_rng rng;
    vt_rng_init(&rng, 7, VT_RNG_NEURON, (uint32_t)session, (uint32_t)neuron);
    double row = TOY_SIZE * (0.25 + 0.5 * vt_rng_uniform(&rng));
    double column = TOY_SIZE * (0.25 + 0.5 * vt_rng_uniform(&rng)), colour[3], sum = 0;
    for (int c = 0; c < 3; c++)
        colour[c] = vt_rng_normal(&rng);
    for (int y = 0; y < TOY_SIZE; y++)
        for (int x = 0; x < TOY_SIZE; x++)
            for (int c = 0; c < 3; c++)
                sum += colour[c] * (pixels[(y * TOY_SIZE + x) * 3 + c] - 128.0) *
                       exp(-((y - row) * (y - row) + (x - column) * (x - column)) / 50);
    return fabs(sum) * 1e-3;
}

static void write_session(int session, int neurons, const char *id)
{
    static uint8_t pixels[TOY_SIZE * TOY_SIZE * 3];
    int64_t first = session * 1000;
    vt_tensor averaged;
    assert_ok(vt_tensor_new(&averaged, VT_F64, 2, (int64_t[]){neurons, IMAGES}));
    for (int64_t k = 0; k < IMAGES; k++) {
        toy_image(pixels, first + k);
        for (int i = 0; i < neurons; i++)
            ((double *)averaged.data)[i * IMAGES + k] = respond(pixels, session, i % NEURONS);
    }
    assert_ok(vt_session_write(folder, id,
                               &(vt_session_write_options){.images = IMAGES,
                                                           .read_image = read_blob,
                                                           .context = &first,
                                                           .format = VT_SESSION_PNG,
                                                           .averaged = &averaged}));
    vt_tensor_free(&averaged);
}

static int make_recordings(void **state)
{
    (void)state;
    new_folder(folder);
    snprintf(checkpoint, sizeof checkpoint, "%s/run", folder);
    snprintf(member, sizeof member, "%s.0", checkpoint);
    write_session(0, NEURONS, "s0");
    write_session(1, NEURONS, "s1");
    write_session(2, NEURONS, "s2");
    write_session(3, OUTPUTS + 1, "crowd");
    return 0;
}

static int remove_recordings(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Of few images, and few steps. */
static vt_ensemble_fit_options small_fit(void)
{
    return (vt_ensemble_fit_options){.training = VT_TRAINING_PAPER,
                                     .shape = {.stem = {4, 4},
                                               .channels = CHANNELS,
                                               .blocks = 1,
                                               .height = TOY_SIZE,
                                               .width = TOY_SIZE},
                                     .fit = {.recordings = folder,
                                             .sessions = few,
                                             .session_count = 2,
                                             .epochs = 2,
                                             .batch = 16,
                                             .seed = 5}};
}

/* ---- learning ---- */

/* The best validated core, against one that hardly moved: what is left unexplained. */
static void test_learns(void **state)
{
    (void)state;
    vt_fit_session held_out = {.id = "s2"};
    vt_ensemble_fit_options options = small_fit();
    vt_ensemble_report report;
    vt_model *model;
    double unexplained[2], loss = 1;
    options.shape = (vt_ensemble_options){
        .stem = {8, 16}, .channels = 96, .blocks = 1, .height = TOY_SIZE, .width = TOY_SIZE};
    options.fit.sessions = both;
    options.fit.validation = &held_out;
    options.fit.batch = 8;
    for (int i = 0; i < 2; i++) {
        options.fit.epochs = i == 0 ? 1 : 3;
        options.fit.rate = i == 0 ? 1e-9 : 0; /* 0: the paper's 2.0 */
        assert_ok(vt_ensemble_fit(&model, &report, &options));
        const vt_fit_report *fit = &report.fits[0];
        double r = fit->history[fit->best_epoch - 1].validation;
        unexplained[i] = 1 - r * r;
        assert_int_equal(2 * options.fit.epochs, fit->epochs);
        for (int v = 0; v < fit->epochs; v++) {
            assert_int_equal(1 + v / 2, fit->history[v].passes);
            assert_int_equal(v % 2, fit->history[v].session != fit->history[v - v % 2].session);
            assert_true(fit->history[v].validation <= r);
            loss = fmin(loss, fit->history[v].loss);
        }
        assert_int_equal(2 * NEURONS, fit->neurons);
        assert_int_equal(0, vt_model_outputs(model));
        vt_ensemble_report_free(&report);
        vt_model_free(model);
    }
    print_message("unexplained: %.3f at first, then %.3f; loss %.3f\n", unexplained[0],
                  unexplained[1], loss);
    assert_true(unexplained[1] < 0.75 * unexplained[0]);
    assert_true(loss < 0.8);
}

/* ---- steps ---- */

enum { STEPS = 15, WATCHED = 4 }; /* 2 and 3 steps a pass; one pass each, then two */

static const char *const watched[WATCHED] = {
    "member0.mixing_stage.kernel", "member0.spatial_pool_stage.depthwise_kernel",
    "member0.mixing_stage.bias", "member0.block0_out.kernel"};

/* A parameter after a step. */
typedef struct snapshot {
    float *weights, *velocity;
    int64_t count;
} snapshot;

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    (void)context, (void)done, (void)total, (void)line;
    return false;
}

static const vt_progress one_step = {stop_at_once, NULL};

/* The layout of the network's weights is that of an ensemble of 200 neurons. */
static void read_snapshot(snapshot *s, const vt_tensor_map *map, vt_graph *layout, const char *name)
{
    char velocity[VT_NAME_SIZE];
    const float *block = vt_tensor_map_find(map, "run.weights")->data;
    int64_t floats = 0;
    snprintf(velocity, sizeof velocity, "optimizer.first.%s", name);
    const vt_tensor *v = vt_tensor_map_find(map, velocity);
    assert_non_null(v);
    s->count = vt_tensor_count(v);
    s->weights = malloc((size_t)s->count * sizeof(float));
    s->velocity = malloc((size_t)s->count * sizeof(float));
    memcpy(s->velocity, v->data, vt_tensor_bytes(v));
    for (int i = 0; i < vt_graph_param_count(layout); i++) {
        const vt_param *p = vt_graph_param(layout, i);
        if (strcmp(p->name, name) == 0)
            memcpy(s->weights, block + floats, vt_tensor_bytes(&p->value));
        floats += vt_tensor_count(&p->value);
    }
    assert_int_equal(floats, vt_tensor_count(vt_tensor_map_find(map, "run.weights")));
}

/* Stops after every step and goes on; `starts` tells the visits' first steps. */
static void run_step_by_step(snapshot (*steps)[WATCHED], bool *starts, double rate)
{
    vt_model *model, *layout;
    vt_ensemble_report report;
    vt_ensemble_fit_options options = small_fit();
    vt_ensemble_options shape = options.shape;
    options.fit.rate = rate;
    options.fit.checkpoint = checkpoint;
    shape.outputs = OUTPUTS;
    assert_ok(vt_ensemble_new(&layout, &shape, NULL, NULL));
    for (int k = 0; k < STEPS; k++) {
        vt_tensor_map *map;
        options.fit.progress = &one_step;
        assert_status(VT_EINTERRUPTED, vt_ensemble_fit(&model, NULL, &options));
        assert_ok(vt_safetensors_read(&map, member));
        for (int i = 0; i < WATCHED; i++)
            read_snapshot(&steps[k][i], map, vt_model_graph(layout), watched[i]);
        vt_tensor_map_free(map);
    }
    options.fit.progress = NULL;
    assert_ok(vt_ensemble_fit(&model, &report, &options));
    for (int v = 0, k = 0; v < 4;
         k += report.fits[0].history[v].passes * (report.fits[0].history[v].session == 0 ? 2 : 3),
             v++)
        starts[k] = true;
    vt_ensemble_remove_checkpoints(checkpoint, 1);
    vt_ensemble_report_free(&report);
    vt_model_free(model);
    vt_model_free(layout);
}

static void free_steps(snapshot (*steps)[WATCHED])
{
    for (int k = 0; k < STEPS * WATCHED; k++) {
        free(steps[k / WATCHED][k % WATCHED].weights);
        free(steps[k / WATCHED][k % WATCHED].velocity);
    }
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* What the parameter was before the step: w + rate v. */
static float *before_step(const snapshot *s, double rate, bool sorted)
{
    float *w = malloc((size_t)s->count * sizeof *w);
    for (int64_t k = 0; k < s->count; k++)
        w[k] = (float)(s->weights[k] + rate * s->velocity[k]);
    if (sorted) qsort(w, (size_t)s->count, sizeof *w, ascending);
    return w;
}

/* Each visit begins with the first kernels, 0.001 times and in another order, and biases of 0;
 * outputs that no neuron of the session has stay where they were set. */
static void test_readout_starts_anew(void **state)
{
    (void)state;
    static snapshot steps[STEPS][WATCHED];
    static const double limits[2] = {0.1667, 0.0432}; /* Glorot's: sqrt(6 / (16 + 200)), 4 x 4 */
    bool starts[STEPS + 1] = {false};
    double rate = 2;
    run_step_by_step(steps, starts, rate);
    assert_true(starts[0] && starts[5]);
    for (int i = 0; i < 2; i++) {
        float *first = before_step(&steps[0][i], rate, true), *as_first = NULL;
        int64_t count = steps[0][i].count;
        as_first = before_step(&steps[0][i], rate, false);
        assert_close(first[count - 1], 1e-3 * limits[i], 0.05e-3 * limits[i]);
        for (int k = 1; k < STEPS; k++) {
            double now_rate = k < 5 ? rate : 0.85 * rate; /* of the second epoch */
            float *then = before_step(&steps[k][i], now_rate, starts[k]);
            for (int64_t j = 0; j < count; j++)
                assert_close(then[j], starts[k] ? first[j] : steps[k - 1][i].weights[j],
                             1e-6 * fabs(then[j]) + 1e-9);
            free(then);
            if (!starts[k]) continue;
            float *as_now = before_step(&steps[k][i], now_rate, false);
            int64_t moved = 0;
            for (int64_t j = 0; j < count; j++)
                moved += fabsf(as_now[j] - as_first[j]) > 1e-6f * first[count - 1];
            assert_true(moved > count * 9 / 10);
            free(as_now);
        }
        for (int k = 0; k < STEPS && i == 0; k++)
            for (int64_t j = (int64_t)NEURONS * CHANNELS; j < count; j++)
                assert_true(fabsf(steps[k][0].weights[j]) <= first[count - 1] * 1.001f);
        free(first);
        free(as_first);
    }
    free_steps(steps);
}

/* At a rate far too high, gradients are cut at 0.5, element by element; and momentum goes on from
 * one session to the next, but not to the next epoch. */
static void test_clipping_and_momentum(void **state)
{
    (void)state;
    static snapshot steps[STEPS][WATCHED];
    bool starts[STEPS + 1] = {false};
    int64_t cut = 0;
    run_step_by_step(steps, starts, 190);
    for (int k = 0; k < STEPS; k++)
        for (int i = 0; i < WATCHED; i++)
            for (int64_t j = 0; j < steps[k][i].count; j++) {
                double kept = k == 0 || k == 5 ? 0 : 0.75 * steps[k - 1][i].velocity[j];
                double gradient = steps[k][i].velocity[j] - kept;
                assert_true(fabs(gradient) <= 0.5 + 1e-6);
                cut += fabs(gradient) > 0.5 - 1e-6;
            }
    assert_true(cut > 100);
    int second = starts[2] ? 2 : 3, core = WATCHED - 1; /* right after a reset its gradient is 0 */
    double first_end = 0, added = 0, epoch_end = 0, after = 0;
    for (int64_t j = 0; j < steps[0][core].count; j++) {
        double end = steps[second - 1][core].velocity[j];
        first_end += fabs(end);
        added += fabs(steps[second][core].velocity[j] - 0.75 * end);
        epoch_end += fabs(steps[4][core].velocity[j]);
        after += fabs(steps[5][core].velocity[j]);
    }
    assert_true(added < 0.3 * first_end);
    assert_true(after < 0.3 * epoch_end);
    free_steps(steps);
}

/* Stopped after every step or not at all, with a validation that keeps the best. */
static void test_stopped_runs_end_the_same(void **state)
{
    (void)state;
    vt_fit_session held_out = {.id = "s2", .end = 40};
    vt_model *whole, *parts;
    vt_ensemble_report a, b;
    vt_ensemble_fit_options options = small_fit();
    int stops = 0;
    options.shape.members = 2;
    options.fit.validation = &held_out;
    assert_ok(vt_ensemble_fit(&whole, &a, &options));
    options.fit.checkpoint = checkpoint;
    options.fit.progress = &one_step;
    while (vt_ensemble_fit(&parts, &b, &options) != VT_OK)
        stops++;
    assert_int_equal(2 * STEPS, stops);
    toy_assert_same_weights(whole, parts);
    for (int m = 0; m < 2; m++) {
        assert_true(b.fits[m].resumed && !a.fits[m].resumed);
        assert_int_equal(a.fits[m].best_epoch, b.fits[m].best_epoch);
        for (int v = 0; v < 4; v++) {
            const vt_fit_epoch *x = &a.fits[m].history[v], *y = &b.fits[m].history[v];
            assert_true(x->loss == y->loss && x->validation == y->validation &&
                        x->session == y->session && x->passes == y->passes);
        }
    }
    options.fit.progress = NULL;
    options.training = VT_TRAINING_JOINT;
    assert_status(VT_EINVAL, vt_ensemble_fit(&parts, NULL, &options));
    assert_message("other options");
    vt_ensemble_remove_checkpoints(checkpoint, 2);
    vt_ensemble_report_free(&a);
    vt_ensemble_report_free(&b);
    vt_model_free(parts);

    /* Its core gets readouts. */
    vt_session *session;
    assert_ok(vt_session_open(&session, folder, "s2"));
    assert_ok(vt_fit_readout(&parts, whole, session, &held_out, NULL, NULL));
    assert_int_equal(NEURONS, vt_model_outputs(parts));
    vt_session_close(session);
    vt_model_free(parts);
    vt_model_free(whole);
}

/* Patience counts visits. */
static void test_patience(void **state)
{
    (void)state;
    vt_fit_session held_out = {.id = "s2", .end = 40};
    vt_ensemble_report report;
    vt_model *model;
    vt_ensemble_fit_options options = small_fit();
    options.fit.validation = &held_out;
    options.fit.patience = 2;
    options.fit.epochs = 20;
    options.fit.rate = 1e-9;
    assert_ok(vt_ensemble_fit(&model, &report, &options));
    const vt_fit_report *fit = &report.fits[0];
    assert_true(fit->epochs < 40);
    assert_int_equal(fit->best_epoch + 2, fit->epochs);
    vt_ensemble_report_free(&report);
    vt_model_free(model);
}

static void test_refusals(void **state)
{
    (void)state;
    static const vt_fit_session crowd = {.id = "crowd"};
    vt_model *model;
    vt_ensemble_fit_options options = small_fit();
    options.fit.blur = 0.5;
    assert_status(VT_EINVAL, vt_ensemble_fit(&model, NULL, &options));
    assert_message("blur");
    options = small_fit();
    options.fit.weight_decay = 1e-4;
    assert_status(VT_EINVAL, vt_ensemble_fit(&model, NULL, &options));
    assert_message("weight decay");
    options = small_fit();
    options.fit.sessions = &crowd;
    options.fit.session_count = 1;
    assert_status(VT_EINVAL, vt_ensemble_fit(&model, NULL, &options));
    assert_message("session crowd has 201 neurons");
    const struct {
        int epochs, batch, patience;
        double rate;
    } bad[] = {{.epochs = -1}, {.epochs = 1001}, {.batch = 1},      {.patience = -1},
               {.rate = -2},   {.rate = NAN},    {.rate = INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options = small_fit();
        if (bad[i].epochs) options.fit.epochs = bad[i].epochs;
        if (bad[i].batch) options.fit.batch = bad[i].batch;
        options.fit.patience = bad[i].patience;
        options.fit.rate = bad[i].rate;
        assert_status(VT_EINVAL, vt_ensemble_fit(&model, NULL, &options));
    }
    options = small_fit();
    options.fit.rate = 1e30;
    assert_status(VT_ENUMERIC, vt_ensemble_fit(&model, NULL, &options));
    assert_message("rate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_readout_starts_anew),
        cmocka_unit_test(test_clipping_and_momentum),
        cmocka_unit_test(test_stopped_runs_end_the_same),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_recordings, remove_recordings);
}
