/* Convolution of up to 16 channels with kernels that depend on distance alone, for one image: the
 * positions at one distance, a ring, share their weights, so that inputs are summed over each ring
 * first. 5 x 5 positions are 6 rings, and a product of 6 C x C instead of 25 C x C numbers is left
 * for each pixel. Compiled once for each instruction set. */
#ifndef VT_BACKEND_RING_CONV_H
#define VT_BACKEND_RING_CONV_H

enum { VT_RING_LANES = 16, VT_RING_MAX_RADIUS = 4, VT_RING_MAX = 16 };
enum { VT_RING_POSITIONS = (2 * VT_RING_MAX_RADIUS + 1) * (2 * VT_RING_MAX_RADIUS + 1) };

/* The positions (u, v) of a square of 2 radius + 1, row by row, sorted by u^2 + v^2. */
typedef struct vt_rings {
    int radius, count;
    int ring[VT_RING_POSITIONS]; /* of each position */
    int size[VT_RING_MAX];       /* positions in each ring */
} vt_rings;
void vt_rings_init(vt_rings *rings, int radius);

/* The image lies in zero padding of `radius`: (height + 2 radius, width + 2 radius, depth), depth
 * the channels rounded up to a multiple of 4, 0 in those beyond. Sums are (rings, height * width,
 * depth). Outputs always have VT_RING_LANES channels. */
typedef struct vt_ring_image {
    const vt_rings *rings;
    int height, width, depth;
} vt_ring_image;

typedef struct vt_ring_isa {
    void (*sums)(const vt_ring_image *i, const float *frame, float *sums);
    /* out (pixels, LANES) = bias + kernel (rings, depth, LANES) applied to the sums */
    void (*forward)(const vt_ring_image *i, const float *sums, const float *kernel,
                    const float *bias, float *out);
    /* kernel's gradient (rings, depth, LANES) += sums, gradient (pixels, LANES) */
    void (*weights)(const vt_ring_image *i, const float *sums, const float *gradient,
                    float *kernel_gradient);
} vt_ring_isa;

extern const vt_ring_isa vt_ring_base;
#if defined(__x86_64__)
extern const vt_ring_isa vt_ring_avx2;
extern const vt_ring_isa vt_ring_avx512;
#endif

/* The fastest one that this processor runs. */
const vt_ring_isa *vt_ring_best(void);

#endif
