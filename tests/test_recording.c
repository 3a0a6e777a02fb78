/* Recording from networks whose receptive fields, orientations, frequencies and sizes are known
 * because their weights are set by hand; layers that answer nothing, too much or elsewhere. */
#include "test.h"

#include "base/arena.h"
#include "physiology/receptive_field.h"
#include "ventral/image.h"
#include "ventral/io.h"
#include "ventral/resnet.h"
#include "ventral/tuning.h"

enum { SIDE = 32, KERNEL = 21, STRIDE = 8, MAP = 3, PHASES = 4 };
enum { CELLS = 4, SEEING = CELLS - 1, SIMPLE = CELLS * PHASES, UNITS = MAP * MAP * CELLS };
#define DEGREES 4
#define PIXEL 0.125 /* degrees */
#define RADIUS 0.6  /* of the filters' disc, degrees */
#define BIAS 0.05f

static const vt_preprocessing preprocessing = {{128, 128, 128}, {100, 100, 100}};

/* Orientation, and number of the frequency among the four of the orientation set; the last is
 * blind. */
static const struct {
    int orientation, frequency;
} cells[CELLS] = {{0, 1}, {60, 1}, {90, 2}, {0, 1}};

static double frequency_of(int number)
{
    return pow(2, -1.375 + 0.25 * 4 * (number + 1));
}

/* Weight of a filter in four phases, a sine within a disc, at (y, x) degrees. */
static double filter(int cell, int phase, double y, double x)
{
    double angle = cells[cell].orientation * M_PI / 180;
    double along = x * cos(angle) + y * sin(angle);
    if (cell == SEEING || x * x + y * y > RADIUS * RADIUS) return 0;
    return sin(2 * M_PI * (frequency_of(cells[cell].frequency) * along + phase / 4.0)) / 60;
}

/* Weights of filter (cell, phase), whose sum is `sum`. */
static void set_kernel(float *kernel, int cell, int phase, double sum)
{
    double total = 0;
    int inside = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < KERNEL * KERNEL; i++) {
            double y = (i / KERNEL - KERNEL / 2) * PIXEL, x = (i % KERNEL - KERNEL / 2) * PIXEL;
            double w = filter(cell, phase, y, x);
            bool in = y * y + x * x <= RADIUS * RADIUS;
            if (pass == 0) {
                total += w;
                inside += in;
            }
            if (in && cell < SEEING) w += (sum - total) / inside;
            for (int c = 0; c < 3; c++)
                kernel[3 * i + c] = (float)w / 3;
        }
}

typedef struct network {
    vt_graph *graph;
    vt_subject subject;
    vt_node node;
    float *kernel, *bias; /* of the simple cells */
} network;

/* Simple cells in four phases, rectified; complex cells that sum them. Unit (i, k) looks at (i - c,
 * k - c) degrees, c = 1.4375 for pad 6. */
static void build(network *out, int pad, const char *node)
{
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_TORCH));
    vt_node image = vt_input(g, "image", 3, (int64_t[]){SIDE, SIDE, 3});
    vt_node x = vt_conv2d(g, image,
                          &(vt_conv2d_options){.name = "linear",
                                               .filters = SIMPLE,
                                               .kernel = {KERNEL, KERNEL},
                                               .stride = {STRIDE, STRIDE},
                                               .pad = {pad, pad, pad, pad}});
    x = vt_relu(g, x, "simple");
    vt_conv2d(g, x,
              &(vt_conv2d_options){
                  .name = "complex", .filters = CELLS, .kernel = {1, 1}, .no_bias = true});
    vt_conv2d(
        g, x,
        &(vt_conv2d_options){.name = "dead", .filters = 1, .kernel = {1, 1}, .no_bias = true});
    assert_ok(vt_graph_finish(g, 1));
    *out = (network){.graph = g};
    out->kernel = vt_graph_find_param(g, "linear.weight")->value.data;
    out->bias = vt_graph_find_param(g, "linear.bias")->value.data;
    float *sum = vt_graph_find_param(g, "complex.weight")->value.data;
    for (int s = 0; s < SIMPLE; s++) {
        set_kernel(out->kernel + s * KERNEL * KERNEL * 3, s / PHASES, s % PHASES, 0);
        out->bias[s] = BIAS;
        for (int c = 0; c < CELLS; c++)
            sum[c * SIMPLE + s] = s / PHASES == c;
    }
    memset(vt_graph_find_param(g, "dead.weight")->value.data, 0, SIMPLE * sizeof *sum);
    vt_graph_touch(g);
    out->subject = (vt_subject){g, image, &preprocessing, "by hand"};
    out->node = vt_graph_find(g, node);
    assert_true(out->node != VT_NO_NODE);
}

