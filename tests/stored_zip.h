/* Builds zip archives of stored entries in memory, for tests and fuzz targets. */
#ifndef STORED_ZIP_H
#define STORED_ZIP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct stored_zip {
    unsigned char *data; /* free() it */
    size_t size;
    unsigned char directory[4096];
    size_t directory_size;
    unsigned count;
} stored_zip;

static inline unsigned char *stored_zip_number(unsigned char *p, unsigned value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *p++ = (unsigned char)(value >> 8 * i);
    return p;
}

static inline void stored_zip_append(stored_zip *z, const void *data, size_t size)
{
    unsigned char *grown = realloc(z->data, z->size + size + 1);
    if (!grown) abort();
    z->data = grown;
    if (size) memcpy(z->data + z->size, data, size);
    z->size += size;
}

/* The fields that a local header and the directory share. */
static inline unsigned char *stored_zip_fields(unsigned char *p, const char *name, const void *data,
                                               size_t size)
{
    p = stored_zip_number(p, 20, 2);   /* version needed */
    p = stored_zip_number(p, 0, 2);    /* flags */
    p = stored_zip_number(p, 0, 2);    /* stored */
    p = stored_zip_number(p, 0, 2);    /* time */
    p = stored_zip_number(p, 0x21, 2); /* date */
    p = stored_zip_number(p, (unsigned)crc32(0, data, (unsigned)size), 4);
    p = stored_zip_number(p, (unsigned)size, 4);
    p = stored_zip_number(p, (unsigned)size, 4);
    p = stored_zip_number(p, (unsigned)strlen(name), 2);
    return stored_zip_number(p, 0, 2); /* extra field */
}

static inline void stored_zip_add(stored_zip *z, const char *name, const void *data, size_t size)
{
    static const unsigned char nothing[1] = {0};
    unsigned char local[30], *p = stored_zip_number(local, 0x04034b50, 4);
    size_t length = strlen(name);
    if (z->directory_size + 46 + length > sizeof z->directory) abort();
    if (!size) data = nothing;
    stored_zip_fields(p, name, data, size);
    unsigned char *entry = z->directory + z->directory_size;
    entry = stored_zip_number(entry, 0x02014b50, 4);
    entry = stored_zip_number(entry, 20, 2); /* version made by */
    entry = stored_zip_fields(entry, name, data, size);
    memset(entry, 0, 10); /* comment, disk, attributes */
    entry = stored_zip_number(entry + 10, (unsigned)z->size, 4);
    memcpy(entry, name, length);
    z->directory_size += 46 + length;
    z->count++;
    stored_zip_append(z, local, sizeof local);
    stored_zip_append(z, name, length);
    stored_zip_append(z, data, size);
}

static inline void stored_zip_finish(stored_zip *z)
{
    unsigned char end[22] = {0}, *p = stored_zip_number(end, 0x06054b50, 4);
    size_t at = z->size;
    p = stored_zip_number(p + 4, z->count, 2);
    p = stored_zip_number(p, z->count, 2);
    p = stored_zip_number(p, (unsigned)z->directory_size, 4);
    stored_zip_number(p, (unsigned)at, 4);
    stored_zip_append(z, z->directory, z->directory_size);
    stored_zip_append(z, end, sizeof end);
}

#endif
