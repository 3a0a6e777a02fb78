/* Choosing stimuli: against brute force, the same on all threads, files, caches, refusals. */
#include "cli.h"

#include "base/arena.h"
#include "neural/select_rank.h"
#include "ventral/progress.h"
#include "ventral/score.h"
#include "ventral/select.h"
#include "ventral/teacher.h"

enum { SIDE = 16, NEURONS = 3, MEMBERS = 3, POOL = 300 };

static vt_model *models[MEMBERS];
static vt_select_member members[MEMBERS];

static int make_models(void **state)
{
    (void)state;
    for (int m = 0; m < MEMBERS; m++) {
        vt_compact_options o = {.filters = {4, 4, 3, 3, 4},
                                .height = SIDE,
                                .width = SIDE,
                                .outputs = NEURONS,
                                .shared = true,
                                .seed = (uint64_t)m};
        assert_ok(vt_compact_new(&models[m], &o));
        members[m].model = models[m];
    }
    return 0;
}

static int free_models(void **state)
{
    (void)state;
    for (int m = 0; m < MEMBERS; m++)
        vt_model_free(models[m]);
    return 0;
}

static vt_image_stream *leaves(int64_t count)
{
    vt_image_stream *pool;
    vt_image_stream_options o = {.generated = count, .height = SIDE, .width = SIDE, .seed = 5};
    assert_ok(vt_image_stream_open(&pool, &o));
    return pool;
}

/* Responses (POOL, MEMBERS * NEURONS) of all. */
static float *all_responses(vt_image_stream *pool)
{
    vt_teacher *teacher;
    int64_t indices[POOL];
    float *out = malloc(POOL * MEMBERS * NEURONS * sizeof *out);
    for (int i = 0; i < POOL; i++)
        indices[i] = i;
    assert_ok(vt_teacher_new(&teacher, models, MEMBERS, &(vt_teacher_options){.bf16 = false}));
    assert_ok(vt_teacher_responses(teacher, pool, indices, POOL, out, NULL));
    vt_teacher_free(teacher);
    return out;
}

/* The index with the `rank`-th largest score, the first of equals first. */
static int64_t ranked(const double *scores, int64_t count, int64_t rank)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t before = 0;
        for (int64_t j = 0; j < count; j++)
            before += scores[j] > scores[i] || (j < i && scores[j] == scores[i]);
        if (before == rank) return i;
    }
    return -1;
}

/* ---- parts ---- */

static void test_ranking(void **state)
{
    (void)state;
    vt_ranking r;
    double scores[200];
    for (int capacity = 0; capacity < 260; capacity += 37) {
        assert_ok(vt_ranking_init(&r, capacity));
        for (int i = 0; i < 200; i++) {
            scores[i] = (i * 7919) % 61;
            vt_ranking_offer(&r, scores[i], i);
        }
        vt_ranking_sort(&r);
        assert_int_equal(r.count, capacity < 200 ? capacity : 200);
        for (int64_t k = 0; k < r.count; k++)
            assert_int_equal(r.items[k].index, ranked(scores, 200, k));
        vt_ranking_destroy(&r);
    }
}

