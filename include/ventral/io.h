/* Files of arrays: NumPy's .npy and .npz, safetensors, zip archives, and whole files.
 *
 * Readers believe nothing: every size is checked against the bytes that are there before it is
 * used, and a file that is not what it should be gives one line saying what is wrong. Writers put a
 * file in the target's place when it is whole and synced: a target is either as before or whole.
 */
#ifndef VENTRAL_IO_H
#define VENTRAL_IO_H

#include <stdio.h>

#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads all of a file (or pipe) into memory that the caller gives back with free(); a zero byte,
 * not counted in *out_size, follows the contents. VT_ENOTFOUND, VT_EIO, VT_ENOMEM. */
vt_status vt_file_read(void **out, size_t *out_size, const char *path);
/* Replaces or creates `path` with `size` bytes, at once. */
vt_status vt_file_write(const char *path, const void *data, size_t size);

/* Makes a folder where there is none yet. VT_EIO also where something else has its name. */
vt_status vt_folder_make(const char *path);

/* Text that is printed in memory and becomes a file when it is whole. */
typedef struct vt_text_file {
    FILE *stream;
    char *text; /* the stream's */
    size_t size;
} vt_text_file;

vt_status vt_text_file_begin(vt_text_file *out);
/* Closes the stream and writes the file, as vt_file_write does. VT_ENOMEM: something is missing. */
vt_status vt_text_file_end(vt_text_file *file, const char *path);
/* A field of comma-separated values, quoted where it must be (RFC 4180). */
void vt_csv_field(FILE *stream, const char *text);
/* A comma and a number; nothing after the comma where it is not finite. */
void vt_csv_next(FILE *stream, double value);

/* NumPy's .npy format, versions 1 to 3 (NEP 1): numeric and boolean arrays of up to six dimensions,
 * either byte order, C or Fortran order. `out` owns a contiguous row-major tensor without a name,
 * to be freed with vt_tensor_free. `label` names the source in messages.
 * VT_EFORMAT: truncated or corrupt; VT_EUNSUPPORTED: text, objects, records, complex numbers. */
vt_status vt_npy_parse(vt_tensor *out, const void *data, size_t size, const char *label);
vt_status vt_npy_read(vt_tensor *out, const char *path);
/* Any strides; VT_EUNSUPPORTED for bfloat16, which NumPy does not have. */
vt_status vt_npy_write(const vt_tensor *t, const char *path);

/* A .npy of VT_F32, VT_F64 or VT_U8 whose data come piece by piece, in row-major order; nothing
 * appears at `path` before vt_npy_rows_finish, which fails when data are missing. */
typedef struct vt_npy_rows vt_npy_rows;

vt_status vt_npy_rows_new(vt_npy_rows **out, const char *path, vt_dtype dtype, int ndim,
                          const int64_t *size);
vt_status vt_npy_rows_put(vt_npy_rows *rows, const void *data, size_t bytes);
vt_status vt_npy_rows_finish(vt_npy_rows *rows); /* frees `rows`, also on failure */
void vt_npy_rows_abort(vt_npy_rows *rows);       /* NULL is fine */

/* .npz: a zip archive of .npy members. Numeric members become tensors under their names without
 * ".npy"; arrays of strings ('U' or 'S', zero or one dimension) become texts, their elements joined
 * by '\n'. Any other member is an error. Free `out` with vt_tensor_map_free. */
vt_status vt_npz_parse(vt_tensor_map **out, const void *data, size_t size, const char *label);
vt_status vt_npz_read(vt_tensor_map **out, const char *path);
/* Members in the order of the map, uncompressed, then its texts as strings without dimensions; the
 * same map gives the same bytes. */
vt_status vt_npz_write(const vt_tensor_map *map, const char *path);

/* safetensors (https://huggingface.co/docs/safetensors): tensors in the order of the header,
 * __metadata__ as texts. The tensors must tile the data without gap or overlap. VT_EUNSUPPORTED:
 * more than six dimensions, a dtype other than BOOL, U8..U64, I8..I64, F16, BF16, F32 and F64. */
vt_status vt_safetensors_parse(vt_tensor_map **out, const void *data, size_t size,
                               const char *label);
vt_status vt_safetensors_read(vt_tensor_map **out, const char *path);
/* Texts become __metadata__. The same map gives the same bytes. Data lie by falling element size so
 * that every tensor is aligned. */
vt_status vt_safetensors_write(const vt_tensor_map *map, const char *path);

/* A zip archive opened for reading: stored and deflated entries, zip64. All functions may be called
 * from several threads. Names are UTF-8; those of folders end in '/'. */
typedef struct vt_zip vt_zip;

vt_status vt_zip_open(vt_zip **out, const char *path);
/* Borrows `data` until vt_zip_close. */
vt_status vt_zip_open_memory(vt_zip **out, const void *data, size_t size, const char *label);
void vt_zip_close(vt_zip *zip);
int64_t vt_zip_count(const vt_zip *zip);
const char *vt_zip_name(const vt_zip *zip, int64_t index); /* borrowed; NULL out of range */
int64_t vt_zip_find(const vt_zip *zip, const char *name);  /* hashed; -1 when absent */
/* One entry, decompressed and its CRC checked, in memory that the caller gives back with free(); a
 * zero byte, not counted, follows it. VT_EFORMAT for damage and sizes that cannot be true,
 * VT_EUNSUPPORTED for encryption, other compressions and more than 8 GiB. */
vt_status vt_zip_read(vt_zip *zip, int64_t index, void **out, size_t *out_size);

/* A zip archive being written; entries keep their order and bear a fixed date, so the same entries
 * give the same bytes. Nothing appears at `path` before vt_zip_writer_finish. */
typedef struct vt_zip_writer vt_zip_writer;

vt_status vt_zip_writer_new(vt_zip_writer **out, const char *path);
/* Copies `data`. VT_EINVAL when the archive has an entry `name` already. */
vt_status vt_zip_writer_add(vt_zip_writer *w, const char *name, const void *data, size_t size,
                            bool compress);
vt_status vt_zip_writer_finish(vt_zip_writer *w); /* frees `w`, also on failure */
void vt_zip_writer_abort(vt_zip_writer *w);       /* gives up: nothing is left behind */

#ifdef __cplusplus
}
#endif
#endif
