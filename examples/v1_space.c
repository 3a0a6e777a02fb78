/* The figures of docs/v1-layers.md on space: v1_space FOLDER writes
 *
 * magnification.png: a uniform image, sectors and rings (rows), as they are, as the published code
 * maps them and as described (columns).
 * local_fields.png: kernels of 10 x 10 positions: a teacher whose orientation turns from position
 * to position, local receptive fields and a convolution that were fitted to it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <ventral/ventral.h>

enum { IMAGE = 32, CORTEX = 16, PANEL = 256 };
enum { SIDE = 10, POSITIONS = SIDE * SIDE, KERNEL = 7, TAPS = KERNEL * KERNEL };
enum { BATCH = 96, STEPS = 60 };

static void free_images(vt_image *images, int count)
{
    for (int i = 0; i < count; i++)
        vt_image_free(&images[i]);
}

static vt_status write_sheet(const char *folder, const char *name, vt_image *images, int count,
                             int columns)
{
    char path[4096];
    vt_image sheet = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    vt_status status =
        vt_picture_sheet(&sheet, images, count, columns, images[0].height, images[0].width, 16);
    if (status == VT_OK) status = vt_picture_write(&sheet, path);
    vt_image_free(&sheet);
    return status;
}

/* ---- cortical magnification ---- */

/* Three images: everywhere 1; six sectors of 1 and 0; rings of three pixels. */
static void paint(float *pixels)
{
    for (int i = 0; i < IMAGE * IMAGE; i++) {
        double x = i % IMAGE - 15.5, y = 15.5 - i / IMAGE;
        pixels[i] = 1;
        pixels[IMAGE * IMAGE + i] = (int)floor(atan2(y, x) / acos(-1) * 3 + 6) % 2 == 0;
        pixels[2 * IMAGE * IMAGE + i] = (int)(hypot(x, y) / 3) % 2 == 0;
    }
}

static vt_status draw(vt_image *out, float *values, int side)
{
    vt_tensor map;
    VT_TRY(vt_tensor_init(&map, VT_F32, 2, (int64_t[]){side, side}, values));
    return vt_picture_heat(out, &map, 0, 1, PANEL / side);
}

static vt_status draw_maps(const char *folder, vt_plan *plan, vt_node image, const vt_node maps[2])
{
    vt_image panels[9] = {{0}};
    vt_status status = VT_OK;
    float *pixels = vt_plan_input(plan, image)->data;
    paint(pixels);
    VT_TRY(vt_plan_forward(plan));
    for (int i = 0; i < 9 && status == VT_OK; i++) {
        int row = i / 3, column = i % 3;
        float *map = column ? vt_plan_output(plan, maps[column - 1])->data : NULL;
        status = column ? draw(&panels[i], map + row * CORTEX * CORTEX, CORTEX)
                        : draw(&panels[i], pixels + row * IMAGE * IMAGE, IMAGE);
    }
    if (status == VT_OK) status = write_sheet(folder, "magnification.png", panels, 9, 3);
    free_images(panels, 9);
    return status;
}

static vt_status show_magnification(const char *folder)
{
    vt_graph *graph = NULL;
    vt_plan *plan = NULL;
    VT_TRY(vt_graph_new(&graph, VT_F32, VT_NAMES_TORCH));
    vt_node image = vt_input(graph, "image", 3, (int64_t[]){IMAGE, IMAGE, 1});
    const vt_node maps[2] = {
        vt_cortical_magnification(graph, image,
                                  &(vt_cortical_magnification_options){"released", VT_RELEASED}),
        vt_cortical_magnification(graph, image,
                                  &(vt_cortical_magnification_options){"described", VT_DESCRIBED})};
    vt_status status = vt_graph_finish(graph, 0);
    if (status == VT_OK)
        status = vt_plan_new(&plan, graph,
                             &(vt_plan_options){.batch = 3, .outputs = maps, .output_count = 2});
    if (status == VT_OK) status = draw_maps(folder, plan, image, maps);
    vt_plan_free(plan);
    vt_graph_free(graph);
    return status;
}

/* ---- local receptive fields ---- */

/* Gabor functions that turn by half a circle from the first position to the last. */
static void set_teacher(float *kernel)
{
    for (int i = 0; i < POSITIONS * TAPS; i++) {
        double angle = acos(-1) * (i / TAPS) / POSITIONS;
        double x = i % KERNEL - KERNEL / 2, y = KERNEL / 2 - i % TAPS / KERNEL;
        double across = x * cos(angle) + y * sin(angle);
        kernel[i] = (float)(cos(1.5 * across) * exp(-(x * x + y * y) / 6));
    }
}

