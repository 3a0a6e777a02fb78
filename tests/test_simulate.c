/* Dead leaves: same numbers whatever the threads, statistics of natural images. Simulated neurons:
 * each kind prefers what it is said to prefer. */
#include "test.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/session.h"
#include "ventral/simulate.h"

enum { SIDE = 112, PIXELS = SIDE * SIDE };

/* ---- images ---- */

static void test_dead_leaves_repeat(void **state)
{
    (void)state;
    enum { N = 16 };
    static uint8_t serial[N][PIXELS * 3], parallel[N][PIXELS * 3];
    for (uint32_t i = 0; i < N; i++)
        assert_ok(vt_dead_leaves(serial[i], SIDE, SIDE, 5, i));
    int failures = 0;
#pragma omp parallel for num_threads(4) schedule(dynamic, 1) reduction(+ : failures)
    for (int i = N - 1; i >= 0; i--)
        failures += vt_dead_leaves(parallel[i], SIDE, SIDE, 5, (uint32_t)i) != VT_OK;
    assert_int_equal(0, failures);
    assert_memory_equal(serial, parallel, sizeof serial);
    assert_memory_not_equal(serial[0], serial[1], sizeof serial[0]);
    assert_ok(vt_dead_leaves(parallel[0], SIDE, SIDE, 6, 0));
    assert_memory_not_equal(serial[0], parallel[0], sizeof serial[0]);
}

