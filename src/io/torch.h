/* Parts of the PyTorch reader, for the files of this room and those that tell formats apart. */
#ifndef VT_IO_TORCH_H
#define VT_IO_TORCH_H

#include "io/pickle.h"

/* The bytes of storages, which a file holds in one way or another. */
typedef struct vt_torch_storages {
    /* All that is stored under the storage's key, lent until the reader is done. */
    vt_status (*find)(void *context, const vt_pickle_value *storage, const void **data,
                      size_t *size);
    void *context;
    bool swap; /* they have the other byte order */
} vt_torch_storages;

/* How many bytes a file of this size may come to: views may share storages, and archives compress,
 * but not endlessly. */
uint64_t vt_torch_limit(size_t file_size);

/* torch_state.c: the tensors, numbers and texts of a state dictionary, into `map`. At most `limit`
 * bytes of tensors. */
vt_status vt_torch_flatten(vt_tensor_map *map, const vt_pickle_value *top,
                           const vt_torch_storages *storages, uint64_t limit);

/* torch_legacy.c: the streams that torch.save wrote before version 1.6. The tars of PyTorch's first
 * versions are told apart, but not read. */
bool vt_torch_is_stream(const void *data, size_t size);
bool vt_torch_is_tar(const void *data, size_t size);
vt_status vt_torch_parse_stream(vt_tensor_map *map, const void *data, size_t size);

#endif
