/* Zip archives over libzip, made safe for hostile files and for several threads.
 *
 * The format: PKWARE APPNOTE 6.3. Deflate yields at most 258 bytes from 2 bits, so a size over
 * 1032 times the compressed one is a lie; the compressed entries lie side by side in the archive,
 * so their sum is no more than its size. Together these bound memory before any is allocated. */
#include "io/zip.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/arena.h"
#include "io/file.h"

#define MAX_ENTRY_BYTES (UINT64_C(8) << 30)
#define MAX_RATIO 1100

struct vt_zip {
    zip_t *archive;
    char *label;
    const char **names; /* resolved once: libzip converts names lazily, which threads must not */
    int64_t count;
    pthread_mutex_t lock;
};

static vt_status status_of(int code)
{
    switch (code) {
    case ZIP_ER_MEMORY: return VT_ENOMEM;
    case ZIP_ER_NOENT: return VT_ENOTFOUND;
    case ZIP_ER_EXISTS: return VT_EINVAL;
    case ZIP_ER_RENAME:
    case ZIP_ER_CLOSE:
    case ZIP_ER_SEEK:
    case ZIP_ER_READ:
    case ZIP_ER_WRITE:
    case ZIP_ER_OPEN:
    case ZIP_ER_TMPOPEN: return VT_EIO;
    case ZIP_ER_MULTIDISK:
    case ZIP_ER_COMPNOTSUPP:
    case ZIP_ER_ENCRNOTSUPP: return VT_EUNSUPPORTED;
    default: return VT_EFORMAT;
    }
}

static vt_status zip_error_of(zip_error_t *error, const char *label)
{
    return vt_error(status_of(zip_error_code_zip(error)), "%s: %s", label,
                    zip_error_strerror(error));
}

static vt_status entry_error_of(zip_error_t *error, const char *label, const char *name)
{
    return vt_error(status_of(zip_error_code_zip(error)), "%s: entry %s: %s", label, name,
                    zip_error_strerror(error));
}

void vt_zip_close(vt_zip *zip)
{
    if (!zip) return;
    if (zip->archive) zip_discard(zip->archive);
    pthread_mutex_destroy(&zip->lock);
    free(zip->names);
    free(zip->label);
    free(zip);
}

/* Names of all entries; and the sum of their compressed sizes within the archive's. */
static vt_status list_entries(vt_zip *zip, uint64_t archive_bytes)
{
    uint64_t total = 0;
    zip->count = zip_get_num_entries(zip->archive, 0);
    zip->names = vt_alloc((size_t)zip->count, sizeof *zip->names);
    if (!zip->names) return VT_ENOMEM;
    for (int64_t i = 0; i < zip->count; i++) {
        zip_stat_t info;
        if (zip_stat_index(zip->archive, (zip_uint64_t)i, 0, &info) != 0)
            return zip_error_of(zip_get_error(zip->archive), zip->label);
        zip->names[i] = info.name;
        if (!(info.valid & ZIP_STAT_NAME) || !(info.valid & ZIP_STAT_COMP_SIZE))
            return vt_error(VT_EFORMAT, "%s: entry %lld has no name or no size", zip->label,
                            (long long)i);
        if (info.comp_size > archive_bytes - total)
            return vt_error(VT_EFORMAT,
                            "%s: entry %s reaches beyond the archive or overlaps others: the file "
                            "is truncated or not to be trusted",
                            zip->label, info.name);
        total += info.comp_size;
    }
    return VT_OK;
}

/* Takes over `source`. */
static vt_status open_source(vt_zip **out, zip_source_t *source, uint64_t size, const char *label)
{
    zip_error_t error;
    vt_status status = VT_OK;
    vt_zip *zip = vt_alloc(1, sizeof *zip);
    if (!zip) {
        zip_source_free(source);
        return VT_ENOMEM;
    }
    pthread_mutex_init(&zip->lock, NULL);
    zip_error_init(&error);
    zip->label = vt_strdup(label);
    if (!zip->label) status = VT_ENOMEM;
    /* libzip takes an empty file for an archive without entries. */
    if (status == VT_OK && size == 0)
        status = vt_error(VT_EFORMAT, "%s: not a zip archive: it is empty", label);
    if (status == VT_OK && !(zip->archive = zip_open_from_source(source, ZIP_RDONLY, &error)))
        status = zip_error_of(&error, label);
    if (!zip->archive) zip_source_free(source);
    zip_error_fini(&error);
    if (status == VT_OK) status = list_entries(zip, size);
    if (status != VT_OK) {
        vt_zip_close(zip);
        return status;
    }
    *out = zip;
    return VT_OK;
}

vt_status vt_zip_open(vt_zip **out, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return vt_error(errno == ENOENT || errno == ENOTDIR ? VT_ENOTFOUND : VT_EIO,
                        "%s: cannot open: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return vt_error(VT_EIO, "%s: cannot read: it is not a regular file", path);
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_file_create(path, 0, -1, &error);
    vt_status status = source ? open_source(out, source, (uint64_t)info.st_size, path)
                              : zip_error_of(&error, path);
    zip_error_fini(&error);
    return status;
}

vt_status vt_zip_open_memory(vt_zip **out, const void *data, size_t size, const char *label)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(data, size, 0, &error);
    vt_status status = source ? open_source(out, source, size, label) : zip_error_of(&error, label);
    zip_error_fini(&error);
    return status;
}

