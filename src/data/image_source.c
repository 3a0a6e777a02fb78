/* Ordered sets of images: a zip, a folder or a .npy, read one image at a time. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "data/image_files.h"
#include "data/image_source.h"
#include "io/image.h"
#include "io/npy.h"
#include "ventral/io.h"
#include "ventral/progress.h"

/* `name` is the path inside the zip or folder. */
struct entry {
    const char *name;
    int64_t position; /* in the zip */
};

enum kind { ZIP, FOLDER, ARRAY };

struct vt_image_source {
    enum kind kind;
    char *path;
    struct entry *entries; /* ZIP, FOLDER: in natural order; a folder owns their names */
    int64_t count, capacity;
    vt_zip *zip;
    int fd; /* ARRAY: the file, its pixels from `offset` on, and the names */
    int64_t offset;
    int height, width;
    char (*numbers)[24];
};

/* Compares names byte by byte, but runs of digits by their value; names that differ only in leading
 * zeros by their bytes, so that the order is total. */
static int compare_natural(const char *a, const char *b)
{
    const char *x = a, *y = b;
    while (*x && *y) {
        size_t digits_x = strspn(x, "0123456789"), digits_y = strspn(y, "0123456789");
        if (digits_x == 0 || digits_y == 0) {
            if (*x != *y) return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
            x++, y++;
            continue;
        }
        size_t zeros_x = strspn(x, "0"), zeros_y = strspn(y, "0");
        zeros_x = zeros_x < digits_x ? zeros_x : digits_x;
        zeros_y = zeros_y < digits_y ? zeros_y : digits_y;
        size_t length_x = digits_x - zeros_x, length_y = digits_y - zeros_y;
        if (length_x != length_y) return length_x < length_y ? -1 : 1;
        int order = memcmp(x + zeros_x, y + zeros_y, length_x);
        if (order != 0) return order;
        x += digits_x, y += digits_y;
    }
    if (*x || *y) return *x ? 1 : -1;
    return strcmp(a, b);
}

