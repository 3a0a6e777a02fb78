/* Sets of textures and noise: read, checked, and shown as Freeman, Ziemba et al. 2013 and Marques
 * et al. 2021 show them: 4 degrees of visual angle, within a raised-cosine aperture floor(128 +
 * (pixel - 128) (1 + cos(pi r / a)) / 2), r < a, r the distance of pixel i from side / 2, a = side
 * / 2, and 128 outside. */
#include "stimuli/texture_set.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "stimuli/grating.h"
#include "ventral/image.h"
#include "ventral/io.h"

#define MAX_BYTES ((size_t)1 << 31)
#define CENTRE 0.5     /* degrees */
#define DEGREES 8      /* of the field */
#define MAX_SIDE 20000 /* of canvas and image, pixels */

struct vt_texture_set {
    vt_texture_list list; /* in order */
    int side;
    uint8_t *grey; /* (count, side, side), as they are in the files */
    double *mask;  /* (side, side); NULL: they have their aperture */
    uint64_t checksum;
};

/* ---- which images ---- */

static int compare(const void *a, const void *b)
{
    const vt_texture_stimulus *x = &((const vt_texture_row *)a)->is;
    const vt_texture_stimulus *y = &((const vt_texture_row *)b)->is;
    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    if (x->family != y->family) return x->family < y->family ? -1 : 1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

/* Sorted, the second half is the textures of the first half's noise, in runs of the same samples.
 */
static vt_status check_list(vt_texture_list *list, const char *path)
{
    vt_texture_row *r = list->rows;
    int64_t count = list->count, half = count / 2, samples = 0;
    qsort(r, (size_t)count, sizeof *r, compare);
    for (int64_t i = 1; i < count; i++)
        if (compare(&r[i - 1], &r[i]) == 0)
            return vt_error(VT_EFORMAT, "%s: %s and %s are the same texture", path, r[i - 1].file,
                            r[i].file);
    while (samples < count && r[samples].is.type == r[0].is.type &&
           r[samples].is.family == r[0].is.family)
        samples++;
    for (int64_t i = 0; i < count; i++) {
        const vt_texture_stimulus *is = &r[i].is, *first = &r[i / samples * samples].is;
        bool fits = count == 2 * half && half % samples == 0 &&
                    is->type == (i < half ? VT_TEXTURE_IS_NOISE : VT_TEXTURE_IS_TEXTURE) &&
                    is->family == first->family && is->family == r[i % half].is.family &&
                    is->sample == r[i % samples].is.sample;
        if (!fits)
            return vt_error(VT_EFORMAT,
                            "%s: %lld images, about %s something is missing: noise and texture of "
                            "the same samples of every family are needed",
                            path, (long long)count, r[i].file);
    }
    return count > 0 ? VT_OK : vt_error(VT_EFORMAT, "%s: no textures", path);
}

static vt_status list_names(vt_texture_list *out, const vt_image_source *source, const char *path)
{
    int64_t count = vt_image_source_count(source);
    out->rows = vt_alloc((size_t)(count > 0 ? count : 1), sizeof *out->rows);
    if (!out->rows) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++) {
        const char *name = vt_image_source_name(source, i);
        vt_texture_row row = {.file = NULL};
        if (!vt_texture_name_parse(&row.is, name))
            return vt_error(VT_EFORMAT,
                            "%s: %s is not named like tex-320x320-im13-smp2.png or "
                            "noise-320x320-im13-smp2.png: rename it, or list the images in %s",
                            path, name, VT_TEXTURE_LIST);
        row.file = vt_strdup(name);
        if (!row.file) return VT_ENOMEM;
        out->rows[out->count++] = row;
    }
    return VT_OK;
}

static vt_status read_list(vt_texture_list *out, const char *path)
{
    void *text;
    size_t size;
    VT_TRY(vt_file_read(&text, &size, path));
    vt_status status = vt_texture_list_parse(out, text, size, path);
    free(text);
    return status;
}

/* "PATH/NAME", allocated; NULL when memory is short. */
static char *join(const char *path, const char *name)
{
    size_t size = strlen(path) + strlen(name) + 2;
    char *out = vt_alloc(size, 1);
    if (out) snprintf(out, size, "%s/%s", path, name);
    return out;
}

