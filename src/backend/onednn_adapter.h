/* What this library uses of oneDNN, in one shape for its C APIs 2.6 (Debian 12) and 3.x.
 *
 * A primitive is one operation with all sizes known. Tensors at its border are dense with the
 * strides given; where the implementation prefers another layout, reorders through the caller's
 * scratch memory are part of the primitive. */
#ifndef VT_BACKEND_ONEDNN_ADAPTER_H
#define VT_BACKEND_ONEDNN_ADAPTER_H

#include "ventral/status.h"

#define VT_DNNL_DIMS 12 /* DNNL_MAX_NDIMS: how long oneDNN wants its arrays */

/* Sizes in oneDNN's order (N, C, H, W and [G,] O, I, H, W), strides in elements; ndim 0: absent. */
typedef struct vt_dnnl_tensor {
    int ndim;
    int64_t size[VT_DNNL_DIMS], stride[VT_DNNL_DIMS];
    bool bf16; /* the memory holds bfloat16, else float32 */
} vt_dnnl_tensor;

typedef enum vt_dnnl_arg {
    VT_DNNL_SRC,
    VT_DNNL_WEIGHTS,
    VT_DNNL_BIAS,
    VT_DNNL_DST,
    VT_DNNL_DIFF_SRC,
    VT_DNNL_DIFF_WEIGHTS,
    VT_DNNL_DIFF_DST,
    VT_DNNL_ARG_COUNT,
} vt_dnnl_arg;

typedef enum vt_dnnl_pass {
    VT_DNNL_INFERENCE,
    VT_DNNL_TRAINING, /* forward, leaving what backward needs */
    VT_DNNL_BACKWARD_DATA,
    VT_DNNL_BACKWARD_WEIGHTS,
} vt_dnnl_pass;

/* Windows: height, width. */
typedef struct vt_dnnl_window {
    int64_t kernel[VT_DNNL_DIMS], stride[VT_DNNL_DIMS], dilation[VT_DNNL_DIMS];
    int64_t before[VT_DNNL_DIMS], after[VT_DNNL_DIMS];
} vt_dnnl_window;

typedef struct vt_dnnl_conv {
    vt_dnnl_pass pass;
    vt_dnnl_tensor src, weights, bias, dst; /* bias: forward only */
    vt_dnnl_window window;
    bool relu;    /* forward: on the result */
    bool bf16;    /* factors rounded to bfloat16, sums in float32 */
    bool blocked; /* activations in the implementation's own layout, by reorders */
    bool gemm;    /* the implementation by matrix products where there is one */
} vt_dnnl_conv;

typedef struct vt_dnnl_primitive vt_dnnl_primitive;

/* VT_EUNSUPPORTED where the library has no fast implementation. The results DIFF_SRC, DIFF_WEIGHTS
 * are added to what is there. The thread count of the moment, vt_threads(), stays with the
 * primitive, so that its results do not change from run to run; it must not run inside an OpenMP
 * parallel region, where there would be one thread only. */
vt_status vt_dnnl_conv_new(vt_dnnl_primitive **out, const vt_dnnl_conv *conv);
void vt_dnnl_free(vt_dnnl_primitive *primitive);

size_t vt_dnnl_scratch_bytes(const vt_dnnl_primitive *primitive);

/* Keeps a packed copy of the weights, used by every run until the next call. */
vt_status vt_dnnl_pack_weights(vt_dnnl_primitive *primitive, void *weights);

/* `data` holds the memory of each argument that the primitive has; `scratch` is aligned to 64.
 * `overwrite`: gradients are written, not added. */
vt_status vt_dnnl_run(vt_dnnl_primitive *primitive, void *const data[VT_DNNL_ARG_COUNT],
                      bool overwrite, void *scratch);

/* C = A B + beta C, row-major, A (m, k) or transposed (k, m), B (k, n) or transposed (n, k). Inside
 * an OpenMP parallel region a product runs on the thread that asks for it; say so by threads 1. */
typedef struct vt_dnnl_product {
    bool transpose_a, transpose_b;
    int64_t m, n, k;
    float beta;
    int threads;
    int64_t row_a, row_b, row_c; /* numbers from row to row; 0: rows follow each other */
} vt_dnnl_product;
vt_status vt_dnnl_product_run(const vt_dnnl_product *product, const float *a, const float *b,
                              float *c);

/* The processor has 512-bit vectors and oneDNN uses them. */
bool vt_dnnl_has_avx512(void);
/* The processor multiplies bfloat16 numbers and oneDNN has it do so. */
bool vt_dnnl_has_bf16(void);

#endif
