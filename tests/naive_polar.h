/* Cortical magnification once more, from its definition and with dense masks. Nothing is shared
 * with the library. */
#ifndef NAIVE_POLAR_H
#define NAIVE_POLAR_H

#include "ventral/v1_layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A polar grid over a 32 x 32 image: how much of each pixel lies in each of 18 x 30 bins. */
typedef struct naive_polar {
    double mask[18][30][32][32], divisor[18][30];
} naive_polar;

/* Points on a grid within each pixel, (x, y) from the centre of gaze, y up. */
static inline void naive_polar_fill(naive_polar *p, int grid, double centre)
{
    static const double edges[19] = {0,  1,  2,  3,  4,  5,  6,  7,  8, 9,
                                     10, 11, 12, 13, 14, 16, 18, 20, 23};
    for (int64_t i = 0; i < (int64_t)32 * grid; i++)
        for (int64_t j = 0; j < (int64_t)32 * grid; j++) {
            double y = centre - (((double)i + 0.5) / grid - 0.5);
            double x = ((double)j + 0.5) / grid - 0.5 - centre;
            double degrees = atan2(y, x) * 180 / acos(-1);
            int ring = 0, angle = (int)floor((degrees < 0 ? degrees + 360 : degrees) / 12);
            while (hypot(x, y) >= edges[ring + 1])
                ring++;
            p->mask[ring][angle][i / grid][j / grid] += 1.0 / (grid * grid);
        }
}

static inline double naive_half(double x) /* normal numbers of half precision: 11 bits */
{
    int exponent;
    double mantissa = frexp(x, &exponent);
    return ldexp(nearbyint(mantissa * 2048), exponent - 11);
}

static inline double naive_mask_sum(const naive_polar *p, int ring, int angle)
{
    double sum = 0;
    for (int q = 0; q < 1024; q++)
        sum += p->mask[ring][angle][q / 32][q % 32];
    return sum;
}

/* The released layer's rings 0 to 15: bins with pixels, stretched linearly over the ring. */
static inline void naive_polar_stretch(naive_polar *p, int ring)
{
    static double filled[30][32][32];
    int count = 0;
    for (int a = 0; a < 30; a++)
        if (naive_mask_sum(p, ring, a) > 0)
            memcpy(filled[count++], p->mask[ring][a], sizeof filled[0]);
    for (int a = 0; a < 30; a++) {
        double at = fmin(fmax((a + 0.5) * count / 30 - 0.5, 0), count - 1);
        int below = (int)at, above = below + 1 < count ? below + 1 : below;
        for (int q = 0; q < 1024; q++)
            p->mask[ring][a][q / 32][q % 32] = (1 - (at - below)) * filled[below][q / 32][q % 32] +
                                               (at - below) * filled[above][q / 32][q % 32];
    }
}

static inline naive_polar *naive_polar_new(vt_formulation formulation)
{
    naive_polar *p = calloc(1, sizeof *p);
    bool released = formulation == VT_RELEASED;
    naive_polar_fill(p, released ? 1 : 16, released ? 16 : 15.5);
    for (int ring = 0; ring < 18; ring++) {
        if (released && ring < 16) naive_polar_stretch(p, ring);
        for (int a = 0; a < 30; a++) {
            if (!released && naive_mask_sum(p, ring, a) == 0)
                memcpy(p->mask[ring][a], p->mask[ring - 1][a], sizeof p->mask[0][0]);
            double sum = naive_mask_sum(p, ring, a);
            p->divisor[ring][a] = !released ? sum : sum == 0 ? 1 : naive_half(sum);
            for (int q = 0; released && q < 1024; q++)
                p->mask[ring][a][q / 32][q % 32] = naive_half(p->mask[ring][a][q / 32][q % 32]);
        }
    }
    return p;
}

/* One channel: means of bins, one angle more on either side, bilinear in both directions. */
static inline void naive_polar_apply(const naive_polar *p, vt_formulation formulation,
                                     const double *x, double y[16][16])
{
    bool released = formulation == VT_RELEASED;
    double mean[18][32];
    for (int ring = 0; ring < 18; ring++) {
        for (int a = 0; a < 30; a++) {
            mean[ring][a + 1] = 0;
            for (int q = 0; q < 1024; q++)
                mean[ring][a + 1] += p->mask[ring][a][q / 32][q % 32] * x[q] / p->divisor[ring][a];
        }
        mean[ring][0] = released ? mean[ring][2] : mean[ring][30];
        mean[ring][31] = released ? mean[ring][29] : mean[ring][1];
    }
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            double row = fmax((i + 0.5) * 18 / 16 - 0.5, 0);
            double column = released ? (j + 0.5) * 32 / 16 - 0.5 : (j + 0.5) * 30 / 16 + 0.5;
            int r = (int)fmin(row, 16), c = (int)fmin(column, 30);
            double down = fmin(row, 17) - r, right = column - c;
            y[i][j] = (1 - down) * ((1 - right) * mean[r][c] + right * mean[r][c + 1]) +
                      down * ((1 - right) * mean[r + 1][c] + right * mean[r + 1][c + 1]);
        }
}

#endif