static void test_dead_leaves_any_size(void **state)
{
    (void)state;
    const int sizes[][2] = {{1, 1}, {1, 300}, {300, 1}, {7, 5}, {257, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t bytes = (size_t)(sizes[i][0] * sizes[i][1] * 3);
        uint8_t *image = malloc(bytes); /* exact: the sanitizer sees a byte too many */
        for (uint32_t k = 0; k < 20; k++)
            assert_ok(vt_dead_leaves(image, sizes[i][0], sizes[i][1], UINT64_MAX, UINT32_MAX - k));
        free(image);
    }
    uint8_t byte[3];
    assert_status(VT_EINVAL, vt_dead_leaves(byte, 0, 4, 1, 0));
    assert_status(VT_EINVAL, vt_dead_leaves(byte, 4, -1, 1, 0));
    assert_status(VT_EINVAL, vt_dead_leaves(byte, 1, 8193, 1, 0));
    assert_message("8192");
    assert_status(VT_EINVAL, vt_dead_leaves(NULL, 4, 4, 1, 0));
}

/* Variance of differences of means of neighbouring squares of `size` pixels. */
static double block_variance(const float *light, int size)
{
    double sum = 0;
    int blocks = SIDE / size, pairs = 0;
    float means[SIDE][SIDE];
    for (int i = 0; i < blocks; i++)
        for (int j = 0; j < blocks; j++) {
            means[i][j] = 0;
            for (int k = 0; k < size * size; k++)
                means[i][j] += light[(i * size + k / size) * SIDE + j * size + k % size];
            means[i][j] /= (float)(size * size);
        }
    for (int i = 0; i < blocks; i++)
        for (int j = 0; j + 1 < blocks; j++, pairs++) {
            double d = means[i][j] - means[i][j + 1];
            sum += d * d;
        }
    return sum / pairs;
}

/* Amplitude 1/f^a has Haar variance ~ size^(2a - 2): flat for a = 1, growing as size^2 for blurred
 * noise-free ramps, falling as size^-2 for white noise. Natural images lie at a = 0.9 to 1.3. */
static void test_dead_leaves_spectrum_and_range(void **state)
{
    (void)state;
    enum { N = 200 };
    static uint8_t image[PIXELS * 3];
    static float light[PIXELS];
    double variance[3] = {0}, mean[3] = {0}, squares = 0, chroma = 0, between = 0;
    int clipped = 0;
    for (uint32_t i = 0; i < N; i++) {
        assert_ok(vt_dead_leaves(image, SIDE, SIDE, 11, i));
        double sum = 0;
        for (int k = 0; k < PIXELS; k++) {
            const uint8_t *p = image + 3 * k;
            light[k] = (float)(p[0] + p[1] + p[2]) / 3;
            sum += light[k];
            squares += (double)light[k] * light[k];
            chroma += abs(p[0] - p[1]) + abs(p[2] - p[1]);
            clipped += p[0] == 255 || p[1] == 255 || p[2] == 255;
            for (int c = 0; c < 3; c++)
                mean[c] += p[c];
        }
        between += sum / PIXELS * (sum / PIXELS);
        for (int s = 0; s < 3; s++)
            variance[s] += block_variance(light, 4 << s);
    }
    double exponent = 1 + 0.25 * log2(variance[2] / variance[0]);
    assert_in_range((int)(100 * exponent), 90, 135);
    double total = (double)N * PIXELS, grey = (mean[0] + mean[1] + mean[2]) / (3 * total);
    /* The means the compact models subtract, 116 109 100, within a part of the images' spread. */
    const double natural[3] = {116.222, 109.270, 100.381};
    for (int c = 0; c < 3; c++)
        assert_close(mean[c] / total, natural[c], 12);
    assert_in_range((int)sqrt(squares / total - grey * grey), 45, 80);
    assert_in_range((int)sqrt(between / N - grey * grey), 15, 50);
    assert_in_range((int)(chroma / total), 20, 70);
    assert_true(clipped < 0.05 * total);
}

/* ---- neurons ---- */

static vt_simulate_neuron neuron(vt_simulate_kind kind)
{
    return (vt_simulate_neuron){
        .kind = kind,
        .x = 56.3,
        .y = 55.8,
        .size = 24,
        .colour = {1 / 3.0, 1 / 3.0, 1 / 3.0},
        .orientation = 0.5,
        .frequency = 0.125,
        .bend = 0.7,
        .radius = 2.5,
        .inhibition = 0.6,
        .drive_unit = 0.1,
        .contrast_unit = 0.1,
        .semisaturation = 1,
        .contrast = 0.3,
        .exponent = 2,
        .baseline = 0.2,
        .gain = 10,
    };
}

static uint8_t pictures[64][PIXELS * 3];

static void rates_of(double *out, const vt_simulate_neuron *n, int pictures_count)
{
    vt_tensor images;
    assert_ok(
        vt_tensor_init(&images, VT_U8, 4, (int64_t[]){pictures_count, SIDE, SIDE, 3}, pictures));
    assert_ok(vt_simulate_rates(out, n, 1, &images));
}

/* A grating of contours at `angle` within `radius` of the neuron, mid grey around it. */
static void grating(uint8_t *out, const vt_simulate_neuron *n, double angle, double frequency,
                    double radius)
{
    for (int k = 0; k < PIXELS; k++) {
        double dx = k % SIDE + 0.5 - n->x, dy = k / SIDE + 0.5 - n->y;
        double wave = sin(2 * M_PI * frequency * (dy * cos(angle) - dx * sin(angle)));
        bool inside = dx * dx + dy * dy < radius * radius;
        memset(out + 3 * k, (int)lrint(127.5 + (inside ? 100 * wave : 0)), 3);
    }
}

static int best_of(const double *rates, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (rates[i] > rates[best]) best = i;
    return best;
}

static void test_orientation(void **state)
{
    (void)state;
    enum { N = 36 };
    double rates[N];
    for (double preferred = 0.1; preferred < M_PI; preferred += 0.45) {
        vt_simulate_neuron n = neuron(VT_SIMULATE_ORIENTATION);
        n.orientation = preferred;
        for (int i = 0; i < N; i++)
            grating(pictures[i], &n, i * M_PI / N, n.frequency, 100);
        rates_of(rates, &n, N);
        double off = fabs(best_of(rates, N) * M_PI / N - preferred);
        assert_close(fmin(off, M_PI - off), 0, M_PI / N);
        double orthogonal = rates[(best_of(rates, N) + N / 2) % N];
        assert_true(orthogonal < n.baseline + 0.05 * (rates[best_of(rates, N)] - n.baseline));
        for (int i = 0; i < 20; i++)
            grating(pictures[i], &n, preferred, 0.03 * pow(1.15, i), 100);
        rates_of(rates, &n, 20);
        double best = 0.03 * pow(1.15, best_of(rates, 20));
        assert_close(log(best / n.frequency), 0, log(1.15));
    }
}

static void test_surround_suppression(void **state)
{
    (void)state;
    enum { N = 14 };
    double with[N], without[N];
    vt_simulate_neuron n = neuron(VT_SIMULATE_ORIENTATION);
    for (int i = 0; i < N; i++)
        grating(pictures[i], &n, n.orientation, n.frequency, 2 + 3 * i);
    rates_of(without, &n, N);
    n.surround = 1;
    rates_of(with, &n, N);
    int peak = best_of(with, N);
    assert_in_range(peak, 2, 6); /* the radius of its receptive field is 12: picture 3 */
    assert_true(with[N - 1] < 0.85 * with[peak]);
    assert_true(without[N - 1] > 0.95 * without[best_of(without, N)]);
}

static void test_dots(void **state)
{
    (void)state;
    enum { N = 16 };
    double rates[N];
    for (double preferred = 2; preferred < 4; preferred += 0.5) {
        vt_simulate_neuron n = neuron(VT_SIMULATE_DOT);
        n.radius = preferred;
        n.drive_unit = 0.01;
        for (int i = 0; i < N; i++)
            for (int k = 0; k < PIXELS; k++) {
                double d = hypot(k % SIDE + 0.5 - n.x, k / SIDE + 0.5 - n.y);
                double share = fmin(fmax(1 + 0.5 * i + 0.5 - d, 0), 1);
                memset(pictures[i] + 3 * k, (int)lrint(127 + 100 * share), 3);
            }
        rates_of(rates, &n, N);
        assert_close(1 + 0.5 * best_of(rates, N), preferred, 0.75);
        /* A large disc's edge in the receptive field hardly moves it, nor does a dark dot. */
        assert_true(rates[N - 1] < 0.3 * rates[best_of(rates, N)]);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < PIXELS * 3; k++)
                pictures[i][k] = (uint8_t)(254 - pictures[i][k]);
        rates_of(rates, &n, 5);
        assert_close(rates[best_of(rates, 5)], n.baseline, 0.3);
    }
}

