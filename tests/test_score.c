/* Scores: correlation, noise-corrected R^2, reliability, signal-to-noise ratio, medians. */
#include "test.h"

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/rng.h"
#include "ventral/score.h"

static void test_pearson(void **state)
{
    (void)state;
    const double x[] = {1, 2, 4, 7, 3}, y[] = {2, 1, 5, 6, 6}, flat[] = {.1, .1, .1, .1, .1};
    double scaled[5], hole[] = {1, NAN, 4, 7, 3};
    for (int i = 0; i < 5; i++)
        scaled[i] = 1e9 - 3e-3 * x[i];
    assert_close(vt_pearson(x, y, 5), 0.7408677865766361, 1e-15);
    assert_close(vt_pearson(y, x, 5), 0.7408677865766361, 1e-15);
    assert_close(vt_pearson(x, scaled, 5), -1, 1e-9);
    assert_true(vt_pearson(x, x, 5) <= 1);
    assert_true(isnan(vt_pearson(x, flat, 5)));
    assert_true(isnan(vt_pearson(flat, x, 5)));
    assert_true(isnan(vt_pearson(x, hole, 5)));
    assert_true(isnan(vt_pearson(x, y, 1)));
    assert_true(isnan(vt_pearson(x, y, 0)));
}

/* An image without repeats, one with a single repeat, unequal counts: reference from NumPy. */
static const double small[6][4] = {{1, 3, 2, NAN}, {5, NAN, NAN, NAN}, {NAN, NAN, NAN, NAN},
                                   {4, 8, 6, 7},   {2, 2, 5, 1},       {9, 7, NAN, 8}};
static const double small_prediction[6] = {1, 4, NAN, 6, 3, 9};

static void test_missing_repeats(void **state)
{
    (void)state;
    double score;
    assert_ok(vt_r2_er(&score, small_prediction, &small[0][0], 6, 4));
    assert_close(score, 1.0118615999686433, 1e-14);
    assert_ok(vt_snr(&score, &small[0][0], 6, 4));
    assert_close(score, 2.310175438596491, 1e-14);
    assert_ok(vt_split_half(&score, &small[0][0], 6, 4, 50, 1));
    assert_true(score > 0.5 && score < 1);
}

static void test_undefined_scores_are_nan(void **state)
{
    (void)state;
    double score = 0;
    const double prediction[] = {1, 2, 4}, same[] = {0.1, 0.1, 0.1};
    const double single[] = {1, 5, 2}, repeats[] = {1, 2, 5, 7, 2, 2}, none[] = {NAN, NAN, NAN};
    assert_ok(vt_r2_er(&score, prediction, single, 3, 1));
    assert_true(isnan(score));
    assert_ok(vt_r2_er(&score, same, repeats, 3, 2));
    assert_true(isnan(score));
    assert_ok(vt_r2_er(&score, prediction, none, 3, 1));
    assert_true(isnan(score));
    assert_ok(vt_r2_er(&score, prediction, repeats, 1, 2));
    assert_true(isnan(score));
    assert_ok(vt_snr(&score, single, 3, 1));
    assert_true(isnan(score));
    assert_ok(vt_snr(&score, repeats, 1, 2));
    assert_true(isnan(score));
    assert_ok(vt_split_half(&score, single, 3, 1, 10, 0));
    assert_true(isnan(score));
}

static void test_hostile_input(void **state)
{
    (void)state;
    double score = 42;
    const double prediction[] = {1, INFINITY, 4}, fine[] = {1, 2, 4};
    const double responses[] = {1, 2, 3, 5, 2, 2}, infinite[] = {1, 2, 3, INFINITY, 2, 2};
    assert_status(VT_ENUMERIC, vt_r2_er(&score, prediction, responses, 3, 2));
    assert_message("image 1");
    assert_status(VT_ENUMERIC, vt_r2_er(&score, fine, infinite, 3, 2));
    assert_message("image 1, repeat 1");
    assert_status(VT_ENUMERIC, vt_snr(&score, infinite, 3, 2));
    assert_status(VT_ENUMERIC, vt_split_half(&score, infinite, 3, 2, 5, 0));
    assert_status(VT_EINVAL, vt_r2_er(&score, fine, responses, 0, 2));
    assert_status(VT_EINVAL, vt_r2_er(&score, fine, responses, 3, -1));
    assert_status(VT_EINVAL, vt_snr(&score, responses, INT64_MAX, INT64_MAX));
    assert_status(VT_EINVAL, vt_split_half(&score, responses, 3, 2, 0, 0));
    assert_close(score, 42, 0);
    for (int i = 0; i < 3; i++) {
        vt_alloc_fail_after(i);
        assert_status(VT_ENOMEM, vt_r2_er(&score, fine, responses, 3, 2));
        vt_alloc_fail_after(i);
        assert_status(VT_ENOMEM, vt_split_half(&score, responses, 3, 2, 5, 0));
    }
    vt_alloc_fail_after(-1);
}

