/* Writing HDF5 files: a child composes the file in memory with the HDF5 library, in the oldest
 * version of the format that holds it, as h5py does; the parent puts the bytes in place. */
#include "io/hdf5_write.h"

#define H5_USE_110_API
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/hdf5_child.h"
#include "ventral/io.h"

#define IMAGE "image"

typedef struct job {
    const vt_hdf5_item *items;
    int count;
} job;

static bool create_group(hid_t file, const vt_hdf5_item *item)
{
    hid_t group = H5Gcreate2(file, item->path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    return group >= 0 && H5Gclose(group) >= 0;
}

static bool write_dataset(hid_t file, const vt_hdf5_item *item)
{
    const vt_tensor *t = item->tensor;
    hsize_t extent[VT_MAX_DIMS];
    for (int i = 0; i < t->ndim; i++)
        extent[i] = (hsize_t)t->size[i];
    bool wide = t->dtype == VT_F64, done = false;
    hid_t space = H5Screate_simple(t->ndim, extent, NULL), plan = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    if (space >= 0 && plan >= 0 && H5Pset_obj_track_times(plan, false) >= 0)
        set = H5Dcreate2(file, item->path, wide ? H5T_IEEE_F64LE : H5T_IEEE_F32LE, space,
                         H5P_DEFAULT, plan, H5P_DEFAULT);
    if (set >= 0)
        done = H5Dwrite(set, wide ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL,
                        H5P_DEFAULT, t->data) >= 0;
    if (set >= 0 && H5Dclose(set) < 0) done = false;
    if (plan >= 0) H5Pclose(plan);
    if (space >= 0) H5Sclose(space);
    return done;
}

static bool write_attribute(hid_t group, const char *name, hid_t type, hid_t space,
                            const void *value)
{
    hid_t attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0) return false;
    bool done = !value || H5Awrite(attribute, type, value) >= 0;
    return H5Aclose(attribute) >= 0 && done;
}

static bool write_string(hid_t group, const vt_hdf5_item *item)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    bool done = type >= 0 && space >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 &&
                write_attribute(group, item->name, type, space, item->texts);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return done;
}

/* An empty list is one of no float64, as NumPy has it. */
static bool write_strings(hid_t group, const vt_hdf5_item *item)
{
    static char packed[VT_HDF5_LONGEST_LIST];
    hsize_t count = (hsize_t)item->count;
    size_t length = 1;
    for (int i = 0; i < item->count; i++)
        if (strlen(item->texts[i]) > length) length = strlen(item->texts[i]);
    if (count * length > sizeof packed) return false;
    memset(packed, 0, sizeof packed);
    for (int i = 0; i < item->count; i++)
        memcpy(packed + (size_t)i * length, item->texts[i], strlen(item->texts[i]));
    hid_t type = H5Tcopy(count ? H5T_C_S1 : H5T_IEEE_F64LE);
    hid_t space = H5Screate_simple(1, &count, NULL);
    bool done = type >= 0 && space >= 0;
    if (done && count)
        done = H5Tset_size(type, length) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0;
    done = done && write_attribute(group, item->name, type, space, count ? packed : NULL);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return done;
}

static bool write_item(hid_t file, const vt_hdf5_item *item)
{
    if (item->kind == VT_HDF5_GROUP) return create_group(file, item);
    if (item->kind == VT_HDF5_DATASET) return write_dataset(file, item);
    hid_t group = H5Gopen2(file, item->path, H5P_DEFAULT);
    if (group < 0) return false;
    bool done =
        item->kind == VT_HDF5_STRING ? write_string(group, item) : write_strings(group, item);
    return H5Gclose(group) >= 0 && done;
}

static hid_t create_file(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0 || H5Pset_fapl_core(access, 1 << 16, false) < 0) return -1;
    return H5Fcreate("memory", H5F_ACC_TRUNC, H5P_DEFAULT, access);
}

static void send_image(hid_t file, int fd)
{
    void *bytes = NULL;
    ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 ? H5Fget_file_image(file, NULL, 0) : -1;
    if (size > 0) bytes = vt_alloc((size_t)size, 1);
    if (size > 0 && !bytes)
        vt_hdf5_send_error(fd, VT_ENOMEM);
    else if (!bytes || H5Fget_file_image(file, bytes, (size_t)size) < 0)
        vt_hdf5_send_error(fd, vt_hdf5_library_error("", "the file could not be composed"));
    else
        vt_hdf5_send_bytes(fd, IMAGE, bytes, (size_t)size);
}

/* In the child; `data` is the job. It ends after this, so nothing is closed. */
static void compose(const void *data, size_t size, uint64_t limit, int fd)
{
    const job *j = data;
    (void)size;
    (void)limit;
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 || H5PLset_loading_state(0) < 0) {
        vt_hdf5_send_error(fd, vt_error(VT_EUNSUPPORTED, "the HDF5 library does not start"));
        return;
    }
    hid_t file = create_file();
    const char *failed = file < 0 ? "the file" : NULL;
    for (int i = 0; i < j->count && !failed; i++)
        if (!write_item(file, &j->items[i])) failed = j->items[i].path;
    if (failed)
        vt_hdf5_send_error(fd, vt_hdf5_library_error("cannot compose ", failed));
    else
        send_image(file, fd);
}

/* Bytes of what the items hold: the child's limits follow from it. */
static size_t content(const vt_hdf5_item *items, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        if (items[i].kind == VT_HDF5_DATASET) size += vt_tensor_bytes(items[i].tensor);
        for (int k = 0; k < items[i].count; k++)
            size += strlen(items[i].texts[k]);
    }
    return size;
}

vt_status vt_hdf5_write(const vt_hdf5_item *items, int count, const char *path)
{
    job j = {items, count};
    vt_tensor_map *map;
    size_t size = content(items, count);
    VT_TRY(vt_hdf5_parse_with(&map, &j, size, path, compose, 10 + (unsigned)(size >> 24)));
    const vt_tensor *image = vt_tensor_map_find(map, IMAGE);
    vt_status status = image ? vt_file_write(path, image->data, vt_tensor_bytes(image))
                             : vt_error(VT_EIO, "%s: the HDF5 writer sent no file", path);
    vt_tensor_map_free(map);
    return status;
}