/* Arcs that bend the way the unit says drive it more than their mirror image and a straight line.
 */
static void test_curvature(void **state)
{
    (void)state;
    for (double angle = 0; angle < 6; angle += 0.9) {
        double rates[3];
        vt_simulate_neuron n = neuron(VT_SIMULATE_CURVATURE);
        n.orientation = angle;
        /* Contours at +-0.7 half a chord of 0.7 / 0.125 = 5.6 pixels away: radius 5.6 / sin 0.7. */
        double radius = 5.6 / sin(0.7), sagitta = radius * (1 - cos(0.7)) / 2;
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < PIXELS; k++) {
                double dx = k % SIDE + 0.5 - n.x, dy = k / SIDE + 0.5 - n.y;
                double along = dx * cos(angle) + dy * sin(angle);
                double across = dy * cos(angle) - dx * sin(angle);
                double side = i == 1 ? -1 : 1;
                double d =
                    i == 2 ? across : hypot(along, side * across - (radius - sagitta)) - radius;
                double line = exp(-d * d / 4) * (fabs(along) < 9) * (fabs(across) < 9);
                memset(pictures[i] + 3 * k, (int)lrint(127 + 100 * line), 3);
            }
        rates_of(rates, &n, 3);
        assert_true(rates[0] > 1.3 * rates[1]);
        assert_true(rates[0] > 1.3 * rates[2]);
    }
}

