/* Where the units of a map look: with y_c the channels of a place and x the image,
 *
 *     R(pixel) = mean over images of sum over c, colours of (dy_c / dx(pixel, colour))^2
 *
 * which the gradient of sum s_c y_c, s_c random signs, gives on average in one pass. The middle of
 * the field is R's centre of mass, its size twice the root mean square distance from that. */
#include "ventral/components.h"

#include "base/arena.h"
#include "ventral/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, MOST_ROWS = 16 };

typedef struct prober {
    vt_model *model;
    vt_node node, input;
    int height, width;               /* of the image */
    int64_t rows, columns, channels; /* of the map */
    int64_t row_step, column_step;
    vt_unit_field *fields;
    int64_t count;
    double *power;  /* (count, height, width) */
    uint8_t *bytes; /* (height, width, 3) */
    uint64_t seed;
    vt_plan *plan;
} prober;

/* Noise to every sample of the batch: the same image. */
static void show_noise(prober *p, int image)
{
    vt_rng rng;
    int64_t pixels = (int64_t)p->height * p->width;
    float *to = vt_plan_input(p->plan, p->input)->data;
    vt_rng_init(&rng, p->seed, VT_RNG_IMAGE, (uint32_t)image, 0);
    for (int64_t i = 0; i < pixels * 3; i++)
        p->bytes[i] = (uint8_t)vt_rng_below(&rng, 256);
    vt_preprocess(to, p->bytes, pixels, vt_model_preprocessing(p->model));
    for (int k = 1; k < BATCH; k++)
        memcpy(to + k * pixels * 3, to, (size_t)(pixels * 3) * sizeof *to);
}

static void set_seeds(prober *p, int64_t first, int image)
{
    vt_tensor *seeds = vt_plan_seed(p->plan, p->node);
    memset(seeds->data, 0, vt_tensor_bytes(seeds));
    for (int64_t k = 0; k < BATCH && first + k < p->count; k++) {
        const vt_unit_field *f = &p->fields[first + k];
        float *at =
            (float *)seeds->data + ((k * p->rows + f->row) * p->columns + f->column) * p->channels;
        vt_rng rng;
        vt_rng_init(&rng, p->seed, VT_RNG_NEURON, (uint32_t)image, (uint32_t)(first + k));
        for (int64_t c = 0; c < p->channels; c++)
            at[c] = vt_rng_below(&rng, 2) ? 1 : -1;
    }
}

static void add_power(prober *p, int64_t first)
{
    int64_t pixels = (int64_t)p->height * p->width;
    const float *gradient = vt_plan_gradient(p->plan, p->input)->data;
    for (int64_t k = 0; k < BATCH && first + k < p->count; k++)
        for (int64_t i = 0; i < pixels; i++)
            for (int c = 0; c < 3; c++) {
                double g = gradient[(k * pixels + i) * 3 + c];
                p->power[(first + k) * pixels + i] += g * g;
            }
}

/* From the power of one place to its middle and size. */
static void summarise(const prober *p, int64_t index)
{
    vt_unit_field *f = &p->fields[index];
    const double *power = p->power + index * p->height * p->width;
    double sum = 0, y = 0, x = 0, square = 0;
    for (int i = 0; i < p->height; i++)
        for (int j = 0; j < p->width; j++) {
            double weight = power[i * p->width + j], dy = i - 0.5 * (p->height - 1);
            double dx = j - 0.5 * (p->width - 1);
            sum += weight;
            y += weight * dy;
            x += weight * dx;
            square += weight * (dy * dy + dx * dx);
        }
    f->y = y / sum;
    f->x = x / sum;
    f->eccentricity = hypot(f->y, f->x);
    f->size = 2 * sqrt(fmax(square / sum - f->y * f->y - f->x * f->x, 0));
}

static vt_status prepare(prober *p, const char *node)
{
    int64_t size[VT_MAX_DIMS];
    VT_TRY(vt_model_find(&p->node, p->model, node));
    if (vt_graph_node_size(vt_model_graph(p->model), p->node, size) != 3)
        return vt_error(VT_ESHAPE, "%s: node '%s' is no map with places", vt_model_label(p->model),
                        node);
    p->input = vt_model_input(p->model);
    vt_model_image_size(p->model, &p->height, &p->width);
    p->rows = size[0];
    p->columns = size[1];
    p->channels = size[2];
    p->row_step = (p->rows + MOST_ROWS - 1) / MOST_ROWS;
    p->column_step = (p->columns + MOST_ROWS - 1) / MOST_ROWS;
    int64_t rows = (p->rows + p->row_step - 1) / p->row_step;
    int64_t columns = (p->columns + p->column_step - 1) / p->column_step;
    p->count = rows * columns;
    p->fields = vt_alloc((size_t)p->count, sizeof *p->fields);
    p->power = vt_alloc((size_t)p->count, (size_t)p->height * (size_t)p->width * sizeof *p->power);
    p->bytes = vt_alloc((size_t)p->height, (size_t)p->width * 3);
    if (!p->fields || !p->power || !p->bytes) return VT_ENOMEM;
    for (int64_t i = 0; i < p->count; i++)
        p->fields[i] = (vt_unit_field){.row = (int)(i / columns * p->row_step),
                                       .column = (int)(i % columns * p->column_step)};
    vt_plan_options options = {.batch = BATCH,
                               .backward = true,
                               .frozen = true,
                               .outputs = &p->node,
                               .output_count = 1,
                               .gradients = &p->input,
                               .gradient_count = 1};
    return vt_plan_new(&p->plan, vt_model_graph(p->model), &options);
}

static vt_status probe(prober *p, int images)
{
    for (int image = 0; image < images; image++)
        for (int64_t first = 0; first < p->count; first += BATCH) {
            show_noise(p, image);
            VT_TRY(vt_plan_forward(p->plan));
            set_seeds(p, first, image);
            VT_TRY(vt_plan_backward(p->plan));
            add_power(p, first);
        }
    for (int64_t i = 0; i < p->count; i++)
        summarise(p, i);
    return VT_OK;
}

vt_status vt_unit_fields(vt_unit_field **out, int64_t *out_count, vt_model *model, const char *node,
                         int images, uint64_t seed)
{
    prober p = {.model = model, .seed = seed};
    if (images < 0) return vt_error(VT_EINVAL, "receptive fields: %d images", images);
    vt_status status = prepare(&p, node);
    if (status == VT_OK) status = probe(&p, images ? images : 4);
    vt_plan_free(p.plan);
    free(p.power);
    free(p.bytes);
    if (status == VT_OK) {
        *out = p.fields;
        *out_count = p.count;
    } else {
        free(p.fields);
    }
    return status;
}
