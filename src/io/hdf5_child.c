/* The child that reads HDF5: confines itself, walks the file with the HDF5 library, sends what it
 * finds.
 *
 * It is forked from a process that may have threads. Only the forking thread exists here, so
 * nothing may wait for a lock that another thread held: glibc makes malloc usable after fork, the
 * library's own HDF5 calls are all made in such children, and stdio, OpenMP and dlopen (HDF5's
 * plugins) are not used. Format: "HDF5 File Format Specification", version 3. */
#include "io/hdf5_child.h"

#define H5_USE_110_API
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arena.h"

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_LIMITS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_LIMITS 0
#endif
#endif
#ifndef MEMORY_LIMITS
#define MEMORY_LIMITS 1 /* AddressSanitizer's shadow memory is beyond any limit */
#endif

/* Sets the limit, within what the process may have; the hard limit `slack` above the soft one. */
static void limit_resource(int resource, uint64_t value, uint64_t slack)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0) return;
    if (limit.rlim_max == RLIM_INFINITY || value + slack < limit.rlim_max)
        limit.rlim_max = value + slack;
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    setrlimit(resource, &limit);
}

/* Bytes of private writable memory this process has: what RLIMIT_DATA counts. 0: unknown. */
static uint64_t data_bytes(void)
{
    char text[256];
    unsigned long long pages = 0;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    text[got > 0 ? got : 0] = '\0';
    if (sscanf(text, "%*s %*s %*s %*s %*s %llu", &pages) != 1) return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void vt_hdf5_confine(int *fd, unsigned seconds, uint64_t memory)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the parent decides */
    signal(SIGHUP, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);

    int pipe_copy = fcntl(*fd, F_DUPFD, 3), nowhere = open("/dev/null", O_RDWR);
    if (pipe_copy < 0) _exit(2);
    for (int stream = 0; stream < 3; stream++)
        if (nowhere < 0 || dup2(nowhere, stream) < 0) close(stream);
    if (pipe_copy != 3 && dup2(pipe_copy, 3) < 0) _exit(2);
    close_range(4, ~0u, 0); /* also the pipes of other calls under way in other threads */
    *fd = 3;

    uint64_t used = data_bytes();
    if (MEMORY_LIMITS && used > 0) limit_resource(RLIMIT_DATA, used + memory, 0);
    limit_resource(RLIMIT_CORE, 0, 0);
    limit_resource(RLIMIT_NOFILE, 0, 0); /* external links and storage must not read other files */
    limit_resource(RLIMIT_CPU, seconds, 1); /* SIGXCPU, so that it differs from a kill */
    alarm(8 * seconds);
}

typedef struct sender {
    int fd;
    uint64_t limit, sent, texts;
    int tensor_count, text_count, skipped_count;
    size_t used;
    char buffer[1 << 16];
} sender;

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, data, size);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) _exit(2); /* the parent has gone */
        data += wrote;
        size -= (size_t)wrote;
    }
}

static void flush(sender *s)
{
    write_all(s->fd, s->buffer, s->used);
    s->used = 0;
}

static void send_bytes(sender *s, const void *data, size_t size)
{
    if (size > sizeof s->buffer - s->used) flush(s);
    if (size > sizeof s->buffer) {
        write_all(s->fd, data, size);
    } else if (size > 0) {
        memcpy(s->buffer + s->used, data, size);
        s->used += size;
    }
}

static void send_kind(sender *s, int kind)
{
    uint8_t byte = (uint8_t)kind;
    send_bytes(s, &byte, 1);
}

/* `text` is shorter than 64 KiB. */
static void send_name(sender *s, const char *text)
{
    uint16_t length = (uint16_t)strlen(text);
    send_bytes(s, &length, sizeof length);
    send_bytes(s, text, length);
}

static void send_error(sender *s, vt_status status)
{
    int32_t code = status;
    send_kind(s, VT_HDF5_ERROR);
    send_bytes(s, &code, sizeof code);
    send_name(s, vt_error_message());
    flush(s);
}

static herr_t keep_innermost(unsigned depth, const H5E_error2_t *error, void *context)
{
    (void)depth;
    snprintf(context, 256, "%s", error->desc ? error->desc : "unknown error");
    return 0;
}

/* What the HDF5 library says went wrong, at its most precise. */
vt_status vt_hdf5_library_error(const char *subject, const char *what)
{
    char reason[256] = "unknown error";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, reason);
    return vt_error(VT_EFORMAT, "%s%.200s: %s", subject, what, reason);
}

