/* Ensembles: their members and front ends, files, joining, training and readouts. */
#include "test.h"

#include <sys/stat.h>

#include "base/arena.h"
#include "models/model.h"
#include "ventral/evaluate.h"
#include "ventral/io.h"
#include "ventral/predict.h"
#include "ventral/rng.h"
#include "ventral/simulate.h"

static char folder[4096];

static int make_recordings(void **state)
{
    (void)state;
    vt_simulate_options options = VT_SIMULATE_DEFAULTS;
    options.sessions = 2;
    options.images = 60;
    options.neurons = 4;
    options.repeats = 3;
    new_folder(folder);
    if (vt_simulate(folder, &options, NULL) == VT_OK) return 0;
    print_message("%s\n", vt_error_message());
    return -1;
}

static int remove_recordings(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static const vt_ensemble_options small = {.members = 3,
                                          .stem = {3, 4},
                                          .channels = 6,
                                          .blocks = 2,
                                          .height = 40,
                                          .width = 32,
                                          .outputs = 5,
                                          .seed = 9};

static void randomise(vt_model *model, uint64_t seed)
{
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_INIT, 0, 0);
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(model)); i++) {
        vt_param *p = vt_graph_param(vt_model_graph(model), i);
        for (int64_t k = 0; k < vt_tensor_count(&p->value); k++)
            ((float *)p->value.data)[k] = (float)(0.1 + vt_rng_uniform(&rng));
    }
    vt_graph_touch(vt_model_graph(model));
}

/* The values of a node for an image that depends on `seed`; the number of them. */
static int64_t show(vt_model *model, const char *name, uint64_t seed, float *out, int64_t room)
{
    vt_graph *graph = vt_model_graph(model);
    vt_node node = name ? vt_graph_find(graph, name) : vt_model_output(model);
    vt_plan *plan;
    vt_rng rng;
    assert_ok(vt_plan_new(&plan, graph,
                          &(vt_plan_options){.batch = 1, .outputs = &node, .output_count = 1}));
    vt_tensor *image = vt_plan_input(plan, vt_model_input(model));
    vt_rng_init(&rng, seed, VT_RNG_INIT, 1, 0);
    for (int64_t k = 0; k < vt_tensor_count(image); k++)
        ((float *)image->data)[k] = (float)(vt_rng_uniform(&rng) - 0.5);
    assert_ok(vt_plan_forward(plan));
    const vt_tensor *values = vt_plan_output(plan, node);
    int64_t count = vt_tensor_count(values);
    assert_true(count <= room);
    memcpy(out, values->data, vt_tensor_bytes(values));
    vt_plan_free(plan);
    return count;
}

static void test_output_is_the_members_mean(void **state)
{
    (void)state;
    vt_model *model;
    float mean[5], one[5], sum[5] = {0};
    assert_ok(vt_ensemble_new(&model, &small, NULL, NULL));
    assert_string_equal("ensemble", vt_model_architecture(model));
    assert_int_equal(5, vt_model_outputs(model));
    assert_int_equal(5, show(model, NULL, 1, mean, 5));
    for (int m = 0; m < 3; m++) {
        char name[16];
        snprintf(name, sizeof name, "member%d", m);
        assert_int_equal(5, show(model, name, 1, one, 5));
        for (int i = 0; i < 5; i++)
            sum[i] += one[i];
    }
    for (int i = 0; i < 5; i++) {
        assert_close(mean[i], sum[i] / 3, 1e-5 * (1 + fabsf(mean[i])));
        assert_true(fabsf(mean[i] - one[i]) > 1e-6); /* they differ */
    }
    vt_model_free(model);
}

/* The paper's members have 2,257,368 parameters with 200 neurons, running statistics and biases
 * that a normalization takes away included. */
static void test_paper_sizes(void **state)
{
    (void)state;
    vt_model *front, *model;
    int64_t size[VT_MAX_DIMS];
    vt_compact_options wide = {.filters = {1, 1, 1, 1, 1024}, .height = 56, .width = 56};
    vt_ensemble_options o;
    assert_ok(vt_compact_new(&front, &wide));
    int64_t layers = vt_model_parameters(front);
    assert_ok(vt_ensemble_new(&model, &(vt_ensemble_options){.outputs = 200}, front, "layer4_act"));
    assert_ok(vt_model_ensemble_options(model, &o));
    assert_int_equal(512, o.channels);
    assert_int_equal(1, o.members);
    assert_int_equal(56, o.height);
    vt_node map = vt_graph_find(vt_model_graph(model), "member0.embedding");
    assert_int_equal(3, vt_graph_node_size(vt_model_graph(model), map, size));
    assert_true(size[0] == 7 && size[1] == 7 && size[2] == 512);
    int64_t statistics = 2 * (512 + 8 * 256), biases = 512 + 8 * 256; /* before normalizations */
    assert_int_equal(2257368 - statistics - biases, vt_model_parameters(model) - layers);
    vt_model_free(front);
    vt_model_free(model);
}

