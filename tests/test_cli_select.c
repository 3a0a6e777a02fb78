/* ventral select: what it chooses and writes, what it refuses, full disks, kills. */
#include "cli.h"

typedef struct paths {
    char folder[4096], out[4200], again[4200], cache[4200], images[4200];
    char models[3][4200];
} paths;

static void begin(paths *p)
{
    new_folder(p->folder);
    snprintf(p->out, sizeof p->out, "%s/out", p->folder);
    snprintf(p->again, sizeof p->again, "%s/again", p->folder);
    snprintf(p->cache, sizeof p->cache, "%s/cache", p->folder);
    snprintf(p->images, sizeof p->images, "%s/out/images.zip", p->folder);
    for (int m = 0; m < 3; m++) {
        snprintf(p->models[m], sizeof p->models[m], "%s/%d.safetensors", p->folder, m);
        cli_write_model(p->models[m], "sim001", 2, (uint64_t)m);
    }
}

static char *list_of(const char *folder)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, cli_join(folder, "selection.csv")));
    return data;
}

static int lines(const char *text, const char *with)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, with)); at++)
        count++;
    return count;
}

static void test_common(void **state)
{
    (void)state;
    cli_check_command("select", "--strategy", true);
    cli_misused("random, top or disagreement", "select", "-o", "x", "--generate", "9");
    cli_misused("'best'", "select", "-S", "best", "-o", "x", "--generate", "9");
    cli_misused("--output", "select", "-S", "random", "--generate", "9");
    cli_misused("which images", "select", "-S", "random", "-o", "x");
    cli_misused("which models", "select", "-S", "top", "-o", "x", "--generate", "9");
    cli_misused("no say", "select", "-S", "random", "-o", "x", "--generate", "9", "m");
    cli_misused("--lowest", "select", "-S", "random", "-o", "x", "--generate", "9", "-l");
    cli_misused("--features", "select", "-S", "top", "-o", "x", "--random", "0", "m");
    cli_misused("--neurons", "select", "-S", "random", "-o", "x", "-N", "0");
    cli_misused("--blur", "select", "-S", "random", "-o", "x", "--blur", "1");
    cli_misused("'garish'", "select", "-S", "random", "-o", "x", "-g", "garish");
    cli_misused("'gif'", "select", "-S", "random", "-o", "x", "--format", "gif");
    cli_misused("--random 2", "select", "-S", "disagreement", "-o", "x", "--random", "2", "m");
    cli_misused("-4", "select", "-S", "random", "-o", "x", "--generate", "9", "-n", "-4");
}

static void test_random_gaudy(void **state)
{
    (void)state;
    paths p;
    begin(&p);
    json_t *root = cli_json("select", "-S", "random", "--generate", "30", "-n", "4", "--gaudy",
                            "channel", "--blur", "1.5", "-o", p.out, "--seed", "3");
    assert_int_equal(json_integer_value(json_object_get(root, "selected")), 4);
    assert_int_equal(json_integer_value(json_object_get(root, "pool")), 30);
    json_decref(root);
    cli_assert_only(p.out, ";selection.csv;images.zip;");
    char *list = list_of(p.out);
    assert_int_equal(lines(list, " gaudy channel 1.5,,random,,image000"), 4);
    free(list);
    vt_image_source *source;
    vt_image image;
    assert_ok(vt_image_source_open(&source, p.images));
    assert_int_equal(vt_image_source_count(source), 4);
    assert_ok(vt_image_source_read(source, 2, &image));
    assert_int_equal(image.height, 112);
    for (int i = 0; i < 112 * 112 * 3; i++)
        assert_true(image.pixels[i] == 0 || image.pixels[i] == 255);
    vt_image_free(&image);
    vt_image_source_close(source);
    remove_folder(p.folder);
}

