/* Writing a file so that it appears whole or not at all. */
#ifndef VT_IO_FILE_H
#define VT_IO_FILE_H

#include "ventral/io.h"

/* Tensors or texts that one file may hold: names are looked up linearly, so their number bounds the
 * time a hostile file can take. */
#define VT_IO_MAX_ITEMS 16384

typedef struct vt_file_writer {
    char *path, *temporary; /* temporary: NULL while the file has no name */
    int fd;
} vt_file_writer;

/* Creates an empty file, without a name where the file system can, that is to become `path`. */
vt_status vt_file_writer_open(vt_file_writer *out, const char *path);
vt_status vt_file_writer_put(vt_file_writer *w, const void *data, size_t size);
/* Syncs the file and puts it in the target's place; frees, also on failure. */
vt_status vt_file_writer_commit(vt_file_writer *w);
void vt_file_writer_abort(vt_file_writer *w);

/* Syncs the folder that `path` is in: what was made or renamed there survives a power cut. */
vt_status vt_file_sync_folder(const char *path);

#endif
