/* Files of records: what is appended is found again, whatever moment the last process ended at;
 * other makers, damage, a second process and a full disk are refused by name. */
#include "test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "io/records.h"
#include "ventral/io.h"

enum { SIZE = 12, COUNT = 7 };

static const vt_records_part parts[] = {{"a.keras", 11}, {"b.keras", 22}};
static const vt_records_format format = {
    .kind = "responses", .parts = parts, .part_count = 2, .record_size = SIZE};

static char folder[4096], path[4200];

static int make_folder(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0); /* where syncs are quick */
    new_folder(folder);
    snprintf(path, sizeof path, "%s/cache", folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static uint64_t key_of(int64_t i)
{
    return (uint64_t)i * 0x9E3779B97F4A7C15u;
}

static void fill(char record[SIZE], int64_t i)
{
    for (int k = 0; k < SIZE; k++)
        record[k] = (char)(17 * i + k);
}

static vt_status append(vt_records *r, int64_t first, int64_t count)
{
    uint64_t keys[64] = {0}, stamps[64] = {0};
    char data[64 * SIZE] = {0};
    for (int64_t i = 0; i < count; i++) {
        keys[i] = key_of(first + i);
        stamps[i] = 1000 + (uint64_t)(first + i);
        fill(data + i * SIZE, first + i);
    }
    return vt_records_append(r, keys, stamps, data, count);
}

/* Those of the first `count` that are there are right; returns their number. */
static int64_t check(const vt_records *r, int64_t count)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        char expected[SIZE], got[SIZE];
        int64_t index = vt_records_find(r, key_of(i));
        if (index < 0) continue;
        fill(expected, i);
        assert_ok(vt_records_read(r, index, got));
        assert_memory_equal(expected, got, SIZE);
        assert_int_equal(1000 + i, vt_records_stamp(r, index));
        found++;
    }
    return found;
}

/* Blocks of 4 and 3. */
static void write_small(void **data, size_t *size)
{
    vt_records *r;
    unlink(path);
    assert_ok(vt_records_open(&r, path, &format));
    assert_ok(append(r, 0, 4));
    assert_ok(append(r, 4, 3));
    vt_records_close(r);
    assert_ok(vt_file_read(data, size, path));
}

static void overwrite(const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(size, fwrite(data, 1, size, file));
    fclose(file);
}

static off_t file_size(void)
{
    struct stat info;
    assert_int_equal(0, stat(path, &info));
    return info.st_size;
}

static void test_round_trip(void **state)
{
    (void)state;
    vt_records *r;
    assert_ok(vt_records_open(&r, path, &format));
    assert_int_equal(0, vt_records_count(r));
    assert_int_equal(-1, vt_records_find(r, key_of(3)));
    int64_t total = 0;
    for (int64_t block = 0; block < 40; block++) { /* the table grows several times */
        assert_ok(append(r, total, 1 + block % 5));
        total += 1 + block % 5;
        assert_int_equal(total, check(r, 300));
    }
    assert_ok(append(r, 0, 0));
    vt_records_close(r);
    assert_ok(vt_records_open(&r, path, &format));
    assert_int_equal(total, vt_records_count(r));
    assert_int_equal(total, check(r, 300));
    /* Of two records under one key the first is found, now and later. */
    uint64_t key = key_of(5), stamp = 1;
    assert_ok(vt_records_append(r, &key, &stamp, "another one.", 1));
    assert_int_equal(total, check(r, 300));
    vt_records_close(r);
    assert_ok(vt_records_open(&r, path, &format));
    assert_int_equal(total + 1, vt_records_count(r));
    assert_int_equal(total, check(r, 300));
    vt_records_close(r);
}

/* Cut anywhere, the file opens, holds its whole blocks, and can be completed to the same bytes. */
static void test_torn_at_every_byte(void **state)
{
    (void)state;
    void *whole, *again;
    size_t size, again_size;
    vt_records *r;
    write_small(&whole, &size);
    for (size_t cut = 0; cut <= size; cut++) {
        overwrite(whole, cut);
        assert_ok(vt_records_open(&r, path, &format));
        int64_t found = check(r, COUNT), count = vt_records_count(r);
        assert_int_equal(found, count);
        assert_true(count == 0 || count == 4 || count == 7);
        assert_int_equal(cut == size, count == 7);
        if (count == 0) assert_ok(append(r, 0, 4));
        if (count < 7) assert_ok(append(r, 4, 3));
        vt_records_close(r);
        assert_ok(vt_file_read(&again, &again_size, path));
        assert_int_equal(size, again_size);
        assert_memory_equal(whole, again, size);
        free(again);
    }
    free(whole);
}