static vt_status train(vt_graph *graph, vt_plan *plan, vt_node image, const vt_node losses[2])
{
    vt_optimizer *optimizer;
    VT_TRY(vt_optimizer_new(&optimizer, graph, &(vt_optimizer_options){.kind = VT_SGD}));
    vt_optimizer_set_rate(optimizer, "local.", POSITIONS); /* its losses are means over positions */
    float *pixels = vt_plan_input(plan, image)->data;
    vt_status status = VT_OK;
    for (uint32_t step = 0; step < STEPS && status == VT_OK; step++) {
        vt_rng rng;
        vt_rng_init(&rng, 1, VT_RNG_IMAGE, 0, step);
        for (int i = 0; i < BATCH * POSITIONS; i++)
            pixels[i] = (float)vt_rng_normal(&rng);
        status = vt_plan_forward(plan);
        if (status == VT_OK) status = vt_plan_backward(plan);
        if (status == VT_OK) status = vt_optimizer_step(optimizer, 0.2);
    }
    printf("mean squared error after %d steps: local receptive fields %.2g, convolution %.2g\n",
           (int)STEPS, vt_tensor_get(vt_plan_output(plan, losses[0]), 0),
           vt_tensor_get(vt_plan_output(plan, losses[1]), 0));
    vt_optimizer_free(optimizer);
    return status;
}

/* The kernels of all positions: `step` numbers apart in `kernel`, 0 for a shared one. */
static vt_status draw_kernels(vt_image *out, const float *kernel, int step)
{
    vt_tensor rgb;
    VT_TRY(vt_tensor_new(&rgb, VT_F32, 4, (int64_t[]){POSITIONS, KERNEL, KERNEL, 3}));
    for (int i = 0; i < POSITIONS * TAPS * 3; i++)
        ((float *)rgb.data)[i] = kernel[i / 3 / TAPS * step + i / 3 % TAPS];
    vt_status status = vt_picture_filters(out, &rgb, SIDE, 4, 4);
    vt_tensor_free(&rgb);
    return status;
}

static vt_status fit_and_draw(const char *folder, vt_graph *graph, vt_plan *plan, vt_node image,
                              const vt_node losses[2])
{
    static const char *const names[3] = {"teacher.weight", "local.weight", "shared.weight"};
    vt_image panels[3] = {{0}};
    vt_tensor *local = &vt_graph_find_param(graph, names[1])->value;
    set_teacher(vt_graph_find_param(graph, names[0])->value.data);
    memset(local->data, 0, vt_tensor_bytes(local));
    vt_graph_touch(graph);
    VT_TRY(train(graph, plan, image, losses));
    vt_status status = VT_OK;
    for (int i = 0; i < 3 && status == VT_OK; i++)
        status = draw_kernels(&panels[i], vt_graph_find_param(graph, names[i])->value.data,
                              i < 2 ? TAPS : 0);
    if (status == VT_OK) status = write_sheet(folder, "local_fields.png", panels, 3, 3);
    free_images(panels, 3);
    return status;
}

static vt_status show_local_fields(const char *folder)
{
    vt_graph *graph = NULL;
    vt_plan *plan = NULL;
    VT_TRY(vt_graph_new(&graph, VT_F32, VT_NAMES_TORCH));
    vt_node image = vt_input(graph, "image", 3, (int64_t[]){SIDE, SIDE, 1});
    vt_node teacher = vt_local_receptive_field(
        graph, image, &(vt_local_receptive_field_options){"teacher", 1, KERNEL});
    vt_node local = vt_local_receptive_field(
        graph, image, &(vt_local_receptive_field_options){"local", 1, KERNEL});
    vt_node shared = vt_conv2d(graph, image,
                               &(vt_conv2d_options){.name = "shared",
                                                    .filters = 1,
                                                    .kernel = {KERNEL, KERNEL},
                                                    .padding = VT_PAD_SAME,
                                                    .no_bias = true});
    const vt_node losses[2] = {vt_mean_squared_error(graph, local, teacher, "local_loss"),
                               vt_mean_squared_error(graph, shared, teacher, "shared_loss")};
    vt_status status = vt_graph_finish(graph, 1);
    vt_graph_set_trainable(graph, "teacher.", false);
    if (status == VT_OK)
        status = vt_plan_new(&plan, graph,
                             &(vt_plan_options){.batch = BATCH,
                                                .training = true,
                                                .backward = true,
                                                .outputs = losses,
                                                .output_count = 2});
    if (status == VT_OK) status = fit_and_draw(folder, graph, plan, image, losses);
    vt_plan_free(plan);
    vt_graph_free(graph);
    return status;
}

int main(int argc, char **argv)
{
    vt_status status = argc == 2 ? VT_OK : vt_error(VT_EINVAL, "usage: v1_space FOLDER");
    if (status == VT_OK) status = show_magnification(argv[1]);
    if (status == VT_OK) status = show_local_fields(argv[1]);
    if (status != VT_OK) fprintf(stderr, "%s\n", vt_error_message());
    return status == VT_OK ? 0 : 1;
}
