/* Running the program from tests: arguments without a shell, what it prints and returns, a time
 * limit, signals; and small recordings and models to run it on. */
#ifndef TEST_CLI_H
#define TEST_CLI_H

#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "ventral/io.h"
#include "ventral/model.h"
#include "ventral/session.h"

enum { CLI_MAX_ARGS = 120, CLI_SECONDS = 300 };

/* How to run it; zero: to its end, without limits. */
typedef struct cli_how {
    double signal_after;     /* seconds until `signal` is sent, if it still runs */
    const char *signal_when; /* it is sent instead as soon as this file is there */
    int signal;              /* 0: none */
    long largest_file;       /* bytes it may write to a file, as on a full disk; 0: any */
    const char *stdout_path; /* instead of capturing */
} cli_how;

typedef struct cli_result {
    int code;       /* -1 when a signal ended it */
    int signal;     /* that ended it */
    double seconds; /* it ran */
    char *out, *err;
} cli_result;

static inline double cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline char *cli_take_text(FILE *file)
{
    size_t size = 0, used = 0;
    char *text = NULL;
    rewind(file);
    do {
        size = size ? 2 * size : 4096;
        assert_non_null(text = realloc(text, size + 1));
        used += fread(text + used, 1, size - used, file);
    } while (used == size);
    text[used] = '\0';
    fclose(file);
    return text;
}

/* Takes the lines of progress, which appear where the machine is slow, out of what was said. */
static inline void cli_drop_progress(char *text)
{
    static const char *const tasks[] = {"predict ",  "predictivity ", "score ",   "fit ",
                                        "ensemble ", "simulate ",     "corrupt ", "select ",
                                        "train ",    "evaluate ",     "attack ",  "prune ",
                                        "distill ",  "compress ",     "stimuli ", "physiology "};
    char *to = text;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) next++;
        bool progress = false;
        for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
            progress = progress || strncmp(line, tasks[i], strlen(tasks[i])) == 0;
        if (progress) continue;
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = '\0';
}

/* In the child: becomes the program. */
static inline void cli_become(const char *const *args, const cli_how *how, int out, int err)
{
    int in = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
    if (how->stdout_path) out = open(how->stdout_path, O_WRONLY);
    if (how->largest_file > 0) {
        struct rlimit limit = {(rlim_t)how->largest_file, (rlim_t)how->largest_file};
        setrlimit(RLIMIT_FSIZE, &limit);
        signal(SIGXFSZ, SIG_IGN); /* so that write() fails, as it does on a full disk */
    }
    setenv("OMP_WAIT_POLICY", "passive", 1); /* the tests share their processors */
    if (dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2)
        execv(TEST_PROGRAM, (char *const *)args);
    _exit(126);
}

static inline int cli_wait(pid_t pid, const cli_how *how, double started)
{
    int status;
    bool signalled = !how->signal;
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return status;
        assert_int_equal(0, ended);
        double elapsed = cli_now() - started;
        bool due =
            how->signal_when ? access(how->signal_when, F_OK) == 0 : elapsed >= how->signal_after;
        if (!signalled && due) {
            kill(pid, how->signal);
            signalled = true;
        }
        if (elapsed > CLI_SECONDS) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fail_msg("the program did not end within %d seconds", CLI_SECONDS);
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Runs the program with `args`, which begin with its name and end with NULL. */
static inline cli_result cli_run_how(const char *const *args, const cli_how *how)
{
    FILE *out = tmpfile(), *err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    fflush(stdout);
    double started = cli_now();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) cli_become(args, how, fileno(out), fileno(err));
    int status = cli_wait(pid, how, started);
    cli_result r = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                    .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                    .seconds = cli_now() - started};
    r.out = cli_take_text(out);
    r.err = cli_take_text(err);
    cli_drop_progress(r.err);
    if (r.code == 126) fail_msg("the program %s could not be started", TEST_PROGRAM);
    return r;
}

#define cli_run(...)                                                                               \
    cli_run_how((const char *const[]){"ventral", __VA_ARGS__, NULL}, &(cli_how){.signal = 0})

static inline void cli_free(cli_result *r)
{
    free(r->out);
    free(r->err);
}

/* Exit code 0 and nothing on standard error; returns standard output, to be freed. */
static inline char *cli_output_of(cli_result r)
{
    if (r.code != 0 || *r.err)
        fail_msg("exit %d (signal %d), standard error: %s", r.code, r.signal, r.err);
    free(r.err);
    return r.out;
}

#define cli_ok(...) free(cli_output_of(cli_run(__VA_ARGS__)))

/* The JSON that it prints; json_decref it. */
static inline json_t *cli_json_of(cli_result r)
{
    json_error_t error;
    char *text = cli_output_of(r);
    json_t *root = json_loads(text, 0, &error);
    if (!root) fail_msg("not JSON, line %d: %s\n%s", error.line, error.text, text);
    free(text);
    return root;
}

#define cli_json(...) cli_json_of(cli_run(__VA_ARGS__, "--json"))

/* Fails with `code`, nothing on standard output, and one line on standard error, "ventral: ...",
 * that contains both texts. */
