/* The table of layers that test_ops.c runs four ways, one line of text a layer:
 *
 *     conv2d n2h7w5c8k3x3s2o6g2 same
 *
 * n batch, h height, w width, c channels (no h, w: c features), k kernel, s stride, d dilation (one
 * number or rows x columns), o filters or units, g groups, p padding (all sides, or top,bottom,
 * left,right), r dropout rate or weight of a blend in percent; center_surround: o channels
 * filtered, k radius. Words: same, nobias, training, unbiased, count, channels, nan (some targets
 * are missing), released (formulation of a V1 layer; else described). */
#ifndef OP_CASES_H
#define OP_CASES_H

#include "ops/op.h"
#include "ventral/v1_layers.h"

static const char *const op_cases[] = {
    "conv2d n2h7w5c8k3x3s2o6g2 same",
    "conv2d n1h1w1c1k1o1",
    "conv2d n1h1w1c3k3o4 same",
    "conv2d n2h3w2c2k5x7o3p3",
    "conv2d n2h2w3c4k4x5o3s2 same",
    "conv2d n3h9w11c4k3o5d3 same",
    "conv2d n2h9w7c3k3x2o4d2x3p2,1,0,3",
    "conv2d n1h16w15c3k7s2o8 same nobias",
    "conv2d n2h8w8c6k1o4s3",
    "conv2d n2h11w12c5k2o4s5x3 same",
    "conv2d n2h10w9c4k2x3s4x5o3p1,0,2,1",
    "conv2d n2h5w5c3k5o7",
    "conv2d n2h2w9c3k1x9o4",
    "conv2d n1h9w1c3k4x1o2",
    "conv2d n5h4w4c1k3o1p1",
    "conv2d n2h7w7c16k3s2o33p3",
    "conv2d n2h6w7c16k3o16g16 same",
    "conv2d n1h9w8c5k5s2o5g5p2 nobias",
    "conv2d n2h8w8c20k3o20g20d3 same",
    "conv2d n1h1w1c4k3o4g4 same",
    "conv2d n2h6w5c19k2x3s1x2o19g19p1,0,0,2",
    "conv2d n2h5w5c4k3o8g4p1",
    "conv2d n2h6w6c6k3o4g2d2p2",
    "conv2d n3h14w13c32k3o24 same",
    "conv2d n3h20w19c48k7o48g48 same",
    "conv2d n2h28w27c16k1o20s2",
    "conv2d n32h16w16c4k1o8s2 nobias",
    "conv2d n32h4w4c64k2s3o64p1 nobias",
    "linear n3c7o5",
    "linear n1c1o1",
    "linear n1c1030o3 nobias",
    "linear n17c600o41",
    "batch_norm n4h3w5c6 training",
    "batch_norm n4h3w5c6 training unbiased",
    "batch_norm n4h3w5c6",
    "batch_norm n7c5 training",
    "batch_norm n7c5",
    "batch_norm n3h1w2c3 training unbiased",
    "batch_norm n5h17w19c37 training",
    "batch_norm n5h17w19c37",
    "relu n2h3w5c7",
    "relu n1c1",
    "relu n3h20w30c37",
    "add n2h3w5c7",
    "add n4c3",
    "add n3h20w30c37",
    "blend n2h3w5c7r25",
    "blend n4c3r100",
    "blend n3h20w30c37r33",
    "max_pool n2h6w8c3k2",
    "max_pool n2h7w9c5k3s2p1",
    "max_pool n2h7w6c2k3s2 same",
    "max_pool n1h1w1c4k3s2 same",
    "max_pool n2h9w8c3k2x3s4x1p1,0,0,2",
    "max_pool n1h5w5c2k1s2",
    "max_pool n3h24w25c40k3s2p1",
    "average_pool n2h6w8c3k2",
    "average_pool n2h7w9c5k3s2p1 count",
    "average_pool n2h7w9c5k3s2p1",
    "average_pool n2h7w6c2k3s2 same",
    "average_pool n2h7w6c2k4s3 same count",
    "average_pool n2h7w5c33k7x5",
    "average_pool n3h24w25c40k3s2p1,0,2,1",
    "dropout n3h4w5c6r30 training",
    "dropout n3h4w5c6r30 training channels",
    "dropout n3c5000r50 training",
    "dropout n3c7r50",
    "dropout n2c9r0 training",
    "dropout n4h20w21c33r25 training",
    "local_receptive_field n3h5w4c3k3o5",
    "local_receptive_field n1h1w1c1k1o1",
    "local_receptive_field n2h2w3c2k7o3",
    "local_receptive_field n2h1w6c4k5o2",
    "local_receptive_field n5h8w7c16k3o18",
    "local_receptive_field n70h4w5c3k3o4",
    "cortical_magnification n2h32w32c3",
    "cortical_magnification n2h32w32c3 released",
    "cortical_magnification n1h32w32c75",
    "cortical_magnification n3h32w32c9 released",
    "mean_squared_error n3c5",
    "mean_squared_error n3h4w2c5 nan",
    "mean_squared_error n30c1700 nan",
    "poisson_loss n3c5",
    "poisson_loss n4c6 nan",
    "poisson_loss n30c1700 nan",
    "cross_entropy n4c10",
    "cross_entropy n1c1",
    "cross_entropy n40c1000",
    "center_surround n2h7w6c5o3k2",
    "center_surround n2h7w6c5o3k2 released",
    "center_surround n1h1w2c1o1k1",
    "center_surround n1h1w2c1o1k1 released",
    "center_surround n3h9w10c16o16k3",
    "center_surround n3h9w10c16o16k3 released",
    "center_surround n2h11w9c7o6k4",
    "center_surround n1h12w9c3o2k5",
    "center_surround n2h16w16c40o16k2",
    "center_surround n2h16w16c40o16k2 released",
    "divisive_normalization n2h6w5c3k3",
    "divisive_normalization n2h6w5c3k3 released",
    "divisive_normalization n1h1w1c2k5",
    "divisive_normalization n1h1w1c2k5 released",
    "divisive_normalization n2h5w7c1k1",
    "divisive_normalization n2h5w7c1k1 released",
    "divisive_normalization n3h12w13c24k3",
    "divisive_normalization n3h12w13c24k3 released",
    "tuned_normalization n2h3w4c6",
    "tuned_normalization n2h3w4c6 released",
    "tuned_normalization n1h2w2c1",
    "tuned_normalization n1h2w2c1 released",
    "tuned_normalization n3h9w8c33",
    "tuned_normalization n3h9w8c33 released",
    "tuned_normalization n2h8w8c64",
    "tuned_normalization n2h8w8c64 released",
};
enum { OP_CASE_COUNT = sizeof op_cases / sizeof *op_cases };

