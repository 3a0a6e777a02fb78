/* Gratings on a model's screen: the part of the published picture that its visual field shows,
 * resized as Pillow does (io/resize.h), computed only where the grating is.
 *
 * Everything else is grey 128 and stays so: weights sum to one. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/resize.h"
#include "stimuli/grating.h"

#define RESOLUTION 56  /* of the published pictures: 672 pixels */
#define MAX_VALUE 1e6  /* of a grating's numbers: the argument of the sine stays exact enough */
#define MAX_SIDE 20000 /* pixels of pictures and images */

struct vt_screen {
    vt_window window;
    int height, width;
    vt_resampling across, down;
};

/* One thread's memory, borrowed. */
typedef struct scratch {
    double *x;
    float *x_sine, *x_cosine;
    uint8_t *row;  /* of the window */
    uint8_t *rows; /* (side, width): rows resized */
    int32_t *sums; /* one a column of the image */
} scratch;

vt_status vt_screen_new(vt_screen **out, const vt_screen_options *options)
{
    vt_screen_options o = *options;
    if (o.resolution == 0) o.resolution = RESOLUTION;
    if (o.degrees == 0) o.degrees = VT_GRATING_DEGREES;
    double picture = rint(VT_GRATING_DEGREES * o.resolution);
    double side = rint(o.degrees / VT_GRATING_DEGREES * picture);
    if (!(o.resolution > 0 && o.degrees > 0 && picture >= 1 && side >= 1 && picture <= MAX_SIDE &&
          side <= MAX_SIDE))
        return vt_error(VT_EINVAL, "a field of %g degrees at %g pixels a degree cannot be drawn",
                        o.degrees, o.resolution);
    if (o.height == 0 && o.width == 0) o.height = o.width = (int)side;
    if (o.height < 1 || o.width < 1 || o.height > MAX_SIDE || o.width > MAX_SIDE)
        return vt_error(VT_EINVAL, "gratings cannot be shown as images of %d x %d pixels", o.width,
                        o.height);
    vt_screen *screen = vt_alloc(1, sizeof *screen);
    if (!screen) return VT_ENOMEM;
    screen->window = (vt_window){.picture = (int)picture,
                                 .first = (int)rint((picture - side) / 2),
                                 .side = (int)side,
                                 .resolution = picture / VT_GRATING_DEGREES};
    screen->height = o.height;
    screen->width = o.width;
    vt_status status = vt_resampling_new(&screen->across, (int)side, o.width);
    if (status == VT_OK) status = vt_resampling_new(&screen->down, (int)side, o.height);
    if (status != VT_OK) {
        vt_screen_free(screen);
        return status;
    }
    *out = screen;
    return VT_OK;
}

void vt_screen_free(vt_screen *screen)
{
    if (!screen) return;
    vt_resampling_free(&screen->across);
    vt_resampling_free(&screen->down);
    free(screen);
}

void vt_screen_size(const vt_screen *screen, int *height, int *width)
{
    *height = screen->height;
    *width = screen->width;
}

/* A multiple of what its parts need to be aligned. */
static size_t scratch_bytes(const vt_screen *screen)
{
    size_t side = (size_t)screen->window.side, width = (size_t)screen->width;
    size_t bytes =
        side * (sizeof(double) + 2 * sizeof(float)) + width * sizeof(int32_t) + side + side * width;
    return (bytes + 63) / 64 * 64;
}

static scratch scratch_at(char *memory, const vt_screen *screen)
{
    size_t side = (size_t)screen->window.side;
    scratch s = {.x = (double *)memory};
    s.x_sine = (float *)(s.x + side);
    s.x_cosine = s.x_sine + side;
    s.sums = (int32_t *)(s.x_cosine + side);
    s.row = (uint8_t *)(s.sums + screen->width);
    s.rows = s.row + side;
    return s;
}

/* Outputs [*first, *end) read inputs of [begin, stop). */
static void find_outputs(int *first, int *end, const vt_resampling *r, int outputs, int begin,
                         int stop)
{
    int from = 0;
    while (from < outputs && r->first[from] + r->count[from] <= begin)
        from++;
    int to = from;
    while (to < outputs && r->first[to] < stop)
        to++;
    *first = from;
    *end = to;
}

