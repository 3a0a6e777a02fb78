/* .npz: tensors and texts there and back, strings of NumPy, refusals, the reference files. */
#include "test.h"

#include <ftw.h>

#include "base/arena.h"
#include "ventral/io.h"

/* One member of an archive: a header and its data. */
static vt_status add_member(vt_zip_writer *w, const char *name, const char *dictionary,
                            const void *data, size_t bytes)
{
    size_t length = strlen(dictionary);
    char *file = calloc(10 + length + bytes, 1);
    memcpy(file, "\x93NUMPY\x01", 7);
    file[8] = (char)length;
    file[9] = (char)(length >> 8);
    memcpy(file + 10, dictionary, length);
    if (bytes) memcpy(file + 10 + length, data, bytes);
    vt_status status = vt_zip_writer_add(w, name, file, 10 + length + bytes, true);
    free(file);
    return status;
}

/* Parses an archive of one member, by way of a file. */
static vt_status parse_member(vt_tensor_map **out, const char *name, const char *dictionary,
                              const void *data, size_t bytes)
{
    char folder[4096], path[4200];
    vt_zip_writer *w;
    void *archive;
    size_t size;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.npz", folder);
    assert_ok(vt_zip_writer_new(&w, path));
    assert_ok(add_member(w, name, dictionary, data, bytes));
    assert_ok(vt_zip_writer_finish(w));
    assert_ok(vt_file_read(&archive, &size, path));
    remove_folder(folder);
    vt_status status = vt_npz_parse(out, archive, size, "memory.npz");
    free(archive);
    return status;
}

static void expect_text(const char *expected, const char *descr, const char *shape,
                        const void *data, size_t bytes)
{
    char dictionary[256];
    vt_tensor_map *map;
    snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': %s}",
             descr, shape);
    assert_ok(parse_member(&map, "t.npy", dictionary, data, bytes));
    assert_int_equal(0, vt_tensor_map_count(map));
    assert_non_null(vt_tensor_map_get_text(map, "t"));
    assert_string_equal(expected, vt_tensor_map_get_text(map, "t"));
    vt_tensor_map_free(map);
}

static void test_strings(void **state)
{
    (void)state;
    expect_text("ab\nc", "|S2", "(2,)", "abc\0", 4);
    expect_text("", "|S2", "(0,)", NULL, 0);
    expect_text("", "|S0", "()", NULL, 0);
    expect_text("one\ntwo", "|S8", "()", "one\ntwo", 8); /* one string may have lines */
    expect_text("a\nb", "<U2", "(2,)", "a\0\0\0\0\0\0\0b\0\0\0\0\0\0\0", 16);
    /* U+00E9, U+20AC, U+1D11E, U+10FFFF in 2, 3, 4 and 4 bytes */
    expect_text("\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\xf4\x8f\xbf\xbf", "<U4", "(1,)",
                "\xe9\0\0\0\xac\x20\0\0\x1e\xd1\x01\0\xff\xff\x10\0", 16);
    expect_text("\xc3\xa9", ">U1", "()", "\0\0\0\xe9", 4);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *descr, *shape, *data;
        size_t bytes;
        vt_status status;
        const char *message;
    } rows[] = {
        {"t.npy", "<U1", "(1, 1)", "a\0\0\0", 4, VT_EUNSUPPORTED, "dimension"},
        {"t.npy", "<U0", "(1000000000000,)", "", 0, VT_EUNSUPPORTED, "characters"},
        {"t.npy", "<U1", "()", "\0\xd8\0\0", 4, VT_EFORMAT, "not valid text"},
        {"t.npy", "<U1", "()", "\0\0\x11\0", 4, VT_EFORMAT, "not valid text"},
        {"t.npy", "<U2", "()", "\0\0\0\0a\0\0\0", 8, VT_EFORMAT, "not valid text"},
        {"t.npy", "|S2", "()", "\0a", 2, VT_EFORMAT, "not valid text"},
        {"t.npy", "|S2", "(2,)", "a\nbc", 4, VT_EUNSUPPORTED, "line break"},
        {"t.npy", "|O", "()", "", 0, VT_EUNSUPPORTED, "member t"},
        {"t.npy", "<c8", "(0,)", "", 0, VT_EUNSUPPORTED, "member t"},
        {"t.npy", "<f4", "(1,)", "", 0, VT_EFORMAT, "member t: truncated"},
        {"t.txt", "<f4", "(0,)", "", 0, VT_EUNSUPPORTED, "no .npy array"},
        {"npy", "<f4", "(0,)", "", 0, VT_EUNSUPPORTED, "no .npy array"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char dictionary[256];
        vt_tensor_map *map = NULL;
        snprintf(dictionary, sizeof dictionary,
                 "{'descr': '%s', 'fortran_order': False, 'shape': %s}", rows[i].descr,
                 rows[i].shape);
        vt_status status =
            parse_member(&map, rows[i].name, dictionary, rows[i].data, rows[i].bytes);
        assert_null(map);
        if (status != rows[i].status || !strstr(vt_error_message(), rows[i].message) ||
            !strstr(vt_error_message(), "memory.npz"))
            fail_msg("%s: status %d, message '%s'", dictionary, status, vt_error_message());
    }
    char name[200];
    vt_tensor_map *map;
    snprintf(name, sizeof name, "%0140d.npy", 0);
    assert_status(
        VT_EUNSUPPORTED,
        parse_member(&map, name, "{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", "", 0));
    assert_message("longer than 127 bytes");
    assert_status(VT_EFORMAT, vt_npz_parse(&map, "PK", 2, "short.npz"));
    assert_message("short.npz");
    assert_status(VT_ENOTFOUND, vt_npz_read(&map, "/nowhere/a.npz"));
}

