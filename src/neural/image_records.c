/* Records of images: found by name, checked by the images' bytes, computed where they lack.
 *
 * Images are always computed in batches of the same size, filled up with black ones, since kernels
 * for other sizes may round otherwise: what comes from the file then is what would be computed. */
#include "neural/image_records.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "data/image_stream.h"
#include "models/model.h"
#include "ventral/progress.h"

enum {
    SLICE_BATCHES = 10,    /* appended as one block, */
    SLICE_BYTES = 4 << 20, /* unless they are larger than this */
};

struct vt_image_records {
    vt_image_records_options options;
    char *path;
    vt_records *file; /* NULL: nothing is kept */
    uint32_t *seen;   /* of every record: the last stream whose image was found to be its own */
    int64_t seen_count;
    /* of a slice */
    int64_t slice; /* images at most */
    uint64_t *keys, *stamps;
    int64_t *found;   /* number of the record; -1: none */
    int64_t *missing; /* places in the slice */
    void *records;    /* of the missing */
    uint64_t *new_keys, *new_stamps;
    int64_t *indices; /* of a batch */
    uint8_t *pixels;
    size_t pixel_bytes;
};

/* What one call works on. */
struct call {
    vt_image_records *r;
    vt_image_stream *stream;
    const int64_t *indices;
    int64_t count;
    const uint8_t *images;
    char *out;
    const vt_progress *progress;
    int height, width;
    size_t image_bytes;
    int64_t done;
};

vt_status vt_image_records_part(vt_records_part *out, const vt_model *model)
{
    const char *label = vt_model_label(model), *slash = strrchr(label, '/');
    *out = (vt_records_part){.checksum = 0};
    snprintf(out->name, sizeof out->name, "%s", slash ? slash + 1 : label);
    return vt_model_checksum(model, &out->checksum);
}

static vt_status open_records(vt_image_records *r)
{
    const vt_image_records_options *o = &r->options;
    if (o->path) {
        if (!(r->path = vt_strdup(o->path))) return VT_ENOMEM;
        VT_TRY(vt_records_open(&r->file, o->path, &o->format));
    }
    int64_t batches = (int64_t)(SLICE_BYTES / o->format.record_size) / o->batch;
    r->slice = o->batch * (batches < 1 ? 1 : batches > SLICE_BATCHES ? SLICE_BATCHES : batches);
    size_t slice = (size_t)r->slice;
    r->keys = vt_alloc(slice, sizeof *r->keys);
    r->stamps = vt_alloc(slice, sizeof *r->stamps);
    r->found = vt_alloc(slice, sizeof *r->found);
    r->missing = vt_alloc(slice, sizeof *r->missing);
    r->records = vt_alloc(slice, o->format.record_size);
    r->new_keys = vt_alloc(slice, sizeof *r->new_keys);
    r->new_stamps = vt_alloc(slice, sizeof *r->new_stamps);
    r->indices = vt_alloc((size_t)o->batch, sizeof *r->indices);
    bool all = r->keys && r->stamps && r->found && r->missing && r->records && r->new_keys &&
               r->new_stamps && r->indices;
    return all ? VT_OK : VT_ENOMEM;
}

vt_status vt_image_records_open(vt_image_records **out, const vt_image_records_options *options)
{
    vt_image_records *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->options = *options;
    vt_status status = open_records(r);
    r->options.path = r->path;
    r->options.format.parts = NULL; /* the caller's */
    if (status != VT_OK) {
        vt_image_records_close(r);
        return status;
    }
    *out = r;
    return VT_OK;
}

void vt_image_records_close(vt_image_records *r)
{
    if (!r) return;
    vt_records_close(r->file);
    free(r->path);
    free(r->seen);
    free(r->keys);
    free(r->stamps);
    free(r->found);
    free(r->missing);
    free(r->records);
    free(r->new_keys);
    free(r->new_stamps);
    free(r->indices);
    free(r->pixels);
    free(r);
}

/* ---- a batch of images ---- */

vt_status vt_image_batch_check(const vt_image_batch *batch, int64_t image, const vt_model *model,
                               const float *values, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        if (isfinite(values[k])) continue;
        char name[VT_IMAGE_NAME_SIZE];
        vt_image_stream_name(batch->stream, batch->indices[image], name);
        return vt_error(VT_ENUMERIC, "%s: its response to image %s is %s", vt_model_label(model),
                        name, isnan(values[k]) ? "NaN" : "infinite");
    }
    return VT_OK;
}

