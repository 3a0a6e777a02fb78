/* Progress on standard error, and Ctrl-C. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static _Atomic bool interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = true;
}

static void *wait_for_signals(void *signals)
{
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    while (pause() != 0)
        continue;
    return NULL;
}

/* Handlers run on a thread that does nothing else. Matrix products of oneDNN before 3.11.2 let the
 * stack pointer point into the heap: there a handler's frame overwrites other memory
 * (https://github.com/uxlfoundation/oneDNN/issues/4845). Threads started later inherit the mask. A
 * second signal ends the program. */
void cli_catch_interrupt(void)
{
    static sigset_t signals;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    pthread_t thread;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&thread, NULL, wait_for_signals, &signals) != 0) {
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* ends the program, which can go on later */
        return;
    }
    pthread_detach(thread);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void time_text(char *out, size_t size, double seconds)
{
    if (seconds < 60)
        snprintf(out, size, "%.0f s", seconds);
    else if (seconds < 3600)
        snprintf(out, size, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(out, size, "%d h %02d min", (int)(seconds / 3600), (int)seconds / 60 % 60);
}

static bool report(void *context, int64_t done, int64_t total, const char *line)
{
    cli_progress *p = context;
    double time = now(), elapsed = time - p->started;
    if (p->first < 0) p->first = done;
    double work = (double)(done - p->first); /* a resumed task has done the rest before */
    bool terminal = isatty(STDERR_FILENO);
    bool due = time - p->shown >= (terminal ? 0.1 : 10) || done == total;
    if (due && (terminal || elapsed > 2)) {
        char left[32] = "";
        if (total > 0 && work > 0 && done < total)
            time_text(left, sizeof left, elapsed / work * (double)(total - done));
        fprintf(stderr, "%s%s", terminal ? "\r\033[K" : "", p->what);
        if (total > 0) fprintf(stderr, " %3.0f %%", 100.0 * (double)done / (double)total);
        if (elapsed > 0.5 && work > 0) fprintf(stderr, ", %.3g/s", work / elapsed);
        if (*left) fprintf(stderr, ", %s left", left);
        if (line) fprintf(stderr, "  %s", line);
        if (!terminal) fputc('\n', stderr);
        p->drawn = terminal;
        p->shown = time;
    }
    return !interrupted;
}

const vt_progress *cli_progress_start(cli_progress *p, const char *what)
{
    *p = (cli_progress){.what = what, .started = now(), .first = -1, .progress = {report, p}};
    p->shown = p->started;
    return &p->progress;
}

void cli_progress_end(cli_progress *p)
{
    if (p->drawn) fputs("\r\033[K", stderr);
    p->drawn = false;
}