/* What a power cut leaves: the file has its length, but not yet its bytes. */
static void test_tail_of_zeros(void **state)
{
    (void)state;
    char *whole;
    size_t size;
    vt_records *r;
    write_small((void **)&whole, &size);
    size_t last = 40 + 3 * (24 + SIZE);
    for (size_t kept = size - last; kept < size; kept++) {
        char *spoiled = vt_alloc(size, 1);
        memcpy(spoiled, whole, kept);
        if (memcmp(spoiled, whole, size) == 0) { /* the rest is zeros anyway */
            free(spoiled);
            continue;
        }
        overwrite(spoiled, size);
        assert_ok(vt_records_open(&r, path, &format));
        assert_int_equal(4, vt_records_count(r));
        assert_int_equal(4, check(r, COUNT));
        assert_int_equal(size - last, file_size());
        vt_records_close(r);
        free(spoiled);
    }
    free(whole);
}

/* Any byte changed: the file is refused, or what is read is right all the same. */
static void test_damage_at_every_byte(void **state)
{
    (void)state;
    char *whole, record[SIZE];
    size_t size, refused = 0;
    vt_records *r;
    write_small((void **)&whole, &size);
    for (size_t at = 0; at < size; at++) {
        whole[at] ^= 0x41;
        overwrite(whole, size);
        whole[at] ^= 0x41;
        vt_status status = vt_records_open(&r, path, &format);
        if (status != VT_OK) {
            assert_true(status == VT_EFORMAT || status == VT_EINVAL);
            assert_message(path);
            assert_int_equal(size, file_size()); /* nothing is cut off a damaged file */
            refused++;
            continue;
        }
        for (int64_t i = 0; i < COUNT; i++) {
            int64_t index = vt_records_find(r, key_of(i));
            if (index < 0) continue;
            char expected[SIZE];
            fill(expected, i);
            status = vt_records_read(r, index, record);
            if (status == VT_OK)
                assert_memory_equal(expected, record, SIZE);
            else
                assert_int_equal(VT_EFORMAT, status);
        }
        vt_records_close(r);
    }
    assert_true(refused > 192 + 2 * 128 + 40); /* header, parts, the first head at least */
    free(whole);
}