static vt_status find_images(vt_texture_set *set, vt_image_source **source, const char *path)
{
    char *list = join(path, VT_TEXTURE_LIST), *zip = join(path, "images.zip");
    vt_status status = list && zip ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        bool listed = access(list, F_OK) == 0, zipped = listed && access(zip, F_OK) == 0;
        status = vt_image_source_open(source, zipped ? zip : path);
        if (status == VT_OK)
            status = listed ? read_list(&set->list, list) : list_names(&set->list, *source, path);
    }
    free(list);
    free(zip);
    return status == VT_OK ? check_list(&set->list, path) : status;
}

/* ---- their pixels ---- */

static int compare_names(const void *name, const void *row)
{
    return strcmp(name, ((const vt_texture_row *)row)->file);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const vt_texture_row *)a)->file, ((const vt_texture_row *)b)->file);
}

/* Number in the source of every row's file. */
static vt_status find_files(int64_t *numbers, vt_texture_list *list, const vt_image_source *source,
                            const char *path)
{
    size_t count = (size_t)list->count;
    vt_texture_row *sorted = vt_alloc(count, sizeof *sorted);
    int64_t *found = vt_alloc(count, sizeof *found);
    vt_status status = sorted && found ? VT_OK : VT_ENOMEM;
    for (size_t i = 0; i < count && status == VT_OK; i++) {
        sorted[i] = list->rows[i];
        found[i] = -1;
    }
    if (status == VT_OK) qsort(sorted, count, sizeof *sorted, compare_files);
    for (int64_t i = 0; i < vt_image_source_count(source) && status == VT_OK; i++) {
        const vt_texture_row *row =
            bsearch(vt_image_source_name(source, i), sorted, count, sizeof *sorted, compare_names);
        if (row) found[row - sorted] = i;
    }
    for (size_t i = 0; i < count && status == VT_OK; i++) {
        const vt_texture_row *row = bsearch(&sorted[i], list->rows, count, sizeof *row, compare);
        numbers[row - list->rows] = found[i];
        if (found[i] < 0)
            status = vt_error(VT_ENOTFOUND, "%s: %s, which its %s lists, is not there", path,
                              sorted[i].file, VT_TEXTURE_LIST);
    }
    free(sorted);
    free(found);
    return status;
}

static vt_status copy_image(vt_texture_set *set, int64_t index, const vt_image *image,
                            const char *path)
{
    if (set->side == 0 && image->height == image->width && image->height <= MAX_SIDE / 4) {
        size_t bytes;
        set->side = image->height;
        if (!vt_mul_ok(&bytes, (size_t)set->side * (size_t)set->side, (size_t)set->list.count) ||
            bytes > MAX_BYTES)
            return vt_error(VT_EUNSUPPORTED, "%s: %lld images of %d x %d pixels: at most 2 GiB",
                            path, (long long)set->list.count, set->side, set->side);
        set->grey = vt_alloc(bytes, 1);
        if (!set->grey) return VT_ENOMEM;
    }
    if (image->height != set->side || image->width != set->side)
        return vt_error(VT_EFORMAT,
                        "%s: %s has %d x %d pixels: square images of one size are needed", path,
                        set->list.rows[index].file, image->width, image->height);
    size_t pixels = (size_t)set->side * (size_t)set->side;
    uint8_t *grey = set->grey + (size_t)index * pixels;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *rgb = image->pixels + 3 * i;
        grey[i] = (uint8_t)lrint(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]);
    }
    return VT_OK;
}

static vt_status read_images(vt_texture_set *set, vt_image_source *source, const char *path)
{
    int64_t *numbers = vt_alloc((size_t)set->list.count, sizeof *numbers);
    if (!numbers) return VT_ENOMEM;
    vt_status status = find_files(numbers, &set->list, source, path);
    for (int64_t i = 0; i < set->list.count && status == VT_OK; i++) {
        vt_image image;
        status = vt_image_source_read(source, numbers[i], &image);
        if (status != VT_OK) break;
        status = copy_image(set, i, &image, path);
        vt_image_free(&image);
    }
    free(numbers);
    if (status != VT_OK) return status;
    size_t pixels = (size_t)set->side * (size_t)set->side;
    for (int64_t i = 0; i < set->list.count; i++) {
        const vt_texture_stimulus *is = &set->list.rows[i].is;
        set->checksum = vt_hash64(is, sizeof *is, set->checksum);
        set->checksum = vt_hash64(set->grey + (size_t)i * pixels, pixels, set->checksum);
    }
    return VT_OK;
}

