/* Fits: the exported model is the trained network, a readout leaves the core alone, options and
 * data are checked. Killed and resumed runs are in test_resume.c. */
#include "test.h"

#include "neural/fit_run.h"
#include "train/weights.h"
#include "ventral/evaluate.h"
#include "ventral/rng.h"
#include "ventral/simulate.h"

static char folder[4096];

static int make_recordings(void **state)
{
    (void)state;
    char path[4200];
    vt_simulate_options options = VT_SIMULATE_DEFAULTS;
    options.sessions = 2;
    options.images = 60;
    options.neurons = 5;
    options.repeats = 3;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/recordings", folder);
    if (vt_simulate(path, &options, NULL) != VT_OK) {
        print_message("%s\n", vt_error_message());
        return -1;
    }
    strcat(folder, "/recordings");
    return 0;
}

static int remove_recordings(void **state)
{
    (void)state;
    *strrchr(folder, '/') = '\0';
    remove_folder(folder);
    return 0;
}

static const vt_fit_session both[2] = {{.id = "sim001"}, {.id = "sim002", .begin = 10, .end = 50}};

static vt_fit_options small_fit(void)
{
    return (vt_fit_options){.recordings = folder,
                            .sessions = both,
                            .session_count = 2,
                            .filters = {4, 4, 4, 4, 6},
                            .epochs = 1,
                            .batch = 16,
                            .rate = 0.006,
                            .weight_decay = 1e-4,
                            .seed = 3};
}

/* The first batch's images, as the core's model takes them. */
static void read_images(const vt_fit_run *run, const vt_model *core, vt_tensor *pixels)
{
    int64_t sorted[64], batch = run->options.batch, floats = vt_tensor_count(pixels) / batch;
    int height, width;
    vt_model_image_size(core, &height, &width);
    for (int64_t n = 0; n < batch; n++) { /* sessions together, images in their order */
        int64_t k = n;
        for (; k > 0 && sorted[k - 1] > run->order[n]; k--)
            sorted[k] = sorted[k - 1];
        sorted[k] = run->order[n];
    }
    for (int64_t n = 0; n < batch; n++) {
        const vt_fit_sample *s = &run->samples[sorted[n]];
        assert_ok(vt_stimulus_set_read(run->groups[s->group].stimuli, &s->image, 1, height, width,
                                       vt_model_preprocessing(core),
                                       (float *)pixels->data + n * floats));
    }
}

/* Export folds pixel scale, feature normalization, Gaussian pools and z-scores; what comes out must
 * be s.d. times the network's prediction plus the mean. */
static void check_export(vt_model *core, vt_model *front, const char *tap)
{
    vt_fit_run run = {.options = small_fit(),
                      .subject = {.core = core, .front = front, .tap = tap}};
    assert_ok(vt_arena_new(&run.arena));
    assert_ok(vt_fit_open_data(&run));
    assert_ok(vt_fit_make_network(&run));
    vt_rng rng;
    vt_rng_init(&rng, 1, VT_RNG_INIT, 0, 0);
    for (int i = 0; i < vt_graph_param_count(run.graph); i++) {
        vt_param *p = vt_graph_param(run.graph, i);
        bool variance = strstr(p->name, "variance") != NULL;
        bool fixed = strncmp(p->name, "features.gamma", 14) == 0 ||
                     strncmp(p->name, "features.beta", 13) == 0 || p->value.ndim == 4;
        for (int64_t k = 0; !fixed && k < vt_tensor_count(&p->value); k++) {
            float *x = (float *)p->value.data + k;
            *x += (float)((variance ? fabs(vt_rng_normal(&rng)) : vt_rng_normal(&rng)) * 0.3);
        }
    }
    vt_graph_touch(run.graph);
    vt_weights_gather(run.graph, run.best);
    vt_model *model;
    assert_ok(vt_fit_export(&model, &run, run.best, true));
    assert_int_equal(2, vt_model_session_count(model));

    vt_node readout = vt_graph_find(run.graph, "readout");
    vt_plan *plan;
    assert_ok(vt_plan_new(
        &plan, run.graph,
        &(vt_plan_options){.batch = run.options.batch, .outputs = &readout, .output_count = 1}));
    vt_fit_shuffle(&run, 0);
    vt_plan *training = run.plan;
    assert_ok(vt_fit_load_batch(&run, 0)); /* fills the training plan's inputs */
    vt_tensor *trained_on = vt_plan_input(training, run.image);
    memcpy(vt_plan_input(plan, run.group)->data, vt_plan_input(training, run.group)->data,
           vt_tensor_bytes(vt_plan_input(plan, run.group)));
    memcpy(vt_plan_input(plan, run.image)->data, trained_on->data, vt_tensor_bytes(trained_on));
    assert_ok(vt_plan_forward(plan));

    vt_node output = vt_model_output(model);
    vt_plan *exported;
    assert_ok(vt_plan_new(
        &exported, vt_model_graph(model),
        &(vt_plan_options){.batch = run.options.batch, .outputs = &output, .output_count = 1}));
    vt_tensor *pixels = vt_plan_input(exported, vt_model_input(model));
    read_images(&run, core, pixels);
    assert_ok(vt_plan_forward(exported));
    const float *groups = vt_plan_input(plan, run.group)->data;
    int compared = 0;
    for (int n = 0; n < run.options.batch; n++) {
        const vt_fit_group *g = &run.groups[(int)groups[n]];
        for (int64_t i = 0; i < g->neurons; i++, compared++) {
            int64_t at = n * run.neurons + g->first + i;
            double z = vt_tensor_get(vt_plan_output(plan, readout), at);
            double y = vt_tensor_get(vt_plan_output(exported, output), at);
            assert_close(y, g->sd[i] * z + g->mean[i], 5e-4 * g->sd[i] * fmax(1, fabs(z)));
        }
    }
    assert_int_equal(run.options.batch * 5, compared);
    vt_plan_free(plan);
    vt_plan_free(exported);
    vt_model_free(model);
    vt_fit_free_network(&run);
    vt_fit_close_data(&run);
    vt_arena_free(run.arena);
    vt_model_free(core);
}

