/* ventral: the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const cli_command commands[] = {
    {"info", "what a file, folder or session is: shapes, parameters, filters", cmd_info},
    {"convert", "a model from one kind of file to another", cmd_convert},
    {"predict", "responses of models to images", cmd_predict},
    {"score", "how well models predict recorded neurons", cmd_score},
    {"predictivity", "how well a network's layers predict recorded neurons", cmd_predictivity},
    {"fit", "a model of neurons from recordings", cmd_fit},
    {"ensemble", "several networks of neurons from recordings, and their mean", cmd_ensemble},
    {"distill", "small models that learn what larger ones answer to many images", cmd_distill},
    {"compress", "compact models of a session's neurons, from a teacher to the page", cmd_compress},
    {"train", "a network of V1 trained to classify images", cmd_train},
    {"evaluate", "how well a network classifies images, also corrupted ones", cmd_evaluate},
    {"attack", "how well a network classifies images changed to fool it", cmd_attack},
    {"physiology", "tuning properties of neurons, and how like those of V1 they are",
     cmd_physiology},
    {"select", "which images of a pool to show next", cmd_select},
    {"prune", "compact models without the filters that change little", cmd_prune},
    {"stimuli", "the gratings and textures that properties of V1 are measured with", cmd_stimuli},
    {"simulate", "recordings of model neurons whose computation is known", cmd_simulate},
    {"corrupt", "the common corruptions of a data set's images", cmd_corrupt},
    {"demo", "simulate, fit, score and show it all on a page", cmd_demo},
    {"version", "version of this program and of what it runs on", cmd_version},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *to)
{
    fputs("Usage: ventral COMMAND [options] [operands]\n\n"
          "Neural-network models of the ventral visual stream.\n\nCommands:\n",
          to);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'ventral COMMAND --help' tells more; so does 'man ventral-COMMAND'.\n", to);
}

int main(int argc, const char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!*name) {
        print_help(stderr);
        return CLI_MISUSED;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return cli_finish();
    }
    if (strcmp(name, "--version") == 0) name = "version";
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) {
            cli_catch_interrupt();
            return commands[i].run(argc - 1, argv + 1);
        }
    fprintf(stderr, "ventral: there is no command '%s'; 'ventral --help' lists them\n", name);
    return CLI_MISUSED;
}
