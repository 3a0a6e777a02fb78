/* Parts of the ensembles, for the files of this room. */
#ifndef VT_MODELS_ENSEMBLE_H
#define VT_MODELS_ENSEMBLE_H

#include "models/model.h"

/* ensemble.c: an ensemble whose weights are all 0, to be read from a file that has at most so many:
 * no memory is taken for more. */
vt_status vt_ensemble_new_empty(vt_model **out, const vt_ensemble_options *options,
                                const vt_model *front, const char *tap, int64_t most);
/* See vt_architecture. */
int vt_ensemble_maps(const vt_model *model, vt_model_map *maps);
vt_status vt_ensemble_with_outputs(vt_model **out, const vt_model *model, int outputs);
vt_status vt_ensemble_with_flat_readout(vt_model **out, const vt_model *model, int outputs);

#endif
