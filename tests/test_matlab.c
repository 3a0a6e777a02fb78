/* MATLAB files: arrays and structures of version 5 in both byte orders, compressed or not, and what
 * is refused. The files are those of fuzz/corpus/matlab, made by fuzz/make_corpus.py. */
#include "test.h"

#include <zlib.h>

#include "base/arena.h"
#include "ventral/io.h"
#include "ventral/weights.h"

static const char *corpus(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/fuzz/corpus/matlab/%s", TEST_SOURCE_DIR, name);
    return path;
}

static void check_array(const vt_tensor_map *map, const char *name, vt_dtype dtype, int64_t rows,
                        int64_t columns, const double *values)
{
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t) fail_msg("there is no %s", name);
    assert_int_equal(dtype, t->dtype);
    assert_int_equal(2, t->ndim);
    assert_int_equal(rows, t->size[0]);
    assert_int_equal(columns, t->size[1]);
    for (int64_t i = 0; i < rows * columns; i++)
        assert_close(vt_tensor_get(t, i), values[i], 0);
}

static const double grid[] = {0, 1, 2, 3, 4, 5}, shorts[] = {-1, 2, 300};

static void test_kinds(void **state)
{
    (void)state;
    vt_tensor_map *map;
    assert_ok(vt_matlab_read(&map, corpus("kinds")));
    check_array(map, "grid", VT_F64, 2, 3, grid);
    check_array(map, "bytes", VT_F64, 1, 3, (const double[]){7, 0, 255});
    check_array(map, "shorts", VT_I16, 3, 1, shorts);
    check_array(map, "db/bw", VT_F64, 1, 2, (const double[]){30, 91});
    check_array(map, "db/po", VT_F64, 1, 2, (const double[]){0.5, 1});
    check_array(map, "db/inner/deep", VT_F64, 1, 1, (const double[]){8});
    check_array(map, "empty", VT_F64, 0, 0, NULL);
    assert_int_equal(7, vt_tensor_map_count(map)); /* no text, cells or complex numbers */
    assert_string_equal("text\ncells\ncomplex", vt_tensor_map_get_text(map, "skipped"));
    vt_tensor_map_free(map);
}

static void test_compressed_and_big_endian(void **state)
{
    (void)state;
    vt_tensor_map *map;
    assert_ok(vt_matlab_read(&map, corpus("compressed")));
    check_array(map, "db/bw", VT_F64, 1, 2, (const double[]){30, 91});
    check_array(map, "grid", VT_F64, 2, 3, grid);
    vt_tensor_map_free(map);
    assert_ok(vt_matlab_read(&map, corpus("big_endian")));
    check_array(map, "grid", VT_F64, 2, 3, grid);
    check_array(map, "shorts", VT_I16, 3, 1, shorts);
    vt_tensor_map_free(map);
}

static void refused(const char *name, const char *says)
{
    vt_tensor_map *map;
    assert_status(VT_EFORMAT, vt_matlab_read(&map, corpus(name)));
    assert_message(name);
    assert_message(says);
}

static void test_bad_files(void **state)
{
    (void)state;
    vt_tensor_map *map;
    refused("cut", "longer than what is left");
    refused("cut_tag", "ends within a tag");
    refused("cut_compressed", "compressed data");
    refused("bomb", "no array");
    refused("long_element", "longer than what is left");
    refused("twice", "grid");
    refused("version4", "too short");
    refused("empty", "too short");
    refused("deep", "version 5");
    assert_status(VT_ENOTFOUND, vt_matlab_read(&map, corpus("nowhere")));
}

/* Spikes, of which there are few, compress to a thousandth: 12 million numbers in 100 kB. */
static void test_sparse(void **state)
{
    (void)state;
    enum { COUNT = 12 << 20, BYTES = 56 + COUNT * 8 };
    static const uint32_t head[] = {14,          BYTES - 8,      6, 8,        6, 0, 5, 8, 1, COUNT,
                                    1 | 2 << 16, 'v' | '1' << 8, 9, COUNT * 8};
    uint8_t *array = calloc(1, BYTES);
    uLongf size = compressBound(BYTES);
    uint8_t *file = calloc(1, 136 + size);
    memcpy(array, head, sizeof head);
    memcpy(array + sizeof head + 8 * 1000000, &(double){1}, 8);
    assert_int_equal(Z_OK, compress(file + 136, &size, array, BYTES));
    memcpy(file + 126, "IM", 2);
    memcpy(file + 128, (const uint32_t[]){15, (uint32_t)size}, 8);
    assert_in_range(size, 1000, 200000);
    vt_tensor_map *map;
    assert_ok(vt_matlab_parse(&map, file, 136 + size, "sparse"));
    const vt_tensor *v1 = vt_tensor_map_find(map, "v1");
    assert_non_null(v1);
    assert_int_equal(COUNT, vt_tensor_count(v1));
    assert_close(vt_tensor_get(v1, 1000000), 1, 0);
    vt_tensor_map_free(map);
    free(file);
    free(array);
}

static void test_short_memory(void **state)
{
    (void)state;
    void *data;
    size_t size;
    vt_tensor_map *map;
    int failures = 0;
    assert_ok(vt_file_read(&data, &size, corpus("compressed")));
    for (int64_t i = 0; i < 1000; i++) {
        vt_alloc_fail_after(i);
        vt_status status = vt_matlab_parse(&map, data, size, "compressed");
        vt_alloc_fail_after(-1);
        if (status == VT_OK) {
            vt_tensor_map_free(map);
            break;
        }
        assert_int_equal(VT_ENOMEM, status);
        failures++;
    }
    assert_in_range(failures, 10, 200);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),        cmocka_unit_test(test_compressed_and_big_endian),
        cmocka_unit_test(test_bad_files),    cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
