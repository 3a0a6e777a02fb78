/* Streams of images on the command line, and the sessions that commands are given. */
#include "streams.h"

#include <stdlib.h>
#include <string.h>

cli_stream cli_stream_options;

struct poptOption cli_stream_table[] = {
    {"images", 'i', POPT_ARG_ARGV, &cli_stream_options.images, 0,
     "Folder or zip of images, or uint8 .npy; may be given several times", "PATH"},
    {"recordings", 'R', POPT_ARG_STRING, &cli_stream_options.recordings, 0,
     "Folder of recordings, for --sessions", "DIR"},
    {"sessions", 's', POPT_ARG_STRING, &cli_stream_options.sessions, 0,
     "Sessions whose images are shown; a range is A:B, first or second", "ID[:RANGE],..."},
    {"variants", 0, POPT_ARG_INT, &cli_stream_options.variants, 0,
     "Varied versions of each of these images (default: 0)", "N"},
    {"generate", 0, POPT_ARG_LONGLONG, &cli_stream_options.generated, 0,
     "Dead leaves generated after all others (default: 0)", "N"},
    POPT_TABLEEND};

/* A range needs the session to know its length. */
vt_status cli_session_parse(vt_fit_session *out, const char *recordings, const char *text)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    *out = (vt_fit_session){.begin = 0};
    if (length == 0 || length >= sizeof out->id)
        return vt_error(VT_EINVAL, "'%s' is not a session, ID or ID:RANGE", text);
    memcpy(out->id, text, length);
    if (!colon) return VT_OK;
    vt_session *session;
    vt_session_info info;
    VT_TRY(vt_session_open(&session, recordings, out->id));
    vt_session_get_info(session, &info);
    vt_session_close(session);
    vt_status status = vt_range_parse(&out->begin, &out->end, colon + 1, info.images);
    return status == VT_OK ? VT_OK : vt_error_context(status, "session %s", out->id);
}

vt_status cli_sessions_parse(vt_fit_session *out, int *count, const char *recordings,
                             const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    if (!copy) return vt_error(VT_ENOMEM, "out of memory");
    vt_status status = VT_OK;
    *count = 0;
    for (char *item = strtok_r(copy, ",", &rest); item && status == VT_OK;
         item = strtok_r(NULL, ",", &rest)) {
        if (*count == VT_FIT_SESSIONS)
            status = vt_error(VT_EINVAL, "more than %d sessions", VT_FIT_SESSIONS);
        else
            status = cli_session_parse(&out[(*count)++], recordings, item);
    }
    free(copy);
    return status;
}

int cli_stream_check(const char *command, bool recordings_alone)
{
    const cli_stream *s = &cli_stream_options;
    if (s->sessions ? !s->recordings : s->recordings && !recordings_alone)
        return cli_misuse("%s: --recordings and --sessions belong together", command);
    if (s->variants < 0 || s->generated < 0)
        return cli_misuse("%s: --variants and --generate cannot be negative", command);
    if (!s->images && !s->sessions && s->generated == 0)
        return cli_misuse("%s: which images? --images, --sessions or --generate is needed",
                          command);
    return CLI_DONE;
}

vt_status cli_stream_open(vt_image_stream **out, int height, int width)
{
    const cli_stream *s = &cli_stream_options;
    vt_fit_session sessions[VT_FIT_SESSIONS];
    vt_image_stream_options o = {.paths = s->images,
                                 .recordings = s->recordings,
                                 .sessions = sessions,
                                 .variants = s->variants,
                                 .generated = s->generated,
                                 .height = height,
                                 .width = width,
                                 .seed = (uint64_t)cli_options.seed,
                                 .gaudy = s->gaudy};
    while (s->images && s->images[o.path_count])
        o.path_count++;
    if (s->sessions)
        VT_TRY(cli_sessions_parse(sessions, &o.session_count, s->recordings, s->sessions));
    return vt_image_stream_open(out, &o);
}
