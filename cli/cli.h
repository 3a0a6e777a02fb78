/* What the commands share: options, messages, JSON, progress, interruption. */
#ifndef VT_CLI_CLI_H
#define VT_CLI_CLI_H

#include <jansson.h>
#include <popt.h>
#include <stdbool.h>
#include <stdint.h>

#include "ventral/ventral.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_MISUSED = 2 };

typedef struct cli_command {
    const char *name, *summary;
    int (*run)(int argc, const char **argv);
} cli_command;

#define CLI_COMMAND(command) int cmd_##command(int argc, const char **argv);
#include "commands.def"
#undef CLI_COMMAND

/* Options that every command understands. A command's table includes cli_common_table. */
typedef struct cli_common {
    int json, threads;
    long long seed;
} cli_common;
extern cli_common cli_options;
extern struct poptOption cli_common_table[];
#define CLI_COMMON                                                                                 \
    {NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common_table, 0, "Common options:", NULL},               \
        POPT_AUTOHELP POPT_TABLEEND

/* Parses argv with `table`; `operands` is the usage text behind the command's name. Returns the
 * context, from which poptGetArg takes operands, or NULL after a misuse it has explained. */
poptContext cli_parse(int argc, const char **argv, struct poptOption *table, const char *operands);

/* Frees the texts that parsing with this table allocated. */
void cli_free_options(const struct poptOption *table);

/* The parts of "a,b,c", copied, in one allocation to be freed. VT_EINVAL, naming `option`: one is
 * empty. */
vt_status cli_split(const char ***out, int *count, const char *text, const char *option);

/* "ventral: MESSAGE" on standard error. cli_fail uses the library's message and frees nothing. */
int cli_fail(void);
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints a JSON value and a newline on standard output, and gives the value back. CLI_FAILED when
 * it cannot be written. */
int cli_print_json(json_t *value);
/* JSON has no NaN: null instead. */
json_t *cli_number(double value);
/* 0 when standard output took everything, CLI_FAILED otherwise (a full disk, a closed pipe). */
int cli_finish(void);

/* A vt_progress for a task called `what`: rate and time left on a terminal, a plain line every ten
 * seconds elsewhere; stops the task after Ctrl-C. */
typedef struct cli_progress {
    const char *what;
    double started, shown;
    int64_t first; /* work done at the first report */
    bool drawn;
    vt_progress progress;
} cli_progress;
const vt_progress *cli_progress_start(cli_progress *progress, const char *what);
void cli_progress_end(cli_progress *progress);
void cli_catch_interrupt(void);

/* Whether a file can be written at `path`: asked before long work, not after it. */
vt_status cli_check_output(const char *path);

/* Remaining operands of a context, borrowed from it; the count in *count. */
const char **cli_operands(poptContext context, int *count);

#endif
