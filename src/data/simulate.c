/* Simulated sessions: their images, their spike counts, and the folder they are written to. */
#include <stdlib.h>

#include "base/arena.h"
#include "data/simulate.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

static vt_status check_range(const char *name, int value, int low, int high)
{
    if (value >= low && value <= high) return VT_OK;
    return vt_error(VT_EINVAL, "simulation: %s is %d; give %d to %d", name, value, low, high);
}

vt_status vt_simulate_check(const vt_simulate_options *options)
{
    VT_TRY(check_range("sessions", options->sessions, 1, 999));
    VT_TRY(check_range("images", options->images, 2, 1000000));
    VT_TRY(check_range("neurons", options->neurons, 1, 10000));
    VT_TRY(check_range("repeats", options->repeats, 1, 1000));
    VT_TRY(check_range("height", options->height, 56, 1024));
    return check_range("width", options->width, 56, 1024);
}

vt_status vt_simulate_images(vt_tensor *out, const vt_simulate_options *options, int session,
                             int count)
{
    int height = options->height, width = options->width;
    /* Weyl steps keep the sessions' streams of images apart from each other and from the seed's
     * own, which serves distillation. */
    uint64_t seed = options->seed + 0x9e3779b97f4a7c15u * ((uint64_t)session + 1);
    vt_error_state failure = {.code = VT_OK};
    VT_TRY(vt_tensor_new(out, VT_U8, 4, (int64_t[]){count, height, width, 3}));
#pragma omp parallel for schedule(dynamic, 8) num_threads(vt_threads())
    for (int i = 0; i < count; i++) {
        uint8_t *image = (uint8_t *)out->data + i * out->stride[0];
        vt_status one = vt_dead_leaves(image, height, width, seed, (uint32_t)i);
        if (one != VT_OK) {
#pragma omp critical(vt_simulate_images)
            vt_error_save(&failure, one);
        }
    }
    if (failure.code != VT_OK) vt_tensor_free(out);
    return vt_error_restore(&failure);
}
