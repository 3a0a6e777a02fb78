/* Parts of the compact models that training puts together itself. */
#ifndef VT_MODELS_COMPACT_H
#define VT_MODELS_COMPACT_H

#include "ventral/model.h"

/* Adds the five layers on an image (height, width, 3); returns the last one's map. `momentum` is
 * that of the running statistics (see vt_batch_norm_options). */
vt_node vt_compact_core(vt_graph *graph, vt_node image, const vt_compact_options *options,
                        double momentum);

/* Adds the mixing and spatial pooling stages for `neurons` neurons on a feature map; node and
 * parameter names get `suffix` behind the stage's name. Returns the flat output. */
vt_node vt_compact_shared_readout(vt_graph *graph, vt_node features, int neurons,
                                  const char *suffix);

#endif
