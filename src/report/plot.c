/* Scatter plots, lines, histograms and strips, as scripts and tables for gnuplot. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "report/gnuplot.h"
#include "ventral/report.h"
#include "ventral/score.h"

#define INK "#1f4e79"    /* points, first line */
#define PALE "#9a9a9a"   /* what is only a guide to the eye */
#define ACCENT "#c0392b" /* medians, second line */

typedef struct plot {
    vt_figure figure;
    vt_text script, data;
} plot;

static void plot_destroy(plot *p)
{
    vt_figure_destroy(&p->figure);
    vt_text_free(&p->script);
    vt_text_free(&p->data);
}

static void set_text(vt_text *s, const char *what, const char *text)
{
    if (!text) return;
    vt_text_format(s, "set %s ", what);
    vt_text_gnuplot(s, text);
    vt_text_add(s, " noenhanced textcolor rgb '#222222'\n");
}

/* The part of the script that all figures share. */
static vt_status plot_init(plot *out, const char *path, const vt_plot_options *o)
{
    plot p = {.script = {0}};
    int width = o->width ? o->width : 480, height = o->height ? o->height : 360;
    if (width < 64 || height < 64 || width > 10000 || height > 10000)
        return vt_error(VT_EINVAL, "%s: a figure of %d x %d pixels; 64 to 10000 are possible", path,
                        width, height);
    VT_TRY(vt_figure_init(&p.figure, path));
    vt_text *s = &p.script;
    vt_text_add(s, "# Run `gnuplot` on this file, in its folder, to draw the figure again.\n"
                   "set encoding utf8\n");
    vt_text_format(s, "set terminal %s size %d,%d font 'sans,%d' background '#ffffff'\n",
                   p.figure.svg ? "svg" : "pngcairo", width, height,
                   (p.figure.svg ? 13 : 11) - (width < 400 ? 2 : 0));
    vt_text_add(s, "name = ");
    vt_text_gnuplot(s, p.figure.name);
    vt_text_format(s,
                   "\nif (!exists('drawing')) drawing = name.'.%s'\n"
                   "set output drawing\n"
                   "set datafile separator '\\t'\n"
                   "set datafile missing NaN\n"
                   "set border 3 lw 1 lc rgb '#555555'\n"
                   "set tics nomirror out scale 0.6 textcolor rgb '#555555'\n"
                   "set grid lw 1 lc rgb '#e8e8e8' lt 1\n"
                   "unset key\n",
                   p.figure.svg ? "svg" : "png");
    set_text(s, "title", o->title);
    set_text(s, "xlabel", o->x_label);
    set_text(s, "ylabel", o->y_label);
    *out = p;
    return VT_OK;
}

/* Draws, frees, and passes `status` on when it is a failure already. */
static vt_status plot_finish(plot *p, vt_status status)
{
    if (status == VT_OK) status = vt_figure_draw(&p->figure, &p->script, &p->data);
    plot_destroy(p);
    return status;
}

/* Smallest and largest finite value, into *low and *high as they are widened. */
static int64_t widen(double *low, double *high, const double *values, int64_t count)
{
    int64_t finite = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) continue;
        finite++;
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
    return finite;
}

static vt_status nothing(const char *path)
{
    return vt_error(VT_EINVAL, "%s: there is no finite value to draw", path);
}

vt_status vt_plot_scatter(const char *path, const vt_plot_options *options, const double *x,
                          const double *y, int64_t count)
{
    double low = INFINITY, high = -INFINITY;
    plot p;
    if (widen(&low, &high, x, count) == 0 || widen(&low, &high, y, count) == 0)
        return nothing(path);
    double margin = high > low ? 0.03 * (high - low) : 1;
    VT_TRY(plot_init(&p, path, options));
    vt_text_add(&p.data, "# x\ty\n");
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i])) continue;
        vt_text_number(&p.data, x[i]);
        vt_text_add(&p.data, "\t");
        vt_text_number(&p.data, y[i]);
        vt_text_add(&p.data, "\n");
    }
    vt_text_format(&p.script,
                   "set size ratio 1\n"
                   "set xrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\n"
                   "plot x with lines lw 1 lc rgb '" PALE "', \\\n"
                   "     name.'.tsv' using 1:2 with points pt 7 ps 0.45 lc rgb '#70"
                   "1f4e79'\n",
                   low - margin, high + margin, low - margin, high + margin);
    return plot_finish(&p, VT_OK);
}

