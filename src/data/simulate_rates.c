/* Responses of simulated neurons to images: local filters at every place of a receptive field,
 * pooled as energy, normalized by contrast and surround.
 *
 * Gabor filters have a round envelope, so that exp(i k x) exp(i k y) and the Gaussian separate:
 * with column kernel a + ib and row kernel c + id, real part = ac - bd, imaginary = ad + bc. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "base/arena.h"
#include "data/simulate.h"
#include "ventral/progress.h"

#define CUT 2.5             /* filters end so many standard deviations out */
#define GABOR_WAVES 0.5     /* s.d. of a Gabor envelope, wavelengths */
#define ARC_WAVES 0.7       /* half chord of a curvature unit, wavelengths */
#define BLOB_SURROUND 2.0   /* s.d. of a colour blob's antagonist over the blob's */
#define BLOB_ANTAGONISM 0.5 /* and its weight */
#define DOT_SURROUND 1.6    /* ratio of s.d., close to a Laplacian of a Gaussian */
#define DOT_EDGE 2.0        /* s.d. of the edge filters over the centre's */
#define MAX_FILTERS 4

/* Best disc of a difference of Gaussians with s.d. s and q s: radius^2 = 4 q^2 ln(q) / (q^2 - 1)
 * s^2, where the derivative of exp(-r^2 / 2 q^2 s^2) - exp(-r^2 / 2 s^2) vanishes; for q = 1.6. */
#define DOT_RADIUS_PER_SD 1.7564

/* A separable filter: column and row kernels of 2 reach + 2 taps, imaginary ones NULL if real. */
typedef struct filter {
    int reach;
    float *column[2], *row[2];
} filter;

/* A neuron made ready: its filters and the weights of the places, a square grid of `places` rows
 * `stride` pixels apart, fed from a patch of `side` pixels. */
typedef struct unit {
    const vt_simulate_neuron *neuron;
    int stride, places, reach, side, left, top;
    filter filter[MAX_FILTERS];
    float *centre, *surround; /* (places, places); surround NULL if none */
    int contrast_reach;
    float *contrast_column, *contrast_row; /* 2 contrast_reach + 2 weights */
} unit;

typedef struct workspace {
    float *patch;   /* (side, side) */
    float *columns; /* (places, side) */
    float *map[3];  /* (places, places) */
} workspace;

static vt_status new_floats(vt_arena *arena, float **out, size_t count)
{
    return vt_arena_alloc(arena, out, count * sizeof **out, "simulated neurons");
}

/* Taps of Gaussian(distance - offset) * cos or sin of `wave` radians a pixel, the Gaussian summing
 * to 1; distance of tap t from a centre `fraction` into its pixel. */
static void fill_gabor(float *cosine, float *sine, int reach, double fraction, double sd,
                       double offset, double wave)
{
    double sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int t = 0; t < 2 * reach + 2; t++) {
            double d = t - reach + 0.5 - fraction - offset, g = exp(-d * d / (2 * sd * sd));
            if (pass == 0) {
                sum += g;
                continue;
            }
            cosine[t] = (float)(g / sum * cos(wave * d));
            if (sine) sine[t] = (float)(g / sum * sin(wave * d));
        }
}

static vt_status gabor(vt_arena *arena, filter *out, const vt_simulate_neuron *n, double angle,
                       double along)
{
    double sd = GABOR_WAVES / n->frequency, wave = 6.283185307179586 * n->frequency;
    double ox = along * cos(n->orientation), oy = along * sin(n->orientation);
    out->reach = (int)ceil(CUT * sd + fabs(along));
    for (int k = 0; k < 2; k++) {
        VT_TRY(new_floats(arena, &out->column[k], 2 * (size_t)out->reach + 2));
        VT_TRY(new_floats(arena, &out->row[k], 2 * (size_t)out->reach + 2));
    }
    /* The wave runs across the contour: its vector is (-sin, cos) of the contour's angle. */
    fill_gabor(out->column[0], out->column[1], out->reach, n->y - floor(n->y), sd, oy,
               wave * cos(angle));
    fill_gabor(out->row[0], out->row[1], out->reach, n->x - floor(n->x), sd, ox,
               -wave * sin(angle));
    return VT_OK;
}