/* Images of one name and different sizes are different images. */
static uint64_t image_key(const struct call *c, int64_t index)
{
    char name[VT_IMAGE_NAME_SIZE];
    vt_image_stream_name(c->stream, index, name);
    return vt_hash64(name, strlen(name), (uint64_t)c->height << 32 | (uint32_t)c->width);
}

/* The images at `places` of the slice that begins at `first` into the batch, black behind them;
 * their stamps beside. */
static vt_status load_batch(struct call *c, int64_t first, const int64_t *places, int64_t count)
{
    vt_image_records *r = c->r;
    for (int64_t i = 0; i < count; i++)
        r->indices[i] = c->indices[first + places[i]];
    if (!c->images) VT_TRY(vt_image_stream_read(c->stream, r->indices, count, r->pixels));
#pragma omp parallel for num_threads(vt_threads())
    for (int64_t i = 0; i < count; i++) {
        uint8_t *pixels = r->pixels + (size_t)i * c->image_bytes;
        if (c->images)
            memcpy(pixels, c->images + (size_t)(first + places[i]) * c->image_bytes,
                   c->image_bytes);
        r->stamps[places[i]] = vt_hash64(pixels, c->image_bytes, 0);
    }
    memset(r->pixels + (size_t)count * c->image_bytes, 0,
           (size_t)(r->options.batch - count) * c->image_bytes);
    return VT_OK;
}

/* ---- records that are there ---- */

static vt_status reserve_seen(vt_image_records *r)
{
    int64_t count = vt_records_count(r->file);
    if (count <= r->seen_count) return VT_OK;
    int64_t grown = count + r->slice > 2 * r->seen_count ? count + r->slice : 2 * r->seen_count;
    uint32_t *seen = vt_grow(r->seen, (size_t)r->seen_count, (size_t)grown, sizeof *seen);
    if (!seen) return VT_ENOMEM;
    r->seen = seen;
    r->seen_count = grown;
    return VT_OK;
}

static vt_status check_batch(struct call *c, int64_t first, const int64_t *places, int64_t count)
{
    vt_image_records *r = c->r;
    VT_TRY(load_batch(c, first, places, count));
    for (int64_t i = 0; i < count; i++) {
        int64_t record = r->found[places[i]];
        if (vt_records_stamp(r->file, record) != r->stamps[places[i]]) {
            char name[VT_IMAGE_NAME_SIZE];
            vt_image_stream_name(c->stream, r->indices[i], name);
            return vt_error(VT_EINVAL,
                            "%s: image %s has changed since it was stored; name another file or "
                            "remove this one",
                            r->path, name);
        }
        r->seen[record] = vt_image_stream_serial(c->stream);
    }
    return VT_OK;
}

/* The images of records that this stream's have not been compared with yet. */
static vt_status check_images(struct call *c, int64_t first, int64_t count)
{
    vt_image_records *r = c->r;
    int64_t waiting = 0;
    VT_TRY(reserve_seen(r));
    for (int64_t i = 0; i < count; i++)
        if (r->found[i] >= 0 && r->seen[r->found[i]] != vt_image_stream_serial(c->stream))
            r->missing[waiting++] = i;
    for (int64_t i = 0; i < waiting; i += r->options.batch)
        VT_TRY(check_batch(c, first, r->missing + i,
                           waiting - i < r->options.batch ? waiting - i : r->options.batch));
    return VT_OK;
}

