/* ventral distill: what it writes and reports, where students come from, and what it refuses.
 * Killed runs are in test_resume_distill.c. */
#include "cli.h"

enum { IMAGES = 24 };

/* One folder for all tests: session "a" and teachers of two of its neurons. */
static char root[4096];
static const char *rec, *teachers;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    rec = strdup(cli_join(root, "rec"));
    teachers = strdup(cli_join(root, "teachers"));
    assert_int_equal(0, mkdir(teachers, 0777));
    cli_write_recording(rec, &(cli_recording){.id = "a", .images = IMAGES, .neurons = 2});
    for (int i = 0; i < 2; i++) {
        char path[4200];
        vt_model *model;
        vt_compact_options o = {.filters = {2, 2, 2, 2, 2}, .outputs = 1, .seed = (uint64_t)i + 1};
        vt_model_session session = {.id = "a", .count = 1, .first_neuron = i};
        assert_ok(vt_compact_new(&model, &o));
        assert_ok(vt_model_add_session(model, &session));
        snprintf(path, sizeof path, "%s/t%d.safetensors", teachers, i);
        assert_ok(vt_model_write(model, path));
        vt_model_free(model);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)rec);
    free((void *)teachers);
    return 0;
}

#define IN(name) cli_join(root, name)
#define DISTILL(output)                                                                            \
    "distill", "-t", teachers, "-R", rec, "-s", "a", "-o", output, "-b", "8", "--threads", "2"
#define SMALL "-f", "2,2,2,2,2"

static void test_common(void **state)
{
    (void)state;
    cli_check_command("distill", "--teacher", true);
    cli_misused("--output", "distill", "-t", teachers, "-R", rec, "-s", "a");
    cli_misused("which images", "distill", "-t", teachers, "-o", IN("no"));
    cli_misused("--recordings and --sessions", "distill", "-t", teachers, "-o", IN("no"), "-R",
                rec);
    cli_misused("--variants", DISTILL(IN("no")), "--variants", "-1");
    cli_misused("--shared", DISTILL(IN("no")), "--shared", "5", SMALL);
    cli_misused("--from", DISTILL(IN("no")), "--from", teachers, "--linear");
    cli_misused("--rate", DISTILL(IN("no")), "--rate", "-1");
    cli_misused("2 images a batch", DISTILL(IN("no")), "--batch", "1");
    cli_misused("--held-out", DISTILL(IN("no")), "--held-out", "many");
    cli_assert_only(root, ";rec;teachers;");
}

static json_t *neuron_of(json_t *root_of, size_t index)
{
    return json_array_get(json_object_get(root_of, "neurons"), index);
}

static void assert_neuron(const char *path, int64_t neuron)
{
    vt_model *model;
    assert_ok(vt_model_read(&model, path));
    assert_int_equal(1, vt_model_session_count(model));
    assert_string_equal("a", vt_model_session_at(model, 0)->id);
    assert_int_equal(neuron, vt_model_session_at(model, 0)->first_neuron);
    vt_model_free(model);
}

static int lines_in(const char *path)
{
    char *text;
    size_t size;
    int lines = 0;
    assert_ok(vt_file_read((void **)&text, &size, path));
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    free(text);
    return lines;
}

