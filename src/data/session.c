/* Reading sessions, in the layout of the published recordings (Cowley, Stan, Pillow & Smith,
 * "Compact deep neural network models of visual cortex") or in plain folders. */
#include "data/session.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "data/session_list.h"
#include "ventral/io.h"

struct vt_session {
    char id[64];
    vt_tensor averaged, raw; /* data NULL: absent */
    int64_t neurons, count;  /* images that have responses */
    /* The first neuron and image without any repeat, when averages were made from raw. */
    int64_t missing_neuron, missing_image;
    vt_image_source *images;
    char *images_wanted;
};

/* Where a session's files are; NULL for those it does not have. */
struct files {
    char *images, *images_wanted; /* wanted: where they should be, for the message */
    char *averaged, *raw;
    char *either; /* averaged or raw: its number of dimensions tells */
};

char *vt_path_format(const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
    char *text = vt_alloc(size, 1);
    if (text) vsnprintf(text, size, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

vt_status vt_session_check_id(const char *id)
{
    size_t length = strlen(id);
    if (length == 0 || length >= sizeof((vt_session *)0)->id || id[0] == '.' || strchr(id, '/'))
        return vt_error(VT_EINVAL,
                        "session '%.80s': an id has 1 to 63 characters, no '/' and no leading dot",
                        id);
    return VT_OK;
}

vt_status vt_responses_convert(vt_tensor *out, const vt_tensor *responses, int ndim,
                               const char *label)
{
    char shape[128];
    vt_tensor converted;
    if (responses->ndim != ndim || vt_tensor_count(responses) == 0)
        return vt_error(VT_ESHAPE, "%s: responses of shape %s; expected (neurons, images%s)", label,
                        vt_tensor_shape_text(responses, shape, sizeof shape),
                        ndim == 3 ? ", repeats" : "");
    VT_TRY(vt_tensor_convert(&converted, responses, VT_F64));
    const double *values = converted.data;
    int64_t count = vt_tensor_count(&converted), repeats = ndim == 3 ? converted.size[2] : 1;
    for (int64_t i = 0; i < count; i++) {
        if (isfinite(values[i]) || (ndim == 3 && isnan(values[i]))) continue;
        vt_status status = vt_error(
            VT_ENUMERIC, "%s: the response of neuron %lld to image %lld is %s", label,
            (long long)(i / repeats / converted.size[1]),
            (long long)(i / repeats % converted.size[1]), isnan(values[i]) ? "NaN" : "infinite");
        vt_tensor_free(&converted);
        return status;
    }
    *out = converted;
    return VT_OK;
}

static void files_free(struct files *files)
{
    free(files->images);
    free(files->images_wanted);
    free(files->averaged);
    free(files->raw);
    free(files->either);
}

/* Takes over `path`; keeps it in *out when something is there. */
static vt_status keep_existing(char **out, char *path)
{
    struct stat info;
    if (!path) return VT_ENOMEM;
    if (stat(path, &info) == 0 && !*out)
        *out = path;
    else
        free(path);
    return VT_OK;
}

static vt_status find_published(struct files *out, const char *base, const char *id)
{
    VT_TRY(keep_existing(
        &out->averaged, vt_path_format("%s/responses_repeat_averaged/responses_%s.npy", base, id)));
    VT_TRY(keep_existing(&out->raw, vt_path_format("%s/responses_raw/responses_%s.npy", base, id)));
    if (!out->averaged && !out->raw) return VT_OK;
    out->images_wanted = vt_path_format("%s/images/images_%s.zip", base, id);
    if (!out->images_wanted) return VT_ENOMEM;
    return keep_existing(&out->images, vt_strdup(out->images_wanted));
}

static vt_status find_plain(struct files *out, const char *folder)
{
    VT_TRY(keep_existing(&out->either, vt_path_format("%s/responses.npy", folder)));
    if (!out->either) return VT_OK;
    out->images_wanted = vt_path_format("%s/images.zip or images/", folder);
    if (!out->images_wanted) return VT_ENOMEM;
    VT_TRY(keep_existing(&out->images, vt_path_format("%s/images.zip", folder)));
    return keep_existing(&out->images, vt_path_format("%s/images", folder));
}

static bool found(const struct files *files)
{
    return files->averaged || files->raw || files->either;
}

/* Fills `out`, whose strings the caller frees also on failure. */
static vt_status find_files(struct files *out, const char *root, const char *id)
{
    char *base = NULL, *folder = NULL;
    VT_TRY(vt_session_published_root(&base, root));
    vt_status status = base ? find_published(out, base, id) : VT_OK;
    free(base);
    VT_TRY(status);
    if (found(out)) return VT_OK;
    folder = vt_path_format("%s/%s", root, id);
    status = folder ? find_plain(out, folder) : VT_ENOMEM;
    free(folder);
    VT_TRY(status);
    if (found(out)) return VT_OK;
    char own_id[64];
    VT_TRY(vt_session_own_id(own_id, root));
    return strcmp(own_id, id) == 0 ? find_plain(out, root) : VT_OK;
}

/* "a, b, c" cut where it would grow too long. */
static void join_ids(char *text, size_t size, char *const *ids, int64_t count)
{
    size_t used = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < count && used + 80 < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", ids[i]);
}

static vt_status not_found(const char *root, const char *id)
{
    char **ids = NULL, text[512];
    int64_t count = 0;
    VT_TRY(vt_session_list(&ids, &count, root));
    join_ids(text, sizeof text, ids, count);
    vt_session_list_free(ids, count);
    return vt_error(VT_ENOTFOUND,
                    "%s: no session %s: looked for responses_repeat_averaged/responses_%s.npy, "
                    "responses_raw/responses_%s.npy and %s/responses.npy; sessions there: %s",
                    root, id, id, id, id, text);
}

/* The id of the only session under `root`. */
static vt_status only_id(char *out, size_t size, const char *root)
{
    char **ids = NULL, text[512];
    int64_t count = 0;
    VT_TRY(vt_session_list(&ids, &count, root));
    vt_status status = VT_OK;
    join_ids(text, sizeof text, ids, count);
    if (count == 1)
        snprintf(out, size, "%s", ids[0]);
    else
        status = vt_error(VT_EINVAL, "%s: holds %lld sessions; choose one of %s", root,
                          (long long)count, text);
    vt_session_list_free(ids, count);
    return status;
}

static vt_status read_responses(vt_tensor *out, const char *path, int ndim)
{
    vt_tensor stored;
    VT_TRY(vt_npy_read(&stored, path));
    vt_status status = vt_responses_convert(out, &stored, ndim, path);
    vt_tensor_free(&stored);
    return status;
}

static vt_status read_either(vt_session *session, const char *path)
{
    vt_tensor stored;
    VT_TRY(vt_npy_read(&stored, path));
    bool raw = stored.ndim == 3;
    vt_status status =
        vt_responses_convert(raw ? &session->raw : &session->averaged, &stored, raw ? 3 : 2, path);
    vt_tensor_free(&stored);
    return status;
}

/* averaged(n, i) = mean over the repeats of raw(n, i, .) that are not NaN. */
static vt_status average_repeats(vt_session *session)
{
    const vt_tensor *raw = &session->raw;
    VT_TRY(vt_tensor_new(&session->averaged, VT_F64, 2, raw->size));
    int64_t repeats = raw->size[2], cells = raw->size[0] * raw->size[1];
    const double *values = raw->data;
    double *means = session->averaged.data;
    for (int64_t cell = 0; cell < cells; cell++) {
        double sum = 0;
        int64_t present = 0;
        for (int64_t r = 0; r < repeats; r++) {
            double value = values[cell * repeats + r];
            if (isnan(value)) continue;
            sum += value;
            present++;
        }
        if (present == 0) {
            session->missing_neuron = cell / raw->size[1];
            session->missing_image = cell % raw->size[1];
            vt_tensor_free(&session->averaged);
            session->averaged.data = NULL;
            return VT_OK;
        }
        means[cell] = sum / (double)present;
    }
    return VT_OK;
}

static vt_status load_responses(vt_session *session, const struct files *files)
{
    if (files->either) VT_TRY(read_either(session, files->either));
    if (files->averaged) VT_TRY(read_responses(&session->averaged, files->averaged, 2));
    if (files->raw) VT_TRY(read_responses(&session->raw, files->raw, 3));
    const vt_tensor *averaged = &session->averaged, *raw = &session->raw;
    if (averaged->data && raw->data &&
        (averaged->size[0] != raw->size[0] || averaged->size[1] != raw->size[1])) {
        char a[128], b[128];
        return vt_error(VT_ESHAPE, "%s has shape %s, but %s has %s: neurons or images differ",
                        files->averaged, vt_tensor_shape_text(averaged, a, sizeof a), files->raw,
                        vt_tensor_shape_text(raw, b, sizeof b));
    }
    session->neurons = averaged->data ? averaged->size[0] : raw->size[0];
    session->count = averaged->data ? averaged->size[1] : raw->size[1];
    return averaged->data ? VT_OK : average_repeats(session);
}

static vt_status load(vt_session *session, struct files *files)
{
    VT_TRY(load_responses(session, files));
    session->images_wanted = files->images_wanted;
    files->images_wanted = NULL;
    if (!files->images) return VT_OK;
    VT_TRY(vt_image_source_open(&session->images, files->images));
    int64_t images = vt_image_source_count(session->images);
    if (images == session->count) return VT_OK;
    const char *responses = files->averaged ? files->averaged
                            : files->either ? files->either
                                            : files->raw;
    return vt_error(VT_ESHAPE, "%s has %lld images, but %s has responses to %lld%s", files->images,
                    (long long)images, responses, (long long)session->count,
                    images == session->neurons
                        ? "; they may be transposed: neurons come first, then images"
                        : "");
}

vt_status vt_session_open(vt_session **out, const char *root, const char *id)
{
    char chosen[64];
    if (!id) {
        VT_TRY(only_id(chosen, sizeof chosen, root));
        id = chosen;
    }
    VT_TRY(vt_session_check_id(id));
    struct files files = {0};
    vt_status status = VT_ENOMEM;
    vt_session *session = vt_alloc(1, sizeof *session);
    if (!session) return VT_ENOMEM;
    snprintf(session->id, sizeof session->id, "%s", id);
    VT_TRY_GOTO(find_files(&files, root, id), done);
    VT_TRY_GOTO(found(&files) ? VT_OK : not_found(root, id), done);
    VT_TRY_GOTO(load(session, &files), done);
    *out = session;
    session = NULL;
done:
    vt_session_close(session);
    files_free(&files);
    return status;
}

void vt_session_close(vt_session *session)
{
    if (!session) return;
    vt_image_source_close(session->images);
    vt_tensor_free(&session->averaged);
    vt_tensor_free(&session->raw);
    free(session->images_wanted);
    free(session);
}

void vt_session_get_info(const vt_session *session, vt_session_info *out)
{
    *out = (vt_session_info){
        .images = session->count,
        .neurons = session->neurons,
        .repeats = session->raw.data ? session->raw.size[2] : 0,
        .has_averaged = session->averaged.data,
        .has_raw = session->raw.data,
        .has_images = session->images,
    };
    memcpy(out->id, session->id, sizeof out->id);
}

vt_image_source *vt_session_images(vt_session *session)
{
    if (!session->images)
        vt_error(VT_ENOTFOUND, "session %s: no images: there is no %s", session->id,
                 session->images_wanted);
    return session->images;
}

const vt_tensor *vt_session_averaged(const vt_session *session)
{
    if (session->averaged.data) return &session->averaged;
    vt_error(VT_ENUMERIC,
             "session %s: no averaged responses: neuron %lld has no repeat of image %lld",
             session->id, (long long)session->missing_neuron, (long long)session->missing_image);
    return NULL;
}

const vt_tensor *vt_session_raw(const vt_session *session)
{
    if (session->raw.data) return &session->raw;
    vt_error(VT_ENOTFOUND, "session %s: no raw responses (neurons, images, repeats), only averages",
             session->id);
    return NULL;
}
