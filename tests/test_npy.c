/* .npy: every dtype and order, shapes, headers that are wrong, NumPy's own files. */
#include "test.h"

#include "base/arena.h"
#include "ventral/io.h"

/* A .npy file of `version` whose header is `dictionary`; returns its size. */
static size_t make_npy(char *out, int version, const char *dictionary, const void *data,
                       size_t bytes)
{
    size_t length = strlen(dictionary), start = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (char)version;
    out[7] = 0;
    for (size_t i = 8; i < start; i++)
        out[i] = (char)(length >> 8 * (i - 8));
    memcpy(out + start, dictionary, length);
    if (bytes) memcpy(out + start + length, data, bytes);
    return start + length + bytes;
}

static vt_status parse(vt_tensor *t, const char *dictionary, const void *data, size_t bytes)
{
    char *file = malloc(12 + strlen(dictionary) + bytes); /* exact, so that ASan sees overruns */
    size_t size = make_npy(file, 1, dictionary, data, bytes);
    vt_status status = vt_npy_parse(t, file, size, "memory");
    free(file);
    return status;
}

static void test_versions(void **state)
{
    (void)state;
    char file[200];
    float values[2] = {1.5f, -2};
    vt_tensor t;
    for (int version = 1; version <= 3; version++) {
        size_t size = make_npy(file, version,
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }   \n",
                               values, sizeof values);
        assert_ok(vt_npy_parse(&t, file, size, "x"));
        assert_int_equal(VT_F32, t.dtype);
        assert_int_equal(1, t.ndim);
        assert_memory_equal(values, t.data, sizeof values);
        vt_tensor_free(&t);
        for (size_t cut = 0; cut < size; cut++) {
            char *part = malloc(cut ? cut : 1);
            memcpy(part, file, cut);
            assert_status(VT_EFORMAT, vt_npy_parse(&t, part, cut, "x"));
            free(part);
        }
    }
    file[6] = 4;
    assert_status(VT_EUNSUPPORTED, vt_npy_parse(&t, file, 100, "x"));
    assert_message("version 4.0");
    file[0] = 'P';
    assert_status(VT_EFORMAT, vt_npy_parse(&t, file, 100, "x"));
    assert_message("not a .npy file");
}

static void test_dtypes_and_byte_orders(void **state)
{
    (void)state;
    static const struct {
        const char *descr;
        vt_dtype dtype;
        unsigned char bytes[8];
        double value;
    } rows[] = {
        {"|b1", VT_BOOL, {1}, 1},
        {"?", VT_BOOL, {7}, 1},
        {"|u1", VT_U8, {200}, 200},
        {"|i1", VT_I8, {200}, -56},
        {"<u2", VT_U16, {1, 2}, 513},
        {">u2", VT_U16, {2, 1}, 513},
        {"<i2", VT_I16, {0xfe, 0xff}, -2},
        {">i2", VT_I16, {0xff, 0xfe}, -2},
        {"<u4", VT_U32, {4, 3, 2, 1}, 0x01020304},
        {">u4", VT_U32, {1, 2, 3, 4}, 0x01020304},
        {"=i4", VT_I32, {0xfd, 0xff, 0xff, 0xff}, -3},
        {">i4", VT_I32, {0xff, 0xff, 0xff, 0xfd}, -3},
        {"<u8", VT_U64, {0, 0, 0, 0, 0, 1, 0, 0}, 0x1p40},
        {">u8", VT_U64, {0, 0, 1, 0, 0, 0, 0, 0}, 0x1p40},
        {"<i8", VT_I64, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1},
        {">i8", VT_I64, {0x80, 0, 0, 0, 0, 0, 0, 0}, -0x1p63},
        {"<f2", VT_F16, {0, 0xc1}, -2.5},
        {">f2", VT_F16, {0xc1, 0}, -2.5},
        {"<f4", VT_F32, {0, 0, 0x40, 0x3f}, 0.75},
        {">f4", VT_F32, {0x3f, 0x40, 0, 0}, 0.75},
        {"<f8", VT_F64, {0, 0, 0, 0, 0, 0, 0x24, 0x40}, 10},
        {">f8", VT_F64, {0x40, 0x24, 0, 0, 0, 0, 0, 0}, 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char dictionary[128];
        vt_tensor t;
        snprintf(dictionary, sizeof dictionary,
                 "{\"shape\":(),\"descr\":\"%s\",\"fortran_order\":True}", rows[i].descr);
        assert_ok(parse(&t, dictionary, rows[i].bytes, vt_dtype_size(rows[i].dtype)));
        assert_int_equal(rows[i].dtype, t.dtype);
        assert_int_equal(0, t.ndim);
        assert_close(vt_tensor_get(&t, 0), rows[i].value, 0);
        if (t.dtype == VT_BOOL) assert_int_equal(1, *(unsigned char *)t.data);
        vt_tensor_free(&t);
    }
}

static void test_orders_and_shapes(void **state)
{
    (void)state;
    int32_t values[24];
    vt_tensor t;
    for (int i = 0; i < 24; i++)
        values[i] = i;
    assert_ok(parse(&t, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3L, 4,), }", values,
                    sizeof values));
    assert_true(vt_tensor_is_contiguous(&t));
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++)
                assert_close(vt_tensor_get(&t, (i * 3 + j) * 4 + k), i + 2 * j + 6 * k, 0);
    vt_tensor_free(&t);
    assert_ok(parse(&t, "{'descr': '<i4', 'fortran_order': False, 'shape': (1,2,3,2,2,1)}", values,
                    sizeof values));
    assert_int_equal(6, t.ndim);
    assert_memory_equal(values, t.data, sizeof values);
    vt_tensor_free(&t);
    for (int fortran = 0; fortran < 2; fortran++) {
        assert_ok(parse(&t,
                        fortran ? "{'descr': '<i4', 'fortran_order': True, 'shape': (3, 0, 5)}"
                                : "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 0, 5)}",
                        NULL, 0));
        assert_int_equal(0, vt_tensor_count(&t));
        assert_int_equal(5, t.size[2]);
        vt_tensor_free(&t);
    }
}

