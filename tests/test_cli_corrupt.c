/* ventral corrupt: what it writes on any number of threads, what it refuses, a full disk, Ctrl-C.
 */
#include "cli.h"
#include "image_tree.h"

#include "ventral/corruption.h"

typedef struct paths {
    char folder[4096], set[4120], one[4120], two[4120];
} paths;

/* A temporary folder with two classes of `count` grey images each, and names beside it. */
static void begin(paths *p, int count)
{
    char name[64];
    new_folder(p->folder);
    snprintf(p->set, sizeof p->set, "%s/set", p->folder);
    snprintf(p->one, sizeof p->one, "%s/one", p->folder);
    snprintf(p->two, sizeof p->two, "%s/two", p->folder);
    for (int i = 0; i < 2 * count; i++) {
        snprintf(name, sizeof name, "set/%s/%03d.png", i % 2 ? "cat" : "dog", i / 2);
        write_grey(p->folder, name, 40 + i % 200);
    }
}

static int64_t number(json_t *root, const char *key)
{
    return json_integer_value(json_object_get(root, key));
}

static void test_common(void **state)
{
    (void)state;
    cli_check_command("corrupt", "--severities", true);
    cli_misused("--output", "corrupt", "set");
    cli_misused("one data set", "corrupt", "-o", "x", "a", "b");
    cli_misused("'sepia'", "corrupt", "-o", "x", "a", "-c", "fog,sepia");
    cli_misused("'6'", "corrupt", "-o", "x", "a", "-s", "1,6");
    cli_misused("''", "corrupt", "-o", "x", "a", "-s", "");
    cli_misused("-2", "corrupt", "-o", "x", "a", "--limit", "-2");
}

static void test_same_on_all_threads(void **state)
{
    (void)state;
    paths p;
    begin(&p, 2);
    json_t *root =
        cli_json("corrupt", p.set, "-o", p.one, "--seed", "9", "--threads", "1", "-s", "2,5");
    assert_int_equal(4, number(root, "images"));
    assert_int_equal(120, number(root, "written"));
    assert_int_equal(0, number(root, "kept"));
    json_decref(root);
    root = cli_json("corrupt", p.set, "-o", p.two, "--seed", "9", "--threads", "3", "-c",
                    "snow,frost", "-s", "2,5", "-l", "3");
    assert_int_equal(3, number(root, "images"));
    assert_int_equal(12, number(root, "written"));
    json_decref(root);
    static const char *const files[] = {"snow/2/cat/000.png", "snow/5/cat/001.png",
                                        "frost/2/dog/000.png", "corruptions.json"};
    for (int i = 0; i < 4; i++)
        cli_assert_same_file(cli_join(p.one, files[i]), cli_join(p.two, files[i]));
    cli_assert_only(p.two, ";snow;frost;corruptions.json;");
    cli_assert_only(cli_join(p.two, "snow"), ";2;5;");
    root = cli_json("corrupt", p.set, "-o", p.two, "--seed", "9", "-c", "snow", "-s", "2,4");
    assert_int_equal(3, number(root, "kept"));
    assert_int_equal(5, number(root, "written"));
    json_decref(root);
    remove_folder(p.folder);
}

static void test_refusals(void **state)
{
    (void)state;
    paths p;
    begin(&p, 1);
    cli_fails("/nowhere", "", "corrupt", "/nowhere", "-o", p.one);
    cli_fails(p.folder, "not empty", "corrupt", p.set, "-o", p.folder);
    cli_ok("corrupt", p.set, "-o", p.one, "-c", "fog");
    cli_fails(p.one, "another seed", "corrupt", p.set, "-o", p.one, "--seed", "1");
    cli_fails("/dev/null", "", "corrupt", p.set, "-o", "/dev/null/c");
    cli_assert_only(p.folder, ";set;one;");
    remove_folder(p.folder);
}

/* Nothing half-written, and the same call goes on when there is room. */
static void test_full_disk(void **state)
{
    (void)state;
    paths p;
    begin(&p, 1);
    const char *const args[] = {"ventral", "corrupt", p.set, "-o", p.one, "-c", "shot_noise", NULL};
    cli_assert_fails(cli_run_how(args, &(cli_how){.largest_file = 2000}), 1, p.one,
                     "File too large");
    cli_assert_only(cli_join(p.one, "shot_noise/1/dog"), "");
    json_t *root = cli_json("corrupt", p.set, "-o", p.one, "-c", "shot_noise");
    assert_int_equal(10, number(root, "written"));
    json_decref(root);
    remove_folder(p.folder);
}

static void test_interrupted(void **state)
{
    (void)state;
    paths p;
    begin(&p, 48);
    const char *const args[] = {"ventral",    "corrupt", p.set, "-o",        p.one, "-c",
                                "shot_noise", "-s",      "1,2", "--threads", "1",   NULL};
    char first[4200];
    snprintf(first, sizeof first, "%s/shot_noise/1/cat/000.png", p.one);
    for (int tries = 0; tries < 50; tries++) {
        cli_result r = cli_run_how(args, &(cli_how){.signal = SIGINT, .signal_when = first});
        if (r.code != 0) {
            cli_assert_fails(r, 1, "", "interrupted");
            break;
        }
        cli_free(&r); /* it was faster */
        remove_folder(p.one);
    }
    json_t *root = cli_json("corrupt", p.set, "-o", p.one, "-c", "shot_noise", "-s", "1,2");
    assert_int_equal(192, number(root, "written") + number(root, "kept"));
    assert_true(number(root, "kept") > 0 && number(root, "written") > 0);
    json_decref(root);
    remove_folder(p.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),      cmocka_unit_test(test_same_on_all_threads),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
