/* What the other formats need of zip archives beyond the public functions. */
#ifndef VT_IO_ZIP_H
#define VT_IO_ZIP_H

#include "ventral/io.h"

/* As vt_zip_writer_add, but takes over `data` (free()), also on failure. */
vt_status vt_zip_writer_adopt(vt_zip_writer *w, const char *name, void *data, size_t size,
                              bool compress);

#endif
