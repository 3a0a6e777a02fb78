/* Whole files: reading into memory, and replacing atomically; folders.
 *
 * write(unnamed file) -> fsync -> link at the target, or beside it and rename -> fsync(folder):
 * after a crash at any point the target holds its old contents or its new ones (POSIX rename is
 * atomic; the syncs order it). Linux's files without a name (O_TMPFILE) vanish with the process
 * that writes them, so that a killed program leaves nothing beside the target; file systems that
 * lack them get a temporary file with a name. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"

static vt_status system_error(const char *path, const char *verb)
{
    int code = errno;
    vt_status status = code == ENOENT || code == ENOTDIR ? VT_ENOTFOUND
                       : code == ENOMEM                  ? VT_ENOMEM
                                                         : VT_EIO;
    return vt_error(status, "%s: cannot %s: %s", path, verb, strerror(code));
}

static vt_status read_all(void **out, size_t *out_size, int fd, const char *path)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return system_error(path, "read");
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
        return vt_error(VT_EIO, "%s: cannot read: %s", path,
                        S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a file");
    /* One byte more than expected, so that the last read says "end" instead of growing. */
    size_t capacity = (size_t)info.st_size + 1, used = 0;
    char *data = vt_alloc(capacity, 1);
    if (!data) return vt_error_context(VT_ENOMEM, "%s", path);
    for (;;) {
        if (used == capacity) {
            char *grown = capacity <= SIZE_MAX / 2 ? vt_grow(data, used, 2 * capacity, 1) : NULL;
            if (!grown) {
                free(data);
                return vt_error_context(VT_ENOMEM, "%s", path);
            }
            data = grown;
            capacity *= 2;
        }
        ssize_t got = read(fd, data + used, capacity - used);
        if (got == 0) break;
        if (got > 0) {
            used += (size_t)got;
        } else if (errno != EINTR) {
            vt_status status = system_error(path, "read");
            free(data);
            return status;
        }
    }
    *out = data;
    *out_size = used;
    return VT_OK;
}

vt_status vt_file_read(void **out, size_t *out_size, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return system_error(path, "open");
    vt_status status = read_all(out, out_size, fd, path);
    close(fd);
    return status;
}

/* The folder that `path` is in. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return vt_strdup(".");
    char *folder = vt_strdup(path);
    if (folder) folder[slash == path ? 1 : slash - path] = '\0';
    return folder;
}

/* Calls `make` with names beside the target until one is free. */
static vt_status name_temporary(vt_file_writer *w, int (*make)(vt_file_writer *w))
{
    static _Atomic unsigned counter;
    size_t size = strlen(w->path) + 48;
    w->temporary = vt_alloc(size, 1);
    if (!w->temporary) return VT_ENOMEM;
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(w->temporary, size, "%s.%ld-%u.tmp", w->path, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        if (make(w) >= 0) return VT_OK;
        if (errno != EEXIST) break;
    }
    vt_status status = system_error(w->path, "create a file beside it");
    free(w->temporary);
    w->temporary = NULL;
    return status;
}

/* mkstemp would make the file private to its owner; this obeys the umask. */
static int create_named(vt_file_writer *w)
{
    return w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

static int link_unnamed(const vt_file_writer *w, const char *name)
{
    char self[48];
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static int link_temporary(vt_file_writer *w)
{
    return link_unnamed(w, w->temporary);
}

static vt_status create(vt_file_writer *w)
{
    char *folder = folder_of(w->path);
    if (!folder) return VT_ENOMEM;
    /* Without /proc the file could not be given a name. */
    if (access("/proc/self/fd", X_OK) == 0)
        w->fd = open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    free(folder);
    return w->fd >= 0 ? VT_OK : name_temporary(w, create_named);
}

static void release(vt_file_writer *w)
{
    if (w->fd >= 0) close(w->fd);
    free(w->path);
    free(w->temporary);
    *w = (vt_file_writer){.fd = -1};
}

vt_status vt_file_writer_open(vt_file_writer *out, const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) /* renaming would replace a device */
        return vt_error(VT_EIO, "%s: cannot write: %s", path,
                        S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
    vt_file_writer w = {.fd = -1};
    char *real = realpath(path, NULL); /* a link stays a link: what it points to is replaced */
    w.path = vt_strdup(real ? real : path);
    free(real);
    vt_status status = w.path ? create(&w) : VT_ENOMEM;
    if (status != VT_OK) {
        release(&w);
        return status;
    }
    *out = w;
    return VT_OK;
}

vt_status vt_file_writer_put(vt_file_writer *w, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t put = write(w->fd, p, size < 1 << 30 ? size : 1 << 30);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return system_error(w->path, "write");
        p += put;
        size -= (size_t)put;
    }
    return VT_OK;
}

/* Folders that may be entered but not read are left alone. */
vt_status vt_file_sync_folder(const char *path)
{
    char *folder = folder_of(path);
    if (!folder) return VT_ENOMEM;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0) return VT_OK;
    vt_status status = VT_OK;
    if (fsync(fd) != 0 && errno != EINVAL) status = system_error(path, "sync its folder");
    close(fd);
    return status;
}

static vt_status put_in_place(vt_file_writer *w)
{
    if (fsync(w->fd) != 0) return system_error(w->path, "write");
    if (!w->temporary) {
        if (link_unnamed(w, w->path) == 0) return VT_OK;
        if (errno != EEXIST) return system_error(w->path, "write");
        VT_TRY(name_temporary(w, link_temporary));
    }
    int closed = close(w->fd);
    w->fd = -1;
    return closed == 0 && rename(w->temporary, w->path) == 0 ? VT_OK
                                                             : system_error(w->path, "write");
}

vt_status vt_file_writer_commit(vt_file_writer *w)
{
    vt_status status = put_in_place(w);
    if (status != VT_OK) {
        vt_file_writer_abort(w);
        return status;
    }
    status = vt_file_sync_folder(w->path);
    release(w);
    return status;
}

void vt_file_writer_abort(vt_file_writer *w)
{
    if (w->temporary) unlink(w->temporary);
    release(w);
}

vt_status vt_file_write(const char *path, const void *data, size_t size)
{
    vt_file_writer w;
    VT_TRY(vt_file_writer_open(&w, path));
    vt_status status = vt_file_writer_put(&w, data, size);
    if (status == VT_OK) return vt_file_writer_commit(&w);
    vt_file_writer_abort(&w);
    return status;
}

vt_status vt_folder_make(const char *path)
{
    struct stat info;
    if (mkdir(path, 0777) == 0) return VT_OK;
    if (errno != EEXIST)
        return vt_error(VT_EIO, "%s: the folder cannot be made: %s", path, strerror(errno));
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return VT_OK;
    return vt_error(VT_EIO, "%s: it is not a folder", path);
}