static vt_status count_record(int *count, const char *what)
{
    if (++*count <= VT_HDF5_MAX_RECORDS) return VT_OK;
    return vt_error(VT_EUNSUPPORTED, "more than %d %s", VT_HDF5_MAX_RECORDS, what);
}

static vt_status send_skipped(sender *s, const char *name)
{
    VT_TRY(count_record(&s->skipped_count, "datasets that cannot be read"));
    char shown[VT_HDF5_MAX_KEY];
    snprintf(shown, sizeof shown, "%s", name);
    send_kind(s, VT_HDF5_SKIPPED);
    send_name(s, shown);
    return VT_OK;
}

/* IEEE binary16, in either byte order. */
static bool is_half(hid_t type)
{
    size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
    return H5Tget_size(type) == 2 &&
           H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) >= 0 &&
           sign == 15 && exponent == 10 && exponent_bits == 5 && mantissa == 0 &&
           mantissa_bits == 10 && H5Tget_ebias(type) == 15;
}

/* The dtype an HDF5 type is read as, and the type to ask the library for (to be closed);
 * negative: not a number that we read. */
static hid_t memory_type(hid_t type, vt_dtype *dtype)
{
    static const vt_dtype integers[2][4] = {{VT_U8, VT_U16, VT_U32, VT_U64},
                                            {VT_I8, VT_I16, VT_I32, VT_I64}};
    hid_t natives[2][4] = {
        {H5T_NATIVE_UINT8, H5T_NATIVE_UINT16, H5T_NATIVE_UINT32, H5T_NATIVE_UINT64},
        {H5T_NATIVE_INT8, H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_INT64}};
    size_t size = H5Tget_size(type);
    H5T_class_t kind = H5Tget_class(type);
    if (kind == H5T_ENUM) { /* Booleans, as h5py and h5netcdf write them */
        hid_t integer = H5Tget_super(type), memory = integer < 0 ? -1 : memory_type(integer, dtype);
        if (integer >= 0) H5Tclose(integer);
        return memory;
    }
    if (kind == H5T_INTEGER && size >= 1 && size <= 8) {
        int width = size == 1 ? 0 : size == 2 ? 1 : size <= 4 ? 2 : 3;
        int has_sign = H5Tget_sign(type) == H5T_SGN_2;
        *dtype = integers[has_sign][width];
        return H5Tcopy(natives[has_sign][width]);
    }
    if (kind != H5T_FLOAT) return -1;
    if (is_half(type)) {
        *dtype = VT_F16;
        hid_t half = H5Tcopy(type);
        if (half >= 0) H5Tset_order(half, H5Tget_order(H5T_NATIVE_FLOAT));
        return half;
    }
    *dtype = size <= 4 ? VT_F32 : VT_F64;
    return H5Tcopy(size <= 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE);
}

/* Whether the elements lie in this file: not in others, nor pieced together from them. */
static bool lies_here(hid_t dataset)
{
    hid_t plan = H5Dget_create_plist(dataset);
    if (plan < 0) return false;
    bool here = H5Pget_layout(plan) != H5D_VIRTUAL && H5Pget_external_count(plan) == 0;
    H5Pclose(plan);
    return here;
}

static vt_status send_elements(sender *s, const char *name, hid_t dataset, hid_t type,
                               const vt_tensor *shape)
{
    size_t bytes = vt_tensor_bytes(shape);
    if (bytes > s->limit - s->sent)
        return vt_error(VT_EUNSUPPORTED,
                        "dataset %.200s: with it the data are more than %llu bytes, too many for "
                        "a file of this size",
                        name, (unsigned long long)s->limit);
    void *elements = vt_alloc(bytes, 1);
    if (!elements) return vt_error_context(VT_ENOMEM, "dataset %.200s", name);
    if (bytes > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) < 0) {
        free(elements);
        return vt_hdf5_library_error("dataset ", name);
    }
    uint8_t dtype = (uint8_t)shape->dtype, ndim = (uint8_t)shape->ndim;
    send_kind(s, VT_HDF5_TENSOR);
    send_name(s, name);
    send_bytes(s, &dtype, 1);
    send_bytes(s, &ndim, 1);
    for (int i = 0; i < shape->ndim; i++) {
        uint64_t extent = (uint64_t)shape->size[i];
        send_bytes(s, &extent, sizeof extent);
    }
    send_bytes(s, elements, bytes);
    free(elements);
    s->sent += bytes;
    return VT_OK;
}

