/* HDF5 files: the parent's side. Forks a confined child (hdf5_child.c), reads its stream of
 * records and checks each as if a stranger had sent it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "io/hdf5_child.h"
#include "ventral/io.h"
#include "ventral/weights.h"

#define SMALLEST_LIMIT ((uint64_t)64 << 20) /* bytes of tensors from however small a file */
#define LARGEST_LIMIT ((uint64_t)64 << 30)
#define EXPANSION 1032 /* of compressed data, at most: what deflate can do */

bool vt_hdf5_has_signature(const void *data, size_t size)
{
    static const char signature[8] = "\211HDF\r\n\032\n";
    if (size >= 8 && memcmp(data, signature, 8) == 0) return true;
    for (size_t at = 512; at <= size && size - at >= 8; at *= 2)
        if (memcmp((const char *)data + at, signature, 8) == 0) return true;
    return false;
}

/* Where records come from: a pipe (fd >= 0) or memory. */
typedef struct source {
    int fd;
    const char *data;
    size_t position, end;
    bool ended; /* the data ended within a record */
    char buffer[1 << 16];
} source;

static vt_status fill(source *s)
{
    ssize_t got;
    do {
        got = read(s->fd, s->buffer, sizeof s->buffer);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return vt_error(VT_EIO, "the HDF5 reader's pipe broke: %s", strerror(errno));
    s->data = s->buffer;
    s->position = 0;
    s->end = (size_t)got;
    return VT_OK;
}

static vt_status take(source *s, void *target, size_t size)
{
    char *to = target;
    while (size > 0) {
        if (s->position == s->end && s->fd >= 0) VT_TRY(fill(s));
        size_t piece = s->end - s->position < size ? s->end - s->position : size;
        if (piece == 0) {
            s->ended = true;
            return vt_error(VT_EFORMAT, "the HDF5 reader stopped early");
        }
        memcpy(to, s->data + s->position, piece);
        s->position += piece;
        to += piece;
        size -= piece;
    }
    return VT_OK;
}

/* A name of 1 to capacity - 1 bytes without NUL. */
static vt_status take_name(source *s, char *name, size_t capacity)
{
    uint16_t length;
    VT_TRY(take(s, &length, sizeof length));
    if (length == 0 || length >= capacity)
        return vt_error(VT_EFORMAT, "the HDF5 reader sent a name of %u bytes", length);
    VT_TRY(take(s, name, length));
    name[length] = '\0';
    if (strlen(name) != length)
        return vt_error(VT_EFORMAT, "the HDF5 reader sent a name with a NUL byte");
    return VT_OK;
}

typedef struct receiver {
    source from;
    vt_tensor_map *map;
    uint64_t left; /* bytes of tensors still allowed */
    uint64_t texts;
    int records;
    char *skipped;
    size_t skipped_used, skipped_capacity;
} receiver;

static vt_status receive_tensor(receiver *r)
{
    char name[VT_NAME_SIZE];
    uint8_t dtype, ndim;
    int64_t size[VT_MAX_DIMS];
    vt_tensor t;
    VT_TRY(take_name(&r->from, name, sizeof name));
    VT_TRY(take(&r->from, &dtype, 1));
    VT_TRY(take(&r->from, &ndim, 1));
    if (dtype >= VT_DTYPE_COUNT || ndim > VT_MAX_DIMS)
        return vt_error(VT_EFORMAT, "the HDF5 reader sent dtype %u, %u dimensions", dtype, ndim);
    VT_TRY(take(&r->from, size, ndim * sizeof size[0]));
    VT_TRY(vt_tensor_init(&t, (vt_dtype)dtype, ndim, size, NULL));
    size_t bytes = vt_tensor_bytes(&t);
    if (bytes > r->left || (r->from.fd < 0 && bytes > r->from.end - r->from.position))
        return vt_error(VT_EFORMAT, "the HDF5 reader sent too large a tensor");
    r->left -= bytes;
    VT_TRY(vt_tensor_map_add(r->map, name, (vt_dtype)dtype, ndim, size, &t));
    return take(&r->from, t.data, bytes);
}

static vt_status receive_text(receiver *r)
{
    char key[VT_HDF5_MAX_KEY + 1];
    uint32_t length;
    VT_TRY(take_name(&r->from, key, sizeof key));
    VT_TRY(take(&r->from, &length, sizeof length));
    r->texts += length;
    if (r->texts > VT_HDF5_MAX_TEXTS || (r->from.fd < 0 && length > r->from.end - r->from.position))
        return vt_error(VT_EFORMAT, "the HDF5 reader sent too long a text");
    char *value = vt_alloc((size_t)length + 1, 1);
    if (!value) return VT_ENOMEM;
    vt_status status = take(&r->from, value, length);
    if (status == VT_OK) status = vt_tensor_map_set_text(r->map, key, value);
    free(value);
    return status;
}

static vt_status receive_skipped(receiver *r)
{
    char name[VT_HDF5_MAX_KEY + 1];
    VT_TRY(take_name(&r->from, name, sizeof name));
    size_t needed = r->skipped_used + strlen(name) + 2;
    if (needed > r->skipped_capacity) {
        char *grown = vt_grow(r->skipped, r->skipped_used, 2 * needed, 1);
        if (!grown) return VT_ENOMEM;
        r->skipped = grown;
        r->skipped_capacity = 2 * needed;
    }
    r->skipped_used += (size_t)snprintf(r->skipped + r->skipped_used, strlen(name) + 2, "%s%s",
                                        r->skipped_used ? "\n" : "", name);
    return VT_OK;
}

/* The child's own words; names in them come from the file, so only plain characters are kept. */
static vt_status receive_error(receiver *r)
{
    int32_t code;
    char message[sizeof((vt_error_state *)0)->message];
    VT_TRY(take(&r->from, &code, sizeof code));
    VT_TRY(take_name(&r->from, message, sizeof message));
    for (char *c = message; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    if (code != VT_ENOMEM && code != VT_EUNSUPPORTED) code = VT_EFORMAT;
    return vt_error((vt_status)code, "%s", message);
}

static vt_status receive_all(receiver *r)
{
    for (;;) {
        uint8_t kind;
        VT_TRY(take(&r->from, &kind, 1));
        if (kind == VT_HDF5_END) break;
        if (++r->records > 3 * VT_HDF5_MAX_RECORDS)
            return vt_error(VT_EFORMAT, "the HDF5 reader sent too many records");
        switch (kind) {
        case VT_HDF5_TENSOR: VT_TRY(receive_tensor(r)); break;
        case VT_HDF5_TEXT: VT_TRY(receive_text(r)); break;
        case VT_HDF5_SKIPPED: VT_TRY(receive_skipped(r)); break;
        case VT_HDF5_ERROR: return receive_error(r);
        default: return vt_error(VT_EFORMAT, "the HDF5 reader sent an unknown record");
        }
    }
    if (r->skipped) return vt_tensor_map_set_text(r->map, "skipped", r->skipped);
    return VT_OK;
}

/* Reads records up to the last. */
static vt_status receive(vt_tensor_map **out, receiver *r, uint64_t limit)
{
    r->left = limit;
    VT_TRY(vt_tensor_map_new(&r->map));
    vt_status status = receive_all(r);
    free(r->skipped);
    if (status != VT_OK) {
        vt_tensor_map_free(r->map);
        /* names that repeat or sizes that cannot be are the stream's fault, not the caller's */
        return status == VT_EINVAL || status == VT_ESHAPE ? VT_EFORMAT : status;
    }
    *out = r->map;
    return VT_OK;
}

vt_status vt_hdf5_stream_parse(vt_tensor_map **out, const void *data, size_t size, uint64_t limit,
                               const char *label)
{
    receiver *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    r->from.fd = -1;
    r->from.data = data;
    r->from.end = size;
    vt_status status = receive(out, r, limit);
    free(r);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

/* Says why the child stopped without a last record. */
static vt_status explain_death(int how, bool known, unsigned seconds)
{
    int number = known && WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    if (number == SIGXCPU || number == SIGALRM)
        return vt_error(VT_EFORMAT,
                        "not a readable HDF5 file: the HDF5 library did not finish in %u s",
                        seconds);
    if (number == SIGKILL)
        return vt_error(VT_ENOMEM, "the HDF5 reader was killed, perhaps for lack of memory");
    return vt_error(VT_EFORMAT, "not a readable HDF5 file: the HDF5 library crashed on it");
}

vt_status vt_hdf5_parse_with(vt_tensor_map **out, const void *data, size_t size, const char *label,
                             vt_hdf5_server serve, unsigned seconds)
{
    uint64_t limit = size > LARGEST_LIMIT / EXPANSION ? LARGEST_LIMIT
                                                      : SMALLEST_LIMIT + (uint64_t)size * EXPANSION;
    int ends[2], how = 0;
    receiver *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        free(r);
        return vt_error(VT_EIO, "%s: no pipe to the HDF5 reader: %s", label, strerror(errno));
    }
    /* With signals blocked, none of the caller's handlers runs in the child. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0) {
        vt_hdf5_confine(&ends[1], seconds, 2 * limit);
        serve(data, size, limit, ends[1]);
        _exit(0);
    }
    int reason = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    vt_status status;
    if (child < 0) {
        status = vt_error(VT_EIO, "no process for the HDF5 reader: %s", strerror(reason));
    } else {
        r->from.fd = ends[0];
        status = receive(out, r, limit);
        if (status != VT_OK && !r->from.ended) kill(child, SIGKILL);
    }
    close(ends[0]);
    if (child > 0) {
        pid_t waited;
        do {
            waited = waitpid(child, &how, 0);
        } while (waited < 0 && errno == EINTR);
        /* A host that reaps all children itself leaves us without the reason. */
        if (r->from.ended) status = explain_death(how, waited == child, seconds);
    }
    free(r);
    return status == VT_OK ? VT_OK : vt_error_context(status, "%s", label);
}

vt_status vt_hdf5_parse(vt_tensor_map **out, const void *data, size_t size, const char *label)
{
    if (size >= 3 && memcmp(data, "CDF", 3) == 0)
        return vt_error(VT_EFORMAT,
                        "%s: NetCDF of version 3; save it as NetCDF4 (xarray: format='NETCDF4')",
                        label);
    if (!vt_hdf5_has_signature(data, size))
        return vt_error(VT_EFORMAT, "%s: not an HDF5 file (its signature is missing)", label);
    return vt_hdf5_parse_with(out, data, size, label, vt_hdf5_serve, 10 + (unsigned)(size >> 18));
}

vt_status vt_hdf5_read(vt_tensor_map **out, const char *path)
{
    void *data;
    size_t size;
    VT_TRY(vt_file_read(&data, &size, path));
    vt_status status = vt_hdf5_parse(out, data, size, path);
    free(data);
    return status;
}
