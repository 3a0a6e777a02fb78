/* Parts of the compact models, for the files of this room and for training, which puts them
 * together itself. */
#ifndef VT_MODELS_COMPACT_H
#define VT_MODELS_COMPACT_H

#include "ventral/model.h"

/* Of the running statistics of these models: Keras's 0.99. */
#define VT_COMPACT_MOMENTUM 0.01

/* Adds the five layers on an image (height, width, 3); returns the last one's map. `momentum` is
 * that of the running statistics (see vt_batch_norm_options). */
vt_node vt_compact_core(vt_graph *graph, vt_node image, const vt_compact_options *options,
                        double momentum);

/* compact_import.c: copies weights of any of the published layouts into the graph by name, and
 * finds the options (filters, outputs, epsilon, ...) that fit the named tensors. */
vt_status vt_compact_import(vt_model *model, const vt_tensor_map *map, const char *label);
vt_status vt_compact_infer(vt_compact_options *out, const vt_tensor_map *map, const char *label);

#endif
