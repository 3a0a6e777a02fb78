/* Whole files: contents, atomic replacement, unwritable targets, a full disk. */
#include "test.h"

#include "io/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "ventral/io.h"

static int files_in(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

static void test_round_trip(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    void *data;
    size_t size;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a", folder);
    for (size_t n = 0; n < 200000; n = 3 * n + 1) {
        char *bytes = vt_alloc(n, 1);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(i * 7);
        assert_ok(vt_file_write(path, bytes, n));
        assert_ok(vt_file_read(&data, &size, path));
        assert_int_equal(n, size);
        assert_memory_equal(bytes, data, n);
        assert_int_equal(0, ((char *)data)[n]);
        free(data);
        free(bytes);
    }
    assert_int_equal(1, files_in(folder));
    remove_folder(folder);
}

static void test_pipe_and_growing_files(void **state)
{
    (void)state;
    int ends[2];
    char path[64];
    void *data;
    size_t size;
    assert_int_equal(0, pipe(ends));
    char bytes[10000];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(sizeof bytes, write(ends[1], bytes, sizeof bytes));
    close(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    assert_ok(vt_file_read(&data, &size, path));
    close(ends[0]);
    assert_int_equal(sizeof bytes, size);
    free(data);
    assert_ok(vt_file_read(&data, &size, "/proc/self/status")); /* says its size is 0 */
    assert_true(size > 100);
    free(data);
}

static void test_refusals(void **state)
{
    (void)state;
    char folder[4096], path[4600];
    void *data;
    size_t size;
    new_folder(folder);
    assert_status(VT_EIO, vt_file_read(&data, &size, folder));
    assert_message("folder");
    assert_status(VT_EIO, vt_file_read(&data, &size, "/dev/zero"));
    assert_status(VT_EIO, vt_file_write(folder, "x", 1));
    assert_status(VT_EIO, vt_file_write("/dev/null", "x", 1));
    assert_message("not a regular file");
    snprintf(path, sizeof path, "%s/absent", folder);
    assert_status(VT_ENOTFOUND, vt_file_read(&data, &size, path));
    assert_message("No such file");
    snprintf(path, sizeof path, "%s/absent/x", folder);
    assert_status(VT_ENOTFOUND, vt_file_write(path, "x", 1));
    assert_message(path);
    snprintf(path, sizeof path, "%s/%0300d", folder, 1);
    assert_status(VT_EIO, vt_file_write(path, "x", 1));
    assert_int_equal(0, files_in(folder));
    remove_folder(folder);
}

static void test_links_and_modes(void **state)
{
    (void)state;
    char folder[4096], path[4200], link[4200];
    struct stat info;
    void *data;
    size_t size;
    mode_t old = umask(027);
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_ok(vt_file_write(path, "old", 3));
    assert_int_equal(0, symlink("a", link));
    assert_ok(vt_file_write(link, "newer", 5));
    assert_int_equal(0, lstat(link, &info));
    assert_true(S_ISLNK(info.st_mode));
    assert_ok(vt_file_read(&data, &size, path));
    assert_string_equal("newer", data);
    free(data);
    assert_int_equal(0, stat(path, &info));
    assert_int_equal(0640, info.st_mode & 0777);
    umask(old);
    remove_folder(folder);
}

/* Runs `write_to` on a target in a process that may write files of 1000 bytes only, as if the disk
 * were full: it must say so, keep the old file and leave no temporary one. */
static void expect_full_disk(const char *name, vt_status (*write_to)(const char *path))
{
    char folder[4096], path[4200];
    void *data;
    size_t size;
    int exit_status;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(vt_file_write(path, "old", 3));
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = {1000, 1000};
        setrlimit(RLIMIT_FSIZE, &limit);
        bool refused = write_to(path) == VT_EIO;
        bool says =
            strstr(vt_error_message(), "File too large") && strstr(vt_error_message(), name);
        _exit(!refused ? 1 : !says ? 2 : 0);
    }
    assert_int_equal(child, waitpid(child, &exit_status, 0));
    assert_true(WIFEXITED(exit_status));
    assert_int_equal(0, WEXITSTATUS(exit_status));
    assert_ok(vt_file_read(&data, &size, path));
    assert_string_equal("old", data);
    free(data);
    assert_int_equal(1, files_in(folder));
    remove_folder(folder);
}

static void test_text_and_folders(void **state)
{
    (void)state;
    char folder[4096], path[4200], inner[4200];
    void *data;
    size_t size;
    vt_text_file file;
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a.csv", folder);
    snprintf(inner, sizeof inner, "%s/inner", folder);
    assert_ok(vt_text_file_begin(&file));
    static const char *const fields[] = {"plain", "a,b", "say \"so\"", "two\nlines", ""};
    for (int i = 0; i < 5; i++) {
        vt_csv_field(file.stream, fields[i]);
        fputc(i < 4 ? ',' : '\n', file.stream);
    }
    fputs("row", file.stream);
    vt_csv_next(file.stream, 0.25);
    vt_csv_next(file.stream, NAN);
    vt_csv_next(file.stream, -1e300);
    assert_ok(vt_text_file_end(&file, path));
    assert_ok(vt_file_read(&data, &size, path));
    assert_string_equal("plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",\nrow,0.25,,-1e+300",
                        data);
    free(data);
    assert_ok(vt_text_file_begin(&file)); /* a folder is in the way: nothing leaks */
    assert_status(VT_EIO, vt_text_file_end(&file, folder));

    assert_ok(vt_folder_make(inner));
    assert_ok(vt_folder_make(inner));
    assert_status(VT_EIO, vt_folder_make(path));
    assert_message("a.csv: it is not a folder");
    assert_status(VT_EIO, vt_folder_make("/proc/nowhere"));
    assert_message("the folder cannot be made");
    rmdir(inner);
    remove_folder(folder);
}

/* A process that dies while it writes leaves the old file and nothing else, where the file system
 * has files without names. */
static void test_killed(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    int exit_status, fd;
    new_folder(folder);
    fd = open(folder, O_WRONLY | O_TMPFILE, 0600);
    if (fd < 0) {
        print_message("skipped: %s: no files without names\n", folder);
        remove_folder(folder);
        return;
    }
    close(fd);
    snprintf(path, sizeof path, "%s/a", folder);
    pid_t child = fork();
    if (child == 0) {
        vt_file_writer w;
        if (vt_file_write(path, "old", 3) == VT_OK && vt_file_writer_open(&w, path) == VT_OK &&
            vt_file_writer_put(&w, "new", 3) == VT_OK)
            raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(child, waitpid(child, &exit_status, 0));
    assert_true(WIFSIGNALED(exit_status));
    assert_int_equal(1, files_in(folder));
    remove_folder(folder);
}

static vt_status write_bytes(const char *path)
{
    static const char zeros[5000];
    return vt_file_write(path, zeros, sizeof zeros);
}

static vt_status write_npy(const char *path)
{
    float zeros[1000] = {0};
    vt_tensor t;
    VT_TRY(vt_tensor_init(&t, VT_F32, 1, (int64_t[]){1000}, zeros));
    return vt_npy_write(&t, path);
}

static vt_status write_map(const char *path)
{
    vt_tensor_map *map;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = vt_tensor_map_add(map, "x", VT_F32, 1, (int64_t[]){1000}, NULL);
    if (status == VT_OK)
        status = strstr(path, ".npz") ? vt_npz_write(map, path) : vt_safetensors_write(map, path);
    vt_tensor_map_free(map);
    return status;
}

static void test_full_disk(void **state)
{
    (void)state;
    expect_full_disk("a.bin", write_bytes);
    expect_full_disk("a.npy", write_npy);
    expect_full_disk("a.npz", write_map);
    expect_full_disk("a.safetensors", write_map);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char folder[4096], path[4200];
    new_folder(folder);
    snprintf(path, sizeof path, "%s/a", folder);
    assert_ok(vt_file_write(path, "data", 4));
    enum { MOST = 5 }; /* allocations of a write; fewer where temporary files have names */
    for (int n = 0; n <= MOST; n++) {
        void *data = NULL;
        size_t size;
        vt_alloc_fail_after(n);
        vt_status status = vt_file_read(&data, &size, path);
        vt_alloc_fail_after(-1);
        assert_int_equal(n == 0 ? VT_ENOMEM : VT_OK, status);
        free(data);
        vt_alloc_fail_after(n);
        status = vt_file_write(path, "data", 4);
        vt_alloc_fail_after(-1);
        assert_true(status == VT_ENOMEM || (status == VT_OK && n >= 3));
        if (n == MOST) assert_int_equal(VT_OK, status);
        assert_int_equal(1, files_in(folder));
    }
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_pipe_and_growing_files),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_links_and_modes),
        cmocka_unit_test(test_full_disk),  cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_killed),     cmocka_unit_test(test_text_and_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
