/* Options, messages and results of the commands. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { MOST_TEXTS = 64 }; /* options of a command that take one */

cli_common cli_options;

struct poptOption cli_common_table[] = {
    {"json", 0, POPT_ARG_NONE, &cli_options.json, 0, "Results as JSON on standard output", NULL},
    {"threads", 0, POPT_ARG_INT, &cli_options.threads, 0, "Threads (default: all processors)", "N"},
    {"seed", 0, POPT_ARG_LONGLONG, &cli_options.seed, 0, "Seed of all random numbers (default: 0)",
     "N"},
    POPT_TABLEEND};

/* popt names the value of an option whose value is wrong; the option stands before it. */
static void explain(poptContext context, int code, int argc, const char **argv)
{
    const char *bad = poptBadOption(context, 0), *option = "";
    for (int i = 2; i < argc && bad[0] != '-'; i++)
        if (strcmp(argv[i], bad) == 0) option = argv[i - 1];
    cli_misuse("%s%s%s: %s; '%s --help' lists the options", option, *option ? " " : "", bad,
               poptStrerror(code), argv[0]);
}

void cli_free_options(const struct poptOption *table)
{
    for (const struct poptOption *o = table; o->longName || o->shortName || o->arg; o++) {
        void **value = o->arg;
        if (o->argInfo == POPT_ARG_INCLUDE_TABLE && o->arg != poptHelpOptions)
            cli_free_options(o->arg);
        if (o->argInfo != POPT_ARG_STRING && o->argInfo != POPT_ARG_ARGV) continue;
        for (char **text = o->argInfo == POPT_ARG_ARGV ? *value : NULL; text && *text; text++)
            free(*text);
        free(*value);
        *value = NULL;
    }
}

/* Numbers the options that take a text, from 1 on, and notes where their values are. */
static int number_texts(struct poptOption *table, char **values[MOST_TEXTS], int count)
{
    for (struct poptOption *o = table; o->longName || o->shortName || o->arg; o++) {
        if (o->argInfo == POPT_ARG_INCLUDE_TABLE && o->arg != poptHelpOptions)
            count = number_texts(o->arg, values, count);
        if (o->argInfo != POPT_ARG_STRING || count == MOST_TEXTS) continue;
        values[count] = o->arg;
        o->val = ++count;
    }
    return count;
}

/* popt makes a copy of a text and forgets it when the option is given again. */
static int read_options(poptContext context, struct poptOption *table)
{
    char **values[MOST_TEXTS], *last[MOST_TEXTS] = {NULL};
    int code;
    number_texts(table, values, 0);
    while ((code = poptGetNextOpt(context)) > 0) {
        free(last[code - 1]);
        last[code - 1] = *values[code - 1];
    }
    return code;
}

static void give_up(poptContext context, const struct poptOption *table)
{
    cli_free_options(table);
    poptFreeContext(context);
}

poptContext cli_parse(int argc, const char **argv, struct poptOption *table, const char *operands)
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
    int code = read_options(context, table);
    if (code < -1) {
        explain(context, code, argc, argv);
        give_up(context, table);
        return NULL;
    }
    if (cli_options.threads < 0) {
        cli_misuse("--threads %d: at least 1 is needed", cli_options.threads);
        give_up(context, table);
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

vt_status cli_check_output(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return vt_error(VT_EIO, "%s: cannot write: %s", path,
                        S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!folder) return vt_error(VT_ENOMEM, "out of memory");
    vt_status status = VT_OK;
    if (access(folder, W_OK | X_OK) != 0)
        status = vt_error(VT_EIO, "%s: cannot write: %s", path, strerror(errno));
    free(folder);
    return status;
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

vt_status cli_split(const char ***out, int *count, const char *text, const char *option)
{
    size_t commas = 0, length = strlen(text);
    for (const char *c = text; *c; c++)
        commas += *c == ',';
    const char **parts = malloc((commas + 1) * sizeof *parts + length + 1);
    if (!parts) return vt_error(VT_ENOMEM, "out of memory");
    char *part = memcpy(parts + commas + 1, text, length + 1);
    for (*count = 0; (size_t)*count <= commas; part += strlen(part) + 1) {
        part[strcspn(part, ",")] = '\0';
        parts[(*count)++] = part;
        if (*part) continue;
        free(parts);
        return vt_error(VT_EINVAL, "%s '%s': names between commas are needed", option, text);
    }
    *out = parts;
    return VT_OK;
}
