/* Streams of images: the images of sources and sessions, then variant 1 of each of them, variant 2
 * and so on, then generated ones. Nothing but names is kept; every image is made when it is read.
 */
#include "data/image_stream.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "data/image_source.h"
#include "data/image_variant.h"
#include "data/session.h"
#include "ventral/progress.h"
#include "ventral/simulate.h"

/* Images [begin, end) of a source, which are images first, first + 1, ... of the stream. */
struct part {
    vt_image_source *source;
    vt_session *session; /* which owns the source; NULL: the part does */
    char *path;          /* of the source without links; of a session "session ID" */
    const char *label;   /* the end of it that tells the part from the others */
    int64_t begin, end, first;
};

struct vt_image_stream {
    struct part *parts;
    int part_count;
    int64_t originals, variants, generated; /* variants: of each original */
    int height, width;
    uint64_t seed;
    vt_gaudy_options gaudy;
    uint32_t serial;
};

/* ---- opening ---- */

static vt_status open_source(struct part *part, const char *path)
{
    VT_TRY(vt_image_source_open(&part->source, path));
    char *real = realpath(path, NULL);
    part->path = vt_strdup(real ? real : path);
    free(real);
    part->end = vt_image_source_count(part->source);
    return part->path ? VT_OK : VT_ENOMEM;
}

static vt_status open_session(struct part *part, const char *recordings,
                              const vt_fit_session *wanted)
{
    VT_TRY(vt_session_open(&part->session, recordings, wanted->id));
    part->source = vt_session_images(part->session);
    if (!part->source) return VT_ENOTFOUND;
    part->path = vt_path_format("session %s", wanted->id);
    if (!part->path) return VT_ENOMEM;
    int64_t count = vt_image_source_count(part->source);
    part->begin = wanted->begin;
    part->end = wanted->begin == 0 && wanted->end == 0 ? count : wanted->end;
    if (part->begin >= 0 && part->end <= count && part->begin < part->end) return VT_OK;
    return vt_error(VT_EINVAL, "session %s: images %lld to %lld are wanted, there are %lld",
                    wanted->id, (long long)part->begin, (long long)part->end, (long long)count);
}

static vt_status open_parts(vt_image_stream *stream, const vt_image_stream_options *o)
{
    size_t count = (size_t)o->path_count + (size_t)o->session_count;
    if (!(stream->parts = vt_alloc(count, sizeof *stream->parts))) return VT_ENOMEM;
    for (int i = 0; i < o->path_count; i++)
        VT_TRY(open_source(&stream->parts[stream->part_count++], o->paths[i]));
    for (int i = 0; i < o->session_count; i++)
        VT_TRY(open_session(&stream->parts[stream->part_count++], o->recordings, &o->sessions[i]));
    for (int i = 0; i < stream->part_count; i++) {
        struct part *part = &stream->parts[i];
        part->first = stream->originals;
        stream->originals += part->end - part->begin;
        for (int k = 0; k < i; k++)
            if (strcmp(part->path, stream->parts[k].path) == 0 &&
                !part->session == !stream->parts[k].session && part->begin < stream->parts[k].end &&
                stream->parts[k].begin < part->end)
                return vt_error(VT_EINVAL, "%s: its images are given twice", part->path);
    }
    return VT_OK;
}

/* One folder more, where there is one. */
static const char *longer_label(const struct part *part)
{
    const char *label = part->label;
    if (label == part->path) return label;
    if (--label == part->path) return label; /* the root */
    while (label > part->path && label[-1] != '/')
        label--;
    return label;
}

static bool is_shared(const vt_image_stream *stream, const struct part *part)
{
    for (int i = 0; i < stream->part_count; i++) {
        const struct part *other = &stream->parts[i];
        if (strcmp(other->path, part->path) != 0 && strcmp(other->label, part->label) == 0)
            return true;
    }
    return false;
}

/* Parts that share a label grow together, so that their order does not matter. */
static vt_status choose_labels(vt_image_stream *stream)
{
    size_t count = (size_t)stream->part_count;
    const char **longer = vt_alloc(count, sizeof *longer);
    if (!longer) return VT_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct part *part = &stream->parts[i];
        const char *slash = part->session ? NULL : strrchr(part->path, '/');
        part->label = slash ? slash + 1 : part->path;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < count; i++) {
            struct part *part = &stream->parts[i];
            longer[i] = is_shared(stream, part) ? longer_label(part) : part->label;
            changed |= longer[i] != part->label;
        }
        for (size_t i = 0; i < count; i++)
            stream->parts[i].label = longer[i];
    }
    free(longer);
    return VT_OK;
}