static void test_colour_and_place(void **state)
{
    (void)state;
    vt_simulate_neuron n = neuron(VT_SIMULATE_COLOUR);
    double rates[8];
    n.colour[0] = 1, n.colour[1] = -1, n.colour[2] = 0; /* red over green */
    const uint8_t colours[4][3] = {
        {200, 60, 100}, {60, 200, 100}, {128, 128, 250}, {240, 240, 240}};
    for (int i = 0; i < 8; i++) /* inside the receptive field; then far from it */
        for (int k = 0; k < PIXELS; k++) {
            double dx = k % SIDE + 0.5 - n.x - (i < 4 ? 0 : 40), dy = k / SIDE + 0.5 - n.y;
            bool inside = dx * dx + dy * dy < 25;
            for (int c = 0; c < 3; c++)
                pictures[i][3 * k + c] = inside ? colours[i % 4][c] : 128;
        }
    rates_of(rates, &n, 8);
    assert_true(rates[0] > 3);
    for (int i = 1; i < 8; i++)
        assert_close(rates[i], n.baseline, 0.05);
}

static void test_rates_reject_nonsense(void **state)
{
    (void)state;
    vt_tensor images;
    double rate;
    vt_simulate_neuron n = neuron(VT_SIMULATE_DOT);
    assert_ok(vt_tensor_init(&images, VT_U8, 4, (int64_t[]){1, SIDE, SIDE, 3}, pictures));
    n.size = INFINITY;
    assert_status(VT_EINVAL, vt_simulate_rates(&rate, &n, 1, &images));
    assert_message("neuron 0");
    n = neuron(VT_SIMULATE_DOT);
    n.x = NAN;
    assert_status(VT_EINVAL, vt_simulate_rates(&rate, &n, 1, &images));
    n = neuron(VT_SIMULATE_ORIENTATION);
    n.frequency = 1e-30;
    assert_status(VT_EINVAL, vt_simulate_rates(&rate, &n, 1, &images));
    n = neuron((vt_simulate_kind)77);
    assert_status(VT_EINVAL, vt_simulate_rates(&rate, &n, 1, &images));
    assert_string_equal("?", vt_simulate_kind_name((vt_simulate_kind)77));
    n = neuron(VT_SIMULATE_DOT);
    n.x = -500; /* sees nothing but grey */
    assert_ok(vt_simulate_rates(&rate, &n, 1, &images));
    assert_close(rate, n.baseline, 1e-9);
    assert_ok(vt_tensor_init(&images, VT_F32, 4, (int64_t[]){1, SIDE, SIDE, 3}, pictures));
    assert_status(VT_ESHAPE, vt_simulate_rates(&rate, &n, 1, &images));
    assert_ok(vt_tensor_init(&images, VT_U8, 4, (int64_t[]){1, SIDE, SIDE, 1}, pictures));
    assert_status(VT_ESHAPE, vt_simulate_rates(&rate, &n, 1, &images));
    assert_message("(1, 112, 112, 1)");
}

/* A session's neurons: all kinds, one neighbourhood, rates and sparseness like recordings of V4
 * (means of 1 to 8 spikes; s.d. over images 0.3 to 1.3 of the mean), whatever the threads. */
