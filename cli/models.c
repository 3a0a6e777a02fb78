/* Opening the models that a command is given. */
#include "models.h"

#include <stdlib.h>

int cli_models_open(cli_models *out, const char **paths, int count, double epsilon)
{
    *out = (cli_models){.paths = paths, .count = count};
    out->models = calloc(count > 0 ? (size_t)count : 1, sizeof *out->models);
    if (!out->models) {
        vt_error(VT_ENOMEM, "out of memory");
        return CLI_FAILED;
    }
    for (int i = 0; i < count; i++)
        if (vt_model_read(&out->models[i], paths[i]) != VT_OK ||
            (epsilon != 0 && vt_model_set_epsilon(out->models[i], epsilon) != VT_OK)) {
            cli_models_close(out);
            return CLI_FAILED;
        }
    return CLI_DONE;
}

void cli_models_close(cli_models *models)
{
    for (int i = 0; models->models && i < models->count; i++)
        vt_model_free(models->models[i]);
    free(models->models);
    models->models = NULL;
}
