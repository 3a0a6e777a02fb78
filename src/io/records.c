/* Files of records: header, blocks, the index in memory. */
#include "io/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "io/file.h"

static const char file_magic[8] = "VTRECS1\n"; /* not terminated */
static const uint64_t block_magic = 0x4b434f4c42545680u;
enum { MAX_PARTS = 1 << 16 };

struct file_header {
    char magic[8];
    uint32_t part_count, zero;
    uint64_t record_size;
    char kind[VT_RECORDS_KIND_SIZE];
    uint64_t checksum; /* of the parts, seeded with that of all before */
};

struct block_head {
    uint64_t magic, first, count; /* first: records in the blocks before */
    uint64_t entries_checksum;
    uint64_t checksum; /* of all before, seeded with the header's */
};

struct entry {
    uint64_t key, stamp, checksum;
};

struct block {
    int64_t first;
    off_t records; /* where its records begin */
};

struct vt_records {
    char *path;
    int fd;
    size_t record_size;
    uint64_t header_checksum;
    off_t end;             /* of the last whole block */
    struct entry *entries; /* of all records */
    int64_t count, capacity;
    struct block *blocks;
    int64_t block_count, block_capacity;
    uint32_t *slots; /* hash table of 1 + number of the record; 0: free */
    size_t slot_count;
};

static vt_status damaged(const vt_records *r, off_t offset)
{
    return vt_error(VT_EFORMAT,
                    "%s: damaged at byte %lld; remove the file and what it held is computed anew",
                    r->path, (long long)offset);
}

/* ---- reading and writing pieces ---- */

