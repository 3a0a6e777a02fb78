/* Options, messages and results of the commands. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

cli_common cli_options;

struct poptOption cli_common_table[] = {
    {"json", 0, POPT_ARG_NONE, &cli_options.json, 0, "Results as JSON on standard output", NULL},
    {"threads", 0, POPT_ARG_INT, &cli_options.threads, 0, "Threads (default: all processors)", "N"},
    {"seed", 0, POPT_ARG_LONGLONG, &cli_options.seed, 0, "Seed of all random numbers (default: 0)",
     "N"},
    POPT_TABLEEND};

poptContext cli_parse(int argc, const char **argv, const struct poptOption *table,
                      const char *operands)
{
    static char name[64];
    snprintf(name, sizeof name, "ventral %s", argv[0]);
    argv[0] = name;
    poptContext context = poptGetContext(name, argc, argv, table, 0);
    if (!context) {
        cli_misuse("the options could not be read");
        return NULL;
    }
    poptSetOtherOptionHelp(context, operands);
    int code = poptGetNextOpt(context);
    if (code < -1) {
        cli_misuse("%s: %s; '%s --help' lists the options", poptBadOption(context, 0),
                   poptStrerror(code), name);
        poptFreeContext(context);
        return NULL;
    }
    if (cli_options.threads < 0) {
        cli_misuse("--threads %d: at least 1 is needed", cli_options.threads);
        poptFreeContext(context);
        return NULL;
    }
    vt_threads_set(cli_options.threads);
    return context;
}

const char **cli_operands(poptContext context, int *count)
{
    const char **operands = poptGetArgs(context);
    for (*count = 0; operands && operands[*count];)
        ++*count;
    return operands;
}

int cli_fail(void)
{
    fflush(stdout);
    fprintf(stderr, "ventral: %s\n", vt_error_message());
    return CLI_FAILED;
}

int cli_misuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ventral: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return CLI_MISUSED;
}

void cli_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

json_t *cli_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int cli_print_json(json_t *value)
{
    int failed = !value || json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) != 0;
    json_decref(value);
    fputc('\n', stdout);
    return failed ? cli_finish() | CLI_FAILED : cli_finish();
}

int cli_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return CLI_DONE;
    fprintf(stderr, "ventral: the result could not be written to standard output\n");
    return CLI_FAILED;
}
