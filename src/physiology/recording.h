/* How many layers are recorded from at a time. */
#ifndef VT_PHYSIOLOGY_RECORDING_H
#define VT_PHYSIOLOGY_RECORDING_H

#include "ventral/recording.h"

/* How many of the model's `nodes`, from the first on, have receptive field maps that fit together
 * into the memory that `options` allow, so that their stimuli are shown once; at least one. */
int vt_recording_group(vt_model *model, const char *const *nodes, int count,
                       const vt_recording_options *options);

#endif
