/* Streams of images on the command line: --images, --recordings, --sessions, --variants and
 * --generate. */
#ifndef VT_CLI_STREAMS_H
#define VT_CLI_STREAMS_H

#include "cli.h"
#include "ventral/image_stream.h"

/* What was asked for, as it stands on the command line. A command's table includes CLI_STREAM;
 * cli_free_options frees it. */
typedef struct cli_stream {
    const char **images; /* popt's list, ended by NULL; NULL: none */
    char *recordings, *sessions;
    int variants;
    long long generated;
    vt_gaudy_options gaudy; /* no option of every command: set before opening */
} cli_stream;
extern cli_stream cli_stream_options;
extern struct poptOption cli_stream_table[];
#define CLI_STREAM                                                                                 \
    {                                                                                              \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_stream_table, 0, "Images:", NULL                      \
    }

/* CLI_MISUSED, with a message, when the options do not belong together. `recordings_alone`: the
 * command has a use for --recordings without --sessions. */
int cli_stream_check(const char *command, bool recordings_alone);
/* Images of this size; variants and generated ones are of the common --seed. */
vt_status cli_stream_open(vt_image_stream **out, int height, int width);

/* "ID" or "ID:RANGE", the range as vt_range_parse takes it; and several of them, separated by
 * commas, at most VT_FIT_SESSIONS. */
vt_status cli_session_parse(vt_fit_session *out, const char *recordings, const char *text);
vt_status cli_sessions_parse(vt_fit_session *out, int *count, const char *recordings,
                             const char *text);

#endif