/* A student a neuron, then these as students again; the folder's models say whose they are. */
static void test_students(void **state)
{
    (void)state;
    json_t *r = cli_json("distill", "-t", teachers, "-R", rec, "-s", "a:first", "-o", IN("out"),
                         "-b", "8", "--threads", "2", SMALL, "-p", "2", "-i",
                         IN("rec/images/images_a.zip"), "--variants", "1");
    int students, images, held_out, stretches, resumed;
    assert_int_equal(0, json_unpack(r, "{s:i, s:i, s:i, s:i, s:b}", "students", &students, "images",
                                    &images, "held_out", &held_out, "stretches", &stretches,
                                    "resumed", &resumed));
    assert_int_equal(2, students);
    /* The zip and half of the session, each image with one variant. */
    assert_int_equal(2 * (IMAGES + IMAGES / 2), images + held_out);
    assert_int_equal(7, held_out);
    assert_int_equal(2, stretches);
    assert_false(resumed);
    for (size_t i = 0; i < 2; i++) {
        const char *session, *model;
        int neuron;
        double loss, correlation;
        assert_int_equal(0, json_unpack(neuron_of(r, i), "{s:s, s:i, s:s, s:F, s:F}", "session",
                                        &session, "neuron", &neuron, "model", &model, "loss", &loss,
                                        "r", &correlation));
        assert_string_equal("a", session);
        assert_int_equal(i, neuron);
        char path[4200];
        snprintf(path, sizeof path, "%s/out/%s", root, model);
        assert_true(loss > 0 && correlation >= -1 && correlation <= 1);
        assert_neuron(path, neuron);
    }
    json_decref(r);
    assert_int_equal(1 + 2 * 2, lines_in(IN("out/distill.csv")));
    cli_assert_only(IN("out"), ";a_neuron0.safetensors;a_neuron1.safetensors;distill.csv;"
                               "r.svg;r.gp;r.tsv;loss.svg;loss.gp;loss.tsv;");
    cli_result text = cli_run(DISTILL(IN("again")), "--from", IN("out"), "-p", "3");
    assert_non_null(strstr(text.out, "a_neuron1"));
    assert_non_null(strstr(text.out, "median r"));
    free(cli_output_of(text));
    assert_int_equal(1 + 3 * 2, lines_in(IN("again/distill.csv")));
    assert_neuron(IN("again/a_neuron1.safetensors"), 1);
    cli_fails("out", "different folders", DISTILL(IN("out")), "--from", IN("out"));
    /* One neuron, and its model as the teacher: it goes on the same whoever learns beside it. */
    cli_ok(DISTILL(IN("one")), SMALL, "-n", "1");
    cli_ok(DISTILL(IN("both")), SMALL);
    cli_assert_same_file(IN("one/a_neuron1.safetensors"), IN("both/a_neuron1.safetensors"));
    cli_ok("score", IN("one/a_neuron1.safetensors"), "-R", rec, "-s", "a");
}

static void test_shared_linear_student(void **state)
{
    (void)state;
    vt_model *model;
    vt_compact_options shape;
    static const int filters[] = {3, 3, 3, 100, 100};
    cli_ok(DISTILL(IN("shared")), "--shared", "3", "--linear", "--cache", IN("answers"), "--cosine",
           "--clip", "0.5", "--held-out", "4");
    assert_ok(vt_model_read(&model, IN("shared/shared.safetensors")));
    assert_ok(vt_model_compact_options(model, &shape));
    assert_true(shape.shared && shape.linear && shape.outputs == 2);
    assert_memory_equal(filters, shape.filters, sizeof filters);
    assert_int_equal(1, vt_model_session_count(model));
    assert_int_equal(2, vt_model_session_at(model, 0)->count);
    vt_model_free(model);
    assert_int_equal(0, access(IN("answers"), R_OK));
    cli_ok(DISTILL(IN("shared2")), "--from", IN("shared/shared.safetensors"));
    assert_int_equal(0, access(IN("shared2/shared.safetensors"), R_OK));
}

static void test_failures(void **state)
{
    (void)state;
    const char *no = IN("refused");
    cli_fails("nowhere", "", DISTILL(no), "nowhere.safetensors");
    cli_fails("rec", "no models", DISTILL(no), rec);
    cli_fails("session", "a", "distill", "-t", teachers, "-R", rec, "-s", "zz", "-o", no);
    cli_fails("--neurons", "5", DISTILL(no), "-n", "5");
    cli_fails("--filters", "five numbers", DISTILL(no), "-f", "2,2");
    cli_fails("nothing.npy", "", "distill", "-t", teachers, "-i", IN("nothing.npy"), "-o", no);
    cli_fails("t0.safetensors", "not a folder", DISTILL(IN("teachers/t0.safetensors")));
    cli_fails("60", "at least 2", DISTILL(no), SMALL, "--held-out", "60");
    cli_write_model(IN("nobody.safetensors"), NULL, 1, 3);
    cli_fails("nobody", "whose neurons", DISTILL(no), "--from", IN("nobody.safetensors"));
    cli_write_model(IN("other.safetensors"), "b", 1, 3);
    cli_fails("other", "no neuron", DISTILL(no), "--from", IN("other.safetensors"));
    cli_assert_only(no, "");
    cli_result full = cli_run_how((const char *const[]){"ventral", DISTILL(no), SMALL, NULL},
                                  &(cli_how){.largest_file = 2000});
    cli_assert_fails(full, 1, "refused", "");
    cli_assert_only(no, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_students),
        cmocka_unit_test(test_shared_linear_student),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
