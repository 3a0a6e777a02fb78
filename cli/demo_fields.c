/* The receptive fields of the fitted model: sum over images, colours and blocks of pixels of
 * (d response / d pixel)^2. */
#include <stdlib.h>
#include <string.h>

#include "demo.h"

enum { IMAGES = 8 };

typedef struct gradients {
    vt_plan *plan;
    vt_node input, output;
    int64_t outputs;
    int height, width;
} gradients;

static vt_status show_images(const gradients *g, const demo *d)
{
    size_t pixels = (size_t)IMAGES * (size_t)g->height * (size_t)g->width;
    uint8_t *images = malloc(pixels * 3);
    if (!images) return vt_error(VT_ENOMEM, "out of memory");
    vt_status status = vt_image_source_read_batch(vt_session_images(d->session), d->score.begin,
                                                  IMAGES, g->height, g->width, images);
    if (status == VT_OK)
        vt_preprocess(vt_plan_input(g->plan, g->input)->data, images, (int64_t)pixels,
                      vt_model_preprocessing(d->model));
    free(images);
    return status;
}

static vt_status field_of(double *out, const gradients *g, int places, int64_t output)
{
    float *seed = vt_plan_seed(g->plan, g->output)->data;
    memset(seed, 0, (size_t)(IMAGES * g->outputs) * sizeof *seed);
    for (int i = 0; i < IMAGES; i++)
        seed[i * g->outputs + output] = 1;
    VT_TRY(vt_plan_forward(g->plan));
    VT_TRY(vt_plan_backward(g->plan));
    const float *gradient = vt_plan_gradient(g->plan, g->input)->data;
    memset(out, 0, (size_t)places * (size_t)places * sizeof *out);
    for (int64_t i = 0; i < (int64_t)IMAGES * g->height * g->width; i++) {
        int64_t y = i / g->width % g->height, x = i % g->width;
        double red = gradient[3 * i], green = gradient[3 * i + 1], blue = gradient[3 * i + 2];
        out[y * places / g->height * places + x * places / g->width] +=
            red * red + green * green + blue * blue;
    }
    return VT_OK;
}

vt_status demo_fields(double *out, const demo *d, int places)
{
    vt_graph *graph = vt_model_graph(d->model);
    gradients g = {.input = vt_model_input(d->model),
                   .output = vt_model_output(d->model),
                   .outputs = vt_model_outputs(d->model)};
    int64_t first = vt_model_find_session(d->model, DEMO_SESSION)->first;
    vt_model_image_size(d->model, &g.height, &g.width);
    vt_graph_set_trainable(graph, "", false); /* the image's gradient is all that is wanted */
    VT_TRY(vt_plan_new(&g.plan, graph,
                       &(vt_plan_options){.batch = IMAGES,
                                          .backward = true,
                                          .outputs = &g.output,
                                          .output_count = 1,
                                          .gradients = &g.input,
                                          .gradient_count = 1}));
    vt_status status = VT_OK;
    for (int k = 0; k < d->simulation.neurons && status == VT_OK; k++) {
        status = show_images(&g, d);
        if (status == VT_OK)
            status =
                field_of(out + (size_t)k * (size_t)places * (size_t)places, &g, places, first + k);
    }
    vt_plan_free(g.plan);
    return status;
}
