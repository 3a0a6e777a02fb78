/* Simulated sessions: their images, their spike counts, and the files they are written to. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "data/simulate.h"
#include "ventral/io.h"
#include "ventral/rng.h"
#include "ventral/session.h"

#define CHUNK 200         /* images between two reports of progress */
#define STORED_QUALITY 95 /* VT_SESSION_JPEG's; a test compares */
#define MAX_IMAGE_BYTES ((size_t)8 << 30)

/* A session's files below the folder: folder, beginning and end of the name around its id. */
static const struct {
    const char *folder, *begin, *end;
} parts[] = {
    {"truth", "truth_", ".npz"},
    {"images", "images_", ".zip"},
    {"responses_raw", "responses_", ".npy"},
    {"responses_repeat_averaged", "responses_", ".npy"},
};
enum { PARTS = sizeof parts / sizeof *parts };

static vt_status check_range(const char *name, int value, int low, int high)
{
    if (value >= low && value <= high) return VT_OK;
    return vt_error(VT_EINVAL, "simulation: %s is %d; give %d to %d", name, value, low, high);
}

vt_status vt_simulate_check(const vt_simulate_options *o)
{
    VT_TRY(check_range("number of sessions", o->sessions, 1, 999));
    VT_TRY(check_range("number of images", o->images, 2, 1000000));
    VT_TRY(check_range("number of neurons", o->neurons, 1, 10000));
    VT_TRY(check_range("number of repeats", o->repeats, 1, 1000));
    VT_TRY(check_range("image height", o->height, 56, 1024));
    VT_TRY(check_range("image width", o->width, 56, 1024));
    if ((size_t)o->images * (size_t)o->height * (size_t)o->width * 3 > MAX_IMAGE_BYTES)
        return vt_error(VT_EINVAL,
                        "simulation: %d images of %d x %d pixels a session need more than 8 GiB; "
                        "give fewer, or more sessions",
                        o->images, o->height, o->width);
    return VT_OK;
}

vt_status vt_simulate_images(uint8_t *out, const vt_simulate_options *options, int session,
                             int first, int count)
{
    int height = options->height, width = options->width;
    /* Weyl steps keep the sessions' streams of images apart from each other and from the seed's
     * own, which serves distillation. */
    uint64_t seed = options->seed + 0x9e3779b97f4a7c15u * ((uint64_t)session + 1);
    vt_error_state failure = {.code = VT_OK};
#pragma omp parallel for schedule(dynamic, 8) num_threads(vt_threads())
    for (int i = 0; i < count; i++) {
        uint8_t *image = out + (size_t)i * (size_t)height * (size_t)width * 3;
        vt_status one = vt_dead_leaves(image, height, width, seed, (uint32_t)(first + i));
        if (one != VT_OK) {
#pragma omp critical(vt_simulate_images)
            vt_error_save(&failure, one);
        }
    }
    return failure.code == VT_OK ? VT_OK : vt_error_restore(&failure);
}

/* ---- one session ---- */

typedef struct recording {
    const vt_simulate_options *options;
    int session;
    char id[16];
    vt_simulate_neuron *neurons;
    uint8_t *images; /* as drawn */
    vt_tensor rates, averaged, raw;
} recording;

/* Working memory of up to CHUNK images: as shown, uint8 (images, height, width, 3), and their rates
 * (neurons, images). */
typedef struct chunk {
    uint8_t *shown;
    double *rates;
} chunk;

static void recording_free(recording *r)
{
    free(r->neurons);
    free(r->images);
    vt_tensor_free(&r->rates);
    vt_tensor_free(&r->averaged);
    vt_tensor_free(&r->raw);
}

static vt_status recording_new(recording *r, const vt_simulate_options *o, int session)
{
    *r = (recording){.options = o, .session = session};
    snprintf(r->id, sizeof r->id, "sim%03d", session);
    r->neurons = vt_alloc((size_t)o->neurons, sizeof *r->neurons);
    r->images = vt_alloc((size_t)o->images * (size_t)o->height * (size_t)o->width, 3);
    int64_t size[3] = {o->neurons, o->images, o->repeats};
    vt_status status = r->neurons && r->images ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_tensor_new(&r->rates, VT_F64, 2, size);
    if (status == VT_OK) status = vt_tensor_new(&r->averaged, VT_F64, 2, size);
    if (status == VT_OK) status = vt_tensor_new(&r->raw, VT_F64, 3, size);
    if (status != VT_OK) recording_free(r);
    return status;
}

/* What a reader of the stored session will see: the image after its JPEG. */
static vt_status show(uint8_t *out, const uint8_t *drawn, int height, int width)
{
    vt_image image = {height, width, (uint8_t *)drawn};
    void *data;
    size_t size;
    VT_TRY(vt_jpeg_encode(&data, &size, &image, STORED_QUALITY));
    vt_status status = vt_image_decode(&image, data, size, "simulated image");
    free(data);
    if (status != VT_OK) return status;
    memcpy(out, image.pixels, (size_t)height * (size_t)width * 3);
    vt_image_free(&image);
    return VT_OK;
}