static vt_status read_at(const vt_records *r, void *out, size_t size, off_t offset)
{
    for (char *p = out; size > 0;) {
        ssize_t got = pread(r->fd, p, size < 1 << 30 ? size : 1 << 30, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vt_error(VT_EIO, "%s: cannot be read: %s", r->path, strerror(errno));
        if (got == 0) return vt_error(VT_EIO, "%s: has shrunk while it was in use", r->path);
        p += got;
        size -= (size_t)got;
        offset += got;
    }
    return VT_OK;
}

static vt_status write_at(const vt_records *r, const void *data, size_t size, off_t offset)
{
    for (const char *p = data; size > 0;) {
        ssize_t put = pwrite(r->fd, p, size < 1 << 30 ? size : 1 << 30, offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return vt_error(VT_EIO, "%s: cannot be written: %s", r->path, strerror(errno));
        p += put;
        size -= (size_t)put;
        offset += put;
    }
    return VT_OK;
}

static vt_status sync_data(const vt_records *r)
{
    if (fdatasync(r->fd) == 0) return VT_OK;
    return vt_error(VT_EIO, "%s: cannot be written: %s", r->path, strerror(errno));
}

/* ---- the index ---- */

/* Where a key's search begins. Salted, so that no file can be made to search slowly. */
static size_t first_slot(const vt_records *r, uint64_t key)
{
    return (size_t)vt_hash64(&key, sizeof key, (uint64_t)(uintptr_t)r) & (r->slot_count - 1);
}

static void add_slot(vt_records *r, int64_t index)
{
    uint64_t key = r->entries[index].key;
    size_t slot = first_slot(r, key);
    for (; r->slots[slot]; slot = (slot + 1) & (r->slot_count - 1))
        if (r->entries[r->slots[slot] - 1].key == key) return; /* the first counts */
    r->slots[slot] = (uint32_t)index + 1;
}

/* Room for `more` entries and a block. */
static vt_status reserve(vt_records *r, int64_t more)
{
    int64_t wanted = r->count + more;
    if (wanted >= UINT32_MAX) return vt_error(VT_EUNSUPPORTED, "%s: too many records", r->path);
    if (wanted > r->capacity) {
        int64_t capacity = wanted > 2 * r->capacity ? wanted : 2 * r->capacity;
        struct entry *entries =
            vt_grow(r->entries, (size_t)r->count, (size_t)capacity, sizeof *entries);
        if (!entries) return vt_error_context(VT_ENOMEM, "%s", r->path);
        r->entries = entries;
        r->capacity = capacity;
    }
    if (r->block_count == r->block_capacity) {
        int64_t capacity = r->block_capacity ? 2 * r->block_capacity : 64;
        struct block *blocks =
            vt_grow(r->blocks, (size_t)r->block_count, (size_t)capacity, sizeof *blocks);
        if (!blocks) return vt_error_context(VT_ENOMEM, "%s", r->path);
        r->blocks = blocks;
        r->block_capacity = capacity;
    }
    if (2 * (size_t)wanted <= r->slot_count) return VT_OK;
    size_t slot_count = r->slot_count ? r->slot_count : 64;
    while (2 * (size_t)wanted > slot_count)
        slot_count *= 2;
    uint32_t *slots = vt_alloc(slot_count, sizeof *slots);
    if (!slots) return vt_error_context(VT_ENOMEM, "%s", r->path);
    free(r->slots);
    r->slots = slots;
    r->slot_count = slot_count;
    for (int64_t i = 0; i < r->count; i++)
        add_slot(r, i);
    return VT_OK;
}

/* Takes in a block whose entries lie behind the last. */
static void add_block(vt_records *r, int64_t count, off_t records)
{
    r->blocks[r->block_count++] = (struct block){r->count, records};
    for (int64_t i = 0; i < count; i++)
        add_slot(r, r->count++);
    r->end = records + (off_t)((size_t)count * r->record_size);
}

int64_t vt_records_count(const vt_records *records)
{
    return records->count;
}

int64_t vt_records_find(const vt_records *r, uint64_t key)
{
    if (r->count == 0) return -1;
    for (size_t slot = first_slot(r, key); r->slots[slot]; slot = (slot + 1) & (r->slot_count - 1))
        if (r->entries[r->slots[slot] - 1].key == key) return (int64_t)r->slots[slot] - 1;
    return -1;
}

uint64_t vt_records_stamp(const vt_records *records, int64_t index)
{
    return records->entries[index].stamp;
}

vt_status vt_records_read(const vt_records *r, int64_t index, void *out)
{
    int64_t low = 0, high = r->block_count - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (r->blocks[middle].first <= index)
            low = middle;
        else
            high = middle - 1;
    }
    const struct block *block = &r->blocks[low];
    off_t offset = block->records + (off_t)((size_t)(index - block->first) * r->record_size);
    VT_TRY(read_at(r, out, r->record_size, offset));
    bool whole = vt_hash64(out, r->record_size, 0) == r->entries[index].checksum;
    return whole ? VT_OK : damaged(r, offset);
}

/* ---- header ---- */

static uint64_t header_checksum(const struct file_header *header, const vt_records_part *parts)
{
    uint64_t seed = vt_hash64(header, offsetof(struct file_header, checksum), 0);
    return vt_hash64(parts, header->part_count * sizeof *parts, seed);
}

/* The header as it has to be: free() it. */
static vt_status make_header(void **out, size_t *out_size, const vt_records_format *format)
{
    size_t size = sizeof(struct file_header) + (size_t)format->part_count * sizeof *format->parts;
    struct file_header *header = vt_alloc(size, 1);
    if (!header) return VT_ENOMEM;
    memcpy(header->magic, file_magic, sizeof header->magic);
    header->part_count = (uint32_t)format->part_count;
    header->record_size = format->record_size;
    snprintf(header->kind, sizeof header->kind, "%s", format->kind);
    for (int i = 0; i < format->part_count; i++) {
        vt_records_part *part = (vt_records_part *)(header + 1) + i; /* zeros behind the name */
        snprintf(part->name, sizeof part->name, "%s", format->parts[i].name);
        part->checksum = format->parts[i].checksum;
    }
    header->checksum = header_checksum(header, (vt_records_part *)(header + 1));
    *out = header;
    *out_size = size;
    return VT_OK;
}

static bool has_checksum(const vt_records_part *parts, size_t count, uint64_t checksum)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].checksum == checksum) return true;
    return false;
}

static bool has_name(const vt_records_part *parts, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(parts[i].name, name) == 0) return true;
    return false;
}