static double centre_of(int64_t unit)
{
    return (double)unit - 1.4375;
}

static const void *data_of(const vt_recording *r, const char *name)
{
    const vt_tensor *t = vt_tensor_map_find(r->map, name);
    if (!t) fail_msg("the recording has no %s", name);
    return t->data;
}

static void record(vt_recording *out, int pad, const char *node,
                   const vt_recording_options *options)
{
    network net;
    build(&net, pad, node);
    assert_ok(vt_record_graph(out, &net.subject, &net.node, 1, options));
    assert_string_equal(out->reason, "");
    vt_graph_free(net.graph);
}

/* ---- what comes back ---- */

static void test_fields(void **state)
{
    const vt_recording *r = *state;
    const double *position = data_of(r, "node.position"), *size = data_of(r, "node.size");
    assert_int_equal(r->units, UNITS);
    for (int u = 0; u < UNITS; u++) {
        double y = centre_of(u / CELLS / MAP), x = centre_of(u / CELLS % MAP);
        bool blind = u % CELLS == SEEING;
        assert_int_equal(isnan(position[2 * u]), blind);
        assert_int_equal(isnan(position[2 * u + 1]), blind);
        assert_int_equal(isnan(size[u]), blind);
        if (blind) continue;
        assert_close(position[2 * u], y, VT_FIELD_STEP / 2);
        assert_close(position[2 * u + 1], x, VT_FIELD_STEP / 2);
        assert_close(size[u], 2 * RADIUS, 2 * VT_FIELD_STEP);
    }
    assert_int_equal(r->answering, MAP * MAP * SEEING);
}

static void test_kept_units(void **state)
{
    const vt_recording *r = *state;
    const int64_t *unit = data_of(r, "unit");
    const double *position = data_of(r, "unit.position"), *size = data_of(r, "unit.size");
    const double *all = data_of(r, "node.position"), *sizes = data_of(r, "node.size");
    const float *map = data_of(r, "unit.map");
    assert_int_equal(r->kept, SEEING); /* of the column at (0.5625, 0.5625) */
    for (int k = 0; k < SEEING; k++) {
        assert_int_equal(unit[3 * k], 2);
        assert_int_equal(unit[3 * k + 1], 2);
        assert_int_equal(unit[3 * k + 2], k);
        int64_t u = (2 * MAP + 2) * CELLS + k;
        assert_memory_equal(position + 2 * k, all + 2 * u, 2 * sizeof *all);
        assert_true(size[k] == sizes[u]);
        double sum = 0, y = 0, x = 0, largest = 0;
        const float *m = map + k * VT_FIELD_POSITIONS;
        for (int p = 0; p < VT_FIELD_POSITIONS; p++)
            largest = fmax(largest, m[p]);
        for (int p = 0; p < VT_FIELD_POSITIONS; p++) {
            double value = m[p] > 0.05 * largest ? m[p] : 0;
            sum += value;
            y += value * (-2.5 + 0.25 * (p / VT_FIELD_SIDE));
            x += value * (-2.5 + 0.25 * (p % VT_FIELD_SIDE));
        }
        assert_close(position[2 * k], y / sum, 1e-12);
        assert_close(position[2 * k + 1], x / sum, 1e-12);
    }
}