static void add_curve(plot *p, const vt_plot_curve *curve, int number)
{
    for (int64_t k = 0; k < curve->count; k++) {
        vt_text_format(&p->data, "%d\t", number);
        if (curve->x)
            vt_text_number(&p->data, curve->x[k]);
        else
            vt_text_format(&p->data, "%lld", (long long)k + 1);
        vt_text_add(&p->data, "\t");
        vt_text_number(&p->data, curve->y[k]);
        vt_text_add(&p->data, "\n");
    }
    vt_text_add(&p->data, "\n\n");
}

/* `range`: gnuplot's, of x. */
static vt_status plot_curves(const char *path, const vt_plot_options *options,
                             const vt_plot_curve *curves, int count, const char *range)
{
    static const char *const colours[] = {INK, ACCENT, "#2e8b57", "#8e6c3a", "#6a5acd"};
    enum { COLOURS = sizeof colours / sizeof *colours };
    double low = INFINITY, high = -INFINITY;
    int64_t finite = 0;
    int named = 0;
    plot p;
    for (int i = 0; i < count; i++) {
        finite += widen(&low, &high, curves[i].y, curves[i].count);
        named += curves[i].name != NULL;
    }
    if (finite == 0) return nothing(path);
    VT_TRY(plot_init(&p, path, options));
    vt_text_add(&p.data, "# line\tx\ty, a block a line\n");
    for (int i = 0; i < count; i++)
        add_curve(&p, &curves[i], i + 1);
    if (named > 1) vt_text_add(&p.script, "set key top right noenhanced\n");
    if (options->x_octaves)
        vt_text_add(&p.script, "set logscale x 2\nset xtics 4\nset format x '%g'\n");
    vt_text_format(&p.script, "set xrange [%s]\nplot ", range);
    for (int i = 0; i < count; i++) {
        vt_text_format(&p.script,
                       "%sname.'.tsv' index %d using 2:3 with linespoints lw 2 pt 7 "
                       "ps 0.5 lc rgb '%s' title ",
                       i ? ", \\\n     " : "", i, colours[i % COLOURS]);
        vt_text_gnuplot(&p.script, curves[i].name ? curves[i].name : "");
    }
    vt_text_add(&p.script, "\n");
    return plot_finish(&p, VT_OK);
}

vt_status vt_plot_curves(const char *path, const vt_plot_options *options,
                         const vt_plot_curve *curves, int count)
{
    double low = INFINITY, high = -INFINITY;
    char range[64];
    int64_t finite = 0;
    for (int i = 0; i < count; i++)
        finite += widen(&low, &high, curves[i].x, curves[i].count);
    if (finite == 0) return nothing(path);
    if (options->x_octaves && low > 0) {
        snprintf(range, sizeof range, "%.6g:%.6g", low / 1.1, high * 1.1);
        return plot_curves(path, options, curves, count, range);
    }
    double margin = high > low ? 0.03 * (high - low) : 1;
    snprintf(range, sizeof range, "%.6g:%.6g", low - margin, high + margin);
    return plot_curves(path, options, curves, count, range);
}

vt_status vt_plot_lines(const char *path, const vt_plot_options *options, const vt_plot_line *lines,
                        int count)
{
    char range[64];
    int64_t longest = 0;
    vt_plot_curve *curves = vt_alloc((size_t)count, sizeof *curves);
    if (!curves) return VT_ENOMEM;
    for (int i = 0; i < count; i++) {
        curves[i] = (vt_plot_curve){lines[i].name, NULL, lines[i].y, lines[i].count};
        if (lines[i].count > longest) longest = lines[i].count;
    }
    snprintf(range, sizeof range, "0.5:%lld.5", (long long)longest);
    vt_status status = plot_curves(path, options, curves, count, range);
    free(curves);
    return status;
}

