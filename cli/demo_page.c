/* The demonstration's figures and page. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"

enum { EXAMPLES = 24, SHOWN_RESPONSES = 92, PREFERRED = 8, CELL = 112 };

static const uint8_t ring[3] = {192, 57, 43};

/* Rows of the score, and what is chosen from them. */
typedef struct shown {
    const demo *d;
    const vt_progress *progress;
    int64_t drawn, figures;
    int64_t *order; /* rows of the score by r with the truth, best first; undefined ones last */
} shown;

static vt_status out_of_memory(void)
{
    return vt_error(VT_ENOMEM, "out of memory");
}

static int64_t neuron_of(const shown *s, int64_t row)
{
    return s->d->score.neurons[row].neuron;
}

static vt_status order_rows(shown *s)
{
    int64_t count = s->d->score.count;
    s->order = malloc((size_t)count * sizeof *s->order);
    if (!s->order) return out_of_memory();
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i;
        double r = s->d->r_truth[i];
        for (; at > 0 && !(s->d->r_truth[s->order[at - 1]] >= r) && !isnan(r); at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = i;
    }
    return VT_OK;
}

static vt_status one_drawn(shown *s)
{
    return vt_progress_report(s->progress, ++s->drawn, s->figures, NULL);
}

/* Writes and frees a picture; passes a failure to make it on. */
static vt_status save(shown *s, vt_status made, vt_image *picture, const char *name)
{
    demo_path path;
    if (made != VT_OK) return made;
    vt_status status = demo_path_of(path, s->d, DEMO_FIGURES, name);
    if (status == VT_OK) status = vt_picture_write(picture, path);
    vt_image_free(picture);
    return status == VT_OK ? one_drawn(s) : status;
}

/* ---- images and responses ---- */

/* The middle of `image` that neuron sees: one and a half times its receptive field. */
static vt_status crop(vt_image *out, const vt_image *image, double x, double y, double size)
{
    int side = (int)fmin(fmin(image->height, image->width), fmax(8, lrint(1.5 * size)));
    int top = (int)lrint(y - 0.5 * side), left = (int)lrint(x - 0.5 * side);
    if (top > image->height - side) top = image->height - side;
    if (left > image->width - side) left = image->width - side;
    if (top < 0) top = 0;
    if (left < 0) left = 0;
    *out = (vt_image){side, side, malloc((size_t)side * (size_t)side * 3)};
    if (!out->pixels) return out_of_memory();
    for (int i = 0; i < side; i++)
        memcpy(out->pixels + (size_t)i * (size_t)side * 3,
               image->pixels + ((size_t)(top + i) * (size_t)image->width + (size_t)left) * 3,
               (size_t)side * 3);
    return VT_OK;
}

/* A contact sheet of images of the session; cut to the receptive field of `neuron` unless < 0. */
static vt_status draw_images(shown *s, const int64_t *indices, int count, int columns,
                             int64_t neuron, const char *name)
{
    vt_image images[EXAMPLES] = {{0}}, sheet;
    const double *x = demo_truth(s->d, "x"), *y = demo_truth(s->d, "y");
    const double *size = demo_truth(s->d, "size");
    vt_status status = VT_OK;
    for (int i = 0; i < count && status == VT_OK; i++) {
        status = vt_image_source_read(vt_session_images(s->d->session), indices[i], &images[i]);
        if (status != VT_OK || neuron < 0) continue;
        vt_image whole = images[i];
        images[i] = (vt_image){0};
        status = crop(&images[i], &whole, x[neuron], y[neuron], size[neuron]);
        vt_image_free(&whole);
    }
    if (status == VT_OK) status = vt_picture_sheet(&sheet, images, count, columns, CELL, CELL, 4);
    for (int i = 0; i < count; i++)
        vt_image_free(&images[i]);
    return save(s, status, &sheet, name);
}

static vt_status draw_examples(shown *s)
{
    int64_t indices[EXAMPLES];
    for (int i = 0; i < EXAMPLES; i++)
        indices[i] = i;
    return draw_images(s, indices, EXAMPLES, 8, -1, "images.png");
}

