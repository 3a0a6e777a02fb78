/* Distillations that stop: interrupted anywhere, out of memory, on a full disk; and checkpoints
 * that are not this run's. Killed runs are in test_resume_distill.c. */
#include "toy_distill.h"

#include <sys/stat.h>

#include "base/arena.h"

static toy world;
static vt_model *whole[2]; /* students of a run that was never stopped */
static vt_distill_report course;

static const vt_distill_options plain = {
    .passes = 2, .stretch = 40, .batch = 8, .rate = 1e-3, .cosine = true, .held_out = 12};

static void make_students(vt_distill_student *list)
{
    static const int64_t neurons[][2] = {{1}, {0, 1}};
    list[0] = (vt_distill_student){toy_compact(3, 1), neurons[0]};
    list[1] = (vt_distill_student){toy_shared(2, 2, 2), neurons[1]};
}

static void free_students(const vt_distill_student *list)
{
    vt_model_free(list[0].model);
    vt_model_free(list[1].model);
}

static int set_up(void **state)
{
    (void)state;
    vt_distill_student list[2];
    vt_threads_set(1);
    toy_open(&world, 2, 80);
    make_students(list);
    assert_ok(vt_distill(list, 2, world.teacher, world.stream, &plain, &course));
    for (int i = 0; i < 2; i++)
        whole[i] = list[i].model;
    assert_int_equal(4, course.stretches); /* 16 steps in stretches of 5, the last one of 1 */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vt_distill_report_free(&course);
    vt_model_free(whole[0]);
    vt_model_free(whole[1]);
    toy_close(&world);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char paths[8][4200];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", world.folder, name);
    return path;
}

static void assert_whole(const vt_distill_student *list, const vt_distill_report *report)
{
    size_t bytes = (size_t)(course.stretches * course.neurons) * sizeof(double);
    for (int i = 0; i < 2; i++)
        toy_assert_same_weights(whole[i], list[i].model);
    assert_int_equal(course.stretches, report->stretches);
    assert_memory_equal(course.loss, report->loss, bytes);
    assert_memory_equal(course.r, report->r, bytes);
}

/* Asks to stop at the report number `left`. */
static bool stop_later(void *context, int64_t done, int64_t total, const char *line)
{
    int *left = context;
    assert_true(done >= 0 && done <= total && line);
    return --*left != 0;
}

/* Runs until it is stopped after `reports`; the students are then as they were given. */
static bool stopped_after(int reports, const vt_distill_options *options)
{
    vt_distill_student list[2], given[2];
    vt_distill_report report;
    vt_progress progress = {stop_later, &reports};
    vt_distill_options o = *options;
    o.progress = &progress;
    make_students(list);
    make_students(given);
    vt_status status = vt_distill(list, 2, world.teacher, world.stream, &o, &report);
    if (status == VT_EINTERRUPTED) {
        for (int i = 0; i < 2; i++)
            toy_assert_same_weights(given[i].model, list[i].model);
    } else {
        assert_ok(status);
        assert_whole(list, &report);
        vt_distill_report_free(&report);
    }
    free_students(list);
    free_students(given);
    return status == VT_EINTERRUPTED;
}

/* Wherever it is stopped, while the teacher answers, in a stretch, or while one is measured, it
 * ends the same. */
static void test_interruptions(void **state)
{
    (void)state;
    vt_distill_options o = plain;
    o.checkpoint = in_folder("stopped.safetensors");
    int at = 1, step = TEST_SANITIZED ? 7 : 1;
    for (;; at += step) {
        unlink(o.checkpoint);
        if (!stopped_after(at, &o)) break;
        if (stopped_after(3 + at % 5, &o)) assert_false(stopped_after(1000, &o));
    }
    /* Some reports of the teacher, one a step; eight of statistics and two of correlations each
     * time.
     */
    assert_in_range(at - 1, 16 + 10 * 4 + 1, 16 + 10 * 4 + 8 + step - 1);
    unlink(o.checkpoint);
}

/* A run that came to its end does so again, at once. */
static void test_finished_run(void **state)
{
    (void)state;
    vt_distill_student list[2];
    vt_distill_report report;
    vt_distill_options o = plain;
    o.checkpoint = in_folder("finished.safetensors");
    for (int i = 0; i < 2; i++) {
        make_students(list);
        assert_ok(vt_distill(list, 2, world.teacher, world.stream, &o, &report));
        assert_int_equal(i == 1, report.resumed);
        assert_whole(list, &report);
        vt_distill_report_free(&report);
        free_students(list);
    }
}

static void assert_refuses(const vt_distill_student *list, int count, vt_teacher *teacher,
                           vt_image_stream *stream, const vt_distill_options *o, const char *says)
{
    assert_status(VT_EINVAL, vt_distill(list, count, teacher, stream, o, NULL));
    assert_message("finished.safetensors");
    assert_message(says);
}