static void test_draw(void **state)
{
    (void)state;
    enum { COUNT = 10, WANTED = 3, DRAWS = 7000 };
    static const int64_t taken[] = {0, 4, 9};
    int hits[COUNT] = {0};
    int64_t out[COUNT];
    for (int seed = 0; seed < DRAWS; seed++) {
        vt_draw(out, WANTED, COUNT, taken, 3, (uint64_t)seed);
        for (int k = 0; k < WANTED; k++) {
            assert_true(k == 0 || out[k] > out[k - 1]);
            hits[out[k]]++;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        bool is_taken = i == 0 || i == 4 || i == 9;
        double expected = is_taken ? 0 : DRAWS * WANTED / 7.0;
        assert_close(hits[i], expected, is_taken ? 0 : 5 * sqrt(expected * 4 / 7));
    }
    vt_draw(out, COUNT, COUNT, NULL, 0, 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(out[i], i);
}

static void test_disagreement_values(void **state)
{
    (void)state;
    static const float responses[] = {0, 0, 3, 4, 0, 8, /* distances 5, 8, 5 */
                                      1, 1, 1, 1, 1, 1};
    double out[2];
    assert_ok(vt_disagreement(out, responses, 2, 3, 2));
    assert_close(out[0], 5, 1e-12);
    assert_close(out[1], 0, 0);
    assert_ok(vt_disagreement(out, responses, 1, 2, 2));
    assert_close(out[0], 5, 1e-12);
    assert_ok(vt_disagreement(out, (const float[]){0, 1, 3, 7}, 1, 4, 1)); /* 1 3 7 2 6 4 */
    assert_close(out[0], 3.5, 1e-12);
    assert_status(VT_EINVAL, vt_disagreement(out, responses, 1, 1, 2));
    assert_status(VT_EINVAL, vt_disagreement(out, responses, 1, 2, 0));
}

/* The textbook: every distance anew at every step. */
static double naive_core_set(int64_t *out, const float *x, int count, int size, int wanted)
{
    double farthest = 0;
    int next = 0;
    for (int k = 0; k <= wanted && k < count; k++) {
        if (k == wanted) return farthest;
        out[k] = next;
        farthest = -1;
        for (int i = 0; i < count; i++) {
            double nearest = INFINITY;
            for (int c = 0; c <= k; c++) {
                double sum = 0;
                for (int j = 0; j < size; j++)
                    sum += pow((double)x[i * size + j] - x[out[c] * size + j], 2);
                nearest = fmin(nearest, out[c] == i ? -1 : sqrt(sum));
            }
            if (nearest > farthest) {
                farthest = nearest;
                next = i;
            }
        }
    }
    return 0;
}

static void test_core_set(void **state)
{
    (void)state;
    enum { COUNT = 60, SIZE = 5 };
    float x[COUNT * SIZE];
    int64_t out[COUNT], expected[COUNT];
    double radius;
    assert_ok(vt_core_set(out, &radius, (const float[]){0, 10, 1, 9, 5}, 5, 1, 4));
    static const int64_t line[] = {0, 1, 4, 2};
    assert_memory_equal(out, line, sizeof line);
    assert_close(radius, 1, 0);
    for (int i = 0; i < COUNT * SIZE; i++)
        x[i] = (float)((i * 7919) % 17);
    for (int wanted = 1; wanted <= COUNT; wanted += wanted < 6 ? 1 : 18) {
        assert_ok(vt_core_set(out, &radius, x, COUNT, SIZE, wanted));
        assert_close(radius, naive_core_set(expected, x, COUNT, SIZE, wanted), 1e-12);
        for (int k = 0; k < wanted; k++)
            assert_int_equal(out[k], expected[k]);
    }
    memset(x, 0, sizeof x); /* all alike: each is taken once all the same */
    assert_ok(vt_core_set(out, &radius, x, COUNT, SIZE, COUNT));
    bool seen[COUNT] = {false};
    for (int k = 0; k < COUNT; k++) {
        assert_false(seen[out[k]]);
        seen[out[k]] = true;
    }
    assert_close(radius, 0, 0);
    assert_status(VT_EINVAL, vt_core_set(out, &radius, x, COUNT, SIZE, COUNT + 1));
    assert_status(VT_EINVAL, vt_core_set(out, &radius, x, COUNT, SIZE, 0));
}

/* ---- strategies ---- */

static void test_top(void **state)
{
    (void)state;
    vt_image_stream *pool = leaves(POOL);
    float *responses = all_responses(pool);
    static const int64_t neurons[] = {7, 2, 3};
    vt_selection s;
    for (int lowest = 0; lowest < 2; lowest++) {
        vt_select_options o = {.strategy = VT_SELECT_TOP,
                               .count = 9,
                               .members = members,
                               .member_count = MEMBERS,
                               .neurons = neurons,
                               .neuron_count = 3,
                               .lowest = lowest};
        assert_ok(vt_select(&s, pool, &o));
        assert_int_equal(s.count, 27);
        assert_int_equal(s.lowest, lowest);
        for (int k = 0; k < 3; k++) {
            double scores[POOL];
            for (int i = 0; i < POOL; i++)
                scores[i] = (lowest ? -1 : 1) * (double)responses[i * 9 + neurons[k]];
            for (int r = 0; r < 9; r++) {
                const vt_selected *item = &s.items[k * 9 + r];
                int64_t expected = ranked(scores, POOL, r);
                assert_int_equal(item->index, expected);
                assert_int_equal(item->neuron, neurons[k]);
                assert_int_equal(item->strategy, VT_SELECT_TOP);
                assert_close(item->score, responses[expected * 9 + neurons[k]], 0);
            }
        }
        vt_selection_free(&s);
    }
    vt_select_options all = {
        .strategy = VT_SELECT_TOP, .count = 1, .members = members, .member_count = 2};
    assert_ok(vt_select(&s, pool, &all));
    assert_int_equal(s.count, 6);
    vt_selection_free(&s);
    free(responses);
    vt_image_stream_close(pool);
}

/* Scores, candidates, their mean responses, the core-set and what is left for drawing, all naively.
 */
static void check_disagreement(const int64_t *neurons, int neuron_count)
{
    enum { COUNT = 20, CANDIDATES = 35, COVERED = 14 };
    vt_image_stream *pool = leaves(POOL);
    float *responses = all_responses(pool), points[CANDIDATES * NEURONS];
    double scores[POOL];
    int64_t candidates[CANDIDATES], expected[COVERED];
    for (int i = 0; i < POOL; i++) {
        double d[3];
        for (int pair = 0; pair < 3; pair++) {
            int a = pair == 2, b = pair == 0 ? 1 : 2;
            d[pair] = 0;
            for (int k = 0; k < neuron_count; k++)
                d[pair] += pow((double)responses[i * 9 + a * 3 + neurons[k]] -
                                   responses[i * 9 + b * 3 + neurons[k]],
                               2);
            d[pair] = sqrt(d[pair]);
        }
        scores[i] = vt_median(d, 3);
    }
    for (int c = 0; c < CANDIDATES; c++) {
        candidates[c] = ranked(scores, POOL, c);
        for (int k = 0; k < neuron_count; k++) {
            double sum = 0;
            for (int m = 0; m < 3; m++)
                sum += responses[candidates[c] * 9 + m * 3 + neurons[k]];
            points[c * neuron_count + k] = (float)(sum / 3);
        }
    }
    double radius = naive_core_set(expected, points, CANDIDATES, neuron_count, COVERED);
    vt_select_options o = {.strategy = VT_SELECT_DISAGREEMENT,
                           .count = COUNT,
                           .members = members,
                           .member_count = MEMBERS,
                           .neurons = neurons,
                           .neuron_count = neuron_count,
                           .candidates = CANDIDATES,
                           .random = 0.3,
                           .seed = 11};
    vt_selection s;
    assert_ok(vt_select(&s, pool, &o));
    assert_int_equal(s.count, COUNT);
    assert_close(s.radius, radius, 1e-6);
    for (int i = 0; i < COVERED; i++) {
        assert_int_equal(s.items[i].index, candidates[expected[i]]);
        assert_close(s.items[i].score, scores[s.items[i].index], 1e-9);
        assert_int_equal(s.items[i].strategy, VT_SELECT_DISAGREEMENT);
    }
    for (int i = COVERED; i < COUNT; i++) {
        assert_int_equal(s.items[i].strategy, VT_SELECT_RANDOM);
        for (int k = 0; k < i; k++)
            assert_true(s.items[i].index != s.items[k].index);
    }
    vt_selection_free(&s);
    free(responses);
    vt_image_stream_close(pool);
}

static void test_disagreement(void **state)
{
    (void)state;
    check_disagreement((const int64_t[]){0, 1, 2}, 3);
    check_disagreement((const int64_t[]){2, 0}, 2);
}

static bool is_same(const vt_selection *a, const vt_selection *b)
{
    bool same = a->count == b->count;
    for (int64_t i = 0; i < a->count && same; i++)
        same = a->items[i].index == b->items[i].index;
    return same;
}

static void test_random(void **state)
{
    (void)state;
    vt_image_stream *pool = leaves(POOL);
    vt_selection a, b;
    vt_select_options o = {.count = 40, .seed = 1};
    assert_ok(vt_select(&a, pool, &o));
    assert_int_equal(a.count, 40);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(a.items[i].strategy, VT_SELECT_RANDOM);
        assert_true(isnan(a.items[i].score) && (i == 0 || a.items[i].index > a.items[i - 1].index));
    }
    assert_ok(vt_select(&b, pool, &o));
    assert_true(is_same(&a, &b));
    vt_selection_free(&b);
    o.seed = 2;
    assert_ok(vt_select(&b, pool, &o));
    assert_false(is_same(&a, &b));
    vt_selection_free(&a);
    vt_selection_free(&b);
    vt_image_stream_close(pool);
}

/* Nodes by name, repeated members, threads and a cache change nothing; a teacher has the cache. */
static void test_same_result(void **state)
{
    (void)state;
    vt_image_stream *pool = leaves(POOL);
    char folder[4096], cache[4200];
    snprintf(cache, sizeof cache, "%s/pool.responses", new_folder(folder));
    vt_select_member named[MEMBERS];
    vt_selection first, other;
    vt_select_options o = {.strategy = VT_SELECT_DISAGREEMENT,
                           .count = 10,
                           .members = members,
                           .member_count = MEMBERS,
                           .cache = cache};
    for (int m = 0; m < MEMBERS; m++) {
        vt_graph *graph = vt_model_graph(models[m]);
        named[m] =
            (vt_select_member){models[m], vt_graph_node_name(graph, vt_model_output(models[m]))};
    }
    vt_threads_set(1);
    assert_ok(vt_select(&first, pool, &o));
    vt_threads_set(2);
    assert_ok(vt_select(&other, pool, &o)); /* from the cache */
    assert_true(is_same(&first, &other));
    vt_selection_free(&other);
    o.cache = NULL;
    o.members = named;
    assert_ok(vt_select(&other, pool, &o));
    vt_threads_set(0);
    assert_true(is_same(&first, &other));
    vt_selection_free(&other);
    o.features = &named[0];
    assert_ok(vt_select(&other, pool, &o));
    vt_selection_free(&other);
    o.features = &(vt_select_member){models[0], "layer2_act"}; /* a map */
    assert_ok(vt_select(&other, pool, &o));
    assert_int_equal(other.count, 10);
    vt_selection_free(&other);
    vt_teacher *teacher;
    assert_ok(vt_teacher_new(&teacher, models, MEMBERS, &(vt_teacher_options){.cache = cache}));
    vt_teacher_free(teacher);
    o.cache = cache;
    assert_status(VT_EINVAL, vt_select(&other, pool, &o)); /* nodes by name are other records */
    assert_message(cache);
    vt_selection_free(&first);
    vt_image_stream_close(pool);
    remove_folder(folder);
}

static void test_gaudy_pool(void **state)
{
    (void)state;
    uint8_t natural[SIDE * SIDE * 3], gaudy[SIDE * SIDE * 3];
    char name[VT_IMAGE_NAME_SIZE];
    int64_t index = 3;
    vt_image_stream *pool = leaves(5), *made;
    vt_image_stream_options o = {
        .generated = 5, .height = SIDE, .width = SIDE, .seed = 5, .gaudy = {VT_GAUDY_GLOBAL, 1.5}};
    assert_ok(vt_image_stream_open(&made, &o));
    assert_ok(vt_image_stream_read(pool, &index, 1, natural));
    assert_ok(vt_image_stream_read(made, &index, 1, gaudy));
    assert_ok(vt_gaudy(natural, SIDE, SIDE, &o.gaudy));
    assert_memory_equal(natural, gaudy, sizeof gaudy);
    vt_image_stream_name(made, index, name);
    assert_string_equal(name, "leaves 5:3 gaudy global 1.5");
    vt_image_stream_close(made);
    o.gaudy.blur = -1;
    assert_status(VT_EINVAL, vt_image_stream_open(&made, &o));
    vt_image_stream_close(pool);
}

/* ---- files ---- */

static char *read_text(const char *path)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path));
    return data;
}

