/* The two inner loops of streamed convolution, compiled once for each instruction set. */
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
    const float *kernel, *bias; /* packed, zero where there is no filter */
    bool relu;
} vt_stream_row;

typedef struct vt_stream_isa {
    const char *name;
    int lanes; /* floats in a vector */
    int block; /* vectors of filters computed together; kernels are packed in such blocks */
    void (*full)(const vt_stream_row *row);      /* kernel: [block][row][tap][input][filters] */
    void (*depthwise)(const vt_stream_row *row); /* kernel: [row][tap][channels] */
} vt_stream_isa;

extern const vt_stream_isa vt_stream_isa_base;
#if defined(__x86_64__)
extern const vt_stream_isa vt_stream_isa_avx2;
extern const vt_stream_isa vt_stream_isa_avx512;
#endif

/* The fastest one that this processor runs. */
const vt_stream_isa *vt_stream_isa_best(void);

#endif