/* A Gaussian, or with `slope` its derivative times s.d. along x (1) or y (2). */
static vt_status blob(vt_arena *arena, filter *out, const vt_simulate_neuron *n, double sd,
                      int slope)
{
    double fx = n->x - floor(n->x), fy = n->y - floor(n->y);
    out->reach = (int)ceil(CUT * sd);
    size_t taps = 2 * (size_t)out->reach + 2;
    VT_TRY(new_floats(arena, &out->column[0], taps));
    VT_TRY(new_floats(arena, &out->row[0], taps));
    fill_gabor(out->column[0], NULL, out->reach, fy, sd, 0, 0);
    fill_gabor(out->row[0], NULL, out->reach, fx, sd, 0, 0);
    for (size_t t = 0; t < taps && slope; t++) {
        double d = (double)t - out->reach + 0.5 - (slope == 1 ? fx : fy);
        (slope == 1 ? out->row[0] : out->column[0])[t] *= (float)(d / sd);
    }
    return VT_OK;
}

/* Filters of the neuron's kind, and how far apart places may be, pixels. */
static vt_status prepare_filters(vt_arena *arena, unit *u, double *spacing)
{
    const vt_simulate_neuron *n = u->neuron;
    double sd = n->radius;
    switch (n->kind) {
    case VT_SIMULATE_ORIENTATION:
        *spacing = GABOR_WAVES / n->frequency;
        return gabor(arena, &u->filter[0], n, n->orientation, 0);
    case VT_SIMULATE_CURVATURE:
        *spacing = GABOR_WAVES / n->frequency;
        VT_TRY(gabor(arena, &u->filter[0], n, n->orientation + n->bend, ARC_WAVES / n->frequency));
        return gabor(arena, &u->filter[1], n, n->orientation - n->bend, -ARC_WAVES / n->frequency);
    case VT_SIMULATE_COLOUR:
        *spacing = sd;
        VT_TRY(blob(arena, &u->filter[0], n, sd, 0));
        return blob(arena, &u->filter[1], n, BLOB_SURROUND * sd, 0);
    default:
        sd = n->radius / DOT_RADIUS_PER_SD;
        *spacing = sd;
        VT_TRY(blob(arena, &u->filter[0], n, sd, 0));
        VT_TRY(blob(arena, &u->filter[1], n, DOT_SURROUND * sd, 0));
        VT_TRY(blob(arena, &u->filter[2], n, DOT_EDGE * sd, 1));
        return blob(arena, &u->filter[3], n, DOT_EDGE * sd, 2);
    }
}

/* Weights of the places: a Gaussian with s.d. size / 4 inside the receptive field, size / 2 in the
 * ring around it; each sums to 1. */
static void weigh_places(unit *u)
{
    double size = u->neuron->size, sums[2] = {0, 0};
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < u->places * u->places; i++) {
            double dy = u->stride * (i / u->places - u->places / 2);
            double dx = u->stride * (i % u->places - u->places / 2);
            double r2 = dx * dx + dy * dy;
            bool ring = r2 > size * size / 4;
            double sd = ring ? size / 2 : size / 4, weight = exp(-r2 / (2 * sd * sd));
            if (r2 > size * size || (ring && !u->surround)) continue;
            if (pass == 0)
                sums[ring] += weight;
            else
                (ring ? u->surround : u->centre)[i] = (float)(weight / sums[ring]);
        }
}