/* The images that neuron responded to most. */
static vt_status draw_preferred(shown *s, int64_t neuron, const char *name)
{
    const vt_tensor *averaged = vt_session_averaged(s->d->session);
    int64_t best[PREFERRED] = {0};
    int count = 0;
    if (!averaged) return VT_ENOTFOUND;
    const double *responses = (const double *)averaged->data + neuron * averaged->size[1];
    for (int64_t i = 0; i < averaged->size[1]; i++) {
        int at = count < PREFERRED ? count++ : PREFERRED;
        for (; at > 0 && responses[best[at - 1]] < responses[i]; at--)
            if (at < PREFERRED) best[at] = best[at - 1];
        if (at < PREFERRED) best[at] = i;
    }
    return draw_images(s, best, count, PREFERRED, neuron, name);
}

/* Recorded responses, neurons down, images across, each neuron relative to its largest. */
static vt_status draw_responses(shown *s)
{
    const vt_tensor *averaged = vt_session_averaged(s->d->session);
    vt_tensor shown_part;
    vt_image picture;
    if (!averaged) return VT_ENOTFOUND;
    int64_t images = averaged->size[1] < SHOWN_RESPONSES ? averaged->size[1] : SHOWN_RESPONSES;
    VT_TRY(vt_tensor_new(&shown_part, VT_F64, 2, (int64_t[]){averaged->size[0], images}));
    double *out = shown_part.data;
    for (int64_t n = 0; n < averaged->size[0]; n++) {
        const double *row = (const double *)averaged->data + n * averaged->size[1];
        double largest = 1e-9;
        for (int64_t i = 0; i < images; i++)
            largest = fmax(largest, row[i]);
        for (int64_t i = 0; i < images; i++)
            out[n * images + i] = row[i] / largest;
    }
    vt_status status = vt_picture_heat(&picture, &shown_part, 0, 1, 10);
    vt_tensor_free(&shown_part);
    return save(s, status, &picture, "responses.png");
}

/* ---- the model ---- */

static vt_status draw_training(shown *s)
{
    demo_path path;
    const vt_fit_report *fit = &s->d->fit;
    double *loss = malloc((size_t)fit->epochs * sizeof *loss);
    if (!loss) return out_of_memory();
    for (int e = 0; e < fit->epochs; e++)
        loss[e] = fit->history[e].loss;
    vt_plot_options options = {
        .x_label = "epoch", .y_label = "mean squared error", .width = 520, .height = 340};
    vt_status status = demo_path_of(path, s->d, DEMO_FIGURES, "training.svg");
    if (status == VT_OK)
        status = vt_plot_lines(path, &options, &(vt_plot_line){"training", loss, fit->epochs}, 1);
    free(loss);
    return status == VT_OK ? one_drawn(s) : status;
}

static vt_status draw_filters(shown *s)
{
    const vt_param *kernels =
        vt_graph_find_param(vt_model_graph(s->d->model), "layer0_conv.kernel");
    vt_image picture;
    return save(s, vt_picture_filters(&picture, &kernels->value, 4, 16, 8), &picture,
                "filters.png");
}

/* ---- predictions ---- */

static vt_status draw_scatter(shown *s, int64_t row, const char *name)
{
    demo_path path;
    char title[64];
    const vt_session_score *score = &s->d->score;
    int64_t images = score->end - score->begin;
    double *prediction = malloc((size_t)images * sizeof *prediction);
    if (!prediction) return out_of_memory();
    for (int64_t i = 0; i < images; i++)
        prediction[i] = vt_tensor_get(&score->predictions, row * images + i);
    snprintf(title, sizeof title, "neuron %lld (%s), r = %.2f", (long long)neuron_of(s, row),
             vt_simulate_kind_name(demo_kind(s->d, neuron_of(s, row))), s->d->r_truth[row]);
    vt_plot_options options = {.title = title,
                               .x_label = "expected spikes (truth)",
                               .y_label = "predicted spikes",
                               .width = 308,
                               .height = 308};
    vt_status status = demo_path_of(path, s->d, DEMO_FIGURES, name);
    if (status == VT_OK)
        status = vt_plot_scatter(path, &options, demo_expected(s->d, neuron_of(s, row)), prediction,
                                 images);
    free(prediction);
    return status == VT_OK ? one_drawn(s) : status;
}