static void test_top(void **state)
{
    (void)state;
    paths p;
    begin(&p);
    cli_ok("select", "-S", "top", "--generate", "20", "-n", "3", "-N", "3,0", "-o", p.out, "-c",
           p.cache, "--format", "jpeg", p.models[0], p.models[1]);
    char *list = list_of(p.out);
    assert_int_equal(lines(list, ",top,3,image"), 3);
    assert_int_equal(lines(list, ",top,0,image"), 3);
    assert_int_equal(lines(list, ".jpg\n"), 6);
    free(list);
    cli_ok("select", "-S", "top", "--generate", "20", "-n", "3", "-N", "3,0", "-o", p.again,
           "--threads", "1", "--format", "jpeg", p.models[0], p.models[1]);
    cli_assert_same_file(cli_join(p.out, "selection.csv"), cli_join(p.again, "selection.csv"));
    cli_assert_same_file(cli_join(p.out, "images.zip"), cli_join(p.again, "images.zip"));
    cli_fails("--neurons", "4", "select", "-S", "top", "--generate", "20", "-N", "4", "-o", p.out,
              p.models[0], p.models[1]);
    cli_fails(p.cache, "", "select", "-S", "top", "--generate", "20", "-n", "3", "-o", p.out, "-c",
              p.cache, p.models[2]);
    remove_folder(p.folder);
}

static void test_disagreement(void **state)
{
    (void)state;
    paths p;
    begin(&p);
    char *text = cli_output_of(cli_run("select", "-S", "disagreement", "--generate", "30", "-n",
                                       "6", "--random", "0.4", "-o", p.out, "--features",
                                       "layer1_act", p.models[0], p.models[1], p.models[2]));
    assert_non_null(strstr(text, "6 of 30 images, 4 of them where models disagree, 2 at random"));
    free(text);
    char *list = list_of(p.out);
    assert_int_equal(lines(list, ",disagreement,,image"), 4);
    assert_int_equal(lines(list, ",random,,image"), 2);
    free(list);
    cli_fails(p.models[0], "no ensemble", "select", "-S", "disagreement", "--generate", "30", "-n",
              "6", "-o", p.again, p.models[0]);
    cli_fails("no node 'layer9'", "", "select", "-S", "disagreement", "--generate", "30", "-n", "6",
              "-o", p.again, "--features", "layer9", p.models[0], p.models[1]);
    cli_fails("the pool has 30", "500", "select", "-S", "random", "--generate", "30", "-o",
              p.again);
    cli_fails("/nowhere", "", "select", "-S", "random", "-i", "/nowhere", "-o", p.again);
    cli_fails("/dev/null", "", "select", "-S", "random", "--generate", "3", "-n", "2", "-o",
              "/dev/null/x");
    assert_int_equal(access(p.again, F_OK), -1);
    remove_folder(p.folder);
}

/* As on a full disk: neither file, and what was there stays. */
static void test_full_disk(void **state)
{
    (void)state;
    paths p;
    begin(&p);
    const char *const args[] = {"ventral", "select", "-S", "random", "--generate", "40",
                                "-n",      "8",      "-o", p.out,    NULL};
    cli_assert_fails(cli_run_how(args, &(cli_how){.largest_file = 20000}), 1, "images.zip",
                     "File too large");
    cli_assert_only(p.out, "");
    remove_folder(p.folder);
}

/* Killed at any moment, it leaves no half of an archive under its name, and the cache goes on. */
static void test_killed(void **state)
{
    (void)state;
    paths p;
    begin(&p);
    const char *const args[] = {"ventral", "select", "-S",        "top", "--generate", "500",
                                "-n",      "40",     "-o",        p.out, "--threads",  "1",
                                "-c",      p.cache,  p.models[0], NULL};
    cli_result r =
        cli_run("select", "-S", "top", "--generate", "500", "-n", "40", "-o", p.again, p.models[0]);
    double seconds = r.seconds;
    free(cli_output_of(r));
    int killed = 0;
    for (int turn = 0; turn < 5 || killed == 0; turn++) {
        double after = seconds * (1 + turn % 5) / 4;
        r = cli_run_how(args, &(cli_how){.signal = SIGKILL, .signal_after = after});
        vt_image_source *source;
        if (r.signal == SIGKILL)
            killed++;
        else
            assert_int_equal(0, r.code);
        if (access(p.images, F_OK) == 0) {
            assert_ok(vt_image_source_open(&source, p.images));
            vt_image_source_close(source);
            cli_assert_same_file(p.images, cli_join(p.again, "images.zip"));
        }
        if (killed == 0) seconds /= 2; /* it was faster */
        cli_free(&r);
    }
    cli_ok("select", "-S", "top", "--generate", "500", "-n", "40", "-o", p.out, "-c", p.cache,
           p.models[0]);
    cli_assert_same_file(cli_join(p.out, "selection.csv"), cli_join(p.again, "selection.csv"));
    remove_folder(p.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),    cmocka_unit_test(test_random_gaudy),
        cmocka_unit_test(test_top),       cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