static void test_files(void **state)
{
    (void)state;
    char folder[4096], list[4200], archive[4200];
    vt_image_stream *pool = leaves(8);
    /* The same image for two neurons. */
    vt_selected items[] = {{6, VT_SELECT_TOP, 0, 1.5},
                           {2, VT_SELECT_TOP, 0, 0.25},
                           {2, VT_SELECT_TOP, 4, -3},
                           {7, VT_SELECT_RANDOM, -1, NAN}};
    vt_selection s = {items, 4, true, 0};
    static const char *const expected = "rank,image,score,source,neuron,file\n"
                                        "1,leaves 5:6,1.5,lowest,0,image0001.png\n"
                                        "2,leaves 5:2,0.25,lowest,0,image0002.png\n"
                                        "1,leaves 5:2,-3,lowest,4,image0002.png\n"
                                        "1,leaves 5:7,,random,,image0003.png\n";
    snprintf(list, sizeof list, "%s/out/selection.csv", new_folder(folder));
    snprintf(archive, sizeof archive, "%s/out/images.zip", folder);
    char *out = strdup(cli_join(folder, "out"));
    assert_ok(vt_selection_write(&s, pool, out, VT_SELECT_PNG));
    char *text = read_text(list);
    assert_string_equal(text, expected);
    free(text);
    cli_assert_only(out, ";selection.csv;images.zip;");
    vt_image_source *source;
    assert_ok(vt_image_source_open(&source, archive));
    assert_int_equal(vt_image_source_count(source), 3);
    static const int64_t order[] = {6, 2, 7};
    for (int i = 0; i < 3; i++) {
        uint8_t pixels[SIDE * SIDE * 3];
        vt_image image;
        assert_ok(vt_image_stream_read(pool, &order[i], 1, pixels));
        assert_ok(vt_image_source_read(source, i, &image));
        assert_memory_equal(image.pixels, pixels, sizeof pixels);
        vt_image_free(&image);
    }
    vt_image_source_close(source);
    assert_ok(vt_selection_write(&s, pool, out, VT_SELECT_JPEG)); /* in their place */
    assert_ok(vt_image_source_open(&source, archive));
    assert_string_equal(vt_image_source_name(source, 2), "image0003.jpg");
    vt_image_source_close(source);
    assert_status(VT_EIO, vt_selection_write(&s, pool, "/dev/null/x", VT_SELECT_PNG));
    for (int64_t allowed = 0, status = VT_ENOMEM; status != VT_OK; allowed++) {
        char *other = strdup(cli_join(folder, "other"));
        remove_folder(other);
        vt_alloc_fail_after(allowed);
        status = vt_selection_write(&s, pool, other, VT_SELECT_PNG);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        if (access(other, F_OK) == 0) cli_assert_only(other, ";selection.csv;images.zip;");
        free(other);
    }
    free(out);
    vt_image_stream_close(pool);
    remove_folder(folder);
}

