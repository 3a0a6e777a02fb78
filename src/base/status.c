/* Status codes and the thread-local error message. */
#include "ventral/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[sizeof(((vt_error_state *)0)->message)];

const char *vt_error_message(void)
{
    return message;
}

vt_status vt_error(vt_status code, const char *format, ...)
{
    char text[sizeof message]; /* the arguments may include the old message */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *p = text; *p; p++) /* names from hostile files: one line, no escape sequences */
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
    memcpy(message, text, sizeof message);
    return code;
}

vt_status vt_error_context(vt_status code, const char *format, ...)
{
    char context[sizeof message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof context, format, arguments);
    va_end(arguments);
    return vt_error(code, "%s: %s", context, message);
}

void vt_error_save(vt_error_state *out, vt_status code)
{
    out->code = code;
    memcpy(out->message, message, sizeof message);
}

vt_status vt_error_restore(const vt_error_state *state)
{
    memcpy(message, state->message, sizeof message);
    return state->code;
}

const char *vt_version(void)
{
    return VENTRAL_VERSION;
}