/* Mean over the eight phases of grating `index` and the seven that follow. */
static double mean_of(const double *responses, int index)
{
    double sum = 0;
    for (int p = 0; p < 8; p++)
        sum += responses[index + p];
    return sum / 8;
}

static int best_of(const double *responses, int count)
{
    int best = 0;
    for (int i = 0; i < count; i += 8)
        if (mean_of(responses, i) > mean_of(responses, best)) best = i;
    return best;
}

static void test_preferred(void **state)
{
    const vt_recording *r = *state;
    for (int k = 0; k < SEEING; k++) {
        const double *o = (const double *)data_of(r, "responses.orientation") + 1152 * k;
        int best = best_of(o, 1152);
        assert_int_equal(best / 8 % 12 * 15, cells[k].orientation);
        assert_int_equal(best / 96 % 4, cells[k].frequency);
        /* at right angles it answers little, without the phases that a simple cell cares for */
        int turned = best - best % 96 + (best % 96 + 48) % 96;
        assert_true(mean_of(o, turned) < 0.5 * mean_of(o, best));
        for (int p = 0; p < 8; p++)
            assert_close(o[best + p], mean_of(o, best), 0.25 * mean_of(o, best));

        const double *f = (const double *)data_of(r, "responses.spatial_frequency") + 2112 * k;
        best = best_of(f, 2112);
        assert_int_equal(best / 8 % 6 * 30, cells[k].orientation);
        int frequency = 4 * (cells[k].frequency + 1);
        if (abs(best / 48 % 22 - frequency) > 1)
            fail_msg("cell %d prefers frequency %d, made for %d", k, best / 48 % 22, frequency);
    }
}

