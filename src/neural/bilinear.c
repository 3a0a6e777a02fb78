/* Bilinear regression by alternating ridge regressions. */
#include "neural/bilinear.h"

#include "base/arena.h"
#include "neural/linalg.h"
#include "ventral/progress.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { STAGE_ELEMENTS = 1 << 25, POWER_ITERATIONS = 100 };

static const double enough = 1e-6; /* relative decrease of the objective that ends a target */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

vt_status vt_bilinear_factors_init(vt_bilinear_factors *out, const vt_bilinear *b)
{
    vt_bilinear_factors f = {
        .pool = vt_alloc((size_t)(b->targets * b->positions), sizeof(float)),
        .mixing = vt_alloc((size_t)(b->targets * b->channels), sizeof(float)),
    };
    if (!f.pool || !f.mixing) {
        vt_bilinear_factors_destroy(&f);
        return VT_ENOMEM;
    }
    *out = f;
    return VT_OK;
}

void vt_bilinear_factors_copy(vt_bilinear_factors *out, const vt_bilinear_factors *from,
                              const vt_bilinear *b)
{
    memcpy(out->pool, from->pool, (size_t)(b->targets * b->positions) * sizeof(float));
    memcpy(out->mixing, from->mixing, (size_t)(b->targets * b->channels) * sizeof(float));
}

void vt_bilinear_factors_destroy(vt_bilinear_factors *f)
{
    free(f->pool);
    free(f->mixing);
}

/* Scales to norm 1 and returns the norm; zeros stay. */
static double normalize(float *x, int64_t count)
{
    double norm = cblas_snrm2((int)count, x, 1);
    if (norm > 0) cblas_sscal((int)count, (float)(1 / norm), x, 1);
    return norm;
}

void vt_bilinear_from_weights(vt_bilinear_factors *out, const vt_bilinear *b, const float *weights)
{
    int positions = (int)b->positions, channels = (int)b->channels;
    int64_t work = 10 * b->targets * b->positions * b->channels;
    vt_blas_threads(0);
#pragma omp parallel for num_threads(vt_threads_for(work))
    for (int64_t t = 0; t < b->targets; t++) {
        const float *w = weights + t * b->positions * b->channels;
        float *pool = out->pool + t * b->positions, *mixing = out->mixing + t * b->channels;
        /* Start at the longest row, which is never orthogonal to everything. */
        int64_t longest = 0;
        double most = 0;
        for (int64_t k = 0; k < positions; k++) {
            double norm = cblas_snrm2(channels, w + k * channels, 1);
            if (norm > most) {
                most = norm;
                longest = k;
            }
        }
        memcpy(mixing, w + longest * channels, (size_t)channels * sizeof *mixing);
        normalize(mixing, channels);
        double norm = 0, before;
        int i = 0;
        do {
            before = norm;
            cblas_sgemv(CblasRowMajor, CblasNoTrans, positions, channels, 1, w, channels, mixing, 1,
                        0, pool, 1);
            normalize(pool, positions);
            cblas_sgemv(CblasRowMajor, CblasTrans, positions, channels, 1, w, channels, pool, 1, 0,
                        mixing, 1);
            norm = normalize(mixing, channels);
        } while (++i < POWER_ITERATIONS && norm - before > 1e-6 * norm);
        cblas_sscal(channels, (float)norm, mixing, 1);
    }
}

/* Features summed over one dimension with each target's weights for it: stage (count, targets,
 * other dimension). */
static void sum_stage(float *stage, const vt_bilinear *b, const int64_t *rows, int64_t count,
                      const float *weights, int64_t targets, bool over_positions)
{
    int positions = (int)b->positions, channels = (int)b->channels, n = (int)targets;
    int64_t sample = b->positions * b->channels;
    int64_t left = over_positions ? b->channels : b->positions;
    vt_blas_threads(0);
#pragma omp parallel for num_threads(vt_threads_for(count *sample *targets))
    for (int64_t i = 0; i < count; i++) {
        const float *z = b->z + rows[i] * sample;
        float *out = stage + i * targets * left;
        if (over_positions)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, channels, positions, 1,
                        weights, positions, z, channels, 0, out, channels);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, positions, channels, 1, weights,
                        channels, z, channels, 0, out, positions);
    }
}

/* Room of one thread's ridge regressions. */
typedef struct ridge_room {
    double *x;        /* (count, size) centered features */
    double *y;        /* (count) centered responses */
    double *moment;   /* (size) x'y */
    double *matrix;   /* (least, least) the smaller Gram matrix */
    double *solution; /* (least) */
    double *weights;  /* (size) */
} ridge_room;

