/* `ventral demo` as a user runs it, on few images. */
#include "group_folder.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "ventral/image.h"
#include "ventral/io.h"
#include "ventral/model.h"

static const char *in_folder(const char *name)
{
    static char paths[4][4800];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static bool exists(const char *name)
{
    return access(in_folder(name), F_OK) == 0;
}

static bool contains(const char *path, const char *wanted)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path));
    bool found = strstr(data, wanted) != NULL;
    free(data);
    return found;
}

#define need_gnuplot()                                                                             \
    if (system("command -v gnuplot > /dev/null") != 0) {                                           \
        print_message("skipped: no gnuplot\n");                                                    \
        skip();                                                                                    \
    }

/* Starts `ventral demo` in the folder, with its streams in the files out and err. */
static pid_t start(const char *const *arguments)
{
    const char *all[16] = {TEST_PROGRAM, "demo"};
    for (int i = 0; arguments[i]; i++)
        all[i + 2] = arguments[i];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    int out = open(in_folder("out"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int err = open(in_folder("err"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(TEST_PROGRAM, (char *const *)(uintptr_t)all);
    _exit(127);
}

static int finish(pid_t child)
{
    int state;
    assert_int_equal(waitpid(child, &state, 0), child);
    assert_true(WIFEXITED(state));
    return WEXITSTATUS(state);
}

static int demo(const char *const *arguments)
{
    return finish(start(arguments));
}

static void assert_err(const char *wanted)
{
    if (!contains(in_folder("err"), wanted)) fail_msg("stderr does not say '%s'", wanted);
}

/* An image of the page is there and decodes. */
static void check_image(const char *source)
{
    char name[600];
    snprintf(name, sizeof name, "demo/%s", source);
    if (!strstr(source, ".png")) {
        assert_true(contains(in_folder(name), "</svg>"));
        return;
    }
    vt_image image;
    assert_ok(vt_image_read(&image, in_folder(name)));
    assert_true(image.height >= 80 && image.width >= 200);
    vt_image_free(&image);
}

static int check_images(const char *page)
{
    FILE *file = fopen(page, "r");
    char line[8192], source[512];
    int count = 0;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        const char *at = strstr(line, "<img src=\"");
        if (!at || sscanf(at, "<img src=\"%500[^\"]", source) != 1) continue;
        check_image(source);
        count++;
    }
    fclose(file);
    return count;
}

static void test_demo(void **state)
{
    (void)state;
    need_gnuplot();
    char path[4800];
    snprintf(path, sizeof path, "%s", in_folder("demo"));
    const char *arguments[] = {"--output", path,     "--images", "40", "--epochs",
                               "1",        "--json", "--seed",   "5",  NULL};
    assert_int_equal(demo(arguments), 0);
    json_t *report = json_load_file(in_folder("out"), 0, NULL);
    assert_non_null(report);
    assert_int_equal(json_integer_value(json_object_get(report, "neurons")), 24);
    assert_int_equal(json_integer_value(json_object_get(report, "images")), 20);
    double r = json_number_value(json_object_get(report, "median_r_truth"));
    assert_true(r > -1 && r < 1 && r != 0);
    assert_true(json_is_real(json_array_get(json_object_get(report, "median_r_interval"), 1)));
    assert_string_equal(json_string_value(json_object_get(report, "page")),
                        in_folder("demo/index.html"));
    json_decref(report);
    char page[4800];
    snprintf(page, sizeof page, "%s", in_folder("demo/index.html"));
    assert_int_equal(check_images(page), 12 + 24);
    assert_true(contains(page, "--images 40 --neurons 24 --repeats 10 --seed 5"));
    assert_true(contains(page, "ventral score --recordings recordings"));
    assert_false(contains(page, ">nan"));
    vt_model *model;
    assert_ok(vt_model_read(&model, in_folder("demo/model.safetensors")));
    assert_int_equal(vt_model_outputs(model), 48);
    vt_model_free(model);
}

static void test_foreign_folder(void **state)
{
    (void)state;
    need_gnuplot();
    char path[4800];
    snprintf(path, sizeof path, "%s", in_folder("mine"));
    assert_int_equal(mkdir(path, 0777), 0);
    assert_ok(vt_file_write(in_folder("mine/index.html"), "mine", 4));
    assert_int_equal(demo((const char *[]){"--output", path, "--images", "40", NULL}), 1);
    assert_err("not of a demo");
    assert_true(contains(in_folder("mine/index.html"), "mine"));
    assert_false(exists("mine/figures"));
    assert_int_equal(demo((const char *[]){"--output", in_folder("mine/index.html"), NULL}), 1);
    assert_err("index.html");
}

static void test_misuse(void **state)
{
    (void)state;
    assert_int_equal(demo((const char *[]){"operand", NULL}), 2);
    assert_err("operands");
    assert_int_equal(demo((const char *[]){"--images", "3", NULL}), 2);
    assert_err("at least 40 images");
    assert_int_equal(demo((const char *[]){"--epochs", "0", NULL}), 2);
    assert_int_equal(demo((const char *[]){"--output", "", NULL}), 2);
}

static void test_without_gnuplot(void **state)
{
    (void)state;
    char path[4800], *before = strdup(getenv("PATH"));
    snprintf(path, sizeof path, "%s", in_folder("none"));
    setenv("PATH", "/nonexistent", 1);
    int code = demo((const char *[]){"--output", path, NULL});
    setenv("PATH", before, 1);
    free(before);
    assert_int_equal(code, 1);
    assert_err("install the package gnuplot-nox");
    assert_false(exists("none")); /* before anything was done */
}

/* Ctrl-C during the fit leaves no page, and the same folder serves again. */
static void test_interrupt(void **state)
{
    (void)state;
    need_gnuplot();
    char path[4800];
    snprintf(path, sizeof path, "%s", in_folder("stopped"));
    pid_t child =
        start((const char *[]){"--output", path, "--images", "40", "--epochs", "100000", NULL});
    struct timespec pause = {0, 20000000};
    for (int i = 0; i < 3000 && !exists("stopped/recordings/truth/truth_sim002.npz"); i++)
        nanosleep(&pause, NULL);
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(finish(child), 1);
    assert_err("stopped");
    assert_false(exists("stopped/index.html"));
    assert_int_equal(
        demo((const char *[]){"--output", path, "--images", "40", "--epochs", "1", NULL}), 0);
    assert_true(exists("stopped/index.html"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demo),      cmocka_unit_test(test_foreign_folder),
        cmocka_unit_test(test_misuse),    cmocka_unit_test(test_without_gnuplot),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