static vt_status prepare_unit(vt_arena *arena, unit *u, const vt_simulate_neuron *n)
{
    double spacing, extent = n->surround > 0 ? n->size : n->size / 2;
    *u = (unit){.neuron = n};
    VT_TRY(prepare_filters(arena, u, &spacing));
    u->stride = spacing < 1 ? 1 : (int)spacing;
    int half = (int)(extent / u->stride);
    u->places = 2 * half + 1;
    for (int k = 0; k < MAX_FILTERS; k++)
        if (u->filter[k].reach > u->reach) u->reach = u->filter[k].reach;
    u->side = 2 * half * u->stride + 2 * u->reach + 2;
    u->left = (int)floor(n->x) - half * u->stride - u->reach;
    u->top = (int)floor(n->y) - half * u->stride - u->reach;
    size_t area = (size_t)u->places * (size_t)u->places;
    VT_TRY(new_floats(arena, &u->centre, area));
    if (n->surround > 0) VT_TRY(new_floats(arena, &u->surround, area));
    weigh_places(u);
    u->contrast_reach = (int)ceil(n->size / 2);
    size_t taps = 2 * (size_t)u->contrast_reach + 2;
    VT_TRY(new_floats(arena, &u->contrast_column, taps));
    VT_TRY(new_floats(arena, &u->contrast_row, taps));
    fill_gabor(u->contrast_column, NULL, u->contrast_reach, n->y - floor(n->y), n->size / 4, 0, 0);
    fill_gabor(u->contrast_row, NULL, u->contrast_reach, n->x - floor(n->x), n->size / 4, 0, 0);
    return VT_OK;
}

/* The patch as the neuron's colour sees it, about mid grey; 0 outside the image. */
static void look(float *patch, const unit *u, const uint8_t *image, int height, int width)
{
    const double *colour = u->neuron->colour;
    float r = (float)colour[0] / 255, g = (float)colour[1] / 255, b = (float)colour[2] / 255;
    float grey = 127.5f * (r + g + b);
    int first = u->left < 0 ? -u->left : 0, last = width - u->left;
    if (last > u->side) last = u->side;
    for (int i = 0; i < u->side; i++) {
        float *line = patch + (size_t)i * (size_t)u->side;
        int y = u->top + i;
        if (y < 0 || y >= height || first >= last) {
            for (int j = 0; j < u->side; j++)
                line[j] = 0;
            continue;
        }
        const uint8_t *pixel = image + ((size_t)y * (size_t)width + (size_t)(u->left + first)) * 3;
        for (int j = 0; j < first; j++)
            line[j] = 0;
        for (int j = first; j < last; j++, pixel += 3)
            line[j] = r * pixel[0] + g * pixel[1] + b * pixel[2] - grey;
        for (int j = last; j < u->side; j++)
            line[j] = 0;
    }
}

static void filter_columns(const unit *u, const workspace *w, const float *kernel, int reach)
{
    for (int i = 0; i < u->places; i++) {
        float *out = w->columns + (size_t)i * (size_t)u->side;
        const float *in = w->patch + (size_t)(i * u->stride + u->reach - reach) * (size_t)u->side;
        for (int x = 0; x < u->side; x++)
            out[x] = 0;
        for (int t = 0; t < 2 * reach + 2; t++, in += u->side)
            for (int x = 0; x < u->side; x++)
                out[x] += kernel[t] * in[x];
    }
}

/* map = keep * map + sign * rows filtered. */
static void filter_rows(const unit *u, const workspace *w, const float *kernel, int reach,
                        float *map, float keep, float sign)
{
    for (int i = 0; i < u->places; i++)
        for (int j = 0; j < u->places; j++) {
            const float *in = w->columns + (size_t)i * (size_t)u->side +
                              (size_t)(j * u->stride + u->reach - reach);
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int t = 0; t < 2 * reach + 2; t++)
                sum += kernel[t] * in[t];
            float *out = map + (size_t)i * (size_t)u->places + (size_t)j;
            *out = keep * *out + sign * sum;
        }
}

/* map = weight * filtered + keep * map */
static void apply_real(const unit *u, const workspace *w, const filter *f, float *map, float keep,
                       float weight)
{
    filter_columns(u, w, f->column[0], f->reach);
    filter_rows(u, w, f->row[0], f->reach, map, keep, weight);
}

/* Amplitude of the quadrature pair, into `map`; `spare` is overwritten. */
static void apply_energy(const unit *u, const workspace *w, const filter *f, float *map,
                         float *spare)
{
    filter_columns(u, w, f->column[0], f->reach);
    filter_rows(u, w, f->row[0], f->reach, map, 0, 1);
    filter_rows(u, w, f->row[1], f->reach, spare, 0, 1);
    filter_columns(u, w, f->column[1], f->reach);
    filter_rows(u, w, f->row[1], f->reach, map, 1, -1);
    filter_rows(u, w, f->row[0], f->reach, spare, 1, 1);
    for (int i = 0; i < u->places * u->places; i++)
        map[i] = sqrtf(map[i] * map[i] + spare[i] * spare[i]);
}