static void test_other_makers(void **state)
{
    (void)state;
    void *whole;
    size_t size;
    vt_records *r;
    write_small(&whole, &size);
    free(whole);
    const struct {
        vt_records_part parts[3];
        int count;
        const char *says;
    } cases[] = {
        {{{"a.keras", 11}, {"b.keras", 23}}, 2, "b.keras, which has changed since"},
        {{{"a.keras", 11}}, 1, "b.keras, which is not given now"},
        {{{"a.keras", 11}, {"c.keras", 33}}, 2, "b.keras, which is not given now"},
        {{{"a.keras", 11}, {"b.keras", 22}, {"c.keras", 33}}, 3, "holds no responses of c.keras"},
        {{{"b.keras", 22}, {"a.keras", 11}}, 2, "another order: a.keras where b.keras"},
        {{{"a.keras", 11}, {"b.keras", 22}, {"b.keras", 22}}, 3, "of 2 models, 3 are given"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_records_format other = format;
        other.parts = cases[i].parts;
        other.part_count = cases[i].count;
        assert_status(VT_EINVAL, vt_records_open(&r, path, &other));
        assert_message(cases[i].says);
        assert_message(path);
    }
    vt_records_format other = format;
    other.kind = "features";
    assert_status(VT_EINVAL, vt_records_open(&r, path, &other));
    assert_message("holds responses, not features");
    other = format;
    other.record_size = SIZE + 1;
    assert_status(VT_EINVAL, vt_records_open(&r, path, &other));
    /* The same weights under another name are the same model. */
    const vt_records_part renamed[] = {{"x.keras", 11}, {"y.keras", 22}};
    other = format;
    other.parts = renamed;
    assert_ok(vt_records_open(&r, path, &other));
    assert_int_equal(COUNT, check(r, COUNT));
    vt_records_close(r);
}

static void test_refusals(void **state)
{
    (void)state;
    vt_records *r;
    char other[4300];
    overwrite("not a file of records", 21);
    assert_status(VT_EFORMAT, vt_records_open(&r, path, &format));
    assert_message("not a file of stored responses");
    assert_int_equal(21, file_size());
    char zeros[1000] = {0};
    overwrite(zeros, sizeof zeros);
    assert_status(VT_EFORMAT, vt_records_open(&r, path, &format));
    assert_int_equal(1000, file_size());
    assert_status(VT_EIO, vt_records_open(&r, folder, &format));
    assert_status(VT_EIO, vt_records_open(&r, "/dev/null", &format));
    snprintf(other, sizeof other, "%s/none/cache", folder);
    assert_status(VT_ENOTFOUND, vt_records_open(&r, other, &format));
    assert_message(other);
    vt_records_format bad = format;
    bad.record_size = 0;
    assert_status(VT_EINVAL, vt_records_open(&r, path, &bad));
}

/* Runs in a process of its own: 0 when it was told that the file is in use. */
static void test_second_process(void **state)
{
    (void)state;
    vt_records *r, *second;
    int status;
    unlink(path);
    assert_ok(vt_records_open(&r, path, &format));
    assert_ok(append(r, 0, 4));
    pid_t child = fork();
    if (child == 0) {
        bool refused = vt_records_open(&second, path, &format) == VT_EIO;
        _exit(refused && strstr(vt_error_message(), "another process") ? 0 : 1);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_status(VT_EIO, vt_records_open(&second, path, &format)); /* nor the same process */
    assert_ok(append(r, 4, 3));
    vt_records_close(r);
    assert_ok(vt_records_open(&r, path, &format));
    assert_int_equal(COUNT, check(r, COUNT));
    vt_records_close(r);
}

/* A process that appends blocks is killed at some moment: whole blocks are there, nothing else. */
static void test_killed(void **state)
{
    (void)state;
    enum { RECORDS = 64 };
    vt_records *r;
    int64_t most = 0;
    unlink(path);
    for (int turn = 0; turn < 12; turn++) {
        int ready[2], status;
        char byte;
        assert_int_equal(0, pipe(ready));
        pid_t child = fork();
        if (child == 0) {
            if (vt_records_open(&r, path, &format) != VT_OK) _exit(1);
            int64_t first = vt_records_count(r);
            bool later = turn % 2; /* from its first block on */
            if (!later && write(ready[1], "x", 1) != 1) _exit(1);
            if (append(r, first, RECORDS) != VT_OK) _exit(2);
            if (later && write(ready[1], "x", 1) != 1) _exit(1);
            while (append(r, first += RECORDS, RECORDS) == VT_OK)
                continue;
            _exit(2);
        }
        close(ready[1]);
        assert_int_equal(1, read(ready[0], &byte, 1));
        close(ready[0]);
        usleep((useconds_t)(100 + 6379 * turn));
        kill(child, SIGKILL);
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFSIGNALED(status));
        assert_ok(vt_records_open(&r, path, &format));
        assert_int_equal(0, vt_records_count(r) % RECORDS);
        assert_true(vt_records_count(r) >= most);
        most = vt_records_count(r);
        assert_int_equal(most, check(r, most));
        vt_records_close(r);
    }
    assert_true(most > 0);
}

/* A disk that is full while a block is written: the file is as before and can be gone on with. */
static void test_full_disk(void **state)
{
    (void)state;
    vt_records *r;
    void *whole;
    size_t size;
    int status;
    write_small(&whole, &size);
    free(whole);
    for (size_t limit = size; limit < size + 40 + 4 * (24 + SIZE); limit += 7) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            struct rlimit bytes = {limit, limit};
            setrlimit(RLIMIT_FSIZE, &bytes);
            if (vt_records_open(&r, path, &format) != VT_OK) _exit(1);
            if (append(r, 7, 4) != VT_EIO) _exit(2);
            if (!strstr(vt_error_message(), path)) _exit(3);
            _exit(vt_records_count(r) == COUNT && vt_records_find(r, key_of(7)) < 0 ? 0 : 4);
        }
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFEXITED(status));
        assert_int_equal(0, WEXITSTATUS(status));
        assert_int_equal(size, file_size());
    }
    assert_ok(vt_records_open(&r, path, &format));
    assert_ok(append(r, 7, 4));
    assert_int_equal(11, check(r, 11));
    vt_records_close(r);

    /* Not even the header: no file is left. */
    unlink(path);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit bytes = {100, 100};
        setrlimit(RLIMIT_FSIZE, &bytes);
        _exit(vt_records_open(&r, path, &format) == VT_EIO ? 0 : 1);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(0, WEXITSTATUS(status));
    assert_int_equal(-1, access(path, F_OK));
}

static void test_short_memory(void **state)
{
    (void)state;
    vt_records *r = NULL;
    void *whole;
    size_t size;
    write_small(&whole, &size);
    free(whole);
    vt_status status = VT_ENOMEM;
    for (int i = 0; i < 50 && status != VT_OK; i++) {
        vt_alloc_fail_after(i);
        status = vt_records_open(&r, path, &format);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_OK || status == VT_ENOMEM);
    }
    assert_int_equal(VT_OK, status);
    assert_int_equal(COUNT, check(r, COUNT));
    int failed = 0;
    for (int64_t first = COUNT; first + 50 < 600; first += 50) {
        off_t before = file_size();
        vt_alloc_fail_after(0);
        status = append(r, first, 50);
        vt_alloc_fail_after(-1);
        if (status != VT_OK) {
            assert_int_equal(VT_ENOMEM, status);
            assert_int_equal(before, file_size());
            assert_ok(append(r, first, 50));
            failed++;
        }
        assert_int_equal(first + 50, check(r, 700));
    }
    assert_true(failed > 1);
    vt_records_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_tail_of_zeros),  cmocka_unit_test(test_damage_at_every_byte),
        cmocka_unit_test(test_other_makers),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_second_process), cmocka_unit_test(test_killed),
        cmocka_unit_test(test_full_disk),      cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