/* Layers of the models this library is for; each runs alone for `test_ops --speed`. */
static const char *const op_speed_cases[] = {
    "conv2d n8h112w112c3k5s1o32 same",
    "conv2d n8h56w56c32k5o32g32 same",
    "conv2d n8h56w56c32k1o64",
    "conv2d n8h56w56c64k3o64p1",
    "conv2d n8h14w14c256k3o256p1",
    "conv2d n8h224w224c3k7s2o64p3",
    "linear n64c10000o512",
    "batch_norm n8h56w56c64 training",
    "batch_norm n8h56w56c64",
    "max_pool n8h112w112c64k3s2p1",
    "average_pool n8h56w56c64k2",
    "local_receptive_field n128h16w16c64k3o64",
    "cortical_magnification n8h32w32c64",
    "cortical_magnification n8h32w32c64 released",
    "center_surround n32h16w16c64o16k2",
    "divisive_normalization n8h16w16c256k3",
    "tuned_normalization n32h16w16c256",
};
enum { OP_SPEED_CASE_COUNT = sizeof op_speed_cases / sizeof *op_speed_cases };

typedef struct op_case {
    const char *text;
    const vt_op *op;
    union {
        vt_conv2d_options conv2d;
        vt_linear_options linear;
        vt_batch_norm_options batch_norm;
        vt_pool_options pool;
        vt_dropout_options dropout;
        vt_blend_options blend;
        vt_local_receptive_field_options local_receptive_field;
        vt_cortical_magnification_options cortical_magnification;
        vt_center_surround_options center_surround;
        vt_divisive_normalization_options divisive_normalization;
        vt_tuned_normalization_options tuned_normalization;
    } options;
    int64_t batch;
    int ndim;        /* of one sample of the inputs */
    int64_t size[3]; /* its sizes */
    bool training, nan;
} op_case;

/* Fields as written, before they go where the layer has them. */
typedef struct op_fields {
    int n, h, w, c, k[2], s[2], d[2], o, g, p[4], r;
} op_fields;

