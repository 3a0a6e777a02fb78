/* What the commands for classifiers share. */
#ifndef VT_CLI_CLASSIFY_H
#define VT_CLI_CLASSIFY_H

#include "cli.h"

/* A named way from images to a network's input. */
typedef struct cli_recipe {
    const char *name;
    vt_transform train, validation;
} cli_recipe;

/* VT_EINVAL lists the names. */
vt_status cli_find_recipe(cli_recipe *out, const char *name);
#define CLI_RECIPE(variable)                                                                       \
    {                                                                                              \
        "transform", 0, POPT_ARG_STRING, variable, 0,                                              \
            "imagenet (default): RandomResizedCrop(224), Resize(64), flip; tiny: flip of images "  \
            "of 64 pixels; crop: flip and shifts of these",                                        \
            "NAME"                                                                                 \
    }
#define CLI_NETWORK(variable)                                                                      \
    {                                                                                              \
        "network", 'n', POPT_ARG_STRING, variable, 0,                                              \
            "resnet50, composite_a (of a ResNet-50), resnet18-composite_a, ...", "NAME"            \
    }

/* "described" or "released"; NULL: described. */
vt_status cli_find_formulation(vt_formulation *out, const char *name);

json_t *cli_accuracy_json(const vt_accuracy *accuracy);
void cli_print_accuracy(const char *what, const vt_accuracy *accuracy);

#endif
