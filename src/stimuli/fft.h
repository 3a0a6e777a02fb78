/* Discrete Fourier transforms of images, in double. */
#ifndef VT_STIMULI_FFT_H
#define VT_STIMULI_FFT_H

#include <complex.h>
#include <string.h>

#include "ventral/status.h"

/* Longest side that is transformed. */
#define VT_FFT_MAX_SIDE 4096

typedef struct vt_fft vt_fft;

/* Whether 1 <= side <= VT_FFT_MAX_SIDE has no prime factor but 2, 3 and 5. */
bool vt_fft_can(int side);

/* A transform of (height, width) images; one thread at a time may use it. VT_EUNSUPPORTED for other
 * sides. */
vt_status vt_fft_new(vt_fft **out, int height, int width);
void vt_fft_free(vt_fft *fft);

/* out(k) = sum over x of in(x) exp(sign 2 pi i k x), not divided by anything; `out` may be `in`. */
void vt_fft_run(vt_fft *fft, double complex *out, const double complex *in, int sign);

/* CMPLX of C11, which clang 14 lacks. */
static inline double complex vt_complex(double real, double imaginary)
{
    const double parts[2] = {real, imaginary};
    double complex z;
    memcpy(&z, parts, sizeof z);
    return z;
}

/* a b; the operator's handling of infinities costs more than the product. */
static inline double complex vt_times(double complex a, double complex b)
{
    return vt_complex(creal(a) * creal(b) - cimag(a) * cimag(b),
                      creal(a) * cimag(b) + cimag(a) * creal(b));
}

#endif
