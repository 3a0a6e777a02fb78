/* What drives simulated neurons, before gain and units. */
#ifndef VT_DATA_SIMULATE_H
#define VT_DATA_SIMULATE_H

#include "ventral/simulate.h"

/* In units of the filters: drive in the receptive field, in its surround, contrast in the field. */
typedef struct vt_simulate_drive {
    double centre, surround, contrast;
} vt_simulate_drive;

/* Writes (count, images) drives of images that vt_simulate_rates would accept. */
vt_status vt_simulate_drives(vt_simulate_drive *out, const vt_simulate_neuron *neurons, int count,
                             const vt_tensor *images);

/* Expected spikes: the equation above vt_simulate_neuron. */
double vt_simulate_rate(const vt_simulate_neuron *neuron, vt_simulate_drive drive);

/* VT_EINVAL, naming it, when an option is out of its range. */
vt_status vt_simulate_check(const vt_simulate_options *options);

/* Draws images first .. first + count - 1 of session `session` into `out`, uint8 (count, height,
 * width, 3), in parallel. Session 0 is shown to no one: it calibrates neurons. */
vt_status vt_simulate_images(uint8_t *out, const vt_simulate_options *options, int session,
                             int first, int count);

#endif