/* Discs larger than the filter add nothing, smaller ones take away. */
static void test_size(void **state)
{
    const vt_recording *r = *state;
    for (int k = 0; k < SEEING; k++) {
        const double *s = (const double *)data_of(r, "responses.size") + 2304 * k;
        int at = cells[k].frequency * 48 + cells[k].orientation / 30 * 8;
        double whole = mean_of(s, at + 11 * 192); /* radii .84, 1.19, ... hold all of the filter */
        for (int radius = 6; radius < 11; radius++)
            assert_close(mean_of(s, at + radius * 192), whole, 1e-4 * whole);
        assert_true(mean_of(s, at + 4 * 192) < 0.9 * whole); /* radius .42 */
        assert_true(mean_of(s, at + 3 * 192) < mean_of(s, at + 4 * 192));
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Grating `index` of the orientation set as the network sees it; static. */
static const uint8_t *picture_of(int index)
{
    static uint8_t grey[SIDE * SIDE];
    vt_screen *screen;
    vt_grating g;
    vt_screen_options options = {.degrees = DEGREES, .height = SIDE, .width = SIDE};
    assert_ok(vt_screen_new(&screen, &options));
    assert_ok(vt_grating_set_at(&g, VT_GRATINGS_ORIENTATION, index));
    assert_ok(vt_screen_draw(screen, &g, 1, grey));
    vt_screen_free(screen);
    return grey;
}

/* What simple cell `cell` at (row, column) of the map answers, before it is rectified. */
static double answer_of(const uint8_t *grey, int cell, int row, int column)
{
    static float kernel[KERNEL * KERNEL * 3];
    double value = BIAS;
    set_kernel(kernel, cell / PHASES, cell % PHASES, 0);
    for (int p = 0; p < KERNEL * KERNEL; p++) {
        int y = row * STRIDE - 6 + p / KERNEL, x = column * STRIDE - 6 + p % KERNEL;
        if (y >= 0 && y < SIDE && x >= 0 && x < SIDE)
            value += 3 * kernel[3 * p] * (grey[y * SIDE + x] - 128.0) / 100;
    }
    return value;
}

/* The affine map gives the medians of V1 neurons, and rates follow from activations computed here.
 */
static void test_rates(void **state)
{
    const vt_recording *r = *state;
    const double *orientation = data_of(r, "responses.orientation");
    const double *baseline = data_of(r, "baseline"), *affine = data_of(r, "affine");
    double largest[SEEING];
    assert_int_equal(r->responsive, SEEING);
    assert_true(affine[0] == r->slope && affine[1] == r->offset);
    for (int k = 0; k < SEEING; k++) {
        largest[k] = mean_of(orientation + 1152 * k, best_of(orientation + 1152 * k, 1152));
        assert_close(baseline[k], 0.82, 1e-4);
    }
    qsort(largest, SEEING, sizeof *largest, compare);
    assert_close(largest[1], 33.8, 1e-9);

    for (int i = 0; i < 1152; i += 37) {
        const uint8_t *grey = picture_of(i);
        for (int k = 0; k < SEEING; k++) {
            double sum = 0;
            for (int p = 0; p < PHASES; p++)
                sum += fmax(0, answer_of(grey, k * PHASES + p, 2, 2));
            assert_close(orientation[1152 * k + i], fmax(0, r->slope * sum + r->offset), 1e-3);
        }
    }
}

/* The properties measured from the recording know the cells, too. */
static void test_tuning(void **state)
{
    const vt_recording *r = *state;
    vt_tuning tuning;
    assert_ok(vt_tuning_measure(&tuning, r->map));
    const vt_study_tuning *o = &tuning.study[VT_STUDY_RINGACH2002];
    const vt_study_tuning *s = &tuning.study[VT_STUDY_CAVANAUGH2002A];
    assert_int_equal(o->neurons, SEEING);
    assert_int_equal(s->neurons, SEEING);
    for (int k = 0; k < SEEING; k++) {
        double frequency = frequency_of(cells[k].frequency);
        assert_close(o->preferred[3 * k + 1], frequency, 1e-9);
        assert_close(o->preferred[3 * k + 2], cells[k].orientation, 1e-9);
        assert_close(s->preferred[3 * k + 1], frequency, 1e-9);
        assert_close(s->preferred[3 * k + 2], cells[k].orientation, 1e-9);
    }
    vt_tuning_free(&tuning);
}

/* A recording in a file gives the same properties. */
static void test_file(void **state)
{
    const vt_recording *r = *state;
    char folder[4096], path[4200];
    vt_tensor_map *map;
    vt_tuning before, after;
    snprintf(path, sizeof path, "%s/responses.npz", new_folder(folder));
    assert_ok(vt_npz_write(r->map, path));
    assert_ok(vt_npz_read(&map, path));
    assert_string_equal(vt_tensor_map_get_text(map, "node"), "complex");
    assert_ok(vt_tuning_measure(&before, r->map));
    assert_ok(vt_tuning_measure(&after, map));
    for (int p = 0; p < vt_property_count(); p++) {
        double *x, *y;
        int64_t x_count, y_count;
        if (!before.study[vt_property_at(p)->study].measured) continue;
        assert_ok(vt_tuning_values(&x, &x_count, &before, p));
        assert_ok(vt_tuning_values(&y, &y_count, &after, p));
        assert_int_equal(x_count, y_count);
        assert_memory_equal(x, y, (size_t)x_count * sizeof *x);
        free(x);
        free(y);
    }
    vt_tuning_free(&before);
    vt_tuning_free(&after);
    vt_tensor_map_free(map);
    remove_folder(folder);
}

static void test_stimuli_and_texts(void **state)
{
    const vt_recording *r = *state;
    for (int set = VT_GRATINGS_ORIENTATION; set < VT_GRATING_SETS; set++) {
        char name[64];
        snprintf(name, sizeof name, "stimuli.%s", vt_grating_set_name(set));
        const vt_tensor *t = vt_tensor_map_find(r->map, name);
        assert_non_null(t);
        assert_int_equal(t->size[0], vt_grating_set_count(set));
        assert_int_equal(t->size[1], 7);
        for (int64_t i = 0; i < t->size[0]; i++) {
            vt_grating g;
            assert_ok(vt_grating_set_at(&g, set, i));
            assert_memory_equal(&g, (double *)t->data + 7 * i, sizeof g);
        }
        snprintf(name, sizeof name, "responses.%s", vt_grating_set_name(set));
        t = vt_tensor_map_find(r->map, name);
        assert_non_null(t);
        assert_int_equal(t->size[0], SEEING);
        assert_int_equal(t->size[1], vt_grating_set_count(set));
    }
    assert_string_equal(vt_tensor_map_get_text(r->map, "model"), "by hand");
    assert_string_equal(vt_tensor_map_get_text(r->map, "node"), "complex");
    assert_true(r->time.stimuli > 0 && r->time.network > 0 && r->time.analysis > 0);
}

static void assert_same_maps(const vt_recording *a, const vt_recording *b)
{
    assert_int_equal(vt_tensor_map_count(a->map), vt_tensor_map_count(b->map));
    for (int i = 0; i < vt_tensor_map_count(a->map); i++) {
        const vt_tensor *x = vt_tensor_map_at(a->map, i), *y = vt_tensor_map_at(b->map, i);
        assert_string_equal(x->name, y->name);
        assert_int_equal(vt_tensor_bytes(x), vt_tensor_bytes(y));
        if (memcmp(x->data, y->data, vt_tensor_bytes(x)) != 0) fail_msg("%s differs", x->name);
    }
}

/* Layers that are recorded together answer the bits that each answers alone, with another number of
 * threads and with a pass whose maps are of the end of one and the beginning of the next; one
 * without units has its reason. */
static void test_together(void **state)
{
    const vt_recording *complex = *state;
    network net;
    vt_recording linear, together[3];
    build(&net, 6, "linear");
    vt_node nodes[] = {net.node, vt_graph_find(net.graph, "dead"),
                       vt_graph_find(net.graph, "complex")};
    vt_recording_options options = {.degrees = DEGREES};
    record(&linear, 6, "linear", &options);
    options.map_bytes = VT_FIELD_POSITIONS * sizeof(float) * 100; /* of 189 units */
    vt_threads_set(2);
    assert_ok(vt_record_graph(together, &net.subject, nodes, 3, &options));
    vt_threads_set(1);
    assert_same_maps(&linear, &together[0]);
    assert_non_null(strstr(together[1].reason, "none of its 9 units answers"));
    assert_null(together[1].map);
    assert_same_maps(complex, &together[2]);
    assert_int_equal(together[2].kept, complex->kept);
    assert_int_equal(together[0].answering, linear.answering);
    for (int i = 0; i < 3; i++)
        vt_recording_free(&together[i]);
    vt_recording_free(&linear);
    vt_graph_free(net.graph);
}

/* Another number at a time, signed activations, of which the positive part counts. */
static void test_linear_node(void **state)
{
    (void)state;
    vt_recording r;
    record(&r, 6, "linear", &(vt_recording_options){.degrees = DEGREES, .batch = 100});
    const int64_t *unit = data_of(&r, "unit");
    const double *rates = data_of(&r, "responses.orientation");
    assert_true(r.kept > SEEING);
    for (int i = 0; i < 1152; i += 61) {
        const uint8_t *grey = picture_of(i);
        for (int64_t k = 0; k < r.kept; k++) {
            const int64_t *u = unit + 3 * k;
            double value = fmax(0, answer_of(grey, (int)u[2], (int)u[0], (int)u[1]));
            assert_close(rates[1152 * k + i], fmax(0, r.slope * value + r.offset), 1e-3);
        }
    }
    vt_recording_free(&r);
}

/* Textures are shown after the gratings, on the same screen, and change nothing else; rates follow
 * from activations computed here. */
static void test_textures(void **state)
{
    const vt_recording *without = *state;
    enum { TEXTURES = 8, PIXELS = 20 };
    char folder[4096], name[4200];
    uint8_t pixels[PIXELS * PIXELS * 3], grey[SIDE * SIDE];
    new_folder(folder);
    for (int i = 0; i < TEXTURES; i++) {
        void *data;
        size_t size;
        for (int p = 0; p < PIXELS * PIXELS; p++)
            memset(pixels + 3 * p, 255 & (p * (31 + i) + p / PIXELS * i * 17), 3);
        assert_ok(vt_png_encode(&data, &size, &(vt_image){PIXELS, PIXELS, pixels}));
        snprintf(name, sizeof name, "%s/%s-20x20-im%d-smp%d.png", folder, i / 4 ? "tex" : "noise",
                 i / 2 % 2 + 3, i % 2 + 1);
        assert_ok(vt_file_write(name, data, size));
        free(data);
    }
    vt_texture_set *set;
    vt_recording r;
    vt_tuning tuning;
    assert_ok(vt_texture_set_open(&set, folder));
    record(&r, 6, "complex", &(vt_recording_options){.degrees = DEGREES, .textures = set});
    const double *rates = data_of(&r, "responses.texture");
    const int64_t *unit = data_of(&r, "unit"), *type = data_of(&r, "texture.type");
    const int64_t *family = data_of(&r, "texture.family"), *sample = data_of(&r, "texture.sample");
    for (int i = 0; i < TEXTURES; i++) {
        vt_screen_options screen = {.degrees = DEGREES, .height = SIDE, .width = SIDE};
        assert_ok(vt_texture_set_draw(set, i, &screen, grey));
        assert_int_equal(type[i], i / 4 + 1);
        assert_int_equal(family[i], i / 2 % 2 + 3);
        assert_int_equal(sample[i], i % 2 + 1);
        for (int k = 0; k < SEEING; k++) {
            double sum = 0;
            for (int phase = 0; phase < PHASES; phase++)
                sum += fmax(0, answer_of(grey, (int)unit[3 * k + 2] * PHASES + phase,
                                         (int)unit[3 * k], (int)unit[3 * k + 1]));
            assert_close(rates[k * TEXTURES + i], fmax(0, r.slope * sum + r.offset), 1e-3);
        }
    }
    assert_memory_equal(data_of(&r, "responses.size"), data_of(without, "responses.size"),
                        SEEING * 2304 * sizeof(double));
    assert_null(vt_tensor_map_get_text(r.map, "textures"));
    assert_ok(vt_tuning_measure(&tuning, r.map));
    assert_true(tuning.study[VT_STUDY_FREEMANZIEMBA2013].measured);
    vt_tuning_free(&tuning);
    vt_recording_free(&r);
    vt_texture_set_close(set);
    remove_folder(folder);
}

static int record_once(void **state)
{
    static vt_recording recording;
    record(&recording, 6, "complex", &(vt_recording_options){.degrees = DEGREES});
    *state = &recording;
    return 0;
}

static int free_recording(void **state)
{
    vt_recording_free(*state);
    return 0;
}

/* ---- what cannot be recorded ---- */

static void assert_refused(vt_status expected, const char *says, const network *net,
                           const vt_recording_options *options)
{
    vt_recording r = {.units = -1};
    assert_status(expected, vt_record_graph(&r, &net->subject, &net->node, 1, options));
    assert_message(says);
    assert_message("by hand");
    assert_int_equal(r.units, -1);
}

/* The reason, static. */
static const char *assert_reason(const char *says, const network *net)
{
    static vt_recording r;
    assert_ok(vt_record_graph(&r, &net->subject, &net->node, 1,
                              &(vt_recording_options){.degrees = DEGREES}));
    if (!strstr(r.reason, says)) fail_msg("reason '%s', not '%s'", r.reason, says);
    assert_null(r.map);
    return r.reason;
}

static void test_dead_layers(void **state)
{
    (void)state;
    network net;
    build(&net, 6, "complex");
    memset(net.kernel, 0, SIMPLE * KERNEL * KERNEL * 3 * sizeof *net.kernel);
    for (int s = 0; s < SIMPLE; s++) /* silent, or all alike */
        net.bias[s] = s / PHASES == 1 ? -1 : 1;
    vt_graph_touch(net.graph);
    assert_reason("none of its 36 units answers to small gratings", &net);
    vt_graph_free(net.graph);
}

static void test_fields_elsewhere(void **state)
{
    (void)state;
    network net;
    build(&net, 2, "complex"); /* centres at 0.0625, 1.0625, ... */
    const char *reason = assert_reason("within 0.15 degrees of (0.5, 0.5)", &net);
    double y, x;
    assert_int_equal(sscanf(strstr(reason, "has it at ("), "has it at (%lf, %lf)", &y, &x), 2);
    assert_close(y, 0.0625, VT_FIELD_STEP / 2);
    assert_close(x, 0.0625, VT_FIELD_STEP / 2);
    vt_graph_free(net.graph);
}

/* Units that gratings modulate about their answer to grey, which no mean over phases exceeds: bytes
 * of gratings are a little darker than grey. */
static void test_linear_units(void **state)
{
    (void)state;
    network net;
    build(&net, 6, "complex");
    for (int s = 0; s < SIMPLE; s++) {
        set_kernel(net.kernel + s * KERNEL * KERNEL * 3, s / PHASES, s % PHASES, 2);
        net.bias[s] = 50;
    }
    vt_graph_touch(net.graph);
    assert_reason("orientation set more than to grey", &net);
    vt_graph_free(net.graph);
}

static void test_not_finite(void **state)
{
    (void)state;
    static const vt_recording_options options = {.degrees = DEGREES};
    network net;
    build(&net, 6, "linear");
    net.bias[7] = NAN;
    vt_graph_touch(net.graph);
    assert_refused(VT_ENUMERIC, "channel 7 answers nan", &net, &options);
    net.bias[7] = INFINITY;
    vt_graph_touch(net.graph);
    assert_refused(VT_ENUMERIC, "channel 7 answers inf", &net, &options);
    net.bias[7] = 0;
    for (int i = 0; i < KERNEL * KERNEL * 3; i++)
        net.kernel[i] = 3e38f; /* grey is 0: only gratings overflow */
    vt_graph_touch(net.graph);
    assert_refused(VT_ENUMERIC, "channel 0 answers", &net, &options);
    vt_graph_free(net.graph);
}

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    int64_t *seen = context;
    (void)line;
    assert_int_equal(total, 9097);
    assert_true(done > *seen);
    *seen = done;
    return done < 200;
}

static void test_options(void **state)
{
    (void)state;
    network net;
    vt_recording r;
    int64_t seen = 0;
    vt_progress progress = {stop_at_once, &seen};
    build(&net, 6, "complex");
    vt_recording_options options = {.degrees = DEGREES, .progress = &progress};
    assert_status(VT_EINTERRUPTED, vt_record_graph(&r, &net.subject, &net.node, 1, &options));
    assert_in_range(seen, 200, 300);
    static const vt_recording_options wrong[] = {{.batch = -1}, {.degrees = -8}, {.degrees = NAN}};
    for (int i = 0; i < 3; i++)
        assert_status(VT_EINVAL, vt_record_graph(&r, &net.subject, &net.node, 1, &wrong[i]));
    vt_graph_free(net.graph);

    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F64, VT_NAMES_TORCH));
    vt_node image = vt_input(g, "image", 3, (int64_t[]){8, 8, 3});
    vt_node grey = vt_input(g, "grey", 3, (int64_t[]){8, 8, 1});
    vt_node flat = vt_flatten(g, image, "flat");
    assert_ok(vt_graph_finish(g, 0));
    vt_subject subject = {g, image, &preprocessing, "by hand"};
    options = (vt_recording_options){.degrees = DEGREES};
    assert_status(VT_EUNSUPPORTED, vt_record_graph(&r, &subject, &flat, 1, &options));
    assert_message("float32");
    subject.input = grey;
    assert_status(VT_EUNSUPPORTED, vt_record_graph(&r, &subject, &flat, 1, &options));
    assert_message("images");
    vt_graph_free(g);
}

