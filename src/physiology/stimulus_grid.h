/* The order in which one set of stimuli was shown, checked. */
#ifndef VT_PHYSIOLOGY_STIMULUS_GRID_H
#define VT_PHYSIOLOGY_STIMULUS_GRID_H

#include "ventral/tensor.h"

/* Gratings: sizes x frequencies x orientations x phases, the last running fastest. Textures:
 * 2 types (noise, texture) x families x samples. */
typedef struct vt_stimulus_grid {
    const vt_tensor *responses; /* (neurons, stimuli), borrowed from the recording */
    int64_t stimuli;
    int sizes, frequencies, orientations, phases;
    double *frequency, *orientation; /* their values, rising */
    double *radius;                  /* (sizes, frequencies) degrees */
    int families, samples;
    int64_t *place; /* textures: (stimuli) where in the recording each stimulus of the grid is */
} vt_stimulus_grid;

/* Finds responses.SET and its stimuli in `recording` and makes sure that they are such a grid.
 * VT_ENOTFOUND when the recording has no responses.SET. */
vt_status vt_stimulus_grid_init(vt_stimulus_grid *out, const vt_tensor_map *recording,
                                const char *set);
void vt_stimulus_grid_destroy(vt_stimulus_grid *grid);

/* Responses of one neuron in the order of the grid. VT_ENUMERIC when one is not finite. */
vt_status vt_stimulus_grid_row(double *out, const vt_stimulus_grid *grid, int64_t neuron);

#endif
