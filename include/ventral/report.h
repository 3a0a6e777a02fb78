/* Showing results: figures through gnuplot, pictures of filters and images, pages to read. */
#ifndef VENTRAL_REPORT_H
#define VENTRAL_REPORT_H

#include "ventral/image.h"
#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- figures ----
 *
 * A figure FOLDER/NAME.png or .svg is drawn by the program gnuplot (Debian: gnuplot-nox) from
 * FOLDER/NAME.tsv, the numbers, by FOLDER/NAME.gp, the script, which stay beside it: edit the
 * script and run `gnuplot NAME.gp` in the folder for another look. Texts are UTF-8, taken
 * literally. VT_EUNSUPPORTED: gnuplot is not installed; VT_EINTERRUPTED: it was stopped by Ctrl-C;
 * VT_EINVAL: another ending, or nothing finite to draw. NaN values are left out. */
typedef struct vt_plot_options {
    const char *title, *x_label, *y_label; /* NULL: none */
    int width, height;                     /* pixels; 0: 480 x 360 */
    bool x_octaves;                        /* curves: x > 0, on a logarithmic axis */
} vt_plot_options;

/* Whether gnuplot can be run: to ask before hours of work whose end is a figure. */
vt_status vt_plot_check(void);

/* Points (x, y) around the line x = y, on the same scale both ways: predicted against true. */
vt_status vt_plot_scatter(const char *path, const vt_plot_options *options, const double *x,
                          const double *y, int64_t count);

typedef struct vt_plot_line {
    const char *name; /* in the legend */
    const double *y;  /* at x = 1, 2, ..., count */
    int64_t count;
} vt_plot_line;

/* Lines over whole numbers, such as epochs. */
vt_status vt_plot_lines(const char *path, const vt_plot_options *options, const vt_plot_line *lines,
                        int count);

typedef struct vt_plot_curve {
    const char *name; /* in the legend; NULL: not there */
    const double *x, *y;
    int64_t count;
} vt_plot_curve;

/* Lines through points (x, y), in their order. */
vt_status vt_plot_curves(const char *path, const vt_plot_options *options,
                         const vt_plot_curve *curves, int count);

/* Shares of what falls into bins, as bars, and of what it is compared with, as a line of steps. */
typedef struct vt_plot_histogram {
    int bins;
    const double *edges;              /* (bins + 1), rising */
    bool logarithmic;                 /* on a logarithmic axis: edges > 0 */
    const double *shares, *reference; /* (bins); reference may be NULL */
    const char *const *bin_names;     /* (bins) below the bars; NULL: values at the edges */
} vt_plot_histogram;

vt_status vt_plot_distribution(const char *path, const vt_plot_options *options,
                               const vt_plot_histogram *histogram);

/* A column of points a group with its median as a bar; group[i] < group_count says whose values[i]
 * is. Points are spread sideways so that none hides another. */
vt_status vt_plot_strips(const char *path, const vt_plot_options *options,
                         const char *const *group_names, int group_count, const int *group,
                         const double *values, int64_t count);

/* ---- pictures: `out` is freed with vt_image_free ---- */

/* Images in rows of `columns`, each in a cell of height x width (resized where it differs), `gap`
 * white pixels between. */
vt_status vt_picture_sheet(vt_image *out, const vt_image *images, int count, int columns,
                           int height, int width, int gap);

/* Kernels (filters, height, width, 3) such as layer0_conv.kernel, float32, in rows of `columns`.
 * A weight becomes a square of `scale` pixels; 0 is mid grey and the filter's largest absolute
 * weight black or white: each filter has its own scale. `gap` white pixels between. */
vt_status vt_picture_filters(vt_image *out, const vt_tensor *kernels, int columns, int scale,
                             int gap);

/* Values (rows, columns), any numeric dtype, as squares of `scale` pixels, from white at `low` to
 * dark blue at `high`; values beyond are clipped, NaN is grey. low >= high is VT_EINVAL. */
vt_status vt_picture_heat(vt_image *out, const vt_tensor *values, double low, double high,
                          int scale);

/* Draws a circle about (x, y), in pixels from the top left corner, as a line of two pixels. */
void vt_picture_circle(vt_image *image, double x, double y, double radius, const uint8_t rgb[3]);

/* Writes a PNG. */
vt_status vt_picture_write(const vt_image *image, const char *path);

/* ---- pages ----
 *
 * One HTML file without scripts or anything from the network; images lie beside it. Texts are
 * UTF-8 and escaped. The calls that add do not fail: vt_page_write reports what went wrong. */
typedef struct vt_page vt_page;

vt_status vt_page_new(vt_page **out, const char *title);
void vt_page_free(vt_page *page);
void vt_page_heading(vt_page *page, const char *text);
void vt_page_paragraph(vt_page *page, const char *text);
/* A paragraph that leads to another page; `target` is relative to this one. */
void vt_page_link(vt_page *page, const char *target, const char *text);
void vt_page_code(vt_page *page, const char *text); /* kept as it is, line by line */
/* Figures that follow stand side by side as far as the window allows, until `row_end`. */
void vt_page_row_begin(vt_page *page);
void vt_page_row_end(vt_page *page);
/* `source` is the image's path relative to the page, `alternative` what it shows in words,
 * `caption` may be NULL; `width` in CSS pixels, 0: the image's own. */
void vt_page_figure(vt_page *page, const char *source, const char *alternative, const char *caption,
                    int width);
/* A table whose first `texts` columns are words, to the left; the others are numbers, to the right.
 */
void vt_page_table_begin(vt_page *page, const char *const *columns, int count, int texts);
void vt_page_table_row(vt_page *page, const char *const *cells);
void vt_page_table_end(vt_page *page);
/* Writes all that was added, whole or not at all. VT_ENOMEM when something could not be added. */
vt_status vt_page_write(const vt_page *page, const char *path);

#ifdef __cplusplus
}
#endif
#endif