static void test_drawn_neurons(void **state)
{
    (void)state;
    enum { NEURONS = 24, IMAGES = 120 };
    vt_simulate_options options = VT_SIMULATE_DEFAULTS;
    vt_simulate_neuron drawn[NEURONS], again[NEURONS], other[NEURONS];
    static uint8_t leaves[IMAGES][PIXELS * 3];
    static double rates[NEURONS * IMAGES], rates_again[NEURONS * IMAGES];
    vt_tensor images;
    options.neurons = NEURONS;
    vt_threads_set(1);
    assert_ok(vt_simulate_neurons(drawn, &options, 1));
    vt_threads_set(4);
    options.neurons = NEURONS / 2;
    assert_ok(vt_simulate_neurons(again, &options, 1));
    assert_memory_equal(drawn, again, sizeof *drawn * NEURONS / 2);
    assert_ok(vt_simulate_neurons(other, &options, 2));
    assert_memory_not_equal(drawn, other, sizeof *drawn);
    assert_status(VT_EINVAL, vt_simulate_neurons(other, &options, 4));

    for (uint32_t i = 0; i < IMAGES; i++)
        assert_ok(vt_dead_leaves(leaves[i], SIDE, SIDE, 99, i));
    assert_ok(vt_tensor_init(&images, VT_U8, 4, (int64_t[]){IMAGES, SIDE, SIDE, 3}, leaves));
    assert_ok(vt_simulate_rates(rates, drawn, NEURONS, &images));
    vt_threads_set(1);
    assert_ok(vt_simulate_rates(rates_again, drawn, NEURONS, &images));
    vt_threads_set(0);
    assert_memory_equal(rates, rates_again, sizeof rates);
    int kinds[VT_SIMULATE_KINDS] = {0};
    for (int k = 0; k < NEURONS; k++) {
        kinds[drawn[k].kind]++;
        assert_close(drawn[k].x, drawn[0].x, 35);
        assert_close(drawn[k].y, drawn[0].y, 35);
        assert_in_range((int)drawn[k].size, 15, 40);
        double sum = 0, squares = 0;
        for (int i = 0; i < IMAGES; i++) {
            double rate = rates[k * IMAGES + i];
            assert_true(rate >= drawn[k].baseline && rate <= drawn[k].baseline + drawn[k].gain);
            sum += rate;
            squares += rate * rate;
        }
        double mean = sum / IMAGES, deviation = sqrt(squares / IMAGES - mean * mean);
        assert_true(mean > 0.6 && mean < 12);
        assert_true(deviation / mean > 0.2 && deviation / mean < 2);
    }
    for (int kind = 0; kind < VT_SIMULATE_KINDS; kind++)
        assert_true(kinds[kind] >= 2);
}

/* ---- recordings ---- */

static vt_simulate_options small(void)
{
    vt_simulate_options options = VT_SIMULATE_DEFAULTS;
    options.sessions = 2;
    options.images = 30;
    options.neurons = 8;
    options.repeats = 40;
    options.height = 56;
    options.width = 64;
    options.seed = 12;
    return options;
}

static void part(char path[4200], const char *folder, const char *name)
{
    snprintf(path, 4200, "%s/%s", folder, name);
}

static const char *const session_files[] = {
    "images/images_sim002.zip",
    "responses_repeat_averaged/responses_sim002.npy",
    "responses_raw/responses_sim002.npy",
    "truth/truth_sim002.npz",
};

