/* Cortical magnification as a linear map: means over the bins of a polar grid, then a bilinear
 * resize of the 18 rings x 30 angles to 16 x 16. All steps are constant, so that their product, one
 * sparse matrix, is the whole layer.
 *
 * Rings end at radii 1, 2, ... 14, 16, 18, 20 and 23 pixels: fine at the centre of gaze, coarse in
 * the periphery. Angles start at the right and turn counterclockwise, 12 degrees a bin.
 *
 * released (Pogoncheff et al. 2023, the published code): the centre is pixel (16, 16); a pixel
 * belongs to the bin of its centre. Bins without pixels are dropped from the 16 inner rings and the
 * others stretched linearly to 30, those of the two outer rings give 0. Masks and their sums are
 * rounded to half precision. The angle is padded by reflection.
 * described: the centre is that of the image; a pixel belongs to bins by the areas of overlap. A
 * bin outside the image takes the value of the last one inside at the same angle. Columns divide
 * the circle evenly, 22.5 degrees each, with no padding. */
#include "ops/polar_map.h"

#include "base/half.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RINGS = VT_POLAR_RINGS, ANGLES = VT_POLAR_ANGLES, BINS = VT_POLAR_BINS };
enum { SUBPIXELS = 16 };       /* a side: areas of overlap to 1/256 of a pixel */
enum { STRETCHED_RINGS = 16 }; /* released: those that begin no farther out than half the image */
enum { MAX_TERMS = 4 };

static const int ring_ends[RINGS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 23};

/* ---- sparse matrices ---- */

/* Appends one row, given as numbers for all columns. */
static void append_row(vt_sparse *m, const double *row, int columns)
{
    int entry = m->start[m->rows];
    for (int c = 0; c < columns; c++)
        if (row[c] != 0) {
            m->column[entry] = (int16_t)c;
            m->weight[entry++] = row[c];
        }
    m->start[++m->rows] = entry;
}

static void transpose(vt_sparse *out, const vt_sparse *m, int columns)
{
    int next[VT_POLAR_PIXELS + 1] = {0};
    for (int e = 0; e < m->start[m->rows]; e++)
        next[m->column[e] + 1]++;
    for (int c = 0; c < columns; c++)
        next[c + 1] += next[c];
    out->rows = columns;
    memcpy(out->start, next, sizeof next);
    for (int r = 0; r < m->rows; r++)
        for (int e = m->start[r]; e < m->start[r + 1]; e++) {
            int to = next[m->column[e]]++;
            out->column[to] = (int16_t)r;
            out->weight[to] = m->weight[e];
        }
}

/* A sum of weighted rows. */
typedef struct mixture {
    int terms, row[MAX_TERMS];
    double weight[MAX_TERMS];
} mixture;

static void append_mixture(vt_sparse *out, const vt_sparse *m, const mixture *mix)
{
    double row[VT_POLAR_PIXELS] = {0};
    for (int t = 0; t < mix->terms; t++)
        for (int e = m->start[mix->row[t]]; e < m->start[mix->row[t] + 1]; e++)
            row[m->column[e]] += mix->weight[t] * m->weight[e];
    append_row(out, row, VT_POLAR_PIXELS);
}

static double row_sum(const vt_sparse *m, int row)
{
    double sum = 0;
    for (int e = m->start[row]; e < m->start[row + 1]; e++)
        sum += m->weight[e];
    return sum;
}

static void divide_row(vt_sparse *m, int row, double divisor)
{
    for (int e = m->start[row]; e < m->start[row + 1]; e++)
        m->weight[e] /= divisor;
}

static bool is_empty(const vt_sparse *m, int row)
{
    return m->start[row] == m->start[row + 1];
}

/* ---- bins ---- */

/* The bin of the point x to the right of and y above the centre of gaze; all are within radius 23.
 */
static int bin_at(double x, double y)
{
    const double edge = 1e-9; /* angle pi, computed, begins bin 15 */
    double angle = atan2(y, x), squared = x * x + y * y;
    if (angle < 0) angle += 2 * M_PI;
    int ring = 0;
    while (squared >= ring_ends[ring] * ring_ends[ring])
        ring++;
    return ring * ANGLES + (int)(angle / (2 * M_PI) * ANGLES + edge) % ANGLES;
}

/* Areas of overlap of each bin with each pixel, of which `samples` x `samples` points are taken;
 * `centre` is that of gaze, in pixels from the first one's centre. */
static void find_overlaps(vt_sparse *overlaps, int samples, double centre)
{
    vt_sparse by_pixel = {0};
    for (int p = 0; p < VT_POLAR_PIXELS; p++) {
        double area[BINS] = {0};
        for (int s = 0; s < samples * samples; s++) {
            double down = (s / samples + 0.5) / samples - 0.5;
            double right = (s % samples + 0.5) / samples - 0.5;
            area[bin_at(p % VT_POLAR_IMAGE + right - centre, centre - p / VT_POLAR_IMAGE - down)] +=
                1.0 / (samples * samples);
        }
        append_row(&by_pixel, area, BINS);
    }
    transpose(overlaps, &by_pixel, BINS);
}

/* Linear interpolation at `position` between `count` samples; outside, the outermost one. */
static void interpolate(double position, int count, int index[2], double weight[2])
{
    if (position < 0) position = 0;
    index[0] = (int)position;
    index[1] = index[0] + 1 < count ? index[0] + 1 : count - 1;
    weight[1] = position - index[0];
    weight[0] = 1 - weight[1];
}

