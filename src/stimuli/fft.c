/* Fourier transforms by Stockham's self-sorting algorithm, radices 2, 3, 4 and 5.
 *
 * A stage of radix p takes n / p butterflies (Van Loan 1992, "Computational frameworks for the fast
 * Fourier transform", 1.7):
 *   y[q + s (p k + t)] = W_n^(k t) sum over r < p of W_p^(r t) x[q + s (k + r n / p)],
 * then n becomes n / p and s becomes s p. LANES columns go through together.
 *
 * By hand because no library will do: Debian builds kissfft's C functions in float only, its double
 * is a C++ template, and FFTW's licence would bind ours. */
#include "stimuli/fft.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"

enum { LANES = 8, MAX_STAGES = 16, MAX_RADIX = 5 };

typedef struct axis {
    int length, stages, radix[MAX_STAGES];
    double *cosine, *sine; /* (length) of 2 pi k / length */
} axis;

struct vt_fft {
    axis down, across;
    double *block[2];       /* (2, longest side, LANES): real, then imaginary parts */
    double complex *turned; /* (width, height) */
};

static int factor(int radix[MAX_STAGES], int side)
{
    static const int radices[] = {4, 2, 3, 5};
    int stages = 0;
    for (size_t i = 0; i < sizeof radices / sizeof *radices; i++)
        for (; side % radices[i] == 0; side /= radices[i])
            radix[stages++] = radices[i];
    return side == 1 ? stages : -1;
}

bool vt_fft_can(int side)
{
    int radix[MAX_STAGES];
    return side >= 1 && side <= VT_FFT_MAX_SIDE && factor(radix, side) >= 0;
}

static vt_status axis_init(axis *out, int length)
{
    out->length = length;
    out->stages = factor(out->radix, length);
    out->cosine = vt_alloc((size_t)length, 2 * sizeof *out->cosine);
    if (!out->cosine) return VT_ENOMEM;
    out->sine = out->cosine + length;
    for (int k = 0; k < length; k++) {
        out->cosine[k] = cos(2 * M_PI * k / length);
        out->sine[k] = sin(2 * M_PI * k / length);
    }
    return VT_OK;
}

vt_status vt_fft_new(vt_fft **out, int height, int width)
{
    if (!vt_fft_can(height) || !vt_fft_can(width))
        return vt_error(VT_EUNSUPPORTED,
                        "no Fourier transform of images of %d x %d pixels: sides of 1 to %d that "
                        "are products of 2, 3 and 5 are possible",
                        width, height, VT_FFT_MAX_SIDE);
    vt_fft *fft = vt_alloc(1, sizeof *fft);
    if (!fft) return VT_ENOMEM;
    size_t longest = (size_t)(height > width ? height : width);
    vt_status status = axis_init(&fft->down, height);
    if (status == VT_OK) status = axis_init(&fft->across, width);
    if (status == VT_OK) {
        fft->block[0] = vt_alloc(longest, 4 * LANES * sizeof(double));
        fft->turned = vt_alloc((size_t)height * (size_t)width, sizeof *fft->turned);
        if (!fft->block[0] || !fft->turned) status = VT_ENOMEM;
    }
    if (status != VT_OK) {
        vt_fft_free(fft);
        return status;
    }
    fft->block[1] = fft->block[0] + 2 * LANES * longest;
    *out = fft;
    return VT_OK;
}

void vt_fft_free(vt_fft *fft)
{
    if (!fft) return;
    free(fft->down.cosine);
    free(fft->across.cosine);
    free(fft->block[0]);
    free(fft->turned);
    free(fft);
}

typedef struct lanes {
    double re[LANES], im[LANES];
} lanes;

/* out = x W, W = cosine + i sine. */
static inline void turn(double *re, double *im, const lanes *x, double cosine, double sine)
{
    for (int b = 0; b < LANES; b++) {
        re[b] = x->re[b] * cosine - x->im[b] * sine;
        im[b] = x->re[b] * sine + x->im[b] * cosine;
    }
}

static inline void butterfly2(lanes y[], const lanes x[])
{
    for (int b = 0; b < LANES; b++) {
        y[0].re[b] = x[0].re[b] + x[1].re[b], y[0].im[b] = x[0].im[b] + x[1].im[b];
        y[1].re[b] = x[0].re[b] - x[1].re[b], y[1].im[b] = x[0].im[b] - x[1].im[b];
    }
}