/* The checkpoint of the test before. */
static void test_checkpoints_of_other_runs(void **state)
{
    (void)state;
    vt_distill_student list[2];
    vt_distill_options o = plain;
    o.checkpoint = in_folder("finished.safetensors");
    make_students(list);
    vt_distill_options other[] = {o, o, o, o, o, o};
    other[0].seed = 1;
    other[1].rate = 2e-3;
    other[2].blur = -1;
    other[3].stretch = 60;
    other[4].clip_value = 1;
    other[5].cosine = false;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_refuses(list, 2, world.teacher, world.stream, &other[i], "other options");
    assert_refuses(list, 1, world.teacher, world.stream, &o, "other students");
    vt_model *wider = toy_compact(3, 9);
    vt_distill_student changed[] = {{wider, list[0].neurons}, list[1]};
    assert_refuses(changed, 2, world.teacher, world.stream, &o, "other students");
    vt_model_free(wider);
    changed[0] = (vt_distill_student){list[0].model, (int64_t[]){0}};
    assert_refuses(changed, 2, world.teacher, world.stream, &o, "other teacher");
    /* One more image; then the same number under another name. */
    vt_image_stream *stream;
    const char *paths[] = {in_folder("images.npy")};
    vt_image_stream_options images = {
        .paths = paths, .path_count = 1, .height = TOY_SIZE, .width = TOY_SIZE, .generated = 1};
    assert_ok(vt_image_stream_open(&stream, &images));
    assert_refuses(list, 2, world.teacher, stream, &o, "other images");
    vt_image_stream_close(stream);
    paths[0] = in_folder("others.npy");
    toy_write_images(paths[0], 80);
    images.generated = 0;
    assert_ok(vt_image_stream_open(&stream, &images));
    assert_refuses(list, 2, world.teacher, stream, &o, "other images");
    vt_image_stream_close(stream);
    /* The same neurons of a teacher with other weights. */
    vt_graph *graph = vt_model_graph(world.models[0]);
    vt_tensor *kernel = &vt_graph_find_param(graph, "Beta.kernel")->value;
    vt_teacher *teacher;
    for (int changed_back = 0; changed_back < 2; changed_back++) {
        for (int64_t k = 0; k < vt_tensor_count(kernel); k++)
            ((float *)kernel->data)[k] *= changed_back ? 0.5f : 2;
        vt_graph_touch(graph);
        if (changed_back) break;
        assert_ok(vt_teacher_new(&teacher, world.models, 2, &(vt_teacher_options){.cache = NULL}));
        assert_refuses(list, 2, teacher, world.stream, &o, "another teacher");
        vt_teacher_free(teacher);
    }
    free_students(list);
}

/* Any of its tensors missing or of another size, counters out of range, a file cut off. */
static void test_damaged_checkpoints(void **state)
{
    (void)state;
    vt_distill_student list[2];
    vt_distill_options o = plain;
    vt_tensor_map *map, *damaged;
    assert_ok(vt_safetensors_read(&map, in_folder("finished.safetensors")));
    o.checkpoint = in_folder("damaged.safetensors");
    make_students(list);
    static const double numbers[][3] = {{-1, 0, 0},  {17, 4, 0}, {16, 5, 0},  {16, 2, 0},
                                        {NAN, 4, 0}, {5, 2, 0},  {7, NAN, 0}, {7, 0, 0}};
    int tensors = vt_tensor_map_count(map), cases = sizeof numbers / sizeof *numbers;
    for (int bad = 0; bad < tensors + cases; bad++) {
        assert_ok(vt_tensor_map_new(&damaged));
        for (int i = 0; i < vt_tensor_map_text_count(map); i++) {
            const char *key, *value;
            vt_tensor_map_text_at(map, i, &key, &value);
            assert_ok(vt_tensor_map_set_text(damaged, key, value));
        }
        for (int i = 0; i < tensors; i++) {
            vt_tensor t = *vt_tensor_map_at(map, i);
            if (i == bad) t.size[0]--;
            bool counters = bad >= tensors && strcmp(t.name, "run.numbers") == 0;
            if (counters) t.data = (void *)numbers[bad - tensors];
            assert_ok(vt_tensor_map_add_copy(damaged, t.name, &t));
        }
        assert_ok(vt_safetensors_write(damaged, o.checkpoint));
        vt_tensor_map_free(damaged);
        assert_status(VT_EFORMAT, vt_distill(list, 2, world.teacher, world.stream, &o, NULL));
        assert_message("damaged.safetensors");
        assert_message(bad < tensors ? "incomplete" : "out of range");
    }
    vt_tensor_map_free(map);
    assert_int_equal(0, truncate(o.checkpoint, 1000));
    assert_status(VT_EFORMAT, vt_distill(list, 2, world.teacher, world.stream, &o, NULL));
    free_students(list);
}

/* A folder that is not there stops the run where it saves first. */
static void test_no_place_for_a_checkpoint(void **state)
{
    (void)state;
    vt_distill_student list[2], given[2];
    vt_distill_options o = plain;
    o.checkpoint = in_folder("nowhere/state.safetensors");
    make_students(list);
    make_students(given);
    assert_status(VT_ENOTFOUND, vt_distill(list, 2, world.teacher, world.stream, &o, NULL));
    assert_message("nowhere");
    for (int i = 0; i < 2; i++)
        toy_assert_same_weights(given[i].model, list[i].model);
    free_students(list);
    free_students(given);
}

/* Each allocation fails once: the students stay as they were, and nothing leaks. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    vt_distill_options o = {.batch = 8, .held_out = 4, .stretch = 24};
    vt_distill_student list[2], given[2];
    o.checkpoint = in_folder("memory.safetensors");
    make_students(list);
    make_students(given);
    vt_status status = VT_ENOMEM;
    int failures = 0;
    for (int64_t n = 0; status != VT_OK; n += 1 + n / 20) {
        unlink(o.checkpoint);
        vt_alloc_fail_after(n);
        status = vt_distill(list, 2, world.teacher, world.stream, &o, NULL);
        vt_alloc_fail_after(-1);
        if (status == VT_OK) break;
        assert_status(VT_ENOMEM, status);
        for (int i = 0; i < 2; i++)
            toy_assert_same_weights(given[i].model, list[i].model);
        failures++;
    }
    assert_true(failures > 30);
    free_students(list);
    free_students(given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interruptions),
        cmocka_unit_test(test_finished_run),
        cmocka_unit_test(test_checkpoints_of_other_runs),
        cmocka_unit_test(test_damaged_checkpoints),
        cmocka_unit_test(test_no_place_for_a_checkpoint),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
