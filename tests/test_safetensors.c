/* safetensors: round trips, the header's rules one by one, truncation, allocation failures. */
#include "test.h"

#include "base/arena.h"
#include "ventral/io.h"

static vt_status parse(vt_tensor_map **out, const char *header, const void *data, size_t bytes)
{
    uint64_t length = strlen(header);
    char *file = malloc(8 + length + bytes); /* exact, so that ASan sees overruns */
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    if (bytes) memcpy(file + 8 + length, data, bytes);
    vt_status status = vt_safetensors_parse(out, file, 8 + length + bytes, "memory");
    free(file);
    return status;
}

static void test_values(void **state)
{
    (void)state;
    vt_tensor_map *map;
    float values[3] = {1, 2, 3};
    assert_ok(parse(&map,
                    "{\"b\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
                    "\"__metadata__\":{\"k\":\"v\\n\\u20ac\"},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                    "\"e\":{\"dtype\":\"I8\",\"shape\":[0,3],\"data_offsets\":[4,4]}}   ",
                    values, sizeof values));
    assert_int_equal(3, vt_tensor_map_count(map));
    assert_string_equal("b", vt_tensor_map_at(map, 0)->name);
    assert_close(vt_tensor_get(vt_tensor_map_find(map, "b"), 1), 3, 0);
    assert_close(vt_tensor_get(vt_tensor_map_find(map, "a"), 0), 1, 0);
    assert_int_equal(0, vt_tensor_count(vt_tensor_map_find(map, "e")));
    assert_string_equal("v\n\xe2\x82\xac", vt_tensor_map_get_text(map, "k"));
    vt_tensor_map_free(map);
    assert_ok(parse(&map, "{}", NULL, 0));
    assert_int_equal(0, vt_tensor_map_count(map));
    vt_tensor_map_free(map);
    assert_ok(parse(&map, "{\"x\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]}}",
                    "\0\1\7", 3));
    assert_memory_equal("\0\1\1", vt_tensor_map_at(map, 0)->data, 3);
    vt_tensor_map_free(map);
}