static void test_model(void **state)
{
    (void)state;
    vt_model *model;
    vt_recording r;
    vt_resnet_options options = {.depth = 18, .width = 0.125, .classes = 4};
    vt_recording_options few = {.batch = 32};
    assert_ok(vt_resnet_new(&model, &options));
    assert_status(VT_ENOTFOUND, vt_record(&r, model, (const char *[]){"layer9"}, 1, &few));
    assert_message("layer9");
    assert_ok(vt_record(&r, model, (const char *[]){"maxpool"}, 1, &few));
    assert_int_equal(r.units, 16 * 16 * 8);
    assert_in_range(r.kept, 1, 32);
    vt_tuning tuning;
    assert_ok(vt_tuning_measure(&tuning, r.map));
    assert_int_equal(tuning.neurons, r.kept);
    assert_true(tuning.study[VT_STUDY_RINGACH2002].measured);
    assert_true(tuning.study[VT_STUDY_CAVANAUGH2002A].measured);
    assert_false(tuning.study[VT_STUDY_FREEMANZIEMBA2013].measured);
    vt_tuning_free(&tuning);
    vt_recording_free(&r);
    vt_model_free(model);
}

/* Of a network of 16 x 16 pixels over 2 degrees. */
static void test_memory_short(void **state)
{
    (void)state;
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_TORCH));
    vt_node image = vt_input(g, "image", 3, (int64_t[]){16, 16, 3});
    vt_node x = vt_conv2d(
        g, image,
        &(vt_conv2d_options){.name = "conv", .filters = 8, .kernel = {3, 3}, .pad = {1, 1, 1, 1}});
    assert_ok(vt_graph_finish(g, 3));
    vt_subject subject = {g, image, &preprocessing, "by hand"};
    vt_node nodes[] = {x, image};
    bool failed = true;
    vt_recording_options options = {.degrees = 2, .batch = 2000};
    for (int n = 0; failed; n += 1 + n / 8) {
        vt_recording r[2];
        vt_alloc_fail_after(n);
        vt_status status = vt_record_graph(r, &subject, nodes, 2, &options);
        vt_alloc_fail_after(-1);
        failed = status != VT_OK;
        if (failed) {
            assert_int_equal(status, VT_ENOMEM);
            continue;
        }
        vt_recording_free(&r[0]);
        vt_recording_free(&r[1]);
    }
    vt_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest known[] = {
        cmocka_unit_test(test_fields),    cmocka_unit_test(test_kept_units),
        cmocka_unit_test(test_preferred), cmocka_unit_test(test_size),
        cmocka_unit_test(test_rates),     cmocka_unit_test(test_stimuli_and_texts),
        cmocka_unit_test(test_tuning),    cmocka_unit_test(test_file),
        cmocka_unit_test(test_together),  cmocka_unit_test(test_linear_node),
        cmocka_unit_test(test_textures),
    };
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_dead_layers),  cmocka_unit_test(test_fields_elsewhere),
        cmocka_unit_test(test_linear_units), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_options),      cmocka_unit_test(test_model),
        cmocka_unit_test(test_memory_short),
    };
    vt_threads_set(1); /* threads that wait for each other would decide about the time */
    return cmocka_run_group_tests(known, record_once, free_recording) +
           cmocka_run_group_tests(others, NULL, NULL);
}
