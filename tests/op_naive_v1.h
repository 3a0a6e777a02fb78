/* The layers of V1 once more, from their definitions and as simply as possible, in double. Nothing
 * is shared with the library. */
#ifndef OP_NAIVE_V1_H
#define OP_NAIVE_V1_H

#include "op_naive.h"

static const double naive_pi = 3.14159265358979323846;

/* Sum over the window of kernel[o][i][u][v] x at one pixel; kernel is (outputs, inputs, k, k). */
static double naive_window(const naive_image *m, const double *kernel, int64_t inputs, int k,
                           const int64_t at[4])
{
    double sum = 0;
    for (int64_t i = 0; i < inputs; i++)
        for (int u = 0; u < k; u++)
            for (int v = 0; v < k; v++)
                sum += kernel[((at[3] * inputs + i) * k + u) * k + v] *
                       naive_at(m, at[0], at[1] + u, at[2] + v, i);
    return sum;
}

static double naive_dog(bool released, double s1, double ratio, double d2)
{
    s1 = fmax(s1, 0.1);
    double s2 = s1 * fmax(ratio, 1.0001);
    if (released) return s1 / naive_pi * exp(-d2 / s1) - s2 / naive_pi * exp(-d2 / s2);
    return exp(-d2 / (2 * s1 * s1)) / (2 * naive_pi * s1 * s1) -
           exp(-d2 / (2 * s2 * s2)) / (2 * naive_pi * s2 * s2);
}

/* (pairs, k, k) */
static double *naive_dog_kernel(const op_run *r)
{
    const vt_center_surround_options *o = &r->c.options.center_surround;
    const vt_tensor *param = r->args.param;
    int pairs = o->channels * o->channels, k = 2 * o->radius + 1, taps = k * k;
    bool released = o->formulation == VT_RELEASED;
    double *kernel = malloc((size_t)(pairs * taps) * sizeof *kernel);
    for (int p = 0; p < pairs; p++)
        for (int t = 0; t < taps; t++)
            kernel[p * taps + t] =
                naive_dog(released, vt_tensor_get(&param[0], p), vt_tensor_get(&param[1], p),
                          pow(t / k - o->radius, 2) + pow(t % k - o->radius, 2)) *
                vt_tensor_get(&param[2], p);
    for (int a = 0; a < (released ? taps : pairs); a++) {
        double squares = 0;
        int count = released ? pairs : taps, first = released ? a : a * taps;
        int step = released ? taps : 1;
        for (int b = 0; b < count; b++)
            squares += pow(kernel[first + b * step], 2);
        double scale = released ? 1 : vt_tensor_get(&param[2], a); /* its sign and size come back */
        for (int b = 0; b < count; b++)
            kernel[first + b * step] *= fabs(scale) / sqrt(squares);
    }
    return kernel;
}

static vt_tensor naive_center_surround(const op_run *r)
{
    const vt_center_surround_options *o = &r->c.options.center_surround;
    const vt_tensor *x = &r->args.in[0];
    int k = 2 * o->radius + 1;
    naive_image m = naive_pad(x, (int[]){o->radius, o->radius, o->radius, o->radius}, 0);
    double *kernel = naive_dog_kernel(r);
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 4, x->size));
    for (int64_t i = 0; i < vt_tensor_count(x); i++) {
        int64_t c = i % x->size[3],
                at[4] = {i / x->size[3] / x->size[2] / x->size[1],
                         i / x->size[3] / x->size[2] % x->size[1], i / x->size[3] % x->size[2], c};
        ((double *)y.data)[i] = c < o->channels ? naive_window(&m, kernel, o->channels, k, at) +
                                                      vt_tensor_get(&r->args.param[3], c)
                                                : vt_tensor_get(x, i);
    }
    free(kernel);
    free(m.x);
    return y;
}