static void test_files(void **state)
{
    (void)state;
    char path[4200];
    float before[5], after[5];
    vt_model *fronts[3] = {NULL};
    const char *const taps[] = {NULL, "layer2_act", "layer1"};
    vt_resnet_options network = {.depth = 18, .width = 0.0625, .image = 32, .classes = 4};
    assert_ok(vt_compact_new(&fronts[1],
                             &(vt_compact_options){.filters = {2, 3, 4, 2, 2}, .outputs = 1}));
    assert_ok(vt_resnet_new(&fronts[2], &network));
    snprintf(path, sizeof path, "%s/ensemble.safetensors", folder);
    for (int f = 0; f < 3; f++) {
        vt_model *model, *read;
        vt_ensemble_options a, b;
        vt_model_session session = {.id = "s", .first = 1, .count = 4};
        if (fronts[f]) randomise(fronts[f], 5);
        assert_ok(vt_ensemble_new(&model, &small, fronts[f], taps[f]));
        assert_ok(vt_model_add_session(model, &session));
        assert_memory_equal(vt_model_preprocessing(model),
                            fronts[f] ? vt_model_preprocessing(fronts[f]) : &vt_preprocessing_v4,
                            sizeof(vt_preprocessing));
        assert_ok(vt_model_write(model, path));
        assert_ok(vt_model_read(&read, path));
        assert_ok(vt_model_ensemble_options(model, &a));
        assert_ok(vt_model_ensemble_options(read, &b));
        a.seed = b.seed;
        assert_memory_equal(&a, &b, sizeof a);
        assert_int_equal(4, vt_model_find_session(read, "s")->count);
        assert_int_equal(5, show(model, NULL, 3, before, 5));
        assert_int_equal(5, show(read, NULL, 3, after, 5));
        assert_memory_equal(before, after, sizeof before);
        /* Of the front end there is what is needed. */
        assert_null(vt_graph_find_param(vt_model_graph(read), "front.fc.weight"));
        vt_model_free(model);
        vt_model_free(read);
        vt_model_free(fronts[f]);
    }
    unlink(path);
}

static void test_front_end_is_copied(void **state)
{
    (void)state;
    vt_model *front, *model;
    static float a[4096], b[4096];
    vt_ensemble_options o = small;
    assert_ok(vt_compact_new(
        &front, &(vt_compact_options){
                    .filters = {2, 3, 4, 2, 2}, .height = 40, .width = 32, .outputs = 1}));
    randomise(front, 5);
    assert_ok(vt_ensemble_new(&model, &o, front, "layer2_act"));
    int64_t count = show(front, "layer2_act", 7, a, 4096);
    assert_int_equal(count, show(model, "front.layer2_act", 7, b, 4096));
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(model)); i++) {
        const vt_param *p = vt_graph_param(vt_model_graph(model), i);
        if (strncmp(p->name, "front.", 6) == 0) assert_false(p->trainable);
    }
    vt_model *nested;
    assert_status(VT_ENOTFOUND, vt_ensemble_new(&nested, &o, front, "layer9"));
    assert_message("layer9");
    assert_status(VT_ESHAPE, vt_ensemble_new(&nested, &o, front, "embeddings"));
    assert_message("no map");
    assert_status(VT_EUNSUPPORTED, vt_ensemble_new(&nested, &o, model, "member0.embedding"));
    vt_model_free(front);
    vt_model_free(model);
}

