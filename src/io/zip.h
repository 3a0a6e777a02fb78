/* What the other formats need of zip archives beyond the public functions. */
#ifndef VT_IO_ZIP_H
#define VT_IO_ZIP_H

#include "ventral/io.h"

/* As vt_zip_read; VT_EUNSUPPORTED, before memory is allocated, for an entry of more than `limit`
 * bytes. */
vt_status vt_zip_read_limited(vt_zip *zip, int64_t index, uint64_t limit, void **out,
                              size_t *out_size);

/* As vt_zip_writer_add, but takes over `data` (free()), also on failure. */
vt_status vt_zip_writer_adopt(vt_zip_writer *w, const char *name, void *data, size_t size,
                              bool compress);

#endif
