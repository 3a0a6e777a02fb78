/* ventral simulate: recordings of model neurons whose computation is known. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static int print_report(const char *folder, const vt_simulate_options *o)
{
    if (!cli_options.json) {
        printf("%s: %d sessions of %d neurons, %d images and %d repeats; the truth is in %s/truth\n"
               "sessions",
               folder, o->sessions, o->neurons, o->images, o->repeats, folder);
        for (int i = 1; i <= o->sessions; i++)
            printf(" sim%03d", i);
        putchar('\n');
        return cli_finish();
    }
    json_t *sessions = json_array();
    for (int i = 1; i <= o->sessions; i++)
        json_array_append_new(
            sessions, json_pack("{s:o, s:o}", "session", json_sprintf("sim%03d", i), "truth",
                                json_sprintf("%s/truth/truth_sim%03d.npz", folder, i)));
    return cli_print_json(json_pack("{s:s, s:i, s:i, s:i, s:I, s:o}", "output", folder, "neurons",
                                    o->neurons, "images", o->images, "repeats", o->repeats, "seed",
                                    (json_int_t)cli_options.seed, "sessions", sessions));
}

static int run(const char *folder, const vt_simulate_options *options)
{
    cli_progress progress;
    vt_status status = vt_simulate(folder, options, cli_progress_start(&progress, "simulate"));
    cli_progress_end(&progress);
    return status == VT_OK ? print_report(folder, options) : cli_fail();
}

int cmd_simulate(int argc, const char **argv)
{
    vt_simulate_options o = VT_SIMULATE_DEFAULTS;
    char *output = NULL;
    struct poptOption table[] = {
        {"output", 'o', POPT_ARG_STRING, &output, 0, "Folder of recordings to write to", "DIR"},
        {"sessions", 's', POPT_ARG_INT, &o.sessions, 0, "Sessions (default: 3)", "N"},
        {"images", 'i', POPT_ARG_INT, &o.images, 0, "Images a session (default: 1500)", "N"},
        {"neurons", 'n', POPT_ARG_INT, &o.neurons, 0, "Neurons a session (default: 16)", "N"},
        {"repeats", 'r', POPT_ARG_INT, &o.repeats, 0, "Repeats of an image (default: 10)", "N"},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "--output DIR");
    if (!context) return CLI_MISUSED;
    o.seed = (uint64_t)cli_options.seed;
    int operand_count, code;
    cli_operands(context, &operand_count);
    if (operand_count > 0)
        code = cli_misuse("simulate: takes no operands");
    else if (!output)
        code = cli_misuse("simulate: --output is needed");
    else
        code = run(output, &o);
    free(output);
    poptFreeContext(context);
    return code;
}
