/* Writing a session in the published layout. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "data/session.h"
#include "ventral/io.h"

enum { JPEG_QUALITY = 95 };

/* What is to be written and where; images first and averages last, so that no reader sees averages
 * whose images are still to come. */
struct job {
    const vt_session_write_options *options;
    vt_tensor averaged, raw; /* float64; raw.data NULL: none */
    char *images_path, *averaged_path, *raw_path;
};

static void job_free(struct job *job)
{
    vt_tensor_free(&job->averaged);
    vt_tensor_free(&job->raw);
    free(job->images_path);
    free(job->averaged_path);
    free(job->raw_path);
}

static vt_status check_count(const vt_tensor *responses, const vt_session_write_options *options,
                             const char *label)
{
    char shape[128];
    if (responses->size[1] == options->images && responses->size[0] == options->averaged->size[0])
        return VT_OK;
    return vt_error(VT_ESHAPE, "%s have shape %s, but there are %lld images and %lld neurons",
                    label, vt_tensor_shape_text(responses, shape, sizeof shape),
                    (long long)options->images, (long long)options->averaged->size[0]);
}

static vt_status prepare(struct job *job, const char *root, const char *id)
{
    const vt_session_write_options *options = job->options;
    VT_TRY(vt_session_check_id(id));
    if (!options->read_image || !options->averaged || options->images < 1)
        return vt_error(VT_EINVAL, "session %s: images and averaged responses are needed", id);
    VT_TRY(vt_responses_convert(&job->averaged, options->averaged, 2, "averaged responses"));
    VT_TRY(check_count(&job->averaged, options, "averaged responses"));
    if (options->raw) {
        VT_TRY(vt_responses_convert(&job->raw, options->raw, 3, "raw responses"));
        VT_TRY(check_count(&job->raw, options, "raw responses"));
    }
    job->images_path = vt_path_format("%s/images/images_%s.zip", root, id);
    job->averaged_path = vt_path_format("%s/responses_repeat_averaged/responses_%s.npy", root, id);
    job->raw_path = vt_path_format("%s/responses_raw/responses_%s.npy", root, id);
    if (!job->images_path || !job->averaged_path || !job->raw_path) return VT_ENOMEM;
    const char *paths[] = {job->images_path, job->averaged_path, job->raw_path};
    for (int i = 0; i < 3; i++)
        if (access(paths[i], F_OK) == 0)
            return vt_error(VT_EINVAL, "%s exists already: remove session %s or choose another id",
                            paths[i], id);
    return VT_OK;
}

static vt_status make_folder(const char *root, const char *name)
{
    char *path = vt_path_format("%s%s%s", root, *name ? "/" : "", name);
    if (!path) return VT_ENOMEM;
    vt_status status = vt_folder_make(path);
    free(path);
    return status;
}

static vt_status add_image(vt_zip_writer *zip, const vt_session_write_options *options,
                           int64_t index)
{
    vt_image image = {0};
    void *data;
    size_t size;
    char *name = vt_path_format("image%04lld.%s", (long long)(index + 1),
                                options->format == VT_SESSION_PNG ? "png" : "jpg");
    if (!name) return VT_ENOMEM;
    vt_status status = options->read_image(options->context, index, &image);
    if (status == VT_OK) {
        status = options->format == VT_SESSION_PNG
                     ? vt_png_encode(&data, &size, &image)
                     : vt_jpeg_encode(&data, &size, &image, JPEG_QUALITY);
        vt_image_free(&image);
    }
    if (status == VT_OK) {
        status = vt_zip_writer_add(zip, name, data, size, false);
        free(data);
    }
    free(name);
    return status;
}

static vt_status write_images(const struct job *job)
{
    vt_zip_writer *zip;
    VT_TRY(vt_zip_writer_new(&zip, job->images_path));
    for (int64_t i = 0; i < job->options->images; i++) {
        vt_status status = add_image(zip, job->options, i);
        if (status != VT_OK) {
            vt_zip_writer_abort(zip);
            return status;
        }
    }
    return vt_zip_writer_finish(zip);
}

static vt_status write_all(const struct job *job, const char *root)
{
    VT_TRY(make_folder(root, ""));
    VT_TRY(make_folder(root, "images"));
    VT_TRY(make_folder(root, "responses_repeat_averaged"));
    if (job->raw.data) VT_TRY(make_folder(root, "responses_raw"));
    vt_status status = write_images(job);
    if (status == VT_OK && job->raw.data) status = vt_npy_write(&job->raw, job->raw_path);
    if (status == VT_OK) status = vt_npy_write(&job->averaged, job->averaged_path);
    if (status != VT_OK) { /* none of them was there before */
        unlink(job->averaged_path);
        unlink(job->raw_path);
        unlink(job->images_path);
    }
    return status;
}

vt_status vt_session_write(const char *root, const char *id,
                           const vt_session_write_options *options)
{
    struct job job = {.options = options};
    vt_status status = prepare(&job, root, id);
    if (status == VT_OK) status = write_all(&job, root);
    job_free(&job);
    return status;
}
