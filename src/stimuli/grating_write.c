/* Sets of gratings as files: an archive of pictures and a list of their parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/zip.h"
#include "ventral/grating.h"
#include "ventral/image.h"

enum { BLOCK = 32, FILE_SIZE = 64 };

typedef struct writer {
    vt_grating_set set;
    int64_t begin, end;
    const vt_screen *screen;
    const vt_progress *progress;
    vt_grating gratings[BLOCK];
    uint8_t *grey; /* (BLOCK, height, width) */
} writer;

static void file_name(char out[FILE_SIZE], vt_grating_set set, int64_t index)
{
    snprintf(out, FILE_SIZE, "%s_%04lld.png", vt_grating_set_name(set), (long long)index);
}

/* ---- the archive ---- */

static vt_status encode(void **out, size_t *out_size, const uint8_t *grey, int height, int width)
{
    size_t pixels = (size_t)height * (size_t)width;
    vt_image image = {height, width, vt_alloc(pixels, 3)};
    if (!image.pixels) return VT_ENOMEM;
    for (size_t i = 0; i < pixels; i++)
        memset(image.pixels + 3 * i, grey[i], 3);
    vt_status status = vt_png_encode(out, out_size, &image);
    vt_image_free(&image);
    return status;
}

static vt_status add_block(vt_zip_writer *zip, writer *w, int64_t first, int64_t count)
{
    void *data[BLOCK] = {NULL};
    size_t size[BLOCK];
    int height, width;
    vt_error_state failure = {.code = VT_OK};
    vt_screen_size(w->screen, &height, &width);
    for (int64_t i = 0; i < count; i++)
        VT_TRY(vt_grating_set_at(&w->gratings[i], w->set, first + i));
    VT_TRY(vt_screen_draw(w->screen, w->gratings, count, w->grey));
#pragma omp parallel for schedule(dynamic, 1) num_threads(vt_threads())
    for (int64_t i = 0; i < count; i++) {
        vt_status status = encode(&data[i], &size[i], w->grey + i * height * width, height, width);
        if (status != VT_OK) {
#pragma omp critical(vt_grating_write_failure)
            vt_error_save(&failure, status);
        }
    }
    vt_status status = failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
    for (int64_t i = 0; i < count; i++) {
        char name[FILE_SIZE];
        file_name(name, w->set, first + i);
        if (status == VT_OK)
            status = vt_zip_writer_adopt(zip, name, data[i], size[i], false);
        else
            free(data[i]);
    }
    return status;
}

static vt_status write_archive(writer *w, const char *path)
{
    vt_zip_writer *zip;
    VT_TRY(vt_zip_writer_new(&zip, path));
    vt_status status = VT_OK;
    for (int64_t first = w->begin; first < w->end && status == VT_OK; first += BLOCK) {
        int64_t count = w->end - first < BLOCK ? w->end - first : BLOCK;
        status = add_block(zip, w, first, count);
        if (status == VT_OK)
            status =
                vt_progress_report(w->progress, first + count - w->begin, w->end - w->begin, NULL);
    }
    if (status == VT_OK) return vt_zip_writer_finish(zip);
    vt_zip_writer_abort(zip);
    return status;
}

/* ---- the list ---- */

static void print_list(FILE *file, const writer *w)
{
    fputs("file,position_y,position_x,contrast,radius,spatial_frequency,orientation,phase\n", file);
    for (int64_t i = w->begin; i < w->end; i++) {
        char name[FILE_SIZE];
        vt_grating g;
        if (vt_grating_set_at(&g, w->set, i) != VT_OK) continue; /* the archive has them all */
        file_name(name, w->set, i);
        if (g.radius < 0)
            fprintf(file, "%s,,,,,,,\n", name);
        else
            fprintf(file, "%s,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g\n", name, g.y, g.x,
                    g.contrast, g.radius, g.frequency, g.orientation, g.phase);
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
    vt_status status = vt_folder_make(folder);
    snprintf(path, size, "%s/images.zip", folder);
    if (status == VT_OK) status = write_archive(w, path);
    snprintf(path, size, "%s/stimuli.csv", folder);
    if (status == VT_OK) status = write_list(w, path);
    free(path);
    return status;
}

vt_status vt_grating_set_write(const char *folder, vt_grating_set set, int64_t begin, int64_t end,
                               const vt_screen *screen, const vt_progress *progress)
{
    int height, width;
    writer w = {.set = set, .begin = begin, .end = end, .screen = screen, .progress = progress};
    if (begin < 0 || end > vt_grating_set_count(set) || begin >= end)
        return vt_error(VT_EINVAL, "gratings %lld to %lld of the set %s, which has %lld",
                        (long long)begin, (long long)end, vt_grating_set_name(set),
                        (long long)vt_grating_set_count(set));
    vt_screen_size(screen, &height, &width);
    w.grey = vt_alloc((size_t)(end - begin < BLOCK ? end - begin : BLOCK),
                      (size_t)height * (size_t)width);
    if (!w.grey) return VT_ENOMEM;
    vt_status status = write_both(&w, folder);
    free(w.grey);
    return status;
}
