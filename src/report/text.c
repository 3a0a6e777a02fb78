/* Text that grows, and the three ways of quoting it: HTML, URLs, gnuplot. */
#include "report/text.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/io.h"

void vt_text_free(vt_text *text)
{
    free(text->data);
    *text = (vt_text){0};
}

/* Room for `size` more bytes and the zero behind them. */
static bool reserve(vt_text *text, size_t size)
{
    size_t needed;
    if (text->failed) return false;
    if (vt_add_ok(&needed, text->size, size) && vt_add_ok(&needed, needed, 1)) {
        if (needed <= text->capacity) return true;
        size_t capacity = needed < SIZE_MAX / 2 ? 2 * needed : needed;
        char *data = vt_grow(text->data, text->capacity, capacity, 1);
        if (data) {
            text->data = data;
            text->capacity = capacity;
            return true;
        }
    }
    text->failed = true;
    return false;
}

static void add_bytes(vt_text *text, const char *added, size_t size)
{
    if (!reserve(text, size)) return;
    memcpy(text->data + text->size, added, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void vt_text_add(vt_text *text, const char *added)
{
    add_bytes(text, added, strlen(added));
}

static void add_formatted(vt_text *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    if (size < 0)
        text->failed = true;
    else if (reserve(text, (size_t)size)) {
        vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

void vt_text_format(vt_text *text, const char *format, ...)
{
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;
    va_list arguments;
    va_start(arguments, format);
    add_formatted(text, format, arguments);
    va_end(arguments);
    if (!plain) return;
    uselocale(before);
    freelocale(plain);
}

void vt_text_number(vt_text *text, double value)
{
    if (isfinite(value))
        vt_text_format(text, "%.9g", value);
    else
        vt_text_add(text, "NaN");
}

void vt_text_html(vt_text *text, const char *added)
{
    for (; *added; added++) {
        unsigned char c = (unsigned char)*added;
        switch (c) {
        case '&': vt_text_add(text, "&amp;"); break;
        case '<': vt_text_add(text, "&lt;"); break;
        case '>': vt_text_add(text, "&gt;"); break;
        case '"': vt_text_add(text, "&quot;"); break;
        case '\'': vt_text_add(text, "&#39;"); break;
        default:
            if ((c < 32 && c != '\n' && c != '\t') || c == 127)
                vt_text_add(text, "\xef\xbf\xbd"); /* HTML has no control characters */
            else
                add_bytes(text, added, 1);
        }
    }
}

void vt_text_url(vt_text *text, const char *path)
{
    /* A ':' in the first part would make it a scheme. */
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            strchr("-_.~/", c))
            add_bytes(text, path, 1);
        else
            vt_text_format(text, "%%%02X", c);
    }
}

void vt_text_gnuplot(vt_text *text, const char *added)
{
    vt_text_add(text, "'");
    for (; *added; added++) {
        unsigned char c = (unsigned char)*added;
        if (c == '\'')
            vt_text_add(text, "''");
        else if (c < 32 || c == 127)
            vt_text_add(text, " "); /* a line's end would end the string */
        else
            add_bytes(text, added, 1);
    }
    vt_text_add(text, "'");
}

vt_status vt_text_write(const vt_text *text, const char *path)
{
    if (text->failed) return vt_error(VT_ENOMEM, "%s: out of memory", path);
    return vt_file_write(path, text->data ? text->data : "", text->size);
}
