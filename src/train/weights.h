/* All parameters of a graph, running statistics included, to and from one block: for averages,
 * checkpoints and copies of them. */
#ifndef VT_TRAIN_WEIGHTS_H
#define VT_TRAIN_WEIGHTS_H

#include "ventral/graph.h"

int64_t vt_weights_count(const vt_graph *graph);
void vt_weights_gather(const vt_graph *graph, float *block);
void vt_weights_scatter(vt_graph *graph, const float *block); /* plans fold them anew */

#endif