static vt_status fetch(struct call *c, int64_t first, int64_t count)
{
    vt_image_records *r = c->r;
    const vt_image_records_options *o = &r->options;
    vt_error_state failure = {.code = VT_OK};
    _Atomic bool failed = false;
#pragma omp parallel for schedule(dynamic) num_threads(vt_threads())
    for (int64_t i = 0; i < count; i++) {
        if (r->found[i] < 0 || atomic_load(&failed)) continue;
        /* Each place of the slice has room for a record: those of missing ones come later. */
        void *record = (char *)r->records + (size_t)i * o->format.record_size;
        vt_status status = vt_records_read(r->file, r->found[i], record);
        if (status == VT_OK) {
            o->decode(o->context, record, c->out + (size_t)(first + i) * o->out_bytes);
            continue;
        }
#pragma omp critical(vt_image_records_failure)
        if (!atomic_exchange(&failed, true)) vt_error_save(&failure, status);
    }
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

/* ---- records that are not ---- */

static vt_status compute_batch(struct call *c, int64_t first, const int64_t *places, int64_t count,
                               void *records)
{
    vt_image_records *r = c->r;
    const vt_image_records_options *o = &r->options;
    VT_TRY(load_batch(c, first, places, count));
    vt_image_batch batch = {c->stream, r->indices, count, c->height, c->width, r->pixels};
    VT_TRY(o->compute(o->context, &batch, records));
    for (int64_t i = 0; i < count; i++)
        o->decode(o->context, (char *)records + (size_t)i * o->format.record_size,
                  c->out + (size_t)(first + places[i]) * o->out_bytes);
    return VT_OK;
}

static vt_status append(struct call *c, int64_t computed)
{
    vt_image_records *r = c->r;
    if (!r->file || computed == 0) return VT_OK;
    for (int64_t i = 0; i < computed; i++) {
        r->new_keys[i] = r->keys[r->missing[i]];
        r->new_stamps[i] = r->stamps[r->missing[i]];
    }
    int64_t before = vt_records_count(r->file);
    VT_TRY(vt_records_append(r->file, r->new_keys, r->new_stamps, r->records, computed));
    VT_TRY(reserve_seen(r));
    for (int64_t i = 0; i < computed; i++)
        r->seen[before + i] = vt_image_stream_serial(c->stream);
    return VT_OK;
}

/* On failure and interruption what was computed is kept all the same. */
static vt_status compute(struct call *c, int64_t first, int64_t count)
{
    vt_image_records *r = c->r;
    int64_t waiting = 0, computed = 0;
    for (int64_t i = 0; i < count; i++)
        if (r->found[i] < 0) r->missing[waiting++] = i;
    c->done += count - waiting;
    vt_status status = VT_OK;
    while (status == VT_OK && computed < waiting) {
        int64_t left = waiting - computed, n = left < r->options.batch ? left : r->options.batch;
        status =
            compute_batch(c, first, r->missing + computed, n,
                          (char *)r->records + (size_t)computed * r->options.format.record_size);
        if (status != VT_OK) break;
        computed += n;
        c->done += n;
        status = vt_progress_report(c->progress, c->done, c->count, NULL);
    }
    if (status == VT_OK) return append(c, computed);
    vt_error_state failure;
    vt_error_save(&failure, status);
    append(c, computed);
    return vt_error_restore(&failure);
}

static vt_status read_slice(struct call *c, int64_t first, int64_t count)
{
    vt_image_records *r = c->r;
#pragma omp parallel for num_threads(vt_threads())
    for (int64_t i = 0; i < count; i++) {
        r->keys[i] = image_key(c, c->indices[first + i]);
        r->found[i] = r->file ? vt_records_find(r->file, r->keys[i]) : -1;
    }
    if (r->file) {
        VT_TRY(check_images(c, first, count));
        VT_TRY(fetch(c, first, count));
    }
    return compute(c, first, count);
}

vt_status vt_image_records_read(vt_image_records *r, vt_image_stream *stream,
                                const int64_t *indices, int64_t count, const uint8_t *images,
                                void *out, const vt_progress *progress)
{
    struct call c = {.r = r,
                     .stream = stream,
                     .indices = indices,
                     .count = count,
                     .images = images,
                     .out = out,
                     .progress = progress};
    for (int64_t i = 0; i < count; i++)
        if (indices[i] < 0 || indices[i] >= vt_image_stream_count(stream))
            return vt_error(VT_EINVAL, "no image %lld in a stream of %lld, counted from 0",
                            (long long)indices[i], (long long)vt_image_stream_count(stream));
    vt_image_stream_size(stream, &c.height, &c.width);
    c.image_bytes = (size_t)c.height * (size_t)c.width * 3;
    size_t bytes = (size_t)r->options.batch * c.image_bytes;
    if (bytes > r->pixel_bytes) {
        uint8_t *pixels = vt_alloc(bytes, 1);
        if (!pixels) return VT_ENOMEM;
        free(r->pixels);
        r->pixels = pixels;
        r->pixel_bytes = bytes;
    }
    for (int64_t first = 0; first < count; first += r->slice) {
        VT_TRY(read_slice(&c, first, count - first < r->slice ? count - first : r->slice));
        VT_TRY(vt_progress_report(progress, c.done, count, NULL));
    }
    return VT_OK;
}
