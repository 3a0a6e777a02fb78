/* ventral stimuli: the published sets of gratings, listed or written as images. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static const char *const descriptions[VT_GRATING_SETS] = {
    "grey",
    "discs of 1/3 degree at 21 x 21 positions, 4 orientations, 2 phases",
    "12 orientations, 8 phases, 4 frequencies, 3 numbers of cycles",
    "22 frequencies, 6 orientations, 8 phases, 2 radii",
    "12 radii, 6 orientations, 8 phases, 4 frequencies",
};

static int list_sets(void)
{
    if (!cli_options.json) {
        printf("%-18s %8s\n", "set", "gratings");
        for (int set = 0; set < VT_GRATING_SETS; set++)
            printf("%-18s %8lld  %s\n", vt_grating_set_name(set),
                   (long long)vt_grating_set_count(set), descriptions[set]);
        return cli_finish();
    }
    json_t *sets = json_array();
    for (int set = 0; set < VT_GRATING_SETS; set++)
        json_array_append_new(sets, json_pack("{s:s, s:I, s:s}", "set", vt_grating_set_name(set),
                                              "gratings", (json_int_t)vt_grating_set_count(set),
                                              "description", descriptions[set]));
    return cli_print_json(json_pack("{s:o}", "sets", sets));
}

static int print_report(const char *folder, const char *set, long long count,
                        const vt_screen *screen)
{
    int height, width;
    vt_screen_size(screen, &height, &width);
    if (cli_options.json)
        return cli_print_json(json_pack("{s:s, s:s, s:I, s:i, s:i}", "output", folder, "set", set,
                                        "images", (json_int_t)count, "height", height, "width",
                                        width));
    printf("%s: %lld image%s of %d x %d pixels of the set %s\n", folder, count,
           count == 1 ? "" : "s", width, height, set);
    return cli_finish();
}

static int write_set(const char *name, const char *range, const char *folder,
                     const vt_screen_options *options)
{
    vt_grating_set set;
    vt_screen *screen;
    int64_t begin, end;
    if (vt_grating_set_find(&set, name) != VT_OK) return cli_misuse("%s", vt_error_message());
    if (vt_range_parse(&begin, &end, range, vt_grating_set_count(set)) != VT_OK ||
        vt_screen_new(&screen, options) != VT_OK)
        return cli_fail();
    cli_progress progress;
    vt_status status = vt_grating_set_write(folder, set, begin, end, screen,
                                            cli_progress_start(&progress, "stimuli"));
    cli_progress_end(&progress);
    int code = status == VT_OK ? print_report(folder, name, end - begin, screen) : cli_fail();
    vt_screen_free(screen);
    return code;
}

int cmd_stimuli(int argc, const char **argv)
{
    char *range = NULL, *output = NULL;
    int size = 0;
    vt_screen_options o = {.resolution = 56, .degrees = VT_GRATING_DEGREES};
    struct poptOption table[] = {
        {"output", 'o', POPT_ARG_STRING, &output, 0, "Folder for the images and their list", "DIR"},
        {"range", 'r', POPT_ARG_STRING, &range, 0, "Only these gratings: A:B, first, second",
         "A:B"},
        {"degrees", 'd', POPT_ARG_DOUBLE, &o.degrees, 0, "Visual field (default: 12 degrees)", "X"},
        {"resolution", 0, POPT_ARG_DOUBLE, &o.resolution, 0,
         "Pixels a degree they are drawn at (default: 56)", "X"},
        {"size", 's', POPT_ARG_INT, &size, 0, "Resized to so many pixels (default: as drawn)", "N"},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "[SET --output DIR]");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    o.height = o.width = size;
    if (operand_count > 1)
        code = cli_misuse("stimuli: one set at a time, %d given", operand_count);
    else if (operand_count == 1 && !output)
        code = cli_misuse("stimuli: --output is needed");
    else if (operand_count == 0 && (output || range))
        code = cli_misuse("stimuli: which set?");
    else if (!(o.degrees > 0 && o.resolution > 0) || size < 0)
        code = cli_misuse("stimuli: --degrees, --resolution and --size are above 0");
    else
        code = operand_count == 0 ? list_sets()
                                  : write_set(operands[0], range ? range : "all", output, &o);
    free(range);
    free(output);
    poptFreeContext(context);
    return code;
}
