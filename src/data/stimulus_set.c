/* Stimulus sets over images, over a stream of them, or over a float32 .npy read piece by piece. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "io/npy.h"
#include "ventral/model.h"
#include "ventral/stimulus.h"

struct vt_stimulus_set {
    vt_image_source *images, *own_images;
    vt_image_stream *stream;
    int fd; /* of an array; -1: images or a stream */
    char *path;
    int64_t size[4];
    off_t data_offset;
    uint8_t *pixels; /* scratch of reads */
    size_t pixel_bytes;
};

/* Whether the file is a .npy of float32; if so, where its data are. */
static vt_status inspect_npy(vt_stimulus_set *set, bool *out_is_array)
{
    struct stat info;
    *out_is_array = false;
    if (fstat(set->fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 10) return VT_OK;
    size_t bytes = (size_t)info.st_size;
    const unsigned char *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, set->fd, 0);
    if (map == MAP_FAILED)
        return vt_error(VT_EIO, "%s: cannot be read: %s", set->path, strerror(errno));
    vt_status status = VT_OK;
    vt_npy_header header = {.ndim = 0};
    if (memcmp(map, "\x93NUMPY", 6) == 0) {
        status = vt_npy_header_parse(&header, map, bytes, set->path);
        if (status == VT_OK && vt_npy_dtype(&header) != VT_U8) {
            *out_is_array = true;
            set->data_offset = header.data - map;
            if (header.kind != 'f' || header.item != 4 || header.swapped || header.fortran ||
                header.ndim != 4)
                status = vt_error(VT_ESHAPE,
                                  "%s: stimuli are uint8 or float32 arrays (images, height, width, "
                                  "channels) in C order",
                                  set->path);
            else
                memcpy(set->size, header.size, sizeof set->size);
        }
    }
    munmap((void *)map, bytes);
    return status;
}

static vt_status open_path(vt_stimulus_set *set, const char *path)
{
    bool is_array;
    if (!(set->path = vt_strdup(path))) return VT_ENOMEM;
    set->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (set->fd < 0)
        return vt_error(errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "%s: %s", path, strerror(errno));
    VT_TRY(inspect_npy(set, &is_array));
    if (is_array) return VT_OK;
    close(set->fd);
    set->fd = -1;
    VT_TRY(vt_image_source_open(&set->own_images, path));
    set->images = set->own_images;
    return VT_OK;
}

vt_status vt_stimulus_set_open(vt_stimulus_set **out, const char *path)
{
    vt_stimulus_set *set = vt_alloc(1, sizeof *set);
    if (!set) return VT_ENOMEM;
    set->fd = -1;
    vt_status status = open_path(set, path);
    if (status != VT_OK) {
        vt_stimulus_set_close(set);
        return status;
    }
    *out = set;
    return VT_OK;
}

static vt_status make_over(vt_stimulus_set **out, vt_image_source *images, vt_image_stream *stream)
{
    vt_stimulus_set *set = vt_alloc(1, sizeof *set);
    if (!set) return VT_ENOMEM;
    set->fd = -1;
    set->images = images;
    set->stream = stream;
    *out = set;
    return VT_OK;
}

vt_status vt_stimulus_set_from_images(vt_stimulus_set **out, vt_image_source *images)
{
    return make_over(out, images, NULL);
}

vt_status vt_stimulus_set_from_stream(vt_stimulus_set **out, vt_image_stream *stream)
{
    return make_over(out, NULL, stream);
}

void vt_stimulus_set_close(vt_stimulus_set *set)
{
    if (!set) return;
    vt_image_source_close(set->own_images);
    if (set->fd >= 0) close(set->fd);
    free(set->path);
    free(set->pixels);
    free(set);
}

int64_t vt_stimulus_set_count(const vt_stimulus_set *set)
{
    if (set->stream) return vt_image_stream_count(set->stream);
    return set->images ? vt_image_source_count(set->images) : set->size[0];
}

static vt_status read_row(vt_stimulus_set *set, int64_t index, float *out)
{
    size_t floats = (size_t)(set->size[1] * set->size[2] * set->size[3]);
    size_t bytes = floats * sizeof *out;
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(set->fd, (char *)out + done, bytes - done,
                            set->data_offset + (off_t)((size_t)index * bytes + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return vt_error(VT_EIO, "%s: stimulus %lld cannot be read: %s", set->path,
                            (long long)index, got < 0 ? strerror(errno) : "the file ends");
        done += (size_t)got;
    }
    for (size_t i = 0; i < floats; i++)
        if (!isfinite(out[i]))
            return vt_error(VT_ENUMERIC, "%s: stimulus %lld holds NaN or infinity", set->path,
                            (long long)index);
    return VT_OK;
}

static vt_status read_array(vt_stimulus_set *set, const int64_t *indices, int64_t count, int height,
                            int width, float *out)
{
    if (set->size[1] != height || set->size[2] != width || set->size[3] != 3)
        return vt_error(VT_ESHAPE, "%s: stimuli of %lld x %lld x %lld, the model takes %d x %d x 3",
                        set->path, (long long)set->size[1], (long long)set->size[2],
                        (long long)set->size[3], height, width);
    for (int64_t i = 0; i < count; i++) {
        if (indices[i] < 0 || indices[i] >= set->size[0])
            return vt_error(VT_EINVAL, "%s: there is no stimulus %lld; it has %lld", set->path,
                            (long long)indices[i], (long long)set->size[0]);
        VT_TRY(read_row(set, indices[i], out + i * height * width * 3));
    }
    return VT_OK;
}

static vt_status read_pixels(vt_stimulus_set *set, const int64_t *indices, int64_t count,
                             int height, int width)
{
    int own_height, own_width;
    if (set->images)
        return vt_image_source_read_list(set->images, indices, count, height, width, set->pixels);
    vt_image_stream_size(set->stream, &own_height, &own_width);
    if (own_height != height || own_width != width)
        return vt_error(VT_ESHAPE, "images of %d x %d in the stream, the model takes %d x %d",
                        own_height, own_width, height, width);
    return vt_image_stream_read(set->stream, indices, count, set->pixels);
}

vt_status vt_stimulus_set_read(vt_stimulus_set *set, const int64_t *indices, int64_t count,
                               int height, int width, const vt_preprocessing *preprocessing,
                               float *out)
{
    if (set->fd >= 0) return read_array(set, indices, count, height, width, out);
    size_t bytes;
    if (count < 0 || height < 1 || width < 1 ||
        !vt_mul_ok(&bytes, (size_t)count * 3, (size_t)height * (size_t)width))
        return vt_error(VT_EINVAL, "stimuli of %d x %d", height, width);
    if (bytes > set->pixel_bytes) {
        uint8_t *pixels = vt_alloc(bytes, 1);
        if (!pixels) return VT_ENOMEM;
        free(set->pixels);
        set->pixels = pixels;
        set->pixel_bytes = bytes;
    }
    VT_TRY(read_pixels(set, indices, count, height, width));
    vt_preprocess(out, set->pixels, count * height * width, preprocessing);
    return VT_OK;
}