static vt_status send_text(sender *s, const char *key, const char *value, size_t length)
{
    if (strlen(key) >= VT_HDF5_MAX_KEY) return VT_OK;
    VT_TRY(count_record(&s->text_count, "strings"));
    s->texts += length;
    if (s->texts > VT_HDF5_MAX_TEXTS)
        return vt_error(VT_EUNSUPPORTED, "more than %u bytes of strings", VT_HDF5_MAX_TEXTS);
    uint32_t sent = (uint32_t)length;
    send_kind(s, VT_HDF5_TEXT);
    send_name(s, key);
    send_bytes(s, &sent, sizeof sent);
    send_bytes(s, value, length);
    return VT_OK;
}

/* The lines of `count` strings of `size` bytes each, or of pointers to strings when size is 0. */
static vt_status send_lines(sender *s, const char *name, const void *strings, size_t count,
                            size_t size)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const char *line = size ? (const char *)strings + i * size : ((char *const *)strings)[i];
        total += 1 + (!line ? 0 : size ? strnlen(line, size) : strlen(line));
    }
    char *text = vt_alloc(total + 1, 1), *end = text;
    if (!text) return VT_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *line = size ? (const char *)strings + i * size : ((char *const *)strings)[i];
        size_t length = !line ? 0 : size ? strnlen(line, size) : strlen(line);
        if (i > 0) *end++ = '\n';
        memcpy(end, line ? line : "", length);
        end += length;
    }
    vt_status status = send_text(s, name, text, (size_t)(end - text));
    free(text);
    return status;
}

/* Sends a string, a vector of strings or, as NetCDF has them, a matrix of letters, whose rows are
 * strings; `type` is the dataset's. */
static vt_status send_strings(sender *s, const char *name, hid_t dataset, hid_t type, hid_t space)
{
    hsize_t extent[2];
    hssize_t count = H5Sget_simple_extent_npoints(space);
    bool variable = H5Tis_variable_str(type) > 0;
    size_t width = variable ? sizeof(char *) : H5Tget_size(type);
    if (H5Sget_simple_extent_ndims(space) == 2) {
        if (variable || width != 1 || H5Sget_simple_extent_dims(space, extent, NULL) < 0)
            return VT_OK;
        count = extent[0] > INT32_MAX ? -1 : (hssize_t)extent[0];
        width = (size_t)extent[1];
    }
    if (count < 1 || width < 1 || (size_t)count > VT_HDF5_MAX_TEXTS / width) return VT_OK;
    void *strings = vt_alloc((size_t)count, width);
    if (!strings) return vt_error_context(VT_ENOMEM, "dataset %.200s", name);
    vt_status status;
    if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, strings) < 0) {
        status = vt_hdf5_library_error("dataset ", name);
    } else {
        status = send_lines(s, name, strings, (size_t)count, variable ? 0 : width);
        if (variable) H5Dvlen_reclaim(type, space, H5P_DEFAULT, strings);
    }
    free(strings);
    return status;
}

/* ---- what NetCDF says of a dataset ---- */

static vt_status send_note(sender *s, const char *name, const char *what, const char *value)
{
    char key[VT_NAME_SIZE + 32];
    snprintf(key, sizeof key, "%s@%s", name, what);
    return send_text(s, key, value, strlen(value));
}

/* The attribute when it is one number. */
static vt_status send_number(sender *s, const char *name, hid_t dataset, const char *what)
{
    double value;
    char text[32];
    if (H5Aexists(dataset, what) <= 0) return VT_OK;
    hid_t attribute = H5Aopen(dataset, what, H5P_DEFAULT);
    hid_t type = attribute < 0 ? -1 : H5Aget_type(attribute);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    bool number = (kind == H5T_INTEGER || kind == H5T_FLOAT) && space >= 0 &&
                  H5Sget_simple_extent_npoints(space) == 1 &&
                  H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) >= 0;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    if (!number) return VT_OK;
    snprintf(text, sizeof text, "%.17g", value);
    return send_note(s, name, what, text);
}

/* Lines of the names that the references give; false: there is one without. */
static bool join_names(char *out, size_t size, hid_t dataset, const hvl_t *lists, int ndim)
{
    size_t used = 0;
    for (int i = 0; i < ndim; i++) {
        char path[VT_NAME_SIZE];
        if (lists[i].len < 1) return false;
        ssize_t length = H5Rget_name(dataset, H5R_OBJECT, lists[i].p, path, sizeof path);
        if (length < 2 || (size_t)length >= sizeof path) return false;
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? "\n" : "", path + 1);
    }
    return true;
}

