/* A .npy written piece by piece. */
#include <stdlib.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/npy.h"

struct vt_npy_rows {
    vt_file_writer file;
    size_t left; /* bytes still to come */
};

/* NumPy's type text of the dtypes written piece by piece. */
static const char *descr_of(vt_dtype dtype)
{
    return dtype == VT_F32 ? "<f4" : dtype == VT_F64 ? "<f8" : dtype == VT_U8 ? "|u1" : NULL;
}

vt_status vt_npy_rows_new(vt_npy_rows **out, const char *path, vt_dtype dtype, int ndim,
                          const int64_t *size)
{
    const char *descr = descr_of(dtype);
    if (!descr)
        return vt_error(VT_EUNSUPPORTED, "%s: rows of %s cannot be written", path,
                        vt_dtype_name(dtype));
    vt_tensor shape;
    void *header = NULL;
    size_t header_bytes;
    char *data;
    VT_TRY(vt_tensor_init(&shape, dtype, ndim, size, NULL));
    vt_npy_rows *rows = vt_alloc(1, sizeof *rows);
    if (!rows) return VT_ENOMEM;
    rows->left = vt_tensor_bytes(&shape);
    vt_status status = vt_npy_start(&header, &header_bytes, &data, descr, ndim, size, 0);
    if (status == VT_OK) status = vt_file_writer_open(&rows->file, path);
    if (status != VT_OK) {
        free(header);
        free(rows);
        return status;
    }
    status = vt_file_writer_put(&rows->file, header, header_bytes);
    free(header);
    if (status != VT_OK) {
        vt_npy_rows_abort(rows);
        return status;
    }
    *out = rows;
    return VT_OK;
}

vt_status vt_npy_rows_put(vt_npy_rows *rows, const void *data, size_t bytes)
{
    if (bytes > rows->left)
        return vt_error(VT_EINVAL, "%s: more rows than announced", rows->file.path);
    VT_TRY(vt_file_writer_put(&rows->file, data, bytes));
    rows->left -= bytes;
    return VT_OK;
}

vt_status vt_npy_rows_finish(vt_npy_rows *rows)
{
    vt_status status = rows->left == 0 ? VT_OK
                                       : vt_error(VT_EINVAL, "%s: %zu bytes of rows are missing",
                                                  rows->file.path, rows->left);
    if (status == VT_OK)
        status = vt_file_writer_commit(&rows->file);
    else
        vt_file_writer_abort(&rows->file);
    free(rows);
    return status;
}

void vt_npy_rows_abort(vt_npy_rows *rows)
{
    if (!rows) return;
    vt_file_writer_abort(&rows->file);
    free(rows);
}