static vt_tensor_map *new_map(void)
{
    vt_tensor_map *map;
    vt_tensor t;
    assert_ok(vt_tensor_map_new(&map));
    for (int dtype = 0; dtype < VT_DTYPE_COUNT; dtype++) {
        if (dtype == VT_BF16) continue;
        assert_ok(vt_tensor_map_add(map, vt_dtype_name((vt_dtype)dtype), (vt_dtype)dtype, 2,
                                    (int64_t[]){3, 2}, &t));
        memset(t.data, dtype == VT_BOOL ? 1 : 66, vt_tensor_bytes(&t));
    }
    assert_ok(vt_tensor_map_add(map, "scalar", VT_F64, 0, NULL, &t));
    *(double *)t.data = 3.25;
    assert_ok(vt_tensor_map_add(map, "empty", VT_I16, 1, (int64_t[]){0}, NULL));
    assert_ok(vt_tensor_map_set_text(map, "note", "two\nlines, \xe2\x82\xac \xf0\x9d\x84\x9e"));
    assert_ok(vt_tensor_map_set_text(map, "nothing", ""));
    return map;
}

static void expect_same(const vt_tensor_map *a, const vt_tensor_map *b)
{
    assert_int_equal(vt_tensor_map_count(a), vt_tensor_map_count(b));
    for (int i = 0; i < vt_tensor_map_count(a); i++) {
        const vt_tensor *x = vt_tensor_map_at(a, i), *y = vt_tensor_map_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->ndim, y->ndim);
        assert_memory_equal(x->size, y->size, sizeof x->size);
        assert_memory_equal(x->data, y->data, vt_tensor_bytes(x));
    }
    assert_int_equal(vt_tensor_map_text_count(a), vt_tensor_map_text_count(b));
    for (int i = 0; i < vt_tensor_map_text_count(a); i++) {
        const char *key, *text;
        vt_tensor_map_text_at(a, i, &key, &text);
        assert_string_equal(text, vt_tensor_map_get_text(b, key));
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    vt_tensor_map *map = new_map(), *back;
    void *data;
    size_t size;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.npz", folder);
    assert_ok(vt_npz_write(map, path));
    assert_ok(vt_npz_read(&back, path));
    expect_same(map, back);
    vt_tensor_map_free(back);
    assert_ok(vt_file_read(&data, &size, path));
    assert_ok(vt_npz_parse(&back, data, size, "x"));
    expect_same(map, back);
    vt_tensor_map_free(back);
    for (size_t cut = 0; cut < size; cut += 11)
        assert_status(VT_EFORMAT, vt_npz_parse(&back, data, cut, "x"));
    free(data);

    assert_ok(vt_tensor_map_set_text(map, "scalar", "the name of a tensor too"));
    assert_status(VT_EINVAL, vt_npz_write(map, path));
    assert_message(path);
    assert_message("scalar.npy");
    vt_tensor_map_free(map);
    assert_ok(vt_npz_read(&back, path)); /* still the old file */
    vt_tensor_map_free(back);

    static const char *const wrong[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82",
                                        "\xf5\x80\x80\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_ok(vt_tensor_map_new(&map));
        assert_ok(vt_tensor_map_set_text(map, "k", wrong[i]));
        assert_status(VT_EINVAL, vt_npz_write(map, path));
        assert_message("UTF-8");
        vt_tensor_map_free(map);
    }
    assert_ok(vt_tensor_map_new(&map));
    assert_ok(vt_tensor_map_add(map, "x", VT_BF16, 0, NULL, NULL));
    assert_status(VT_EUNSUPPORTED, vt_npz_write(map, path));
    assert_message("bfloat16");
    vt_tensor_map_free(map);
    remove_folder(folder);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    vt_tensor_map *map = new_map(), *back;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.npz", folder);
    assert_ok(vt_npz_write(map, path));
    for (int n = 0, done = 0; !done; n++) {
        assert_true(n < 500);
        vt_alloc_fail_after(n);
        vt_status written = vt_npz_write(map, path);
        vt_alloc_fail_after(n);
        vt_status read = vt_npz_read(&back, path);
        vt_alloc_fail_after(-1);
        if (read == VT_OK) vt_tensor_map_free(back);
        assert_true(written == VT_OK || written == VT_ENOMEM);
        assert_true(read == VT_OK || read == VT_ENOMEM);
        done = written == VT_OK && read == VT_OK;
    }
    vt_tensor_map_free(map);
    remove_folder(folder);
}

