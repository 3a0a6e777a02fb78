/* PyTorch checkpoints: the published models, all dtypes and kinds of views, and hostile pickles. */
#include "test.h"

#include "base/arena.h"
#include "stored_zip.h"
#include "ventral/io.h"
#include "ventral/weights.h"

#define CORPUS TEST_SOURCE_DIR "/fuzz/corpus/torch/"

static vt_tensor_map *read_corpus(const char *name)
{
    char path[4096];
    vt_tensor_map *map = NULL;
    snprintf(path, sizeof path, CORPUS "%s", name);
    assert_ok(vt_torch_read(&map, path));
    assert_string_equal(vt_tensor_map_get_text(map, "format"), "torch");
    return map;
}

static const vt_tensor *need(const vt_tensor_map *map, const char *name, const char *shape)
{
    char text[100];
    const vt_tensor *t = vt_tensor_map_find(map, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_string_equal(vt_tensor_shape_text(t, text, sizeof text), shape);
    return t;
}

/* The values are 0, 1/4, 2/4, ... in the order of `source`. */
static void check_ramp(const vt_tensor *t)
{
    for (int64_t i = 0; i < vt_tensor_count(t); i++)
        assert_true(vt_tensor_get(t, i) == (double)i / 4);
}

/* Every test of values reads the zip archive and the stream that PyTorch wrote of the same. */
static void both(const char *zip, const char *stream, void (*check)(const vt_tensor_map *map))
{
    const char *const names[] = {zip, stream};
    for (int i = 0; i < 2; i++) {
        vt_tensor_map *map = read_corpus(names[i]);
        check(map);
        vt_tensor_map_free(map);
    }
}

static void check_state(const vt_tensor_map *map)
{
    assert_int_equal(vt_tensor_map_count(map), 7);
    assert_string_equal(vt_tensor_map_at(map, 0)->name, "0.weight");
    check_ramp(need(map, "0.weight", "(3, 2, 2, 2)"));
    check_ramp(need(map, "0.bias", "(3,)"));
    check_ramp(need(map, "1.weight", "(3,)"));
    assert_true(vt_tensor_get(need(map, "1.running_var", "(3,)"), 2) == 1);
    const vt_tensor *steps = need(map, "1.num_batches_tracked", "()");
    assert_int_equal(steps->dtype, VT_I64);
    assert_true(vt_tensor_get(steps, 0) == 0);
}

static void check_protocol4(const vt_tensor_map *map)
{
    check_ramp(need(map, "a", "(4, 6)"));
}

static void reads_state_dictionaries(void **state)
{
    (void)state;
    both("state.pt", "state.legacy.pt", check_state);
    both("protocol4.pt", "protocol4.legacy.pt", check_protocol4);
}

static void check_views(const vt_tensor_map *map)
{
    const vt_tensor *transposed = need(map, "transposed", "(6, 4)"),
                    *part = need(map, "part", "(2, 3)"), *same = need(map, "expanded", "(3,)"),
                    *permuted = need(map, "permuted", "(6, 2, 2)");
    check_ramp(need(map, "whole", "(4, 6)"));
    need(map, "empty", "(0, 3)");
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++)
            assert_true(vt_tensor_get(transposed, i * 4 + j) == (j * 6 + i) / 4.0);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            assert_true(vt_tensor_get(part, i * 3 + j) == ((i + 1) * 6 + j + 2) / 4.0);
    for (int i = 0; i < 3; i++)
        assert_true(vt_tensor_get(same, i) == 0.25);
    for (int i = 0; i < 24; i++)
        assert_true(vt_tensor_get(permuted, i) == (i % 4 * 6 + i / 4) / 4.0);
    for (int i = 0; i < vt_tensor_map_count(map); i++)
        assert_true(vt_tensor_is_contiguous(vt_tensor_map_at(map, i)));
}

static void makes_views_contiguous(void **state)
{
    (void)state;
    both("views.pt", "views.legacy.pt", check_views);
}

static void check_dtypes(const vt_tensor_map *map)
{
    static const vt_dtype dtypes[] = {VT_F32, VT_F64, VT_F16, VT_BF16, VT_I64,
                                      VT_I32, VT_I16, VT_I8,  VT_U8,   VT_BOOL};
    assert_int_equal(vt_tensor_map_count(map), 10);
    for (int i = 0; i < 10; i++) {
        const vt_tensor *t = need(map, vt_dtype_name(dtypes[i]), "(4,)");
        assert_int_equal(t->dtype, dtypes[i]);
        assert_true(vt_tensor_get(t, 0) == 0 && vt_tensor_get(t, 2) == 1);
        assert_true(vt_tensor_get(t, 3) == (dtypes[i] == VT_BOOL ? 1 : 100));
    }
}

