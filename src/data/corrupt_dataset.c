/* Corrupted copies of a data set's images, in the layout of Tiny-ImageNet-C. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "base/arena.h"
#include "data/corruption.h"
#include "data/image_files.h"
#include "io/jpeg.h"
#include "ventral/io.h"

enum {
    SIDE = 64,     /* pixels of Tiny-ImageNet-C's images */
    QUALITY = 85,  /* of its JPEGs */
    CHUNK = 32,    /* images between two reports of progress */
    RNG_ORDER = 1, /* changes when the same seed would give other images */
};

typedef struct run {
    const char *folder;
    vt_dataset *dataset;
    const vt_corrupt_options *options;
    bool all_kinds, all_severities;
    int64_t images, files_an_image;
    int64_t *order; /* the images, the first of each class before the second of any */
} run;

static bool any(const bool *chosen, int count)
{
    for (int i = 0; i < count; i++)
        if (chosen[i]) return true;
    return false;
}

static bool is_wanted(const run *r, int kind, int severity)
{
    return (r->all_kinds || r->options->kinds[kind]) &&
           (r->all_severities || r->options->severities[severity - 1]);
}

static const char *class_of(const vt_dataset *dataset, int64_t index)
{
    return vt_dataset_class_name(dataset, vt_dataset_label(dataset, index));
}

static const char *file_of(const vt_dataset *dataset, int64_t index)
{
    return vt_file_name(vt_dataset_name(dataset, index));
}

/* ---- the order: a part of the set, too, has all classes ---- */

typedef struct ranked {
    int64_t rank, index; /* place within its class, and in the set */
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static vt_status order_images(run *r)
{
    size_t count = (size_t)vt_dataset_count(r->dataset);
    int64_t *seen = vt_alloc((size_t)vt_dataset_classes(r->dataset), sizeof *seen);
    ranked *all = vt_alloc(count, sizeof *all);
    r->order = vt_alloc(count, sizeof *r->order);
    bool whole = seen && all && r->order;
    for (size_t i = 0; i < count && whole; i++)
        all[i] = (ranked){seen[vt_dataset_label(r->dataset, (int64_t)i)]++, (int64_t)i};
    if (whole) qsort(all, count, sizeof *all, by_rank);
    for (size_t i = 0; i < count && whole; i++)
        r->order[i] = all[i].index;
    free(seen);
    free(all);
    return whole ? VT_OK : VT_ENOMEM;
}

/* ---- the folder ---- */

typedef struct named {
    int label;
    const char *file, *name;
} named;

static int by_place(const void *a, const void *b)
{
    const named *x = a, *y = b;
    return x->label != y->label ? (x->label > y->label) - (x->label < y->label)
                                : strcmp(x->file, y->file);
}

/* Images of one class in different folders may have the same file name. */
static vt_status check_names_differ(vt_dataset *dataset)
{
    size_t count = (size_t)vt_dataset_count(dataset);
    named *all = vt_alloc(count, sizeof *all);
    if (!all) return VT_ENOMEM;
    for (size_t i = 0; i < count; i++)
        all[i] = (named){vt_dataset_label(dataset, (int64_t)i), file_of(dataset, (int64_t)i),
                         vt_dataset_name(dataset, (int64_t)i)};
    qsort(all, count, sizeof *all, by_place);
    vt_status status = VT_OK;
    for (size_t i = 1; i < count && status == VT_OK; i++)
        if (by_place(&all[i - 1], &all[i]) == 0)
            status = vt_error(VT_EINVAL,
                              "%s and %s would have the same name among the corrupted images of "
                              "their class: rename one",
                              all[i - 1].name, all[i].name);
    free(all);
    return status;
}

/* What has to be the same for files of two calls to belong together. */
static void note_text(char *text, size_t size, const run *r)
{
    int64_t count = vt_dataset_count(r->dataset);
    uLong crc = crc32(0, NULL, 0);
    for (int64_t i = 0; i < count; i++) {
        const char *class = class_of(r->dataset, i), *file = file_of(r->dataset, i);
        crc = crc32(crc, (const Bytef *)class, (uInt)strlen(class) + 1);
        crc = crc32(crc, (const Bytef *)file, (uInt)strlen(file) + 1);
    }
    snprintf(text, size,
             "{\"corruptions\": %d, \"seed\": %llu, \"images\": %lld, \"names_crc32\": %lu}\n",
             RNG_ORDER, (unsigned long long)r->options->seed, (long long)count, (unsigned long)crc);
}

static vt_status check_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return vt_error(VT_EIO, "%s: cannot open the folder: %s", folder, strerror(errno));
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(dir));)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(dir);
    if (empty) return VT_OK;
    return vt_error(VT_EINVAL,
                    "%s is not empty and holds no corrupted images (it has no corruptions.json): "
                    "give another folder",
                    folder);
}