/* Says how the parts that made the file (a) differ from those given (b), the order included. */
static vt_status compare_parts(const char *path, const char *kind, const vt_records_part *a,
                               size_t a_count, const vt_records_part *b, size_t b_count)
{
    static const char remedy[] = "give what made it, name another file, or remove this one";
    for (size_t i = 0; i < a_count; i++) {
        if (has_checksum(b, b_count, a[i].checksum)) continue;
        return vt_error(VT_EINVAL, "%s: holds %s of %s, which %s; %s", path, kind, a[i].name,
                        has_name(b, b_count, a[i].name) ? "has changed since" : "is not given now",
                        remedy);
    }
    for (size_t i = 0; i < b_count; i++)
        if (!has_checksum(a, a_count, b[i].checksum))
            return vt_error(VT_EINVAL, "%s: holds no %s of %s; %s", path, kind, b[i].name, remedy);
    for (size_t i = 0; i < a_count && i < b_count; i++)
        if (a[i].checksum != b[i].checksum)
            return vt_error(VT_EINVAL,
                            "%s: holds %s of the same models in another order: %s where "
                            "%s is given; %s",
                            path, kind, a[i].name, b[i].name, remedy);
    if (a_count != b_count)
        return vt_error(VT_EINVAL, "%s: holds %s of %zu models, %zu are given; %s", path, kind,
                        a_count, b_count, remedy);
    return VT_OK;
}

/* Checks the header that is there; `wanted` is the one it should be, but for the parts' names. */
static vt_status check_header(vt_records *r, off_t size, const struct file_header *wanted)
{
    struct file_header header;
    if ((size_t)size < sizeof header)
        return vt_error(VT_EFORMAT, "%s: not a file of stored %s", r->path, wanted->kind);
    VT_TRY(read_at(r, &header, sizeof header, 0));
    if (memcmp(header.magic, file_magic, sizeof header.magic) != 0)
        return vt_error(VT_EFORMAT, "%s: not a file of stored %s", r->path, wanted->kind);
    size_t part_bytes = header.part_count * sizeof(vt_records_part);
    if (header.part_count > MAX_PARTS || (size_t)size - sizeof header < part_bytes)
        return damaged(r, 0);
    vt_records_part *parts = vt_alloc(header.part_count, sizeof *parts);
    if (!parts) return vt_error_context(VT_ENOMEM, "%s", r->path);
    vt_status status = read_at(r, parts, part_bytes, sizeof header);
    if (status == VT_OK && header_checksum(&header, parts) != header.checksum)
        status = damaged(r, 0);
    header.kind[sizeof header.kind - 1] = '\0';
    for (size_t i = 0; i < header.part_count; i++)
        parts[i].name[sizeof parts[i].name - 1] = '\0';
    if (status == VT_OK && strcmp(header.kind, wanted->kind) != 0)
        status = vt_error(VT_EINVAL, "%s: holds %s, not %s; name another file or remove this one",
                          r->path, header.kind, wanted->kind);
    if (status == VT_OK)
        status = compare_parts(r->path, header.kind, parts, header.part_count,
                               (const vt_records_part *)(wanted + 1), wanted->part_count);
    if (status == VT_OK && header.record_size != wanted->record_size)
        status = vt_error(VT_EINVAL,
                          "%s: holds %s of %llu bytes, not %llu; name another file or "
                          "remove this one",
                          r->path, header.kind, (unsigned long long)header.record_size,
                          (unsigned long long)wanted->record_size);
    r->header_checksum = header.checksum;
    free(parts);
    return status;
}

/* Whether the file is the beginning of the header: its making was interrupted. */
static vt_status is_begun(const vt_records *r, bool *out, off_t size, const void *header,
                          size_t header_size)
{
    *out = false;
    if ((size_t)size >= header_size) return VT_OK;
    char *there = vt_alloc((size_t)size, 1);
    if (!there) return VT_ENOMEM;
    vt_status status = read_at(r, there, (size_t)size, 0);
    if (status == VT_OK) *out = memcmp(there, header, (size_t)size) == 0;
    free(there);
    return status;
}

