/* Divisive normalization over space and channels (Cirincione et al. 2022, as used by Pogoncheff,
 * Granley & Beyeler 2023): y = x / (G * x + |bias|). The kernel between output o and input i is a
 * Gaussian turned by theta, of standard deviations rho and sigma along its axes:
 *
 *     G(X, Y) = |A / max(2 pi rho sigma, 0.1)|
 *               exp(-(a^2 / max(rho^2, 0.1) + b^2 / max(sigma^2, 0.1)) / 2)
 *     described   a = (X - v) cos theta + (Y - w) sin theta,  X and Y from 0 to k - 1
 *                 b = (Y - w) cos theta - (X - v) sin theta
 *     released    a = X cos theta + Y sin theta - v,          X and Y from 1 to k
 *                 b = Y cos theta - X sin theta - w
 *
 * with X the column. v and w start at (k - 1) / 2 on average. Described, that is the middle of the
 * window and (v, w) the Gaussian's centre. Released, theta turns the centre, too, about (0, 0)
 * outside of the window: for k = 3 its mean at the start goes round a circle about that point and
 * comes no nearer than the window's top left corner.
 *
 * Initial values: A ~ U(0, 1), rho, sigma, bias ~ U(1, 2), theta ~ U(0, 2 pi),
 * v, w ~ N((k - 1) / 2, 1). */
#include <math.h>

#include "ops/check.h"
#include "ops/normalization.h"
#include "ops/real.h"
#include "ventral/v1_layers.h"

enum { A, RHO, SIGMA, THETA, V, W, BIAS };
enum { MAX_WIDTH = 129 };
#define PI 3.14159265358979323846
#define LEAST 0.1 /* of 2 pi rho sigma and of variances */

/* NaN stays. */
static double at_least(double x)
{
    return x < LEAST ? LEAST : x;
}

/* One pair's parameters and what its Gaussian shares over the window; (along, across) is the centre
 * in turned coordinates. */
typedef struct gaussian {
    bool released;
    double a, rho, sigma, v, w, sine, cosine, along, across;
    double variance[2], area, height;
} gaussian;

static gaussian gaussian_of(const vt_op_args *args, int64_t pair)
{
    const vt_divisive_normalization_options *options = args->options;
    const vt_tensor *p = args->param;
    double theta = vt_element(&p[THETA], pair);
    gaussian g = {.released = options->formulation == VT_RELEASED,
                  .a = vt_element(&p[A], pair),
                  .rho = vt_element(&p[RHO], pair),
                  .sigma = vt_element(&p[SIGMA], pair),
                  .v = vt_element(&p[V], pair),
                  .w = vt_element(&p[W], pair),
                  .sine = sin(theta),
                  .cosine = cos(theta)};
    g.along = g.released ? g.v : g.v * g.cosine + g.w * g.sine;
    g.across = g.released ? g.w : g.w * g.cosine - g.v * g.sine;
    g.variance[0] = at_least(g.rho * g.rho);
    g.variance[1] = at_least(g.sigma * g.sigma);
    g.area = at_least(2 * PI * g.rho * g.sigma);
    g.height = fabs(g.a / g.area);
    return g;
}

/* Position on the Gaussian's axes. */
static void turn(const gaussian *g, double column, double row, double *a, double *b)
{
    *a = column * g->cosine + row * g->sine - g->along;
    *b = row * g->cosine - column * g->sine - g->across;
}

/* Coordinate of the first column and row. */
static double first_coordinate(const vt_divisive_normalization_options *o)
{
    return o->formulation == VT_RELEASED;
}

static int width(const vt_op_args *args)
{
    const vt_divisive_normalization_options *o = args->options;
    return o->kernel;
}

static void make(const vt_op_args *args, const vt_tensor *kernel, const vt_tensor *bias)
{
    int64_t n = args->in[0].size[3];
    int k = width(args);
    double first = first_coordinate(args->options), shift = fabs(vt_element(&args->param[BIAS], 0));
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (n * n * k * k > VT_PARALLEL_WORK / 16)
    for (int64_t o = 0; o < n; o++) {
        vt_set_element(bias, o, shift);
        for (int64_t i = 0; i < n; i++) {
            gaussian g = gaussian_of(args, o * n + i);
            for (int u = 0; u < k; u++)
                for (int v = 0; v < k; v++) {
                    double a, b;
                    turn(&g, first + v, first + u, &a, &b);
                    double squares = a * a / g.variance[0] + b * b / g.variance[1];
                    vt_set_element(kernel, ((o * k + u) * k + v) * n + i,
                                   g.height * exp(-0.5 * squares));
                }
        }
    }
}

