/* zip archives: round trips, threads, damage, lies about sizes, encryption, real archives. */
#include "test.h"

#include <pthread.h>

#include "base/arena.h"
#include "ventral/io.h"

enum { LOCAL = 30, CENTRAL = 46, END = 22 };

static void put(unsigned char *p, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

/* An archive of one stored entry "a" with contents "hello"; every field can then be spoilt. */
static size_t make_archive(unsigned char out[256])
{
    static const unsigned crc = 0x3610a686; /* of "hello" */
    unsigned char *central = out + LOCAL + 1 + 5, *end = central + CENTRAL + 1;
    memset(out, 0, 256);
    put(out, 4, 0x04034b50);
    put(out + 4, 2, 20);
    put(out + 14, 4, crc);
    put(out + 18, 4, 5);
    put(out + 22, 4, 5);
    put(out + 26, 2, 1);
    memcpy(out + LOCAL, "ahello", 6);
    put(central, 4, 0x02014b50);
    put(central + 4, 2, 20);
    put(central + 6, 2, 20);
    put(central + 16, 4, crc);
    put(central + 20, 4, 5);
    put(central + 24, 4, 5);
    put(central + 28, 2, 1);
    central[CENTRAL] = 'a';
    put(end, 4, 0x06054b50);
    put(end + 8, 2, 1);
    put(end + 10, 2, 1);
    put(end + 12, 4, CENTRAL + 1);
    put(end + 16, 4, (uint64_t)(central - out));
    return (size_t)(end + END - out);
}

static vt_status read_first(const void *bytes, size_t size, void **data, size_t *data_size)
{
    vt_zip *zip;
    VT_TRY(vt_zip_open_memory(&zip, bytes, size, "memory.zip"));
    vt_status status = vt_zip_read(zip, 0, data, data_size);
    vt_zip_close(zip);
    return status;
}

static vt_status read_first_of_file(const void *bytes, size_t size)
{
    char folder[4096], path[4200];
    vt_zip *zip;
    void *data;
    size_t data_size;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.zip", folder);
    assert_ok(vt_file_write(path, bytes, size));
    vt_status status = vt_zip_open(&zip, path);
    if (status == VT_OK) {
        status = vt_zip_read(zip, 0, &data, &data_size);
        vt_zip_close(zip);
    }
    if (status == VT_OK) free(data);
    remove_folder(folder);
    return status;
}

static void test_minimal(void **state)
{
    (void)state;
    unsigned char bytes[256];
    vt_zip *zip;
    void *data;
    size_t used = make_archive(bytes), size;
    assert_ok(vt_zip_open_memory(&zip, bytes, used, "x"));
    assert_int_equal(1, vt_zip_count(zip));
    assert_string_equal("a", vt_zip_name(zip, 0));
    assert_null(vt_zip_name(zip, 1));
    assert_null(vt_zip_name(zip, -1));
    assert_int_equal(0, vt_zip_find(zip, "a"));
    assert_int_equal(-1, vt_zip_find(zip, "b"));
    assert_ok(vt_zip_read(zip, 0, &data, &size));
    assert_int_equal(5, size);
    assert_string_equal("hello", data);
    free(data);
    assert_status(VT_EINVAL, vt_zip_read(zip, 1, &data, &size));
    assert_status(VT_EINVAL, vt_zip_read(zip, -1, &data, &size));
    vt_zip_close(zip);
    for (size_t cut = 0; cut < used; cut++)
        assert_status(VT_EFORMAT, read_first(bytes, cut, &data, &size));
}

static void test_lies(void **state)
{
    (void)state;
    enum { C = LOCAL + 6 }; /* where the central entry is */
    static const struct {
        const char *what;
        int at, bytes;
        uint64_t value;
        vt_status status;
        const char *message;
    } rows[] = {
        {"central crc", C + 16, 4, 1, VT_EFORMAT, "CRC"},
        {"contents", LOCAL + 1, 1, 'H', VT_EFORMAT, "CRC"},
        {"stored size", C + 24, 4, 0xfffffff0, VT_EFORMAT, "cannot be"},
        {"compressed size", C + 20, 4, 0xfffffff0, VT_EFORMAT, "beyond the archive"},
        {"encrypted", C + 8, 2, 1, VT_EUNSUPPORTED, "encrypted"},
        {"method", C + 10, 2, 12, VT_EUNSUPPORTED, "method 12"},
        {"deflated garbage", C + 10, 2, 8, VT_EFORMAT, "entry a"},
        {"local offset", C + 42, 4, 0x7fffffff, VT_EFORMAT, ""},
        {"central offset", C + CENTRAL + 1 + 16, 4, 0x7fffffff, VT_EFORMAT, ""},
        {"central size", C + CENTRAL + 1 + 12, 4, 0x7fffffff, VT_EFORMAT, ""},
        {"entries", C + CENTRAL + 1 + 10, 2, 0xfffe, VT_EFORMAT, ""},
        {"name length", C + 28, 2, 0xffff, VT_EFORMAT, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char bytes[256];
        void *data = NULL;
        size_t used = make_archive(bytes), size;
        put(bytes + rows[i].at, rows[i].bytes, rows[i].value);
        assert_status(rows[i].status, read_first_of_file(bytes, used));
        vt_status status = read_first(bytes, used, &data, &size);
        if (status == VT_OK) free(data);
        if (status != rows[i].status || !strstr(vt_error_message(), rows[i].message) ||
            !strstr(vt_error_message(), "memory.zip"))
            fail_msg("%s: status %d, message '%s'", rows[i].what, status, vt_error_message());
    }
    /* A deflated entry whose size would need a ratio no deflate stream has. */
    unsigned char bytes[256];
    void *data;
    size_t used = make_archive(bytes), size;
    put(bytes + C + 10, 2, 8);
    put(bytes + C + 24, 4, 0x7fffffff);
    assert_status(VT_EFORMAT, read_first(bytes, used, &data, &size));
    assert_message("cannot be");
}

/* What a hostile name does to the message: it stays one line without escape sequences. */
static void test_name_in_message(void **state)
{
    (void)state;
    unsigned char bytes[256];
    void *data;
    size_t used = make_archive(bytes), size;
    bytes[LOCAL] = bytes[LOCAL + 6 + CENTRAL] = '\n';
    bytes[LOCAL + 1] = 'H';
    assert_status(VT_EFORMAT, read_first(bytes, used, &data, &size));
    assert_message("CRC");
    assert_null(strpbrk(vt_error_message(), "\n\x1b"));
}

/* Two central entries that share one local entry: how zip bombs multiply. */
static void test_overlap(void **state)
{
    (void)state;
    unsigned char bytes[256], end[END];
    vt_zip *zip;
    size_t used = make_archive(bytes);
    enum { C = LOCAL + 6, ONE = CENTRAL + 1, MANY = 2 };
    memcpy(end, bytes + used - END, END);
    memcpy(bytes + C + ONE, bytes + C, ONE);
    put(bytes + C + 20, 4, 100);
    put(bytes + C + ONE + 20, 4, 100);
    put(end + 8, 2, MANY);
    put(end + 10, 2, MANY);
    put(end + 12, 4, MANY * ONE);
    memcpy(bytes + C + MANY * ONE, end, END);
    assert_status(VT_EFORMAT, vt_zip_open_memory(&zip, bytes, used + ONE, "bomb.zip"));
    assert_message("bomb.zip");
    assert_message("overlaps");
}

static void test_not_an_archive(void **state)
{
    (void)state;
    vt_zip *zip;
    assert_status(VT_EFORMAT, vt_zip_open_memory(&zip, "", 0, "nothing"));
    assert_message("nothing");
    assert_status(VT_EFORMAT, vt_zip_open_memory(&zip, "not a zip archive, only text", 28, "text"));
    assert_message("text");
    assert_status(VT_ENOTFOUND, vt_zip_open(&zip, "/nowhere/x.zip"));
    assert_message("/nowhere/x.zip");
    assert_status(VT_EIO, vt_zip_open(&zip, "/"));
    assert_status(VT_EIO, vt_zip_open(&zip, "/dev/zero"));
}

static vt_status write_archive(const char *path, int count)
{
    vt_zip_writer *w;
    VT_TRY(vt_zip_writer_new(&w, path));
    for (int i = 0; i < count; i++) {
        char name[64], *data = malloc((size_t)(i * 37 % 5000) + 1);
        for (int k = 0; k < i * 37 % 5000; k++)
            data[k] = (char)(k * i >> 3);
        snprintf(name, sizeof name, i % 3 ? "folder/entry%d" : "\xc3\xa9ntry%d", i);
        vt_status status = vt_zip_writer_add(w, name, data, (size_t)(i * 37 % 5000), i % 2 == 0);
        free(data);
        if (status != VT_OK) {
            vt_zip_writer_abort(w);
            return status;
        }
    }
    return vt_zip_writer_finish(w);
}

static bool entry_is_right(vt_zip *zip, int i)
{
    char name[64], *data;
    size_t size;
    snprintf(name, sizeof name, i % 3 ? "folder/entry%d" : "\xc3\xa9ntry%d", i);
    int64_t index = vt_zip_find(zip, name);
    if (index != i || strcmp(vt_zip_name(zip, index), name) != 0) return false;
    if (vt_zip_read(zip, index, (void **)&data, &size) != VT_OK) return false;
    bool right = size == (size_t)(i * 37 % 5000);
    for (int k = 0; k < i * 37 % 5000; k++)
        right = right && data[k] == (char)(k * i >> 3);
    free(data);
    return right;
}

enum { ENTRIES = 400, READERS = 4 };

static void *read_everything(void *context)
{
    intptr_t wrong = 0;
    for (int i = 0; i < ENTRIES; i++)
        wrong += !entry_is_right(context, i);
    return (void *)wrong;
}

static void test_write_and_read_from_threads(void **state)
{
    (void)state;
    char folder[4096], path[4200], again[4200];
    vt_zip *zip;
    pthread_t threads[READERS];
    void *first, *second, *wrong;
    size_t first_size, second_size;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.zip", folder);
    snprintf(again, sizeof again, "%s/b.zip", folder);
    assert_ok(write_archive(path, ENTRIES));
    assert_ok(vt_zip_open(&zip, path));
    assert_int_equal(ENTRIES, vt_zip_count(zip));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, read_everything, zip));
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(0, pthread_join(threads[i], &wrong));
        assert_null(wrong);
    }
    vt_zip_close(zip);

    assert_ok(write_archive(again, ENTRIES)); /* the same entries give the same bytes */
    assert_ok(vt_file_read(&first, &first_size, path));
    assert_ok(vt_file_read(&second, &second_size, again));
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    remove_folder(folder);
}

