/* Where the program handles signals: on a thread of its own, never on one that computes. oneDNN's
 * matrix products may have the stack pointer in the heap, where a handler's frame would overwrite
 * other memory (docs/onednn.md). */
#include "cli.h"

enum { THREADS = 3 };

static char root[4096];

/* The signals, a bit each from number 1 on, that a line of /proc/.../status lists. */
static unsigned long long signals_of(const char *folder, const char *line)
{
    unsigned long long signals = 0;
    char text[4096];
    FILE *file = fopen(cli_join(folder, "status"), "r");
    assert_non_null(file);
    while (fgets(text, sizeof text, file))
        if (strncmp(text, line, strlen(line)) == 0) sscanf(text + strlen(line), "%llx", &signals);
    fclose(file);
    return signals;
}

/* How many threads of a process let a signal wait for another thread. */
static int threads_that_block(pid_t pid, int signal)
{
    char folder[64];
    int count = 0;
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(folder);
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));)
        if (task->d_name[0] != '.')
            count += signals_of(cli_join(folder, task->d_name), "SigBlk:") >> (signal - 1) & 1;
    closedir(tasks);
    return count;
}

/* A fit that would take hours, from its first checkpoint on. */
static pid_t start_fit(const char *output, FILE *err)
{
    const char *rec = cli_join(root, "rec"), *checkpoint = cli_join(root, "model.checkpoint");
    const char *const args[] = {"ventral", "fit",  "-R",        rec,         "-s", "a",
                                "-o",      output, "-f",        "2,2,2,2,2", "-e", "100000",
                                "-b",      "8",    "--threads", "3",         NULL};
    cli_write_recording(rec, &(cli_recording){.id = "a", .images = 24, .neurons = 2});
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) cli_become(args, &(cli_how){.signal = 0}, fileno(err), fileno(err));
    double started = cli_now();
    while (access(checkpoint, F_OK) != 0) {
        int status;
        if (waitpid(pid, &status, WNOHANG) != 0 || cli_now() - started > CLI_SECONDS)
            fail_msg("no checkpoint; it said '%s'", cli_take_text(err));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return pid;
}

static void test_computing_threads_handle_no_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    FILE *err = tmpfile();
    int status;
    assert_non_null(err);
    new_folder(root);
    pid_t pid = start_fit(cli_join(root, "model"), err);
    char folder[64];
    snprintf(folder, sizeof folder, "/proc/%d", (int)pid);
    for (int i = 0; i < 2; i++) {
        assert_true(signals_of(folder, "SigCgt:") >> (signals[i] - 1) & 1);
        assert_true(signals_of(folder, "SigBlk:") >> (signals[i] - 1) & 1); /* the first thread */
        assert_in_range(threads_that_block(pid, signals[i]), THREADS, 1000);
    }
    assert_int_equal(0, kill(pid, SIGTERM));
    assert_int_equal(pid, waitpid(pid, &status, 0));
    char *said = cli_take_text(err);
    cli_drop_progress(said);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(said, "the same command goes on from"));
    free(said);
    remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_computing_threads_handle_no_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
