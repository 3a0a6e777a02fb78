/* Text that grows: scripts, tables of numbers, pages. */
#ifndef VT_REPORT_TEXT_H
#define VT_REPORT_TEXT_H

#include "ventral/status.h"

/* Starts as {0}; `data` ends in a zero byte once something was added. After memory ran short
 * nothing more is added and `failed` stays. */
typedef struct vt_text {
    char *data;
    size_t size, capacity;
    bool failed;
} vt_text;

void vt_text_free(vt_text *text);
void vt_text_add(vt_text *text, const char *added);
/* Numbers as in the C locale, whatever the host's. */
void vt_text_format(vt_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A number for a table: NaN and infinity as "NaN". */
void vt_text_number(vt_text *text, double value);
/* Escaped for HTML, also inside a quoted attribute. */
void vt_text_html(vt_text *text, const char *added);
/* A relative path as a URL in a quoted attribute. */
void vt_text_url(vt_text *text, const char *path);
/* A string of gnuplot's, quotes included. */
void vt_text_gnuplot(vt_text *text, const char *added);
/* VT_ENOMEM when something is missing. */
vt_status vt_text_write(const vt_text *text, const char *path);

#endif