static inline void butterfly4(lanes y[], const lanes x[], double sign)
{
    for (int b = 0; b < LANES; b++) {
        double a = x[0].re[b] + x[2].re[b], ai = x[0].im[b] + x[2].im[b];
        double c = x[0].re[b] - x[2].re[b], ci = x[0].im[b] - x[2].im[b];
        double d = x[1].re[b] + x[3].re[b], di = x[1].im[b] + x[3].im[b];
        double e = sign * (x[1].re[b] - x[3].re[b]), ei = sign * (x[1].im[b] - x[3].im[b]);
        y[0].re[b] = a + d, y[0].im[b] = ai + di;
        y[1].re[b] = c - ei, y[1].im[b] = ci + e;
        y[2].re[b] = a - d, y[2].im[b] = ai - di;
        y[3].re[b] = c + ei, y[3].im[b] = ci - e;
    }
}

/* Radices 3 and 5: the sum as it stands. */
static void butterfly(lanes y[], const lanes x[], int p, double sign)
{
    static const double cosine[2][5] = {{1, -0.5, -0.5},
                                        {1, 0.30901699437494742410, -0.80901699437494742410,
                                         -0.80901699437494742410, 0.30901699437494742410}};
    static const double sine[2][5] = {{0, 0.86602540378443864676, -0.86602540378443864676},
                                      {0, 0.95105651629515357212, 0.58778525229247312917,
                                       -0.58778525229247312917, -0.95105651629515357212}};
    for (int t = 0; t < p; t++) {
        lanes sum = x[0];
        for (int r = 1; r < p; r++) {
            double c = cosine[p == 5][r * t % p], s = sign * sine[p == 5][r * t % p];
            for (int b = 0; b < LANES; b++) {
                sum.re[b] += x[r].re[b] * c - x[r].im[b] * s;
                sum.im[b] += x[r].re[b] * s + x[r].im[b] * c;
            }
        }
        y[t] = sum;
    }
}

/* Transforms the columns in `block`; returns the buffer that holds the result. */
static double *transform(const axis *a, double *const block[2], size_t half, int sign)
{
    int n = a->length, s = 1, from = 0;
    for (int stage = 0; stage < a->stages; stage++) {
        int p = a->radix[stage], part = n / p;
        const double *re = block[from], *im = re + half;
        double *to = block[1 - from], *to_im = to + half;
        for (int k = 0; k < part; k++)
            for (int q = 0; q < s; q++) {
                lanes x[MAX_RADIX], y[MAX_RADIX];
                for (int r = 0; r < p; r++)
                    for (int b = 0; b < LANES; b++) {
                        size_t at = (size_t)(q + s * (k + r * part)) * LANES + (size_t)b;
                        x[r].re[b] = re[at];
                        x[r].im[b] = im[at];
                    }
                if (p == 4)
                    butterfly4(y, x, sign);
                else if (p == 2)
                    butterfly2(y, x);
                else
                    butterfly(y, x, p, sign);
                for (int t = 0; t < p; t++) {
                    int angle = k * t * s;
                    size_t at = (size_t)(q + s * (p * k + t)) * LANES;
                    turn(to + at, to_im + at, &y[t], a->cosine[angle], sign * a->sine[angle]);
                }
            }
        n = part;
        s *= p;
        from = 1 - from;
    }
    return block[from];
}

/* Transforms the columns of `in` (a->length, columns) into the rows of `out` (columns, a->length).
 */
static void run_axis(vt_fft *fft, const axis *a, double complex *out, const double complex *in,
                     int columns, int sign)
{
    int longest = fft->down.length > fft->across.length ? fft->down.length : fft->across.length;
    size_t half = (size_t)longest * LANES, length = (size_t)a->length;
    for (int first = 0; first < columns; first += LANES) {
        int count = columns - first < LANES ? columns - first : LANES;
        for (size_t k = 0; k < length; k++)
            for (int b = 0; b < LANES; b++) {
                double complex value =
                    b < count ? in[k * (size_t)columns + (size_t)(first + b)] : 0;
                fft->block[0][k * LANES + (size_t)b] = creal(value);
                fft->block[0][half + k * LANES + (size_t)b] = cimag(value);
            }
        const double *done = transform(a, fft->block, half, sign);
        for (int b = 0; b < count; b++)
            for (size_t k = 0; k < length; k++)
                out[(size_t)(first + b) * length + k] =
                    vt_complex(done[k * LANES + (size_t)b], done[half + k * LANES + (size_t)b]);
    }
}

void vt_fft_run(vt_fft *fft, double complex *out, const double complex *in, int sign)
{
    run_axis(fft, &fft->down, fft->turned, in, fft->across.length, sign);
    run_axis(fft, &fft->across, out, fft->turned, fft->down.length, sign);
}
