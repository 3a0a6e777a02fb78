/* frost: c0 x + c1 frost, with the published weights, c0 of the image and c1 of the frost.
 *
 * Hendrycks & Dietterich 2019 blend in photographs of frosted windows. Here frost is drawn: ferns
 * of ice grow from seeds all around, each with arms 60 degrees apart that bear branches at 60
 * degrees, shorter towards the tip, which bear twigs in turn (the hexagonal lattice of ice;
 * Libbrecht 2005, "The physics of snow crystals"), over a film of ice of uneven thickness. The
 * texture is ours, results on it are not comparable, level by level, with those on the published
 * frost. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "data/corruption.h"

#define PI 3.14159265358979323846
#define REACH 40.0          /* pixels that the longest arm grows */
#define SEEDS_PER_AREA 8e-4 /* seeds a pixel */
#define FILM_SIGMA 6.0      /* pixels over which the film's thickness varies */

/* A needle of ice: brightness falls as a Gaussian across it, linearly along it. */
typedef struct needle {
    double x, y, angle, length, width, light;
} needle;

static void draw_needle(vt_field *ice, const needle *n)
{
    double dx = cos(n->angle), dy = sin(n->angle);
    double end_x = n->x + n->length * dx, end_y = n->y + n->length * dy, rim = 3 * n->width;
    int left = (int)fmax(0, ceil(fmin(n->x, end_x) - rim));
    int top = (int)fmax(0, ceil(fmin(n->y, end_y) - rim));
    int right = (int)fmin(ice->width - 1, fmax(n->x, end_x) + rim);
    int bottom = (int)fmin(ice->height - 1, fmax(n->y, end_y) + rim);
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            double along = (x - n->x) * dx + (y - n->y) * dy;
            along = fmin(fmax(along, 0), n->length);
            double off_x = x - n->x - along * dx, off_y = y - n->y - along * dy;
            double across = (off_x * off_x + off_y * off_y) / (2 * n->width * n->width);
            if (across > 4.5) continue;
            double light = n->light * (1 - 0.5 * along / n->length) * exp(-across);
            double *value = ice->value + (size_t)y * (size_t)ice->width + (size_t)x;
            *value = fmax(*value, light);
        }
}

/* Branches on both sides of `stem`, and twigs on these for depth 2. */
static void draw_branches(vt_field *ice, const needle *stem, int depth, vt_rng *rng)
{
    double spacing = depth == 2 ? 4 : 2.5;
    for (double along = spacing; along < stem->length; along += spacing)
        for (int side = -1; side <= 1; side += 2) {
            double part = 1 - along / stem->length;
            needle branch = {
                .x = stem->x + along * cos(stem->angle),
                .y = stem->y + along * sin(stem->angle),
                .angle = stem->angle + side * PI / 3,
                .length = stem->length * 0.45 * part * vt_corruption_uniform(rng, 0.6, 1.1),
                .width = stem->width * 0.8,
                .light = stem->light * vt_corruption_uniform(rng, 0.6, 1),
            };
            if (branch.length < 1) continue;
            draw_needle(ice, &branch);
            if (depth == 2) draw_branches(ice, &branch, 1, rng);
        }
}

static void draw_fern(vt_field *ice, double x, double y, vt_rng *rng)
{
    double turn = vt_corruption_uniform(rng, 0, PI / 3);
    for (int arm = 0; arm < 6; arm++) {
        needle stem = {x,
                       y,
                       turn + arm * PI / 3,
                       REACH * vt_corruption_uniform(rng, 0.3, 1),
                       0.7,
                       vt_corruption_uniform(rng, 0.6, 1)};
        draw_needle(ice, &stem);
        draw_branches(ice, &stem, 2, rng);
    }
}

/* The film's thickness, mean 1/2 and standard deviation 1/4: filtered noise. */
static vt_status draw_film(vt_field *film, vt_rng *rng)
{
    size_t count = vt_field_count(film);
    double filtered_sd = 1 / (2 * FILM_SIGMA * sqrt(PI)); /* of noise whose s.d. was 1 */
    for (size_t i = 0; i < count; i++)
        film->value[i] = vt_rng_normal(rng);
    VT_TRY(vt_field_gaussian(film, FILM_SIGMA, 3, VT_BORDER_REFLECT));
    for (size_t i = 0; i < count; i++)
        film->value[i] = fmin(fmax(0.5 + 0.25 * film->value[i] / filtered_sd, 0), 1);
    return VT_OK;
}

static void draw_ice(vt_field *ice, vt_rng *rng)
{
    double height = ice->height + REACH, width = ice->width + REACH;
    double seeds = ceil(height * width * SEEDS_PER_AREA);
    for (double i = 0; i < seeds; i++) {
        double y = height * vt_rng_uniform(rng) - REACH / 2;
        double x = width * vt_rng_uniform(rng) - REACH / 2;
        draw_fern(ice, x, y, rng);
    }
}

static void blend(vt_image *image, const vt_field *ice, const vt_field *film, int severity)
{
    static const struct {
        double image, frost;
    } weights[] = {{1, 0.3}, {0.9, 0.4}, {0.8, 0.45}, {0.75, 0.5}, {0.7, 0.55}};
    static const double dark[3] = {40, 62, 92}, light[3] = {236, 246, 255}; /* bluish */
    double keep = weights[severity - 1].image, add = weights[severity - 1].frost;
    for (size_t i = 0, count = vt_field_count(ice); i < count; i++) {
        double white = fmin(0.6 * film->value[i] + 0.9 * ice->value[i], 1);
        uint8_t *pixel = image->pixels + 3 * i;
        for (int c = 0; c < 3; c++) {
            double frost = dark[c] + (light[c] - dark[c]) * white;
            pixel[c] = (uint8_t)fmin(keep * pixel[c] + add * frost, 255);
        }
    }
}

vt_status vt_corrupt_frost(vt_image *image, int severity, vt_rng *rng)
{
    vt_field ice, film;
    VT_TRY(vt_field_new(&ice, image->height, image->width, 1));
    vt_status status = vt_field_new(&film, image->height, image->width, 1);
    if (status == VT_OK) {
        status = draw_film(&film, rng);
        if (status == VT_OK) {
            draw_ice(&ice, rng);
            blend(image, &ice, &film, severity);
        }
        free(film.value);
    }
    free(ice.value);
    return status;
}