/* The best that deflate can do is not taken for a lie. */
static void test_extreme_compression(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    char folder[4096], path[4200], *zeros = calloc(1, SIZE);
    vt_zip_writer *w;
    vt_zip *zip;
    void *archive, *data;
    size_t archive_size, size;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.zip", folder);
    assert_ok(vt_zip_writer_new(&w, path));
    assert_ok(vt_zip_writer_add(w, "zeros", zeros, SIZE, true));
    assert_ok(vt_zip_writer_finish(w));
    assert_ok(vt_file_read(&archive, &archive_size, path));
    assert_true(archive_size < SIZE / 1000);
    free(archive);
    assert_ok(vt_zip_open(&zip, path));
    assert_ok(vt_zip_read(zip, 0, &data, &size));
    assert_int_equal(SIZE, size);
    assert_memory_equal(zeros, data, SIZE);
    vt_zip_close(zip);
    free(data);
    free(zeros);
    remove_folder(folder);
}

static void test_writer_refusals(void **state)
{
    (void)state;
    char folder[4096], path[4200], command[4300];
    vt_zip_writer *w;
    vt_zip *zip;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.zip", folder);
    assert_ok(vt_zip_writer_new(&w, path));
    assert_ok(vt_zip_writer_add(w, "a", "x", 1, false));
    assert_status(VT_EINVAL, vt_zip_writer_add(w, "a", "y", 1, false));
    assert_message("entry a");
    assert_status(VT_EINVAL, vt_zip_writer_add(w, "\xff", "y", 1, false));
    assert_int_not_equal(0, access(path, F_OK));
    vt_zip_writer_abort(w);
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s')\"", folder);
    assert_int_equal(0, system(command));

    assert_ok(vt_zip_writer_new(&w, path)); /* an archive without entries is one too */
    assert_ok(vt_zip_writer_finish(w));
    assert_ok(vt_zip_open(&zip, path));
    assert_int_equal(0, vt_zip_count(zip));
    vt_zip_close(zip);

    snprintf(path, sizeof path, "%s/absent/a.zip", folder);
    assert_status(VT_ENOTFOUND, vt_zip_writer_new(&w, path));
    assert_message(path);
    remove_folder(folder);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[4096], path[4200], command[4300];
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.zip", folder);
    for (int n = 0, done = 0; !done; n++) {
        assert_true(n < 50);
        vt_alloc_fail_after(n);
        vt_status status = write_archive(path, 3);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        done = status == VT_OK;
    }
    for (int n = 0, done = 0; !done; n++) {
        vt_zip *zip;
        void *data;
        size_t size;
        assert_true(n < 50);
        vt_alloc_fail_after(n);
        vt_status status = vt_zip_open(&zip, path);
        if (status == VT_OK) {
            status = vt_zip_read(zip, 1, &data, &size);
            if (status == VT_OK) free(data);
            vt_zip_close(zip);
        }
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
        done = status == VT_OK;
    }
    snprintf(command, sizeof command, "test \"$(ls -A '%s')\" = a.zip", folder);
    assert_int_equal(0, system(command));
    remove_folder(folder);
}

static void test_published_archive(void **state)
{
    (void)state;
    need_shared(path, "V4_compact_models/data_V4_responses/images/images_190923.zip");
    vt_zip *zip;
    int64_t folders = 0;
    assert_ok(vt_zip_open(&zip, path));
    assert_true(vt_zip_count(zip) >= 1200);
    for (int64_t i = 0; i < vt_zip_count(zip); i++) {
        const char *name = vt_zip_name(zip, i);
        void *data;
        size_t size;
        assert_int_equal(i, vt_zip_find(zip, name));
        assert_ok(vt_zip_read(zip, i, &data, &size));
        if (name[strlen(name) - 1] == '/')
            folders += size == 0;
        else
            assert_true(size > 100);
        free(data);
    }
    print_message("%lld entries, %lld folders\n", (long long)vt_zip_count(zip), (long long)folders);
    vt_zip_close(zip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_name_in_message),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_not_an_archive),
        cmocka_unit_test(test_write_and_read_from_threads),
        cmocka_unit_test(test_extreme_compression),
        cmocka_unit_test(test_writer_refusals),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_published_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
