/* Filters that several corruptions share: borders, Gaussian filter, zoom, motion blur. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "data/corruption.h"

int vt_border_index(int64_t index, int size, vt_border border)
{
    if (index >= 0 && index < size) return (int)index;
    if (border == VT_BORDER_NEAREST || size == 1) return index < 0 ? 0 : size - 1;
    int64_t edge = border == VT_BORDER_REFLECT ? 1 : 0; /* whether the edge itself is repeated */
    int64_t period = 2 * (int64_t)size - 2 + 2 * edge;
    int64_t place = index % period;
    if (place < 0) place += period;
    return (int)(place < size ? place : period - edge - place);
}

/* ---- Gaussian ---- */

typedef struct gaussian {
    int radius;
    double *weight; /* at distances 0 .. radius */
    double *line;   /* one line of the field with its borders */
} gaussian;

static vt_status gaussian_new(gaussian *out, double sigma, double truncate, int longest)
{
    gaussian g = {.radius = (int)(truncate * sigma + 0.5)};
    g.weight = vt_alloc((size_t)g.radius + 1, sizeof *g.weight);
    g.line = vt_alloc((size_t)longest + 2 * (size_t)g.radius, sizeof *g.line);
    if (!g.weight || !g.line) {
        free(g.weight);
        free(g.line);
        return VT_ENOMEM;
    }
    double sum = 0;
    for (int i = g.radius; i >= 0; i--) {
        g.weight[i] = i == 0 ? 1 : exp(-0.5 * i * i / (sigma * sigma));
        sum += i == 0 ? g.weight[i] : 2 * g.weight[i];
    }
    for (int i = 0; i <= g.radius; i++)
        g.weight[i] /= sum;
    *out = g;
    return VT_OK;
}

/* Filters `count` values that are `stride` apart. */
static void filter_line(double *value, int count, size_t stride, const gaussian *g,
                        vt_border border)
{
    double *line = g->line + g->radius;
    for (int i = 0; i < count; i++)
        line[i] = value[(size_t)i * stride];
    for (int i = 1; i <= g->radius; i++) {
        line[-i] = value[(size_t)vt_border_index(-i, count, border) * stride];
        line[count - 1 + i] =
            value[(size_t)vt_border_index((int64_t)count - 1 + i, count, border) * stride];
    }
    for (int i = 0; i < count; i++) {
        double sum = g->weight[0] * line[i];
        for (int k = g->radius; k > 0; k--) /* SciPy's order: the same bits */
            sum += g->weight[k] * (line[i - k] + line[i + k]);
        value[(size_t)i * stride] = sum;
    }
}

vt_status vt_field_gaussian(vt_field *field, double sigma, double truncate, vt_border border)
{
    gaussian g;
    int longest = field->height > field->width ? field->height : field->width;
    VT_TRY(gaussian_new(&g, sigma, truncate, longest));
    size_t channels = (size_t)field->channels, row = (size_t)field->width * channels;
    for (size_t i = 0; i < row && g.radius > 0; i++)
        filter_line(field->value + i, field->height, row, &g, border);
    for (int y = 0; y < field->height && g.radius > 0; y++)
        for (size_t c = 0; c < channels; c++)
            filter_line(field->value + (size_t)y * row + c, field->width, channels, &g, border);
    free(g.weight);
    free(g.line);
    return VT_OK;
}

/* ---- zoom ---- */

/* Along one axis: output i lies between inputs first[i] and next[i], `part` of the way. */
typedef struct zoom_axis {
    int *first, *next;
    double *part;
} zoom_axis;

static void zoom_axis_free(zoom_axis *axis)
{
    free(axis->first);
    free(axis->next);
    free(axis->part);
}

/* ceil(size / factor) inputs about the centre become round(factor times as many) outputs, the first
 * and last of which lie on the first and last of those; the middle `size` are kept. */
static vt_status zoom_axis_new(zoom_axis *out, int size, double factor)
{
    zoom_axis axis = {.first = vt_alloc((size_t)size, sizeof *axis.first),
                      .next = vt_alloc((size_t)size, sizeof *axis.next),
                      .part = vt_alloc((size_t)size, sizeof *axis.part)};
    if (!axis.first || !axis.next || !axis.part) {
        zoom_axis_free(&axis);
        return VT_ENOMEM;
    }
    int inputs = (int)ceil(size / factor), outputs = (int)nearbyint(inputs * factor);
    int crop = (size - inputs) / 2, trim = (outputs - size) / 2;
    double step = outputs > 1 ? (inputs - 1.0) / (outputs - 1.0) : 1;
    for (int i = 0; i < size; i++) {
        double place = fmin((i + trim) * step, inputs - 1);
        int first = (int)place;
        axis.first[i] = crop + first;
        axis.next[i] = crop + (first + 1 < inputs ? first + 1 : first);
        axis.part[i] = place - first;
    }
    *out = axis;
    return VT_OK;
}