static int golden_files;

static int read_golden(const char *path, const struct stat *info, int type, struct FTW *place)
{
    vt_tensor_map *map;
    (void)info;
    (void)place;
    size_t length = strlen(path);
    if (type != FTW_F || length < 4 || strcmp(path + length - 4, ".npz") != 0) return 0;
    assert_ok(vt_npz_read(&map, path));
    assert_true(vt_tensor_map_count(map) > 0);
    vt_tensor_map_free(map);
    golden_files++;
    return 0;
}

static void test_golden(void **state)
{
    (void)state;
    need_shared(golden, "golden");
    need_shared(training, "golden/v1_networks/div_norm.training.npz");
    need_shared(layer, "golden/v1_layers/divisive_norm.npz");
    vt_tensor_map *map;
    assert_int_equal(0, nftw(golden, read_golden, 16, FTW_PHYS));
    print_message("%d reference files\n", golden_files);
    assert_true(golden_files >= 20);

    /* what NumPy reads there */
    assert_ok(vt_npz_read(&map, training));
    const char *names = vt_tensor_map_get_text(map, "grad_names");
    assert_non_null(names);
    assert_memory_equal("conv1.weight\nbn1.weight\nbn1.bias\n", names, 33);
    assert_string_equal("\nfc.bias", names + strlen(names) - 8);
    vt_tensor_map_free(map);
    assert_ok(vt_npz_read(&map, layer));
    const vt_tensor *x = vt_tensor_map_find(map, "x");
    assert_int_equal(VT_F32, x->dtype);
    assert_int_equal(4, x->ndim);
    assert_close(vt_tensor_get(x, ((1 * 6 + 2) * 9 + 3) * 9 + 4), 0.20375091, 1e-8);
    vt_tensor_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