#define TENSOR(name, dtype, shape, offsets)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* Each header comes with 8 bytes of data. */
static void test_wrong_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        vt_status status;
        const char *message;
    } rows[] = {
        {"{ ", VT_EFORMAT, "not valid JSON"},
        {"{}", VT_EFORMAT, "8 bytes follow"},
        {"[]", VT_EFORMAT, "first bytes"},
        {" {}", VT_EFORMAT, "first bytes"},
        {"{\"x\":1}", VT_EFORMAT, "malformed"},
        {"{\"x\":{}}", VT_EFORMAT, "malformed"},
        {"{\"\\u0000\":1}", VT_EFORMAT, "JSON"},
        {"{\"\xff\":1}", VT_EFORMAT, "JSON"},
        {"{" TENSOR("x", "F32", "[2]", "[0,8]") "," TENSOR("x", "F32", "[2]", "[0,8]") "}",
         VT_EFORMAT, "duplicate"},
        {"{" TENSOR("x", "F32", "[2]", "[0,8]") "}}", VT_EFORMAT, "JSON"},
        {"{" TENSOR("x", "F32", "2", "[0,8]") "}", VT_EFORMAT, "malformed"},
        {"{" TENSOR("x", "F32", "[2]", "[0]") "}", VT_EFORMAT, "malformed"},
        {"{" TENSOR("x", "F32", "[2]", "[0,8,8]") "}", VT_EFORMAT, "malformed"},
        {"{" TENSOR("x", "F32", "[2]", "[0.0,8.0]") "}", VT_EFORMAT, "malformed"},
        {"{" TENSOR("x", "F32", "[2.0]", "[0,8]") "}", VT_EFORMAT, "natural"},
        {"{" TENSOR("x", "F32", "[\"2\"]", "[0,8]") "}", VT_EFORMAT, "natural"},
        {"{" TENSOR("x", "F32", "[-2]", "[0,8]") "}", VT_EFORMAT, "natural"},
        {"{" TENSOR("x", "F32", "[99999999999999999999]", "[0,8]") "}", VT_EFORMAT, "JSON"},
        {"{" TENSOR("x", "F32", "[4294967296,4294967296]", "[0,8]") "}", VT_EFORMAT, "too large"},
        {"{" TENSOR("x", "F32", "[2]", "[8,0]") "}", VT_EFORMAT, "out of order"},
        {"{" TENSOR("x", "F32", "[2]", "[-8,0]") "}", VT_EFORMAT, "out of order"},
        {"{" TENSOR("x", "F32", "[2]", "[1,9]") "}", VT_EFORMAT, "beyond the end"},
        {"{" TENSOR("x", "F32", "[2]", "[0,9223372036854775807]") "}", VT_EFORMAT,
         "beyond the end"},
        {"{" TENSOR("x", "F32", "[3]", "[0,8]") "}", VT_EFORMAT, "do not fit"},
        {"{" TENSOR("x", "U8", "[4]", "[0,4]") "," TENSOR("y", "U8", "[5]", "[3,8]") "}",
         VT_EFORMAT, "overlap"},
        {"{" TENSOR("x", "U8", "[4]", "[0,4]") "," TENSOR("y", "U8", "[3]", "[5,8]") "}",
         VT_EFORMAT, "gap"},
        {"{" TENSOR("x", "U8", "[7]", "[1,8]") "}", VT_EFORMAT, "gap"},
        {"{" TENSOR("x", "U8", "[7]", "[0,7]") "}", VT_EFORMAT, "1 bytes follow"},
        {"{" TENSOR("x", "F8_E4M3", "[8]", "[0,8]") "}", VT_EUNSUPPORTED, "F8_E4M3"},
        {"{" TENSOR("x", "F32", "[1,1,1,1,1,1,2]", "[0,8]") "}", VT_EUNSUPPORTED, "7 dimensions"},
        {"{\"__metadata__\":[]," TENSOR("x", "F32", "[2]", "[0,8]") "}", VT_EFORMAT, "metadata"},
        {"{\"__metadata__\":{\"k\":1}," TENSOR("x", "F32", "[2]", "[0,8]") "}", VT_EFORMAT,
         "k is no string"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vt_tensor_map *map = NULL;
        vt_status status = parse(&map, rows[i].header, "01234567", 8);
        assert_null(map);
        if (status != rows[i].status || !strstr(vt_error_message(), rows[i].message) ||
            !strstr(vt_error_message(), "memory"))
            fail_msg("%s: status %d, message '%s'", rows[i].header, status, vt_error_message());
    }
    char header[512];
    vt_tensor_map *map;
    snprintf(header, sizeof header,
             "{\"%0150d\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 1);
    assert_status(VT_EUNSUPPORTED, parse(&map, header, "01234567", 8));
    assert_message("longer than 127");
    char *deep = calloc(1, 100000);
    strcpy(deep, "{\"x\":");
    memset(deep + 5, '[', 99000);
    assert_status(VT_EFORMAT, parse(&map, deep, NULL, 0));
    free(deep);
}

/* Looking names up is linear, so a file with very many tensors is refused at once. */
static void test_too_many_tensors(void **state)
{
    (void)state;
    enum { COUNT = 20000, EACH = 80 };
    char *header = malloc(COUNT * EACH + 2);
    size_t used = 1;
    vt_tensor_map *map;
    header[0] = '{';
    for (int i = 0; i < COUNT; i++)
        used += (size_t)sprintf(header + used,
                                "\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}%s",
                                i, i + 1 < COUNT ? "," : "}");
    assert_status(VT_EUNSUPPORTED, parse(&map, header, NULL, 0));
    assert_message("20000 tensors");
    free(header);
}

static void test_wrong_lengths(void **state)
{
    (void)state;
    vt_tensor_map *map;
    char bytes[16] = {0};
    assert_status(VT_EFORMAT, vt_safetensors_parse(&map, bytes, 0, "x"));
    assert_status(VT_EFORMAT, vt_safetensors_parse(&map, bytes, 8, "x"));
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)0xff;
    assert_status(VT_EFORMAT, vt_safetensors_parse(&map, bytes, 16, "x"));
    memcpy(bytes, "\x20\0\0\0\0\0\0\0{}", 10);
    assert_status(VT_EFORMAT, vt_safetensors_parse(&map, bytes, 16, "x"));
    assert_message("truncated");
}