/* What is written can be opened, agrees with the truth, and is the same whatever the threads. */
static void test_simulate_writes_sessions(void **state)
{
    (void)state;
    char folder[4096], folder2[4096], path[4200];
    vt_simulate_options options = small();
    vt_session *session;
    vt_session_info info;
    vt_tensor_map *truth;
    new_folder(folder);
    new_folder(folder2);
    vt_threads_set(1);
    assert_ok(vt_simulate(folder, &options, NULL));
    vt_threads_set(3);
    assert_ok(vt_simulate(folder2, &options, NULL));
    vt_threads_set(0);
    for (int i = 0; i < 4; i++) {
        void *data[2];
        size_t size[2];
        part(path, folder, session_files[i]);
        assert_ok(vt_file_read(&data[0], &size[0], path));
        part(path, folder2, session_files[i]);
        assert_ok(vt_file_read(&data[1], &size[1], path));
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(data[0], data[1], size[0]);
        free(data[0]);
        free(data[1]);
    }
    assert_ok(vt_session_open(&session, folder, "sim002"));
    vt_session_get_info(session, &info);
    assert_true(info.images == 30 && info.neurons == 8 && info.repeats == 40);
    part(path, folder, session_files[3]);
    assert_ok(vt_npz_read(&truth, path));
    assert_string_equal("orientation\ncurvature\ncolour\ndot",
                        vt_tensor_map_get_text(truth, "kinds"));

    /* The truth's rates are those of the neurons it names for the images that are stored. */
    vt_simulate_neuron neurons[8];
    vt_tensor images;
    double rates[8 * 30];
    const double *true_rates = vt_tensor_map_find(truth, "rates")->data;
    assert_ok(vt_simulate_neurons(neurons, &options, 2));
    assert_close(vt_tensor_get(vt_tensor_map_find(truth, "gain"), 5), neurons[5].gain, 0);
    assert_close(vt_tensor_get(vt_tensor_map_find(truth, "kind"), 5), neurons[5].kind, 0);
    assert_close(vt_tensor_get(vt_tensor_map_find(truth, "colour"), 3 * 5 + 2),
                 neurons[5].colour[2], 0);
    assert_ok(vt_tensor_new(&images, VT_U8, 4, (int64_t[]){30, 56, 64, 3}));
    assert_ok(vt_image_source_read_batch(vt_session_images(session), 0, 30, 56, 64, images.data));
    assert_ok(vt_simulate_rates(rates, neurons, 8, &images));
    assert_memory_equal(rates, true_rates, sizeof rates);

    /* Poisson: over repeats the variance is the mean, and averages lie about the true rates. */
    const double *raw = vt_session_raw(session)->data;
    const double *averaged = vt_session_averaged(session)->data;
    double variance = 0, mean = 0, chi = 0;
    for (int i = 0; i < 8 * 30; i++) {
        double sum = 0, squares = 0;
        for (int k = 0; k < 40; k++) {
            double spikes = raw[i * 40 + k];
            assert_true(spikes >= 0 && spikes == floor(spikes));
            sum += spikes;
            squares += spikes * spikes;
        }
        assert_close(averaged[i], sum / 40, 1e-12);
        mean += sum / 40;
        variance += (squares - sum * sum / 40) / 39;
        chi += (averaged[i] - true_rates[i]) * (averaged[i] - true_rates[i]) * 40 / true_rates[i];
    }
    assert_close(variance / mean, 1, 0.06);
    assert_close(chi / (8 * 30), 1, 0.35); /* s.d. sqrt(2 / 240) = 0.09 */
    vt_tensor_free(&images);
    vt_tensor_map_free(truth);
    vt_session_close(session);
    remove_folder(folder);
    remove_folder(folder2);
}

static bool stop_in_second(void *context, int64_t done, int64_t total, const char *line)
{
    (void)context;
    assert_int_equal(60, total);
    assert_non_null(line);
    return done <= 30;
}

static bool stop_at_once(void *context, int64_t done, int64_t total, const char *line)
{
    (void)context, (void)done, (void)total, (void)line;
    return false;
}

