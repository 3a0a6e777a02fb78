/* ventral corrupt: the common corruptions of a data set's validation images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Calls `take` for each word of a list separated by commas. */
static vt_status each_word(char *list, vt_status (*take)(vt_corrupt_options *, const char *),
                           vt_corrupt_options *options)
{
    for (char *next = list, *word; (word = strsep(&next, ","));)
        VT_TRY(take(options, word));
    return VT_OK;
}

static vt_status take_corruption(vt_corrupt_options *options, const char *word)
{
    vt_corruption kind;
    VT_TRY(vt_corruption_find(&kind, word));
    options->kinds[kind] = true;
    return VT_OK;
}

static vt_status take_severity(vt_corrupt_options *options, const char *word)
{
    if (word[0] < '1' || word[0] > '0' + VT_CORRUPTION_SEVERITIES || word[1])
        return vt_error(VT_EINVAL, "--severities: '%s' is not one of 1 to %d", word,
                        VT_CORRUPTION_SEVERITIES);
    options->severities[word[0] - '1'] = true;
    return VT_OK;
}

static int print_report(const char *folder, int64_t images, const vt_corrupt_report *r)
{
    if (cli_options.json)
        return cli_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I}", "output", folder, "images",
                                        (json_int_t)images, "written", (json_int_t)r->written,
                                        "kept", (json_int_t)r->kept, "seed",
                                        (json_int_t)cli_options.seed));
    printf("%s: %lld images, %lld files written", folder, (long long)images, (long long)r->written);
    if (r->kept > 0) printf(", %lld were there already", (long long)r->kept);
    putchar('\n');
    return cli_finish();
}

static int run(const char *path, const char *folder, const vt_corrupt_options *options)
{
    vt_dataset *dataset;
    vt_corrupt_report report;
    cli_progress progress;
    if (vt_dataset_open(&dataset, path, VT_PART_VALIDATION) != VT_OK) return cli_fail();
    int64_t images = vt_dataset_count(dataset);
    if (options->limit > 0 && options->limit < images) images = options->limit;
    vt_status status = vt_corrupt_dataset(&report, folder, dataset, options,
                                          cli_progress_start(&progress, "corrupt"));
    cli_progress_end(&progress);
    vt_dataset_close(dataset);
    return status == VT_OK ? print_report(folder, images, &report) : cli_fail();
}

int cmd_corrupt(int argc, const char **argv)
{
    vt_corrupt_options o = {.limit = 0};
    long long limit = 0;
    char *output = NULL, *kinds = NULL, *severities = NULL;
    struct poptOption table[] = {
        {"output", 'o', POPT_ARG_STRING, &output, 0, "Folder to write to", "DIR"},
        {"corruptions", 'c', POPT_ARG_STRING, &kinds, 0, "Only these (default: all 15)", "A,B"},
        {"severities", 's', POPT_ARG_STRING, &severities, 0, "Only these (default: 1 to 5)", "1,2"},
        {"limit", 'l', POPT_ARG_LONGLONG, &limit, 0, "Only N images, of all classes alike", "N"},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "--output DIR DATASET");
    if (!context) return CLI_MISUSED;
    o.seed = (uint64_t)cli_options.seed;
    o.limit = limit;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    if (operand_count != 1)
        code = cli_misuse("corrupt: one data set is needed, %d given", operand_count);
    else if (!output)
        code = cli_misuse("corrupt: --output is needed");
    else if (limit < 0)
        code = cli_misuse("corrupt: --limit %lld: at least 1 is needed", limit);
    else if ((kinds && each_word(kinds, take_corruption, &o) != VT_OK) ||
             (severities && each_word(severities, take_severity, &o) != VT_OK))
        code = cli_misuse("corrupt: %s", vt_error_message());
    else
        code = run(operands[0], output, &o);
    free(output);
    free(kinds);
    free(severities);
    poptFreeContext(context);
    return code;
}