/* Columns [left, right) of the image from one row of the window. */
static void resize_row(uint8_t *out, const uint8_t *row, const vt_resampling *r, int left,
                       int right)
{
    for (int x = left; x < right; x++) {
        const int32_t *weight = r->weight + (size_t)x * r->stride;
        const uint8_t *from = row + r->first[x];
        int32_t sum = 0;
        for (int k = 0; k < r->count[x]; k++)
            sum += from[k] * weight[k];
        out[x] = vt_resampling_round(sum);
    }
}

/* Rows [top, bottom) of the image from the resized rows. */
static void resize_columns(uint8_t *out, const vt_screen *screen, const scratch *s, int top,
                           int bottom, int left, int right)
{
    const vt_resampling *r = &screen->down;
    size_t width = (size_t)screen->width;
    for (int y = top; y < bottom; y++) {
        memset(s->sums, 0, width * sizeof *s->sums);
        for (int k = 0; k < r->count[y]; k++) {
            int32_t weight = r->weight[(size_t)y * r->stride + (size_t)k];
            const uint8_t *from = s->rows + (size_t)(r->first[y] + k) * width;
            for (int x = left; x < right; x++)
                s->sums[x] += from[x] * weight;
        }
        for (int x = left; x < right; x++)
            out[(size_t)y * width + (size_t)x] = vt_resampling_round(s->sums[x]);
    }
}

static void draw(uint8_t *out, const vt_screen *screen, const vt_grating *grating, const scratch *s)
{
    vt_painter painter;
    size_t width = (size_t)screen->width;
    int left, right, top, bottom;
    memset(out, VT_GREY, (size_t)screen->height * width);
    vt_painter_init(&painter, &screen->window, grating, s->x, s->x_sine, s->x_cosine);
    if (painter.top >= painter.bottom || painter.left >= painter.right) return;
    find_outputs(&left, &right, &screen->across, screen->width, painter.left, painter.right);
    find_outputs(&top, &bottom, &screen->down, screen->height, painter.top, painter.bottom);
    if (top >= bottom || left >= right) return;
    int first = screen->down.first[top];
    int end = screen->down.first[bottom - 1] + screen->down.count[bottom - 1];
    for (int y = first; y < end; y++) {
        uint8_t *resized = s->rows + (size_t)y * width;
        if (y < painter.top || y >= painter.bottom) {
            memset(resized + left, VT_GREY, (size_t)(right - left));
            continue;
        }
        memset(s->row, VT_GREY, (size_t)screen->window.side);
        vt_painter_row(&painter, y, s->row);
        resize_row(resized, s->row, &screen->across, left, right);
    }
    resize_columns(out, screen, s, top, bottom, left, right);
}

static vt_status check(const vt_grating *g, int64_t index)
{
    const double values[] = {g->y,         g->x,           g->contrast, g->radius,
                             g->frequency, g->orientation, g->phase};
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        if (!(fabs(values[k]) <= MAX_VALUE))
            return vt_error(VT_EINVAL, "grating %lld: %g is no value to draw", (long long)index,
                            values[k]);
    if (g->contrast < 0 || g->contrast > 1)
        return vt_error(VT_EINVAL, "grating %lld: contrast %g, 0 to 1 is possible",
                        (long long)index, g->contrast);
    return VT_OK;
}

vt_status vt_screen_draw(const vt_screen *screen, const vt_grating *gratings, int64_t count,
                         uint8_t *out)
{
    for (int64_t i = 0; i < count; i++)
        VT_TRY(check(&gratings[i], i));
    int threads = vt_threads() < count ? vt_threads() : (int)count;
    if (threads < 1) threads = 1;
    size_t bytes = scratch_bytes(screen), size = (size_t)screen->height * (size_t)screen->width;
    char *memory = vt_alloc((size_t)threads, bytes);
    if (!memory) return VT_ENOMEM;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < count; i++) {
        scratch s = scratch_at(memory + (size_t)omp_get_thread_num() * bytes, screen);
        draw(out + (size_t)i * size, screen, &gratings[i], &s);
    }
    free(memory);
    return VT_OK;
}