static void test_bad_options(void **state)
{
    (void)state;
    static const struct {
        vt_ensemble_options o;
        const char *says;
    } bad[] = {{{.members = 65}, "65 members"}, {{.members = -1}, "-1 members"},
               {{.channels = 5}, "5 channels"}, {{.channels = 8194}, "8194"},
               {{.blocks = 65}, "65 blocks"},   {{.stem = {5000}}, "5000 filters"},
               {{.height = 7}, "7 x 112"},      {{.epsilon = -1}, "epsilon"},
               {{.outputs = -2}, "-2 outputs"}};
    vt_model *model;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(VT_EINVAL, vt_ensemble_new(&model, &bad[i].o, NULL, NULL));
        assert_message(bad[i].says);
    }
}

static void test_join(void **state)
{
    (void)state;
    vt_model *parts[2], *whole, *other;
    vt_ensemble_options o = small;
    float a[5], b[5];
    for (int i = 0; i < 2; i++) {
        vt_model_session session = {.id = "s", .count = 5};
        o.members = i + 1;
        o.seed = (uint64_t)i;
        assert_ok(vt_ensemble_new(&parts[i], &o, NULL, NULL));
        assert_ok(vt_model_add_session(parts[i], &session));
    }
    assert_ok(vt_ensemble_join(&whole, parts, 2));
    assert_ok(vt_model_ensemble_options(whole, &o));
    assert_int_equal(3, o.members);
    assert_non_null(vt_model_find_session(whole, "s"));
    show(whole, "member0", 1, a, 5);
    show(parts[0], "member0", 1, b, 5);
    assert_memory_equal(a, b, sizeof a);
    show(whole, "member2", 1, a, 5);
    show(parts[1], "member1", 1, b, 5);
    assert_memory_equal(a, b, sizeof a);
    vt_model_free(whole);

    struct {
        vt_ensemble_options o;
        const char *says;
    } others[] = {{small, "other neurons"}, {small, "other neurons"}, {small, "built"}};
    others[1].o.outputs = 4;
    others[2].o.blocks = 3;
    for (int i = 0; i < 3; i++) {
        assert_ok(vt_ensemble_new(&other, &others[i].o, NULL, NULL));
        assert_status(VT_EINVAL, vt_ensemble_join(&whole, (vt_model *[]){parts[0], other}, 2));
        assert_message(others[i].says);
        vt_model_free(other);
    }
    vt_model *fronts[2];
    for (int i = 0; i < 2; i++) {
        assert_ok(vt_compact_new(&fronts[i], &(vt_compact_options){.filters = {2, 3, 4, 2, 2},
                                                                   .height = 40,
                                                                   .width = 32,
                                                                   .seed = (uint64_t)i}));
        vt_model_free(parts[i]);
        assert_ok(vt_ensemble_new(&parts[i], &small, fronts[i], "layer2_act"));
        vt_model_free(fronts[i]);
    }
    assert_status(VT_EINVAL, vt_ensemble_join(&whole, parts, 2));
    assert_message("front end");
    assert_status(VT_EINVAL, vt_ensemble_join(&whole, parts, 0));
    vt_model_free(parts[0]);
    assert_ok(vt_compact_new(&parts[0], &(vt_compact_options){.filters = {1, 1, 1, 1, 1}}));
    assert_status(VT_EUNSUPPORTED, vt_ensemble_join(&whole, parts, 1));
    vt_model_free(parts[0]);
    vt_model_free(parts[1]);
}

/* The model is not read when its description says `lie` in the place of `truth`. */
static void refuses(const vt_model *model, const char *truth, const char *lie)
{
    char text[4096];
    vt_model *read;
    vt_tensor_map *map;
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_model_to_map(model, map));
    const char *description = vt_tensor_map_get_text(map, "ventral.model");
    const char *at = strstr(description, truth);
    if (!at) fail_msg("no %s in %s", truth, description);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - description), description, lie,
             at + strlen(truth));
    assert_ok(vt_tensor_map_set_text(map, "ventral.model", text));
    if (vt_model_from_map(&read, map, "liar.safetensors") == VT_OK)
        fail_msg("read although %s", lie);
    assert_message("liar.safetensors");
    vt_tensor_map_free(map);
}

