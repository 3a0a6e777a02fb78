/* Differences of Gaussians, one for each pair (output, input) of channels. At distance d from the
 * centre, with s1 = max(sigma1, 0.1) and s2 = s1 max(sigma2_scale, 1.0001):
 *
 *     described   D = g(s1) - g(s2), g(s) = exp(-d^2 / 2 s^2) / (2 pi s^2)
 *                 kernel = total_scale D / |D|, norm over the positions of a pair
 *     released    D = e(s1) - e(s2), e(s) = (s / pi) exp(-d^2 / s)
 *                 kernel = total_scale D / |total_scale D|, norm over the pairs at a position
 *
 * The released formulation (Pogoncheff, Granley & Beyeler 2023) writes 1 / pi * s where 1 / (pi s)
 * would give a Gaussian its unit volume: s exp(-d^2 / s) grows with s, so that D < 0 at every
 * position and no kernel has a surround opposed to its center.
 *
 * A kernel is symmetric: values are computed for one octant, 0 <= b <= a <= radius, and gradients
 * folded onto it. All of it is in double, as D cancels where the Gaussians are alike. */
#include <math.h>
#include <stdlib.h>

#include "ops/center_surround.h"
#include "ventral/v1_layers.h"

enum { MAX_OCTANT = (VT_DOG_MAX_RADIUS + 1) * (VT_DOG_MAX_RADIUS + 2) / 2 };
#define PI 3.14159265358979323846
#define LEAST_NORM 1e-12 /* of a divisor, as in the released code */

typedef struct dog {
    const vt_op_args *args;
    bool released;
    int radius, points; /* of an octant */
    int64_t channels, pairs;
} dog;

/* D at one distance, and its derivatives. */
typedef struct difference {
    double value, by_sigma1, by_scale;
} difference;

static dog dog_of(const vt_op_args *args)
{
    const vt_center_surround_options *o = args->options;
    return (dog){.args = args,
                 .released = o->formulation == VT_RELEASED,
                 .radius = o->radius,
                 .points = (o->radius + 1) * (o->radius + 2) / 2,
                 .channels = o->channels,
                 .pairs = (int64_t)o->channels * o->channels};
}

static double parameter(const dog *g, int which, int64_t pair)
{
    return vt_element(&g->args->param[which], pair);
}

/* A Gaussian of either formulation at squared distance d2, and its derivative by s. */
static double gaussian(const dog *g, double s, double d2, double *by_s)
{
    if (g->released) {
        double e = exp(-d2 / s) / PI;
        *by_s = e * (1 + d2 / s);
        return s * e;
    }
    double value = exp(-d2 / (2 * s * s)) / (2 * PI * s * s);
    *by_s = value * (d2 / (s * s) - 2) / s;
    return value;
}

/* All points of a pair's octant: a (a + 1) / 2 + b for the position (a, b). */
static void differences(const dog *g, int64_t pair, difference *out)
{
    double sigma1 = parameter(g, VT_DOG_SIGMA1, pair);
    double scale = parameter(g, VT_DOG_SIGMA2_SCALE, pair);
    bool free_sigma = !(sigma1 < VT_DOG_LEAST_SIGMA), free_ratio = !(scale < VT_DOG_LEAST_RATIO);
    double s1 = free_sigma ? sigma1 : VT_DOG_LEAST_SIGMA,
           ratio = free_ratio ? scale : VT_DOG_LEAST_RATIO;
    for (int a = 0; a <= g->radius; a++)
        for (int b = 0; b <= a; b++, out++) {
            double d2 = (double)a * a + (double)b * b, center, surround;
            double value = gaussian(g, s1, d2, &center);
            value -= gaussian(g, s1 * ratio, d2, &surround);
            *out = (difference){value, free_sigma ? center - ratio * surround : 0,
                                free_ratio ? -s1 * surround : 0};
        }
}

static int octant_of(const dog *g, int u, int v)
{
    int a = abs(u - g->radius), b = abs(v - g->radius);
    return a > b ? a * (a + 1) / 2 + b : b * (b + 1) / 2 + a;
}

static int64_t kernel_index(const dog *g, int64_t pair, int u, int v)
{
    int width = 2 * g->radius + 1;
    return ((pair / g->channels * width + u) * width + v) * g->channels + pair % g->channels;
}

/* How many positions a point of the octant stands for. */
static void multiplicities(const dog *g, double *count)
{
    for (int k = 0; k < g->points; k++)
        count[k] = 0;
    for (int u = 0; u <= 2 * g->radius; u++)
        for (int v = 0; v <= 2 * g->radius; v++)
            count[octant_of(g, u, v)]++;
}

/* released: norm over pairs at each point of the octant. */
static void norms_over_pairs(const dog *g, double *norm)
{
    difference d[MAX_OCTANT];
    for (int k = 0; k < g->points; k++)
        norm[k] = 0;
    for (int64_t pair = 0; pair < g->pairs; pair++) {
        double scale = parameter(g, VT_DOG_TOTAL_SCALE, pair);
        differences(g, pair, d);
        for (int k = 0; k < g->points; k++)
            norm[k] += scale * d[k].value * scale * d[k].value;
    }
    for (int k = 0; k < g->points; k++)
        norm[k] = sqrt(norm[k]);
}