/* Drive at every place, into w->map[0]. */
static void local_drive(const unit *u, const workspace *w)
{
    float *drive = w->map[0], *a = w->map[1], *b = w->map[2];
    int area = u->places * u->places;
    switch (u->neuron->kind) {
    case VT_SIMULATE_ORIENTATION: apply_energy(u, w, &u->filter[0], drive, a); return;
    case VT_SIMULATE_CURVATURE:
        apply_energy(u, w, &u->filter[0], drive, b);
        apply_energy(u, w, &u->filter[1], a, b);
        for (int i = 0; i < area; i++)
            drive[i] = sqrtf(drive[i] * a[i]);
        return;
    case VT_SIMULATE_COLOUR:
        apply_real(u, w, &u->filter[0], drive, 0, 1);
        apply_real(u, w, &u->filter[1], drive, 1, -(float)BLOB_ANTAGONISM);
        break;
    default:
        apply_real(u, w, &u->filter[0], drive, 0, 1);
        apply_real(u, w, &u->filter[1], drive, 1, -1);
        apply_real(u, w, &u->filter[2], a, 0, 1);
        apply_real(u, w, &u->filter[3], b, 0, 1);
        for (int i = 0; i < area; i++)
            drive[i] -= (float)u->neuron->inhibition * sqrtf(a[i] * a[i] + b[i] * b[i]);
        break;
    }
    for (int i = 0; i < area; i++)
        drive[i] = drive[i] > 0 ? drive[i] : 0;
}

/* Standard deviation of luminance (0 to 1) under the receptive field's Gaussian. */
static double local_contrast(const unit *u, const uint8_t *image, int height, int width)
{
    double sum = 0, squares = 0;
    int left = (int)floor(u->neuron->x) - u->contrast_reach;
    int top = (int)floor(u->neuron->y) - u->contrast_reach;
    for (int i = 0; i < 2 * u->contrast_reach + 2; i++) {
        int y = top + i;
        if (y < 0 || y >= height) continue;
        float row_sum = 0, row_squares = 0;
        for (int j = 0; j < 2 * u->contrast_reach + 2; j++) {
            int x = left + j;
            if (x < 0 || x >= width) continue;
            const uint8_t *pixel = image + ((size_t)y * (size_t)width + (size_t)x) * 3;
            float light = (float)(pixel[0] + pixel[1] + pixel[2]) * (1 / 765.0f) - 0.5f;
            row_sum += u->contrast_row[j] * light;
            row_squares += u->contrast_row[j] * light * light;
        }
        sum += u->contrast_column[i] * row_sum;
        squares += u->contrast_column[i] * row_squares;
    }
    return sqrt(fmax(squares - sum * sum, 0));
}

static vt_simulate_drive respond(const unit *u, const workspace *w, const uint8_t *image,
                                 int height, int width)
{
    double centre = 0, surround = 0;
    look(w->patch, u, image, height, width);
    local_drive(u, w);
    for (int i = 0; i < u->places * u->places; i++) {
        double energy = (double)w->map[0][i] * w->map[0][i];
        centre += u->centre[i] * energy;
        if (u->surround) surround += u->surround[i] * energy;
    }
    return (vt_simulate_drive){sqrt(centre), sqrt(surround),
                               local_contrast(u, image, height, width)};
}

static vt_status check_neuron(const vt_simulate_neuron *n, int index)
{
    bool waves = n->kind == VT_SIMULATE_ORIENTATION || n->kind == VT_SIMULATE_CURVATURE;
    bool known = n->kind >= 0 && n->kind < VT_SIMULATE_KINDS;
    /* The bounds keep filters and receptive fields within some thousand pixels. */
    if (known && fabs(n->x) < 1e6 && fabs(n->y) < 1e6 && n->size >= 2 && n->size <= 1000 &&
        (waves ? n->frequency >= 0.005 && n->frequency <= 0.5
               : n->radius >= 0.5 && n->radius <= 100) &&
        n->surround >= 0)
        return VT_OK;
    return vt_error(VT_EINVAL,
                    "simulated neuron %d: kind, place, size (2 to 1000 pixels), frequency (0.005 "
                    "to 0.5 cycles a pixel), radius (0.5 to 100 pixels) or surround out of range",
                    index);
}