static vt_status check_options(const vt_image_stream_options *o, int height, int width)
{
    if (height < 1 || width < 1 || height > VT_IMAGE_MAX_PIXELS / width)
        return vt_error(VT_EINVAL, "a stream of images of %d x %d pixels", width, height);
    if (o->variants < 0 || o->path_count < 0 || o->session_count < 0)
        return vt_error(VT_EINVAL, "a stream of %d sources, %d sessions and %d variants",
                        o->path_count, o->session_count, o->variants);
    if (o->generated < 0 || o->generated > UINT32_MAX)
        return vt_error(VT_EINVAL, "%lld images cannot be generated; the limit is %lld",
                        (long long)o->generated, (long long)UINT32_MAX);
    if (o->session_count > 0 && !o->recordings)
        return vt_error(VT_EINVAL, "sessions without the folder of recordings");
    uint8_t pixel[3] = {0};
    return vt_gaudy(pixel, 1, 1, &o->gaudy); /* refuses what it would refuse of every image */
}

vt_status vt_image_stream_open(vt_image_stream **out, const vt_image_stream_options *options)
{
    static _Atomic uint32_t serial;
    int height = options->height ? options->height : 112;
    int width = options->width ? options->width : 112;
    VT_TRY(check_options(options, height, width));
    vt_image_stream *stream = vt_alloc(1, sizeof *stream);
    if (!stream) return VT_ENOMEM;
    stream->variants = options->variants;
    stream->generated = options->generated;
    stream->height = height;
    stream->width = width;
    stream->seed = options->seed;
    stream->gaudy = options->gaudy;
    stream->serial = atomic_fetch_add(&serial, 1) + 1;
    vt_status status = open_parts(stream, options);
    if (status == VT_OK) status = choose_labels(stream);
    if (status == VT_OK && vt_image_stream_count(stream) == 0)
        status = vt_error(VT_EINVAL, "a stream of images is empty: no source, no session and no "
                                     "generated image");
    if (status != VT_OK) {
        vt_image_stream_close(stream);
        return status;
    }
    *out = stream;
    return VT_OK;
}

void vt_image_stream_close(vt_image_stream *stream)
{
    if (!stream) return;
    for (int i = 0; i < stream->part_count; i++) {
        struct part *part = &stream->parts[i];
        if (part->session)
            vt_session_close(part->session);
        else
            vt_image_source_close(part->source);
        free(part->path);
    }
    free(stream->parts);
    free(stream);
}

int64_t vt_image_stream_count(const vt_image_stream *stream)
{
    return stream->originals * (1 + stream->variants) + stream->generated;
}

void vt_image_stream_size(const vt_image_stream *stream, int *height, int *width)
{
    *height = stream->height;
    *width = stream->width;
}

uint32_t vt_image_stream_serial(const vt_image_stream *stream)
{
    return stream->serial;
}

/* ---- one image ---- */

/* What image `index` is: generated (part NULL), or an original or its variant 1, 2, ... */
struct place {
    const struct part *part;
    int64_t number; /* in the source; of the generated image */
    int64_t variant;
};

static struct place find(const vt_image_stream *stream, int64_t index)
{
    int64_t generated = index - stream->originals * (1 + stream->variants);
    if (generated >= 0) return (struct place){.number = generated};
    int64_t original = index % stream->originals;
    const struct part *part = &stream->parts[stream->part_count - 1];
    while (original < part->first)
        part--;
    return (struct place){part, part->begin + original - part->first, index / stream->originals};
}

/* The name of an original. */
static size_t print_original(const struct place *place, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%s/%s", place->part->label,
                            vt_image_source_entry(place->part->source, place->number));
}

/* The whole name needs more space: its beginning and its hash. */
static void shorten(const struct place *place, const char *tail, char out[VT_IMAGE_NAME_SIZE])
{
    const char *entry = vt_image_source_entry(place->part->source, place->number);
    uint64_t hash = vt_hash64(place->part->label, strlen(place->part->label), 0);
    hash = vt_hash64(entry, strlen(entry), hash);
    size_t kept = VT_IMAGE_NAME_SIZE - 1 - 17 - strlen(tail);
    snprintf(out + kept, VT_IMAGE_NAME_SIZE - kept, "#%016llx%s", (unsigned long long)hash, tail);
}

static void print_gaudy(char *out, size_t size, const vt_gaudy_options *gaudy)
{
    if (gaudy->kind == VT_GAUDY_NONE) return;
    int length =
        snprintf(out, size, " gaudy %s", gaudy->kind == VT_GAUDY_CHANNEL ? "channel" : "global");
    if (gaudy->blur > 0) snprintf(out + length, size - (size_t)length, " %.9g", gaudy->blur);
}

