/* Factorized readout of feature maps: mixing of channels, then a spatial pool (Klindt, Ecker, Euler
 * & Bethge 2017), fitted by ridge, rank-1 approximation and alternating least squares.
 *
 * The fit works on coefficients of discrete cosines, in which the smoothness penalty is diagonal:
 * divided by 1 + smoothness * eigenvalue, they leave plain bilinear ridge regression. Frequencies
 * that the penalty all but forbids are left out. */
#include "neural/readout.h"

#include "base/arena.h"
#include "neural/bilinear.h"
#include "neural/linalg.h"
#include "neural/ridge_alpha.h"
#include "neural/spatial_basis.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The length of correlation with which V4 readouts generalised best from 500 images. */
static const double usual_length = 0.075; /* of the side of the map */
static const double forbidding = 7;       /* 1 + smoothness * eigenvalue of what is left out */
static const double smoothness_step = 3;  /* between candidates */
static const double candidates[] = {3, 1, 0.3, 0.1, 0.03, 0.01, 0.003}; /* for l2 */

enum { CANDIDATES = sizeof candidates / sizeof *candidates, PATH_ITERATIONS = 2 };

typedef struct fitting {
    vt_factorized_options o;
    int64_t height, width;
    vt_bilinear b;          /* its z is `z`, or the caller's features */
    float *z;               /* whitened coefficients; NULL without smoothness */
    vt_spatial_basis basis; /* without smoothness: empty */
    double *whitening;      /* (positions) 1 / (1 + smoothness * eigenvalue) */
    double *energy;         /* (positions) mean squared norm when centered, before whitening */
    double *y, *mean_y, *sd_y;
    int64_t *order;             /* samples as dealt to folds */
    int64_t *train;             /* room */
    double *penalties;          /* room: (targets) */
    vt_bilinear_factors work;   /* room */
    vt_bilinear_factors *start; /* of each fold, then of all samples; whitened for `started` */
    int starts;
    double started;
    double smoothness, l2;
    int64_t done, total; /* progress */
} fitting;

vt_factorized_options vt_factorized_options_default(void)
{
    return (vt_factorized_options){.l2 = -1, .smoothness = -1, .iterations = 20, .folds = 5};
}

static void fitting_destroy(fitting *f)
{
    for (int i = 0; f->start && i < f->starts; i++)
        vt_bilinear_factors_destroy(&f->start[i]);
    free(f->start);
    vt_bilinear_factors_destroy(&f->work);
    vt_spatial_basis_destroy(&f->basis);
    free(f->z);
    free(f->whitening);
    free(f->energy);
    free(f->y);
    free(f->mean_y);
    free(f->sd_y);
    free(f->order);
    free(f->train);
    free(f->penalties);
}

/* Responses in units of their standard deviation; zeros for a neuron that never varies. */
static void standardize(fitting *f, const double *y)
{
    int64_t n = f->b.samples, targets = f->b.targets;
    for (int64_t t = 0; t < targets; t++) {
        double mean = 0, squares = 0;
        bool varies = false;
        for (int64_t i = 0; i < n; i++) {
            mean += y[i * targets + t] / (double)n;
            varies = varies || y[i * targets + t] != y[t];
        }
        for (int64_t i = 0; i < n; i++)
            squares += (y[i * targets + t] - mean) * (y[i * targets + t] - mean);
        f->mean_y[t] = mean;
        f->sd_y[t] = varies ? sqrt(squares / (double)n) : 0;
        for (int64_t i = 0; i < n; i++)
            f->y[i * targets + t] = varies ? (y[i * targets + t] - mean) / f->sd_y[t] : 0;
    }
}

