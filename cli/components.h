/* ventral info --components: what training made of a network's components. */
#ifndef VT_CLI_COMPONENTS_H
#define VT_CLI_COMPONENTS_H

#include "cli.h"

/* Measures the model, writes tables and figures into `folder`, which is made where it is not there,
 * and prints what is most of it. Returns the exit status. */
int cli_components(vt_model *model, const char *path, const char *folder);

#endif