static void reads_all_dtypes(void **state)
{
    (void)state;
    both("dtypes.pt", "dtypes.legacy.pt", check_dtypes);
}

static void check_nested(const vt_tensor_map *map)
{
    check_ramp(need(map, "state_dict.fc.weight", "(4, 6)"));
    assert_true(vt_tensor_get(need(map, "state_dict.step", "()"), 0) == 3);
    need(map, "history.0", "(2,)");
    assert_string_equal(vt_tensor_map_get_text(map, "epoch"), "12");
    assert_string_equal(vt_tensor_map_get_text(map, "big"), "-1099511627776");
    assert_string_equal(vt_tensor_map_get_text(map, "lr"), "0.10000000000000001");
    assert_string_equal(vt_tensor_map_get_text(map, "arch"), "resnet50");
    assert_string_equal(vt_tensor_map_get_text(map, "best"), "true");
    assert_string_equal(vt_tensor_map_get_text(map, "history.1.7"), "0.5");
    assert_null(vt_tensor_map_get_text(map, "none"));
    assert_int_equal(vt_tensor_map_count(map), 3);
}

static void flattens_nested_dictionaries(void **state)
{
    (void)state;
    both("nested.pt", "nested.legacy.pt", check_nested);
}

static void says_what_it_does_not_read(void **state)
{
    vt_tensor_map *map;
    (void)state;
    assert_status(VT_EUNSUPPORTED, vt_torch_read(&map, CORPUS "model.pt"));
    assert_message("model.pt: holds a pickled torch.nn.modules.linear.Linear");
    assert_message("torch.save(model.state_dict(), ...)");
    assert_status(VT_EUNSUPPORTED, vt_torch_read(&map, CORPUS "tar.pt"));
    assert_message("tar.pt: a tar");
    assert_message("save it again");
    assert_status(VT_ENOTFOUND, vt_torch_read(&map, CORPUS "none.pt"));
    assert_status(VT_EFORMAT, vt_torch_read(&map, CORPUS "state.pickle"));
    assert_message("state.pickle: not a PyTorch checkpoint");
    assert_status(VT_EFORMAT, vt_torch_parse(&map, "", 0, "empty"));
    assert_status(VT_EFORMAT,
                  vt_torch_read(&map, TEST_SOURCE_DIR "/fuzz/corpus/keras/noted.keras"));
    assert_message("no data.pkl");
}

/* A checkpoint of this pickle and a storage "0" of eight bytes 1, 2, ... 8. */
static vt_status parse_pickle(vt_tensor_map **out, const void *pickle, size_t size,
                              const char *byte_order)
{
    stored_zip z = {0};
    stored_zip_add(&z, "x/data.pkl", pickle, size);
    stored_zip_add(&z, "x/byteorder", byte_order, strlen(byte_order));
    stored_zip_add(&z, "x/data/0", "\1\2\3\4\5\6\7\10", 8);
    stored_zip_finish(&z);
    vt_status status = vt_torch_parse(out, z.data, z.size, "x.pt");
    free(z.data);
    return status;
}

#define refuse(code, message, pickle)                                                              \
    do {                                                                                           \
        vt_tensor_map *none = NULL;                                                                \
        assert_status(code, parse_pickle(&none, pickle, sizeof pickle - 1, "little"));             \
        assert_null(none);                                                                         \
        assert_message("x.pt: ");                                                                  \
        assert_message(message);                                                                   \
        assert_null(strchr(vt_error_message(), '\n'));                                             \
    } while (0)

/* Pieces of pickles: protocol 2; the persistent id of storage `key`; a tensor of it. */
#define PROTO "\x80\2"
#define STORAGE(class, key, count)                                                                 \
    "(X\7\0\0\0storagectorch\n" class "\nX\1\0\0\0" key "X\3\0\0\0cpuK" count "tQ"