/* One pair: sums over its window of the gradient times the kernel's derivatives. */
static void add_pair(const vt_op_args *args, const vt_tensor *grad_kernel, int64_t o, int64_t i)
{
    int64_t n = args->in[0].size[3], pair = o * n + i;
    int k = width(args);
    double first = first_coordinate(args->options);
    gaussian g = gaussian_of(args, pair);
    double shape = 0, rho = 0, sigma = 0, theta = 0, along = 0, across = 0;
    for (int u = 0; u < k; u++)
        for (int v = 0; v < k; v++) {
            double a, b;
            turn(&g, first + v, first + u, &a, &b);
            double by_a = a / g.variance[0], by_b = b / g.variance[1];
            double e = vt_element(grad_kernel, ((o * k + u) * k + v) * n + i) *
                       exp(-0.5 * (a * by_a + b * by_b));
            shape += e;
            e *= g.height;
            rho += e * by_a * by_a * g.rho;
            sigma += e * by_b * by_b * g.sigma;
            theta += e * (by_b * a - by_a * b);
            along += e * by_a;
            across += e * by_b;
        }
    /* Divisors are constant where they are held at their least. */
    if (g.rho * g.rho < LEAST) rho = 0;
    if (g.sigma * g.sigma < LEAST) sigma = 0;
    if (!(2 * PI * g.rho * g.sigma < LEAST)) {
        sigma -= g.height * shape / g.sigma;
        rho -= g.height * shape / g.rho;
    }
    double v = along, w = across;
    if (g.released) { /* the centre turns, too */
        theta += across * g.along - along * g.across;
    } else {
        v = along * g.cosine - across * g.sine;
        w = along * g.sine + across * g.cosine;
    }
    double sign = g.a > 0 ? 1 : g.a < 0 ? -1 : 0;
    vt_add_element(&args->grad_param[A], pair, sign * shape / g.area);
    vt_add_element(&args->grad_param[RHO], pair, rho);
    vt_add_element(&args->grad_param[SIGMA], pair, sigma);
    vt_add_element(&args->grad_param[THETA], pair, theta);
    vt_add_element(&args->grad_param[V], pair, v);
    vt_add_element(&args->grad_param[W], pair, w);
}

static void gradient(const vt_op_args *args, const vt_tensor *grad_kernel,
                     const vt_tensor *grad_bias)
{
    int64_t n = args->in[0].size[3];
    int k = width(args);
#pragma omp parallel for schedule(static)                                                          \
    num_threads(vt_threads()) if (n * n * k * k > VT_PARALLEL_WORK / 16)
    for (int64_t o = 0; o < n; o++)
        for (int64_t i = 0; i < n; i++)
            add_pair(args, grad_kernel, o, i);
    if (!grad_bias->data) return;
    double bias = vt_element(&args->param[BIAS], 0), sum = 0;
    for (int64_t o = 0; o < n; o++)
        sum += vt_element(grad_bias, o);
    vt_add_element(&args->grad_param[BIAS], 0, bias > 0 ? sum : bias < 0 ? -sum : 0);
}

static vt_status infer(vt_op_shape *s)
{
    const vt_divisive_normalization_options *o = s->options;
    VT_TRY(vt_check_image(s));
    if (o->formulation != VT_DESCRIBED && o->formulation != VT_RELEASED)
        return vt_error(VT_EINVAL, "%s: unknown formulation %d", s->name, (int)o->formulation);
    if (o->kernel < 1 || o->kernel > MAX_WIDTH || o->kernel % 2 == 0)
        return vt_error(VT_EINVAL, "%s: kernel %d, expected an odd number up to %d", s->name,
                        o->kernel, MAX_WIDTH);
    static const char *const roles[] = {"A", "rho", "sigma", "theta", "v", "w"};
    int64_t channels = s->in[0].size[2];
    s->out = s->in[0];
    s->params = 7;
    for (int p = 0; p < 6; p++)
        s->param[p] = (vt_param_spec){.role = roles[p],
                                      .ndim = 2,
                                      .size = {channels, channels},
                                      .init = VT_INIT_UNIFORM,
                                      .low = 1,
                                      .high = 2};
    s->param[A].low = s->param[THETA].low = 0;
    s->param[A].high = 1;
    s->param[THETA].high = 2 * PI;
    for (int p = V; p <= W; p++) {
        s->param[p].init = VT_INIT_NORMAL;
        s->param[p].mean = o->kernel / 2;
        s->param[p].scale = 1;
    }
    s->param[BIAS] = (vt_param_spec){
        .role = "bias", .ndim = 1, .size = {1}, .init = VT_INIT_UNIFORM, .low = 1, .high = 2};
    return vt_check_results(s);
}

static int64_t flops(const vt_op_shape *s)
{
    const vt_divisive_normalization_options *o = s->options;
    const int64_t *out = s->out.size;
    return vt_flops(7, (int64_t[]){2, o->kernel, o->kernel, out[2], out[2], out[0], out[1]});
}

static void forward(const vt_op_args *args)
{
    vt_normalization_forward(&vt_divisive, args);
}

static void backward(const vt_op_args *args)
{
    vt_normalization_backward(&vt_divisive, args);
}

static size_t saved_bytes(const vt_op_args *args)
{
    return vt_normalization_saved_bytes(&vt_divisive, args);
}

static size_t scratch_bytes(const vt_op_args *args)
{
    return vt_normalization_scratch_bytes(&vt_divisive, args);
}

const vt_op vt_op_divisive_normalization = {
    .name = "divisive_normalization",
    .inputs = 1,
    .options_size = sizeof(vt_divisive_normalization_options),
    .flags = VT_OP_BACKWARD_READS_IN,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
    .flops = flops,
};

const vt_normalization vt_divisive = {
    .bias = BIAS, .width = width, .make = make, .gradient = gradient};
