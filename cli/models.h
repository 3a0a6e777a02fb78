/* The models that a command is given. */
#ifndef VT_CLI_MODELS_H
#define VT_CLI_MODELS_H

#include "cli.h"

typedef struct cli_models {
    vt_model **models;
    const char **paths;
    int count;
} cli_models;

/* CLI_FAILED, with the library's message set, when one cannot be read. */
int cli_models_open(cli_models *out, const char **paths, int count);
void cli_models_close(cli_models *models);

#endif
