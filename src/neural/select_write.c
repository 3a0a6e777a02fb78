/* Chosen images as files: an archive of the images and a list of where they come from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/zip.h"
#include "ventral/select.h"

enum { BLOCK = 64, QUALITY = 95, FILE_SIZE = 32 };

typedef struct writer {
    const vt_selection *selection;
    vt_image_stream *pool;
    vt_select_format format;
    int64_t *images;  /* of the pool, in the order of the archive */
    int64_t *numbers; /* of each selected image in the archive, from 0 */
    int64_t count;
} writer;

/* ---- images that several neurons chose come once ---- */

typedef struct wanted {
    int64_t index, item; /* in the pool, in the selection */
} wanted;

static int compare(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static vt_status number_images(writer *w)
{
    int64_t items = w->selection->count;
    wanted *all = vt_alloc((size_t)items, sizeof *all);
    w->images = vt_alloc((size_t)items, sizeof *w->images);
    w->numbers = vt_alloc((size_t)items, sizeof *w->numbers);
    if (!all || !w->images || !w->numbers) {
        free(all);
        return VT_ENOMEM;
    }
    for (int64_t i = 0; i < items; i++)
        all[i] = (wanted){w->selection->items[i].index, i};
    qsort(all, (size_t)items, sizeof *all, compare);
    /* Each item first learns which item chose its image before all others. */
    for (int64_t i = 0, first = 0; i < items; i++) {
        if (all[i].index != all[first].index) first = i;
        w->numbers[all[i].item] = all[first].item;
    }
    for (int64_t i = 0; i < items; i++) {
        bool new = w->numbers[i] == i;
        if (new) w->images[w->count] = w->selection->items[i].index;
        w->numbers[i] = new ? w->count++ : w->numbers[w->numbers[i]];
    }
    free(all);
    return VT_OK;
}

/* ---- the archive ---- */

static void file_name(char out[FILE_SIZE], const writer *w, int64_t number)
{
    snprintf(out, FILE_SIZE, "image%04lld.%s", (long long)number + 1,
             w->format == VT_SELECT_JPEG ? "jpg" : "png");
}

static vt_status add_image(vt_zip_writer *zip, const writer *w, int64_t number,
                           const vt_image *image)
{
    char name[FILE_SIZE];
    void *data;
    size_t size;
    file_name(name, w, number);
    VT_TRY(w->format == VT_SELECT_JPEG ? vt_jpeg_encode(&data, &size, image, QUALITY)
                                       : vt_png_encode(&data, &size, image));
    return vt_zip_writer_adopt(zip, name, data, size, false);
}

static vt_status add_images(vt_zip_writer *zip, writer *w)
{
    int height, width;
    vt_image_stream_size(w->pool, &height, &width);
    size_t bytes = (size_t)height * (size_t)width * 3;
    uint8_t *pixels = vt_alloc(BLOCK, bytes);
    vt_status status = pixels ? VT_OK : VT_ENOMEM;
    for (int64_t first = 0; first < w->count && status == VT_OK; first += BLOCK) {
        int64_t count = w->count - first < BLOCK ? w->count - first : BLOCK;
        status = vt_image_stream_read(w->pool, w->images + first, count, pixels);
        for (int64_t i = 0; i < count && status == VT_OK; i++) {
            vt_image image = {height, width, pixels + (size_t)i * bytes};
            status = add_image(zip, w, first + i, &image);
        }
    }
    free(pixels);
    return status;
}

static vt_status write_archive(writer *w, const char *path)
{
    vt_zip_writer *zip;
    VT_TRY(vt_zip_writer_new(&zip, path));
    vt_status status = add_images(zip, w);
    if (status == VT_OK) return vt_zip_writer_finish(zip);
    vt_zip_writer_abort(zip);
    return status;
}

/* ---- the list ---- */

static bool is_same_group(const vt_selected *a, const vt_selected *b)
{
    return a->strategy == b->strategy && a->neuron == b->neuron;
}

static void print_list(FILE *file, const writer *w)
{
    const vt_selected *items = w->selection->items;
    const char *const sources[] = {"random", w->selection->lowest ? "lowest" : "top",
                                   "disagreement"};
    fputs("rank,image,score,source,neuron,file\n", file);
    for (int64_t i = 0, rank = 0; i < w->selection->count; i++) {
        char name[VT_IMAGE_NAME_SIZE], archived[FILE_SIZE];
        rank = i > 0 && is_same_group(&items[i], &items[i - 1]) ? rank + 1 : 1;
        vt_image_stream_name(w->pool, items[i].index, name);
        file_name(archived, w, w->numbers[i]);
        fprintf(file, "%lld,", (long long)rank);
        vt_csv_field(file, name);
        fputc(',', file);
        if (!isnan(items[i].score)) fprintf(file, "%.9g", items[i].score);
        fprintf(file, ",%s,", sources[items[i].strategy]);
        if (items[i].neuron >= 0) fprintf(file, "%lld", (long long)items[i].neuron);
        fprintf(file, ",%s\n", archived);
    }
}

static vt_status write_list(const writer *w, const char *path)
{
    vt_text_file file;
    VT_TRY(vt_text_file_begin(&file));
    print_list(file.stream, w);
    return vt_text_file_end(&file, path);
}

static vt_status write_both(writer *w, const char *folder)
{
    size_t size = strlen(folder) + 32;
    char *path = vt_alloc(size, 1);
    if (!path) return VT_ENOMEM;
    vt_status status = number_images(w);
    if (status == VT_OK) status = vt_folder_make(folder);
    snprintf(path, size, "%s/images.zip", folder);
    if (status == VT_OK) status = write_archive(w, path);
    snprintf(path, size, "%s/selection.csv", folder);
    if (status == VT_OK) status = write_list(w, path);
    free(path);
    return status;
}

vt_status vt_selection_write(const vt_selection *selection, vt_image_stream *pool,
                             const char *folder, vt_select_format format)
{
    writer w = {.selection = selection, .pool = pool, .format = format};
    vt_status status = write_both(&w, folder);
    free(w.images);
    free(w.numbers);
    return status;
}
