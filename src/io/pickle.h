/* The part of Python's pickle format that state dictionaries of PyTorch use, read as data: no
 * class is looked up and no function called. */
#ifndef VT_IO_PICKLE_H
#define VT_IO_PICKLE_H

#include "base/arena.h"
#include "ventral/tensor.h"

#define VT_PICKLE_MAX_BYTES (16u << 20) /* some 100,000 tensors */

typedef enum vt_pickle_kind {
    VT_PICKLE_NONE,
    VT_PICKLE_BOOL,
    VT_PICKLE_INT,
    VT_PICKLE_FLOAT,
    VT_PICKLE_TEXT,
    VT_PICKLE_BYTES,
    VT_PICKLE_TUPLE,
    VT_PICKLE_LIST,
    VT_PICKLE_DICT,
    VT_PICKLE_STORAGE,
    VT_PICKLE_TENSOR,
    VT_PICKLE_GLOBAL,
    VT_PICKLE_MARK, /* only on the machine's stack */
} vt_pickle_kind;

typedef struct vt_pickle_value vt_pickle_value;

/* A view of a storage in elements; it lies within the storage's declared count. */
typedef struct vt_pickle_tensor {
    const vt_pickle_value *storage;
    int64_t offset;
    int ndim;
    int64_t size[VT_MAX_DIMS], stride[VT_MAX_DIMS];
} vt_pickle_tensor;

struct vt_pickle_value {
    vt_pickle_kind kind;
    union {
        int64_t integer; /* INT, BOOL; of a GLOBAL its number */
        double real;
        struct {
            const char *bytes; /* within the pickle, not terminated */
            size_t length;
        } text; /* TEXT, BYTES */
        struct {
            vt_pickle_value **items; /* of a DICT: key, value, key, value, ... */
            size_t count, capacity;
        } list; /* TUPLE, LIST, DICT */
        struct {
            const vt_pickle_value *key; /* a TEXT */
            vt_dtype dtype;
            int64_t offset, count;       /* elements: a part of what is stored under the key */
            const vt_pickle_value *next; /* of the same pickle's storages */
        } storage;
        const vt_pickle_tensor *tensor;
    };
};

typedef struct vt_pickle {
    const vt_pickle_value *top;
    const vt_pickle_value *storages; /* all that were met, the last one first; NULL: none */
    size_t used;                     /* bytes; more may follow */
} vt_pickle;

/* Runs the pickle that `data` begins with (protocols 2 to 5, at most VT_PICKLE_MAX_BYTES). Values
 * live in `arena` and in `data`; shared and even cyclic values are possible. VT_EUNSUPPORTED,
 * naming it, for any global but OrderedDict, the functions that rebuild tensors and parameters, and
 * the storage classes. */
vt_status vt_pickle_parse(vt_pickle *out, vt_arena *arena, const void *data, size_t size);

#endif
