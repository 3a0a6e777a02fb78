/* How students learn, on the command line: the options that `distill` and `compress` share. */
#ifndef VT_CLI_DISTILL_OPTIONS_H
#define VT_CLI_DISTILL_OPTIONS_H

#include "cli.h"
#include "ventral/distill.h"
#include "ventral/prune.h"

/* A command's table includes CLI_DISTILLING. */
extern struct poptOption cli_distill_table[];
#define CLI_DISTILLING                                                                             \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_distill_table, 0, "Training:", NULL                   \
    }

/* CLI_MISUSED, with a message, for impossible values. */
int cli_distill_check(const char *command);
/* Without checkpoint and progress. */
vt_distill_options cli_distill_asked(void);

/* "corrected" or "released"; NULL is corrected. */
vt_status cli_prune_form_parse(vt_prune_form *out, const char *name);

#endif