/* Makes the folder, or finds in it what an earlier call with the same images and seed noted. */
static vt_status claim_folder(const run *r)
{
    char note[256], path[PATH_MAX];
    note_text(note, sizeof note, r);
    if (snprintf(path, sizeof path, "%s/corruptions.json", r->folder) >= PATH_MAX)
        return vt_error(VT_EINVAL, "%.60s...: the path is too long", r->folder);
    VT_TRY(vt_folder_make(r->folder));
    if (access(path, F_OK) != 0) {
        VT_TRY(check_empty(r->folder));
        return vt_file_write(path, note, strlen(note));
    }
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    bool same = size == strlen(note) && memcmp(data, note, size) == 0;
    free(data);
    if (same) return VT_OK;
    return vt_error(VT_EINVAL,
                    "%s: the folder holds corruptions of other images or of another seed: repeat "
                    "those, or give another folder",
                    path);
}

/* Appends "/NAME" to `path`, whose length is *length. */
static vt_status extend(char path[PATH_MAX], size_t *length, const char *name)
{
    int more = snprintf(path + *length, PATH_MAX - *length, "/%s", name);
    if (more < 0 || (size_t)more >= PATH_MAX - *length)
        return vt_error(VT_EINVAL, "%.*s/%s: the path is too long", (int)*length, path, name);
    *length += (size_t)more;
    return VT_OK;
}

static vt_status begin_path(char path[PATH_MAX], size_t *length, const run *r, int kind,
                            int severity)
{
    char number[16];
    snprintf(number, sizeof number, "%d", severity);
    *length = 0;
    path[0] = '\0';
    if (snprintf(path, PATH_MAX, "%s", r->folder) >= PATH_MAX)
        return vt_error(VT_EINVAL, "%.60s...: the path is too long", r->folder);
    *length = strlen(path);
    VT_TRY(extend(path, length, vt_corruption_name((vt_corruption)kind)));
    if (severity > 0) VT_TRY(extend(path, length, number));
    return VT_OK;
}

static vt_status make_folders(const run *r)
{
    char path[PATH_MAX];
    size_t length;
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++)
        for (int severity = 1; severity <= VT_CORRUPTION_SEVERITIES; severity++) {
            if (!is_wanted(r, kind, severity)) continue;
            VT_TRY(begin_path(path, &length, r, kind, 0));
            VT_TRY(vt_folder_make(path));
            VT_TRY(begin_path(path, &length, r, kind, severity));
            VT_TRY(vt_folder_make(path));
        }
    return VT_OK;
}

/* ---- images ---- */

static vt_status write_image(const char *path, const vt_image *image)
{
    const char *dot = strrchr(path, '.');
    bool png = dot && strcasecmp(dot, ".png") == 0;
    void *data;
    size_t size;
    VT_TRY(png ? vt_png_encode(&data, &size, image)
               : vt_jpeg_encode_420(&data, &size, image, QUALITY));
    vt_status status = vt_file_write(path, data, size);
    free(data);
    return status;
}

/* Reads the image before the first of its files that is missing. */
static vt_status read_once(vt_image *image, const run *r, int64_t index)
{
    if (image->pixels) return VT_OK;
    vt_image read;
    VT_TRY(vt_dataset_read(r->dataset, index, &read));
    vt_status status = vt_image_resize(image, &read, SIDE, SIDE);
    vt_image_free(&read);
    return status;
}

