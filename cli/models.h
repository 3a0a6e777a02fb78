/* The models that a command is given. */
#ifndef VT_CLI_MODELS_H
#define VT_CLI_MODELS_H

#include "cli.h"

typedef struct cli_models {
    vt_model **models;
    char **paths; /* of each, its file */
    int count;
} cli_models;

/* Reads a model; `network` decides what ambiguous weights of a V1 network are, NULL: the file. */
vt_status cli_model_read(vt_model **out, const char *path, const char *network);

/* Reads the models and, with an epsilon other than 0, sets it. CLI_FAILED, with the library's
 * message set, when one cannot be read. */
int cli_models_open(cli_models *out, const char **paths, int count, const char *network,
                    double epsilon);
/* The same, where a folder stands for all models in it, in the order of their names. */
int cli_model_folders_open(cli_models *out, const char **paths, int count, double epsilon);
#define CLI_EPSILON(variable)                                                                      \
    {                                                                                              \
        "epsilon", 0, POPT_ARG_DOUBLE, variable, 0,                                                \
            "Epsilon of batch normalization, for PyTorch files, which do not hold it "             \
            "(default: 0.001)",                                                                    \
            "X"                                                                                    \
    }
void cli_models_close(cli_models *models);

/* --filters of a compact model's five layers, as 16,32,32,64,64. */
vt_status cli_filters_parse(int out[VT_COMPACT_LAYERS], const char *text);

#endif