/* Mean of z over the samples `rows`: (positions, channels). */
static void mean_sample(float *out, const fitting *f, const int64_t *rows, int64_t count)
{
    int64_t size = f->b.positions * f->b.channels;
#pragma omp parallel for num_threads(vt_threads_for(count *size))
    for (int64_t first = 0; first < size; first += 1024) {
        double sums[1024] = {0};
        int64_t n = size - first < 1024 ? size - first : 1024;
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < n; j++)
                sums[j] += f->b.z[rows[i] * size + first + j];
        for (int64_t j = 0; j < n; j++)
            out[first + j] = (float)(sums[j] / (double)count);
    }
}

static vt_status measure_energy(fitting *f)
{
    int64_t channels = f->b.channels, size = f->b.positions * channels;
    float *mean = vt_alloc((size_t)size, sizeof *mean);
    if (!mean) return VT_ENOMEM;
    mean_sample(mean, f, f->order, f->b.samples);
#pragma omp parallel for num_threads(vt_threads_for(f->b.samples *size))
    for (int64_t k = 0; k < f->b.positions; k++) {
        double sum = 0;
        for (int64_t i = 0; i < f->b.samples; i++)
            for (int64_t j = k * channels; j < (k + 1) * channels; j++)
                sum += ((double)f->b.z[i * size + j] - mean[j]) *
                       ((double)f->b.z[i * size + j] - mean[j]);
        f->energy[k] = sum / (double)f->b.samples;
    }
    free(mean);
    return VT_OK;
}

/* Whitens z for another smoothness. */
static void set_smoothness(fitting *f, double smoothness)
{
    if (!f->z) return;
    int64_t positions = f->b.positions, channels = f->b.channels;
#pragma omp parallel for num_threads(vt_threads_for(f->b.samples *positions *channels))
    for (int64_t k = 0; k < positions; k++) {
        double whitening = 1 / (1 + smoothness * f->basis.laplacian[k]);
        float factor = (float)(whitening / f->whitening[k]);
        f->whitening[k] = whitening;
        for (int64_t i = 0; i < f->b.samples; i++)
            cblas_sscal((int)channels, factor, f->z + (i * positions + k) * channels, 1);
    }
    f->smoothness = smoothness;
}

/* Mean squared norm of a centered, whitened sample: the unit of l2. */
static double scale(const fitting *f)
{
    double sum = 0;
    for (int64_t k = 0; k < f->b.positions; k++)
        sum += f->energy[k] * f->whitening[k] * f->whitening[k];
    return sum > 0 ? sum : 1;
}

static vt_status fitting_init(fitting *f, const float *features, const double *y)
{
    int64_t n = f->b.samples, targets = f->b.targets, channels = f->b.channels;
    double side = usual_length * sqrt((double)f->height * (double)f->width);
    double smoothness = f->o.smoothness < 0 ? side * side : f->o.smoothness;
    f->b.positions = f->height * f->width;
    f->b.z = features;
    if (smoothness > 0) {
        VT_TRY(
            vt_spatial_basis_init(&f->basis, f->height, f->width, (forbidding - 1) / smoothness));
        f->b.positions = f->basis.count;
        f->z = vt_alloc((size_t)(n * f->basis.count), (size_t)channels * sizeof(float));
        if (!f->z) return VT_ENOMEM;
        f->b.z = f->z;
        VT_TRY(vt_spatial_basis_project(&f->basis, f->z, features, n, channels));
    }
    f->starts = (f->o.l2 < 0 || f->o.smoothness < 0 ? f->o.folds : 0) + 1;
    f->whitening = vt_alloc((size_t)f->b.positions, sizeof(double));
    f->energy = vt_alloc((size_t)f->b.positions, sizeof(double));
    f->y = vt_alloc((size_t)(n * targets), sizeof(double));
    f->mean_y = vt_alloc((size_t)targets, sizeof(double));
    f->sd_y = vt_alloc((size_t)targets, sizeof(double));
    f->train = vt_alloc((size_t)n, sizeof(int64_t));
    f->penalties = vt_alloc((size_t)targets, sizeof(double));
    f->start = vt_alloc((size_t)f->starts, sizeof *f->start);
    if (!f->whitening || !f->energy || !f->y || !f->mean_y || !f->sd_y || !f->train ||
        !f->penalties || !f->start)
        return VT_ENOMEM;
    VT_TRY(vt_folds_deal(&f->order, n, f->o.seed));
    VT_TRY(vt_bilinear_factors_init(&f->work, &f->b));
    for (int i = 0; i < f->starts; i++)
        VT_TRY(vt_bilinear_factors_init(&f->start[i], &f->b));
    f->b.y = f->y;
    standardize(f, y);
    for (int64_t k = 0; k < f->b.positions; k++)
        f->whitening[k] = 1;
    VT_TRY(measure_energy(f));
    set_smoothness(f, smoothness);
    f->started = smoothness;
    return VT_OK;
}

