/* Weather; frost has a file of its own.
 *
 *   snow        flakes from a thresholded normal field, enlarged and blurred along their fall,
 *               added to the whitened image twice, once turned by 180 degrees
 *   fog         (x + c plasma) max(x) / (max(x) + c)
 *   brightness  value of hue, saturation and value raised
 *
 * Plasma is the diamond-square fractal (Fournier, Fussell & Carpenter 1982) on a torus. Hendrycks &
 * Dietterich 2019; constants of Tiny-ImageNet-C. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "data/corruption.h"

/* ---- snow ---- */

typedef struct snow {
    double mean, sd; /* of the field */
    double zoom, threshold;
    vt_motion motion;
    double keep; /* weight of the image against its whitened copy */
} snow;

/* Flakes as bytes. */
static vt_status draw_flakes(uint8_t *flakes, int height, int width, const snow *s, vt_rng *rng)
{
    vt_field noise = {0}, zoomed = {0};
    VT_TRY(vt_field_new(&noise, height, width, 1));
    size_t count = vt_field_count(&noise);
    for (size_t i = 0; i < count; i++)
        noise.value[i] = s->mean + s->sd * vt_rng_normal(rng);
    vt_status status = vt_field_new(&zoomed, height, width, 1);
    if (status == VT_OK) status = vt_field_zoom(&zoomed, &noise, s->zoom);
    if (status == VT_OK) {
        for (size_t i = 0; i < count; i++)
            flakes[i] = zoomed.value[i] < s->threshold ? 0 : vt_corruption_byte(zoomed.value[i]);
        vt_motion motion = s->motion;
        motion.angle = vt_corruption_uniform(rng, -135, -45);
        status = vt_corruption_motion(flakes, height, width, 1, &motion);
    }
    free(noise.value);
    free(zoomed.value);
    return status;
}

vt_status vt_corrupt_snow(vt_image *image, int severity, vt_rng *rng)
{
    static const snow snows[] = {
        {0.1, 0.2, 1, 0.6, {8, 3, 0}, 0.8},       {0.1, 0.2, 1, 0.5, {10, 4, 0}, 0.8},
        {0.15, 0.3, 1.75, 0.55, {10, 4, 0}, 0.7}, {0.25, 0.3, 2.25, 0.6, {12, 6, 0}, 0.65},
        {0.3, 0.3, 1.25, 0.65, {14, 12, 0}, 0.6},
    };
    const snow *s = &snows[severity - 1];
    size_t pixels = (size_t)image->height * (size_t)image->width;
    uint8_t *flakes = vt_alloc(pixels, 1);
    if (!flakes) return VT_ENOMEM;
    vt_status status = draw_flakes(flakes, image->height, image->width, s, rng);
    float keep = (float)s->keep, give = (float)(1 - s->keep);
    for (size_t i = 0; i < pixels && status == VT_OK; i++) {
        uint8_t *pixel = image->pixels + 3 * i;
        float x[3] = {(float)pixel[0] / 255, (float)pixel[1] / 255, (float)pixel[2] / 255};
        float white = (0.299f * x[0] + 0.587f * x[1] + 0.114f * x[2]) * 1.5f + 0.5f;
        for (int c = 0; c < 3; c++) {
            float pale = keep * x[c] + give * (x[c] > white ? x[c] : white);
            pixel[c] =
                vt_corruption_byte(pale + flakes[i] / 255.0 + flakes[pixels - 1 - i] / 255.0);
        }
    }
    free(flakes);
    return status;
}

/* ---- fog ---- */

/* Sets the point (y, x) to the mean of four neighbours and a uniform step of up to wobble^2. */
static void wobbled_mean(vt_field *map, size_t at, const double neighbours[4], double wobble,
                         vt_rng *rng)
{
    double sum = neighbours[0] + neighbours[1] + neighbours[2] + neighbours[3];
    map->value[at] = sum / 4 + wobble * vt_corruption_uniform(rng, -wobble, wobble);
}

/* The points half a step right of (dx) and below (dy) those of the grid, each from the four at half
 * a step around it: diagonally where both are set, else straight. */
static void fill(vt_field *map, int step, bool dy, bool dx, double wobble, vt_rng *rng)
{
    int half = step / 2, last = map->width - 1; /* the side is a power of two */
    size_t side = (size_t)map->width;
    for (int row = 0; row < map->height; row += step)
        for (int column = 0; column < map->width; column += step) {
            int y = row + (dy ? half : 0), x = column + (dx ? half : 0);
            size_t up = (size_t)((y - half) & last), down = (size_t)((y + half) & last);
            size_t left = (size_t)((x - half) & last), right = (size_t)((x + half) & last);
            const double *v = map->value;
            double around[4];
            if (dy && dx) {
                around[0] = v[up * side + left], around[1] = v[down * side + left];
                around[2] = v[up * side + right], around[3] = v[down * side + right];
            } else {
                around[0] = v[up * side + (size_t)x], around[1] = v[down * side + (size_t)x];
                around[2] = v[(size_t)y * side + left], around[3] = v[(size_t)y * side + right];
            }
            wobbled_mean(map, (size_t)y * side + (size_t)x, around, wobble, rng);
        }
}

