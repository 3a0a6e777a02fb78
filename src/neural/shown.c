/* Resizing and preprocessing batches of images. */
#include "neural/shown.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/progress.h"

vt_status vt_shown_init(vt_shown *out, int64_t batch, size_t pixels)
{
    size_t values;
    vt_shown s = {.batch = batch};
    if (!vt_mul_ok(&values, pixels, 3 * (size_t)batch))
        return vt_error(VT_EINVAL, "images of %zu pixels are too large for a batch", pixels);
    s.resized = vt_alloc(values, 1);
    s.pixels = vt_alloc(values, sizeof *s.pixels);
    if (!s.resized || !s.pixels) {
        vt_shown_destroy(&s);
        return VT_ENOMEM;
    }
    *out = s;
    return VT_OK;
}

void vt_shown_destroy(vt_shown *shown)
{
    free(shown->resized);
    free(shown->pixels);
}

static vt_status resize_one(const vt_image_batch *batch, int64_t i, int height, int width,
                            uint8_t *out)
{
    size_t bytes = (size_t)batch->height * (size_t)batch->width * 3;
    vt_image resized, image = {.height = batch->height,
                               .width = batch->width,
                               .pixels = (uint8_t *)batch->pixels + (size_t)i * bytes};
    VT_TRY(vt_image_resize(&resized, &image, height, width));
    memcpy(out, resized.pixels, (size_t)height * (size_t)width * 3);
    vt_image_free(&resized);
    return VT_OK;
}

static vt_status resize(vt_shown *s, const vt_image_batch *batch, int height, int width)
{
    size_t bytes = (size_t)height * (size_t)width * 3;
    vt_error_state failure = {.code = VT_OK};
    _Atomic bool failed = false;
#pragma omp parallel for schedule(dynamic) num_threads(vt_threads())
    for (int64_t i = 0; i < batch->count; i++) {
        vt_status status = resize_one(batch, i, height, width, s->resized + (size_t)i * bytes);
        if (status == VT_OK) continue;
#pragma omp critical(vt_shown_failure)
        if (!atomic_exchange(&failed, true)) vt_error_save(&failure, status);
    }
    memset(s->resized + (size_t)batch->count * bytes, 0, (size_t)(s->batch - batch->count) * bytes);
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

vt_status vt_shown_make(vt_shown *s, const vt_image_batch *batch, bool first, int height, int width,
                        const vt_preprocessing *preprocessing, const float **out)
{
    bool same_size = !first && height == s->height && width == s->width;
    bool native = height == batch->height && width == batch->width;
    *out = s->pixels;
    if (same_size && memcmp(preprocessing, &s->preprocessing, sizeof *preprocessing) == 0)
        return VT_OK;
    s->height = s->width = 0; /* until it has succeeded */
    if (!native && !same_size) VT_TRY(resize(s, batch, height, width));
    vt_preprocess(s->pixels, native ? batch->pixels : s->resized, s->batch * height * width,
                  preprocessing);
    s->height = height;
    s->width = width;
    s->preprocessing = *preprocessing;
    return VT_OK;
}
