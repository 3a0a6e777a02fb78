/* Files of records of one size under keys of 64 bits, for results too dear to compute twice.
 *
 * Records are appended in blocks. A block is on disk before the call that appends it returns; a
 * process killed, or a power cut, at any moment costs what it was appending and nothing before. One
 * process at a time has the file.
 *
 * On disk, numbers as x86-64 has them: a header (kind, size of a record, names and checksums of the
 * parts that make records), then blocks, each a head (how many records lie before it and in it,
 * checksums), an entry a record (key, stamp, checksum of the record), the records. */
#ifndef VT_IO_RECORDS_H
#define VT_IO_RECORDS_H

#include "ventral/status.h"

#define VT_RECORDS_NAME_SIZE 120
#define VT_RECORDS_KIND_SIZE 160

typedef struct vt_records vt_records;

/* What a record is made by, such as a model. */
typedef struct vt_records_part {
    char name[VT_RECORDS_NAME_SIZE]; /* for messages */
    uint64_t checksum;
} vt_records_part;

typedef struct vt_records_format {
    const char *kind; /* what the records are, in words: "responses" */
    const vt_records_part *parts;
    int part_count;
    size_t record_size; /* bytes */
} vt_records_format;

/* Opens the file, or makes it where there is none (or an empty one). What an interruption left at
 * its end is cut off. VT_EINVAL when it holds another kind or was made by other parts, which are
 * named; VT_EFORMAT when it is damaged or none of these files; VT_EIO when another process has it.
 */
vt_status vt_records_open(vt_records **out, const char *path, const vt_records_format *format);
void vt_records_close(vt_records *records);

int64_t vt_records_count(const vt_records *records);
/* The first record appended under `key`; -1: none. */
int64_t vt_records_find(const vt_records *records, uint64_t key);
/* What it was appended with. */
uint64_t vt_records_stamp(const vt_records *records, int64_t index);
/* VT_EFORMAT when its bytes are not those that were appended. Any thread may call. */
vt_status vt_records_read(const vt_records *records, int64_t index, void *out);

/* Appends `count` records as one block. On failure, such as a full disk, the file is as before. */
vt_status vt_records_append(vt_records *records, const uint64_t *keys, const uint64_t *stamps,
                            const void *data, int64_t count);

#endif
