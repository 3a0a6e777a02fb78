/* ventral stimuli: the published sets of gratings, listed or written as images, and textures from
 * photographs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        puts("textures                    texture and noise from --photographs");
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
    if (vt_grating_set_find(&set, name) != VT_OK)
        return cli_misuse("%s; or textures", vt_error_message());
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

/* ---- textures ---- */

static int print_textures(const char *folder)
{
    vt_texture_set *set;
    if (vt_texture_set_open(&set, folder) != VT_OK) return cli_fail();
    long long count = (long long)vt_texture_set_count(set);
    const char *origin = vt_texture_set_origin(set);
    int code;
    if (cli_options.json)
        code = cli_print_json(json_pack("{s:s, s:s, s:I, s:s?}", "output", folder, "set",
                                        "textures", "images", (json_int_t)count, "origin", origin));
    else {
        printf("%s: %lld images, half of them noise, %s\n", folder, count, origin ? origin : "");
        code = cli_finish();
    }
    vt_texture_set_close(set);
    return code;
}

static int write_textures(const char *folder, const char *photographs, vt_texture_families *o)
{
    cli_progress progress;
    o->synthesis.seed = (uint64_t)cli_options.seed;
    o->progress = cli_progress_start(&progress, "textures");
    vt_status status = vt_texture_families_write(folder, photographs, o);
    cli_progress_end(&progress);
    return status == VT_OK ? print_textures(folder) : cli_fail();
}

/* Textures take options of their own, and gratings theirs. */
static int check_textures(bool textures, const char *photographs, const vt_texture_families *o,
                          bool gratings)
{
    if (textures && !photographs) return cli_misuse("stimuli: textures of which --photographs?");
    if (textures && gratings)
        return cli_misuse("stimuli: --range, --degrees and --resolution are for gratings");
    if (!textures && (photographs || o->samples != 0 || o->synthesis.iterations != 0 ||
                      o->synthesis.statistics.scales != 0))
        return cli_misuse(
            "stimuli: --photographs, --samples, --scales and --iterations are for textures");
    if (o->samples < 0 || o->synthesis.iterations < 0 || o->synthesis.statistics.scales < 0)
        return cli_misuse("stimuli: --samples, --scales and --iterations are above 0");
    return CLI_DONE;
}

int cmd_stimuli(int argc, const char **argv)
{
    char *range = NULL, *output = NULL, *photographs = NULL;
    int size = 0;
    vt_screen_options o = {.resolution = 56, .degrees = VT_GRATING_DEGREES};
    vt_texture_families f = {.samples = 0};
    struct poptOption table[] = {
        {"output", 'o', POPT_ARG_STRING, &output, 0, "Folder for the images and their list", "DIR"},
        {"range", 'r', POPT_ARG_STRING, &range, 0, "Only these gratings: A:B, first, second",
         "A:B"},
        {"degrees", 'd', POPT_ARG_DOUBLE, &o.degrees, 0, "Visual field (default: 12 degrees)", "X"},
        {"resolution", 0, POPT_ARG_DOUBLE, &o.resolution, 0,
         "Pixels a degree they are drawn at (default: 56)", "X"},
        {"size", 's', POPT_ARG_INT, &size, 0,
         "Resized to so many pixels (default: as drawn; textures: 320)", "N"},
        {"photographs", 'p', POPT_ARG_STRING, &photographs, 0,
         "Folder or zip of images; each becomes a family of textures", "PATH"},
        {"samples", 'n', POPT_ARG_INT, &f.samples, 0, "Textures of each family (default: 15)", "N"},
        {"scales", 0, POPT_ARG_INT, &f.synthesis.statistics.scales, 0,
         "Scales of textures' statistics (default: 4)", "N"},
        {"iterations", 0, POPT_ARG_INT, &f.synthesis.iterations, 0,
         "Steps towards a texture, at most (default: 100)", "N"},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "[SET|textures --output DIR]");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    o.height = o.width = f.side = size;
    bool textures = operand_count == 1 && strcmp(operands[0], "textures") == 0;
    bool gratings = range || o.degrees != VT_GRATING_DEGREES || o.resolution != 56;
    if (operand_count > 1)
        code = cli_misuse("stimuli: one set at a time, %d given", operand_count);
    else if (operand_count == 1 && !output)
        code = cli_misuse("stimuli: --output is needed");
    else if (operand_count == 0 && (output || range))
        code = cli_misuse("stimuli: which set?");
    else if (!(o.degrees > 0 && o.resolution > 0) || size < 0)
        code = cli_misuse("stimuli: --degrees, --resolution and --size are above 0");
    else
        code = check_textures(textures, photographs, &f, gratings);
    if (code == CLI_DONE && textures)
        code = write_textures(output, photographs, &f);
    else if (code == CLI_DONE)
        code = operand_count == 0 ? list_sets()
                                  : write_set(operands[0], range ? range : "all", output, &o);
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