static void test_exported_model_is_the_network(void **state)
{
    (void)state;
    vt_model *core, *front;
    const vt_compact_options compact = {.filters = {4, 4, 4, 4, 6}, .shared = true, .seed = 2};
    const vt_ensemble_options member = {.stem = {3, 4}, .channels = 6, .blocks = 2, .seed = 4};
    assert_ok(vt_compact_new(&core, &compact));
    check_export(core, NULL, NULL);
    assert_ok(vt_ensemble_new(&core, &member, NULL, NULL));
    check_export(core, NULL, NULL);
    assert_ok(vt_compact_new(&front, &compact));
    assert_ok(vt_ensemble_new(&core, &member, front, "layer1_act"));
    check_export(core, front, "layer1_act");
    vt_model_free(front);
}

static void test_fit_and_readout(void **state)
{
    (void)state;
    vt_fit_options options = small_fit();
    vt_fit_session held_out = {.id = "sim002", .begin = 0, .end = 60};
    options.epochs = 3;
    options.validation = &held_out;
    vt_model *core, *model;
    vt_fit_report report;
    assert_ok(vt_fit(&core, &report, &options));
    assert_int_equal(3, report.epochs);
    assert_int_equal(100, report.images);
    assert_in_range(report.best_epoch, 1, 3);
    for (int e = 0; e < 3; e++)
        assert_true(isfinite(report.history[e].loss) && isfinite(report.history[e].validation));
    assert_true(report.history[2].loss < report.history[0].loss);
    vt_fit_report_free(&report);

    vt_session *session;
    assert_ok(vt_session_open(&session, folder, "sim002"));
    assert_ok(vt_fit_readout(&model, core, session, &held_out, NULL, NULL));
    vt_param *a = vt_graph_find_param(vt_model_graph(core), "layer2_conv.pointwise_kernel");
    vt_param *b = vt_graph_find_param(vt_model_graph(model), "layer2_conv.pointwise_kernel");
    assert_memory_equal(a->value.data, b->value.data, vt_tensor_bytes(&a->value));
    vt_session_score score;
    vt_score_options all = {.seed = 0};
    assert_ok(vt_score_session(&score, &model, 1, session, &all));
    assert_int_equal(5, score.count);
    assert_true(score.r.median > 0.2); /* on the images it was fitted to */
    vt_session_score_free(&score);
    vt_session_close(session);
    vt_model_free(core);
    vt_model_free(model);
}

static void test_bad_options(void **state)
{
    (void)state;
    vt_model *model;
    vt_fit_options options = small_fit();
    options.session_count = 0;
    assert_status(VT_EINVAL, vt_fit(&model, NULL, &options));
    options = small_fit();
    vt_fit_session twice[2] = {both[0], both[0]};
    options.sessions = twice;
    assert_status(VT_EINVAL, vt_fit(&model, NULL, &options));
    assert_message("twice");
    options = small_fit();
    vt_fit_session beyond = {.id = "sim001", .begin = 10, .end = 61};
    options.sessions = &beyond;
    options.session_count = 1;
    assert_status(VT_EINVAL, vt_fit(&model, NULL, &options));
    assert_message("sim001");
    options = small_fit();
    options.rate = -1;
    assert_status(VT_EINVAL, vt_fit(&model, NULL, &options));
    options = small_fit();
    options.recordings = "/nowhere";
    assert_status(VT_ENOTFOUND, vt_fit(&model, NULL, &options));
    assert_message("/nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exported_model_is_the_network),
        cmocka_unit_test(test_fit_and_readout),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, make_recordings, remove_recordings);
}
