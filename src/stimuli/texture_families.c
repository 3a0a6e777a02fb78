/* Families of textures from photographs, as files: each PNG's name ends in a checksum of all that
 * decides about it, so that a run that was stopped goes on where it was. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "io/image.h"
#include "stimuli/texture_set.h"
#include "ventral/image.h"
#include "ventral/io.h"

enum { SAMPLES = 15, SIDE = 320, MAX_SAMPLES = 10000, MAX_FAMILIES = 10000, NAME_SIZE = 96 };

typedef struct family {
    double *grey; /* (side, side) */
    vt_tensor_map *statistics;
    uint64_t checksum;
    char *photograph;
} family;

typedef struct writer {
    const char *folder, *origin;
    vt_texture_synthesis synthesis;
    int samples, side, families;
    family *family;
    double *distance; /* (families, samples) */
    const vt_progress *progress;
} writer;

/* ---- photographs ---- */

/* The middle square in grey. */
static vt_status make_grey(double *out, const vt_image *image, int side)
{
    int square = image->height < image->width ? image->height : image->width;
    int top = (image->height - square) / 2, left = (image->width - square) / 2;
    vt_image middle, resized;
    VT_TRY(vt_image_new(&middle, square, square, "a photograph"));
    for (int y = 0; y < square; y++)
        memcpy(middle.pixels + (size_t)y * (size_t)square * 3,
               image->pixels + 3 * ((size_t)(top + y) * (size_t)image->width + (size_t)left),
               (size_t)square * 3);
    vt_status status = vt_image_resize(&resized, &middle, side, side);
    vt_image_free(&middle);
    if (status != VT_OK) return status;
    for (size_t i = 0; i < (size_t)side * (size_t)side; i++) {
        const uint8_t *rgb = resized.pixels + 3 * i;
        out[i] = rint(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]);
    }
    vt_image_free(&resized);
    return VT_OK;
}

/* A name that is one field of a table. */
static char *field_of(const char *name)
{
    char *field = vt_strdup(name);
    for (char *c = field; c && *c; c++)
        if (*c == ',' || *c == '"' || iscntrl((unsigned char)*c)) *c = '_';
    return field;
}

/* Reads one and measures it, which refuses what has no texture before hours are spent: it has no
 * distance even from itself. */
static vt_status read_family(writer *w, int number, vt_image_source *source)
{
    family *f = &w->family[number];
    size_t pixels = (size_t)w->side * (size_t)w->side;
    vt_image image;
    double itself;
    f->photograph = field_of(vt_image_source_name(source, number));
    f->grey = vt_alloc(pixels, sizeof *f->grey);
    vt_status status = f->photograph && f->grey ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_image_source_read(source, number, &image);
    if (status == VT_OK) {
        status = make_grey(f->grey, &image, w->side);
        vt_image_free(&image);
    }
    if (status == VT_OK)
        status = vt_texture_statistics(&f->statistics, f->grey, w->side, w->side,
                                       &w->synthesis.statistics);
    if (status == VT_OK) status = vt_texture_distance(&itself, f->statistics, f->statistics);
    if (status != VT_OK)
        return vt_error_context(status, "%s", f->photograph ? f->photograph : "a photograph");
    const vt_texture_synthesis *o = &w->synthesis;
    const int64_t numbers[] = {
        o->statistics.scales, o->statistics.orientations, o->statistics.neighbourhood,
        o->iterations,        (int64_t)o->seed,           w->side};
    f->checksum = vt_hash64(f->grey, pixels * sizeof *f->grey, 1);
    f->checksum = vt_hash64(numbers, sizeof numbers, f->checksum);
    f->checksum = vt_hash64(&o->distance, sizeof o->distance, f->checksum);
    return VT_OK;
}

/* ---- images ---- */

