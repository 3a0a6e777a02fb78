/* The inner loops of streamed convolution and of its gradients, compiled once for each instruction
 * set. */
#ifndef VT_BACKEND_STREAM_ISA_H
#define VT_BACKEND_STREAM_ISA_H

#include <stdbool.h>
#include <stdint.h>

/* One output row. Rows hold pixels of `in_step` or `out_step` floats, a channel count rounded up to
 * whole vectors (the first input row: the channels as they are). */
typedef struct vt_stream_row {
    const float *const *rows; /* kernel_rows pointers to padded input rows */
    float *out;
    int width; /* output pixels */
    int kernel_rows;
    int in_stride;              /* floats between the inputs of neighbouring output pixels */
    int taps;                   /* runs of contiguous inputs in a kernel row */
    int tap_step;               /* floats between the starts of runs */
    int tap_length;             /* floats in a run (full convolution) */
    int out_step;               /* floats a pixel of the output row, a multiple of the lanes */
    int out_stride;             /* depthwise: floats between neighbouring output pixels */
    const float *kernel, *bias; /* packed, zero where there is no filter */
    bool relu;
} vt_stream_row;

/* What one row of gradients g adds to the kernel's gradient, `sums`, laid out as (kernel_rows,
 * taps, tap_length, step) for full convolution and (kernel_rows, taps, step) for depthwise. */
typedef struct vt_stream_gather {
    const float *const *rows; /* full: of the input, as above; depthwise: of gradients */
    const float *row;         /* full: the row of gradients; depthwise: of the input */
    float *sums;
    int width;       /* pixels of gradients */
    int kernel_rows; /* depthwise: `rows` has as many, the kernel row of each starts at starts[] */
    const int *starts;
    int in_stride;  /* floats between the inputs of neighbouring pixels of gradients */
    int taps;       /* depthwise */
    int tap_step;   /* depthwise */
    int tap_length; /* full: contiguous inputs in a kernel row */
    int g_step;     /* floats between neighbouring pixels of gradients */
    int step;       /* floats a pixel, a multiple of the lanes */
} vt_stream_gather;

typedef struct vt_stream_isa {
    const char *name;
    int lanes; /* floats in a vector */
    int block; /* vectors of filters computed together; kernels are packed in such blocks */
    void (*full)(const vt_stream_row *row);      /* kernel: [block][row][tap][input][filters] */
    void (*depthwise)(const vt_stream_row *row); /* kernel: [row][tap][channels] */
    void (*gather)(const vt_stream_gather *g);
    void (*gather_depthwise)(const vt_stream_gather *g);
    /* g = 0 where a ReLU gave y = 0; sums += what is left; `pixels` of `step` floats each */
    void (*pass)(float *g, const float *y, float *sums, int pixels, int step);
} vt_stream_isa;

extern const vt_stream_isa vt_stream_isa_base;
#if defined(__x86_64__)
extern const vt_stream_isa vt_stream_isa_avx2;
extern const vt_stream_isa vt_stream_isa_avx512;
#endif

/* The fastest one that this processor runs. */
const vt_stream_isa *vt_stream_isa_best(void);

#endif