void vt_image_stream_name(const vt_image_stream *stream, int64_t index,
                          char out[VT_IMAGE_NAME_SIZE])
{
    char tail[128] = "", *end = tail, gaudy[48] = "";
    out[0] = '\0';
    if (index < 0 || index >= vt_image_stream_count(stream)) return;
    struct place place = find(stream, index);
    print_gaudy(gaudy, sizeof gaudy, &stream->gaudy);
    if (!place.part) {
        snprintf(out, VT_IMAGE_NAME_SIZE, "leaves %llu:%lld%s", (unsigned long long)stream->seed,
                 (long long)place.number, gaudy);
        return;
    }
    if (place.variant > 0)
        end += snprintf(tail, sizeof tail, "~%llu:%lld", (unsigned long long)stream->seed,
                        (long long)place.variant);
    strcpy(end, gaudy);
    size_t length = print_original(&place, out, VT_IMAGE_NAME_SIZE);
    if (length + strlen(tail) < VT_IMAGE_NAME_SIZE)
        strcat(out, tail);
    else
        shorten(&place, tail, out);
}

/* Random numbers of a variant depend on seed, the original's name and the variant's number. */
static void variant_rng(vt_rng *out, const vt_image_stream *stream, const struct place *place)
{
    char name[VT_IMAGE_NAME_SIZE];
    struct place original = {place->part, place->number, 0};
    if (print_original(&original, name, sizeof name) >= sizeof name) shorten(&original, "", name);
    uint64_t hash = vt_hash64(name, strlen(name), (uint64_t)place->variant);
    vt_rng_init(out, stream->seed, VT_RNG_VARIANT, (uint32_t)hash, (uint32_t)(hash >> 32));
}

/* An original as it is, or varied, in the stream's size. */
static vt_status convert(const vt_image_stream *stream, const struct place *place,
                         const vt_image *image, uint8_t *out)
{
    if (place->variant > 0) {
        vt_rng rng;
        variant_rng(&rng, stream, place);
        return vt_image_vary(out, image, stream->height, stream->width, &rng);
    }
    vt_image resized;
    VT_TRY(vt_image_resize(&resized, image, stream->height, stream->width));
    memcpy(out, resized.pixels, (size_t)stream->height * (size_t)stream->width * 3);
    vt_image_free(&resized);
    return VT_OK;
}

static vt_status read_one(const vt_image_stream *stream, int64_t index, uint8_t *out)
{
    vt_image image;
    struct place place = find(stream, index);
    if (!place.part) {
        VT_TRY(vt_dead_leaves(out, stream->height, stream->width, stream->seed,
                              (uint32_t)place.number));
        return vt_gaudy(out, stream->height, stream->width, &stream->gaudy);
    }
    VT_TRY(vt_image_source_read(place.part->source, place.number, &image));
    vt_status status = convert(stream, &place, &image, out);
    vt_image_free(&image);
    if (status == VT_OK) status = vt_gaudy(out, stream->height, stream->width, &stream->gaudy);
    if (status == VT_OK) return VT_OK;
    char name[VT_IMAGE_NAME_SIZE];
    vt_image_stream_name(stream, index, name);
    return vt_error_context(status, "%s", name);
}

/* ---- many ---- */

vt_status vt_image_stream_read(vt_image_stream *stream, const int64_t *indices, int64_t count,
                               uint8_t *out)
{
    int64_t images = vt_image_stream_count(stream);
    for (int64_t i = 0; i < count; i++)
        if (indices[i] < 0 || indices[i] >= images)
            return vt_error(VT_EINVAL, "no image %lld in a stream of %lld, counted from 0",
                            (long long)indices[i], (long long)images);
    size_t bytes = (size_t)stream->height * (size_t)stream->width * 3;
    int threads = count < vt_threads() ? (int)count : vt_threads();
    vt_error_state failure = {.code = VT_OK};
    _Atomic int64_t failed = count; /* the first that failed; later ones need not be read */
#pragma omp parallel for schedule(dynamic) num_threads(threads > 0 ? threads : 1)
    for (int64_t i = 0; i < count; i++) {
        if (i > atomic_load(&failed)) continue;
        vt_status status = read_one(stream, indices[i], out + (size_t)i * bytes);
        if (status == VT_OK) continue;
#pragma omp critical(vt_image_stream_failure)
        if (i < atomic_load(&failed)) {
            atomic_store(&failed, i);
            vt_error_save(&failure, status);
        }
    }
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}
