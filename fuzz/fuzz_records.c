/* Files of records: any bytes are refused, or open as records that can be found and read or are
 * known to be damaged, and to which more can be added. Once as they are, once as blocks behind a
 * valid header, with the first block's head made to pass its checksum. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 4, HEADER = 192 + 128, CHECKSUM = 184, HEAD = 40 };

static const vt_records_part part = {"a.keras", 1};
static const vt_records_format format = {
    .kind = "responses", .parts = &part, .part_count = 1, .record_size = RECORD};

static void read_all(const vt_records *records)
{
    unsigned char record[RECORD];
    for (int64_t i = 0; i < vt_records_count(records); i++) {
        vt_records_stamp(records, i);
        vt_status status = vt_records_read(records, i, record);
        if (status != VT_OK && status != VT_EFORMAT) abort();
    }
}

static void try_file(const char *path)
{
    static const uint64_t key = 0x123456789abcdef0, stamp = 5;
    vt_records *records;
    if (vt_records_open(&records, path, &format) != VT_OK) return;
    read_all(records);
    int64_t count = vt_records_count(records);
    if (vt_records_append(records, &key, &stamp, "abcd", 1) != VT_OK) abort();
    if (vt_records_find(records, key) < 0) abort();
    vt_records_close(records);
    if (vt_records_open(&records, path, &format) != VT_OK) abort();
    if (vt_records_count(records) != count + 1 || vt_records_find(records, key) < 0) abort();
    vt_records_close(records);
}

/* Behind the header of an empty file. */
static void put_blocks(int file, const char *path, const uint8_t *data, size_t size)
{
    vt_records *records;
    uint64_t seed, sum;
    if (vt_records_open(&records, path, &format) != VT_OK) abort();
    vt_records_close(records);
    if (pwrite(file, data, size, HEADER) != (ssize_t)size) abort();
    if (size < HEAD) return;
    if (pread(file, &seed, sizeof seed, CHECKSUM) != (ssize_t)sizeof seed) abort();
    sum = vt_hash64(data, HEAD - sizeof sum, seed);
    if (pwrite(file, &sum, sizeof sum, HEADER + HEAD - (off_t)sizeof sum) != (ssize_t)sizeof sum)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int as_blocks = 0; as_blocks < 2; as_blocks++) {
        char path[64];
        int file = memfd_create("records", 0);
        if (file < 0) abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        if (as_blocks)
            put_blocks(file, path, data, size);
        else if (pwrite(file, data, size, 0) != (ssize_t)size)
            abort();
        try_file(path);
        close(file);
    }
    return 0;
}