static void room_destroy(ridge_room *r)
{
    free(r->x);
    free(r->y);
    free(r->moment);
    free(r->matrix);
    free(r->solution);
    free(r->weights);
}

static vt_status room_init(ridge_room *out, int64_t count, int64_t size)
{
    int64_t least = smaller(count, size);
    ridge_room r = {
        .x = vt_alloc((size_t)count, (size_t)size * sizeof(double)),
        .y = vt_alloc((size_t)count, sizeof(double)),
        .moment = vt_alloc((size_t)size, sizeof(double)),
        .matrix = vt_alloc((size_t)least, (size_t)least * sizeof(double)),
        .solution = vt_alloc((size_t)least, sizeof(double)),
        .weights = vt_alloc((size_t)size, sizeof(double)),
    };
    if (!r.x || !r.y || !r.moment || !r.matrix || !r.solution || !r.weights) {
        room_destroy(&r);
        return VT_ENOMEM;
    }
    *out = r;
    return VT_OK;
}

/* Centers x (count, size), whose rows lie `stride` apart, and the target's responses. */
static void room_fill(ridge_room *r, const float *x, int64_t stride, int64_t size,
                      const vt_bilinear *b, const int64_t *rows, int64_t count, int64_t target)
{
    double *means = r->weights, mean = 0; /* lent */
    memset(means, 0, (size_t)size * sizeof *means);
    for (int64_t i = 0; i < count; i++) {
        r->y[i] = b->y[rows[i] * b->targets + target];
        mean += r->y[i] / (double)count;
        for (int64_t j = 0; j < size; j++) {
            r->x[i * size + j] = x[i * stride + j];
            means[j] += x[i * stride + j];
        }
    }
    for (int64_t j = 0; j < size; j++)
        means[j] /= (double)count;
    for (int64_t i = 0; i < count; i++) {
        r->y[i] -= mean;
        for (int64_t j = 0; j < size; j++)
            r->x[i * size + j] -= means[j];
    }
}

/* Ridge weights (size) from whichever form has the smaller system; the minimum of the objective,
 * |y|^2 - w'x'y, goes to `objective`. */
static vt_status room_solve(ridge_room *r, float *out, int64_t count, int64_t size, double penalty,
                            double *objective)
{
    int n = (int)count, d = (int)size, least = n < d ? n : d;
    bool primal = d <= n;
    double trace = 0;
    memset(r->weights, 0, (size_t)size * sizeof *r->weights);
    cblas_dgemv(CblasRowMajor, CblasTrans, n, d, 1, r->x, d, r->y, 1, 0, r->moment, 1);
    cblas_dsyrk(CblasRowMajor, CblasUpper, primal ? CblasTrans : CblasNoTrans, least,
                primal ? n : d, 1, r->x, d, 0, r->matrix, least);
    for (int64_t i = 0; i < least; i++)
        trace += r->matrix[i * least + i];
    if (trace > 0) {                            /* else the weights do nothing: 0 */
        penalty = fmax(penalty, 1e-10 * trace); /* else the system may be singular */
        for (int64_t i = 0; i < least; i++)
            r->matrix[i * least + i] += penalty;
        memcpy(r->solution, primal ? r->moment : r->y, (size_t)least * sizeof *r->solution);
        VT_TRY(vt_cholesky_solve(r->matrix, r->solution, least, 1));
        if (primal)
            memcpy(r->weights, r->solution, (size_t)size * sizeof *r->weights);
        else
            cblas_dgemv(CblasRowMajor, CblasTrans, n, d, 1, r->x, d, r->solution, 1, 0, r->weights,
                        1);
    }
    for (int64_t j = 0; j < size; j++)
        out[j] = (float)r->weights[j];
    *objective = cblas_ddot(n, r->y, 1, r->y, 1) - cblas_ddot(d, r->weights, 1, r->moment, 1);
    return VT_OK;
}

/* Some consecutive targets being improved. */
typedef struct block {
    const vt_bilinear *b;
    vt_bilinear_factors f; /* of the block: borrowed */
    int64_t first, targets;
    const double *penalties; /* of the block */
    double *objective;       /* (targets) after the last alternation; infinite before */
    bool *settled;           /* (targets) */
    float *stage;
    ridge_room *rooms; /* one a thread */
} block;