/* Descriptions that lie. */
static void test_hostile_files(void **state)
{
    (void)state;
    static const char *const lies[][2] = {
        {"\"members\":3", "\"members\":0"},
        {"\"members\":3", "\"members\":65"},
        {"\"members\":3", "\"members\":2"},
        {"\"members\":3", "\"members\":4"},
        {"\"channels\":6", "\"channels\":8192"},
        {"\"channels\":6", "\"channels\":-6"},
        {"\"blocks\":2", "\"blocks\":1"},
        {"\"outputs\":5", "\"outputs\":2000000000"},
        {"[40,32,3]", "[40,32,4]"},
        {"\"stem\":[3,4]", "\"stem\":[3]"},
        {"\"tap\":\"layer2_act\"", "\"tap\":\"layer9\""},
        {"\"tap\":\"layer2_act\"", "\"tap\":\"embeddings\""},
        {"\"tap\":\"layer2_act\"", "\"tap\":3"},
        {"\"architecture\":\"compact\"", "\"architecture\":\"ensemble\""},
        {"\"architecture\":\"compact\"", "\"architecture\":\"resnet\""},
        {"\"architecture\":\"compact\"", "\"architecture\":\"none\""},
        {"[2,3,4,2,2]", "[2,3,5,2,2]"},
        {"\"front\":{", "\"back\":{"},
        {"\"blocks\":2", "\"blocks\":2,\"readout\":\"flat\""},
        {"\"blocks\":2", "\"blocks\":2,\"readout\":\"round\""},
        {"\"blocks\":2", "\"blocks\":2,\"readout\":1"},
    };
    vt_model *front, *model;
    assert_ok(vt_compact_new(
        &front, &(vt_compact_options){
                    .filters = {2, 3, 4, 2, 2}, .height = 40, .width = 32, .outputs = 1}));
    assert_ok(vt_ensemble_new(&model, &small, front, "layer2_act"));
    vt_model_free(front);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        refuses(model, lies[i][0], lies[i][1]);
        if (strstr(lies[i][1], "8192") || strstr(lies[i][1], "2000000000"))
            assert_message("more weights than there are");
    }
    vt_model_free(model);
}

/* Other kinds of models that would need more than a file could hold. */
static void test_hungry_descriptions(void **state)
{
    (void)state;
    vt_model *model;
    assert_ok(vt_compact_new(
        &model, &(vt_compact_options){.filters = {2, 3, 4, 2, 2}, .shared = true, .outputs = 3}));
    refuses(model, "\"outputs\":3", "\"outputs\":2000000000");
    assert_message("more weights than there are");
    vt_model_free(model);
    assert_ok(
        vt_resnet_new(&model, &(vt_resnet_options){.depth = 18, .width = 0.0625, .classes = 5}));
    refuses(model, "\"classes\":5", "\"classes\":1000000");
    assert_message("more weights than there are");
    vt_model_free(model);
}

/* Whatever allocation fails, the call says so and leaves nothing. */
static void test_memory_shortage(void **state)
{
    (void)state;
    vt_model *front, *model, *read, *joined, *mapped;
    vt_tensor_map *map;
    int64_t n = 0;
    assert_ok(vt_compact_new(
        &front, &(vt_compact_options){.filters = {2, 3, 4, 2, 2}, .height = 40, .width = 32}));
    for (vt_status status = VT_ENOMEM; status != VT_OK; n += n < 40 ? 1 : 7) {
        model = read = joined = mapped = NULL;
        map = NULL;
        vt_alloc_fail_after(n);
        status = vt_ensemble_new(&model, &small, front, "layer2_act");
        if (status == VT_OK) status = vt_tensor_map_new(&map);
        if (status == VT_OK) status = vt_model_to_map(model, map);
        if (status == VT_OK) status = vt_model_from_map(&read, map, "file");
        if (status == VT_OK) status = vt_ensemble_join(&joined, (vt_model *[]){model, read}, 2);
        if (status == VT_OK) status = vt_model_with_outputs(&mapped, joined, 2);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_int_equal(VT_ENOMEM, status);
        vt_tensor_map_free(map);
        vt_model_free(model);
        vt_model_free(read);
        vt_model_free(joined);
        vt_model_free(mapped);
    }
    assert_true(n > 50);
    vt_model_free(front);
}

/* ---- training ---- */

static const vt_fit_session both[2] = {{.id = "sim001"}, {.id = "sim002", .begin = 10, .end = 50}};

static vt_ensemble_fit_options small_fit(void)
{
    return (vt_ensemble_fit_options){
        .shape =
            {.members = 2, .stem = {4, 4}, .channels = 4, .blocks = 1, .height = 40, .width = 40},
        .fit = {.recordings = folder,
                .sessions = both,
                .session_count = 2,
                .epochs = 2,
                .batch = 16,
                .seed = 3}};
}