static void test_wrong_headers(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        vt_status status;
        const char *message;
    } rows[] = {
        {"", VT_EFORMAT, "dictionary"},
        {"{", VT_EFORMAT, "key"},
        {"{}", VT_EFORMAT, "missing"},
        {"[]", VT_EFORMAT, "dictionary"},
        {"{'descr': '<f4', 'fortran_order': False}", VT_EFORMAT, "missing"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", VT_EFORMAT,
         "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", VT_EFORMAT, "unknown"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "key"},
        {"{'descr': '<f4', 'fortran_order': 1, 'shape': ()}", VT_EFORMAT, "neither"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", VT_EFORMAT, "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [1]}", VT_EFORMAT, "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", VT_EFORMAT, "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", VT_EFORMAT, "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", VT_EFORMAT, "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", VT_EFORMAT,
         "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", VT_EFORMAT,
         "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", VT_EFORMAT,
         "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,)}", VT_EFORMAT,
         "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807)}", VT_ESHAPE,
         "memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1)}",
         VT_EUNSUPPORTED, "dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", VT_EFORMAT, "follows"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': ()}", VT_EUNSUPPORTED, "objects"},
        {"{'descr': '<U3', 'fortran_order': False, 'shape': (0,)}", VT_EUNSUPPORTED, "strings"},
        {"{'descr': '|S3', 'fortran_order': False, 'shape': (0,)}", VT_EUNSUPPORTED, "strings"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", VT_EUNSUPPORTED,
         "structured"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': ()}", VT_EUNSUPPORTED, "<c8"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': ()}", VT_EUNSUPPORTED, "<f16"},
        {"{'descr': '|V8', 'fortran_order': False, 'shape': ()}", VT_EUNSUPPORTED, "|V8"},
        {"{'descr': '<M8[ns]', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '<', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '<f', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '<f99999999999999999999', 'fortran_order': False, 'shape': ()}", VT_EFORMAT,
         "dtype"},
        {"{'descr': '<f4L', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '<f 4', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '4', 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': 4, 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
        {"{'descr': '<f4, 'fortran_order': False, 'shape': ()}", VT_EFORMAT, "dtype"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vt_tensor t = {.ndim = 77};
        vt_status status = parse(&t, rows[i].dictionary, NULL, 0);
        if (status != rows[i].status || !strstr(vt_error_message(), rows[i].message))
            fail_msg("%s: status %d, message '%s'", rows[i].dictionary, status, vt_error_message());
        assert_int_equal(77, t.ndim); /* untouched */
    }
    vt_tensor t;
    assert_status(VT_EFORMAT,
                  parse(&t, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", "ab", 2));
    assert_message("1 bytes follow");
}

static void test_write_and_read(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    double values[720];
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.npy", folder);
    for (int i = 0; i < 720; i++)
        values[i] = i % 100;
    for (int dtype = 0; dtype < VT_DTYPE_COUNT; dtype++)
        for (int ndim = 0; ndim <= VT_MAX_DIMS; ndim++) {
            const int64_t size[VT_MAX_DIMS] = {1, 2, 3, 4, 5, 6};
            vt_tensor t, cast, turned, back;
            assert_ok(vt_tensor_init(&t, VT_F64, ndim, size, values));
            assert_ok(vt_tensor_convert(&cast, &t, (vt_dtype)dtype));
            turned = cast; /* a view with its dimensions reversed: not contiguous */
            for (int i = 0; i < ndim; i++) {
                turned.size[i] = cast.size[ndim - 1 - i];
                turned.stride[i] = cast.stride[ndim - 1 - i];
            }
            if (dtype == VT_BF16) {
                assert_status(VT_EUNSUPPORTED, vt_npy_write(&turned, path));
                assert_message("bfloat16");
                vt_tensor_free(&cast);
                continue;
            }
            assert_ok(vt_npy_write(&turned, path));
            assert_ok(vt_npy_read(&back, path));
            assert_int_equal(dtype, back.dtype);
            assert_int_equal(ndim, back.ndim);
            for (int64_t i = 0; i < vt_tensor_count(&back); i++)
                assert_close(vt_tensor_get(&back, i), vt_tensor_get(&turned, i), 0);
            vt_tensor_free(&cast);
            vt_tensor_free(&back);
        }
    remove_folder(folder);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    float values[6] = {0};
    vt_tensor t, back;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.npy", folder);
    assert_ok(vt_tensor_init(&t, VT_F32, 2, (int64_t[]){2, 3}, values));
    t.stride[0] = 4;
    t.stride[1] = 8; /* needs a copy */
    assert_ok(vt_npy_write(&t, path));
    for (int n = 0, done = 0; !done; n++) {
        assert_true(n < 20);
        vt_alloc_fail_after(n);
        vt_status written = vt_npy_write(&t, path);
        vt_alloc_fail_after(n);
        vt_status read = vt_npy_read(&back, path);
        vt_alloc_fail_after(-1);
        if (read == VT_OK) vt_tensor_free(&back);
        assert_true(written == VT_OK || written == VT_ENOMEM);
        assert_true(read == VT_OK || read == VT_ENOMEM);
        done = written == VT_OK && read == VT_OK;
    }
    remove_folder(folder);
}

/* Values NumPy itself reports for these files. */
static void test_published_arrays(void **state)
{
    (void)state;
    need_shared(filters, "V4_compact_models/data_compact_models/nums_filters/"
                         "compact_model_190923_neuron0.npy");
    need_shared(responses, "V4_compact_models/data_V4_responses/responses_repeat_averaged/"
                           "responses_190923.npy");
    need_shared(pickled, "V4_compact_models/data_compact_models/model_weights_npy/"
                         "compact_model_190923_neuron0.npy");
    vt_tensor t;
    assert_ok(vt_npy_read(&t, filters));
    assert_int_equal(VT_I64, t.dtype);
    assert_int_equal(5, vt_tensor_count(&t));
    assert_close(vt_tensor_get(&t, 1), 60, 0);
    vt_tensor_free(&t);
    assert_ok(vt_npy_read(&t, responses));
    assert_int_equal(VT_F64, t.dtype);
    assert_int_equal(2, t.ndim);
    assert_int_equal(33, t.size[0]);
    assert_int_equal(1200, t.size[1]);
    assert_close(vt_tensor_get(&t, 0), 5.578947368421052, 0);
    assert_close(vt_tensor_get(&t, 3 * 1200 + 17), 2.8, 0);
    vt_tensor_free(&t);
    assert_status(VT_EUNSUPPORTED, vt_npy_read(&t, pickled));
    assert_message("objects");
    assert_message("compact_model_190923_neuron0.npy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),          cmocka_unit_test(test_dtypes_and_byte_orders),
        cmocka_unit_test(test_orders_and_shapes), cmocka_unit_test(test_wrong_headers),
        cmocka_unit_test(test_write_and_read),    cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_published_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
