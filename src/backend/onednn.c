/* The accelerated backend: float32 layers with plain NHWC activations and OHWI kernels. oneDNN
 * computes what is bound by arithmetic; where it has no fast routine for such memory the layer has
 * its own loops, named "native". Sums and ReLU are bound by memory: the reference does them. */
#include "backend/onednn.h"

#include "backend/batch_norm.h"
#include "backend/local_receptive_field.h"
#include "backend/max_pool.h"
#include "backend/v1_layers.h"

#include <string.h>

static const struct {
    const char *op;
    vt_status (*prepare)(vt_kernel *out, const vt_kernel_request *request);
} layers[] = {
    {"conv2d", vt_onednn_conv2d},
    {"linear", vt_onednn_linear},
    {"batch_norm", vt_batch_norm_prepare},
    {"max_pool", vt_max_pool_prepare},
    {"local_receptive_field", vt_local_receptive_field_prepare},
    {"center_surround", vt_center_surround_prepare},
    {"divisive_normalization", vt_divisive_normalization_prepare},
    {"tuned_normalization", vt_tuned_normalization_prepare},
};

static vt_status prepare(vt_kernel *out, const vt_kernel_request *request)
{
    if (request->args.out.dtype != VT_F32)
        return vt_error(VT_EUNSUPPORTED, "oneDNN: only float32 is accelerated");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (strcmp(request->op->name, layers[i].op) == 0) return layers[i].prepare(out, request);
    return vt_error(VT_EUNSUPPORTED, "oneDNN: no kernel for %s", request->op->name);
}

const vt_backend vt_backend_onednn = {.name = "onednn", .prepare = prepare};