/* The aperture, unless every pixel where it is 0 is grey already. */
static vt_status find_aperture(vt_texture_set *set)
{
    size_t side = (size_t)set->side, pixels = side * side;
    double radius = set->side / 2.0;
    bool has = true;
    set->mask = vt_alloc(pixels, sizeof *set->mask);
    if (!set->mask) return VT_ENOMEM;
    for (size_t i = 0; i < pixels; i++) {
        double y = (double)(i / side) - radius, x = (double)(i % side) - radius;
        double r2 = y * y + x * x;
        if (r2 < radius * radius) set->mask[i] = (1 + cos(sqrt(r2) / radius * M_PI)) / 2;
        for (int64_t k = 0; k < set->list.count && has && r2 >= radius * radius; k++)
            has = set->grey[(size_t)k * pixels + i] == VT_GREY;
    }
    if (!has) return VT_OK;
    free(set->mask);
    set->mask = NULL;
    return VT_OK;
}

vt_status vt_texture_set_open(vt_texture_set **out, const char *path)
{
    vt_image_source *source = NULL;
    vt_texture_set *set = vt_alloc(1, sizeof *set);
    if (!set) return VT_ENOMEM;
    vt_status status = find_images(set, &source, path);
    if (status == VT_OK) status = read_images(set, source, path);
    if (status == VT_OK) status = find_aperture(set);
    vt_image_source_close(source);
    if (status == VT_OK)
        *out = set;
    else
        vt_texture_set_close(set);
    return status;
}

void vt_texture_set_close(vt_texture_set *set)
{
    if (!set) return;
    vt_texture_list_free(&set->list);
    free(set->grey);
    free(set->mask);
    free(set);
}

int64_t vt_texture_set_count(const vt_texture_set *set)
{
    return set->list.count;
}

const vt_texture_stimulus *vt_texture_set_at(const vt_texture_set *set, int64_t index)
{
    return index >= 0 && index < set->list.count ? &set->list.rows[index].is : NULL;
}

const char *vt_texture_set_origin(const vt_texture_set *set)
{
    return set->list.origin;
}

uint64_t vt_texture_set_checksum(const vt_texture_set *set)
{
    return set->checksum;
}

/* ---- showing ---- */

/* On a canvas (side, side) of grey. */
static void place(vt_image *canvas, const vt_texture_set *set, int64_t index, double resolution)
{
    size_t pixels = (size_t)set->side * (size_t)set->side;
    const uint8_t *grey = set->grey + (size_t)index * pixels;
    int first = (canvas->height - set->side) / 2 + (int)(CENTRE * resolution);
    memset(canvas->pixels, VT_GREY, (size_t)canvas->height * (size_t)canvas->width * 3);
    for (int y = 0; y < set->side; y++)
        for (int x = 0; x < set->side; x++) {
            int row = first + y, column = first + x;
            if (row < 0 || row >= canvas->height || column < 0 || column >= canvas->width) continue;
            size_t at = (size_t)y * (size_t)set->side + (size_t)x;
            int value = grey[at];
            if (set->mask) value = (int)((value - VT_GREY) * set->mask[at] + VT_GREY);
            memset(canvas->pixels + 3 * ((size_t)row * (size_t)canvas->width + (size_t)column),
                   value, 3);
        }
}

vt_status vt_texture_set_draw(const vt_texture_set *set, int64_t index,
                              const vt_screen_options *screen, uint8_t *out)
{
    double resolution = (double)set->side / VT_TEXTURE_DEGREES;
    double degrees = screen->degrees != 0 ? screen->degrees : DEGREES;
    double side = rint(degrees * resolution);
    if (index < 0 || index >= set->list.count)
        return vt_error(VT_EINVAL, "there is no texture %lld; the set has %lld", (long long)index,
                        (long long)set->list.count);
    if (!(degrees > 0 && side >= 1 && side <= MAX_SIDE) || screen->height < 1 ||
        screen->width < 1 || screen->height > MAX_SIDE || screen->width > MAX_SIDE)
        return vt_error(VT_EINVAL, "textures cannot be shown on %g degrees and %d x %d pixels",
                        degrees, screen->width, screen->height);
    vt_image canvas = {(int)side, (int)side, vt_alloc((size_t)side * (size_t)side, 3)}, image;
    if (!canvas.pixels) return VT_ENOMEM;
    place(&canvas, set, index, resolution);
    vt_status status = vt_image_resize(&image, &canvas, screen->height, screen->width);
    vt_image_free(&canvas);
    if (status != VT_OK) return status;
    for (size_t i = 0; i < (size_t)screen->height * (size_t)screen->width; i++)
        out[i] = image.pixels[3 * i];
    vt_image_free(&image);
    return VT_OK;
}