static vt_status draw_strips(shown *s)
{
    demo_path path;
    const char *kinds[VT_SIMULATE_KINDS];
    int64_t count = s->d->score.count;
    int *kind = malloc((size_t)count * sizeof *kind);
    if (!kind) return out_of_memory();
    for (int k = 0; k < VT_SIMULATE_KINDS; k++)
        kinds[k] = vt_simulate_kind_name((vt_simulate_kind)k);
    for (int64_t i = 0; i < count; i++)
        kind[i] = (int)demo_kind(s->d, neuron_of(s, i));
    vt_plot_options options = {.y_label = "r with the truth", .width = 520, .height = 340};
    vt_status status = demo_path_of(path, s->d, DEMO_FIGURES, "kinds.svg");
    if (status == VT_OK)
        status =
            vt_plot_strips(path, &options, kinds, VT_SIMULATE_KINDS, kind, s->d->r_truth, count);
    free(kind);
    return status == VT_OK ? one_drawn(s) : status;
}

/* ---- receptive fields ---- */

enum { PLACES = 28, STEP = 4, SQUARE = 3 }; /* places a side; pixels between; drawn size */

/* Places of the core's map lie four pixels apart, but its convolutions, padded as TensorFlow pads
 * with stride 2, put place j at pixel 4j + 3.5 of the image, not at 4j + 2. */
#define POOL_FIRST 3.5
#define BLOCK_FIRST 2.0

static void true_field(double *out, double x, double y, double size)
{
    double sd = size / 4; /* see vt_simulate_rates */
    for (int i = 0; i < PLACES * PLACES; i++) {
        double dy = STEP * (i / PLACES) + BLOCK_FIRST - y;
        double dx = STEP * (i % PLACES) + BLOCK_FIRST - x;
        out[i] = exp(-(dx * dx + dy * dy) / (2 * sd * sd));
    }
}

/* A map whose place 0 is at pixel `first`, with the true receptive field of `neuron` as a circle,
 * in a frame, as the picture itself ends in white. */
static vt_status draw_map(vt_image *out, const demo *d, double *values, double first,
                          int64_t neuron)
{
    vt_tensor t;
    double largest = 1e-30, scale = SQUARE / (double)STEP, shift = first - STEP / 2.0;
    for (int i = 0; i < PLACES * PLACES; i++)
        largest = fmax(largest, values[i]);
    VT_TRY(vt_tensor_init(&t, VT_F64, 2, (int64_t[]){PLACES, PLACES}, values));
    VT_TRY(vt_picture_heat(out, &t, 0, largest, SQUARE));
    for (int i = 0; i < out->height; i++)
        for (int k = 0; k < out->width; k++)
            if (i == 0 || k == 0 || i == out->height - 1 || k == out->width - 1)
                memset(out->pixels + ((size_t)i * (size_t)out->width + (size_t)k) * 3, 215, 3);
    vt_picture_circle(out, (demo_truth(d, "x")[neuron] - shift) * scale,
                      (demo_truth(d, "y")[neuron] - shift) * scale,
                      demo_truth(d, "size")[neuron] / 2 * scale, ring);
    return VT_OK;
}