static void test_simulate_all_or_nothing(void **state)
{
    (void)state;
    char folder[4096], target[4096], path[4200];
    vt_simulate_options options = small();
    new_folder(folder);
    snprintf(target, sizeof target, "%.4000s/made", folder);
    options.repeats = 2;

    vt_progress stop = {.report = stop_in_second};
    assert_status(VT_EINTERRUPTED, vt_simulate(target, &options, &stop));
    assert_int_not_equal(0, access(target, F_OK)); /* session 1 had been written */

    options.sessions = 1;
    options.images = 3;
    int failures = 0;
    vt_threads_set(1);
    for (int n = 0;; n = n < 12 ? n + 1 : n + n / 8) {
        vt_alloc_fail_after(n);
        vt_status status = vt_simulate(target, &options, NULL);
        vt_alloc_fail_after(-1);
        if (status == VT_OK) break;
        assert_status(VT_ENOMEM, status);
        assert_int_not_equal(0, access(target, F_OK));
        failures++;
    }
    vt_threads_set(0);
    assert_true(failures > 30);

    /* Existing sessions are never touched; others beside them are no obstacle. */
    options.sessions = 2;
    assert_status(VT_EINVAL, vt_simulate(target, &options, NULL));
    assert_message("sim001");
    part(path, target, session_files[0]);
    assert_int_not_equal(0, access(path, F_OK));
    remove_folder(target);
    assert_int_equal(0, mkdir(target, 0777));
    part(path, target, "images");
    assert_int_equal(0, mkdir(path, 0777));
    part(path, target, "images/images_other.zip");
    assert_ok(vt_file_write(path, "", 0));
    assert_status(VT_EINTERRUPTED,
                  vt_simulate(target, &options, &(vt_progress){stop_at_once, NULL}));
    assert_int_equal(0, access(path, F_OK));

    part(path, folder, "file");
    assert_ok(vt_file_write(path, "", 0));
    assert_status(VT_EIO, vt_simulate(path, &options, NULL));
    part(path, folder, "no/such");
    assert_status(VT_EIO, vt_simulate(path, &options, NULL));
    remove_folder(folder);
}

static void test_simulate_checks_options(void **state)
{
    (void)state;
    const struct {
        size_t offset;
        int low, high;
    } fields[] = {
        {offsetof(vt_simulate_options, sessions), 0, 1000},
        {offsetof(vt_simulate_options, images), 1, 1000001},
        {offsetof(vt_simulate_options, neurons), 0, 10001},
        {offsetof(vt_simulate_options, repeats), -1, 1001},
        {offsetof(vt_simulate_options, height), 55, 1025},
        {offsetof(vt_simulate_options, width), INT32_MIN, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (int k = 0; k < 2; k++) {
            vt_simulate_options options = small();
            *(int *)((char *)&options + fields[i].offset) = k ? fields[i].high : fields[i].low;
            assert_status(VT_EINVAL, vt_simulate("/nonexistent", &options, NULL));
        }
    vt_simulate_options options = small();
    options.images = 1000000;
    assert_status(VT_EINVAL, vt_simulate("/nonexistent", &options, NULL));
    assert_message("8 GiB");
}

static int command(const char *folder, const char *arguments)
{
    char text[8192];
    snprintf(text, sizeof text, "%s simulate %s '%.4000s/out' > '%.4000s/text' 2>&1", TEST_PROGRAM,
             arguments, folder, folder);
    int status = system(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_simulate_command(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    void *text;
    size_t size;
    vt_session *session;
    new_folder(folder);
    assert_int_equal(2, command(folder, ""));
    assert_int_equal(1, command(folder, "--neurons 0 --output"));
    assert_int_equal(0, command(folder, "-s 1 -i 4 -n 3 -r 2 --seed 5 --json --output"));
    part(path, folder, "text");
    assert_ok(vt_file_read(&text, &size, path));
    assert_non_null(strstr(text, "truth/truth_sim001.npz"));
    free(text);
    part(path, folder, "out");
    assert_ok(vt_session_open(&session, path, NULL));
    assert_int_equal(3, vt_session_averaged(session)->size[0]);
    vt_session_close(session);
    assert_int_equal(1, command(folder, "-s 1 -i 4 -n 3 -r 2 --output"));
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_leaves_repeat),
        cmocka_unit_test(test_dead_leaves_any_size),
        cmocka_unit_test(test_dead_leaves_spectrum_and_range),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_surround_suppression),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_curvature),
        cmocka_unit_test(test_colour_and_place),
        cmocka_unit_test(test_rates_reject_nonsense),
        cmocka_unit_test(test_drawn_neurons),
        cmocka_unit_test(test_simulate_writes_sessions),
        cmocka_unit_test(test_simulate_all_or_nothing),
        cmocka_unit_test(test_simulate_checks_options),
        cmocka_unit_test(test_simulate_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