static void name_of(char out[NAME_SIZE], const writer *w, vt_texture_type type, int number,
                    int sample)
{
    snprintf(out, NAME_SIZE, "%s-%dx%d-im%d-smp%d-%016llx.png",
             type == VT_TEXTURE_IS_NOISE ? "noise" : "tex", w->side, w->side, number + 1,
             sample + 1, (unsigned long long)w->family[number].checksum);
}

static uint8_t byte_of(double value)
{
    return (uint8_t)fmin(fmax(rint(value), 0), 255);
}

static vt_status write_image(const char *path, const double *grey, int side)
{
    vt_image image;
    void *data;
    size_t size;
    VT_TRY(vt_image_new(&image, side, side, path));
    for (size_t i = 0; i < (size_t)side * (size_t)side; i++)
        memset(image.pixels + 3 * i, byte_of(grey[i]), 3);
    vt_status status = vt_png_encode(&data, &size, &image);
    vt_image_free(&image);
    if (status != VT_OK) return status;
    status = vt_file_write(path, data, size);
    free(data);
    return status;
}

static vt_status read_image(double *grey, const char *path, int side)
{
    vt_image image;
    VT_TRY(vt_image_read(&image, path));
    vt_status status = VT_OK;
    if (image.height != side || image.width != side)
        status = vt_error(VT_EFORMAT, "%s: another image of this name: move it", path);
    for (size_t i = 0; i < (size_t)side * (size_t)side && status == VT_OK; i++)
        grey[i] = image.pixels[3 * i];
    vt_image_free(&image);
    return status;
}

/* Texture and noise of one sample, where they are not there; `texture` and `noise` are scratch. */
static vt_status make_files(writer *w, int number, int sample, double *texture, double *noise)
{
    char name[NAME_SIZE], path[4400];
    const family *f = &w->family[number];
    vt_texture_synthesis options = w->synthesis;
    options.number = (uint32_t)(number * MAX_SAMPLES + sample);
    name_of(name, w, VT_TEXTURE_IS_TEXTURE, number, sample);
    if (snprintf(path, sizeof path, "%s/%s", w->folder, name) >= (int)sizeof path)
        return vt_error(VT_EINVAL, "%.100s...: too long a name of a folder", w->folder);
    if (access(path, F_OK) != 0) {
        VT_TRY(vt_texture_synthesize(texture, NULL, f->grey, w->side, w->side, &options));
        VT_TRY(write_image(path, texture, w->side));
    }
    VT_TRY(read_image(texture, path, w->side)); /* all that follows is of the bytes */
    VT_TRY(vt_texture_noise(noise, texture, w->side, w->side, options.seed, options.number));
    name_of(name, w, VT_TEXTURE_IS_NOISE, number, sample);
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    if (access(path, F_OK) != 0) VT_TRY(write_image(path, noise, w->side));
    vt_tensor_map *reached;
    VT_TRY(vt_texture_statistics(&reached, texture, w->side, w->side, &options.statistics));
    vt_status status =
        vt_texture_distance(&w->distance[number * w->samples + sample], f->statistics, reached);
    vt_tensor_map_free(reached);
    return status;
}

static vt_status make_sample(writer *w, int64_t index)
{
    size_t pixels = (size_t)w->side * (size_t)w->side;
    double *scratch = vt_alloc(pixels, 2 * sizeof *scratch);
    if (!scratch) return VT_ENOMEM;
    vt_status status = make_files(w, (int)(index / w->samples), (int)(index % w->samples), scratch,
                                  scratch + pixels);
    free(scratch);
    return status;
}

static vt_status make_all(writer *w)
{
    int64_t total = (int64_t)w->families * w->samples, block = 2 * (int64_t)vt_threads();
    for (int64_t first = 0; first < total; first += block) {
        int64_t end = first + block < total ? first + block : total;
        vt_error_state failure = {.code = VT_OK};
#pragma omp parallel for schedule(dynamic, 1) num_threads(vt_threads())
        for (int64_t i = first; i < end; i++) {
            vt_status status = make_sample(w, i);
            if (status != VT_OK) {
#pragma omp critical(vt_texture_families_failure)
                vt_error_save(&failure, status);
            }
        }
        if (failure.code != VT_OK) return vt_error_restore(&failure);
        VT_TRY(vt_progress_report(w->progress, end, total, NULL));
    }
    return VT_OK;
}

