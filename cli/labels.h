/* What kinds of images there are. */
#ifndef VT_CLI_LABELS_H
#define VT_CLI_LABELS_H

#include "cli.h"

/* Reads a text file with a label a line for each of `count` images; equal texts get equal numbers.
 * Free *out with free(). */
vt_status cli_labels_read(int64_t **out, const char *path, int64_t count);

#endif
