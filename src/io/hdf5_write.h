/* Writing HDF5 files. */
#ifndef VT_IO_HDF5_WRITE_H
#define VT_IO_HDF5_WRITE_H

#include "ventral/tensor.h"

#define VT_HDF5_LONGEST_LIST 64512 /* bytes of a list of strings: what Keras puts in one */

typedef enum vt_hdf5_kind {
    VT_HDF5_GROUP,
    VT_HDF5_DATASET, /* `tensor`, contiguous, float32 or float64 */
    VT_HDF5_STRING,  /* attribute `name` of the group: the string texts[0] */
    VT_HDF5_STRINGS, /* attribute `name` of the group: `count` strings, padded to one length */
} vt_hdf5_kind;

typedef struct vt_hdf5_item {
    vt_hdf5_kind kind;
    const char *path; /* of the group or dataset; "/": the root */
    const char *name;
    const vt_tensor *tensor;
    const char *const *texts;
    int count;
} vt_hdf5_item;

/* Writes the items in their order; groups come before what is in them. The same items give the same
 * bytes. The file is composed in memory by a child as hdf5_child.h has it, so that the HDF5 library
 * neither meets a full disk nor keeps a state in this process. */
vt_status vt_hdf5_write(const vt_hdf5_item *items, int count, const char *path);

#endif