/* From left to right: the pool, where the model looks, the true receptive field. */
static vt_status draw_fields(shown *s, const double *seen, int64_t row, const char *name)
{
    const vt_param *pool =
        vt_graph_find_param(vt_model_graph(s->d->model), "spatial_pool_stage.depthwise_kernel");
    int64_t neuron = neuron_of(s, row), side = PLACES * SQUARE;
    int64_t output = vt_model_find_session(s->d->model, DEMO_SESSION)->first + neuron;
    double values[PLACES * PLACES];
    vt_image maps[3] = {{0}}, sheet;
    for (int i = 0; i < PLACES * PLACES; i++)
        values[i] = fabs(vt_tensor_get(&pool->value, output * PLACES * PLACES + i));
    vt_status status = draw_map(&maps[0], s->d, values, POOL_FIRST, neuron);
    memcpy(values, seen + neuron * PLACES * PLACES, sizeof values);
    if (status == VT_OK) status = draw_map(&maps[1], s->d, values, BLOCK_FIRST, neuron);
    true_field(values, demo_truth(s->d, "x")[neuron], demo_truth(s->d, "y")[neuron],
               demo_truth(s->d, "size")[neuron]);
    if (status == VT_OK) status = draw_map(&maps[2], s->d, values, BLOCK_FIRST, neuron);
    if (status == VT_OK) status = vt_picture_sheet(&sheet, maps, 3, 3, (int)side, (int)side, 4);
    for (int i = 0; i < 3; i++)
        vt_image_free(&maps[i]);
    return save(s, status, &sheet, name);
}

/* ---- the page ---- */