/* The dimensions' names: scales that the attribute DIMENSION_LIST refers to. */
static vt_status send_dimensions(sender *s, const char *name, hid_t dataset, int ndim)
{
    char names[VT_MAX_DIMS * (VT_NAME_SIZE + 1)];
    hvl_t lists[VT_MAX_DIMS];
    if (ndim < 1 || ndim > VT_MAX_DIMS || H5Aexists(dataset, "DIMENSION_LIST") <= 0) return VT_OK;
    hid_t attribute = H5Aopen(dataset, "DIMENSION_LIST", H5P_DEFAULT);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    hid_t type = H5Tvlen_create(H5T_STD_REF_OBJ);
    bool named = space >= 0 && type >= 0 && H5Sget_simple_extent_npoints(space) == ndim &&
                 H5Aread(attribute, type, lists) >= 0;
    if (named) {
        named = join_names(names, sizeof names, dataset, lists, ndim);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, lists);
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (attribute >= 0) H5Aclose(attribute);
    return named ? send_note(s, name, "dimensions", names) : VT_OK;
}

static vt_status send_notes(sender *s, const char *name, hid_t dataset, int ndim)
{
    static const char *const numbers[] = {"_FillValue", "missing_value", "scale_factor",
                                          "add_offset"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        VT_TRY(send_number(s, name, dataset, numbers[i]));
    return send_dimensions(s, name, dataset, ndim);
}

static vt_status send_dataset(sender *s, const char *name, hid_t dataset)
{
    vt_status status = VT_OK;
    vt_tensor shape = {.dtype = VT_F32};
    hsize_t extent[H5S_MAX_RANK];
    int64_t size[VT_MAX_DIMS] = {0};
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset), wanted = -1;
    if (type < 0 || space < 0) {
        status = vt_hdf5_library_error("dataset ", name);
        goto done;
    }
    wanted = memory_type(type, &shape.dtype);
    int ndim = H5Sget_simple_extent_ndims(space);
    if (wanted < 0 || ndim < 0 || ndim > VT_MAX_DIMS || strlen(name) >= VT_NAME_SIZE ||
        H5Sget_simple_extent_type(space) == H5S_NULL || !lies_here(dataset)) {
        status = send_skipped(s, name);
        if (status == VT_OK && H5Tget_class(type) == H5T_STRING && ndim <= 2 && lies_here(dataset))
            status = send_strings(s, name, dataset, type, space);
        if (status == VT_OK && strlen(name) < VT_NAME_SIZE)
            status = send_notes(s, name, dataset, ndim);
        goto done;
    }
    if (H5Sget_simple_extent_dims(space, extent, NULL) < 0) {
        status = vt_hdf5_library_error("dataset ", name);
        goto done;
    }
    for (int i = 0; i < ndim; i++)
        size[i] = extent[i] > INT64_MAX ? -1 : (int64_t)extent[i];
    VT_TRY_GOTO(vt_tensor_init(&shape, shape.dtype, ndim, size, NULL), done);
    VT_TRY_GOTO(count_record(&s->tensor_count, "datasets"), done);
    VT_TRY_GOTO(send_elements(s, name, dataset, wanted, &shape), done);
    status = send_notes(s, name, dataset, ndim);
done:
    if (wanted >= 0) H5Tclose(wanted);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return status;
}

/* Sends the attribute when it is one string; `type` is its type. */
static vt_status send_string(sender *s, const char *key, hid_t attribute, hid_t type)
{
    vt_status status;
    if (H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        if (H5Aread(attribute, type, &text) < 0) return vt_hdf5_library_error("attribute ", key);
        status = text ? send_text(s, key, text, strlen(text)) : VT_OK;
        if (text) H5free_memory(text);
        return status;
    }
    size_t size = H5Tget_size(type);
    if (size > VT_HDF5_MAX_TEXTS) return VT_OK;
    char *text = vt_alloc(size + 1, 1);
    if (!text) return VT_ENOMEM;
    if (H5Aread(attribute, type, text) < 0) {
        status = vt_hdf5_library_error("attribute ", key);
    } else {
        size_t length = strnlen(text, size);
        if (H5Tget_strpad(type) == H5T_STR_SPACEPAD)
            while (length > 0 && text[length - 1] == ' ')
                length--;
        status = send_text(s, key, text, length);
    }
    free(text);
    return status;
}