/* Draws a chunk of images and puts the rates they cause into their columns. */
static vt_status respond(recording *r, int first, const chunk *c)
{
    const vt_simulate_options *o = r->options;
    size_t bytes = (size_t)o->height * (size_t)o->width * 3;
    uint8_t *drawn = r->images + (size_t)first * bytes;
    int count = o->images - first < CHUNK ? o->images - first : CHUNK;
    vt_error_state failure = {.code = VT_OK};
    vt_tensor images;
    VT_TRY(vt_simulate_images(drawn, o, r->session, first, count));
#pragma omp parallel for schedule(dynamic, 8) num_threads(vt_threads())
    for (int i = 0; i < count; i++) {
        size_t at = (size_t)i * bytes;
        vt_status one = show(c->shown + at, drawn + at, o->height, o->width);
        if (one != VT_OK) {
#pragma omp critical(vt_simulate_show)
            vt_error_save(&failure, one);
        }
    }
    if (failure.code != VT_OK) return vt_error_restore(&failure);
    VT_TRY(vt_tensor_init(&images, VT_U8, 4, (int64_t[]){count, o->height, o->width, 3}, c->shown));
    VT_TRY(vt_simulate_rates(c->rates, r->neurons, o->neurons, &images));
    for (int k = 0; k < o->neurons; k++)
        memcpy((double *)r->rates.data + (size_t)k * (size_t)o->images + first,
               c->rates + (size_t)k * (size_t)count, (size_t)count * sizeof *c->rates);
    return VT_OK;
}

/* Poisson counts of every repeat, and their means; a neuron has a stream of its own. */
static void count_spikes(recording *r)
{
    const vt_simulate_options *o = r->options;
    const double *rates = r->rates.data;
    double *averaged = r->averaged.data, *raw = r->raw.data;
#pragma omp parallel for num_threads(vt_threads())
    for (int k = 0; k < o->neurons; k++) {
        vt_rng rng;
        vt_rng_init(&rng, o->seed, VT_RNG_SPIKES, (uint32_t)r->session, (uint32_t)k);
        for (int i = 0; i < o->images; i++) {
            size_t at = (size_t)k * (size_t)o->images + (size_t)i;
            double sum = 0;
            for (int repeat = 0; repeat < o->repeats; repeat++) {
                double spikes = (double)vt_rng_poisson(&rng, rates[at]);
                raw[at * (size_t)o->repeats + (size_t)repeat] = spikes;
                sum += spikes;
            }
            averaged[at] = sum / o->repeats;
        }
    }
}

static vt_status record(recording *r, const vt_progress *progress)
{
    const vt_simulate_options *o = r->options;
    int64_t before = (int64_t)(r->session - 1) * o->images,
            total = (int64_t)o->sessions * o->images;
    chunk c = {
        .shown = vt_alloc((size_t)CHUNK * (size_t)o->height * (size_t)o->width, 3),
        .rates = vt_alloc((size_t)CHUNK * (size_t)o->neurons, sizeof *c.rates),
    };
    vt_status status = c.shown && c.rates ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_simulate_neurons(r->neurons, o, r->session);
    for (int first = 0; first < o->images && status == VT_OK; first += CHUNK) {
        status = respond(r, first, &c);
        if (status != VT_OK) break;
        int done = first + CHUNK < o->images ? first + CHUNK : o->images;
        status = vt_progress_report(progress, before + done, total, r->id);
    }
    if (status == VT_OK) count_spikes(r);
    free(c.shown);
    free(c.rates);
    return status;
}

/* ---- files ---- */

static vt_status add_field(vt_tensor_map *map, const char *name, const recording *r, size_t offset,
                           int columns)
{
    vt_tensor t;
    int neurons = r->options->neurons;
    VT_TRY(vt_tensor_map_add(map, name, VT_F64, columns > 1 ? 2 : 1, (int64_t[]){neurons, columns},
                             &t));
    for (int k = 0; k < neurons; k++)
        memcpy((double *)t.data + k * columns, (const char *)&r->neurons[k] + offset,
               (size_t)columns * sizeof(double));
    return VT_OK;
}

static vt_status fill_truth(vt_tensor_map *map, const recording *r)
{
#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(vt_simulate_neuron, name), 1                                               \
    }
    static const struct {
        const char *name;
        size_t offset;
        int columns;
    } fields[] = {
        FIELD(x),
        FIELD(y),
        FIELD(size),
        {"colour", offsetof(vt_simulate_neuron, colour), 3},
        FIELD(orientation),
        FIELD(frequency),
        FIELD(bend),
        FIELD(radius),
        FIELD(inhibition),
        FIELD(drive_unit),
        FIELD(contrast_unit),
        FIELD(semisaturation),
        FIELD(contrast),
        FIELD(surround),
        FIELD(exponent),
        FIELD(baseline),
        FIELD(gain),
    };
