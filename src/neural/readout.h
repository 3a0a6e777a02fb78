/* What fitted readouts hold, for those who store them. */
#ifndef VT_NEURAL_READOUT_H
#define VT_NEURAL_READOUT_H

#include "ventral/readout.h"

struct vt_ridge {
    int64_t features, targets;
    double *mean_x, *mean_y, *weights, *intercept, *alphas;
};

struct vt_factorized {
    int64_t height, width, channels, targets;
    double *pool, *mixing, *intercept;
    double l2, smoothness;
};

/* With room for what they hold, zeroed. */
vt_status vt_ridge_new(vt_ridge **out, int64_t features, int64_t targets);
vt_status vt_factorized_new(vt_factorized **out, int64_t height, int64_t width, int64_t channels,
                            int64_t targets);

/* intercept = mean_y - mean_x weights */
void vt_ridge_set_intercept(vt_ridge *ridge);

struct vt_readout {
    vt_readout_kind kind;
    int64_t height, width, channels, targets;
    vt_ridge *ridge; /* one of the two */
    vt_factorized *factorized;
};

#endif