static vt_tensor_map *new_map(void)
{
    vt_tensor_map *map;
    vt_tensor t;
    assert_ok(vt_tensor_map_new(&map));
    for (int dtype = 0; dtype < VT_DTYPE_COUNT; dtype++) {
        char name[64];
        snprintf(name, sizeof name, "layer.%s \"\xc3\xa9\"", vt_dtype_name((vt_dtype)dtype));
        assert_ok(vt_tensor_map_add(map, name, (vt_dtype)dtype, 3, (int64_t[]){3, 1, 5}, &t));
        memset(t.data, dtype == VT_BOOL ? 1 : 60 + dtype, vt_tensor_bytes(&t));
    }
    assert_ok(vt_tensor_map_add(map, "scalar", VT_F64, 0, NULL, &t));
    assert_ok(vt_tensor_map_add(map, "empty", VT_F16, 2, (int64_t[]){0, 4}, NULL));
    assert_ok(vt_tensor_map_set_text(map, "model", "{\"depth\": 50}\n"));
    assert_ok(vt_tensor_map_set_text(map, "", ""));
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
    void *data, *again;
    size_t size, again_size;
    uint64_t length;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    assert_ok(vt_safetensors_write(map, path));
    assert_ok(vt_safetensors_read(&back, path));
    expect_same(map, back);
    assert_ok(vt_file_read(&data, &size, path));
    memcpy(&length, data, 8);
    assert_int_equal(0, length % 8);
    assert_ok(vt_safetensors_write(back, path)); /* the same map gives the same bytes */
    vt_tensor_map_free(back);
    assert_ok(vt_file_read(&again, &again_size, path));
    assert_int_equal(size, again_size);
    assert_memory_equal(data, again, size);
    free(again);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = malloc(cut ? cut : 1);
        memcpy(part, data, cut);
        assert_status(VT_EFORMAT, vt_safetensors_parse(&back, part, cut, "x"));
        free(part);
    }
    free(data);
    vt_tensor_map_free(map);
    remove_folder(folder);
}

static void test_writer_refusals(void **state)
{
    (void)state;
    static const char *const names[] = {"__metadata__", "\xff"};
    char folder[4096], path[4200];
    vt_tensor_map *map;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    for (int i = 0; i < 4; i++) {
        assert_ok(vt_tensor_map_new(&map));
        if (i < 2)
            assert_ok(vt_tensor_map_add(map, names[i], VT_F32, 0, NULL, NULL));
        else
            assert_ok(vt_tensor_map_set_text(map, i == 2 ? "\xff" : "k", i == 2 ? "v" : "\xff"));
        assert_status(VT_EINVAL, vt_safetensors_write(map, path));
        assert_message(path);
        assert_int_not_equal(0, access(path, F_OK));
        vt_tensor_map_free(map);
    }
    remove_folder(folder);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    vt_tensor_map *map = new_map(), *back;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    assert_ok(vt_safetensors_write(map, path));
    for (int n = 0, done = 0; !done; n++) {
        assert_true(n < 500);
        vt_alloc_fail_after(n);
        vt_status written = vt_safetensors_write(map, path);
        vt_alloc_fail_after(n);
        vt_status read = vt_safetensors_read(&back, path);
        vt_alloc_fail_after(-1);
        if (read == VT_OK) vt_tensor_map_free(back);
        assert_true(written == VT_OK || written == VT_ENOMEM);
        assert_true(read == VT_OK || read == VT_ENOMEM);
        done = written == VT_OK && read == VT_OK;
    }
    vt_tensor_map_free(map);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_headers),
        cmocka_unit_test(test_too_many_tensors),
        cmocka_unit_test(test_wrong_lengths),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writer_refusals),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
