/* The models that a command is given. */
#ifndef VT_CLI_MODELS_H
#define VT_CLI_MODELS_H

#include "cli.h"

typedef struct cli_models {
    vt_model **models;
    const char **paths;
    int count;
} cli_models;

/* Reads the models and, with an epsilon other than 0, sets it. CLI_FAILED, with the library's
 * message set, when one cannot be read. */
int cli_models_open(cli_models *out, const char **paths, int count, double epsilon);
#define CLI_EPSILON(variable)                                                                      \
    {                                                                                              \
        "epsilon", 0, POPT_ARG_DOUBLE, variable, 0,                                                \
            "Epsilon of batch normalization, for PyTorch files, which do not hold it "             \
            "(default: 0.001)",                                                                    \
            "X"                                                                                    \
    }
void cli_models_close(cli_models *models);

#endif