static void test_names_are_quoted(void **state)
{
    (void)state;
    char folder[4096], images[4200], out[4200], list[4300];
    int side = SIDE;
    vt_image image;
    void *data;
    size_t size;
    snprintf(images, sizeof images, "%s/a \"b\", c", new_folder(folder));
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(list, sizeof list, "%s/selection.csv", out);
    assert_int_equal(mkdir(images, 0777), 0);
    assert_ok(cli_image(&side, 1, &image));
    assert_ok(vt_png_encode(&data, &size, &image));
    assert_ok(vt_file_write(cli_join(images, "1.png"), data, size));
    vt_image_free(&image);
    free(data);
    const char *path = images;
    vt_image_stream *pool;
    vt_image_stream_options o = {.paths = &path, .path_count = 1};
    assert_ok(vt_image_stream_open(&pool, &o));
    vt_selected item = {0, VT_SELECT_RANDOM, -1, NAN};
    assert_ok(vt_selection_write(&(vt_selection){&item, 1, false, 0}, pool, out, VT_SELECT_PNG));
    char *text = read_text(list);
    assert_non_null(strstr(text, "\n1,\"a \"\"b\"\", c/1.png\",,random,,image0001.png\n"));
    free(text);
    vt_image_stream_close(pool);
    remove_folder(folder);
}