typedef struct walk {
    sender *s;
    const char *group; /* its path */
    vt_status status;
} walk;

static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    walk *w = context;
    char key[VT_HDF5_MAX_KEY + 1];
    (void)info;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) {
        w->status = vt_hdf5_library_error("attribute ", name);
        return -1;
    }
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    snprintf(key, sizeof key, "%s@%s", w->group, name);
    if (type < 0 || space < 0)
        w->status = vt_hdf5_library_error("attribute ", key);
    else if (H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1)
        w->status = send_string(w->s, key, attribute, type);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    H5Aclose(attribute);
    return w->status == VT_OK ? 0 : -1;
}

static herr_t visit_object(hid_t root, const char *name, const H5O_info_t *info, void *context)
{
    walk *w = context;
    if (info->type != H5O_TYPE_GROUP && info->type != H5O_TYPE_DATASET) return 0;
    hid_t object = H5Oopen(root, name, H5P_DEFAULT);
    if (object < 0) {
        w->status = vt_hdf5_library_error("object ", name);
    } else if (info->type == H5O_TYPE_DATASET) {
        w->status = send_dataset(w->s, name, object);
    } else {
        w->group = strcmp(name, ".") == 0 ? "" : name;
        if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, w) < 0 &&
            w->status == VT_OK)
            w->status = vt_hdf5_library_error("object ", name);
    }
    if (object >= 0) H5Oclose(object);
    return w->status == VT_OK ? 0 : -1;
}

/* The library's image of the file is the caller's memory itself: these callbacks copy nothing. The
 * file is opened for reading, so nothing writes to it. */
typedef struct image {
    void *data;
    size_t size;
} image;

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *context)
{
    image *im = context;
    (void)op;
    return size <= im->size ? im->data : NULL;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op,
                          void *context)
{
    (void)size, (void)op, (void)context;
    return to == from ? to : NULL;
}

static void *image_realloc(void *data, size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)data, (void)size, (void)op, (void)context;
    return NULL;
}

static herr_t image_free(void *data, H5FD_file_image_op_t op, void *context)
{
    (void)data, (void)op, (void)context;
    return 0;
}

static void *image_copy_context(void *context)
{
    return context;
}

static herr_t image_free_context(void *context)
{
    (void)context;
    return 0;
}

static hid_t open_image(image *im)
{
    H5FD_file_image_callbacks_t callbacks = {
        .image_malloc = image_malloc,
        .image_memcpy = image_memcpy,
        .image_realloc = image_realloc,
        .image_free = image_free,
        .udata_copy = image_copy_context,
        .udata_free = image_free_context,
        .udata = im,
    };
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (access >= 0 && H5Pset_fapl_core(access, 1 << 16, 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
        H5Pset_file_image(access, im->data, im->size) >= 0)
        file = H5Fopen("memory", H5F_ACC_RDONLY, access);
    return file;
}

void vt_hdf5_send_bytes(int fd, const char *name, const void *data, size_t size)
{
    static sender s;
    uint8_t dtype = VT_U8, ndim = 1;
    uint64_t extent = size;
    s = (sender){.fd = fd};
    send_kind(&s, VT_HDF5_TENSOR);
    send_name(&s, name);
    send_bytes(&s, &dtype, 1);
    send_bytes(&s, &ndim, 1);
    send_bytes(&s, &extent, sizeof extent);
    send_bytes(&s, data, size);
    send_kind(&s, VT_HDF5_END);
    flush(&s);
}

void vt_hdf5_send_error(int fd, vt_status status)
{
    static sender s;
    s = (sender){.fd = fd};
    send_error(&s, status);
}

void vt_hdf5_serve(const void *data, size_t size, uint64_t limit, int fd)
{
    static sender s;
    s = (sender){.fd = fd, .limit = limit};
    image im = {(void *)(uintptr_t)data, size};
    walk w = {.s = &s};
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 || H5PLset_loading_state(0) < 0) {
        send_error(&s, vt_error(VT_EUNSUPPORTED, "the HDF5 library does not start"));
        return;
    }
    hid_t file = open_image(&im);
    if (file < 0)
        w.status = vt_hdf5_library_error("", "not a readable HDF5 file");
    else if (H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &w) < 0 && w.status == VT_OK)
        w.status = vt_hdf5_library_error("", "not a readable HDF5 file");
    if (w.status != VT_OK) {
        send_error(&s, w.status);
        return;
    }
    send_kind(&s, VT_HDF5_END);
    flush(&s);
}