static inline void cli_assert_fails(cli_result r, int code, const char *names, const char *says)
{
    const char *newline = strchr(r.err, '\n');
    bool one_line = newline && !newline[1];
    if (r.code != code || *r.out || strncmp(r.err, "ventral: ", 9) != 0 || !one_line ||
        !strstr(r.err, names) || !strstr(r.err, says))
        fail_msg("expected exit %d and one line with '%s' and '%s'; exit %d (signal %d), standard "
                 "output '%s', standard error '%s'",
                 code, names, says, r.code, r.signal, r.out, r.err);
    cli_free(&r);
}

#define cli_fails(names, says, ...) cli_assert_fails(cli_run(__VA_ARGS__), 1, names, says)
#define cli_misused(says, ...) cli_assert_fails(cli_run(__VA_ARGS__), 2, "", says)

/* What every command does alike: help, unknown options, and `args_needed` that are not there. */
static inline void cli_check_command(const char *command, const char *option, bool needs_arguments)
{
    cli_result help = cli_run(command, "--help");
    assert_int_equal(0, help.code);
    assert_string_equal("", help.err);
    if (!strstr(help.out, command) || !strstr(help.out, option) || !strstr(help.out, "--json"))
        fail_msg("the help of %s: %s", command, help.out);
    cli_free(&help);
    cli_misused("--no-such-option", command, "--no-such-option");
    cli_misused("--threads", command, "--threads", "-3");
    if (needs_arguments) cli_misused(command, command);
}

/* ---- files ---- */

static inline const char *cli_join(const char *folder, const char *name)
{
    static char paths[16][8192];
    static int next;
    char *path = paths[next++ % 16];
    if (snprintf(path, sizeof paths[0], "%s/%s", folder, name) >= (int)sizeof paths[0])
        fail_msg("the path of %s is too long", name);
    return path;
}

/* Entries of a folder but for those whose names are in `known` (";a;b;"): a failed command leaves
 * none. */
static inline void cli_assert_only(const char *folder, const char *known)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[300];
        snprintf(name, sizeof name, ";%s;", entry->d_name);
        if (entry->d_name[0] == '.' && !entry->d_name[1 + (entry->d_name[1] == '.')]) continue;
        if (!strstr(known, name)) fail_msg("%s: '%s' was left there", folder, entry->d_name);
    }
    closedir(dir);
}

static inline void cli_assert_same_file(const char *a, const char *b)
{
    void *x, *y;
    size_t x_size, y_size;
    assert_ok(vt_file_read(&x, &x_size, a));
    assert_ok(vt_file_read(&y, &y_size, b));
    if (x_size != y_size || memcmp(x, y, x_size) != 0) fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}

/* ---- small recordings and models ---- */

/* A striped image whose colours and stripes depend on its number. */
static inline vt_status cli_image(void *context, int64_t index, vt_image *out)
{
    const int *size = context;
    *out = (vt_image){.height = *size, .width = *size};
    out->pixels = malloc((size_t)*size * (size_t)*size * 3);
    if (!out->pixels) return vt_error(VT_ENOMEM, "no memory for an image");
    for (int y = 0; y < *size; y++)
        for (int x = 0; x < *size; x++)
            for (int c = 0; c < 3; c++)
                out->pixels[(y * *size + x) * 3 + c] =
                    (uint8_t)(128 + 100 * sin(0.05 * (double)(index + 1) * (x + c * y) + 2.0 * c));
    return VT_OK;
}

typedef struct cli_recording {
    const char *id;
    int images, neurons, repeats; /* repeats 0: averaged responses only */
    int size;                     /* of the images, which are square PNGs; 0: 112 */
} cli_recording;

static inline void cli_write_recording(const char *root, const cli_recording *r)
{
    int size = r->size ? r->size : 112;
    vt_tensor averaged, raw;
    int64_t repeats = r->repeats ? r->repeats : 1;
    assert_ok(vt_tensor_new(&averaged, VT_F64, 2, (int64_t[]){r->neurons, r->images}));
    assert_ok(vt_tensor_new(&raw, VT_F64, 3, (int64_t[]){r->neurons, r->images, repeats}));
    for (int64_t i = 0; i < vt_tensor_count(&averaged); i++) {
        double sum = 0;
        for (int64_t k = 0; k < repeats; k++) {
            double count =
                floor(3 + 3 * sin(0.7 * (double)i) + 1.5 * sin(1.9 * (double)(i + 7 * k)));
            ((double *)raw.data)[i * repeats + k] = count;
            sum += count / (double)repeats;
        }
        ((double *)averaged.data)[i] = sum;
    }
    vt_session_write_options options = {.images = r->images,
                                        .read_image = cli_image,
                                        .context = &size,
                                        .format = VT_SESSION_PNG,
                                        .averaged = &averaged,
                                        .raw = r->repeats ? &raw : NULL};
    assert_ok(vt_session_write(root, r->id, &options));
    vt_tensor_free(&averaged);
    vt_tensor_free(&raw);
}

/* A compact model with random weights: of neuron 0, ... of `session`, or of none when NULL. */
static inline void cli_write_model(const char *path, const char *session, int neurons,
                                   uint64_t seed)
{
    vt_model *model;
    vt_compact_options options = {
        .filters = {2, 2, 3, 2, 2}, .outputs = neurons, .shared = neurons > 1, .seed = seed};
    assert_ok(vt_compact_new(&model, &options));
    if (session) {
        vt_model_session s = {.count = neurons};
        snprintf(s.id, sizeof s.id, "%s", session);
        assert_ok(vt_model_add_session(model, &s));
    }
    assert_ok(vt_model_write(model, path));
    vt_model_free(model);
}

#endif