#define TENSOR(class, key, count, offset, sizes, strides)                                          \
    "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE(class, key, count) "K" offset "(" sizes         \
                                                                      "t(" strides "t\x89NtR"
#define DICT(value) PROTO "}X\1\0\0\0a" value "s."

static void executes_nothing(void **state)
{
    (void)state;
    refuse(VT_EUNSUPPORTED, "holds a pickled posix.system",
           PROTO "cposix\nsystem\nX\x10\0\0\0touch /tmp/owned\x85R.");
    refuse(VT_EUNSUPPORTED, "holds a pickled builtins.eval",
           "\x80\4\x8c\x08"
           "builtins\x8c\4eval\x93\x8c\1"
           "1\x85R.");
    refuse(VT_EUNSUPPORTED, "holds a pickled a?b.c?d",
           PROTO "ca\x1b"
                 "b\nc\x7f"
                 "d\n.");
    refuse(VT_EUNSUPPORTED, "holds a torch.ComplexFloatStorage, whose elements are not read",
           PROTO "ctorch\nComplexFloatStorage\n.");
    refuse(VT_EUNSUPPORTED, "opcode 0x69", PROTO "(ios\nsystem\n.");
    refuse(VT_EUNSUPPORTED, "opcode 0x81", PROTO "ccollections\nOrderedDict\n)\x81.");
    refuse(VT_EUNSUPPORTED, "opcode 0x82", PROTO "\x82\1.");
}

static void refuses_corrupt_pickles(void **state)
{
    (void)state;
    refuse(VT_EFORMAT, "ends too early", "");
    refuse(VT_EFORMAT, "protocol", "\x80\1N.");
    refuse(VT_EFORMAT, "ends too early", PROTO "}");
    refuse(VT_EFORMAT, "ends too early",
           PROTO "X\xff\xff\xff\xff"
                 "a.");
    refuse(VT_EFORMAT, "ends too early", PROTO "\x8d\xff\xff\xff\xff\xff\xff\xff\xff.");
    refuse(VT_EFORMAT, "ends too early", PROTO "\x8b\xff\xff\xff\xff.");
    refuse(VT_EFORMAT, "ends too early", PROTO "ctorch\nFloat");
    refuse(VT_EFORMAT, "stack runs empty", PROTO ".");
    refuse(VT_EFORMAT, "stack runs empty", PROTO "0.");
    refuse(VT_EFORMAT, "stack runs empty", PROTO "(K\1\x87.");
    refuse(VT_EFORMAT, "stack runs empty", PROTO "(.");
    refuse(VT_EFORMAT, "mark is missing", PROTO "}K\1K\1u.");
    refuse(VT_EFORMAT, "added to something", PROTO "(K\1K\1u.");
    refuse(VT_EFORMAT, "added to something", PROTO "}(K\1u.");
    refuse(VT_EFORMAT, "added to something", PROTO "]K\1K\1s.");
    refuse(VT_EFORMAT, "memo index", PROTO "}r\xff\xff\xff\xff.");
    refuse(VT_EFORMAT, "memo entry", PROTO "h\5.");
    refuse(VT_EFORMAT, "no function", PROTO "}}R.");
    refuse(VT_EFORMAT, "no function", PROTO "ctorch\nFloatStorage\n)R.");
    refuse(VT_EFORMAT, "attributes", PROTO "K\1}b.");
    refuse(VT_EFORMAT, "storage is unknown", PROTO "K\1Q.");
    refuse(VT_EUNSUPPORTED, "64 bits", PROTO "\x8a\x09\0\0\0\0\0\0\0\0\1.");
    refuse(VT_EUNSUPPORTED, "no state dictionary", PROTO "K\1.");
    refuse(VT_EUNSUPPORTED, "no text", PROTO "}NK\1s.");
    refuse(VT_EFORMAT, "NUL", PROTO "}X\3\0\0\0a\0bK\1s.");
}

static void refuses_impossible_tensors(void **state)
{
    (void)state;
    refuse(VT_EFORMAT, "tensor a: its storage has 8 bytes, too few for 3 elements of float32",
           DICT(TENSOR("FloatStorage", "0", "\3", "\0", "K\3", "K\1")));
    refuse(VT_EFORMAT, "storage x/data/1 is missing",
           DICT(TENSOR("FloatStorage", "1", "\2", "\0", "K\2", "K\1")));
    refuse(VT_EFORMAT, "beyond its storage",
           DICT(TENSOR("FloatStorage", "0", "\2", "\1", "K\2", "K\1")));
    refuse(VT_EFORMAT, "beyond its storage",
           DICT(TENSOR("FloatStorage", "0", "\2", "\0", "K\2", "K\2")));
    refuse(VT_EFORMAT, "beyond its storage",
           DICT(TENSOR("FloatStorage", "0", "\2", "\0", "K\4",
                       "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f")));
    refuse(VT_EFORMAT, "no size",
           DICT(TENSOR("FloatStorage", "0", "\2", "\0", "K\2", "\x8a\1\xff")));
    refuse(VT_EFORMAT, "cannot be rebuilt",
           DICT(TENSOR("FloatStorage", "0", "\2", "\0", "K\2K\1", "K\1")));
    refuse(VT_EUNSUPPORTED, "7 dimensions",
           DICT(TENSOR("FloatStorage", "0", "\2", "\0", "K\1K\1K\1K\1K\1K\1K\1",
                       "K\1K\1K\1K\1K\1K\1K\1")));
    /* one element, repeated 2^40 times by strides of 0 */
    refuse(VT_EUNSUPPORTED, "far larger than the file",
           DICT(TENSOR("FloatStorage", "0", "\2", "\0", "\x8a\6\0\0\0\0\0\1", "K\0")));
    refuse(VT_EFORMAT, "two tensors are named a",
           PROTO "}(X\1\0\0\0a" TENSOR("ByteStorage", "0", "\2", "\0", "", "") //
           "X\1\0\0\0a" TENSOR("ByteStorage", "0", "\2", "\0", "", "") "u.");
}

/* Dictionaries that hold themselves, and ones doubled at every level (a "billion laughs"). */
static void survives_pickle_bombs(void **state)
{
    (void)state;
    refuse(VT_EFORMAT, "nested without end", PROTO "}q\0X\1\0\0\0ah\0s.");
    char bomb[4096];
    size_t used = (size_t)snprintf(bomb, sizeof bomb, PROTO "]q%c", 1) + 0;
    bomb[used - 1] = 1;
    for (int level = 1; level < 30; level++) {
        const unsigned char step[] = {']',
                                      '(',
                                      'h',
                                      (unsigned char)level,
                                      'h',
                                      (unsigned char)level,
                                      'h',
                                      (unsigned char)level,
                                      'e',
                                      'q',
                                      (unsigned char)(level + 1)};
        memcpy(bomb + used, step, sizeof step);
        used += sizeof step;
    }
    const char tail[] = "}X\1\0\0\0ah\36s.";
    memcpy(bomb + used, tail, sizeof tail - 1);
    vt_tensor_map *map;
    assert_status(VT_EFORMAT, parse_pickle(&map, bomb, used + sizeof tail - 1, "little"));
    assert_message("nested without end");

    size_t size = 20u << 20; /* nothing but marks */
    char *marks = malloc(size);
    assert_non_null(marks);
    memset(marks, '(', size);
    memcpy(marks, PROTO, 2);
    assert_status(VT_EUNSUPPORTED, parse_pickle(&map, marks, size, "little"));
    assert_message("entry x/data.pkl has 20971520 bytes");
    assert_status(VT_EUNSUPPORTED, parse_pickle(&map, marks, 16u << 20, "little"));
    memset(marks + 2, ']', size - 2);
    assert_status(VT_EUNSUPPORTED, parse_pickle(&map, marks, 16u << 20, "little"));
    assert_message("larger than any");
    free(marks);
}

static void heeds_the_byte_order(void **state)
{
    static const char pickle[] = DICT(TENSOR("ShortStorage", "0", "\4", "\1", "K\2", "K\2"));
    vt_tensor_map *map;
    (void)state;
    assert_ok(parse_pickle(&map, pickle, sizeof pickle - 1, "little"));
    assert_true(vt_tensor_get(need(map, "a", "(2,)"), 0) == 0x0403);
    assert_true(vt_tensor_get(vt_tensor_map_at(map, 0), 1) == 0x0807);
    vt_tensor_map_free(map);
    assert_ok(parse_pickle(&map, pickle, sizeof pickle - 1, "big"));
    assert_true(vt_tensor_get(need(map, "a", "(2,)"), 0) == 0x0304);
    vt_tensor_map_free(map);
    assert_status(VT_EFORMAT, parse_pickle(&map, pickle, sizeof pickle - 1, "middle"));
    assert_message("byte order");
}

/* ---- streams ---- */

#define MAGIC PROTO "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define STREAM(state, keys, data) MAGIC PROTO "M\xe9\3." PROTO "}." state PROTO keys "." data
#define KEY(name) "X\1\0\0\0" name
#define OLD_KEY(name) "U\1" name
#define TWO_FLOATS "\2\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40" /* 1, 2 */
#define FLOATS(count) TENSOR("FloatStorage", "0", count, "\0", "K" count, "K\1")

static vt_status parse_stream(vt_tensor_map **out, const void *stream, size_t size)
{
    char *copy = malloc(size); /* so that sanitizers see reads behind its end */
    assert_non_null(copy);
    memcpy(copy, stream, size);
    vt_status status = vt_torch_parse(out, copy, size, "x.pt");
    free(copy);
    return status;
}

#define refuse_stream(code, message, stream)                                                       \
    do {                                                                                           \
        vt_tensor_map *none = NULL;                                                                \
        assert_status(code, parse_stream(&none, stream, sizeof stream - 1));                       \
        assert_null(none);                                                                         \
        assert_message("x.pt: ");                                                                  \
        assert_message(message);                                                                   \
    } while (0)

static void refuses_broken_streams(void **state)
{
    (void)state;
    vt_tensor_map *map;
    const char whole[] = STREAM(DICT(FLOATS("\2")), "]" KEY("0") "a", TWO_FLOATS);
    assert_ok(parse_stream(&map, whole, sizeof whole - 1));
    assert_true(vt_tensor_get(need(map, "a", "(2,)"), 1) == 2);
    vt_tensor_map_free(map);
    refuse_stream(VT_EFORMAT, "ends too early", MAGIC);
    refuse_stream(VT_EUNSUPPORTED, "protocol", MAGIC PROTO "M\xe8\3." PROTO "}.");
    refuse_stream(VT_EFORMAT, "no list of storages", STREAM(DICT(FLOATS("\2")), "}", ""));
    refuse_stream(VT_EFORMAT, "its storage is missing", STREAM(DICT(FLOATS("\2")), "]", ""));
    refuse_stream(VT_EFORMAT, "storage 0 is missing",
                  STREAM(DICT(FLOATS("\2")), "]" KEY("0") "a", "\2\0\0"));
    refuse_stream(VT_EFORMAT, "2 elements, 7 bytes are left",
                  STREAM(DICT(FLOATS("\2")), "]" KEY("0") "a",
                         "\2\0\0\0\0\0\0\0"
                         "1234567"));
    refuse_stream(VT_EFORMAT, "18446744073709551615 elements",
                  STREAM(DICT(FLOATS("\2")), "]" KEY("0") "a", "\xff\xff\xff\xff\xff\xff\xff\xff"));
    refuse_stream(VT_EFORMAT, "has 8 bytes, too few for 3 elements",
                  STREAM(DICT(FLOATS("\3")), "]" KEY("0") "a", TWO_FLOATS));
    refuse_stream(VT_EFORMAT, "list of storages is not that",
                  STREAM(DICT(FLOATS("\2")), "]" KEY("1") "a", TWO_FLOATS));
    refuse_stream(VT_EFORMAT, "list of storages is not that",
                  STREAM(DICT(FLOATS("\2")), "]K\1a", TWO_FLOATS));
    refuse_stream(VT_EFORMAT, "list of storages is not that",
                  STREAM(DICT(FLOATS("\2")), "](" KEY("0") KEY("0") "e", TWO_FLOATS TWO_FLOATS));
    refuse_stream(VT_EFORMAT, "elements of two sizes",
                  STREAM(PROTO "}(" KEY("a") FLOATS("\2") //
                         KEY("b") TENSOR("ByteStorage", "0", "\2", "\0", "K\2", "K\1") "u.",
                         "]" KEY("0") "a", TWO_FLOATS));
    refuse_stream(VT_EUNSUPPORTED, "no state dictionary", STREAM(PROTO "K\1.", "]", ""));
    refuse_stream(VT_EUNSUPPORTED, "holds a pickled posix.system",
                  STREAM(PROTO "cposix\nsystem\n.", "]", ""));
}

/* As early versions wrote: strings of Python 2, a storage that is a part of another, parameters as
 * objects with attributes. */
#define PART(part)                                                                                 \
    DICT("ctorch._utils\n_rebuild_tensor\n(("                                                      \
         "U\7storagectorch\nFloatStorage\n" OLD_KEY("0") "U\3cpuK\2" part "tQK\0(K\1t(K\1ttR")

static void reads_what_early_versions_wrote(void **state)
{
    (void)state;
    vt_tensor_map *map;
    const char part[] = STREAM(PART("(" OLD_KEY("9") "K\1K\1t"), "]" OLD_KEY("0") "a", TWO_FLOATS);
    const char whole[] = STREAM(PART("N"), "]" OLD_KEY("0") "a", TWO_FLOATS);
    assert_ok(parse_stream(&map, part, sizeof part - 1));
    assert_true(vt_tensor_get(need(map, "a", "(1,)"), 0) == 2);
    vt_tensor_map_free(map);
    assert_ok(parse_stream(&map, whole, sizeof whole - 1));
    assert_true(vt_tensor_get(need(map, "a", "(1,)"), 0) == 1);
    vt_tensor_map_free(map);
    const char parameter[] =
        STREAM(DICT("ctorch.nn.parameter\nParameter\n(" FLOATS("\2") "tR(\210\211ccollections\n"
                                                                     "OrderedDict\n)Rtb"),
               "]" OLD_KEY("0") "a", TWO_FLOATS);
    assert_ok(parse_stream(&map, parameter, sizeof parameter - 1));
    assert_true(vt_tensor_get(need(map, "a", "(2,)"), 1) == 2);
    vt_tensor_map_free(map);
    refuse_stream(VT_EFORMAT, "no part of another",
                  STREAM(PART("(" OLD_KEY("9") "K\1K\2t"), "]" OLD_KEY("0") "a", TWO_FLOATS));
    refuse_stream(
        VT_EFORMAT, "no part of another",
        STREAM(PART("(" OLD_KEY("9") "K\1\x8a\1\xfft"), "]" OLD_KEY("0") "a", TWO_FLOATS));
    refuse_stream(VT_EFORMAT, "no part of another",
                  STREAM(PART("K\1"), "]" OLD_KEY("0") "a", TWO_FLOATS));
}

/* ---- damage ---- */

/* Cut anywhere or with any byte changed, a file is read or refused, and nothing else. */
static void damage_everywhere(const char *path, size_t step)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path));
    unsigned char *bytes = data;
    for (size_t length = 0; length < size; length += step) {
        vt_tensor_map *map;
        char *cut = malloc(length + 1);
        assert_non_null(cut);
        memcpy(cut, bytes, length);
        assert_int_not_equal(vt_torch_parse(&map, cut, length, "cut"), VT_OK);
        assert_message("cut: ");
        free(cut);
    }
    for (size_t at = 0; at < size; at++) {
        vt_tensor_map *map;
        bytes[at] ^= 0x41;
        if (vt_torch_parse(&map, bytes, size, "damaged") == VT_OK) vt_tensor_map_free(map);
        bytes[at] ^= 0x41;
    }
    free(data);
}

