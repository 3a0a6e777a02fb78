/* Units whose tuning is known on paper: complex cells made of Gabor filters with a Gaussian
 * envelope of s.d. s around a frequency f0, some with a larger one of the same kind that
 * suppresses. For a grating of frequency vector k the amplitude of such a filter is A(k) = exp(-2
 * pi^2 s^2 |k - k0|^2), and for a disc of radius R of the preferred one A(R) = 1 - exp(-R^2 / (2
 * s^2)). Orientation, frequency, both bandwidths, size and suppression that are measured must be
 * those, within the sampling step. */
#include "test.h"

#include "ventral/recording.h"
#include "ventral/tuning.h"

enum { SIDE = 96, KERNEL = 61, STRIDE = 26, CELLS = 4, PHASES = 8, FILTERS = 2 * CELLS * PHASES };
#define DEGREES 6.0
#define PIXEL (DEGREES / SIDE)
#define SURROUND 2.5 /* s.d. of the suppressing envelope, relative */
#define SPONTANEOUS 0.82

/* Numbers of orientation and frequency of the orientation set, s.d. of the envelope in cycles of f0
 * (orientation tuning of s.d. 20 and 13 degrees) and weight of the surround. */
static const struct {
    int orientation, frequency;
    double cycles, suppression;
} cells[CELLS] = {{2, 1, 0.456, 0}, {9, 2, 0.7, 0}, {6, 1, 0.456, 0.5}, {10, 2, 0.456, 0.8}};

static const vt_preprocessing preprocessing = {{128, 128, 128}, {100, 100, 100}};

static double frequency_of(int cell)
{
    return pow(2, -1.375 + 0.25 * 4 * (cells[cell].frequency + 1));
}

static double orientation_of(int cell)
{
    return 15.0 * cells[cell].orientation;
}

static double deviation_of(int cell)
{
    return cells[cell].cycles / frequency_of(cell);
}

/* ---- the network ---- */

/* One filter, normalized by its envelope, without response to grey. Phases are quarters of a cycle
 * and the same an eighth of a quarter later: with gratings in eight phases the rectified answers
 * then sum to nearly the same whatever the place. */
static void set_kernel(float *kernel, int cell, bool surround, int number)
{
    double s = deviation_of(cell) * (surround ? SURROUND : 1), envelope = 0, sum = 0;
    double angle = orientation_of(cell) * M_PI / 180;
    double phase = M_PI / 2 * (number % 4) + (number < 4 ? 0 : M_PI / 8);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < KERNEL * KERNEL; i++) {
            double y = (i / KERNEL - KERNEL / 2) * PIXEL, x = (i % KERNEL - KERNEL / 2) * PIXEL;
            double e = exp(-(x * x + y * y) / (2 * s * s));
            double along = x * cos(angle) + y * sin(angle);
            double carrier = cos(2 * M_PI * frequency_of(cell) * along + phase);
            if (pass == 0) {
                envelope += e;
                sum += e * carrier;
            } else {
                for (int c = 0; c < 3; c++)
                    kernel[3 * i + c] = (float)(e * (carrier - sum / envelope) / envelope);
            }
        }
}

static void record(vt_recording *out)
{
    vt_graph *g;
    assert_ok(vt_graph_new(&g, VT_F32, VT_NAMES_TORCH));
    vt_node image = vt_input(g, "image", 3, (int64_t[]){SIDE, SIDE, 3});
    vt_node x = vt_conv2d(g, image,
                          &(vt_conv2d_options){.name = "gabor",
                                               .filters = FILTERS,
                                               .kernel = {KERNEL, KERNEL},
                                               .stride = {STRIDE, STRIDE},
                                               .no_bias = true});
    x = vt_relu(g, x, "simple");
    x = vt_conv2d(
        g, x,
        &(vt_conv2d_options){.name = "sum", .filters = CELLS, .kernel = {1, 1}, .no_bias = true});
    vt_node complex = vt_relu(g, x, "complex");
    assert_ok(vt_graph_finish(g, 1));
    float *kernel = vt_graph_find_param(g, "gabor.weight")->value.data;
    float *sum = vt_graph_find_param(g, "sum.weight")->value.data;
    for (int f = 0; f < FILTERS; f++) {
        int cell = f / (2 * PHASES);
        bool surround = f / PHASES % 2;
        set_kernel(kernel + f * KERNEL * KERNEL * 3, cell, surround, f % PHASES);
        for (int c = 0; c < CELLS; c++)
            sum[c * FILTERS + f] = c != cell ? 0 : surround ? (float)-cells[cell].suppression : 1;
    }
    vt_graph_touch(g);
    vt_subject subject = {g, image, &preprocessing, "gabor units"};
    vt_recording_options options = {.degrees = DEGREES};
    assert_ok(vt_record_graph(out, &subject, &complex, 1, &options));
    vt_graph_free(g);
}

static int set_up(void **state)
{
    static vt_recording recording;
    static vt_tuning tuning;
    record(&recording);
    assert_int_equal(recording.kept, CELLS); /* the column at (0.53, 0.53) degrees */
    assert_ok(vt_tuning_measure(&tuning, recording.map));
    vt_recording_free(&recording);
    for (int s = 0; s < VT_STUDIES; s++)
        if (tuning.study[s].measured) assert_int_equal(tuning.study[s].neurons, CELLS);
    *state = &tuning;
    return 0;
}