#undef FIELD
    vt_tensor kind, rates = r->rates;
    VT_TRY(vt_tensor_map_add(map, "kind", VT_I64, 1, (int64_t[]){r->options->neurons}, &kind));
    for (int k = 0; k < r->options->neurons; k++)
        ((int64_t *)kind.data)[k] = r->neurons[k].kind;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        VT_TRY(add_field(map, fields[i].name, r, fields[i].offset, fields[i].columns));
    snprintf(rates.name, sizeof rates.name, "rates");
    VT_TRY(vt_tensor_map_add_copy(map, "rates", &rates));
    char kinds[128] = "";
    for (int k = 0; k < VT_SIMULATE_KINDS; k++)
        snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s%s", k ? "\n" : "",
                 vt_simulate_kind_name((vt_simulate_kind)k));
    return vt_tensor_map_set_text(map, "kinds", kinds);
}

static vt_status write_truth(const recording *r, const char *path)
{
    vt_tensor_map *map;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status = fill_truth(map, r);
    if (status == VT_OK) status = vt_npz_write(map, path);
    vt_tensor_map_free(map);
    return status;
}

static vt_status lend_image(void *context, int64_t index, vt_image *out)
{
    const recording *r = context;
    size_t bytes = (size_t)r->options->height * (size_t)r->options->width * 3;
    *out = (vt_image){r->options->height, r->options->width, vt_alloc(bytes, 1)};
    if (!out->pixels) return VT_ENOMEM;
    memcpy(out->pixels, r->images + (size_t)index * bytes, bytes);
    return VT_OK;
}

typedef char path_text[4096];

static vt_status part_path(path_text out, const char *folder, int part, int session)
{
    int size = snprintf(out, sizeof(path_text), "%s/%s/%ssim%03d%s", folder, parts[part].folder,
                        parts[part].begin, session, parts[part].end);
    if (size >= 0 && (size_t)size < sizeof(path_text)) return VT_OK;
    return vt_error(VT_EINVAL, "simulation: the folder's name is too long: %.60s...", folder);
}

static vt_status check_absent(const char *folder, int sessions)
{
    path_text path;
    for (int session = 1; session <= sessions; session++)
        for (int part = 0; part < PARTS; part++) {
            VT_TRY(part_path(path, folder, part, session));
            if (access(path, F_OK) == 0)
                return vt_error(VT_EINVAL,
                                "%s exists already: give another folder, or remove session sim%03d",
                                path, session);
        }
    return VT_OK;
}

static void remove_session(const char *folder, int session)
{
    path_text path;
    for (int part = 0; part < PARTS; part++)
        if (part_path(path, folder, part, session) == VT_OK) unlink(path);
}

/* Takes back what this call wrote; folders go when nothing else is in them. */
static void remove_sessions(const char *folder, int sessions, bool made)
{
    path_text path;
    for (int session = 1; session <= sessions; session++)
        remove_session(folder, session);
    for (int part = 0; part < PARTS; part++) {
        snprintf(path, sizeof path, "%s/%s", folder, parts[part].folder);
        rmdir(path);
    }
    if (made) rmdir(folder);
}

static vt_status make_folder(const char *path, bool *made)
{
    *made = mkdir(path, 0777) == 0;
    if (*made || errno == EEXIST) return VT_OK;
    return vt_error(VT_EIO, "%s: cannot make the folder: %s", path, strerror(errno));
}

static vt_status write_recording(const char *folder, recording *r)
{
    path_text path;
    vt_session_write_options options = {
        .images = r->options->images,
        .read_image = lend_image,
        .context = r,
        .format = VT_SESSION_JPEG,
        .averaged = &r->averaged,
        .raw = &r->raw,
    };
    VT_TRY(part_path(path, folder, 0, r->session));
    /* First what refuses to overwrite: after it, all files of this id are ours. */
    VT_TRY(vt_session_write(folder, r->id, &options));
    vt_status status = write_truth(r, path);
    if (status != VT_OK) remove_session(folder, r->session);
    return status;
}

static vt_status simulate_session(const char *folder, const vt_simulate_options *options,
                                  int session, const vt_progress *progress)
{
    recording r;
    VT_TRY(recording_new(&r, options, session));
    vt_status status = record(&r, progress);
    if (status == VT_OK) status = write_recording(folder, &r);
    recording_free(&r);
    return status;
}

vt_status vt_simulate(const char *folder, const vt_simulate_options *options,
                      const vt_progress *progress)
{
    path_text truth;
    VT_TRY(vt_simulate_check(options));
    VT_TRY(check_absent(folder, options->sessions));
    snprintf(truth, sizeof truth, "%s/truth", folder); /* fits: check_absent made longer ones */
    bool made, made_truth;
    vt_status status = make_folder(folder, &made);
    if (status == VT_OK) status = make_folder(truth, &made_truth);
    int session = 0;
    while (session < options->sessions && status == VT_OK)
        status = simulate_session(folder, options, ++session, progress);
    if (status != VT_OK) remove_sessions(folder, session - 1, made);
    return status;
}
