/* Status messages, arena, random numbers, tensors. */
#include "test.h"

#include "base/arena.h"
#include "base/half.h"
#include "ventral/rng.h"
#include "ventral/tensor.h"

static void test_error_message(void **state)
{
    (void)state;
    assert_status(VT_EIO, vt_error(VT_EIO, "file %s", "x"));
    assert_string_equal("file x", vt_error_message());
    assert_status(VT_EIO, vt_error_context(VT_EIO, "reading"));
    assert_string_equal("reading: file x", vt_error_message());
    vt_error_state saved;
    vt_error_save(&saved, VT_EIO);
    vt_error(VT_EINVAL, "other");
    assert_status(VT_EIO, vt_error_restore(&saved));
    assert_string_equal("reading: file x", vt_error_message());
}

/* Known answers of Random123's kat_vectors for philox4x32-10. */
static void test_philox_known_answers(void **state)
{
    (void)state;
    vt_rng zero = {.used = 4}, ones = {.used = 4};
    for (int i = 0; i < 2; i++)
        ones.key[i] = 0xffffffffu;
    for (int i = 0; i < 4; i++)
        ones.counter[i] = 0xffffffffu;
    const uint32_t expected_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    const uint32_t expected_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(expected_zero[i], vt_rng_u32(&zero));
        assert_int_equal(expected_ones[i], vt_rng_u32(&ones));
    }
}

static void test_distributions(void **state)
{
    (void)state;
    vt_rng rng;
    vt_rng_init(&rng, 7, VT_RNG_INIT, 0, 0);
    enum { N = 100000 };
    double sum = 0, squares = 0, poisson = 0, poisson_squares = 0;
    for (int i = 0; i < N; i++) {
        double x = vt_rng_normal(&rng), k = (double)vt_rng_poisson(&rng, 40);
        sum += x;
        squares += x * x;
        poisson += k;
        poisson_squares += k * k;
        assert_in_range(vt_rng_below(&rng, 7), 0, 6);
    }
    assert_close(sum / N, 0, 0.02);
    assert_close(squares / N, 1, 0.02);
    assert_close(poisson / N, 40, 0.1);
    assert_close(poisson_squares / N - poisson / N * poisson / N, 40, 1);
}

static void test_half_precision(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        float half = vt_float_from_half((uint16_t)i), brain = vt_float_from_bfloat16((uint16_t)i);
        if (!isnan(half)) assert_int_equal(i, vt_half_from_float(half));
        if (!isnan(brain)) assert_int_equal(i, vt_bfloat16_from_float(brain));
    }
    assert_true(isnan(vt_float_from_half(vt_half_from_float(NAN))));
    assert_true(isnan(vt_float_from_bfloat16(vt_bfloat16_from_float(NAN))));
    assert_int_equal(0x3c00, vt_half_from_float(1.0f + 0x1p-11f)); /* ties to even */
    assert_int_equal(0x7c00, vt_half_from_float(65520));
}

static void test_tensor_convert_and_permute(void **state)
{
    (void)state;
    float values[6] = {0, 1.5f, -2, 300, NAN, 5};
    vt_tensor t, bytes, turned;
    assert_ok(vt_tensor_init(&t, VT_F32, 2, (int64_t[]){2, 3}, values));
    assert_ok(vt_tensor_convert(&bytes, &t, VT_U8));
    const unsigned char expected[6] = {0, 2, 0, 255, 0, 5};
    assert_memory_equal(expected, bytes.data, 6);
    assert_ok(vt_tensor_permute(&turned, &t, (int[]){1, 0}));
    assert_int_equal(3, turned.size[0]);
    assert_close(((float *)turned.data)[1], 300, 0);
    vt_tensor_free(&bytes);
    vt_tensor_free(&turned);
    assert_status(VT_EINVAL, vt_tensor_permute(&turned, &t, (int[]){1, 1}));
    assert_status(VT_ESHAPE, vt_tensor_init(&t, VT_F32, 2, (int64_t[]){INT64_MAX, 8}, NULL));
    assert_status(VT_ESHAPE, vt_tensor_init(&t, VT_F32, 7, (int64_t[7]){0}, NULL));
}

static void test_tensor_map(void **state)
{
    (void)state;
    vt_tensor_map *map;
    vt_tensor t;
    assert_ok(vt_tensor_map_new(&map));
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "tensor%d", i);
        assert_ok(vt_tensor_map_add(map, name, VT_F64, 1, (int64_t[]){3}, &t));
        ((double *)t.data)[2] = i;
    }
    assert_status(VT_EINVAL, vt_tensor_map_add(map, "tensor5", VT_F64, 0, NULL, NULL));
    assert_close(vt_tensor_get(vt_tensor_map_find(map, "tensor42"), 2), 42, 0);
    assert_null(vt_tensor_map_find(map, "absent"));
    assert_ok(vt_tensor_map_set_text(map, "k", "v"));
    assert_ok(vt_tensor_map_set_text(map, "k", "w"));
    assert_string_equal("w", vt_tensor_map_get_text(map, "k"));
    assert_int_equal(1, vt_tensor_map_text_count(map));
    vt_tensor_map_free(map);
}

/* Whatever allocation fails, the map stays consistent and nothing leaks (the sanitizers look). */
static void test_allocation_failures(void **state)
{
    (void)state;
    for (int n = 0; n < 60; n++) {
        vt_tensor_map *map = NULL;
        vt_alloc_fail_after(n);
        vt_status status = vt_tensor_map_new(&map);
        for (int i = 0; status == VT_OK && i < 20; i++) {
            char name[32];
            snprintf(name, sizeof name, "t%d", i);
            status = vt_tensor_map_add(map, name, VT_F32, 1, (int64_t[]){i}, NULL);
            if (status == VT_OK) status = vt_tensor_map_set_text(map, name, "x");
        }
        vt_alloc_fail_after(-1);
        if (status != VT_OK) assert_message("out of memory");
        vt_tensor_map_free(map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_message),
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_half_precision),
        cmocka_unit_test(test_tensor_convert_and_permute),
        cmocka_unit_test(test_tensor_map),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