int64_t vt_zip_count(const vt_zip *zip)
{
    return zip->count;
}

const char *vt_zip_name(const vt_zip *zip, int64_t index)
{
    return index >= 0 && index < zip->count ? zip->names[index] : NULL;
}

int64_t vt_zip_find(const vt_zip *zip, const char *name)
{
    vt_zip *shared = (vt_zip *)zip; /* libzip notes "not found" in the archive's error */
    pthread_mutex_lock(&shared->lock);
    int64_t index = zip_name_locate(shared->archive, name, 0);
    pthread_mutex_unlock(&shared->lock);
    return index;
}

static vt_status check_entry(const vt_zip *zip, const zip_stat_t *info)
{
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    const char *label = zip->label, *name = info->name;
    if ((info->valid & needed) != needed)
        return vt_error(VT_EFORMAT, "%s: entry %s does not say its size", label, name);
    if (info->encryption_method != ZIP_EM_NONE)
        return vt_error(VT_EUNSUPPORTED, "%s: entry %s is encrypted; decrypt the archive first",
                        label, name);
    if (info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE)
        return vt_error(VT_EUNSUPPORTED,
                        "%s: entry %s is compressed by method %u; only stored and deflated "
                        "entries can be read",
                        label, name, info->comp_method);
    if (info->size > MAX_ENTRY_BYTES)
        return vt_error(VT_EUNSUPPORTED, "%s: entry %s has %llu bytes; the limit is 8 GiB", label,
                        name, (unsigned long long)info->size);
    bool stored = info->comp_method == ZIP_CM_STORE;
    if (stored ? info->size != info->comp_size : info->size / MAX_RATIO > info->comp_size)
        return vt_error(VT_EFORMAT, "%s: entry %s claims %llu bytes from %llu, which cannot be",
                        label, name, (unsigned long long)info->size,
                        (unsigned long long)info->comp_size);
    return VT_OK;
}

/* The read past the end makes libzip check the CRC. */
static vt_status read_entry(vt_zip *zip, zip_file_t *file, const zip_stat_t *info, char *data)
{
    uint64_t used = 0;
    char excess;
    for (;;) {
        bool full = used == info->size;
        zip_int64_t got =
            zip_fread(file, full ? &excess : data + used, full ? 1 : info->size - used);
        if (got < 0) return entry_error_of(zip_file_get_error(file), zip->label, info->name);
        if (got == 0 && full) return VT_OK;
        if (got == 0 || full)
            return vt_error(VT_EFORMAT, "%s: entry %s has %s bytes than it says", zip->label,
                            info->name, full ? "more" : "fewer");
        used += (uint64_t)got;
    }
}

static vt_status read_locked(vt_zip *zip, int64_t index, uint64_t limit, void **out,
                             size_t *out_size)
{
    zip_stat_t info;
    if (zip_stat_index(zip->archive, (zip_uint64_t)index, 0, &info) != 0)
        return zip_error_of(zip_get_error(zip->archive), zip->label);
    VT_TRY(check_entry(zip, &info));
    if (info.size > limit)
        return vt_error(VT_EUNSUPPORTED, "%s: entry %s has %llu bytes, more than the %llu expected",
                        zip->label, info.name, (unsigned long long)info.size,
                        (unsigned long long)limit);
    zip_file_t *file = zip_fopen_index(zip->archive, (zip_uint64_t)index, 0);
    if (!file) return entry_error_of(zip_get_error(zip->archive), zip->label, info.name);
    char *data = vt_alloc(info.size, 1); /* always one zero byte more than asked */
    vt_status status = data ? read_entry(zip, file, &info, data) : VT_ENOMEM;
    zip_fclose(file);
    if (status != VT_OK) {
        free(data);
        return status;
    }
    *out = data;
    *out_size = info.size;
    return VT_OK;
}

vt_status vt_zip_read_limited(vt_zip *zip, int64_t index, uint64_t limit, void **out,
                              size_t *out_size)
{
    if (index < 0 || index >= zip->count)
        return vt_error(VT_EINVAL, "%s: no entry %lld; the archive has %lld", zip->label,
                        (long long)index, (long long)zip->count);
    pthread_mutex_lock(&zip->lock);
    vt_status status = read_locked(zip, index, limit, out, out_size);
    pthread_mutex_unlock(&zip->lock);
    return status;
}

vt_status vt_zip_read(vt_zip *zip, int64_t index, void **out, size_t *out_size)
{
    return vt_zip_read_limited(zip, index, MAX_ENTRY_BYTES, out, out_size);
}

struct vt_zip_writer {
    zip_t *archive;
    vt_file_writer target;
    zip_error_t error; /* of the source that libzip writes to */
    int64_t count;
};