/* Ridge weights (targets, positions, channels) from the samples `rows`. */
static vt_status ridge_weights(float *out, const fitting *f, vt_ridge_problem *p,
                               const int64_t *rows, int64_t count, const double *alphas)
{
    int64_t n = f->b.samples, targets = f->b.targets, size = f->b.positions * f->b.channels;
    vt_ridge_system s;
    VT_TRY(vt_ridge_system_init(&s, p, rows, count));
    float *dual = vt_alloc((size_t)(n * targets), sizeof *dual);
    vt_status status = dual ? vt_ridge_system_solve(&s, alphas, targets) : VT_ENOMEM;
    if (status == VT_OK && p->gram) {
        for (int64_t i = 0; i < count; i++)
            for (int64_t t = 0; t < targets; t++)
                dual[rows[i] * targets + t] = (float)s.right[i * targets + t];
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)targets, (int)size, (int)n, 1,
                    dual, (int)targets, f->b.z, (int)size, 0, out, (int)size);
    } else if (status == VT_OK) {
        for (int64_t j = 0; j < size; j++)
            for (int64_t t = 0; t < targets; t++)
                out[t * size + j] = (float)s.right[j * targets + t];
    }
    free(dual);
    vt_ridge_system_destroy(&s);
    return status;
}

/* Rank-1 approximations of ridge weights, for each fold and for all samples. */
static vt_status find_starts(fitting *f)
{
    int64_t n = f->b.samples, size = f->b.positions * f->b.channels;
    vt_ridge_options ridge = vt_ridge_options_default();
    vt_ridge_problem p;
    vt_matrix z = {.f32 = f->b.z, .rows = n, .columns = size};
    VT_TRY(vt_ridge_problem_init(&p, z, f->y, f->b.targets));
    double *alphas = f->penalties;
    float *weights = vt_alloc((size_t)f->b.targets, (size_t)size * sizeof *weights);
    vt_status status = weights ? VT_OK : VT_ENOMEM;
    ridge.folds = n < 3 ? 2 : 3;
    if (status == VT_OK) status = vt_ridge_choose_alphas(alphas, &p, f->order, n, &ridge);
    for (int i = 0; status == VT_OK && i < f->starts; i++) {
        const int64_t *rows = f->order;
        int64_t first = 0, last = 0;
        if (i < f->starts - 1) {
            vt_folds_get(f->train, &first, &last, f->order, n, f->o.folds, i);
            rows = f->train;
        }
        vt_blas_threads(n * size * f->b.targets);
        status = ridge_weights(weights, f, &p, rows, n - (last - first), alphas);
        if (status == VT_OK) vt_bilinear_from_weights(&f->start[i], &f->b, weights);
    }
    free(weights);
    vt_ridge_problem_destroy(&p);
    return status;
}

/* Puts a start into `work`, for the present smoothness. */
static void use_start(fitting *f, int which)
{
    vt_bilinear_factors_copy(&f->work, &f->start[which], &f->b);
    for (int64_t t = 0; f->z && t < f->b.targets; t++)
        for (int64_t k = 0; k < f->b.positions; k++) {
            double then = 1 / (1 + f->started * f->basis.laplacian[k]);
            f->work.pool[t * f->b.positions + k] *= (float)(then / f->whitening[k]);
        }
}

