/* Draws the neurons of a simulated session and sets their units and gains on dead leaves.
 *
 * Kinds and sizes follow what recordings of macaque V4 report: tuning to orientation, curvature
 * (Pasupathy & Connor 1999), colour, and small dots (Cowley et al.), suppressive surrounds,
 * receptive fields overlapping within one electrode array. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "data/simulate.h"
#include "ventral/rng.h"

#define CALIBRATION_IMAGES 160

/* Kinds in turn, so that even few neurons have all of them. */
static const vt_simulate_kind kinds[] = {
    VT_SIMULATE_ORIENTATION, VT_SIMULATE_COLOUR, VT_SIMULATE_CURVATURE,   VT_SIMULATE_ORIENTATION,
    VT_SIMULATE_DOT,         VT_SIMULATE_COLOUR, VT_SIMULATE_ORIENTATION, VT_SIMULATE_CURVATURE,
};
enum { KIND_TURNS = sizeof kinds / sizeof *kinds };

const char *vt_simulate_kind_name(vt_simulate_kind kind)
{
    static const char *const names[] = {"orientation", "curvature", "colour", "dot"};
    return kind >= 0 && kind < VT_SIMULATE_KINDS ? names[kind] : "?";
}

static double uniform(vt_rng *rng, double low, double high)
{
    return low + (high - low) * vt_rng_uniform(rng);
}

static double log_uniform(vt_rng *rng, double low, double high)
{
    return low * pow(high / low, vt_rng_uniform(rng));
}

static void set_colour(double out[3], double red, double green, double blue)
{
    out[0] = red;
    out[1] = green;
    out[2] = blue;
}

/* Cone-opponent axes in display RGB: red-green, blue-yellow, and their negatives, by angle. */
static void draw_hue(double out[3], vt_rng *rng)
{
    double angle = uniform(rng, 0, 6.283185307179586);
    double red = cos(angle), blue = sin(angle);
    set_colour(out, red - 0.5 * blue, -red - 0.5 * blue, blue);
}

/* What makes the kind; lengths for images of 112 pixels, times `scale`. */
static void draw_kind(vt_simulate_neuron *n, double scale, vt_rng *rng)
{
    double light = 1 / 3.0, polarity = vt_rng_below(rng, 2) ? 1 : -1;
    set_colour(n->colour, light, light, light);
    n->size = log_uniform(rng, 16, 40) * scale;
    n->orientation = uniform(rng, 0, 3.141592653589793);
    switch (n->kind) {
    case VT_SIMULATE_ORIENTATION:
        n->frequency = log_uniform(rng, 0.07, 0.14) / scale;
        if (vt_rng_below(rng, 4) == 0) draw_hue(n->colour, rng);
        break;
    case VT_SIMULATE_CURVATURE:
        n->frequency = log_uniform(rng, 0.07, 0.12) / scale;
        n->orientation *= 2;
        n->bend = uniform(rng, 0.4, 1.0);
        break;
    case VT_SIMULATE_COLOUR:
        n->radius = log_uniform(rng, 2, 4.5) * scale;
        draw_hue(n->colour, rng);
        break;
    default:
        n->radius = log_uniform(rng, 1.8, 3) * scale;
        n->size = log_uniform(rng, 15, 26) * scale;
        n->inhibition = uniform(rng, 0.4, 0.8);
        set_colour(n->colour, polarity * light, polarity * light, polarity * light);
        break;
    }
}

static void draw_neuron(vt_simulate_neuron *n, const double place[2], double scale, vt_rng *rng)
{
    draw_kind(n, scale, rng);
    n->x = place[0] + 5 * scale * vt_rng_normal(rng);
    n->y = place[1] + 5 * scale * vt_rng_normal(rng);
    n->semisaturation = log_uniform(rng, 0.7, 1.6);
    n->contrast = uniform(rng, 0.2, 0.8);
    n->exponent = uniform(rng, 1.2, 2);
    bool surround = n->kind != VT_SIMULATE_DOT && vt_rng_below(rng, 2) == 0;
    n->surround = surround ? uniform(rng, 0.5, 1) : 0;
}

static double mean(const double *values, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += values[i];
    return sum / count;
}

/* Units so that drive and contrast average 1, and a gain so that the neuron fires `target` spikes
 * on average, a tenth of them spontaneously. */
static void calibrate(vt_simulate_neuron *n, const vt_simulate_drive *drives, double target)
{
    double values[CALIBRATION_IMAGES];
    for (int i = 0; i < CALIBRATION_IMAGES; i++)
        values[i] = drives[i].centre;
    n->drive_unit = fmax(mean(values, CALIBRATION_IMAGES), 1e-6);
    for (int i = 0; i < CALIBRATION_IMAGES; i++)
        values[i] = drives[i].contrast;
    n->contrast_unit = fmax(mean(values, CALIBRATION_IMAGES), 1e-6);
    n->baseline = 0;
    n->gain = 1;
    for (int i = 0; i < CALIBRATION_IMAGES; i++)
        values[i] = vt_simulate_rate(n, drives[i]);
    n->baseline = 0.1 * target;
    n->gain = 0.9 * target / fmax(mean(values, CALIBRATION_IMAGES), 1e-6);
}

vt_status vt_simulate_neurons(vt_simulate_neuron *out, const vt_simulate_options *options,
                              int session)
{
    VT_TRY(vt_simulate_check(options));
    if (session < 1 || session > options->sessions)
        return vt_error(VT_EINVAL, "simulated session %d; give 1 to %d", session,
                        options->sessions);
    int count = options->neurons,
        smaller = options->height < options->width ? options->height : options->width;
    double place[2], scale = smaller / 112.0;
    vt_rng rng;
    vt_tensor images;
    vt_rng_init(&rng, options->seed, VT_RNG_NEURON, (uint32_t)session, UINT32_MAX);
    uint32_t turn = vt_rng_below(&rng, KIND_TURNS);
    place[0] = options->width * uniform(&rng, 0.4, 0.6);
    place[1] = options->height * uniform(&rng, 0.4, 0.6);
    VT_TRY(vt_tensor_new(&images, VT_U8, 4,
                         (int64_t[]){CALIBRATION_IMAGES, options->height, options->width, 3}));
    vt_simulate_drive *drives = vt_alloc((size_t)count * CALIBRATION_IMAGES, sizeof *drives);
    vt_status status = drives ? VT_OK : VT_ENOMEM;
    if (status != VT_OK) goto done;
    VT_TRY_GOTO(vt_simulate_images(images.data, options, 0, 0, CALIBRATION_IMAGES), done);
    for (int i = 0; i < count; i++) {
        vt_rng_init(&rng, options->seed, VT_RNG_NEURON, (uint32_t)session, (uint32_t)i);
        out[i] = (vt_simulate_neuron){.kind = kinds[((uint32_t)i + turn) % KIND_TURNS]};
        draw_neuron(&out[i], place, scale, &rng);
    }
    VT_TRY_GOTO(vt_simulate_drives(drives, out, count, &images), done);
    for (int i = 0; i < count; i++) {
        vt_rng_init(&rng, options->seed, VT_RNG_NEURON, (uint32_t)session | 0x80000000u,
                    (uint32_t)i);
        calibrate(&out[i], drives + (size_t)i * CALIBRATION_IMAGES, log_uniform(&rng, 1, 8));
    }
done:
    free(drives);
    vt_tensor_free(&images);
    return status;
}