/* Neurons of known tuning and Gaussian noise: the scores are unbiased, r^2 is not. */
static void test_noise_is_corrected(void **state)
{
    (void)state;
    enum { IMAGES = 200, REPEATS = 5, NEURONS = 200 };
    static double tuning[IMAGES], prediction[IMAGES], responses[IMAGES * REPEATS];
    double r2_er = 0, r2 = 0, snr = 0, reliability = 0;
    const double trial_sd = 2;
    for (int neuron = 0; neuron < NEURONS; neuron++) {
        vt_rng rng;
        vt_rng_init(&rng, 3, VT_RNG_NEURON, 0, (uint32_t)neuron);
        double mean[IMAGES], tuning_mean = 0, tuning_variance = 0;
        for (int i = 0; i < IMAGES; i++) {
            double shared = vt_rng_normal(&rng);
            tuning[i] = shared;
            prediction[i] = 0.8 * shared + 0.6 * vt_rng_normal(&rng);
            mean[i] = 0;
            for (int r = 0; r < REPEATS; r++) {
                responses[i * REPEATS + r] = 7 + tuning[i] + trial_sd * vt_rng_normal(&rng);
                mean[i] += responses[i * REPEATS + r] / REPEATS;
            }
            tuning_mean += tuning[i] / IMAGES;
        }
        for (int i = 0; i < IMAGES; i++)
            tuning_variance += (tuning[i] - tuning_mean) * (tuning[i] - tuning_mean) / IMAGES;
        double score;
        assert_ok(vt_r2_er(&score, prediction, responses, IMAGES, REPEATS));
        r2_er += (score - pow(vt_pearson(prediction, tuning, IMAGES), 2)) / NEURONS;
        r2 += pow(vt_pearson(prediction, mean, IMAGES), 2) / NEURONS;
        assert_ok(vt_snr(&score, responses, IMAGES, REPEATS));
        snr += (score - tuning_variance / (trial_sd * trial_sd)) / NEURONS;
        assert_ok(vt_split_half(&score, responses, IMAGES, REPEATS, 20, 1));
        reliability += score / NEURONS;
    }
    assert_close(r2_er, 0, 0.01);
    assert_close(r2, 0.64 / (1 + 4.0 / REPEATS), 0.02); /* attenuated by the noise left */
    assert_close(snr, 0, 0.01);
    assert_close(reliability, 1 / (1 + 4.0 / REPEATS), 0.03);
}

static void test_split_half_is_reproducible(void **state)
{
    (void)state;
    double a, b, c;
    assert_ok(vt_split_half(&a, &small[0][0], 6, 4, 10, 5));
    assert_ok(vt_split_half(&b, &small[0][0], 6, 4, 10, 5));
    assert_ok(vt_split_half(&c, &small[0][0], 6, 4, 10, 6));
    assert_true(a == b);
    assert_true(a != c);
    /* Two noiseless repeats: perfectly reliable. */
    const double exact[] = {1, 1, 3, 3, 2, 2};
    assert_ok(vt_split_half(&a, exact, 3, 2, 10, 5));
    assert_close(a, 1, 1e-12);
}

static void test_median(void **state)
{
    (void)state;
    const double odd[] = {3, -1, 2}, even[] = {4, 1, NAN, -2, 3}, ties[] = {2, 2, 1, 2};
    const double wide[] = {-INFINITY, INFINITY, 5}, zeros[] = {-0.0, 0.0, -0.0, 0.0};
    const double huge[] = {1.7e308, 1.6e308};
    assert_close(vt_median(odd, 3), 2, 0);
    assert_close(vt_median(even, 5), 2, 0);
    assert_close(vt_median(ties, 4), 2, 0);
    assert_close(vt_median(wide, 3), 5, 0);
    assert_close(vt_median(zeros, 4), 0, 0);
    assert_close(vt_median(huge, 2), 1.65e308, 1e294);
    assert_close(vt_median(even + 3, 1), -2, 0);
    assert_true(isinf(vt_median(wide + 1, 1)));
    assert_true(isnan(vt_median(even + 2, 1)));
    assert_true(isnan(vt_median(NULL, 0)));
}