static void test_fit_and_map(void **state)
{
    (void)state;
    char checkpoint[4200], member[4300];
    vt_model *model, *more, *mapped;
    vt_ensemble_report report;
    vt_ensemble_options o;
    vt_ensemble_fit_options options = small_fit();
    vt_fit_session held_out = {.id = "sim002", .begin = 0, .end = 60};
    snprintf(checkpoint, sizeof checkpoint, "%s/run", folder);
    options.fit.validation = &held_out;
    options.fit.checkpoint = checkpoint;
    assert_ok(vt_ensemble_fit(&model, &report, &options));
    assert_int_equal(2, report.members);
    for (int i = 0; i < 2; i++) {
        const vt_fit_report *fit = &report.fits[i];
        assert_int_equal(2, fit->epochs);
        assert_true(fit->history[1].loss < fit->history[0].loss);
        assert_true(isfinite(fit->history[1].validation));
        assert_false(fit->resumed);
    }
    assert_true(report.fits[0].history[1].loss != report.fits[1].history[1].loss);
    vt_ensemble_report_free(&report);
    assert_int_equal(8, vt_model_outputs(model));
    assert_int_equal(4, vt_model_find_session(model, "sim002")->first);

    /* A third member: the first two are taken as they are. */
    options.shape.members = 3;
    assert_ok(vt_ensemble_fit(&more, &report, &options));
    assert_true(report.fits[0].resumed && report.fits[1].resumed && !report.fits[2].resumed);
    vt_ensemble_report_free(&report);
    const char *kernel = "member1.block0_a.pointwise_kernel";
    vt_param *a = vt_graph_find_param(vt_model_graph(model), kernel);
    vt_param *b = vt_graph_find_param(vt_model_graph(more), kernel);
    assert_memory_equal(a->value.data, b->value.data, vt_tensor_bytes(&a->value));
    vt_ensemble_remove_checkpoints(checkpoint, 3);
    for (int i = 0; i < 3; i++) {
        snprintf(member, sizeof member, "%s.%d", checkpoint, i);
        assert_int_not_equal(0, access(member, F_OK));
    }

    vt_session *session;
    assert_ok(vt_session_open(&session, folder, "sim002"));
    assert_ok(vt_fit_readout(&mapped, model, session, &held_out, NULL, NULL));
    assert_ok(vt_model_ensemble_options(mapped, &o));
    assert_int_equal(2, o.members);
    assert_int_equal(4, vt_model_outputs(mapped));
    assert_int_equal(1, vt_model_session_count(mapped));
    b = vt_graph_find_param(vt_model_graph(mapped), kernel);
    assert_memory_equal(a->value.data, b->value.data, vt_tensor_bytes(&a->value));
    vt_session_score score;
    assert_ok(vt_score_session(&score, &mapped, 1, session, &(vt_score_options){.seed = 0}));
    assert_int_equal(4, score.count);
    assert_true(score.r.median > 0.2); /* on the images it was fitted to */
    vt_session_score_free(&score);
    vt_session_close(session);
    vt_model_free(model);
    vt_model_free(more);
    vt_model_free(mapped);
}