/* ---- histograms ---- */

static vt_status check_edges(const char *path, const vt_plot_histogram *h)
{
    for (int i = 0; i < h->bins; i++)
        if (!(h->edges[i] < h->edges[i + 1]) || !isfinite(h->edges[i]) ||
            !isfinite(h->edges[i + 1]) || (h->logarithmic && !(h->edges[i] > 0)))
            return vt_error(VT_EINVAL, "%s: edges %g and %g of a histogram's bin", path,
                            h->edges[i], h->edges[i + 1]);
    return VT_OK;
}

static void add_shares(plot *p, const vt_plot_histogram *h, const double *shares)
{
    for (int i = 0; i < h->bins; i++) {
        vt_text_number(&p->data, h->edges[i]);
        vt_text_add(&p->data, "\t");
        vt_text_number(&p->data, h->edges[i + 1]);
        vt_text_add(&p->data, "\t");
        vt_text_number(&p->data, isfinite(shares[i]) ? shares[i] : 0);
        vt_text_add(&p->data, "\n");
    }
}

/* The outline of the bars, from the axis up and down to it again. */
static void add_outline(plot *p, const vt_plot_histogram *h, const double *shares)
{
    for (int i = 0; i <= 2 * h->bins + 1; i++) {
        int edge = i / 2, bin = (i - 1) / 2;
        vt_text_number(&p->data, h->edges[edge]);
        vt_text_add(&p->data, "\t");
        vt_text_number(&p->data,
                       i == 0 || i == 2 * h->bins + 1 || !isfinite(shares[bin]) ? 0 : shares[bin]);
        vt_text_add(&p->data, "\n");
    }
}

/* 1, 2 or 5 times a power of ten: about a quarter of the range. */
static double tic_step(double range)
{
    double power = pow(10, floor(log10(range / 4))), times = range / 4 / power;
    return power * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
}

static void add_axes(plot *p, const vt_plot_histogram *h)
{
    double first = h->edges[0], last = h->edges[h->bins], highest = 0;
    for (int i = 0; i < h->bins; i++) {
        if (isfinite(h->shares[i])) highest = fmax(highest, h->shares[i]);
        if (h->reference) highest = fmax(highest, h->reference[i]);
    }
    vt_text_format(&p->script,
                   "set xrange [%.9g:%.9g]\nset yrange [0:%.9g]\nset ytics %.9g\n"
                   "unset grid\nset grid ytics lw 1 lc rgb '#e8e8e8' lt 1\n",
                   first, last, highest > 0 ? 1.05 * highest : 1,
                   tic_step(highest > 0 ? highest : 1));
    if (h->bin_names) {
        vt_text_add(&p->script, "set xtics scale 0 (");
        for (int i = 0; i < h->bins; i++) {
            vt_text_add(&p->script, i ? ", " : "");
            vt_text_gnuplot(&p->script, h->bin_names[i]);
            vt_text_format(&p->script, " %.9g", (h->edges[i] + h->edges[i + 1]) / 2);
        }
        vt_text_add(&p->script, ") noenhanced\n");
    } else if (h->logarithmic) {
        /* bins of an octave or half of one, or else parts of decades */
        bool octaves = last / first < 300 && h->edges[1] / first < 2.1;
        vt_text_format(&p->script, "set logscale x %d\nset xtics %d\nset format x '%%g'\n",
                       octaves ? 2 : 10, octaves ? 4 : 10);
    } else {
        vt_text_format(&p->script, "set xtics %.9g\n", tic_step(last - first));
    }
}