static void test_median_interval(void **state)
{
    (void)state;
    enum { N = 101, TRIALS = 300 };
    double values[N + 1];
    vt_interval interval, again;
    int covered = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        vt_rng rng;
        vt_rng_init(&rng, 11, VT_RNG_NEURON, 0, (uint32_t)trial);
        for (int i = 0; i < N; i++)
            values[i] = vt_rng_normal(&rng);
        values[N] = NAN;
        assert_ok(vt_median_interval(&interval, values, N + 1, 0.9, 300, (uint64_t)trial));
        assert_close(interval.median, vt_median(values, N + 1), 0);
        assert_true(interval.low <= interval.median && interval.median <= interval.high);
        covered += interval.low <= 0 && 0 <= interval.high;
    }
    assert_in_range(covered, (int)(0.85 * TRIALS), (int)(0.95 * TRIALS));
    assert_ok(vt_median_interval(&again, values, N + 1, 0.9, 300, TRIALS - 1));
    assert_memory_equal(&again, &interval, sizeof again);

    const double one[] = {4};
    assert_ok(vt_median_interval(&interval, one, 1, 0.9, 10, 0));
    assert_true(interval.low == 4 && interval.median == 4 && interval.high == 4);
    assert_ok(vt_median_interval(&interval, values + N, 1, 0.9, 10, 0));
    assert_true(isnan(interval.low) && isnan(interval.median) && isnan(interval.high));
    assert_ok(vt_median_interval(&interval, NULL, 0, 0.9, 10, 0));
    assert_true(isnan(interval.median));
    assert_status(VT_EINVAL, vt_median_interval(&interval, one, 1, 1, 10, 0));
    assert_status(VT_EINVAL, vt_median_interval(&interval, one, 1, NAN, 10, 0));
    assert_status(VT_EINVAL, vt_median_interval(&interval, one, 1, 0.9, 0, 0));
    assert_status(VT_EINVAL, vt_median_interval(&interval, one, -1, 0.9, 10, 0));
}

/* The authors' scores of both sessions whose repeats are published. */
static void check_session(const char *references, const char *responses, const char *session)
{
    vt_tensor_map *map;
    vt_tensor raw, prediction;
    char name[64];
    assert_ok(vt_npz_read(&map, references));
    assert_ok(vt_npy_read(&raw, responses));
    snprintf(name, sizeof name, "r2_er.%s.prediction", session);
    assert_ok(vt_tensor_convert(&prediction, vt_tensor_map_find(map, name), VT_F64));
    snprintf(name, sizeof name, "r2_er.%s.score", session);
    const vt_tensor *scores = vt_tensor_map_find(map, name);
    assert_int_equal(raw.dtype, VT_F64);
    assert_int_equal(raw.ndim, 3);
    int64_t images = raw.size[1], repeats = raw.size[2];
    for (int64_t i = 0; i < raw.size[0]; i++) {
        double score, expected = vt_tensor_get(scores, i), snr;
        const double *neuron = (const double *)raw.data + i * images * repeats;
        assert_ok(vt_r2_er(&score, (const double *)prediction.data + i * images, neuron, images,
                           repeats));
        assert_close(score, expected, 1e-9 * fabs(expected));
        assert_ok(vt_snr(&snr, neuron, images, repeats));
        assert_true(isfinite(snr));
    }
    vt_tensor_free(&raw);
    vt_tensor_free(&prediction);
    vt_tensor_map_free(map);
}

static void test_published_sessions(void **state)
{
    (void)state;
    need_shared(references, "golden/statistics/statistics.npz");
    need_shared(first, "V4_compact_models/data_V4_responses/responses_raw/responses_201016.npy");
    need_shared(second, "V4_compact_models/data_V4_responses/responses_raw/responses_210325.npy");
    check_session(references, first, "201016");
    check_session(references, second, "210325");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pearson),
        cmocka_unit_test(test_missing_repeats),
        cmocka_unit_test(test_undefined_scores_are_nan),
        cmocka_unit_test(test_hostile_input),
        cmocka_unit_test(test_noise_is_corrected),
        cmocka_unit_test(test_split_half_is_reproducible),
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_median_interval),
        cmocka_unit_test(test_published_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