static vt_status improve(fitting *f, const int64_t *rows, int64_t count, double l2, int iterations)
{
    for (int64_t t = 0; t < f->b.targets; t++)
        f->penalties[t] = l2 * scale(f);
    return vt_bilinear_improve(&f->work, &f->b, rows, count, f->penalties, iterations);
}

/* Predictions for the mean of some samples: (targets). */
static vt_status predict_mean(double *out, const fitting *f, const int64_t *rows, int64_t count)
{
    vt_bilinear one = f->b;
    int64_t row = 0;
    float *mean = vt_alloc((size_t)f->b.positions, (size_t)f->b.channels * sizeof *mean);
    if (!mean) return VT_ENOMEM;
    mean_sample(mean, f, rows, count);
    one.z = mean;
    one.samples = 1;
    vt_status status = vt_bilinear_predict(&f->work, &one, out, &row, 1);
    free(mean);
    return status;
}

/* Adds the squared errors of `work` on the fold's test samples, averaged over neurons. */
static vt_status add_errors(double *error, fitting *f, int64_t first, int64_t last)
{
    int64_t targets = f->b.targets, count = last - first, left = f->b.samples - count;
    double *offset = vt_alloc((size_t)targets, sizeof *offset);
    double *prediction = vt_alloc((size_t)(count * targets), sizeof *prediction);
    vt_status status = offset && prediction ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = predict_mean(offset, f, f->train, left);
    if (status == VT_OK)
        status = vt_bilinear_predict(&f->work, &f->b, prediction, f->order + first, count);
    for (int64_t t = 0; status == VT_OK && t < targets; t++) {
        for (int64_t i = 0; i < left; i++)
            offset[t] -= f->y[f->train[i] * targets + t] / (double)left;
        for (int64_t i = 0; i < count; i++) {
            double e =
                prediction[i * targets + t] - offset[t] - f->y[f->order[first + i] * targets + t];
            *error += e * e;
        }
    }
    free(offset);
    free(prediction);
    return status;
}

static vt_status report(fitting *f, const char *line)
{
    return vt_progress_report(f->o.progress, ++f->done, f->total, line);
}

/* Cross-validated errors along a path of falling penalties, each start improving the last one. */
static vt_status follow_path(double *errors, fitting *f, const double *path, int count)
{
    for (int c = 0; c < count; c++)
        errors[c] = 0;
    for (int fold = 0; fold < f->o.folds; fold++) {
        int64_t first, last;
        vt_folds_get(f->train, &first, &last, f->order, f->b.samples, f->o.folds, fold);
        use_start(f, fold);
        for (int c = 0; c < count; c++) {
            VT_TRY(improve(f, f->train, f->b.samples - (last - first), path[c],
                           c ? PATH_ITERATIONS : PATH_ITERATIONS + 1));
            VT_TRY(add_errors(&errors[c], f, first, last));
            VT_TRY(report(f, "choosing penalties"));
        }
    }
    return VT_OK;
}

/* Tries smoother or rougher pools while that helps; `error` is that of the present one. */
static vt_status search_smoothness(fitting *f, double *error, double step, bool *helped)
{
    double best = f->smoothness;
    *helped = false;
    for (int i = 0; i < 2; i++) {
        double next;
        set_smoothness(f, best * step);
        VT_TRY(follow_path(&next, f, &f->l2, 1));
        if (!(next < *error)) break;
        *error = next;
        *helped = true;
        best *= step;
    }
    set_smoothness(f, best);
    return VT_OK;
}

