/* HDF5: dtypes, storage, attributes; what is left out; a child that crashes, hangs, lies. The
 * files are written here with the HDF5 library. */
#include "test.h"

#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/wait.h>

#include "io/hdf5_child.h"
#include "ventral/io.h"
#include "ventral/weights.h"

typedef void (*filler)(hid_t file);

static void write_file(const char *path, filler fill)
{
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    fill(file);
    assert_true(H5Fclose(file) >= 0);
}

/* Writes, reads, and removes a file. */
static vt_status read_made(vt_tensor_map **out, filler fill)
{
    char folder[4096], path[4200];
    snprintf(path, sizeof path, "%s/made.h5", new_folder(folder));
    write_file(path, fill);
    vt_status status = vt_hdf5_read(out, path);
    remove_folder(folder);
    return status;
}

static void put(hid_t place, const char *name, hid_t file_type, hid_t type, int ndim,
                const hsize_t *size, hid_t plan, const void *data)
{
    hid_t space = H5Screate_simple(ndim, size, NULL);
    hid_t set = H5Dcreate2(place, name, file_type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
    assert_true(set >= 0);
    if (data) assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void put_double(hid_t place, const char *name, hid_t file_type, double value)
{
    put(place, name, file_type, H5T_NATIVE_DOUBLE, 0, NULL, H5P_DEFAULT, &value);
}

static hid_t half_type(hid_t order)
{
    hid_t type = H5Tcopy(order);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

static void put_string(hid_t place, const char *name, const char *text, bool variable, size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, variable ? H5T_VARIABLE : size);
    hid_t attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0);
    assert_true(H5Awrite(attribute, type, variable ? (const void *)&text : text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static const struct {
    const char *name;
    vt_dtype dtype;
    double value;
} kinds[] = {
    {"f16be", VT_F16, -1.5}, {"f16le", VT_F16, 0.25}, {"f32be", VT_F32, 0.5},
    {"f64le", VT_F64, 1e-9}, {"i16be", VT_I16, -300}, {"i64le", VT_I64, -9e15},
    {"i8", VT_I8, -7},       {"u32be", VT_U32, 4e9},  {"u8", VT_U8, 200},
};

static void fill_kinds(hid_t file)
{
    const hid_t types[] = {half_type(H5T_IEEE_F32BE),
                           half_type(H5T_IEEE_F32LE),
                           H5T_IEEE_F32BE,
                           H5T_IEEE_F64LE,
                           H5T_STD_I16BE,
                           H5T_STD_I64LE,
                           H5T_STD_I8LE,
                           H5T_STD_U32BE,
                           H5T_STD_U8LE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        put_double(file, kinds[i].name, types[i], kinds[i].value);
}

static void reads_numbers_of_all_kinds(void **state)
{
    vt_tensor_map *map;
    (void)state;
    assert_ok(read_made(&map, fill_kinds));
    assert_int_equal(vt_tensor_map_count(map), sizeof kinds / sizeof kinds[0]);
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        assert_string_equal(t->name, kinds[i].name);
        assert_int_equal(t->dtype, kinds[i].dtype);
        assert_int_equal(t->ndim, 0);
        assert_true(vt_tensor_get(t, 0) == kinds[i].value);
    }
    assert_null(vt_tensor_map_get_text(map, "skipped"));
    vt_tensor_map_free(map);
}

#define ROWS 300
#define COLUMNS 70

static void fill_storage(hid_t file)
{
    static int values[ROWS * COLUMNS];
    const hsize_t size[2] = {ROWS, COLUMNS}, chunk[2] = {64, 32}, none[2] = {3, 0};
    for (int i = 0; i < ROWS * COLUMNS; i++)
        values[i] = i;
    hid_t group = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t inner = H5Gcreate2(group, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plan, 2, chunk);
    H5Pset_shuffle(plan);
    H5Pset_deflate(plan, 4);
    put(inner, "packed", H5T_STD_I32BE, H5T_NATIVE_INT, 2, size, plan, values);
    H5Pset_fletcher32(plan);
    put(inner, "unwritten", H5T_NATIVE_FLOAT, H5T_NATIVE_FLOAT, 2, size, plan, NULL);
    put(inner, "empty", H5T_NATIVE_FLOAT, H5T_NATIVE_FLOAT, 2, none, H5P_DEFAULT, NULL);
    /* a second name, a soft link, a link to an enclosing group: each thing is read once */
    H5Lcreate_hard(inner, "packed", file, "z", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "a", inner, "loop", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/a/b/packed", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Pclose(plan);
    H5Gclose(inner);
    H5Gclose(group);
}

static void reads_chunks_and_filters(void **state)
{
    vt_tensor_map *map;
    (void)state;
    assert_ok(read_made(&map, fill_storage));
    assert_int_equal(vt_tensor_map_count(map), 3);
    const vt_tensor *packed = vt_tensor_map_find(map, "a/b/packed"),
                    *unwritten = vt_tensor_map_find(map, "a/b/unwritten"),
                    *empty = vt_tensor_map_find(map, "a/b/empty");
    assert_true(packed && unwritten && empty);
    assert_true(packed->ndim == 2 && packed->size[0] == ROWS && packed->size[1] == COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        assert_true(vt_tensor_get(packed, i) == i);
    assert_true(vt_tensor_get(unwritten, 5) == 0);
    assert_int_equal(vt_tensor_count(empty), 0);
    vt_tensor_map_free(map);
}

static void fill_attributes(hid_t file)
{
    put_string(file, "fixed", "abc\0\0\0\0", false, 8);
    put_string(file, "full", "wxyz", false, 4);
    put_string(file, "variable", "hello", true, 0);
    hid_t group = H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_string(group, "name", "layer0_conv", true, 0);
    double number = 1;
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(group, "number", H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_DOUBLE, &number);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Gclose(group);
}

static void reads_string_attributes(void **state)
{
    vt_tensor_map *map;
    (void)state;
    assert_ok(read_made(&map, fill_attributes));
    assert_int_equal(vt_tensor_map_count(map), 0);
    assert_int_equal(vt_tensor_map_text_count(map), 4);
    assert_string_equal(vt_tensor_map_get_text(map, "@fixed"), "abc");
    assert_string_equal(vt_tensor_map_get_text(map, "@full"), "wxyz");
    assert_string_equal(vt_tensor_map_get_text(map, "@variable"), "hello");
    assert_string_equal(vt_tensor_map_get_text(map, "g@name"), "layer0_conv");
    vt_tensor_map_free(map);
}

static char secret[4200]; /* a file that a hostile one points at */

static void fill_others(hid_t file)
{
    const hsize_t seven[7] = {1, 1, 1, 1, 1, 1, 1}, one[1] = {1}, eight[1] = {8};
    double value = 2;
    char long_name[200];
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(plan, secret, 0, 8);
    put(file, "external", H5T_STD_U8LE, H5T_NATIVE_UCHAR, 1, eight, plan, NULL);
    H5Pclose(plan);
    hid_t record = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(record, "x", 0, H5T_NATIVE_DOUBLE);
    put(file, "compound", record, record, 1, one, H5P_DEFAULT, &value);
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    put(file, long_name, H5T_NATIVE_DOUBLE, H5T_NATIVE_DOUBLE, 1, one, H5P_DEFAULT, &value);
    hid_t null = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file, "null", H5T_NATIVE_INT, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(null);
    put(file, "ok", H5T_NATIVE_DOUBLE, H5T_NATIVE_DOUBLE, 1, one, H5P_DEFAULT, &value);
    put(file, "seven", H5T_NATIVE_DOUBLE, H5T_NATIVE_DOUBLE, 7, seven, H5P_DEFAULT, &value);
    hid_t virtual = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, eight, NULL);
    H5Pset_virtual(virtual, space, secret, "data", space);
    put(file, "virtual", H5T_STD_U8LE, H5T_NATIVE_UCHAR, 1, eight, virtual, NULL);
    H5Pclose(virtual);
    H5Sclose(space);
    H5Lcreate_external(secret, "/data", file, "link", H5P_DEFAULT, H5P_DEFAULT);
}

static void leaves_out_what_is_no_plain_dataset(void **state)
{
    char folder[4096];
    vt_tensor_map *map;
    (void)state;
    snprintf(secret, sizeof secret, "%s/secret", new_folder(folder));
    assert_ok(vt_file_write(secret, "password", 8));
    assert_ok(read_made(&map, fill_others));
    remove_folder(folder);
    assert_int_equal(vt_tensor_map_count(map), 1);
    assert_true(vt_tensor_get(vt_tensor_map_find(map, "ok"), 0) == 2);
    const char *skipped = vt_tensor_map_get_text(map, "skipped");
    assert_true(strncmp(skipped, "compound\nexternal\nnnnn", 21) == 0);
    assert_non_null(strstr(skipped, "nnn\nnull\nseven\nvirtual"));
    vt_tensor_map_free(map);
}

/* 10^14 bytes that were never written: a file of a few kilobytes */
static void fill_bomb(hid_t file)
{
    const hsize_t size[2] = {10000000, 10000000}, chunk[2] = {1000, 1000};
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plan, 2, chunk);
    put(file, "huge", H5T_STD_U8LE, H5T_NATIVE_UCHAR, 2, size, plan, NULL);
    H5Pclose(plan);
}

static void refuses_expansion_bombs(void **state)
{
    vt_tensor_map *map = NULL;
    (void)state;
    assert_status(VT_EUNSUPPORTED, read_made(&map, fill_bomb));
    assert_message("made.h5: dataset huge: ");
    assert_message("too many for a file of this size");
    assert_null(map);
}

/* Spikes, of which there are few, compress to a thousandth. */
enum { SPARSE = 12 << 20 };

static void fill_sparse(hid_t file)
{
    double *spikes = calloc(SPARSE, sizeof *spikes);
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    spikes[1000000] = 1;
    H5Pset_chunk(plan, 1, (hsize_t[]){1 << 20});
    H5Pset_deflate(plan, 9);
    put(file, "v1", H5T_NATIVE_DOUBLE, H5T_NATIVE_DOUBLE, 1, (hsize_t[]){SPARSE}, plan, spikes);
    H5Pclose(plan);
    free(spikes);
}

static void reads_what_compresses_well(void **state)
{
    vt_tensor_map *map;
    (void)state;
    assert_ok(read_made(&map, fill_sparse));
    const vt_tensor *v1 = vt_tensor_map_find(map, "v1");
    assert_int_equal(SPARSE, vt_tensor_count(v1));
    assert_true(vt_tensor_get(v1, 1000000) == 1);
    vt_tensor_map_free(map);
}

/* As h5py writes Booleans. */
static void fill_booleans(hid_t file)
{
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    put(file, "b", type, type, 1, (hsize_t[]){3}, H5P_DEFAULT, (int8_t[]){1, 0, 1});
    H5Tclose(type);
}

static void reads_booleans(void **state)
{
    vt_tensor_map *map;
    (void)state;
    assert_ok(read_made(&map, fill_booleans));
    const vt_tensor *b = vt_tensor_map_find(map, "b");
    assert_non_null(b);
    for (int i = 0; i < 3; i++)
        assert_true(vt_tensor_get(b, i) == (i != 1));
    vt_tensor_map_free(map);
}

static void says_what_is_no_hdf5(void **state)
{
    static const char signature[] = "\211HDF\r\n\032\n";
    vt_tensor_map *map = NULL;
    char junk[2048];
    (void)state;
    assert_status(VT_EFORMAT, vt_hdf5_parse(&map, "PK\3\4abcdefgh", 12, "x.h5"));
    assert_message("x.h5: not an HDF5 file");
    assert_status(VT_EFORMAT, vt_hdf5_parse(&map, NULL, 0, "x.h5"));
    assert_status(VT_ENOTFOUND, vt_hdf5_read(&map, "/nonexistent/x.h5"));
    memset(junk, 0x55, sizeof junk);
    memcpy(junk, signature, 8);
    assert_status(VT_EFORMAT, vt_hdf5_parse(&map, junk, sizeof junk, "x.h5"));
    assert_message("x.h5: not a readable HDF5 file: ");
    assert_null(map);
}

static void reads_past_a_user_block(void **state)
{
    char folder[4096], path[4200];
    vt_tensor_map *map;
    (void)state;
    snprintf(path, sizeof path, "%s/made.mat", new_folder(folder));
    hid_t plan = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(plan, 512); /* as MATLAB 7.3 has */
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, plan, H5P_DEFAULT);
    put_double(file, "x", H5T_IEEE_F64LE, 3);
    H5Fclose(file);
    H5Pclose(plan);
    assert_ok(vt_hdf5_read(&map, path));
    assert_true(vt_tensor_get(vt_tensor_map_find(map, "x"), 0) == 3);
    vt_tensor_map_free(map);
    remove_folder(folder);
}

/* Every byte of a file in turn is changed, and the file cut everywhere (in steps). */
static void survives_damage(void **state)
{
    char folder[4096], path[4200];
    void *data;
    size_t size;
    vt_tensor_map *map;
    (void)state;
    snprintf(path, sizeof path, "%s/made.h5", new_folder(folder));
    write_file(path, fill_attributes);
    assert_ok(vt_file_read(&data, &size, path));
    remove_folder(folder);
    unsigned char *bytes = data;
    for (size_t at = 8; at < size; at += 23) {
        bytes[at] ^= 0x81;
        if (vt_hdf5_parse(&map, data, size, "damaged") == VT_OK)
            vt_tensor_map_free(map);
        else
            assert_message("damaged: ");
        bytes[at] ^= 0x81;
    }
    for (size_t length = 0; length < size; length += size / 40)
        assert_status(VT_EFORMAT, vt_hdf5_parse(&map, data, length, "cut"));
    free(data);
}

/* Children that misbehave */

static void crash(const void *data, size_t size, uint64_t limit, int fd)
{
    (void)data, (void)size, (void)limit;
    if (write(fd, "A\1\0x", 4) == 4) raise(SIGSEGV);
}

static void loop(const void *data, size_t size, uint64_t limit, int fd)
{
    (void)data, (void)size, (void)limit, (void)fd;
    volatile int i = 0;
    while (i == 0)
        ;
}

static void give_up(const void *data, size_t size, uint64_t limit, int fd)
{
    (void)data, (void)size, (void)limit, (void)fd;
}

static void babble(const void *data, size_t size, uint64_t limit, int fd)
{
    char noise[1 << 12];
    (void)data, (void)size, (void)limit;
    memset(noise, 'q', sizeof noise);
    while (write(fd, noise, sizeof noise) > 0)
        ;
}

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

/* Answers with what it may still do, as a text. */
static void probe(const void *data, size_t size, uint64_t limit, int fd)
{
    char text[] = "A\1\0k\4\0\0\0????E";
    void *volatile much = malloc((size_t)1 << 30);
    struct sigaction action;
    (void)data, (void)size, (void)limit;
    text[8] = open("/dev/null", O_RDONLY) < 0 ? 'n' : 'y';
    text[9] = sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL ? 'n' : 'y';
    text[10] = fcntl(4, F_GETFD) < 0 ? 'n' : 'y';
    text[11] = !much || WITH_ASAN ? 'n' : 'y';
    if (write(fd, text, sizeof text - 1) < 0) _exit(1);
}

static void be_killed(const void *data, size_t size, uint64_t limit, int fd)
{
    (void)data, (void)size, (void)limit, (void)fd;
    raise(SIGKILL);
}

static void on_signal(int number)
{
    (void)number;
}

static int open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void contains_the_child(void **state)
{
    vt_tensor_map *map = NULL;
    sigset_t before, after;
    (void)state;
    int files = open_files();
    signal(SIGUSR1, on_signal);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_status(VT_EFORMAT, vt_hdf5_parse_with(&map, "", 0, "x", crash, 5));
    assert_message("x: not a readable HDF5 file: the HDF5 library crashed on it");
    assert_status(VT_EFORMAT, vt_hdf5_parse_with(&map, "", 0, "x", give_up, 5));
    assert_message("crashed");
    assert_status(VT_EFORMAT, vt_hdf5_parse_with(&map, "", 0, "x", babble, 5));
    assert_message("x: the HDF5 reader sent an unknown record");
    assert_status(VT_EFORMAT, vt_hdf5_parse_with(&map, "", 0, "x", loop, 1));
    assert_message("x: not a readable HDF5 file: the HDF5 library did not finish in 1 s");
    assert_status(VT_ENOMEM, vt_hdf5_parse_with(&map, "", 0, "x", be_killed, 5));
    assert_message("x: the HDF5 reader was killed");
    assert_null(map);
    assert_ok(vt_hdf5_parse_with(&map, "", 0, "x", probe, 5));
    assert_string_equal(vt_tensor_map_get_text(map, "k"), "nnnn");
    vt_tensor_map_free(map);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++)
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    assert_int_equal(open_files(), files);
    assert_true(waitpid(-1, NULL, WNOHANG) < 0); /* no child is left */

    signal(SIGCHLD, SIG_IGN); /* a host that never waits */
    assert_status(VT_EFORMAT, vt_hdf5_parse_with(&map, "", 0, "x", crash, 5));
    assert_ok(vt_hdf5_parse_with(&map, "", 0, "x", probe, 5));
    vt_tensor_map_free(map);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
}

static void fill_one(hid_t file)
{
    static float values[100000];
    const hsize_t size[1] = {100000};
    for (int i = 0; i < 100000; i++)
        values[i] = (float)i;
    put(file, "values", H5T_NATIVE_FLOAT, H5T_NATIVE_FLOAT, 1, size, H5P_DEFAULT, values);
}

/* Several threads fork at once, while others allocate. */
static void reads_in_threads(void **state)
{
    char folder[4096], path[4200];
    void *data;
    size_t size;
    int bad = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/made.h5", new_folder(folder));
    write_file(path, fill_one);
    assert_ok(vt_file_read(&data, &size, path));
    remove_folder(folder);
    /* AddressSanitizer's own locks do not survive a fork beside other threads. */
    int threads = WITH_ASAN ? 1 : 8;
#pragma omp parallel for num_threads(threads) reduction(+ : bad)
    for (int i = 0; i < 64; i++) {
        vt_tensor_map *map;
        if (vt_hdf5_parse(&map, data, size, "x") == VT_OK) {
            bad += vt_tensor_get(vt_tensor_map_find(map, "values"), 99999) != 99999;
            vt_tensor_map_free(map);
        } else {
            bad++;
        }
    }
    assert_int_equal(bad, 0);
    free(data);
}

#define stream(code, message, bytes)                                                               \
    do {                                                                                           \
        vt_tensor_map *none = NULL;                                                                \
        assert_status(code, vt_hdf5_stream_parse(&none, bytes, sizeof bytes - 1, 1000, "x"));      \
        assert_null(none);                                                                         \
        assert_message(message);                                                                   \
    } while (0)

static void trusts_nothing_of_the_stream(void **state)
{
    (void)state;
    stream(VT_EFORMAT, "stopped early", "");
    stream(VT_EFORMAT, "stopped early", "T\1");
    stream(VT_EFORMAT, "unknown record", "?");
    stream(VT_EFORMAT, "name of 0 bytes", "T\0\0");
    stream(VT_EFORMAT, "name of 256 bytes", "T\0\1");
    stream(VT_EFORMAT, "NUL byte", "T\2\0a\0");
    stream(VT_EFORMAT, "dtype 77", "T\1\0a\115\0");
    stream(VT_EFORMAT, "7 dimensions", "T\1\0a\13\7");
    stream(VT_EFORMAT, "too large", "T\1\0a\13\1\0\0\0\0\1\0\0\0xxxx");
    stream(VT_EFORMAT, "negative", "T\1\0a\13\1\0\0\0\0\0\0\0\200xxxx");
    stream(VT_EFORMAT, "addressed", "T\1\0a\13\1\0\0\0\0\0\0\0\77xxxx");
    stream(VT_EFORMAT, "too large", "T\1\0a\1\1\3\0\0\0\0\0\0\0xx");
    stream(VT_EFORMAT, "two tensors", "T\1\0a\1\0xT\1\0a\1\0xE");
    stream(VT_EFORMAT, "too long a text", "A\1\0k\377\377\377\377x");
    stream(VT_EFORMAT, "x: bad?news", "X\374\377\377\377\10\0bad\nnews");
    stream(VT_ENOMEM, "x: no", "X\376\377\377\377\2\0no");
    stream(VT_EFORMAT, "x: ok", "X\0\0\0\0\2\0ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_of_all_kinds),
        cmocka_unit_test(reads_chunks_and_filters),
        cmocka_unit_test(reads_string_attributes),
        cmocka_unit_test(leaves_out_what_is_no_plain_dataset),
        cmocka_unit_test(refuses_expansion_bombs),
        cmocka_unit_test(reads_what_compresses_well),
        cmocka_unit_test(reads_booleans),
        cmocka_unit_test(says_what_is_no_hdf5),
        cmocka_unit_test(reads_past_a_user_block),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(contains_the_child),
        cmocka_unit_test(reads_in_threads),
        cmocka_unit_test(trusts_nothing_of_the_stream),
    };
    return cmocka_run_group_tests_name("hdf5", tests, NULL, NULL);
}
