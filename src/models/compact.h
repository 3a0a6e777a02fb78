/* Parts of the compact models that training puts together itself. */
#ifndef VT_MODELS_COMPACT_H
#define VT_MODELS_COMPACT_H

#include "ventral/model.h"

/* Adds the five layers on an image (height, width, 3); returns the last one's map. `momentum` is
 * that of the running statistics (see vt_batch_norm_options). */
vt_node vt_compact_core(vt_graph *graph, vt_node image, const vt_compact_options *options,
                        double momentum);

#endif