/* The archive as a thing libzip writes to: the target's writer, instead of a file of libzip's own,
 * which a killed program would leave behind. */
static zip_int64_t write_archive(void *user, void *data, zip_uint64_t size,
                                 zip_source_cmd_t command)
{
    vt_zip_writer *w = user;
    switch (command) {
    case ZIP_SOURCE_WRITE:
        if (vt_file_writer_put(&w->target, data, size) == VT_OK) return (zip_int64_t)size;
        break;
    case ZIP_SOURCE_TELL_WRITE: return lseek(w->target.fd, 0, SEEK_CUR);
    case ZIP_SOURCE_SEEK_WRITE: {
        const zip_source_args_seek_t *seek =
            ZIP_SOURCE_GET_ARGS(zip_source_args_seek_t, data, size, &w->error);
        if (!seek) return -1;
        if (lseek(w->target.fd, seek->offset, seek->whence) >= 0) return 0;
        break;
    }
    case ZIP_SOURCE_STAT: zip_stat_init(data); return sizeof(zip_stat_t);
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&w->error, data, size);
    case ZIP_SOURCE_OPEN:
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_COMMIT_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_FREE: return 0;
    case ZIP_SOURCE_SUPPORTS: /* libzip wants to hear of reading, which truncating never does */
        return zip_source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
            ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_BEGIN_WRITE,
            ZIP_SOURCE_COMMIT_WRITE, ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE,
            ZIP_SOURCE_SEEK_WRITE, ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
    default: zip_error_set(&w->error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
    zip_error_set(&w->error, ZIP_ER_WRITE, errno);
    return -1;
}

static zip_t *open_archive(vt_zip_writer *w, zip_error_t *error)
{
    zip_source_t *source = zip_source_function_create(write_archive, w, error);
    if (!source) return NULL;
    zip_t *archive = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, error);
    if (!archive) zip_source_free(source);
    return archive;
}

vt_status vt_zip_writer_new(vt_zip_writer **out, const char *path)
{
    zip_error_t error;
    vt_zip_writer *w = vt_alloc(1, sizeof *w);
    if (!w) return VT_ENOMEM;
    vt_status status = vt_file_writer_open(&w->target, path);
    if (status != VT_OK) {
        free(w);
        return status;
    }
    zip_error_init(&w->error);
    zip_error_init(&error);
    w->archive = open_archive(w, &error);
    if (!w->archive) {
        status = zip_error_of(&error, path);
        vt_zip_writer_abort(w);
    }
    zip_error_fini(&error);
    if (status == VT_OK) *out = w;
    return status;
}

void vt_zip_writer_abort(vt_zip_writer *w)
{
    if (!w) return;
    if (w->archive) zip_discard(w->archive);
    zip_error_fini(&w->error);
    vt_file_writer_abort(&w->target);
    free(w);
}

vt_status vt_zip_writer_adopt(vt_zip_writer *w, const char *name, void *data, size_t size,
                              bool compress)
{
    if (size == 0) { /* libzip forgets a buffer without bytes */
        free(data);
        data = NULL;
    }
    zip_int64_t index = -1;
    zip_source_t *source = zip_source_buffer(w->archive, data, size, 1);
    if (!source) free(data);
    if (source) index = zip_file_add(w->archive, name, source, ZIP_FL_ENC_UTF_8);
    if (source && index < 0) zip_source_free(source);
    /* 1980-01-01 00:00, the format's first date */
    if (index < 0 ||
        zip_set_file_compression(w->archive, (zip_uint64_t)index,
                                 compress ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(w->archive, (zip_uint64_t)index, 0, 0x21, 0) != 0) {
        vt_status status = entry_error_of(zip_get_error(w->archive), w->target.path, name);
        return status == VT_EFORMAT ? VT_EINVAL : status; /* the name, not a file, is malformed */
    }
    w->count++;
    return VT_OK;
}

vt_status vt_zip_writer_add(vt_zip_writer *w, const char *name, const void *data, size_t size,
                            bool compress)
{
    char *copy = vt_alloc(size, 1);
    if (!copy) return VT_ENOMEM;
    if (size) memcpy(copy, data, size);
    return vt_zip_writer_adopt(w, name, copy, size, compress);
}

vt_status vt_zip_writer_finish(vt_zip_writer *w)
{
    /* libzip removes the file of an archive without entries: this is one, in its 22 bytes. */
    static const unsigned char empty[22] = {'P', 'K', 5, 6};
    vt_status status = VT_OK;
    if (w->count == 0)
        status = vt_file_writer_put(&w->target, empty, sizeof empty);
    else if (zip_close(w->archive) != 0)
        status = zip_error_of(zip_get_error(w->archive), w->target.path);
    else
        w->archive = NULL;
    if (status != VT_OK) {
        vt_zip_writer_abort(w);
        return status;
    }
    if (w->archive) zip_discard(w->archive);
    zip_error_fini(&w->error);
    status = vt_file_writer_commit(&w->target);
    free(w);
    return status;
}
