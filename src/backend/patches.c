/* Mean and covariance of the patches p that a convolution sees. A linear filter's output w.p + b
 * has mean w.mean + b and variance w' covariance w: batch normalization needs no output.
 *
 * The second moment of kernel rows u and u + d is the sum, over the image rows r that u sees, of
 *
 *     R[r,d] = sum over columns of (row r's part of the patch) (row r + d's)',
 *
 * which is the same for all u: of the products of 25 times 25 positions 5 times 25 are left. Rows
 * that all u see are added up before they are added to each. Sums along a row are float, all others
 * double. */
#include "backend/patches.h"

#include <omp.h>
#include <string.h>

enum { PIECES = 32, MOST_LANES = 16 };

int vt_patch_row(const vt_patches *p)
{
    return p->window[1].kernel * p->channels;
}

int vt_patch_size(const vt_patches *p)
{
    return p->window[0].kernel * vt_patch_row(p);
}

size_t vt_patches_frame_row(const vt_patches *p)
{
    const vt_window *w = &p->window[1];
    return (size_t)(w->before + w->in + w->after) * (size_t)p->channels;
}

static size_t whole_lines(size_t floats)
{
    return (floats + 15) & ~(size_t)15;
}

size_t vt_patches_frame_floats(const vt_patches *p)
{
    const vt_window *h = &p->window[0];
    return whole_lines((size_t)(h->before + h->in + h->after) * vt_patches_frame_row(p) +
                       MOST_LANES);
}

void vt_patches_frame(const vt_patches *p, const float *images, int64_t image, float *frame)
{
    const vt_window *h = &p->window[0], *w = &p->window[1];
    size_t row = vt_patches_frame_row(p), floats = (size_t)w->in * (size_t)p->channels;
    const float *from = images + (size_t)(image * h->in) * floats;
    float *to = frame + (size_t)h->before * row + (size_t)w->before * (size_t)p->channels;
    memset(frame, 0, vt_patches_frame_floats(p) * sizeof *frame);
    for (int64_t r = 0; r < h->in; r++, from += floats, to += row)
        memcpy(to, from, floats * sizeof *to);
}

static int sums_step(const vt_patches *p)
{
    return (vt_patch_row(p) + MOST_LANES - 1) / MOST_LANES * MOST_LANES;
}

static size_t worker_floats(const vt_patches *p)
{
    return vt_patches_frame_floats(p) + (size_t)vt_patch_row(p) * (size_t)sums_step(p);
}

static size_t common_doubles(const vt_patches *p)
{
    return (size_t)vt_patch_size(p) * (size_t)vt_patch_row(p);
}

/* Mean, second moment; for each d, R[r,d] of the rows that all kernel rows see. */
static size_t piece_doubles(const vt_patches *p)
{
    size_t size = (size_t)vt_patch_size(p);
    return size + size * size + common_doubles(p);
}

size_t vt_patches_scratch_bytes(const vt_patches *p, int threads)
{
    return PIECES * piece_doubles(p) * sizeof(double) +
           (size_t)threads * worker_floats(p) * sizeof(float);
}

/* Some output reads image row r through kernel row u. */
static bool sees(const vt_window *h, int64_t r, int u)
{
    int64_t at = r + h->before - u;
    return at >= 0 && at % h->stride == 0 && at / h->stride < h->out;
}

/* Sums over columns of row r's part times g, [row part][step]. */
static void row_sums(const vt_patches *p, const vt_stream_isa *isa, const float *row,
                     const float *g, int g_step, int step, float *sums)
{
    vt_stream_gather gather = {.rows = &row,
                               .row = g,
                               .sums = sums,
                               .width = (int)p->window[1].out,
                               .kernel_rows = 1,
                               .in_stride = p->window[1].stride * p->channels,
                               .tap_length = vt_patch_row(p),
                               .g_step = g_step,
                               .step = step};
    memset(sums, 0, (size_t)vt_patch_row(p) * (size_t)step * sizeof *sums);
    isa->gather(&gather);
}