static int compare_entries(const void *a, const void *b)
{
    return compare_natural(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static vt_status add_entry(vt_image_source *source, const char *name, int64_t position)
{
    if (source->count == source->capacity) {
        int64_t capacity = source->capacity ? 2 * source->capacity : 64;
        struct entry *grown =
            vt_grow(source->entries, (size_t)source->count, (size_t)capacity, sizeof *grown);
        if (!grown) return VT_ENOMEM;
        source->entries = grown;
        source->capacity = capacity;
    }
    source->entries[source->count++] = (struct entry){.name = name, .position = position};
    return VT_OK;
}

static vt_status list_zip(vt_image_source *source)
{
    VT_TRY(vt_zip_open(&source->zip, source->path));
    for (int64_t i = 0; i < vt_zip_count(source->zip); i++) {
        const char *name = vt_zip_name(source->zip, i);
        if (strncmp(name, "__MACOSX/", 9) != 0 && vt_is_image_file(name))
            VT_TRY(add_entry(source, name, i));
    }
    return VT_OK;
}

/* Folders, pipes and the like are passed over; links to nothing are kept and fail when read. */
static bool is_other(DIR *folder, const struct dirent *item)
{
    struct stat info;
    if (item->d_type == DT_REG) return false;
    return fstatat(dirfd(folder), item->d_name, &info, 0) == 0 && !S_ISREG(info.st_mode);
}

static vt_status list_folder(vt_image_source *source)
{
    DIR *folder = opendir(source->path);
    if (!folder)
        return vt_error(VT_EIO, "%s: cannot list the folder: %s", source->path, strerror(errno));
    vt_status status = VT_OK;
    for (struct dirent *item; status == VT_OK && (item = readdir(folder));) {
        if (!vt_is_image_file(item->d_name) || is_other(folder, item)) continue;
        char *name = vt_strdup(item->d_name);
        status = name ? add_entry(source, name, 0) : VT_ENOMEM;
        if (status != VT_OK) free(name);
    }
    closedir(folder);
    return status;
}

/* Only the header is looked at; the mapping ends before any pixel is read, so that a file that
 * shrinks later is a failed read and not a signal. */
static vt_status parse_array_header(vt_image_source *source, size_t size)
{
    vt_npy_header header = {0};
    void *map = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, source->fd, 0) : NULL;
    if (map == MAP_FAILED)
        return vt_error(VT_EIO, "%s: cannot map: %s", source->path, strerror(errno));
    vt_status status = vt_npy_header_parse(&header, map ? map : "", size, source->path);
    if (status == VT_OK) source->offset = header.data - (const unsigned char *)map;
    if (map) munmap(map, size);
    VT_TRY(status);
    if (vt_npy_dtype(&header) != VT_U8 || header.ndim != 4 || header.size[3] != 3 ||
        (header.fortran && header.count > 0))
        return vt_error(VT_ESHAPE,
                        "%s: images must be a uint8 array (images, height, width, 3) in C order",
                        source->path);
    int64_t height = header.size[1], width = header.size[2];
    if (height < 1 || width < 1 || height > VT_IMAGE_MAX_PIXELS / width)
        return vt_error(VT_ESHAPE, "%s: images of %lld x %lld pixels cannot be used", source->path,
                        (long long)width, (long long)height);
    source->height = (int)height;
    source->width = (int)width;
    source->count = header.size[0];
    return VT_OK;
}

static vt_status open_array(vt_image_source *source, size_t size)
{
    source->fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused */
    if (source->fd < 0)
        return vt_error(VT_EIO, "%s: cannot open: %s", source->path, strerror(errno));
    VT_TRY(parse_array_header(source, size));
    source->numbers = vt_alloc((size_t)source->count, sizeof *source->numbers);
    if (!source->numbers) return VT_ENOMEM;
    for (int64_t i = 0; i < source->count; i++)
        snprintf(source->numbers[i], sizeof *source->numbers, "%lld", (long long)i);
    return VT_OK;
}

static vt_status list_images(vt_image_source *source)
{
    struct stat info;
    const char *dot = strrchr(vt_file_name(source->path), '.');
    if (stat(source->path, &info) != 0)
        return vt_error(errno == ENOENT || errno == ENOTDIR ? VT_ENOTFOUND : VT_EIO,
                        "%s: cannot open images: %s", source->path, strerror(errno));
    if (S_ISDIR(info.st_mode)) {
        source->kind = FOLDER;
        VT_TRY(list_folder(source));
    } else if (dot && strcasecmp(dot, ".npy") == 0) {
        source->kind = ARRAY;
        VT_TRY(open_array(source, (size_t)info.st_size));
    } else if (dot && strcasecmp(dot, ".zip") == 0) {
        source->kind = ZIP;
        VT_TRY(list_zip(source));
    } else {
        return vt_error(VT_EINVAL,
                        "%s: images come from a folder, a .zip of JPEG and PNG files or a .npy",
                        source->path);
    }
    if (source->count == 0)
        return vt_error(VT_ENOTFOUND, "%s: no images in it%s", source->path,
                        source->kind == ARRAY ? "" : " (files ending in .jpg, .jpeg or .png)");
    if (source->kind != ARRAY)
        qsort(source->entries, (size_t)source->count, sizeof *source->entries, compare_entries);
    return VT_OK;
}

vt_status vt_image_source_open(vt_image_source **out, const char *path)
{
    vt_image_source *source = vt_alloc(1, sizeof *source);
    if (!source) return VT_ENOMEM;
    source->fd = -1;
    source->path = vt_strdup(path);
    vt_status status = source->path ? list_images(source) : VT_ENOMEM;
    if (status != VT_OK) {
        vt_image_source_close(source);
        return status;
    }
    *out = source;
    return VT_OK;
}

void vt_image_source_close(vt_image_source *source)
{
    if (!source) return;
    for (int64_t i = 0; source->kind == FOLDER && i < source->count; i++)
        free((char *)source->entries[i].name);
    if (source->fd >= 0) close(source->fd);
    vt_zip_close(source->zip);
    free(source->entries);
    free(source->numbers);
    free(source->path);
    free(source);
}

int64_t vt_image_source_count(const vt_image_source *source)
{
    return source->count;
}

const char *vt_image_source_entry(const vt_image_source *source, int64_t index)
{
    if (index < 0 || index >= source->count) return NULL;
    return source->kind == ARRAY ? source->numbers[index] : source->entries[index].name;
}

const char *vt_image_source_name(const vt_image_source *source, int64_t index)
{
    const char *entry = vt_image_source_entry(source, index);
    return entry ? vt_file_name(entry) : NULL;
}

static vt_status check_index(const vt_image_source *source, int64_t index)
{
    if (index >= 0 && index < source->count) return VT_OK;
    return vt_error(VT_EINVAL, "%s: no image %lld; there are %lld, counted from 0", source->path,
                    (long long)index, (long long)source->count);
}

static vt_status read_zip(vt_image_source *source, const struct entry *entry, vt_image *out)
{
    void *data;
    size_t size;
    char label[4096];
    VT_TRY(vt_zip_read(source->zip, entry->position, &data, &size));
    snprintf(label, sizeof label, "%s: entry %s", source->path, entry->name);
    vt_status status = vt_image_decode(out, data, size, label);
    free(data);
    return status;
}

static vt_status read_folder(vt_image_source *source, const struct entry *entry, vt_image *out)
{
    size_t size = strlen(source->path) + strlen(entry->name) + 2;
    char *path = vt_alloc(size, 1);
    if (!path) return VT_ENOMEM;
    snprintf(path, size, "%s/%s", source->path, entry->name);
    vt_status status = vt_image_read(out, path);
    free(path);
    return status;
}

static vt_status read_array(vt_image_source *source, int64_t index, vt_image *out)
{
    vt_image image;
    VT_TRY(vt_image_new(&image, source->height, source->width, source->path));
    size_t bytes = (size_t)image.height * (size_t)image.width * 3, done = 0;
    while (done < bytes) {
        ssize_t got = pread(source->fd, image.pixels + done, bytes - done,
                            (off_t)((size_t)source->offset + (size_t)index * bytes + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            vt_image_free(&image);
            return vt_error(VT_EIO, "%s: image %lld: cannot read: %s", source->path,
                            (long long)index, got < 0 ? strerror(errno) : "the file has shrunk");
        }
        done += (size_t)got;
    }
    *out = image;
    return VT_OK;
}

vt_status vt_image_source_read(vt_image_source *source, int64_t index, vt_image *out)
{
    VT_TRY(check_index(source, index));
    switch (source->kind) {
    case ZIP: return read_zip(source, &source->entries[index], out);
    case FOLDER: return read_folder(source, &source->entries[index], out);
    default: return read_array(source, index, out);
    }
}

static vt_status read_resized(vt_image_source *source, int64_t index, int height, int width,
                              uint8_t *out)
{
    vt_image image, resized;
    VT_TRY(vt_image_source_read(source, index, &image));
    if (image.height != height || image.width != width) {
        vt_status status = vt_image_resize(&resized, &image, height, width);
        vt_image_free(&image);
        if (status != VT_OK)
            return vt_error_context(status, "%s: %s", source->path,
                                    vt_image_source_name(source, index));
        image = resized;
    }
    memcpy(out, image.pixels, (size_t)height * (size_t)width * 3);
    vt_image_free(&image);
    return VT_OK;
}

/* Image number i of the result is indices[i], or first + i without a list. */
static vt_status read_many(vt_image_source *source, const int64_t *indices, int64_t first,
                           int64_t count, int height, int width, uint8_t *out)
{
    if (height < 1 || width < 1 || height > VT_IMAGE_MAX_PIXELS / width)
        return vt_error(VT_EINVAL, "images cannot be resized to %d x %d pixels", width, height);
    size_t bytes = (size_t)height * (size_t)width * 3;
    int threads = count < vt_threads() ? (int)count : vt_threads();
    vt_error_state failure = {.code = VT_OK};
    _Atomic int64_t failed = count; /* the first that failed; later ones need not be read */
#pragma omp parallel for schedule(dynamic) num_threads(threads > 0 ? threads : 1)
    for (int64_t i = 0; i < count; i++) {
        if (i > atomic_load(&failed)) continue;
        vt_status status = read_resized(source, indices ? indices[i] : first + i, height, width,
                                        out + (size_t)i * bytes);
        if (status == VT_OK) continue;
#pragma omp critical(vt_image_source_failure)
        if (i < atomic_load(&failed)) {
            atomic_store(&failed, i);
            vt_error_save(&failure, status);
        }
    }
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

vt_status vt_image_source_read_batch(vt_image_source *source, int64_t first, int64_t count,
                                     int height, int width, uint8_t *out)
{
    if (first < 0 || count < 0 || first > source->count || count > source->count - first)
        return vt_error(VT_EINVAL, "%s: no %lld images from image %lld on; there are %lld",
                        source->path, (long long)count, (long long)first, (long long)source->count);
    return read_many(source, NULL, first, count, height, width, out);
}

vt_status vt_image_source_read_list(vt_image_source *source, const int64_t *indices, int64_t count,
                                    int height, int width, uint8_t *out)
{
    if (count < 0) return vt_error(VT_EINVAL, "%lld images cannot be read", (long long)count);
    for (int64_t i = 0; i < count; i++)
        VT_TRY(check_index(source, indices[i]));
    return read_many(source, indices, 0, count, height, width, out);
}
