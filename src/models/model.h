/* The inside of a model, for the files of this room. */
#ifndef VT_MODELS_MODEL_H
#define VT_MODELS_MODEL_H

#include "ventral/model.h"

struct vt_model {
    vt_graph *graph;
    vt_node input, output;
    vt_compact_options options;
    const char *source;
    char *label; /* NULL: not read from anywhere */
    vt_model_session *sessions;
    size_t session_count;
};

/* import.c: copies weights of any of the published layouts into the graph by name. `label` names
 * the file in messages. */
vt_status vt_model_import(vt_model *model, const vt_tensor_map *map, const char *label);
/* import.c: options (filters, outputs, epsilon, ...) that fit the named tensors. */
vt_status vt_model_infer_options(vt_compact_options *out, const vt_tensor_map *map,
                                 const char *label);

/* published.c: sessions of a model of the original publication, told by its file name (compact) or
 * its number of outputs (shared). */
vt_status vt_model_published_sessions(vt_model *model, const char *path);

#endif
