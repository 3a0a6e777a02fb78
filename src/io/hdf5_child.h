/* The two sides of reading HDF5: a confined child that calls the HDF5 library, and the parent that
 * reads what the child sends and trusts none of it.
 *
 * The stream is a sequence of records in the machine's byte order, each a kind byte and:
 *   TENSOR   u16 length, name; u8 dtype; u8 ndim; u64 size[ndim]; the elements
 *   TEXT     u16 length, key; u32 length, value
 *   SKIPPED  u16 length, name
 *   ERROR    i32 status; u16 length, message         (last record)
 *   END                                              (last record)
 */
#ifndef VT_IO_HDF5_CHILD_H
#define VT_IO_HDF5_CHILD_H

#include "ventral/tensor.h"

enum {
    VT_HDF5_TENSOR = 'T',
    VT_HDF5_TEXT = 'A',
    VT_HDF5_SKIPPED = 'S',
    VT_HDF5_ERROR = 'X',
    VT_HDF5_END = 'E',
};

#define VT_HDF5_MAX_RECORDS 16384 /* of each kind */
#define VT_HDF5_MAX_KEY 1024
#define VT_HDF5_MAX_TEXTS (64u << 20) /* bytes of all texts */

/* Reads the HDF5 file in memory and writes the stream to `fd`, at most `limit` bytes of tensors.
 * Runs in the child. */
typedef void (*vt_hdf5_server)(const void *data, size_t size, uint64_t limit, int fd);
void vt_hdf5_serve(const void *data, size_t size, uint64_t limit, int fd);

/* Other answers of a child: one tensor of bytes and the end; the message of the last failure; and
 * that message made of what the HDF5 library says went wrong, `subject` and `what` before it. */
void vt_hdf5_send_bytes(int fd, const char *name, const void *data, size_t size);
void vt_hdf5_send_error(int fd, vt_status status);
vt_status vt_hdf5_library_error(const char *subject, const char *what);

/* In a fresh child: gives up the parent's signal handlers, files and standard streams, and sets
 * limits: `seconds` of processor time (and eight times that by the clock), `memory` more bytes,
 * no core dump, no open files. Keeps `*fd` open, under a number that it may change. */
void vt_hdf5_confine(int *fd, unsigned seconds, uint64_t memory);

/* Runs `serve` in a confined child and reads its stream: vt_hdf5_parse with the child's work
 * exchangeable, for tests. */
vt_status vt_hdf5_parse_with(vt_tensor_map **out, const void *data, size_t size, const char *label,
                             vt_hdf5_server serve, unsigned seconds);

/* Reads a stream from memory: for tests and fuzzing. */
vt_status vt_hdf5_stream_parse(vt_tensor_map **out, const void *data, size_t size, uint64_t limit,
                               const char *label);

/* Whether the data begins (after a user block, perhaps) with HDF5's signature. */
bool vt_hdf5_has_signature(const void *data, size_t size);

#endif
