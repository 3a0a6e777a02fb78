/* Tensors: a dtype, up to six sizes, byte strides and data; and named collections of them. */
#ifndef VENTRAL_TENSOR_H
#define VENTRAL_TENSOR_H

#include "ventral/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_dtype {
    VT_BOOL,
    VT_U8,
    VT_I8,
    VT_U16,
    VT_I16,
    VT_U32,
    VT_I32,
    VT_U64,
    VT_I64,
    VT_F16,
    VT_BF16,
    VT_F32,
    VT_F64,
    VT_DTYPE_COUNT,
} vt_dtype;

#define VT_MAX_DIMS 6
#define VT_NAME_SIZE 128

/* Activations are NHWC, convolution kernels OHWI. Strides are in bytes. A zero-dimensional tensor
 * is a scalar with one element. */
typedef struct vt_tensor {
    vt_dtype dtype;
    int ndim;
    int64_t size[VT_MAX_DIMS];
    int64_t stride[VT_MAX_DIMS];
    void *data;
    char name[VT_NAME_SIZE];
} vt_tensor;

size_t vt_dtype_size(vt_dtype dtype);      /* bytes an element; 0 for an unknown dtype */
const char *vt_dtype_name(vt_dtype dtype); /* "float32", "uint8", ... */

int64_t vt_tensor_count(const vt_tensor *t); /* elements */
size_t vt_tensor_bytes(const vt_tensor *t);  /* bytes when contiguous */
bool vt_tensor_is_contiguous(const vt_tensor *t);

/* Describes contiguous row-major memory at `data` (may be NULL); allocates nothing.
 * VT_ESHAPE when sizes are negative, too many or overflow. */
vt_status vt_tensor_init(vt_tensor *out, vt_dtype dtype, int ndim, const int64_t *size, void *data);

/* Allocates zeroed, 64-byte aligned, contiguous memory; vt_tensor_free gives it back. */
vt_status vt_tensor_new(vt_tensor *out, vt_dtype dtype, int ndim, const int64_t *size);
void vt_tensor_free(vt_tensor *t);

/* Allocates a contiguous copy of `t` (any strides) converted to `dtype`. Float to integer rounds to
 * nearest and saturates; NaN becomes 0. */
vt_status vt_tensor_convert(vt_tensor *out, const vt_tensor *t, vt_dtype dtype);

/* Allocates a contiguous copy with dimensions reordered: out.size[i] = t.size[order[i]]. */
vt_status vt_tensor_permute(vt_tensor *out, const vt_tensor *t, const int *order);

/* Element at flat row-major index, as double. */
double vt_tensor_get(const vt_tensor *t, int64_t index);

/* Writes "(2, 3, 4)" into `text` and returns it. */
const char *vt_tensor_shape_text(const vt_tensor *t, char *text, size_t size);

/* An ordered collection of named tensors with string metadata: what a .npz, .safetensors, .pt or
 * Keras weight file holds. It owns its tensors' memory. */
typedef struct vt_tensor_map vt_tensor_map;

vt_status vt_tensor_map_new(vt_tensor_map **out);
void vt_tensor_map_free(vt_tensor_map *map);
int vt_tensor_map_count(const vt_tensor_map *map);

/* Borrowed; NULL when out of range or absent. */
const vt_tensor *vt_tensor_map_at(const vt_tensor_map *map, int index);
const vt_tensor *vt_tensor_map_find(const vt_tensor_map *map, const char *name);

/* Adds a zeroed contiguous tensor under `name` (unique, shorter than VT_NAME_SIZE) and, when `out`
 * is not NULL, lends a descriptor of it to fill. VT_EINVAL on a duplicate or an over-long name. */
vt_status vt_tensor_map_add(vt_tensor_map *map, const char *name, vt_dtype dtype, int ndim,
                            const int64_t *size, vt_tensor *out);
/* Adds a contiguous copy of `t`. */
vt_status vt_tensor_map_add_copy(vt_tensor_map *map, const char *name, const vt_tensor *t);

/* Metadata strings. `get` returns NULL when absent; `set` replaces. */
vt_status vt_tensor_map_set_text(vt_tensor_map *map, const char *key, const char *value);
const char *vt_tensor_map_get_text(const vt_tensor_map *map, const char *key);
int vt_tensor_map_text_count(const vt_tensor_map *map);
void vt_tensor_map_text_at(const vt_tensor_map *map, int index, const char **key,
                           const char **value);

#ifdef __cplusplus
}
#endif
#endif