static vt_status start_file(vt_records *r, const void *header, size_t header_size)
{
    vt_status status = write_at(r, header, header_size, 0);
    if (status == VT_OK) status = sync_data(r);
    if (status == VT_OK) status = vt_file_sync_folder(r->path);
    if (status != VT_OK) unlink(r->path);
    return status;
}

/* ---- blocks ---- */

static uint64_t head_checksum(const vt_records *r, const struct block_head *head)
{
    return vt_hash64(head, offsetof(struct block_head, checksum), r->header_checksum);
}

/* A power cut can leave a file that is longer than what was written to it, perhaps from within a
 * block's head on. */
static vt_status is_zero_from(const vt_records *r, bool *out, off_t offset, off_t size)
{
    char piece[4096];
    for (*out = true; *out && offset < size;) {
        size_t bytes = size - offset < 4096 ? (size_t)(size - offset) : sizeof piece;
        VT_TRY(read_at(r, piece, bytes, offset));
        for (size_t i = 0; i < bytes; i++)
            *out &= piece[i] == 0;
        offset += (off_t)bytes;
    }
    return VT_OK;
}

/* Whether the records of the block whose entries lie behind the last are whole. */
static vt_status are_whole(const vt_records *r, bool *out, int64_t count, off_t records)
{
    void *record = vt_alloc(r->record_size, 1);
    if (!record) return vt_error_context(VT_ENOMEM, "%s", r->path);
    vt_status status = VT_OK;
    *out = true;
    for (int64_t i = 0; i < count && *out && status == VT_OK; i++) {
        status = read_at(r, record, r->record_size, records + (off_t)((size_t)i * r->record_size));
        *out = vt_hash64(record, r->record_size, 0) == r->entries[r->count + i].checksum;
    }
    free(record);
    return status;
}

/* Takes in the block at r->end; *out_torn when it is what an interruption left: shorter than it
 * says, or no block and zeros behind, or the last one and not as its checksums say. */
static vt_status load_block(vt_records *r, off_t size, bool *out_torn)
{
    struct block_head head;
    size_t left = (size_t)(size - r->end), bytes;
    *out_torn = true;
    if (left < sizeof head) return VT_OK;
    VT_TRY(read_at(r, &head, sizeof head, r->end));
    left -= sizeof head;
    if (head.magic != block_magic || head.checksum != head_checksum(r, &head)) {
        VT_TRY(is_zero_from(r, out_torn, r->end + (off_t)sizeof head, size));
        return *out_torn ? VT_OK : damaged(r, r->end);
    }
    if (head.count < 1 || head.first != (uint64_t)r->count ||
        !vt_mul_ok(&bytes, head.count, sizeof(struct entry) + r->record_size))
        return damaged(r, r->end);
    if (bytes > left) return VT_OK;
    bool last = bytes == left, whole;
    int64_t count = (int64_t)head.count;
    off_t records = r->end + (off_t)(sizeof head + head.count * sizeof(struct entry));
    VT_TRY(reserve(r, count));
    struct entry *entries = r->entries + r->count;
    VT_TRY(read_at(r, entries, head.count * sizeof *entries, r->end + (off_t)sizeof head));
    whole = vt_hash64(entries, head.count * sizeof *entries, 0) == head.entries_checksum;
    if (!whole && !last) return damaged(r, r->end);
    if (whole && last) VT_TRY(are_whole(r, &whole, count, records));
    if (!whole) return VT_OK;
    *out_torn = false;
    add_block(r, count, records);
    return VT_OK;
}

static vt_status load_blocks(vt_records *r, off_t size)
{
    for (bool torn = false; r->end < size && !torn;)
        VT_TRY(load_block(r, size, &torn));
    if (r->end < size && ftruncate(r->fd, r->end) != 0)
        return vt_error(VT_EIO, "%s: cannot be cut: %s", r->path, strerror(errno));
    return VT_OK;
}