static vt_status corrupt_file(const run *r, int64_t index, vt_image *image, int kind, int severity,
                              vt_corrupt_report *counts)
{
    char path[PATH_MAX];
    size_t length;
    VT_TRY(begin_path(path, &length, r, kind, severity));
    VT_TRY(extend(path, &length, class_of(r->dataset, index)));
    VT_TRY(vt_folder_make(path));
    VT_TRY(extend(path, &length, file_of(r->dataset, index)));
    if (access(path, F_OK) == 0) {
        counts->kept++;
        return VT_OK;
    }
    VT_TRY(read_once(image, r, index));
    vt_image corrupted;
    VT_TRY(vt_corrupt(&corrupted, image, (vt_corruption)kind, severity, r->options->seed,
                      (uint32_t)index));
    vt_status status = write_image(path, &corrupted);
    vt_image_free(&corrupted);
    if (status == VT_OK) counts->written++;
    return status;
}

static vt_status corrupt_image(const run *r, int64_t index, vt_corrupt_report *counts)
{
    vt_image image = {0};
    vt_status status = VT_OK;
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++)
        for (int severity = 1; severity <= VT_CORRUPTION_SEVERITIES; severity++)
            if (status == VT_OK && is_wanted(r, kind, severity))
                status = corrupt_file(r, index, &image, kind, severity, counts);
    vt_image_free(&image);
    return status;
}

static vt_status corrupt_chunk(const run *r, int64_t first, int64_t end, vt_corrupt_report *counts)
{
    vt_error_state failure = {.code = VT_OK};
    int64_t written = 0, kept = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(vt_threads()) reduction(+ : written, kept)
    for (int64_t i = first; i < end; i++) {
        vt_corrupt_report own = {0};
        vt_status one = corrupt_image(r, r->order[i], &own);
        written += own.written;
        kept += own.kept;
        if (one != VT_OK) {
#pragma omp critical(vt_corrupt_dataset)
            vt_error_save(&failure, one);
        }
    }
    counts->written += written;
    counts->kept += kept;
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

static vt_status run_new(run *out, const char *folder, vt_dataset *dataset,
                         const vt_corrupt_options *options)
{
    int64_t count = vt_dataset_count(dataset);
    if (options->limit < 0)
        return vt_error(VT_EINVAL, "a limit of %lld images is negative", (long long)options->limit);
    run r = {.folder = folder, .dataset = dataset, .options = options, .images = count};
    if (options->limit > 0 && options->limit < count) r.images = options->limit;
    r.all_kinds = !any(options->kinds, VT_CORRUPTIONS);
    r.all_severities = !any(options->severities, VT_CORRUPTION_SEVERITIES);
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++)
        for (int severity = 1; severity <= VT_CORRUPTION_SEVERITIES; severity++)
            r.files_an_image += is_wanted(&r, kind, severity);
    *out = r;
    return VT_OK;
}

static vt_status corrupt_all(run *r, vt_corrupt_report *counts, const vt_progress *progress)
{
    VT_TRY(order_images(r));
    VT_TRY(check_names_differ(r->dataset));
    VT_TRY(claim_folder(r));
    VT_TRY(make_folders(r));
    for (int64_t first = 0; first < r->images; first += CHUNK) {
        int64_t end = first + CHUNK < r->images ? first + CHUNK : r->images;
        VT_TRY(corrupt_chunk(r, first, end, counts));
        VT_TRY(vt_progress_report(progress, end * r->files_an_image, r->images * r->files_an_image,
                                  class_of(r->dataset, r->order[end - 1])));
    }
    return VT_OK;
}

vt_status vt_corrupt_dataset(vt_corrupt_report *out, const char *folder, vt_dataset *dataset,
                             const vt_corrupt_options *options, const vt_progress *progress)
{
    run r;
    vt_corrupt_report counts = {0};
    VT_TRY(run_new(&r, folder, dataset, options));
    vt_status status = corrupt_all(&r, &counts, progress);
    free(r.order);
    if (status == VT_OK) *out = counts;
    return status;
}