/* A Gaussian of pair p at column X and row Y. */
static double naive_divisive(const vt_tensor *param, int64_t p, bool released, double X, double Y)
{
    double A = vt_tensor_get(&param[0], p), rho = vt_tensor_get(&param[1], p);
    double sigma = vt_tensor_get(&param[2], p), theta = vt_tensor_get(&param[3], p);
    double v = vt_tensor_get(&param[4], p), w = vt_tensor_get(&param[5], p);
    double along = (X - v) * cos(theta) + (Y - w) * sin(theta);
    double across = (Y - w) * cos(theta) - (X - v) * sin(theta);
    if (released) {
        along = X * cos(theta) + Y * sin(theta) - v;
        across = Y * cos(theta) - X * sin(theta) - w;
    }
    return fabs(A / fmax(2 * naive_pi * rho * sigma, 0.1)) *
           exp(-0.5 * (pow(along, 2) / fmax(pow(rho, 2), 0.1) +
                       pow(across, 2) / fmax(pow(sigma, 2), 0.1)));
}

/* Weight of input channel i in the pool of output o, before normalization. */
static double naive_tuned(const vt_tensor *sigmas, bool released, int64_t n, int64_t o, int64_t i)
{
    double sigma = fmax(vt_tensor_get(sigmas, released ? i : o), 0.5);
    int64_t centre = released ? o + n / 2 : o;
    int64_t around = ((i - centre) % n + n) % n;
    double d = (double)around;
    if (d > (double)(n - around)) d = (double)(n - around);
    return exp(-d * d / (2 * sigma * sigma));
}

static double *naive_divisive_kernel(const op_run *r, int k)
{
    int64_t n = r->c.size[2];
    double *kernel = malloc((size_t)(n * n * k * k) * sizeof *kernel);
    bool released = r->c.options.divisive_normalization.formulation == VT_RELEASED;
    double first = released ? 1 : 0;
    for (int64_t p = 0; p < n * n; p++)
        for (int t = 0; t < k * k; t++)
            kernel[p * k * k + t] =
                naive_divisive(r->args.param, p, released, first + t % k, first + t / k);
    return kernel;
}

static double *naive_tuned_kernel(const op_run *r)
{
    int64_t n = r->c.size[2];
    bool released = r->c.options.tuned_normalization.formulation == VT_RELEASED;
    double *kernel = malloc((size_t)(n * n) * sizeof *kernel);
    for (int64_t a = 0; a < n; a++) {
        double sum = 0;
        for (int64_t b = 0; b < n; b++) {
            int64_t at = released ? b * n + a : a * n + b;
            kernel[at] = naive_tuned(&r->args.param[0], released, n, at / n, at % n);
            sum += kernel[at];
        }
        for (int64_t b = 0; b < n; b++)
            kernel[released ? b * n + a : a * n + b] /= sum;
    }
    return kernel;
}

static vt_tensor naive_normalization(const op_run *r)
{
    bool divisive = r->c.op == &vt_op_divisive_normalization;
    const vt_tensor *x = &r->args.in[0];
    int k = divisive ? r->c.options.divisive_normalization.kernel : 1, pad = k / 2;
    int64_t n = x->size[3];
    naive_image m = naive_pad(x, (int[]){pad, pad, pad, pad}, 0);
    double *kernel = divisive ? naive_divisive_kernel(r, k) : naive_tuned_kernel(r);
    double bias = divisive ? fabs(vt_tensor_get(&r->args.param[6], 0)) : 1;
    vt_tensor y;
    assert_ok(vt_tensor_new(&y, VT_F64, 4, x->size));
    for (int64_t i = 0; i < vt_tensor_count(x); i++) {
        int64_t at[4] = {i / n / x->size[2] / x->size[1], i / n / x->size[2] % x->size[1],
                         i / n % x->size[2], i % n};
        ((double *)y.data)[i] = vt_tensor_get(x, i) / (naive_window(&m, kernel, n, k, at) + bias);
    }
    free(kernel);
    free(m.x);
    return y;
}

#endif