/* described: norm of one pair's kernel. */
static double norm_of_pair(const dog *g, const difference *d, const double *count)
{
    double sum = 0;
    for (int k = 0; k < g->points; k++)
        sum += count[k] * d[k].value * d[k].value;
    return sqrt(sum);
}

static double divisor(double norm)
{
    return norm < LEAST_NORM ? LEAST_NORM : norm; /* NaN stays */
}

void vt_dog_kernel(const vt_op_args *args, const vt_tensor *kernel)
{
    dog g = dog_of(args);
    difference d[MAX_OCTANT];
    double count[MAX_OCTANT], norm[MAX_OCTANT];
    multiplicities(&g, count);
    if (g.released) norms_over_pairs(&g, norm);
    for (int64_t pair = 0; pair < g.pairs; pair++) {
        double scale = parameter(&g, VT_DOG_TOTAL_SCALE, pair);
        differences(&g, pair, d);
        double of_pair = norm_of_pair(&g, d, count);
        for (int u = 0; u <= 2 * g.radius; u++)
            for (int v = 0; v <= 2 * g.radius; v++) {
                int k = octant_of(&g, u, v);
                double n = divisor(g.released ? norm[k] : of_pair);
                vt_set_element(kernel, kernel_index(&g, pair, u, v), scale * d[k].value / n);
            }
    }
}

/* ---- gradient ---- */

static void fold(const dog *g, const vt_tensor *grad_kernel, int64_t pair, double *folded)
{
    for (int k = 0; k < g->points; k++)
        folded[k] = 0;
    for (int u = 0; u <= 2 * g->radius; u++)
        for (int v = 0; v <= 2 * g->radius; v++)
            folded[octant_of(g, u, v)] += vt_element(grad_kernel, kernel_index(g, pair, u, v));
}

/* From the gradient of D, by way of its derivatives. */
static void add_pair(const dog *g, int64_t pair, const difference *d, const double *grad,
                     double grad_scale)
{
    double by_sigma1 = 0, by_scale = 0;
    for (int k = 0; k < g->points; k++) {
        by_sigma1 += grad[k] * d[k].by_sigma1;
        by_scale += grad[k] * d[k].by_scale;
    }
    vt_add_element(&g->args->grad_param[VT_DOG_SIGMA1], pair, by_sigma1);
    vt_add_element(&g->args->grad_param[VT_DOG_SIGMA2_SCALE], pair, by_scale);
    vt_add_element(&g->args->grad_param[VT_DOG_TOTAL_SCALE], pair, grad_scale);
}

/* K = U / n with n = |U| over pairs: dU = (dK - K sum over pairs of dK K) / n, U = scale D. */
static void released_gradient(const dog *g, const vt_tensor *grad_kernel)
{
    difference d[MAX_OCTANT];
    double norm[MAX_OCTANT], along[MAX_OCTANT], grad[MAX_OCTANT];
    norms_over_pairs(g, norm);
    for (int k = 0; k < g->points; k++)
        along[k] = 0;
    for (int64_t pair = 0; pair < g->pairs; pair++) {
        double scale = parameter(g, VT_DOG_TOTAL_SCALE, pair);
        differences(g, pair, d);
        fold(g, grad_kernel, pair, grad);
        for (int k = 0; k < g->points; k++)
            along[k] += grad[k] * scale * d[k].value / divisor(norm[k]);
    }
    for (int64_t pair = 0; pair < g->pairs; pair++) {
        double scale = parameter(g, VT_DOG_TOTAL_SCALE, pair), grad_scale = 0;
        differences(g, pair, d);
        fold(g, grad_kernel, pair, grad);
        for (int k = 0; k < g->points; k++) {
            double n = divisor(norm[k]), value = scale * d[k].value / n;
            if (norm[k] >= LEAST_NORM) grad[k] -= value * along[k];
            grad_scale += grad[k] / n * d[k].value;
            grad[k] *= scale / n;
        }
        add_pair(g, pair, d, grad, grad_scale);
    }
}

/* K = scale D / n with n = |D| over positions. */
static void described_gradient(const dog *g, const vt_tensor *grad_kernel)
{
    difference d[MAX_OCTANT];
    double count[MAX_OCTANT], grad[MAX_OCTANT];
    multiplicities(g, count);
    for (int64_t pair = 0; pair < g->pairs; pair++) {
        double scale = parameter(g, VT_DOG_TOTAL_SCALE, pair), along = 0;
        differences(g, pair, d);
        fold(g, grad_kernel, pair, grad);
        double norm = norm_of_pair(g, d, count), n = divisor(norm);
        for (int k = 0; k < g->points; k++)
            along += grad[k] * d[k].value / n;
        for (int k = 0; k < g->points; k++) {
            if (norm >= LEAST_NORM) grad[k] -= count[k] * along * d[k].value / n;
            grad[k] *= scale / n;
        }
        add_pair(g, pair, d, grad, along);
    }
}

void vt_dog_gradient(const vt_op_args *args, const vt_tensor *grad_kernel)
{
    dog g = dog_of(args);
    if (g.released)
        released_gradient(&g, grad_kernel);
    else
        described_gradient(&g, grad_kernel);
}