/* `row` has a place for each value of a row. */
static void zoom_rows(vt_field *out, const vt_field *in, const zoom_axis *vertical,
                      const zoom_axis *horizontal, double *row)
{
    size_t channels = (size_t)in->channels, length = (size_t)in->width * channels;
    for (int y = 0; y < in->height; y++) {
        const double *above = in->value + (size_t)vertical->first[y] * length;
        const double *below = in->value + (size_t)vertical->next[y] * length;
        double part = vertical->part[y], *to = out->value + (size_t)y * length;
        for (size_t i = 0; i < length; i++)
            row[i] = (1 - part) * above[i] + part * below[i];
        for (int x = 0; x < in->width; x++, to += channels) {
            const double *left = row + (size_t)horizontal->first[x] * channels;
            const double *right = row + (size_t)horizontal->next[x] * channels;
            double across = horizontal->part[x];
            for (size_t c = 0; c < channels; c++)
                to[c] = (1 - across) * left[c] + across * right[c];
        }
    }
}

vt_status vt_field_zoom(vt_field *out, const vt_field *field, double factor)
{
    zoom_axis vertical = {0}, horizontal = {0};
    double *row = vt_alloc((size_t)field->width * (size_t)field->channels, sizeof *row);
    vt_status status = row ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = zoom_axis_new(&vertical, field->height, factor);
    if (status == VT_OK) status = zoom_axis_new(&horizontal, field->width, factor);
    if (status == VT_OK) zoom_rows(out, field, &vertical, &horizontal, row);
    zoom_axis_free(&vertical);
    zoom_axis_free(&horizontal);
    free(row);
    return status;
}

/* ---- motion ---- */

/* ImageMagick's MotionBlurImage: weights exp(-i^2 / 2 sigma^2) at whole pixels along a line, whose
 * first point is the pixel itself; edge pixels go on outside. Sums are rounded to 16 bits, then cut
 * to 8: byte for byte what version 6.9 (16 bits a channel) returns. */
#define MAX_STEPS 64

typedef struct motion_step {
    int dx, dy;
    double weight;
} motion_step;

static int motion_steps(motion_step steps[MAX_STEPS], const vt_motion *m)
{
    int count = 2 * m->radius + 1;
    double radians = m->angle * (3.14159265358979323846 / 180), sum = 0;
    for (int i = 0; i < count; i++) {
        steps[i].dx = (int)ceil(i * cos(radians) - 0.5);
        steps[i].dy = (int)ceil(i * sin(radians) - 0.5);
        steps[i].weight = exp(-(double)i * i / (2 * m->sigma * m->sigma));
        sum += steps[i].weight;
    }
    for (int i = 0; i < count; i++)
        steps[i].weight /= sum;
    return count;
}

vt_status vt_corruption_motion(uint8_t *pixels, int height, int width, int channels,
                               const vt_motion *motion)
{
    motion_step steps[MAX_STEPS];
    int count = motion_steps(steps, motion);
    size_t row = (size_t)width * (size_t)channels;
    uint8_t *source = vt_alloc((size_t)height, row);
    if (!source) return VT_ENOMEM;
    memcpy(source, pixels, (size_t)height * row);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, pixels += channels) {
            double sum[3] = {0};
            for (int i = 0; i < count; i++) {
                int from_y = vt_border_index((int64_t)y + steps[i].dy, height, VT_BORDER_NEAREST);
                int from_x = vt_border_index((int64_t)x + steps[i].dx, width, VT_BORDER_NEAREST);
                const uint8_t *from =
                    source + (size_t)from_y * row + (size_t)from_x * (size_t)channels;
                for (int c = 0; c < channels; c++)
                    sum[c] += steps[i].weight * from[c];
            }
            for (int c = 0; c < channels; c++)
                pixels[c] = (uint8_t)((int)(257 * sum[c] + 0.5) / 257);
        }
    free(source);
    return VT_OK;
}