static vt_status choose_penalties(fitting *f)
{
    double errors[CANDIDATES];
    const double *path = f->o.l2 < 0 ? candidates : &f->o.l2;
    int count = f->o.l2 < 0 ? CANDIDATES : 1, best = 0;
    bool smoother, rougher;
    f->total = (int64_t)f->o.folds * (count + (f->o.smoothness < 0 ? 3 : 0)) + 1;
    f->l2 = path[0];
    if (f->starts == 1) return VT_OK;
    VT_TRY(follow_path(errors, f, path, count));
    for (int c = 1; c < count; c++)
        if (errors[c] < errors[best]) best = c;
    f->l2 = path[best];
    if (f->o.smoothness >= 0) return VT_OK;
    VT_TRY(search_smoothness(f, &errors[best], smoothness_step, &smoother));
    if (!smoother) VT_TRY(search_smoothness(f, &errors[best], 1 / smoothness_step, &rougher));
    return VT_OK;
}

vt_status vt_factorized_new(vt_factorized **out, int64_t height, int64_t width, int64_t channels,
                            int64_t targets)
{
    vt_factorized *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->height = height;
    r->width = width;
    r->channels = channels;
    r->targets = targets;
    r->pool = vt_alloc((size_t)targets, (size_t)(height * width) * sizeof(double));
    r->mixing = vt_alloc((size_t)targets, (size_t)channels * sizeof(double));
    r->intercept = vt_alloc((size_t)targets, sizeof(double));
    if (!r->pool || !r->mixing || !r->intercept) {
        vt_factorized_free(r);
        return VT_ENOMEM;
    }
    *out = r;
    return VT_OK;
}

/* Turns one target's factors into a map of norm 1 and mixing weights in spikes. */
static void unwhiten(vt_factorized *r, const fitting *f, int64_t t, double *coefficients)
{
    int64_t map = r->height * r->width, positions = f->b.positions;
    double *pool = r->pool + t * map, norm = 0, sum = 0;
    for (int64_t k = 0; k < positions; k++) {
        coefficients[k] = f->work.pool[t * positions + k] * f->whitening[k];
        norm += coefficients[k] * coefficients[k];
    }
    if (f->z)
        vt_spatial_basis_expand(&f->basis, pool, coefficients);
    else
        memcpy(pool, coefficients, (size_t)map * sizeof *pool);
    norm = sqrt(norm);
    for (int64_t s = 0; s < map; s++)
        sum += pool[s];
    double sign = sum < 0 ? -1 : 1, shrink = norm > 0 ? sign / norm : 0;
    for (int64_t s = 0; s < map; s++)
        pool[s] *= shrink;
    for (int64_t c = 0; c < r->channels; c++)
        r->mixing[t * r->channels + c] =
            f->work.mixing[t * r->channels + c] * f->sd_y[t] * norm * sign;
}

/* Fits all samples with the penalties chosen. */
static vt_status finish(vt_factorized *r, fitting *f)
{
    double *coefficients = vt_alloc((size_t)f->b.positions, sizeof *coefficients);
    if (!coefficients) return VT_ENOMEM;
    r->l2 = f->l2;
    r->smoothness = f->smoothness;
    use_start(f, f->starts - 1);
    vt_status status = improve(f, f->order, f->b.samples, f->l2, f->o.iterations);
    if (status == VT_OK) status = predict_mean(r->intercept, f, f->order, f->b.samples);
    for (int64_t t = 0; status == VT_OK && t < r->targets; t++) {
        r->intercept[t] = f->mean_y[t] - f->sd_y[t] * r->intercept[t];
        unwhiten(r, f, t, coefficients);
    }
    f->done = f->total - 1;
    if (status == VT_OK) status = report(f, "readout fitted");
    free(coefficients);
    return status;
}

