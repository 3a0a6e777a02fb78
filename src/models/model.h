/* The inside of a model, for the files of this room. */
#ifndef VT_MODELS_MODEL_H
#define VT_MODELS_MODEL_H

#include <jansson.h>

#include "ventral/ensemble.h"
#include "ventral/resnet.h"

/* A map that a readout reads, and what stands before the names of the readout's parameters,
 * "mixing_stage.kernel" and on, or "readout.kernel" of a flat one. */
typedef struct vt_model_map {
    vt_node node;
    char prefix[24];
} vt_model_map;

/* A kind of model: one constant row in the table of model.c. */
typedef struct vt_architecture {
    const char *name;
    /* Adds what is needed to build the graph again to the description in a file, and builds it from
     * there. `label` names the file in messages. */
    int (*describe)(json_t *root, const vt_model *model); /* jansson's 0 or -1 */
    vt_status (*create)(vt_model **out, json_t *root, const char *label);
    /* Files without a description: whether the names are this kind's, and the model they fit. */
    bool (*knows)(const vt_tensor_map *map);
    vt_status (*infer)(vt_model **out, const vt_tensor_map *map, const char *label);
    vt_status (*import)(vt_model *model, const vt_tensor_map *map, const char *label);
    vt_status (*export)(const vt_model *model, vt_tensor_map *map);
    /* Models whose neurons read maps of features; NULL: others. The maps, of which there is room
     * for VT_ENSEMBLE_MEMBERS, and their number; and the same layers with their weights and a
     * readout of so many neurons, none for 0, to be filled in: mixing, then spatial pool, or a flat
     * one, which NULL says there is none of. */
    int (*maps)(const vt_model *model, vt_model_map *maps);
    vt_status (*with_outputs)(vt_model **out, const vt_model *model, int outputs);
    vt_status (*with_flat_readout)(vt_model **out, const vt_model *model, int outputs);
} vt_architecture;

extern const vt_architecture vt_architecture_compact, vt_architecture_shared_compact,
    vt_architecture_resnet, vt_architecture_ensemble;

struct vt_model {
    const vt_architecture *architecture;
    vt_graph *graph;
    vt_node input, output;
    union {
        vt_compact_options compact;
        vt_resnet_options resnet;
        vt_ensemble_options ensemble;
    } options;
    vt_node core_input; /* where the layers begin that are trained: the input, or the end of a
                           frozen front end */
    char *front, *tap;  /* of an ensemble: the front end's description, and the node at its end */
    int64_t outputs;
    vt_preprocessing preprocessing;
    const char *source;
    char *label; /* NULL: not read from anywhere */
    vt_model_session *sessions;
    size_t session_count;
};

/* import.c: how a kind of file maps to a model's parameters. */
typedef struct vt_import_rules {
    /* The file's tensor for our parameter; its name in `used` either way. */
    const vt_tensor *(*find)(const vt_tensor_map *map, const char *parameter, char *used,
                             size_t used_size);
    bool (*is_constant)(const char *name); /* holds nothing to be learned: left out */
    /* Allocates the tensor in our layout. */
    vt_status (*turn)(vt_tensor *out, const vt_tensor *t, const vt_param *param);
} vt_import_rules;
vt_status vt_import(vt_model *model, const vt_tensor_map *map, const char *label,
                    const vt_import_rules *rules);

/* As many as the model has maps of features that readouts read, 0 when it is of another kind; and
 * see vt_architecture. */
int vt_model_maps(const vt_model *model, vt_model_map maps[VT_ENSEMBLE_MEMBERS]);
vt_status vt_model_with_outputs(vt_model **out, const vt_model *model, int outputs);
vt_status vt_model_with_flat_readout(vt_model **out, const vt_model *model, int outputs);
/* What is needed to build the graph again, as in a model's file, NULL when memory is short; and a
 * model of it, weights 0 or initial ones. */
json_t *vt_model_describe(const vt_model *model);
vt_status vt_model_from_description(vt_model **out, json_t *root, const char *label);
/* How many weights there are to fill in what is described; INT64_MAX where that is not known. */
int64_t vt_description_weights(json_t *root);

/* model.c: the named tensors of any file a model is read from, and whether this library wrote down
 * what they are. */
vt_status vt_model_read_map(vt_tensor_map **out, const char *path);
bool vt_model_is_described(const vt_tensor_map *map);

/* Of all that decides what a model answers: architecture, preprocessing, weights. Whose neurons its
 * outputs are does not. */
vt_status vt_model_checksum(const vt_model *model, uint64_t *out);

/* published.c: sessions of a model of the original publication, told by its file name (compact) or
 * its number of outputs (shared). */
vt_status vt_model_published_sessions(vt_model *model, const char *path);

#endif
