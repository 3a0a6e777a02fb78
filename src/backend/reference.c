/* The reference backend: the layers' own plain loops, float and double. It is the definition that
 * every other backend is tested against and takes every node. */
#include "backend/backend.h"

static vt_status forward(void *state, const vt_op_args *args)
{
    const vt_op *op = state;
    op->forward(args);
    if (args->relu) {
        vt_op_args relu = {.batch = args->batch, .out = args->out};
        relu.in[0] = args->out;
        vt_op_relu.forward(&relu);
    }
    return VT_OK;
}

/* Scratch of the layer's own loops; behind it lies the gradient before the ReLU. */
static size_t own_scratch(const vt_op *op, const vt_op_args *args)
{
    return op->scratch_bytes ? (op->scratch_bytes(args) + 63) / 64 * 64 : 0;
}

static vt_status backward(void *state, const vt_op_args *args)
{
    const vt_op *op = state;
    vt_op_args own = *args;
    if (args->relu) {
        own.grad_out.data = (char *)args->scratch + own_scratch(op, args);
        vt_op_args relu = {.batch = args->batch, .out = args->out, .grad_out = args->grad_out};
        relu.grad_in[0] = own.grad_out;
        relu.overwrite[0] = true;
        vt_op_relu.backward(&relu);
    }
    op->backward(&own);
    return VT_OK;
}

static void nothing_to_free(void *state)
{
    (void)state;
}

static vt_status prepare(vt_kernel *out, const vt_kernel_request *request)
{
    const vt_op *op = request->op;
    const vt_op_args *args = &request->args;
    if (args->out.dtype != VT_F32 && args->out.dtype != VT_F64)
        return vt_error(VT_EUNSUPPORTED, "%s of %s: only float32 and float64", op->name,
                        vt_dtype_name(args->out.dtype));
    if (request->backward && !op->backward)
        return vt_error(VT_EUNSUPPORTED, "%s has no gradient", op->name);
    bool masked = request->backward && args->relu;
    *out = (vt_kernel){
        .name = vt_backend_reference.name,
        .state = (void *)op, /* never written through */
        .forward = forward,
        .backward = request->backward ? backward : NULL,
        .free = nothing_to_free,
        .scratch_bytes = own_scratch(op, args) + (masked ? vt_tensor_bytes(&args->out) : 0),
        .saved_bytes = op->saved_bytes ? op->saved_bytes(args) : 0,
        .overwrites = op->flags & VT_OP_OVERWRITES,
        .in_place_gradient = op->flags & VT_OP_GRADIENT_IN_PLACE,
    };
    return VT_OK;
}

const vt_backend vt_backend_reference = {.name = "reference", .prepare = prepare};
