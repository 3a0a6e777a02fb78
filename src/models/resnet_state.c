/* State dictionaries of V1 networks as the authors' code (Pogoncheff, Granley & Beyeler 2023) and
 * torchvision have them: parameters and running statistics, the counters of batch normalization,
 * and the tables that layers keep as buffers:
 *
 *     dog_conv.kernel_dists        (5, 5)       squared distance from the kernel's centre
 *     dn.channel_distances         (C, C)       |(j - i mod C) - C / 2|
 *     dn.x_coords, dn.y_coords     (k, k)       column and row, from 1
 *     pooling_masks, _mask_counts  (540, 32, 32), (540)   float16: bins of the polar grid, their
 * sums
 *
 * A table stands before the parameters of its layer, the coordinates after them, the masks last as
 * "lpp". Classes of networks with normalization and of composites build "lpp" whether they use it
 * or not. Cortical magnification alone is a Sequential, the masks its module 3. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/half.h"
#include "base/text.h"
#include "models/model.h"
#include "models/resnet.h"
#include "ops/polar_map.h"

typedef struct writer {
    vt_tensor_map *map;
    bool sequential;
} writer;

/* A new tensor named after `parameter`, the last part of whose name gives way to `last`. */
static vt_status add(const writer *w, const char *parameter, const char *last, vt_dtype dtype,
                     int ndim, const int64_t *size, vt_tensor *out)
{
    char plain[VT_NAME_SIZE], name[VT_NAME_SIZE];
    int stem = (int)(strrchr(parameter, '.') - parameter);
    snprintf(plain, sizeof plain, "%.*s.%s", stem, parameter, last);
    if (w->sequential)
        vt_resnet_sequential_name(name, sizeof name, plain);
    else
        snprintf(name, sizeof name, "%s", plain);
    return vt_tensor_map_add(w->map, name, dtype, ndim, size, out);
}

static vt_status add_parameter(const writer *w, const vt_param *param)
{
    vt_tensor turned, place;
    VT_TRY(vt_resnet_to_torch(&turned, param));
    vt_status status = add(w, param->name, strrchr(param->name, '.') + 1, turned.dtype, turned.ndim,
                           turned.size, &place);
    if (status == VT_OK) memcpy(place.data, turned.data, vt_tensor_bytes(&turned));
    vt_tensor_free(&turned);
    return status;
}

/* ---- tables ---- */

/* Of the kernel's 2 radius + 1 square. */
static vt_status add_kernel_dists(const writer *w, const char *parameter)
{
    enum { RADIUS = VT_RESNET_SURROUND_RADIUS, SIDE = 2 * RADIUS + 1 };
    vt_tensor t;
    VT_TRY(add(w, parameter, "kernel_dists", VT_F32, 2, (int64_t[]){SIDE, SIDE}, &t));
    for (int i = 0; i < SIDE * SIDE; i++) {
        int y = i / SIDE - RADIUS, x = i % SIDE - RADIUS;
        ((float *)t.data)[i] = (float)(x * x + y * y);
    }
    return VT_OK;
}

static vt_status add_channel_distances(const writer *w, const char *parameter, int64_t n)
{
    vt_tensor t;
    VT_TRY(add(w, parameter, "channel_distances", VT_F32, 2, (int64_t[]){n, n}, &t));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            ((float *)t.data)[i * n + j] = (float)llabs((j - i + n) % n - n / 2);
    return VT_OK;
}

static vt_status add_coordinates(const writer *w, const char *parameter)
{
    enum { SIDE = VT_RESNET_DIVISIVE_KERNEL };
    vt_tensor x, y;
    VT_TRY(add(w, parameter, "x_coords", VT_F32, 2, (int64_t[]){SIDE, SIDE}, &x));
    VT_TRY(add(w, parameter, "y_coords", VT_F32, 2, (int64_t[]){SIDE, SIDE}, &y));
    for (int i = 0; i < SIDE * SIDE; i++) {
        ((float *)x.data)[i] = (float)(i % SIDE + 1);
        ((float *)y.data)[i] = (float)(i / SIDE + 1);
    }
    return VT_OK;
}

static vt_status add_masks(const writer *w, const char *module)
{
    enum { BINS = VT_POLAR_BINS, IMAGE = VT_POLAR_IMAGE };
    char name[64];
    vt_tensor half[2];
    float *masks = vt_alloc((size_t)BINS * VT_POLAR_PIXELS + BINS, sizeof *masks);
    if (!masks) return VT_ENOMEM;
    vt_polar_masks(masks, masks + BINS * VT_POLAR_PIXELS);
    snprintf(name, sizeof name, "%s.pooling_masks", module);
    vt_status status =
        vt_tensor_map_add(w->map, name, VT_F16, 3, (int64_t[]){BINS, IMAGE, IMAGE}, &half[0]);
    snprintf(name, sizeof name, "%s.pooling_mask_counts", module);
    if (status == VT_OK)
        status = vt_tensor_map_add(w->map, name, VT_F16, 1, (int64_t[]){BINS}, &half[1]);
    const float *from = masks;
    for (int t = 0; t < 2 && status == VT_OK; t++)
        for (int64_t i = 0; i < vt_tensor_count(&half[t]); i++)
            ((uint16_t *)half[t].data)[i] = vt_half_from_float(*from++);
    free(masks);
    return status;
}

/* ---- in order ---- */

static vt_status add_before(const writer *w, const vt_param *param)
{
    if (vt_ends_with(param->name, ".dog_conv.sigma1")) return add_kernel_dists(w, param->name);
    if (vt_ends_with(param->name, ".dn.sigmas"))
        return add_channel_distances(w, param->name, param->value.size[0]);
    return VT_OK;
}

static vt_status add_after(const writer *w, const vt_param *param)
{
    if (vt_ends_with(param->name, ".dn.bias")) return add_coordinates(w, param->name);
    if (!vt_ends_with(param->name, ".running_var")) return VT_OK;
    VT_TRY(add(w, param->name, "num_batches_tracked", VT_I64, 0, NULL, NULL));
    bool before_layer1 = strcmp(param->name, "bn1.running_var") == 0;
    return w->sequential && before_layer1 ? add_masks(w, "3") : VT_OK;
}

static bool builds_lpp(vt_resnet_variant variant)
{
    return variant == VT_RESNET_DIV_NORM || variant == VT_RESNET_TUNED_NORM ||
           variant >= VT_RESNET_COMPOSITE_A;
}

vt_status vt_resnet_state_dict(const vt_model *model, vt_tensor_map *out)
{
    vt_resnet_options o;
    VT_TRY(vt_model_resnet_options(model, &o));
    writer w = {.map = out, .sequential = o.variant == VT_RESNET_CORTICAL_MAGNIFICATION};
    for (int i = 0; i < vt_graph_param_count(model->graph); i++) {
        const vt_param *param = vt_graph_param(model->graph, i);
        VT_TRY(add_before(&w, param));
        VT_TRY(add_parameter(&w, param));
        VT_TRY(add_after(&w, param));
    }
    if (builds_lpp(o.variant)) VT_TRY(add_masks(&w, "lpp"));
    return vt_tensor_map_set_text(out, "format", "pt"); /* what libraries for Python look for */
}