/* ---- refusals ---- */

static void refuse(vt_image_stream *pool, const vt_select_options *o, vt_status status,
                   const char *says)
{
    vt_selection s = {.count = 17};
    assert_status(status, vt_select(&s, pool, o));
    assert_message(says);
    assert_int_equal(s.count, 17);
}

static void test_refusals(void **state)
{
    (void)state;
    vt_image_stream *pool = leaves(8);
    vt_select_strategy strategy;
    vt_select_options good = {.strategy = VT_SELECT_DISAGREEMENT,
                              .count = 4,
                              .members = members,
                              .member_count = MEMBERS};
    vt_select_options o = good;
    o.count = 9;
    refuse(pool, &o, VT_EINVAL, "the pool has 8");
    o.count = -1;
    refuse(pool, &o, VT_EINVAL, "-1 images");
    o = good;
    o.member_count = 1;
    refuse(pool, &o, VT_EINVAL, "two or more");
    o.member_count = 0;
    refuse(pool, &o, VT_EINVAL, "no model");
    o = good;
    o.random = 1.5;
    refuse(pool, &o, VT_EINVAL, "share");
    o.random = NAN;
    refuse(pool, &o, VT_EINVAL, "share");
    o = good;
    o.candidates = 1;
    refuse(pool, &o, VT_EINVAL, "candidates");
    o = good;
    o.neurons = (const int64_t[]){0, NEURONS};
    o.neuron_count = 2;
    refuse(pool, &o, VT_EINVAL, "neuron 3");
    o.neurons = (const int64_t[]){-1};
    refuse(pool, &o, VT_EINVAL, "neuron -1");
    vt_select_member mixed[] = {members[0], {models[1], "layer2_act"}};
    o = good;
    o.members = mixed;
    o.member_count = 2;
    mixed[1].node = "layer4_act"; /* 4 channels */
    refuse(pool, &o, VT_EINVAL, "predicts 4 neurons");
    mixed[1].node = "member0";
    refuse(pool, &o, VT_ENOTFOUND, "no node 'member0'");
    assert_ok(vt_model_add_session(models[0], &(vt_model_session){.id = "a", .count = NEURONS}));
    assert_ok(vt_model_add_session(models[1], &(vt_model_session){.id = "b", .count = NEURONS}));
    refuse(pool, &good, VT_EINVAL, "other neurons");
    vt_param *bias = vt_graph_find_param(vt_model_graph(models[2]), "spatial_pool_stage.bias");
    float *value = bias->value.data, kept = value[1];
    value[1] = NAN;
    vt_graph_touch(vt_model_graph(models[2]));
    o = good;
    o.strategy = VT_SELECT_TOP;
    refuse(pool, &o, VT_ENUMERIC, "leaves 5:0");
    value[1] = kept;
    vt_graph_touch(vt_model_graph(models[2]));
    assert_status(VT_ENOTFOUND, vt_select_find(&strategy, "best"));
    assert_message("disagreement");
    vt_image_stream_close(pool);
}

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    (void)line;
    assert_true(done > 0 && done < total);
    ++*(int *)context;
    return false;
}