/* A square map from 0 to 1 whose side is a power of two; `decay` is by how much the wobble falls
 * with each halving of the step. */
static void draw_plasma(vt_field *map, double decay, vt_rng *rng)
{
    double wobble = 100;
    for (int step = map->width; step >= 2; step /= 2, wobble /= decay) {
        fill(map, step, true, true, wobble, rng);
        fill(map, step, false, true, wobble, rng);
        fill(map, step, true, false, wobble, rng);
    }
    double low = INFINITY, high = -INFINITY;
    size_t count = vt_field_count(map);
    for (size_t i = 0; i < count; i++) {
        low = fmin(low, map->value[i]);
        high = fmax(high, map->value[i]);
    }
    for (size_t i = 0; i < count; i++)
        map->value[i] = high > low ? (map->value[i] - low) / (high - low) : 0;
}

static vt_status plasma_new(vt_field *out, int height, int width, double decay, vt_rng *rng)
{
    int side = 1;
    while (side < height || side < width)
        side *= 2;
    VT_TRY(vt_field_new(out, side, side, 1));
    draw_plasma(out, decay, rng);
    return VT_OK;
}

vt_status vt_corrupt_fog(vt_image *image, int severity, vt_rng *rng)
{
    static const struct {
        double amount, decay;
    } fogs[] = {{0.4, 3}, {0.7, 3}, {1, 2.5}, {1.5, 2}, {2, 1.75}};
    double amount = fogs[severity - 1].amount, brightest = 0;
    vt_field plasma;
    VT_TRY(plasma_new(&plasma, image->height, image->width, fogs[severity - 1].decay, rng));
    uint8_t *pixel = image->pixels;
    for (size_t i = 0, count = (size_t)image->height * (size_t)image->width * 3; i < count; i++)
        brightest = fmax(brightest, pixel[i] / 255.0);
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++)
            for (int c = 0; c < 3; c++, pixel++) {
                double fog = amount * plasma.value[(size_t)y * (size_t)plasma.width + (size_t)x];
                *pixel =
                    vt_corruption_byte((*pixel / 255.0 + fog) * brightest / (brightest + amount));
            }
    free(plasma.value);
    return VT_OK;
}

/* ---- brightness ---- */

typedef struct hsv {
    double hue, saturation, value; /* 0 to 1; hue in turns */
} hsv;

static hsv hsv_from_rgb(const double rgb[3])
{
    double high = fmax(fmax(rgb[0], rgb[1]), rgb[2]), low = fmin(fmin(rgb[0], rgb[1]), rgb[2]);
    double range = high - low, sixths = 0;
    if (range == 0) return (hsv){0, 0, high};
    if (rgb[0] == high) sixths = (rgb[1] - rgb[2]) / range;
    if (rgb[1] == high) sixths = 2 + (rgb[2] - rgb[0]) / range;
    if (rgb[2] == high) sixths = 4 + (rgb[0] - rgb[1]) / range;
    double hue = sixths / 6;
    return (hsv){hue - floor(hue), range / high, high};
}

static void rgb_from_hsv(double rgb[3], const hsv *in)
{
    double sixths = in->hue * 6, f = sixths - floor(sixths), v = in->value, s = in->saturation;
    double p = v * (1 - s), q = v * (1 - f * s), t = v * (1 - (1 - f) * s);
    const double sectors[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    for (int c = 0; c < 3; c++)
        rgb[c] = sectors[(int)sixths % 6][c];
}

vt_status vt_corrupt_brightness(vt_image *image, int severity, vt_rng *rng)
{
    (void)rng;
    static const double raise[] = {0.1, 0.2, 0.3, 0.4, 0.5};
    size_t pixels = (size_t)image->height * (size_t)image->width;
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *pixel = image->pixels + 3 * i;
        double rgb[3] = {pixel[0] / 255.0, pixel[1] / 255.0, pixel[2] / 255.0};
        hsv raised = hsv_from_rgb(rgb);
        raised.value = fmin(raised.value + raise[severity - 1], 1);
        rgb_from_hsv(rgb, &raised);
        for (int c = 0; c < 3; c++)
            pixel[c] = vt_corruption_byte(rgb[c]);
    }
    return VT_OK;
}
