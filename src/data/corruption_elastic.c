/* elastic_transform: a random affine map of three points, then a smooth random displacement of each
 * pixel (Simard, Steinkraus & Platt 2003):
 *
 *   out(p) = warped(p + alpha (G * U)(p)),   U uniform in (-1, 1)^2, G a Gaussian
 *
 * Hendrycks & Dietterich 2019; constants of Tiny-ImageNet-C. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "data/corruption.h"

typedef struct elastic {
    double alpha, sigma; /* pixels */
    double affine;       /* largest displacement of the three points */
} elastic;

/* The source of (x, y): (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]). */
typedef struct affine {
    double m[6];
} affine;

/* The map that takes p + d back to p for p = c + (s, s), c + (s, -s), c + (-s, -s), each d uniform;
 * c is the centre of the image and s a third of its shorter side. */
static affine draw_affine(int height, int width, double most, vt_rng *rng)
{
    int shorter = height < width ? height : width;
    double side = shorter / 3 > 0 ? shorter / 3 : 1;
    double cx = width / 2, cy = height / 2;
    double x[3] = {cx + side, cx + side, cx - side}, y[3] = {cy + side, cy - side, cy - side};
    for (int i = 0; i < 3; i++) {
        x[i] = (float)x[i] + (float)vt_corruption_uniform(rng, -most, most);
        y[i] = (float)y[i] + (float)vt_corruption_uniform(rng, -most, most);
    }
    /* forwards: points 1 and 2 differ in x alone, 0 and 1 in y alone */
    double a = (x[1] - x[2]) / (2 * side), b = (x[0] - x[1]) / (2 * side);
    double c = (y[1] - y[2]) / (2 * side), d = (y[0] - y[1]) / (2 * side);
    double e = x[0] - a * (cx + side) - b * (cy + side);
    double f = y[0] - c * (cx + side) - d * (cy + side);
    double determinant = a * d - b * c, inverse = determinant != 0 ? 1 / determinant : 0;
    a *= inverse, b *= inverse, c *= inverse, d *= inverse;
    return (affine){{d, -b, b * f - d * e, -c, a, c * e - a * f}};
}

/* Sources are rounded to 1/32 pixel by way of 1/1024, as OpenCV's warpAffine does. Small images can
 * draw points on a line, and sources anywhere. */
static int64_t in_1024ths(double x)
{
    return llrint(fmin(fmax(x, -1e9), 1e9) * 1024);
}

/* A place between pixels, and the four around it, which may lie beyond the borders. */
typedef struct place {
    int64_t x, y;
    double part_x, part_y;
} place;

static void corners(const double *out[4], const vt_field *in, const place *p, vt_border border)
{
    size_t row = (size_t)in->width * 3;
    const double *above = in->value + (size_t)vt_border_index(p->y, in->height, border) * row;
    const double *below = in->value + (size_t)vt_border_index(p->y + 1, in->height, border) * row;
    size_t left = (size_t)vt_border_index(p->x, in->width, border) * 3;
    size_t right = (size_t)vt_border_index(p->x + 1, in->width, border) * 3;
    out[0] = above + left, out[1] = above + right, out[2] = below + left, out[3] = below + right;
}

/* The affine map interpolates in float32, the displacement in float64, as the original's do. */
static void interpolate_f32(double out[3], const vt_field *in, const place *p)
{
    const double *v[4];
    corners(v, in, p, VT_BORDER_MIRROR);
    float x = (float)p->part_x, y = (float)p->part_y;
    float w[4] = {(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x};
    for (int c = 0; c < 3; c++)
        out[c] = (float)v[0][c] * w[0] + (float)v[1][c] * w[1] + (float)v[2][c] * w[2] +
                 (float)v[3][c] * w[3];
}

static void interpolate_f64(double out[3], const vt_field *in, const place *p)
{
    const double *v[4];
    corners(v, in, p, VT_BORDER_REFLECT);
    double x = p->part_x, y = p->part_y;
    for (int c = 0; c < 3; c++)
        out[c] = v[0][c] * (1 - y) * (1 - x) + v[1][c] * (1 - y) * x + v[2][c] * y * (1 - x) +
                 v[3][c] * y * x;
}

static void warp(vt_field *out, const vt_field *in, const affine *a)
{
    double *to = out->value;
    for (int y = 0; y < in->height; y++)
        for (int x = 0; x < in->width; x++, to += 3) {
            int64_t from_x =
                (in_1024ths(a->m[0] * x) + in_1024ths(a->m[1] * y + a->m[2]) + 16) >> 5;
            int64_t from_y =
                (in_1024ths(a->m[3] * x) + in_1024ths(a->m[4] * y + a->m[5]) + 16) >> 5;
            place p = {from_x >> 5, from_y >> 5, (double)(from_x & 31) / 32,
                       (double)(from_y & 31) / 32};
            interpolate_f32(to, in, &p);
        }
}

/* One coordinate's displacements. */
static vt_status draw_displacement(vt_field *out, const elastic *e, vt_rng *rng)
{
    size_t count = vt_field_count(out);
    for (size_t i = 0; i < count; i++)
        out->value[i] = vt_corruption_uniform(rng, -1, 1);
    VT_TRY(vt_field_gaussian(out, e->sigma, 3, VT_BORDER_REFLECT));
    for (size_t i = 0; i < count; i++)
        out->value[i] = (float)(e->alpha * out->value[i]);
    return VT_OK;
}

static void displace(vt_image *image, const vt_field *warped, const vt_field *dx,
                     const vt_field *dy)
{
    uint8_t *to = image->pixels;
    size_t i = 0;
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++, i++, to += 3) {
            double from_x = x + dx->value[i], from_y = y + dy->value[i], value[3];
            place p = {(int64_t)floor(from_x), (int64_t)floor(from_y), from_x - floor(from_x),
                       from_y - floor(from_y)};
            interpolate_f64(value, warped, &p);
            for (int c = 0; c < 3; c++)
                to[c] = (uint8_t)((float)value[c] * 255);
        }
}

vt_status vt_corrupt_elastic_transform(vt_image *image, int severity, vt_rng *rng)
{
    static const elastic elastics[] = {
        {0, 0, 5.12}, {3.2, 19.2, 3.84}, {6.4, 5.12, 3.84}, {6.4, 1.92, 1.92}, {10.24, 1.92, 1.28},
    };
    const elastic *e = &elastics[severity - 1];
    int height = image->height, width = image->width;
    vt_field field = {0}, warped = {0}, dx = {0}, dy = {0};
    vt_status status = vt_field_from_image(&field, image);
    if (status == VT_OK) status = vt_field_new(&warped, height, width, 3);
    if (status == VT_OK) status = vt_field_new(&dx, height, width, 1);
    if (status == VT_OK) status = vt_field_new(&dy, height, width, 1);
    if (status == VT_OK) {
        affine a = draw_affine(height, width, e->affine, rng);
        warp(&warped, &field, &a);
        status = draw_displacement(&dx, e, rng);
    }
    if (status == VT_OK) status = draw_displacement(&dy, e, rng);
    if (status == VT_OK) displace(image, &warped, &dx, &dy);
    free(field.value);
    free(warped.value);
    free(dx.value);
    free(dy.value);
    return status;
}