static void survives_damage(void **state)
{
    (void)state;
    damage_everywhere(CORPUS "views.pt", 7);
    damage_everywhere(CORPUS "views.legacy.pt", 1);
}

static void lack_memory(const char *path)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path));
    int64_t n = 0;
    for (vt_status status = VT_ENOMEM; status != VT_OK; n++) {
        vt_tensor_map *map = NULL;
        vt_alloc_fail_after(n);
        status = vt_torch_parse(&map, data, size, "x");
        vt_alloc_fail_after(-1);
        if (status == VT_OK)
            vt_tensor_map_free(map);
        else
            assert_true(status == VT_ENOMEM && !map);
    }
    assert_true(n > 20);
    free(data);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    lack_memory(CORPUS "nested.pt");
    lack_memory(CORPUS "nested.legacy.pt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_state_dictionaries),
        cmocka_unit_test(makes_views_contiguous),
        cmocka_unit_test(reads_all_dtypes),
        cmocka_unit_test(flattens_nested_dictionaries),
        cmocka_unit_test(says_what_it_does_not_read),
        cmocka_unit_test(executes_nothing),
        cmocka_unit_test(refuses_corrupt_pickles),
        cmocka_unit_test(refuses_impossible_tensors),
        cmocka_unit_test(survives_pickle_bombs),
        cmocka_unit_test(heeds_the_byte_order),
        cmocka_unit_test(refuses_broken_streams),
        cmocka_unit_test(reads_what_early_versions_wrote),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