vt_status vt_plot_distribution(const char *path, const vt_plot_options *options,
                               const vt_plot_histogram *histogram)
{
    const vt_plot_histogram *h = histogram;
    plot p;
    if (h->bins < 1) return nothing(path);
    VT_TRY(check_edges(path, h));
    VT_TRY(plot_init(&p, path, options));
    vt_text_add(&p.data, "# from\tto\tshare\n");
    add_shares(&p, h, h->shares);
    add_axes(&p, h);
    vt_text_add(&p.script, "plot name.'.tsv' index 0 using 1:(0):1:2:(0):3 with boxxyerror "
                           "lc rgb '" INK "' fs solid 0.45 noborder");
    if (h->reference) {
        vt_text_add(&p.data, "\n\n# outline of the reference: value\tshare\n");
        add_outline(&p, h, h->reference);
        vt_text_add(&p.script,
                    ", \\\n     '' index 1 using 1:2 with lines lw 2 lc rgb '" ACCENT "'");
    }
    vt_text_add(&p.script, "\n");
    return plot_finish(&p, VT_OK);
}

/* ---- strips ---- */

/* Sideways places, -1 to 1, of points of one group: neighbours in rank go left and right in turn,
 * so that points close in value are apart. */
static double offset_of(const int *group, const double *values, int64_t count, int64_t i)
{
    static const double places[] = {0, 0.6, -0.6, 0.3, -0.3, 0.9, -0.9};
    int64_t rank = 0;
    for (int64_t k = 0; k < count; k++)
        if (group[k] == group[i] && (values[k] < values[i] || (values[k] == values[i] && k < i)))
            rank++;
    return places[rank % 7];
}

static vt_status add_groups(plot *p, const char *const *names, int group_count, const int *group,
                            const double *values, int64_t count)
{
    double *members = vt_alloc((size_t)count, sizeof *members);
    if (!members) return VT_ENOMEM;
    vt_text_add(&p->data, "\n\n# group\tmedian\n");
    vt_text_add(&p->script, "set xtics (");
    for (int g = 0; g < group_count; g++) {
        int64_t found = 0;
        for (int64_t i = 0; i < count; i++)
            if (group[i] == g) members[found++] = values[i];
        vt_text_format(&p->data, "%d\t", g);
        vt_text_number(&p->data, vt_median(members, found));
        vt_text_add(&p->data, "\n");
        vt_text_add(&p->script, g ? ", " : "");
        vt_text_gnuplot(&p->script, names[g]);
        vt_text_format(&p->script, " %d", g);
    }
    vt_text_add(&p->script, ") noenhanced scale 0\n");
    free(members);
    return VT_OK;
}

vt_status vt_plot_strips(const char *path, const vt_plot_options *options,
                         const char *const *group_names, int group_count, const int *group,
                         const double *values, int64_t count)
{
    double low = INFINITY, high = -INFINITY;
    plot p;
    for (int64_t i = 0; i < count; i++)
        if (group[i] < 0 || group[i] >= group_count)
            return vt_error(VT_EINVAL, "%s: value %lld is of group %d, there are %d", path,
                            (long long)i, group[i], group_count);
    if (widen(&low, &high, values, count) == 0) return nothing(path);
    VT_TRY(plot_init(&p, path, options));
    vt_text_add(&p.data, "# group\tsideways\tvalue\n");
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) continue;
        vt_text_format(&p.data, "%d\t%.2f\t", group[i], offset_of(group, values, count, i));
        vt_text_number(&p.data, values[i]);
        vt_text_add(&p.data, "\n");
    }
    vt_status status = add_groups(&p, group_names, group_count, group, values, count);
    vt_text_format(&p.script,
                   "set xrange [-0.6:%d.6]\nset yrange [%s:%s]\nunset grid\n"
                   "set grid ytics lw 1 lc rgb '#e8e8e8' lt 1\n"
                   "plot name.'.tsv' index 1 using ($1-0.3):2:(0.6):(0) with vectors nohead lw 2 "
                   "lc rgb '" ACCENT "', \\\n"
                   "     '' index 0 using ($1+0.2*$2):3 with points pt 7 ps 0.7 lc rgb '" INK "'\n",
                   group_count - 1, low >= 0 ? "0" : "*", high <= 1 ? "1" : "*");
    return plot_finish(&p, status);
}
