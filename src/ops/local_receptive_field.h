/* Where the kernel of a position lies over the image; for the layer and its fast version. */
#ifndef VT_OPS_LOCAL_RECEPTIVE_FIELD_H
#define VT_OPS_LOCAL_RECEPTIVE_FIELD_H

#include "ops/op.h"
#include "ventral/v1_layers.h"

typedef struct vt_local_layer {
    int64_t batch, height, width, channels, filters, kernel;
    int64_t positions;     /* height x width */
    int64_t image;         /* numbers in an input image */
    int64_t filter_step;   /* weights of one filter at one position: taps x channels */
    int64_t position_step; /* weights of one position */
} vt_local_layer;

/* The part of a position's kernel inside the image: `rows` rows of `length` numbers, contiguous in
 * the image and in a filter. The first begin at `x` and `w`. */
typedef struct vt_local_field {
    int64_t rows, length, x, w;
} vt_local_field;

static inline vt_local_layer vt_local_layer_of(const vt_op_args *args)
{
    const int64_t *in = args->in[0].size, *kernel = args->param[0].size;
    const vt_local_receptive_field_options *o = args->options;
    return (vt_local_layer){.batch = args->batch,
                            .height = in[1],
                            .width = in[2],
                            .channels = in[3],
                            .filters = kernel[2],
                            .kernel = o->kernel,
                            .positions = in[1] * in[2],
                            .image = in[1] * in[2] * in[3],
                            .filter_step = kernel[3] * kernel[4],
                            .position_step = kernel[2] * kernel[3] * kernel[4]};
}

/* Taps [first, first + count) of a kernel centred on `at` are inside [0, size). */
static inline void vt_local_taps(int64_t at, int64_t size, int64_t kernel, int64_t *first,
                                 int64_t *count)
{
    int64_t start = at - kernel / 2, end = start + kernel < size ? start + kernel : size;
    *first = start < 0 ? -start : 0;
    *count = end - start - *first;
}

static inline vt_local_field vt_local_field_at(const vt_local_layer *l, int64_t position)
{
    int64_t i = position / l->width, j = position % l->width, radius = l->kernel / 2;
    int64_t top, left, rows, columns;
    vt_local_taps(i, l->height, l->kernel, &top, &rows);
    vt_local_taps(j, l->width, l->kernel, &left, &columns);
    int64_t pixel = (i + top - radius) * l->width + j + left - radius;
    return (vt_local_field){.rows = rows,
                            .length = columns * l->channels,
                            .x = pixel * l->channels,
                            .w = (top * l->kernel + left) * l->channels};
}

/* Where row `row` of a field begins in the input of image n, and in the weights of a filter. */
static inline int64_t vt_local_input(const vt_local_layer *l, const vt_local_field *field,
                                     int64_t n, int64_t row)
{
    return n * l->image + field->x + row * l->width * l->channels;
}

static inline int64_t vt_local_weight(const vt_local_layer *l, const vt_local_field *field,
                                      int64_t position, int64_t filter, int64_t row)
{
    return position * l->position_step + filter * l->filter_step + field->w +
           row * l->kernel * l->channels;
}

#endif
