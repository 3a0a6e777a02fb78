/* Whole files: reading into memory, and replacing atomically.
 *
 * write(temporary) -> fsync(temporary) -> rename -> fsync(folder): after a crash at any point the
 * target holds its old contents or its new ones (POSIX rename is atomic; the syncs order it). */
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

/* mkstemp would make the file private to its owner; this obeys the umask. */
static vt_status create_temporary(vt_file_writer *w)
{
    static _Atomic unsigned counter;
    size_t size = strlen(w->path) + 48;
    w->temporary = vt_alloc(size, 1);
    if (!w->temporary) return VT_ENOMEM;
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(w->temporary, size, "%s.%ld-%u.tmp", w->path, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) return VT_OK;
        if (errno != EEXIST) break;
    }
    return system_error(w->path, "create a file beside it");
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
    vt_status status = w.path ? create_temporary(&w) : VT_ENOMEM;
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
    const char *slash = strrchr(path, '/');
    char *folder = vt_strdup(path);
    if (!folder) return VT_ENOMEM;
    if (slash) folder[slash == path ? 1 : slash - path] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0) return VT_OK;
    vt_status status = VT_OK;
    if (fsync(fd) != 0 && errno != EINVAL) status = system_error(path, "sync its folder");
    close(fd);
    return status;
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = fsync(fd), code = errno;
    close(fd);
    errno = code;
    return result;
}

vt_status vt_file_writer_commit(vt_file_writer *w)
{
    vt_status status = VT_OK;
    int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0 || sync_file(w->temporary) != 0 || rename(w->temporary, w->path) != 0) {
        status = system_error(w->path, "write");
        unlink(w->temporary);
    } else {
        status = vt_file_sync_folder(w->path);
    }
    release(w);
    return status;
}

void vt_file_writer_abort(vt_file_writer *w)
{
    unlink(w->temporary);
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
