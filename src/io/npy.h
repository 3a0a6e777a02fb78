/* The parts of NumPy's .npy format that .npz shares. */
#ifndef VT_IO_NPY_H
#define VT_IO_NPY_H

#include "ventral/io.h"

/* A header whose array is known to fill the rest of the bytes exactly. */
typedef struct vt_npy_header {
    char kind;   /* b, i, u, f: numeric; U (UCS-4) and S (bytes): text */
    size_t item; /* bytes an element */
    bool swapped, fortran;
    int ndim;
    int64_t size[VT_MAX_DIMS];
    size_t count; /* elements */
    const unsigned char *data;
} vt_npy_header;

vt_status vt_npy_header_parse(vt_npy_header *out, const void *data, size_t size, const char *label);

/* The tensor dtype of a numeric array; VT_DTYPE_COUNT for text. */
vt_dtype vt_npy_dtype(const vt_npy_header *header);

/* Copies the array into a contiguous tensor of its dtype and sizes. */
void vt_npy_fill(vt_tensor *t, const vt_npy_header *header);

/* Allocates room for a whole .npy file with `bytes` of data and writes its header; *out_data is
 * where the data go. Free *out with free(). */
vt_status vt_npy_start(void **out, size_t *out_size, char **out_data, const char *descr, int ndim,
                       const int64_t *size, size_t bytes);

/* A whole .npy file in memory. */
vt_status vt_npy_encode(void **out, size_t *out_size, const vt_tensor *t);

#endif
