/* Drawing a grating: floor(255 (1 + c sin(2 pi f (x cos o + y sin o) + p)) / 2) where x^2 + y^2 <=
 * r^2, as the published program computes it in double (Marques, Schrimpf & DiCarlo 2021).
 *
 * Rows are drawn from sines of x and y apart, in float. A byte is certain where the value is
 * farther from a whole number than float arithmetic can be wrong; the others, some in a thousand,
 * are computed from the formula. Bytes are therefore those of the formula. */
#include "stimuli/grating.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 64 }; /* pixels that are looked through together for uncertain ones */

/* The order of the operations decides about last bits: it is the published program's. */
static uint8_t level(const vt_grating *g, double x, double y, double cosine, double sine,
                     double phase)
{
    double wave = sin((x * cosine + y * sine) * g->frequency * 2 * M_PI + phase) * g->contrast;
    return (uint8_t)((wave + 1) / 2 * 255);
}

static bool is_inside(const vt_grating *g, double x, double y)
{
    return g->radius >= 0 && x * x + y * y <= g->radius * g->radius;
}

void vt_grating_draw_naive(uint8_t *out, const vt_window *window, const vt_grating *grating)
{
    double angle = grating->orientation / 180 * M_PI, phase = grating->phase / 180 * M_PI;
    double cosine = cos(angle), sine = sin(angle);
    for (int i = 0; i < window->side; i++)
        for (int k = 0; k < window->side; k++, out++) {
            double y = vt_window_degrees(window, i) - grating->y;
            double x = vt_window_degrees(window, k) - grating->x;
            int row = window->first + i, column = window->first + k;
            bool seen = row >= 0 && row < window->picture && column >= 0 &&
                        column < window->picture && is_inside(grating, x, y);
            *out = seen ? level(grating, x, y, cosine, sine, phase) : VT_GREY;
        }
}

/* Pixels [*first, *end) of an axis hold all whose distance from `centre` is at most `radius`. */
static void find_range(int *first, int *end, const vt_window *window, double centre, double radius)
{
    double middle = centre * window->resolution + window->picture / 2.0 - window->first;
    double reach = radius * window->resolution + 1;
    int begin = window->first < 0 ? -window->first : 0, last = window->picture - window->first;
    if (last > window->side) last = window->side;
    *first = (int)fmin(fmax(ceil(middle - reach), begin), last);
    *end = (int)fmax(fmin(floor(middle + reach) + 1, last), *first);
}

void vt_painter_init(vt_painter *out, const vt_window *window, const vt_grating *grating, double *x,
                     float *x_sine, float *x_cosine)
{
    const vt_grating *g = grating;
    double angle = g->orientation / 180 * M_PI;
    *out = (vt_painter){.window = window,
                        .grating = *g,
                        .cosine = cos(angle),
                        .sine = sin(angle),
                        .phase = g->phase / 180 * M_PI,
                        .amplitude = (float)(127.5 * g->contrast),
                        .x = x,
                        .x_sine = x_sine,
                        .x_cosine = x_cosine};
    if (!(g->radius >= 0)) return;
    find_range(&out->top, &out->bottom, window, g->y, g->radius);
    find_range(&out->left, &out->right, window, g->x, g->radius);
    double turn = 2 * M_PI * g->frequency * out->cosine;
    for (int k = out->left; k < out->right; k++) {
        x[k] = vt_window_degrees(window, k) - g->x;
        x_sine[k] = (float)sin(turn * x[k]);
        x_cosine[k] = (float)cos(turn * x[k]);
    }
    /* Float: four sines, each wrong by half a unit of 1, two products and their sum by as much,
     * amplitude and 127.5 + ... by half a unit of 255. Double: some units of the argument. */
    double argument =
        2 * M_PI * fabs(g->frequency) * 2 * (g->radius + 2 / window->resolution) + fabs(out->phase);
    out->doubt = (float)(127.5 * 8 * FLT_EPSILON + 255 * FLT_EPSILON +
                         127.5 * 16 * DBL_EPSILON * (argument + 1));
}

/* Columns [*first, *end) of a row lie in the disc: an estimate, then the published comparison. */
static void find_span(int *first, int *end, const vt_painter *p, double y)
{
    const vt_grating *g = &p->grating;
    double rest = g->radius * g->radius - y * y, half = rest > 0 ? sqrt(rest) : 0;
    double centre = g->x * p->window->resolution + p->window->picture / 2.0 - p->window->first;
    half *= p->window->resolution;
    int from = (int)fmin(fmax(centre - half, p->left), p->right);
    int to = (int)fmin(fmax(centre + half, p->left), p->right);
    while (from > p->left && is_inside(g, p->x[from - 1], y))
        from--;
    while (from < p->right && p->x[from] <= 0 && !is_inside(g, p->x[from], y))
        from++;
    while (to < p->right && is_inside(g, p->x[to], y))
        to++;
    while (to > from && !is_inside(g, p->x[to - 1], y))
        to--;
    *first = from;
    *end = to;
}

/* Draws `count` pixels as far as float arithmetic is certain; whether it is of all. */
static bool draw_block(uint8_t *row, const float *x_sine, const float *x_cosine, int count,
                       const float factor[2], float doubt)
{
    int uncertain = 0;
    for (int k = 0; k < count; k++) {
        float value = x_sine[k] * factor[0] + x_cosine[k] * factor[1] + 127.5f;
        int whole = (int)value;
        float part = value - (float)whole;
        uncertain |= (part < doubt) | (part > 1 - doubt);
        row[k] = (uint8_t)whole;
    }
    return !uncertain;
}

void vt_painter_row(const vt_painter *painter, int y, uint8_t *row)
{
    const vt_painter *p = painter;
    const vt_grating *g = &p->grating;
    double at = vt_window_degrees(p->window, y) - g->y;
    double angle = 2 * M_PI * g->frequency * p->sine * at + p->phase;
    float factor[2] = {p->amplitude * (float)cos(angle), p->amplitude * (float)sin(angle)};
    int first, end;
    find_span(&first, &end, p, at);
    for (int k = first; k < end; k += BLOCK) {
        int count = end - k < BLOCK ? end - k : BLOCK;
        if (draw_block(row + k, p->x_sine + k, p->x_cosine + k, count, factor, p->doubt)) continue;
        for (int i = k; i < k + count; i++) {
            float value = p->x_sine[i] * factor[0] + p->x_cosine[i] * factor[1] + 127.5f;
            float part = value - (float)(int)value;
            if (part < p->doubt || part > 1 - p->doubt)
                row[i] = level(g, p->x[i], at, p->cosine, p->sine, p->phase);
        }
    }
}