/* S.d. and distances against their definitions, for three members. */
static void test_disagreement(void **state)
{
    (void)state;
    vt_session *session;
    vt_stimulus_set *stimuli;
    vt_model *model;
    vt_tensor sd, distance, one[3];
    vt_ensemble_options o = small;
    o.height = o.width = 0;
    assert_ok(vt_ensemble_new(&model, &o, NULL, NULL));
    assert_ok(vt_session_open(&session, folder, "sim001"));
    assert_ok(vt_stimulus_set_from_images(&stimuli, vt_session_images(session)));
    vt_predict_options range = {.begin = 3, .end = 8, .batch = 2};
    assert_ok(vt_ensemble_disagreement(&sd, &distance, model, stimuli, &range));
    assert_true(sd.ndim == 2 && sd.size[0] == 5 && sd.size[1] == 5);
    assert_true(distance.ndim == 1 && distance.size[0] == 5);
    for (int m = 0; m < 3; m++) { /* each member by itself */
        vt_model *alone;
        vt_ensemble_options single = o;
        single.members = 1;
        assert_ok(vt_ensemble_new(&alone, &single, NULL, NULL));
        for (int i = 0; i < vt_graph_param_count(vt_model_graph(alone)); i++) {
            char name[VT_NAME_SIZE];
            vt_param *p = vt_graph_param(vt_model_graph(alone), i);
            snprintf(name, sizeof name, "member%d.%s", m, p->name + strlen("member0."));
            memcpy(p->value.data, vt_graph_find_param(vt_model_graph(model), name)->value.data,
                   vt_tensor_bytes(&p->value));
        }
        vt_graph_touch(vt_model_graph(alone));
        assert_ok(vt_predict_responses(&one[m], &alone, 1, stimuli, &range));
        if (m == 0) {
            assert_status(VT_EINVAL,
                          vt_ensemble_disagreement(&sd, &distance, alone, stimuli, &range));
            assert_message("1 members");
        }
        vt_model_free(alone);
    }
    for (int64_t k = 0; k < 5; k++) {
        double pairs[3] = {0};
        for (int64_t i = 0; i < 5; i++) {
            double y[3], mean = 0, squares = 0;
            for (int m = 0; m < 3; m++)
                mean += (y[m] = vt_tensor_get(&one[m], i * 5 + k)) / 3;
            for (int m = 0; m < 3; m++) {
                squares += (y[m] - mean) * (y[m] - mean);
                pairs[m] += (y[m] - y[(m + 1) % 3]) * (y[m] - y[(m + 1) % 3]);
            }
            assert_close(vt_tensor_get(&sd, i * 5 + k), sqrt(squares / 2), 1e-4);
        }
        double low = fmin(pairs[0], fmin(pairs[1], pairs[2]));
        double high = fmax(pairs[0], fmax(pairs[1], pairs[2]));
        double middle = pairs[0] + pairs[1] + pairs[2] - low - high;
        assert_close(vt_tensor_get(&distance, k), sqrt(middle), 1e-3);
    }
    vt_predict_options beyond = {.begin = 3, .end = 61};
    vt_tensor other[2];
    assert_status(VT_EINVAL,
                  vt_ensemble_disagreement(&other[0], &other[1], model, stimuli, &beyond));
    for (int m = 0; m < 3; m++)
        vt_tensor_free(&one[m]);
    vt_tensor_free(&sd);
    vt_tensor_free(&distance);
    vt_stimulus_set_close(stimuli);
    vt_session_close(session);
    vt_model_free(model);
}

static void test_fit_on_a_front_end(void **state)
{
    (void)state;
    vt_model *front, *model;
    vt_ensemble_fit_options options = small_fit();
    assert_ok(vt_compact_new(&front, &(vt_compact_options){.filters = {4, 5, 6, 2, 2}}));
    options.front = front;
    options.tap = "layer1_act";
    options.shape.members = 1;
    assert_ok(vt_ensemble_fit(&model, NULL, &options));
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(model)); i++) {
        const vt_param *p = vt_graph_param(vt_model_graph(model), i);
        if (strncmp(p->name, "front.", 6) != 0) continue;
        const vt_param *q = vt_graph_find_param(vt_model_graph(front), p->name + 6);
        assert_memory_equal(q->value.data, p->value.data, vt_tensor_bytes(&p->value));
    }
    vt_model_free(model);
    options.shape.members = 65;
    assert_status(VT_EINVAL, vt_ensemble_fit(&model, NULL, &options));
    options.shape.members = 1;
    options.tap = "nowhere";
    assert_status(VT_ENOTFOUND, vt_ensemble_fit(&model, NULL, &options));
    vt_model_free(front);
}

static off_t file_size(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_size : -1;
}

/* A front end whose images are smaller than the recordings': the same ensemble to the bit with
 * features from a file, new or found, and without; and it is mapped to other neurons. */