static void test_interrupted(void **state)
{
    (void)state;
    int calls = 0;
    vt_image_stream *pool = leaves(POOL);
    vt_progress progress = {stop_at_once, &calls};
    vt_select_options o = {.strategy = VT_SELECT_TOP,
                           .count = 4,
                           .members = members,
                           .member_count = 1,
                           .progress = &progress};
    refuse(pool, &o, VT_EINTERRUPTED, "");
    assert_int_equal(calls, 1);
    vt_image_stream_close(pool);
}

static void test_memory_failures(void **state)
{
    (void)state;
    vt_image_stream *pool = leaves(8);
    for (int strategy = VT_SELECT_RANDOM; strategy <= VT_SELECT_DISAGREEMENT; strategy++) {
        vt_select_options o = {.strategy = (vt_select_strategy)strategy,
                               .count = 4,
                               .members = &members[1],
                               .member_count = 2,
                               .features = &(vt_select_member){models[1], "layer0_act"}};
        vt_selection s;
        vt_status status = VT_ENOMEM;
        int64_t allowed = 0;
        for (; status != VT_OK; allowed++) {
            vt_alloc_fail_after(allowed);
            status = vt_select(&s, pool, &o);
            assert_true(status == VT_OK || status == VT_ENOMEM);
        }
        vt_alloc_fail_after(-1);
        assert_true(allowed > (strategy == VT_SELECT_RANDOM ? 3 : 30));
        vt_selection_free(&s);
    }
    vt_image_stream_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_disagreement_values),
        cmocka_unit_test(test_core_set),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_same_result),
        cmocka_unit_test(test_gaudy_pool),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_names_are_quoted),
        cmocka_unit_test(test_memory_failures),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_models, free_models);
}