/* Where sample `i` of `to` lies among `from` when both cover the same length. */
static double resized(int i, int from, int to)
{
    return (i + 0.5) * from / to - 0.5;
}

/* The bins of a ring that have pixels, stretched over all of it. */
static void stretch_ring(vt_sparse *out, const vt_sparse *m, int ring)
{
    int filled[ANGLES] = {0}, count = 0;
    for (int b = ring * ANGLES; b < (ring + 1) * ANGLES; b++)
        if (!is_empty(m, b)) filled[count++] = b;
    for (int a = 0; a < ANGLES; a++) {
        int index[2];
        mixture mix = {.terms = 2};
        interpolate(resized(a, count, ANGLES), count, index, mix.weight);
        mix.row[0] = filled[index[0]];
        mix.row[1] = filled[index[1]];
        append_mixture(out, m, &mix);
    }
}

static double as_half(double x)
{
    return vt_float_from_half(vt_half_from_float((float)x));
}

/* released: masks in half precision and what their sums are divided by. */
static void released_masks(vt_sparse *masks, double *counts)
{
    vt_sparse overlaps = {0};
    find_overlaps(&overlaps, 1, VT_POLAR_IMAGE / 2);
    masks->rows = 0;
    for (int ring = 0; ring < STRETCHED_RINGS; ring++)
        stretch_ring(masks, &overlaps, ring);
    for (int b = STRETCHED_RINGS * ANGLES; b < BINS; b++)
        append_mixture(masks, &overlaps, &(mixture){1, {b}, {1}});
    for (int b = 0; b < BINS; b++)
        counts[b] = is_empty(masks, b) ? 1 : as_half(row_sum(masks, b));
    for (int e = 0; e < masks->start[BINS]; e++)
        masks->weight[e] = as_half(masks->weight[e]);
}

/* described: means weighted by area; a bin outside the image repeats the one before it. */
static void described_means(vt_sparse *means)
{
    vt_sparse overlaps = {0};
    find_overlaps(&overlaps, SUBPIXELS, (VT_POLAR_IMAGE - 1) / 2.0);
    means->rows = 0;
    for (int b = 0; b < BINS; b++) {
        int inside = b;
        while (is_empty(&overlaps, inside))
            inside -= ANGLES;
        append_mixture(means, &overlaps, &(mixture){1, {inside}, {1}});
        divide_row(means, b, row_sum(means, b));
    }
}

/* ---- from bins to cortex ---- */

/* The two angles between which column `j` lies. released: padded by one reflected bin on either
 * side, 30 become 32, of which each column averages two. */
static void angles_of(int j, vt_formulation formulation, int index[2], double weight[2])
{
    int padding = formulation == VT_RELEASED ? 1 : 0;
    int count = ANGLES + 2 * padding;
    interpolate(resized(j, count, VT_POLAR_CORTEX), count, index, weight);
    for (int k = 0; k < 2; k++) {
        index[k] = abs(index[k] - padding);
        if (index[k] == ANGLES) index[k] = ANGLES - 2;
    }
}

static void resize(vt_sparse *out, const vt_sparse *means, vt_formulation formulation)
{
    out->rows = 0;
    for (int site = 0; site < VT_POLAR_SITES; site++) {
        int ring[2], angle[2];
        double ring_weight[2], angle_weight[2];
        interpolate(resized(site / VT_POLAR_CORTEX, RINGS, VT_POLAR_CORTEX), RINGS, ring,
                    ring_weight);
        angles_of(site % VT_POLAR_CORTEX, formulation, angle, angle_weight);
        mixture mix = {.terms = MAX_TERMS};
        for (int t = 0; t < MAX_TERMS; t++) {
            mix.row[t] = ring[t / 2] * ANGLES + angle[t % 2];
            mix.weight[t] = ring_weight[t / 2] * angle_weight[t % 2];
        }
        append_mixture(out, means, &mix);
    }
}

static vt_polar_map maps[2];
static vt_sparse masks;
static double mask_counts[BINS];

static void build(vt_formulation formulation, const vt_sparse *means)
{
    vt_polar_map *map = &maps[formulation];
    resize(&map->forward, means, formulation);
    transpose(&map->backward, &map->forward, VT_POLAR_PIXELS);
}

static void build_released(void)
{
    vt_sparse means = {0};
    released_masks(&masks, mask_counts);
    means = masks;
    for (int b = 0; b < BINS; b++)
        divide_row(&means, b, mask_counts[b]);
    build(VT_RELEASED, &means);
}

static void build_described(void)
{
    vt_sparse means = {0};
    described_means(&means);
    build(VT_DESCRIBED, &means);
}

static pthread_once_t built[2] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};

const vt_polar_map *vt_polar_map_of(vt_formulation formulation)
{
    static void (*const builders[2])(void) = {build_described, build_released};
    pthread_once(&built[formulation], builders[formulation]);
    return &maps[formulation];
}

void vt_polar_masks(float *dense, float *counts)
{
    vt_polar_map_of(VT_RELEASED);
    memset(dense, 0, sizeof *dense * BINS * VT_POLAR_PIXELS);
    for (int b = 0; b < BINS; b++) {
        for (int e = masks.start[b]; e < masks.start[b + 1]; e++)
            dense[b * VT_POLAR_PIXELS + masks.column[e]] = (float)masks.weight[e];
        counts[b] = (float)mask_counts[b];
    }
}