/* A block of part times part sums; rows of `to` are `size` numbers apart. */
static void add_part(double *to, int size, int part, const float *sums, int step)
{
    for (int k = 0; k < part; k++)
        for (int l = 0; l < part; l++)
            to[k * size + l] += sums[k * step + l];
}

static bool all_see(const vt_window *h, int64_t r)
{
    return h->stride == 1 && sees(h, r, 0) && sees(h, r, h->kernel - 1);
}

static void add_row(const vt_patches *p, const vt_stream_isa *isa, const float *frame, int64_t r,
                    double *mean, float *sums)
{
    static const float ones[MOST_LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const vt_window *h = &p->window[0], *w = &p->window[1];
    int part = vt_patch_row(p), size = vt_patch_size(p), step = sums_step(p);
    double *second = mean + size, *common = second + (size_t)size * (size_t)size;
    size_t row = vt_patches_frame_row(p);
    const float *at = frame + (size_t)(h->before + r) * row;
    row_sums(p, isa, at, ones, 0, isa->lanes, sums);
    for (int u = 0; u < h->kernel; u++)
        for (int k = 0; sees(h, r, u) && k < part; k++)
            mean[u * part + k] += sums[k * isa->lanes];
    for (int d = 0; d < h->kernel && r + d < h->in; d++) {
        row_sums(p, isa, at, at + (size_t)d * row, w->stride * p->channels, step, sums);
        if (all_see(h, r)) {
            add_part(common + d * part * part, part, part, sums, step);
            continue;
        }
        for (int u = 0; u + d < h->kernel; u++)
            if (sees(h, r, u))
                add_part(second + u * part * size + (u + d) * part, size, part, sums, step);
    }
}

/* Adds what all kernel rows saw to each. */
static void add_common(const vt_patches *p, double *second)
{
    int kernel = p->window[0].kernel, part = vt_patch_row(p), size = vt_patch_size(p);
    const double *common = second + (size_t)size * (size_t)size;
    for (int d = 0; d < kernel; d++)
        for (int u = 0; u + d < kernel; u++)
            for (int k = 0; k < part; k++)
                for (int l = 0; l < part; l++)
                    second[(u * part + k) * size + (u + d) * part + l] +=
                        common[(d * part + k) * part + l];
}

void vt_patches_moments(const vt_patches *p, const vt_stream_isa *isa, int threads,
                        const float *images, double *mean, double *covariance, void *scratch)
{
    const vt_window *h = &p->window[0];
    int64_t size = vt_patch_size(p), part = vt_patch_row(p);
    double *pieces = scratch;
    float *workers = (float *)(pieces + PIECES * piece_doubles(p));
#pragma omp parallel num_threads(threads)
    {
        float *frame = workers + (size_t)omp_get_thread_num() * worker_floats(p);
#pragma omp for schedule(dynamic)
        for (int64_t piece = 0; piece < PIECES; piece++) {
            double *sums = pieces + (size_t)piece * piece_doubles(p);
            memset(sums, 0, piece_doubles(p) * sizeof *sums);
            int64_t last = (piece + 1) * p->batch / PIECES;
            for (int64_t n = piece * p->batch / PIECES; n < last; n++) {
                vt_patches_frame(p, images, n, frame);
                for (int64_t r = 0; r < h->in; r++)
                    add_row(p, isa, frame, r, sums, frame + vt_patches_frame_floats(p));
            }
        }
    }
    for (size_t piece = 1; piece < PIECES; piece++)
        for (size_t i = 0; i < piece_doubles(p); i++)
            pieces[i] += pieces[piece * piece_doubles(p) + i];
    add_common(p, pieces + size);
    double count = (double)(p->batch * h->out * p->window[1].out);
    for (int64_t k = 0; k < size; k++)
        mean[k] = pieces[k] / count;
    const double *second = pieces + size;
    for (int64_t k = 0; k < size; k++)
        for (int64_t l = 0; l < size; l++) {
            bool upper = k / part <= l / part; /* kernel rows in order */
            double sum = second[upper ? k * size + l : l * size + k];
            covariance[k * size + l] = sum / count - mean[k] * mean[l];
        }
}
