/* Figures drawn by gnuplot, which runs as a child process without a shell, in the figure's folder,
 * and draws to its standard output: a file that takes the figure's place when it is whole. */
#include "report/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "io/file.h"

extern char **environ;

static char *joined(const char *folder, const char *name, const char *ending)
{
    vt_text text = {0};
    vt_text_add(&text, folder);
    vt_text_add(&text, "/");
    vt_text_add(&text, name);
    vt_text_add(&text, ending);
    if (!text.failed) return text.data;
    vt_text_free(&text);
    return NULL;
}

void vt_figure_destroy(vt_figure *f)
{
    char *owned[] = {f->folder, f->name, f->path, f->script, f->data};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static vt_status make_names(vt_figure *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    f->folder = vt_strdup(!slash ? "." : slash == path ? "/" : path);
    f->name = vt_strdup(base);
    f->path = vt_strdup(path);
    if (!f->folder || !f->name || !f->path) return VT_ENOMEM;
    if (slash && slash != path) f->folder[slash - path] = '\0';
    f->name[strlen(base) - 4] = '\0';
    f->script = joined(f->folder, f->name, ".gp");
    f->data = joined(f->folder, f->name, ".tsv");
    return f->script && f->data ? VT_OK : VT_ENOMEM;
}

vt_status vt_figure_init(vt_figure *out, const char *path)
{
    vt_figure f = {.folder = NULL};
    const char *slash = strrchr(path, '/');
    size_t length = strlen(slash ? slash + 1 : path);
    const char *ending = length > 4 ? path + strlen(path) - 4 : "";
    f.svg = strcmp(ending, ".svg") == 0;
    if (!f.svg && strcmp(ending, ".png") != 0)
        return vt_error(VT_EINVAL, "%s: figures are written as .png or .svg", path);
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 32)
            return vt_error(VT_EINVAL, "%s: gnuplot takes no control characters in names", path);
    vt_status status = make_names(&f, path);
    if (status != VT_OK) {
        vt_figure_destroy(&f);
        return status;
    }
    *out = f;
    return VT_OK;
}

/* ---- the child ---- */

static int spawn(pid_t *child, const char *folder, char *const *arguments, int output, int errors)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (code == 0 && output < 0)
        code = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (code == 0 && output >= 0)
        code = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (code == 0) code = posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    if (code == 0) code = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (code == 0) code = posix_spawnp(child, "gnuplot", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* Keeps the beginning of what gnuplot says, and reads on so that it never waits. */
static void read_errors(char *out, size_t size, int fd)
{
    char chunk[512];
    size_t used = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size_t kept = (size_t)got < size - 1 - used ? (size_t)got : size - 1 - used;
        memcpy(out + used, chunk, kept);
        used += kept;
    }
    out[used] = '\0';
    for (char *p = out; *p; p++)
        if (*p == '\n' || *p == '\t') *p = ' ';
}

static vt_status judge(const vt_figure *f, int state, int output, const char *errors)
{
    if (WIFSIGNALED(state) && (WTERMSIG(state) == SIGINT || WTERMSIG(state) == SIGTERM))
        return vt_error(VT_EINTERRUPTED, "%s: gnuplot was stopped", f->path);
    if (WIFSIGNALED(state))
        return vt_error(VT_EIO, "%s: gnuplot was ended by signal %d", f->path, WTERMSIG(state));
    if (WEXITSTATUS(state) != 0)
        return vt_error(VT_EIO, "%s: gnuplot failed on %s: %s", f->path, f->script, errors);
    struct stat info;
    if (fstat(output, &info) != 0 || info.st_size == 0)
        return vt_error(VT_EIO, "%s: gnuplot drew nothing: %s", f->path, errors);
    return VT_OK;
}

/* Runs gnuplot in `folder` to its end: its wait state and the beginning of its messages. What it
 * writes goes to `output`, or nowhere if that is negative. */
static vt_status run(int *state, char *errors, size_t size, const char *folder,
                     char *const *arguments, int output)
{
    int ends[2];
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) != 0) return vt_error(VT_EIO, "no pipe: %s", strerror(errno));
    int code = spawn(&child, folder, arguments, output, ends[1]);
    close(ends[1]);
    *state = 0;
    if (code == 0) {
        read_errors(errors, size, ends[0]);
        /* A host that ignores SIGCHLD leaves no state: the file tells then. */
        while (waitpid(child, state, 0) < 0 && errno == EINTR)
            continue;
    }
    close(ends[0]);
    if (code == ENOENT)
        return vt_error(VT_EUNSUPPORTED,
                        "figures are drawn by gnuplot, which is not installed here: install the "
                        "package gnuplot-nox");
    if (code != 0) return vt_error(VT_EIO, "cannot run gnuplot: %s", strerror(code));
    return VT_OK;
}

vt_status vt_plot_check(void)
{
    char *arguments[] = {"gnuplot", "--version", NULL}, errors[512];
    int state;
    VT_TRY(run(&state, errors, sizeof errors, ".", arguments, -1));
    if (state == 0) return VT_OK;
    return vt_error(VT_EIO, "gnuplot --version fails: %s", errors);
}

static vt_status draw(const vt_figure *f, int output)
{
    char *file = joined(".", f->name, ".gp"), errors[512];
    if (!file) return VT_ENOMEM;
    char *arguments[] = {"gnuplot", "-d", "-e", "drawing='/dev/stdout'", file, NULL};
    int state;
    vt_status status = run(&state, errors, sizeof errors, f->folder, arguments, output);
    free(file);
    return status == VT_OK ? judge(f, state, output, errors)
                           : vt_error_context(status, "%s", f->path);
}

vt_status vt_figure_draw(const vt_figure *f, const vt_text *script, const vt_text *data)
{
    vt_file_writer drawing;
    VT_TRY(vt_text_write(data, f->data));
    VT_TRY(vt_text_write(script, f->script));
    VT_TRY(vt_file_writer_open(&drawing, f->path));
    vt_status status = draw(f, drawing.fd);
    if (status == VT_OK) return vt_file_writer_commit(&drawing);
    vt_file_writer_abort(&drawing);
    return status;
}