vt_status vt_records_append(vt_records *r, const uint64_t *keys, const uint64_t *stamps,
                            const void *data, int64_t count)
{
    if (count < 1) return VT_OK;
    VT_TRY(reserve(r, count));
    size_t entry_bytes = (size_t)count * sizeof(struct entry);
    struct entry *entries = r->entries + r->count;
    for (int64_t i = 0; i < count; i++) {
        const char *record = (const char *)data + (size_t)i * r->record_size;
        entries[i] = (struct entry){keys[i], stamps[i], vt_hash64(record, r->record_size, 0)};
    }
    struct block_head head = {.magic = block_magic,
                              .first = (uint64_t)r->count,
                              .count = (uint64_t)count,
                              .entries_checksum = vt_hash64(entries, entry_bytes, 0)};
    head.checksum = head_checksum(r, &head);
    off_t records = r->end + (off_t)(sizeof head + entry_bytes);
    vt_status status = write_at(r, &head, sizeof head, r->end);
    if (status == VT_OK) status = write_at(r, entries, entry_bytes, r->end + (off_t)sizeof head);
    if (status == VT_OK) status = write_at(r, data, (size_t)count * r->record_size, records);
    if (status == VT_OK) status = sync_data(r);
    if (status != VT_OK) {
        if (ftruncate(r->fd, r->end) != 0) return status; /* cut when it is opened next */
        return status;
    }
    add_block(r, count, records);
    return VT_OK;
}

/* ---- opening ---- */

/* The file under its name, locked: another process may remove it between the two. */
static vt_status open_locked(vt_records *r, off_t *out_size)
{
    struct stat mine, named;
    for (int attempt = 0; attempt < 100; attempt++) {
        r->fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
        if (r->fd < 0)
            return vt_error(errno == ENOENT || errno == ENOTDIR ? VT_ENOTFOUND : VT_EIO,
                            "%s: cannot be opened: %s", r->path, strerror(errno));
        if (fstat(r->fd, &mine) != 0 || !S_ISREG(mine.st_mode))
            return vt_error(VT_EIO, "%s: not a regular file", r->path);
        if (flock(r->fd, LOCK_EX | LOCK_NB) != 0)
            return vt_error(VT_EIO,
                            errno == EWOULDBLOCK
                                ? "%s: another process is using it; wait for that one or "
                                  "name another file"
                                : "%s: cannot be locked",
                            r->path);
        if (fstat(r->fd, &mine) == 0 && stat(r->path, &named) == 0 && mine.st_dev == named.st_dev &&
            mine.st_ino == named.st_ino) {
            *out_size = mine.st_size;
            return VT_OK;
        }
        close(r->fd);
        r->fd = -1;
    }
    return vt_error(VT_EIO, "%s: other processes keep replacing it", r->path);
}

static vt_status open_file(vt_records *r, const struct file_header *header, size_t header_size)
{
    off_t size = 0;
    bool begun;
    VT_TRY(open_locked(r, &size));
    VT_TRY(is_begun(r, &begun, size, header, header_size));
    r->header_checksum = header->checksum;
    r->end = (off_t)header_size;
    if (begun) return start_file(r, header, header_size);
    VT_TRY(check_header(r, size, header));
    return load_blocks(r, size);
}

vt_status vt_records_open(vt_records **out, const char *path, const vt_records_format *format)
{
    void *header = NULL;
    size_t header_size = 0;
    if (format->record_size < 1 || format->record_size > PTRDIFF_MAX / 2)
        return vt_error(VT_EINVAL, "%s: records of %zu bytes cannot be stored", path,
                        format->record_size);
    if (format->part_count < 0 || format->part_count > MAX_PARTS)
        return vt_error(VT_EINVAL, "%s: made by %d models; the limit is %d", path,
                        format->part_count, MAX_PARTS);
    vt_records *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->fd = -1;
    r->record_size = format->record_size;
    r->path = vt_strdup(path);
    vt_status status = r->path ? make_header(&header, &header_size, format) : VT_ENOMEM;
    if (status == VT_OK) status = open_file(r, header, header_size);
    free(header);
    if (status != VT_OK) {
        vt_records_close(r);
        return status;
    }
    *out = r;
    return VT_OK;
}

void vt_records_close(vt_records *r)
{
    if (!r) return;
    if (r->fd >= 0) close(r->fd); /* gives the lock back */
    free(r->path);
    free(r->entries);
    free(r->blocks);
    free(r->slots);
    free(r);
}
