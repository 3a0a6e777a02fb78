/* One neuron through each of the six studies. */
#ifndef VT_PHYSIOLOGY_STUDIES_H
#define VT_PHYSIOLOGY_STUDIES_H

#include "physiology/stimulus_grid.h"
#include "ventral/tuning.h"

/* What a study makes of a neuron. */
typedef struct vt_unit {
    bool responded;
    double *values;    /* (properties of the study) */
    double *curve;     /* (points) */
    double *preferred; /* (3) radius, spatial frequency, orientation */
} vt_unit;

/* What the tuning curve of a study runs over. */
typedef enum vt_curve_axis {
    VT_CURVE_ORIENTATION,
    VT_CURVE_FREQUENCY,
    VT_CURVE_RADIUS,
    VT_CURVE_FAMILY,
} vt_curve_axis;

typedef struct vt_study_method {
    vt_curve_axis axis;
    /* `rates` (stimuli, in the grid's order) may be changed. */
    void (*measure)(vt_unit *unit, const vt_stimulus_grid *grid, double *rates, double baseline,
                    double *work);
} vt_study_method;

extern const vt_study_method vt_study_methods[VT_STUDIES];

/* Numbers that `work` must hold. */
size_t vt_study_work(const vt_stimulus_grid *grid);

#endif
