/* Readouts of new neurons on a model that is there. */
#ifndef VT_CLI_READOUTS_H
#define VT_CLI_READOUTS_H

#include "cli.h"

/* --core: the model of `path` with a readout, of the named kind (NULL: factorized), of the one
 * session's neurons in `options`, written to `output`. Prints what it made. */
int cli_fit_readout(const char *path, const vt_fit_options *options, const char *readout,
                    const char *output, const char *command);

#endif