static int tear_down(void **state)
{
    vt_tuning_free(*state);
    return 0;
}

/* ---- what theory says ---- */

/* Drive of a cell without surround by a large grating of this frequency and orientation. */
static double drive(int cell, double frequency, double orientation)
{
    double f0 = frequency_of(cell), turn = (orientation - orientation_of(cell)) * M_PI / 180;
    double squared = frequency * frequency + f0 * f0 - 2 * frequency * f0 * fabs(cos(turn));
    double s = deviation_of(cell);
    return exp(-2 * M_PI * M_PI * s * s * squared);
}

static double drive_of_disc(int cell, double radius)
{
    double s = deviation_of(cell), wide = SURROUND * s;
    return 1 - exp(-radius * radius / (2 * s * s)) -
           cells[cell].suppression * (1 - exp(-radius * radius / (2 * wide * wide)));
}

static double value_of(const vt_tuning *t, const char *key, int cell)
{
    double *values;
    int64_t count;
    assert_ok(vt_tuning_values(&values, &count, t, vt_property_find(key)));
    double value = values[cell];
    free(values);
    return value;
}

/* How far from the peak, degrees or octaves, theory's curve falls to 0.707 of it. */
static double half_width(int cell, bool of_orientation, double step)
{
    double f0 = frequency_of(cell), o0 = orientation_of(cell), at = 0;
    while (drive(cell, of_orientation ? f0 : f0 * exp2(at), of_orientation ? o0 + at : o0) > 0.707)
        at += step;
    return at;
}

/* ---- what is measured ---- */

static void test_orientation(void **state)
{
    const vt_tuning *t = *state;
    const vt_study_tuning *o = &t->study[VT_STUDY_RINGACH2002];
    for (int c = 0; c < CELLS; c++) {
        assert_close(o->preferred[3 * c + 1], frequency_of(c), 1e-9);
        assert_close(o->preferred[3 * c + 2], orientation_of(c), 1e-9);
        double preferred = value_of(t, "preferred_orientation", c), expected = orientation_of(c);
        assert_close(preferred, expected >= 157.5 ? expected - 180 : expected, 2);
        assert_true(value_of(t, "modulation_ratio", c) < 0.1);
        if (cells[c].suppression > 0) continue; /* less so in the small discs it prefers */
        assert_close(value_of(t, "bandwidth", c), half_width(c, true, 0.01), 5);
        /* theory's curve as it was sampled, with the spontaneous rate */
        double largest = value_of(t, "max_dc", c) - SPONTANEOUS, x = 0, y = 0, sum = 0;
        for (int i = 0; i < 12; i++) {
            double rate = SPONTANEOUS + largest * drive(c, frequency_of(c), 15 * i);
            x += rate * cos(30 * i * M_PI / 180);
            y += rate * sin(30 * i * M_PI / 180);
            sum += rate;
        }
        assert_close(value_of(t, "circular_variance", c), 1 - hypot(x, y) / sum, 0.02);
        assert_close(value_of(t, "orthogonal_preferred_ratio", c),
                     SPONTANEOUS / (largest + SPONTANEOUS), 0.02);
    }
}

static void test_frequency(void **state)
{
    const vt_tuning *t = *state;
    for (int c = 0; c < CELLS; c++) {
        if (cells[c].suppression > 0) continue; /* its surround is most selective for f0 */
        double peak = log2(value_of(t, "peak_spatial_frequency", c) / frequency_of(c));
        assert_close(peak, 0, 0.25);
        double above = half_width(c, false, 0.001), below = half_width(c, false, -0.001);
        double octaves = -log2(value_of(t, "spatial_frequency_bandwidth", c) / 100);
        assert_close(octaves, above - below, 0.25);
        assert_true(value_of(t, "spatial_frequency_selective", c) == 1);
    }
}

static void test_size(void **state)
{
    const vt_tuning *t = *state;
    const double step = sqrt(2); /* between radii */
    for (int c = 0; c < CELLS; c++) {
        double peak = 0, best = 0, plateau = 1 - cells[c].suppression;
        for (double r = 0.05; r < 5; r += 0.001)
            if (drive_of_disc(c, r) > peak) peak = drive_of_disc(c, best = r);
        assert_close(value_of(t, "surround_suppression_index", c), (peak - plateau) / peak, 0.05);
        if (cells[c].suppression == 0) {
            assert_true(isnan(value_of(t, "surround_diameter", c)));
            continue;
        }
        double summation = 0.05, surround = best;
        while (drive_of_disc(c, summation) < 0.95 * peak)
            summation += 0.001;
        while (drive_of_disc(c, surround) > 1.05 * plateau)
            surround += 0.001;
        double measured = value_of(t, "grating_summation_field", c) / (2 * summation);
        assert_true(measured > 1 / step && measured < step);
        measured = value_of(t, "surround_diameter", c) / (2 * surround);
        assert_true(measured > 1 / step && measured < step);
        assert_true(value_of(t, "strongly_suppressed", c) == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_frequency),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