static void test_features_are_kept(void **state)
{
    (void)state;
    char path[4200];
    vt_model *front, *models[3], *mapped;
    vt_fit_session held_out = {.id = "sim002", .begin = 50, .end = 60};
    vt_ensemble_fit_options options = small_fit();
    snprintf(path, sizeof path, "%s/features", folder);
    assert_ok(vt_compact_new(
        &front, &(vt_compact_options){.filters = {4, 5, 6, 2, 2}, .height = 48, .width = 40}));
    options.front = front;
    options.tap = "layer1_act";
    options.fit.validation = &held_out;
    off_t sizes[3];
    for (int i = 0; i < 3; i++) {
        options.cache = i == 0 ? NULL : path;
        assert_ok(vt_ensemble_fit(&models[i], NULL, &options));
        sizes[i] = file_size(path);
    }
    assert_int_equal(-1, sizes[0]);
    assert_true(sizes[1] > (off_t)(110 * 24 * 20 * 5 * 2)); /* sim001, and 50 of sim002 */
    assert_int_equal(sizes[1], sizes[2]);
    for (int k = 0; k < vt_graph_param_count(vt_model_graph(models[0])); k++) {
        const vt_tensor *a = &vt_graph_param(vt_model_graph(models[0]), k)->value;
        for (int i = 1; i < 3; i++)
            assert_memory_equal(a->data, vt_graph_param(vt_model_graph(models[i]), k)->value.data,
                                vt_tensor_bytes(a));
    }
    vt_session *session;
    vt_session_score score;
    int height, width;
    assert_ok(vt_session_open(&session, folder, "sim002"));
    assert_ok(vt_fit_readout(&mapped, models[0], session, &both[1], NULL, NULL));
    vt_model_image_size(mapped, &height, &width);
    assert_true(height == 48 && width == 40);
    assert_ok(vt_score_session(&score, &mapped, 1, session, &(vt_score_options){.seed = 0}));
    assert_true(score.r.median > 0.2);
    vt_session_score_free(&score);
    vt_session_close(session);
    vt_model_free(mapped);

    /* Another front end, or another node of this one. */
    vt_model *other, *none;
    assert_ok(vt_compact_new(
        &other,
        &(vt_compact_options){.filters = {4, 5, 6, 2, 2}, .height = 48, .width = 40, .seed = 1}));
    options.front = other;
    assert_status(VT_EINVAL, vt_ensemble_fit(&none, NULL, &options));
    assert_message(path);
    options.front = front;
    options.tap = "layer2_act";
    assert_status(VT_EINVAL, vt_ensemble_fit(&none, NULL, &options));
    assert_message(path);

    /* What a checkpoint was trained on, too. */
    char checkpoint[4200];
    snprintf(checkpoint, sizeof checkpoint, "%s/run", folder);
    options.tap = "layer1_act";
    options.cache = NULL;
    options.fit.checkpoint = checkpoint;
    options.shape.members = 1;
    assert_ok(vt_ensemble_fit(&none, NULL, &options));
    vt_model_free(none);
    options.front = other;
    assert_status(VT_EINVAL, vt_ensemble_fit(&none, NULL, &options));
    assert_message("other options");
    vt_ensemble_remove_checkpoints(checkpoint, 1);
    for (int i = 0; i < 3; i++)
        vt_model_free(models[i]);
    vt_model_free(front);
    vt_model_free(other);
    unlink(path);
}

static vt_status keep_maps(void *context, int model, int64_t first, int64_t count,
                           const vt_tensor *values)
{
    (void)model;
    memcpy((float *)context + first * (vt_tensor_count(values) / count), values->data,
           vt_tensor_bytes(values));
    return VT_OK;
}

/* A mapping by ridge answers what the members' ridge regressions on their maps do; it survives a
 * file, and another mapping of it is that of the networks alone. */