static const vt_op *op_named(const char *name, size_t length)
{
#define VT_OP(row)                                                                                 \
    if (strlen(#row) == length && !strncmp(#row, name, length)) return &vt_op_##row;
#include "ops/ops.def"
#undef VT_OP
    fail_msg("no layer '%.*s'", (int)length, name);
    return NULL;
}

/* "3" or "3x5"; one number is both. */
static const char *op_read_pair(const char *at, int pair[2])
{
    char *end;
    pair[0] = pair[1] = (int)strtol(at, &end, 10);
    if (*end == 'x') pair[1] = (int)strtol(end + 1, &end, 10);
    return end;
}

static const char *op_read_field(const char *at, op_fields *f)
{
    char letter = *at++, *end;
    switch (letter) {
    case 'k': return op_read_pair(at, f->k);
    case 's': return op_read_pair(at, f->s);
    case 'd': return op_read_pair(at, f->d);
    case 'p':
        f->p[0] = f->p[1] = f->p[2] = f->p[3] = (int)strtol(at, &end, 10);
        for (int i = 1; i < 4 && *end == ','; i++)
            f->p[i] = (int)strtol(end + 1, &end, 10);
        return end;
    }
    int *one = letter == 'n'   ? &f->n
               : letter == 'h' ? &f->h
               : letter == 'w' ? &f->w
               : letter == 'c' ? &f->c
               : letter == 'o' ? &f->o
               : letter == 'g' ? &f->g
               : letter == 'r' ? &f->r
                               : NULL;
    if (!one) fail_msg("no field '%c'", letter);
    *one = (int)strtol(at, &end, 10);
    return end;
}

static bool op_has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += length)
        if (at[-1] == ' ' && (at[length] == ' ' || !at[length])) return true;
    return false;
}

static op_case op_parse(const char *text)
{
    op_fields f = {0};
    const char *at = text + strcspn(text, " ");
    op_case c = {.text = text, .op = op_named(text, (size_t)(at - text))};
    at++;
    while (*at && *at != ' ')
        at = op_read_field(at, &f);
    vt_padding padding = op_has_word(at, "same") ? VT_PAD_SAME : VT_PAD_EXPLICIT;
    bool no_bias = op_has_word(at, "nobias");
    vt_formulation formulation = op_has_word(at, "released") ? VT_RELEASED : VT_DESCRIBED;

    c.batch = f.n;
    c.ndim = f.h ? 3 : 1;
    memcpy(c.size, f.h ? (int64_t[]){f.h, f.w, f.c} : (int64_t[]){f.c, 0, 0}, sizeof c.size);
    c.training = op_has_word(at, "training");
    c.nan = op_has_word(at, "nan");
    if (c.op == &vt_op_conv2d) {
        c.options.conv2d = (vt_conv2d_options){.name = text,
                                               .filters = f.o,
                                               .kernel = {f.k[0], f.k[1]},
                                               .stride = {f.s[0], f.s[1]},
                                               .dilation = {f.d[0], f.d[1]},
                                               .groups = f.g,
                                               .padding = padding,
                                               .pad = {f.p[0], f.p[1], f.p[2], f.p[3]},
                                               .no_bias = no_bias};
    } else if (c.op == &vt_op_linear) {
        c.options.linear = (vt_linear_options){.name = text, .units = f.o, .no_bias = no_bias};
    } else if (c.op == &vt_op_batch_norm) {
        c.options.batch_norm = (vt_batch_norm_options){.name = text,
                                                       .epsilon = 1e-3,
                                                       .momentum = 0.1,
                                                       .unbiased = op_has_word(at, "unbiased")};
    } else if (c.op == &vt_op_max_pool || c.op == &vt_op_average_pool) {
        c.options.pool = (vt_pool_options){.name = text,
                                           .kernel = {f.k[0], f.k[1]},
                                           .stride = {f.s[0], f.s[1]},
                                           .padding = padding,
                                           .pad = {f.p[0], f.p[1], f.p[2], f.p[3]},
                                           .count_padding = op_has_word(at, "count")};
    } else if (c.op == &vt_op_dropout) {
        c.options.dropout = (vt_dropout_options){
            .name = text, .rate = f.r / 100.0, .channels = op_has_word(at, "channels")};
    } else if (c.op == &vt_op_blend) {
        c.options.blend = (vt_blend_options){.name = text, .weight = f.r / 100.0};
    } else if (c.op == &vt_op_local_receptive_field) {
        c.options.local_receptive_field =
            (vt_local_receptive_field_options){.name = text, .filters = f.o, .kernel = f.k[0]};
    } else if (c.op == &vt_op_cortical_magnification) {
        c.options.cortical_magnification =
            (vt_cortical_magnification_options){.name = text, .formulation = formulation};
    } else if (c.op == &vt_op_center_surround) {
        c.options.center_surround = (vt_center_surround_options){
            .name = text, .channels = f.o, .radius = f.k[0], .formulation = formulation};
    } else if (c.op == &vt_op_divisive_normalization) {
        c.options.divisive_normalization = (vt_divisive_normalization_options){
            .name = text, .kernel = f.k[0], .formulation = formulation};
    } else if (c.op == &vt_op_tuned_normalization) {
        c.options.tuned_normalization =
            (vt_tuned_normalization_options){.name = text, .formulation = formulation};
    }
    return c;
}

#endif
