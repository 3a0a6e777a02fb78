/* Dropout: y = m x / (1 - rate), m = 0 with probability `rate`, else 1 (Srivastava et al. 2014);
 * with `channels` one m for a whole feature map (Tompson et al. 2015). The identity in inference.
 *
 * m is drawn from Philox at (seed, step, node, sample, element), so forward and backward make the
 * same masks again, in any order and on any number of threads, and nothing is saved. */
#ifndef REAL
#include "ops/check.h"
#include "ops/real.h"
#include "ventral/rng.h"

enum { WORDS = 4 /* of a Philox block */, PIECE = 4096 /* elements, whole blocks */ };

/* Places the generator so that its next number decides element `first`, a multiple of WORDS. */
static void place(vt_rng *rng, const vt_op_args *args, int64_t sample, int64_t first)
{
    vt_rng_init(rng, args->seed, VT_RNG_DROPOUT | args->node << 8, args->step, (uint32_t)sample);
    rng->counter[0] = (uint32_t)(first / WORDS);
}

/* A number below this drops its element. */
static uint32_t threshold(const vt_op_args *args)
{
    const vt_dropout_options *o = args->options;
    return (uint32_t)(o->rate * 0x1p32);
}

#define REAL float
#include "ops/dropout.c"
#undef REAL
#define REAL double
#include "ops/dropout.c"
#undef REAL

static vt_status infer(vt_op_shape *s)
{
    const vt_dropout_options *o = s->options;
    VT_TRY(vt_check_inputs(s));
    VT_TRY(vt_check_batched(s));
    if (!(o->rate >= 0 && o->rate < 1))
        return vt_error(VT_EINVAL, "%s: dropout rate is %g, expected 0 <= rate < 1", s->name,
                        o->rate);
    s->out = s->in[0];
    return VT_OK;
}

VT_BOTH(forward)
VT_BOTH(backward)

const vt_op vt_op_dropout = {
    .name = "dropout",
    .inputs = 1,
    .options_size = sizeof(vt_dropout_options),
    .flags = VT_OP_IN_PLACE,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};

#else

/* Calls y[i] = m x[i] / (1 - rate), or y[i] += that when `add` is set. */
static void FN(apply)(const vt_op_args *args, REAL *y, const REAL *x, bool add)
{
    const vt_dropout_options *o = args->options;
    int64_t count = vt_tensor_count(&args->out), features = count / args->batch;
    int64_t channels = args->out.size[args->out.ndim - 1];
    bool active = args->training && o->rate > 0;
    REAL kept = active ? (REAL)(1 / (1 - o->rate)) : 1;
    uint32_t drop_below = active ? threshold(args) : 0;
    /* Pieces of a sample: runs of elements, or with `channels` runs of channels. */
    int64_t drawn = o->channels ? channels : features, pieces = (drawn + PIECE - 1) / PIECE;

#pragma omp parallel for schedule(static) collapse(2)                                              \
    num_threads(vt_threads()) if (count > VT_PARALLEL_WORK)
    for (int64_t sample = 0; sample < args->batch; sample++)
        for (int64_t piece = 0; piece < pieces; piece++) {
            int64_t first = piece * PIECE, n = vt_min(PIECE, drawn - first);
            REAL scale[PIECE];
            vt_rng rng;
            place(&rng, args, sample, first);
            for (int64_t i = 0; i < n; i++)
                scale[i] = active && vt_rng_u32(&rng) < drop_below ? 0 : kept;
            for (int64_t at = sample * features + first; at < (sample + 1) * features; at += drawn)
                for (int64_t i = 0; i < n; i++)
                    y[at + i] = (add ? y[at + i] : 0) + scale[i] * x[at + i];
        }
}

static void FN(forward)(const vt_op_args *args)
{
    FN(apply)(args, args->out.data, args->in[0].data, false);
}

static void FN(backward)(const vt_op_args *args)
{
    if (args->grad_in[0].data) FN(apply)(args, args->grad_in[0].data, args->grad_out.data, true);
}

#endif