static void test_map_by_ridge(void **state)
{
    (void)state;
    enum { IMAGES = 60, NEURONS = 4, FEATURES = 5 * 5 * 6 };
    static float maps[IMAGES * FEATURES];
    static double predicted[IMAGES * NEURONS], mean[IMAGES * NEURONS], y[IMAGES * NEURONS];
    char path[4200];
    vt_model *core, *mapped, *read, *again, *straight;
    vt_session *session;
    vt_stimulus_set *stimuli;
    vt_ensemble_options o = small;
    vt_fit_session all = {.id = "sim002"};
    vt_readout_options ridge = vt_readout_options_default(VT_READOUT_RIDGE);
    o.members = 2;
    o.height = o.width = 40;
    o.outputs = 0;
    ridge.ridge.seed = 4;
    assert_ok(vt_ensemble_new(&core, &o, NULL, NULL));
    assert_ok(vt_session_open(&session, folder, "sim002"));
    assert_ok(vt_stimulus_set_from_images(&stimuli, vt_session_images(session)));
    assert_ok(vt_fit_readout(&mapped, core, session, &all, &ridge, NULL));
    assert_ok(vt_model_ensemble_options(mapped, &o));
    assert_true(o.flat && o.outputs == NEURONS);
    const vt_tensor *averaged = vt_session_averaged(session);
    for (int k = 0; k < IMAGES * NEURONS; k++)
        y[k] = vt_tensor_get(averaged, k % NEURONS * IMAGES + k / NEURONS);
    for (int m = 0; m < 2; m++) {
        vt_readout *readout;
        vt_readout_features x = {maps, IMAGES, 5, 5, 6};
        vt_predict_options show = {.tap = m == 0 ? "member0.embedding" : "member1.embedding",
                                   .receive = keep_maps,
                                   .context = maps};
        assert_ok(vt_predict(&core, 1, stimuli, &show));
        assert_ok(vt_readout_fit(&readout, &x, y, NEURONS, &ridge));
        assert_ok(vt_readout_predict(readout, predicted, &x));
        for (int k = 0; k < IMAGES * NEURONS; k++)
            mean[k] += predicted[k] / 2;
        vt_readout_free(readout);
    }
    snprintf(path, sizeof path, "%s/mapped.safetensors", folder);
    assert_ok(vt_model_write(mapped, path));
    assert_ok(vt_model_read(&read, path));
    unlink(path);
    vt_model *made_and_read[] = {mapped, read};
    for (int i = 0; i < 2; i++) {
        vt_tensor responses;
        assert_ok(vt_predict_responses(&responses, &made_and_read[i], 1, stimuli,
                                       &(vt_predict_options){.begin = 0}));
        for (int k = 0; k < IMAGES * NEURONS; k++)
            assert_close(vt_tensor_get(&responses, k % NEURONS * IMAGES + k / NEURONS), mean[k],
                         1e-4 * (1 + fabs(mean[k])));
        vt_tensor_free(&responses);
    }
    vt_session_score score;
    assert_ok(vt_score_session(&score, &read, 1, session, &(vt_score_options){.seed = 0}));
    assert_true(score.r.median > 0.2); /* on the images it was fitted to */
    vt_session_score_free(&score);

    assert_ok(vt_fit_readout(&again, read, session, &all, NULL, NULL));
    assert_ok(vt_fit_readout(&straight, core, session, &all, NULL, NULL));
    assert_ok(vt_model_ensemble_options(again, &o));
    assert_false(o.flat);
    for (int i = 0; i < vt_graph_param_count(vt_model_graph(straight)); i++) {
        const vt_param *p = vt_graph_param(vt_model_graph(straight), i);
        const vt_param *q = vt_graph_param(vt_model_graph(again), i);
        assert_string_equal(p->name, q->name);
        assert_memory_equal(p->value.data, q->value.data, vt_tensor_bytes(&p->value));
    }
    vt_model *joined, *compact;
    assert_status(VT_EINVAL, vt_ensemble_join(&joined, (vt_model *[]){mapped, again}, 2));
    assert_message("built");
    assert_ok(vt_compact_new(&compact, &(vt_compact_options){.filters = {2, 2, 2, 2, 2}}));
    assert_status(VT_EUNSUPPORTED, vt_fit_readout(&joined, compact, session, &all, &ridge, NULL));
    assert_message("an ensemble is needed");
    vt_model_free(compact);
    vt_stimulus_set_close(stimuli);
    vt_session_close(session);
    vt_model_free(core);
    vt_model_free(mapped);
    vt_model_free(read);
    vt_model_free(again);
    vt_model_free(straight);
}

static void test_others_have_no_maps(void **state)
{
    (void)state;
    vt_model *network, *model;
    vt_session *session;
    vt_resnet_options o = {.depth = 18, .width = 0.0625, .image = 32, .classes = 4};
    assert_ok(vt_resnet_new(&network, &o));
    assert_ok(vt_session_open(&session, folder, "sim002"));
    assert_status(VT_EUNSUPPORTED, vt_fit_readout(&model, network, session, &both[1], NULL, NULL));
    assert_message("compact model or an ensemble");
    vt_session_close(session);
    vt_model_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_is_the_members_mean),
        cmocka_unit_test(test_paper_sizes),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_front_end_is_copied),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_memory_shortage),
        cmocka_unit_test(test_hungry_descriptions),
        cmocka_unit_test(test_fit_and_map),
        cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_fit_on_a_front_end),
        cmocka_unit_test(test_features_are_kept),
        cmocka_unit_test(test_map_by_ridge),
        cmocka_unit_test(test_others_have_no_maps),
    };
    return cmocka_run_group_tests(tests, make_recordings, remove_recordings);
}