static vt_status prepare_workspaces(vt_arena *arena, workspace *w, int threads, const unit *units,
                                    int count)
{
    size_t side = 0, places = 0;
    for (int i = 0; i < count; i++) {
        if ((size_t)units[i].side > side) side = (size_t)units[i].side;
        if ((size_t)units[i].places > places) places = (size_t)units[i].places;
    }
    for (int t = 0; t < threads; t++) {
        VT_TRY(new_floats(arena, &w[t].patch, side * side));
        VT_TRY(new_floats(arena, &w[t].columns, places * side));
        for (int k = 0; k < 3; k++)
            VT_TRY(new_floats(arena, &w[t].map[k], places * places));
    }
    return VT_OK;
}

static vt_status compute(vt_arena *arena, vt_simulate_drive *out, const vt_simulate_neuron *neurons,
                         int count, const vt_tensor *images)
{
    int threads = vt_threads();
    int height = (int)images->size[1], width = (int)images->size[2];
    unit *units;
    workspace *workspaces;
    VT_TRY(vt_arena_alloc(arena, &units, (size_t)count * sizeof *units, "simulated neurons"));
    VT_TRY(vt_arena_alloc(arena, &workspaces, (size_t)threads * sizeof *workspaces,
                          "simulated neurons"));
    for (int i = 0; i < count; i++) {
        VT_TRY(check_neuron(&neurons[i], i));
        VT_TRY(prepare_unit(arena, &units[i], &neurons[i]));
    }
    VT_TRY(prepare_workspaces(arena, workspaces, threads, units, count));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < images->size[0]; i++) {
        const uint8_t *image = (const uint8_t *)images->data + i * images->stride[0];
        const workspace *w = &workspaces[omp_get_thread_num()];
        for (int k = 0; k < count; k++)
            out[k * images->size[0] + i] = respond(&units[k], w, image, height, width);
    }
    return VT_OK;
}

vt_status vt_simulate_drives(vt_simulate_drive *out, const vt_simulate_neuron *neurons, int count,
                             const vt_tensor *images)
{
    vt_arena *arena;
    VT_TRY(vt_arena_new(&arena));
    vt_status status = compute(arena, out, neurons, count, images);
    vt_arena_free(arena);
    return status;
}

double vt_simulate_rate(const vt_simulate_neuron *n, vt_simulate_drive drive)
{
    double p = n->exponent, e = pow(drive.centre / n->drive_unit, p);
    double pool = pow(n->semisaturation, p) + e +
                  pow(n->contrast * drive.contrast / n->contrast_unit, p) +
                  pow(n->surround * drive.surround / n->drive_unit, p);
    return n->baseline + n->gain * e / pool;
}

vt_status vt_simulate_rates(double *out, const vt_simulate_neuron *neurons, int count,
                            const vt_tensor *images)
{
    char shape[128];
    if (images->dtype != VT_U8 || images->ndim != 4 || images->size[3] != 3 ||
        !vt_tensor_is_contiguous(images) || images->size[1] < 1 || images->size[2] < 1 ||
        images->size[1] > INT16_MAX || images->size[2] > INT16_MAX)
        return vt_error(VT_ESHAPE,
                        "simulated neurons: images are %s %s; give contiguous uint8 "
                        "(images, height, width, 3)",
                        vt_dtype_name(images->dtype),
                        vt_tensor_shape_text(images, shape, sizeof shape));
    if (count < 0) return vt_error(VT_EINVAL, "simulated neurons: count is %d", count);
    size_t total = (size_t)count * (size_t)images->size[0];
    vt_simulate_drive *drives = vt_alloc(total, sizeof *drives);
    if (!drives) return VT_ENOMEM;
    vt_status status = vt_simulate_drives(drives, neurons, count, images);
    for (size_t i = 0; i < total && status == VT_OK; i++)
        out[i] = vt_simulate_rate(&neurons[i / (size_t)images->size[0]], drives[i]);
    free(drives);
    return status;
}