/* One of a target's two regressions; `mixing`: of its channels, else of its positions. */
static vt_status solve_target(block *k, const int64_t *rows, int64_t count, int64_t t, bool mixing,
                              ridge_room *room)
{
    const vt_bilinear *b = k->b;
    int64_t size = mixing ? b->channels : b->positions;
    float *channels = k->f.mixing + t * b->channels, *positions = k->f.pool + t * b->positions;
    double norm = mixing ? 1 : cblas_snrm2((int)b->channels, channels, 1), objective;
    room_fill(room, k->stage + t * size, k->targets * size, size, b, rows, count, k->first + t);
    VT_TRY(room_solve(room, mixing ? channels : positions, count, size,
                      k->penalties[t] * norm * norm, &objective));
    if (mixing) return VT_OK;
    norm = normalize(positions, size);
    cblas_sscal((int)b->channels, (float)norm, channels, 1);
    k->settled[t] = !(k->objective[t] - objective > enough * objective);
    k->objective[t] = objective;
    return VT_OK;
}

static vt_status solve_stage(block *k, const int64_t *rows, int64_t count, bool mixing)
{
    vt_error_state failure = {.code = VT_OK};
    sum_stage(k->stage, k->b, rows, count, mixing ? k->f.pool : k->f.mixing, k->targets, mixing);
    int64_t size = mixing ? k->b->channels : k->b->positions;
    int64_t work = k->targets * count * size * smaller(count, size);
#pragma omp parallel for num_threads(vt_threads_for(work)) schedule(dynamic)
    for (int64_t t = 0; t < k->targets; t++) {
        if (k->settled[t]) continue;
        vt_status status = solve_target(k, rows, count, t, mixing, &k->rooms[omp_get_thread_num()]);
        if (status != VT_OK) {
#pragma omp critical(vt_bilinear_failure)
            vt_error_save(&failure, status);
        }
    }
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

static vt_status improve_block(block *k, const int64_t *rows, int64_t count, int iterations)
{
    for (int64_t t = 0; t < k->targets; t++) {
        k->objective[t] = INFINITY;
        k->settled[t] = false;
    }
    bool all = false;
    for (int i = 0; i < iterations && !all; i++) {
        VT_TRY(solve_stage(k, rows, count, true));
        VT_TRY(solve_stage(k, rows, count, false));
        all = true;
        for (int64_t t = 0; t < k->targets; t++)
            all = all && k->settled[t];
    }
    return VT_OK;
}

/* Targets whose stages fit in memory together. */
static int64_t block_targets(const vt_bilinear *b, int64_t count)
{
    int64_t each = count * larger(b->positions, b->channels);
    return smaller(b->targets, larger(1, STAGE_ELEMENTS / each));
}

vt_status vt_bilinear_improve(vt_bilinear_factors *f, const vt_bilinear *b, const int64_t *rows,
                              int64_t count, const double *penalties, int iterations)
{
    int64_t together = block_targets(b, count), size = larger(b->positions, b->channels);
    int threads = vt_threads(), made = 0;
    block k = {
        .b = b,
        .objective = vt_alloc((size_t)together, sizeof(double)),
        .settled = vt_alloc((size_t)together, sizeof(bool)),
        .stage = vt_alloc((size_t)(count * together), (size_t)size * sizeof(float)),
        .rooms = vt_alloc((size_t)threads, sizeof(ridge_room)),
    };
    vt_status status = k.objective && k.settled && k.stage && k.rooms ? VT_OK : VT_ENOMEM;
    while (status == VT_OK && made < threads)
        status = room_init(&k.rooms[made++], count, size);
    for (k.first = 0; status == VT_OK && k.first < b->targets; k.first += together) {
        k.targets = smaller(together, b->targets - k.first);
        k.penalties = penalties + k.first;
        k.f.pool = f->pool + k.first * b->positions;
        k.f.mixing = f->mixing + k.first * b->channels;
        status = improve_block(&k, rows, count, iterations);
    }
    while (made > 0)
        room_destroy(&k.rooms[--made]);
    free(k.objective);
    free(k.settled);
    free(k.stage);
    free(k.rooms);
    return status;
}

vt_status vt_bilinear_predict(const vt_bilinear_factors *f, const vt_bilinear *b, double *out,
                              const int64_t *rows, int64_t count)
{
    int64_t together = block_targets(b, count), channels = b->channels;
    float *stage = vt_alloc((size_t)(count * together), (size_t)channels * sizeof *stage);
    if (!stage) return VT_ENOMEM;
    for (int64_t first = 0; first < b->targets; first += together) {
        int64_t targets = smaller(together, b->targets - first);
        sum_stage(stage, b, rows, count, f->pool + first * b->positions, targets, true);
        for (int64_t i = 0; i < count; i++)
            for (int64_t t = 0; t < targets; t++)
                out[i * b->targets + first + t] =
                    cblas_dsdot((int)channels, stage + (i * targets + t) * channels, 1,
                                f->mixing + (first + t) * channels, 1);
    }
    free(stage);
    return VT_OK;
}