/* ---- the list ---- */

static vt_status write_list(const writer *w)
{
    char path[4400];
    vt_text_file file;
    VT_TRY(vt_text_file_begin(&file));
    fputs("file,type,family,sample,photograph,distance,origin\n", file.stream);
    for (int type = VT_TEXTURE_IS_NOISE; type <= VT_TEXTURE_IS_TEXTURE; type++)
        for (int i = 0; i < w->families * w->samples; i++) {
            char name[NAME_SIZE];
            int number = i / w->samples, sample = i % w->samples;
            bool texture = type == VT_TEXTURE_IS_TEXTURE;
            name_of(name, w, (vt_texture_type)type, number, sample);
            fprintf(file.stream, "%s,%s,%d,%d,%s,", name, texture ? "texture" : "noise", number + 1,
                    sample + 1, w->family[number].photograph);
            if (texture) fprintf(file.stream, "%.4g", w->distance[i]);
            fprintf(file.stream, ",%s\n", w->origin);
        }
    snprintf(path, sizeof path, "%s/%s", w->folder, VT_TEXTURE_LIST);
    return vt_text_file_end(&file, path);
}

/* ---- all of it ---- */

static vt_status make_families(writer *w, vt_image_source *source)
{
    w->family = vt_alloc((size_t)w->families, sizeof *w->family);
    w->distance = vt_alloc((size_t)w->families * (size_t)w->samples, sizeof *w->distance);
    if (!w->family || !w->distance) return VT_ENOMEM;
    for (int i = 0; i < w->families; i++)
        VT_TRY(read_family(w, i, source));
    VT_TRY(vt_folder_make(w->folder));
    VT_TRY(make_all(w));
    return write_list(w);
}

static void writer_free(writer *w)
{
    for (int i = 0; i < w->families && w->family; i++) {
        free(w->family[i].grey);
        free(w->family[i].photograph);
        vt_tensor_map_free(w->family[i].statistics);
    }
    free(w->family);
    free(w->distance);
}

vt_status vt_texture_families_write(const char *folder, const char *photographs,
                                    const vt_texture_families *o)
{
    vt_image_source *source;
    writer w = {.folder = folder,
                .synthesis = o->synthesis,
                .samples = o->samples ? o->samples : SAMPLES,
                .side = o->side ? o->side : SIDE,
                .progress = o->progress};
    if (w.samples < 1 || w.samples > MAX_SAMPLES || w.side < 1)
        return vt_error(VT_EINVAL, "%d samples of %d x %d pixels: 1 to %d samples are possible",
                        w.samples, w.side, w.side, MAX_SAMPLES);
    VT_TRY(vt_image_source_open(&source, photographs));
    int64_t count = vt_image_source_count(source);
    char *name = field_of(strrchr(photographs, '/') && strrchr(photographs, '/')[1]
                              ? strrchr(photographs, '/') + 1
                              : photographs);
    char origin[256];
    vt_status status = VT_OK;
    if (!name)
        status = VT_ENOMEM;
    else if (count < 1 || count > MAX_FAMILIES)
        status = vt_error(VT_EINVAL, "%s: %lld photographs: 1 to %d families are possible",
                          photographs, (long long)count, MAX_FAMILIES);
    if (status == VT_OK) {
        snprintf(origin, sizeof origin, "synthesised from %lld photograph%s of %.100s",
                 (long long)count, count == 1 ? "" : "s", name);
        w.origin = origin;
        w.families = (int)count;
        status = make_families(&w, source);
    }
    free(name);
    writer_free(&w);
    vt_image_source_close(source);
    return status;
}
