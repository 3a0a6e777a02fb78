/* Running gnuplot. */
#ifndef VT_REPORT_GNUPLOT_H
#define VT_REPORT_GNUPLOT_H

#include "report/text.h"

/* The three files of a figure, from its path, and its name without folder and ending. */
typedef struct vt_figure {
    char *folder, *name, *path, *script, *data;
    bool svg;
} vt_figure;

/* VT_EINVAL unless `path` ends in .png or .svg. vt_figure_destroy after success. */
vt_status vt_figure_init(vt_figure *out, const char *path);
void vt_figure_destroy(vt_figure *figure);

/* Writes data and script and has gnuplot draw the figure, which appears whole or not at all. The
 * script sends its drawing to the file named by the variable `drawing`. */
vt_status vt_figure_draw(const vt_figure *figure, const vt_text *script, const vt_text *data);

#endif