static vt_status check(const float *features, const double *y, const fitting *f)
{
    int64_t n = f->b.samples, size, all;
    const vt_factorized_options *o = &f->o;
    if (f->height < 1 || f->width < 1 || f->b.channels < 1 ||
        __builtin_mul_overflow(f->height, f->width, &size) ||
        __builtin_mul_overflow(size, f->b.channels, &all))
        return vt_error(VT_EINVAL, "feature maps of %lld x %lld x %lld: sizes must be > 0",
                        (long long)f->height, (long long)f->width, (long long)f->b.channels);
    if (!isfinite(o->l2) || !isfinite(o->smoothness) || o->iterations < 1)
        return vt_error(VT_EINVAL,
                        "factorized readout with l2 %g, smoothness %g, %d iterations: the "
                        "penalties must be finite, the iterations > 0",
                        o->l2, o->smoothness, o->iterations);
    vt_matrix maps = {.f32 = features, .rows = n, .columns = all};
    vt_matrix responses = {.f64 = y, .rows = n, .columns = f->b.targets};
    VT_TRY(vt_matrix_check(&maps, "features", "image", "feature"));
    VT_TRY(vt_matrix_check(&responses, "responses", "image", "neuron"));
    return vt_folds_check(o->l2 < 0 || o->smoothness < 0 ? o->folds : 2, n);
}

vt_status vt_factorized_fit(vt_factorized **out, const float *features, const double *y,
                            int64_t samples, int64_t height, int64_t width, int64_t channels,
                            int64_t targets, const vt_factorized_options *options)
{
    fitting f = {
        .o = options ? *options : vt_factorized_options_default(),
        .height = height,
        .width = width,
        .b = {.samples = samples, .channels = channels, .targets = targets},
    };
    vt_factorized *readout = NULL;
    VT_TRY(check(features, y, &f));
    vt_status status = fitting_init(&f, features, y);
    if (status == VT_OK) status = find_starts(&f);
    if (status == VT_OK) status = choose_penalties(&f);
    if (status == VT_OK) status = vt_factorized_new(&readout, height, width, channels, targets);
    if (status == VT_OK) status = finish(readout, &f);
    if (status == VT_OK)
        *out = readout;
    else
        vt_factorized_free(readout);
    fitting_destroy(&f);
    return status;
}

void vt_factorized_free(vt_factorized *readout)
{
    if (!readout) return;
    free(readout->pool);
    free(readout->mixing);
    free(readout->intercept);
    free(readout);
}

vt_status vt_factorized_predict(const vt_factorized *r, double *out, const float *features,
                                int64_t samples)
{
    int64_t size = r->height * r->width;
    vt_matrix maps = {.f32 = features, .rows = samples, .columns = size * r->channels};
    VT_TRY(vt_matrix_check(&maps, "features", "image", "feature"));
    vt_bilinear b = {.z = features,
                     .samples = samples,
                     .positions = size,
                     .channels = r->channels,
                     .targets = r->targets};
    vt_bilinear_factors factors = {NULL, NULL};
    int64_t *rows = vt_alloc((size_t)samples, sizeof *rows);
    vt_status status = rows ? vt_bilinear_factors_init(&factors, &b) : VT_ENOMEM;
    if (status == VT_OK) {
        for (int64_t i = 0; i < samples; i++)
            rows[i] = i;
        for (int64_t i = 0; i < r->targets * size; i++)
            factors.pool[i] = (float)r->pool[i];
        for (int64_t i = 0; i < r->targets * r->channels; i++)
            factors.mixing[i] = (float)r->mixing[i];
        status = vt_bilinear_predict(&factors, &b, out, rows, samples);
    }
    for (int64_t i = 0; status == VT_OK && i < samples * r->targets; i++)
        out[i] += r->intercept[i % r->targets];
    vt_bilinear_factors_destroy(&factors);
    free(rows);
    return status;
}

int64_t vt_factorized_targets(const vt_factorized *readout)
{
    return readout->targets;
}

const double *vt_factorized_pool(const vt_factorized *readout)
{
    return readout->pool;
}

const double *vt_factorized_mixing(const vt_factorized *readout)
{
    return readout->mixing;
}

const double *vt_factorized_intercept(const vt_factorized *readout)
{
    return readout->intercept;
}

double vt_factorized_l2(const vt_factorized *readout)
{
    return readout->l2;
}

double vt_factorized_smoothness(const vt_factorized *readout)
{
    return readout->smoothness;
}