static void paragraph(vt_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void paragraph(vt_page *page, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vt_page_paragraph(page, text);
}

typedef char cell[48];

static void number(cell out, double value)
{
    if (isfinite(value))
        snprintf(out, sizeof(cell), "%.2f", value);
    else
        snprintf(out, sizeof(cell), "–");
}

static void median_row(vt_page *page, const char *name, const vt_interval *v)
{
    cell median, interval;
    number(median, v->median);
    snprintf(interval, sizeof interval, "%.2f to %.2f", v->low, v->high);
    vt_page_table_row(page, (const char *[]){name, median, interval});
}

static void write_summary(vt_page *page, const demo *d)
{
    const vt_simulate_options *o = &d->simulation;
    int64_t held_out = d->score.end - d->score.begin;
    paragraph(page,
              "%d sessions of %d neurons each were simulated: every neuron saw %d images, %d times "
              "each, and answered with Poisson spike counts. A shared compact model was fitted to "
              "%lld of these images, and predicted the responses of session %s to %lld images it "
              "was not fitted to. Because the neurons are simulated, the spikes expected without "
              "noise are known too, and the model can be compared with them.",
              o->sessions, o->neurons, o->images, o->repeats, (long long)d->fit.images,
              DEMO_SESSION, (long long)held_out);
    vt_page_table_begin(page, (const char *[]){"Median over neurons", "Value", "90 % interval"}, 3,
                        1);
    median_row(page, "r, predicted and recorded responses", &d->score.r);
    median_row(page, "R² corrected for noise (r2_er)", &d->score.r2_er);
    median_row(page, "r, predicted and true expected responses", &d->r_truth_median);
    vt_page_table_end(page);
    paragraph(page, "Intervals are percentiles of 2,000 bootstrap samples of the %lld neurons.",
              (long long)d->score.count);
}

static vt_status write_recordings(vt_page *page, shown *s)
{
    static const char *const sees[] = {"contours of one orientation", "two contours along an arc",
                                       "a blob of one colour", "a small dot, and no edges"};
    vt_page_heading(page, "Recordings");
    VT_TRY(draw_examples(s));
    vt_page_figure(page, "figures/images.png", "24 example images",
                   "The first 24 images of session " DEMO_SESSION ": dead leaves, occluding each "
                   "other as objects do.",
                   0);
    VT_TRY(draw_responses(s));
    vt_page_figure(page, "figures/responses.png", "Responses of neurons to images",
                   "Recorded responses, averaged over repeats: a row a neuron, a column an image "
                   "(the first 92), each neuron from none (white) to its largest (dark).",
                   0);
    paragraph(page, "There are four kinds of neurons. These are the images that drove one of each "
                    "kind most, cut to one and a half times its receptive field:");
    for (int kind = 0; kind < VT_SIMULATE_KINDS; kind++) {
        char name[64], source[96], caption[160];
        int64_t i = 0, count = s->d->score.count;
        while (i < count && (int)demo_kind(s->d, neuron_of(s, s->order[i])) != kind)
            i++;
        if (i == count) continue;
        snprintf(name, sizeof name, "preferred_%s.png",
                 vt_simulate_kind_name((vt_simulate_kind)kind));
        snprintf(source, sizeof source, "figures/%s", name);
        snprintf(caption, sizeof caption, "Neuron %lld, %s: %s.",
                 (long long)neuron_of(s, s->order[i]),
                 vt_simulate_kind_name((vt_simulate_kind)kind), sees[kind]);
        VT_TRY(draw_preferred(s, neuron_of(s, s->order[i]), name));
        vt_page_figure(page, source, "Eight image patches", caption, 0);
    }
    return VT_OK;
}

static vt_status write_model(vt_page *page, shown *s)
{
    vt_compact_options o;
    VT_TRY(vt_model_compact_options(s->d->model, &o));
    vt_page_heading(page, "The model");
    paragraph(page,
              "Five convolutional layers with %d, %d, %d, %d and %d filters, shared by all "
              "neurons; each neuron has its own mixing weights and spatial pool. %lld parameters "
              "for %lld neurons, %d passes over the images.",
              o.filters[0], o.filters[1], o.filters[2], o.filters[3], o.filters[4],
              (long long)vt_model_parameters(s->d->model), (long long)vt_model_outputs(s->d->model),
              s->d->fit.epochs);
    VT_TRY(draw_training(s));
    VT_TRY(draw_filters(s));
    vt_page_row_begin(page);
    vt_page_figure(page, "figures/training.svg", "Training error falling over epochs",
                   "Error during training, of responses scaled to a standard deviation of 1.", 520);
    vt_page_figure(page, "figures/filters.png", "Filters of the first layer",
                   "Filters of the first layer, 5 × 5 pixels, as colours: grey is a weight of "
                   "zero, and each filter has its own scale.",
                   344);
    vt_page_row_end(page);
    return VT_OK;
}

static vt_status write_predictions(vt_page *page, shown *s)
{
    int64_t count = s->d->score.count;
    static const char *const names[] = {"scatter_best.svg", "scatter_median.svg",
                                        "scatter_worst.svg"};
    static const char *const captions[] = {"The best predicted neuron", "The median one",
                                           "The worst one"};
    vt_page_heading(page, "Predictions");
    paragraph(page,
              "Predicted responses against the truth, a point an image. The line is equality.");
    vt_page_row_begin(page);
    for (int i = 0; i < 3; i++) {
        char source[96];
        snprintf(source, sizeof source, "figures/%s", names[i]);
        VT_TRY(draw_scatter(s, s->order[i * (count - 1) / 2], names[i]));
        vt_page_figure(page, source, "Scatter plot of predicted and true responses", captions[i],
                       308);
    }
    vt_page_row_end(page);
    VT_TRY(draw_strips(s));
    vt_page_figure(page, "figures/kinds.svg", "Correlations with the truth by kind of neuron",
                   "Correlation with the truth by kind, a point a neuron; bars are medians.", 520);
    return VT_OK;
}

static void write_neurons(vt_page *page, const shown *s)
{
    static const char *const columns[] = {"Neuron", "Kind",        "r",
                                          "r2_er",  "Reliability", "r with the truth"};
    vt_page_heading(page, "Neurons");
    vt_page_table_begin(page, columns, 6, 2);
    for (int64_t i = 0; i < s->d->score.count; i++) {
        const vt_neuron_score *n = &s->d->score.neurons[s->order[i]];
        cell index, r, r2_er, reliability, truth;
        snprintf(index, sizeof index, "%lld", (long long)n->neuron);
        number(r, n->r);
        number(r2_er, n->r2_er);
        number(reliability, n->reliability);
        number(truth, s->d->r_truth[s->order[i]]);
        vt_page_table_row(page,
                          (const char *[]){index, vt_simulate_kind_name(demo_kind(s->d, n->neuron)),
                                           r, r2_er, reliability, truth});
    }
    vt_page_table_end(page);
    paragraph(page, "r: correlation with the recorded responses averaged over repeats. r2_er: its "
                    "square corrected for the noise of the recording (Pospisil & Bair 2021). "
                    "Reliability: correlation of the averages of half of the repeats, corrected "
                    "to all of them (Spearman-Brown).");
}

static vt_status write_fields(vt_page *page, shown *s)
{
    vt_page_heading(page, "Receptive fields");
    paragraph(page, "Three maps a neuron: the spatial pool that was fitted; where the model looks, "
                    "its squared gradient with respect to the image's pixels; and the "
                    "true receptive field, which the circle marks on all three. The pool alone "
                    "may lie beside it, since the layers before it can shift what they see.");
    double *seen = malloc((size_t)s->d->simulation.neurons * PLACES * PLACES * sizeof *seen);
    if (!seen) return out_of_memory();
    vt_status status = demo_fields(seen, s->d, PLACES);
    vt_page_row_begin(page);
    for (int64_t i = 0; i < s->d->score.count && status == VT_OK; i++) {
        char name[64], source[96], caption[96];
        int64_t neuron = neuron_of(s, s->order[i]);
        snprintf(name, sizeof name, "field_%02lld.png", (long long)neuron);
        snprintf(source, sizeof source, "figures/%s", name);
        snprintf(caption, sizeof caption, "%lld, %s, r %.2f", (long long)neuron,
                 vt_simulate_kind_name(demo_kind(s->d, neuron)), s->d->r_truth[s->order[i]]);
        status = draw_fields(s, seen, s->order[i], name);
        vt_page_figure(page, source, "Pool, the model's and the true receptive field", caption, 0);
    }
    vt_page_row_end(page);
    free(seen);
    return status;
}

static vt_status write_commands(vt_page *page, const demo *d)
{
    char text[4096];
    const vt_simulate_options *o = &d->simulation;
    unsigned long long seed = (unsigned long long)o->seed;
    int size = snprintf(
        text, sizeof text,
        "ventral simulate --output recordings --sessions %d --images %d --neurons %d --repeats %d "
        "--seed %llu\n"
        "ventral fit --recordings recordings --sessions " DEMO_SESSION ":first,sim002 --epochs %d "
        "--seed %llu --output " DEMO_MODEL "\n"
        "ventral score --recordings recordings --session " DEMO_SESSION
        " --half second --seed %llu " DEMO_MODEL "\n"
        "ventral info " DEMO_MODEL,
        o->sessions, o->images, o->neurons, o->repeats, seed, d->epochs, seed, seed);
    if (size < 0 || (size_t)size >= sizeof text) return out_of_memory();
    vt_page_heading(page, "The same by hand");
    paragraph(page, "These commands repeat the steps in another folder. For your own recordings "
                    "leave the first one out and put files of the same names and shapes into a "
                    "folder: images/images_ID.zip (or a session folder with images/) and "
                    "responses_raw/responses_ID.npy, an array of spike counts (neurons, images, "
                    "repeats).");
    vt_page_code(page, text);
    paragraph(page,
              "Beside every plot in figures/ lie its numbers (.tsv) and the gnuplot script "
              "that drew it (.gp). Written by ventral %s.",
              vt_version());
    return VT_OK;
}

static vt_status write_all(vt_page *page, shown *s)
{
    write_summary(page, s->d);
    VT_TRY(write_recordings(page, s));
    VT_TRY(write_model(page, s));
    VT_TRY(write_predictions(page, s));
    write_neurons(page, s);
    VT_TRY(write_fields(page, s));
    return write_commands(page, s->d);
}

vt_status demo_write_page(const demo *d, const vt_progress *progress)
{
    demo_path path;
    vt_page *page;
    shown s = {.d = d, .progress = progress, .figures = 12 + d->score.count};
    VT_TRY(demo_path_of(path, d, NULL, DEMO_INDEX));
    VT_TRY(vt_page_new(&page, "A compact model of simulated V4 neurons"));
    vt_status status = order_rows(&s);
    if (status == VT_OK) status = write_all(page, &s);
    if (status == VT_OK) status = vt_page_write(page, path);
    vt_page_free(page);
    free(s.order);
    return status;
}
