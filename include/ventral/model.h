/* Models: a graph with its weights and what describes them. Networks of V1 are in resnet.h.
 *
 * compact: one neuron (Cowley, Stan, Pillow & Smith 2026). 112 x 112 x 3 image minus the channel
 * means; a 5 x 5 convolution, then four 5 x 5 depthwise-separable ones with strides 2, 2, 1, 1,
 * each followed by batch normalization (epsilon 1e-3) and ReLU; a linear readout of the flattened
 * map. shared_compact: the same five layers for many neurons; a 1 x 1 convolution to the neurons
 * ("mixing_stage") and a weight a position for each ("spatial_pool_stage"). Its linear kind has no
 * ReLU. */
#ifndef VENTRAL_MODEL_H
#define VENTRAL_MODEL_H

#include "ventral/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_model vt_model;

#define VT_COMPACT_LAYERS 5

typedef struct vt_compact_options {
    int filters[VT_COMPACT_LAYERS];
    int height, width; /* of the image; 0: 112 */
    double epsilon;    /* of batch normalization; 0: 1e-3 */
    bool linear;       /* no ReLU */
    int outputs;       /* neurons; 0: none yet, the model ends at the last layer's map */
    bool shared;       /* mixing and spatial pooling stages instead of one flat readout */
    uint64_t seed;     /* of the initial weights */
} vt_compact_options;

/* A model with initial weights. VT_EINVAL for filters below 1, or several outputs without `shared`.
 */
vt_status vt_compact_new(vt_model **out, const vt_compact_options *options);

/* The compact model of one of a shared compact model's neurons: the same layers, and the two stages
 * of the readout multiplied out to a flat one. It answers what the shared model's `output` does. */
vt_status vt_compact_split(vt_model **out, vt_model *shared, int64_t output);

/* Reads .safetensors (this library's own), Keras .keras and .h5, or PyTorch .pt, told apart by
 * their content. Weights are matched by name; unknown or missing names are an error that lists
 * them. */
vt_status vt_model_read(vt_model **out, const char *path);
/* Writes .safetensors with the architecture in its metadata. */
vt_status vt_model_write(const vt_model *model, const char *path);
/* Writes a compact or shared compact model with its readout as Keras's legacy .h5, laid out as the
 * published files are, for Keras and this library to read. Whose neurons its outputs are is not in
 * it. VT_EUNSUPPORTED for other models. */
vt_status vt_model_write_keras(const vt_model *model, const char *path);
void vt_model_free(vt_model *model);

/* The model as named tensors with metadata, and back: what vt_model_write and _read put in a file,
 * for those who store more beside it. */
vt_status vt_model_to_map(const vt_model *model, vt_tensor_map *map);
vt_status vt_model_from_map(vt_model **out, const vt_tensor_map *map, const char *label);

vt_graph *vt_model_graph(vt_model *model);
vt_node vt_model_input(const vt_model *model);
vt_node vt_model_output(const vt_model *model);
/* The node or module of that name (vt_graph_find), NULL: the output. VT_ENOTFOUND: the message says
 * what there is. */
vt_status vt_model_find(vt_node *out, vt_model *model, const char *name);
const char *
vt_model_architecture(const vt_model *model);       /* "compact", "shared_compact", "resnet" */
const char *vt_model_source(const vt_model *model); /* "safetensors", "keras", "torch", "new" */
/* The file it was read from, for messages; "the model" when it was made. */
const char *vt_model_label(const vt_model *model);
/* Shape, filters and neurons as they are; VT_EUNSUPPORTED when it is not a compact model. */
vt_status vt_model_compact_options(const vt_model *model, vt_compact_options *out);
int64_t vt_model_outputs(const vt_model *model); /* neurons or classes */
void vt_model_image_size(const vt_model *model, int *height, int *width);
/* Sets epsilon of batch normalization, which PyTorch files do not hold: they are read with 1e-3,
 * that of the published Keras models. Plans made later obey. */
vt_status vt_model_set_epsilon(vt_model *model, double epsilon);
/* Trainable parameters (weights, biases, gamma, beta), without running statistics. */
int64_t vt_model_parameters(const vt_model *model);

/* Which outputs are a session's neurons: outputs first .. first + count - 1 are its neurons
 * 0 .. count - 1. A compact model's one output is neuron `first_neuron` of its session. */
typedef struct vt_model_session {
    char id[64];
    int64_t first, count, first_neuron;
} vt_model_session;

int vt_model_session_count(const vt_model *model);
const vt_model_session *vt_model_session_at(const vt_model *model, int index); /* borrowed */
const vt_model_session *vt_model_find_session(const vt_model *model, const char *id);
vt_status vt_model_add_session(vt_model *model, const vt_model_session *session);

/* How images become a model's input: (value - mean) / sd of each colour, values 0 to 255. The V4
 * models subtract channel means (sd 1); the V1 networks take -1 to 1. */
typedef struct vt_preprocessing {
    float mean[3], sd[3];
} vt_preprocessing;
extern const vt_preprocessing vt_preprocessing_v4, vt_preprocessing_v1;

const vt_preprocessing *vt_model_preprocessing(const vt_model *model); /* borrowed */
/* float32 (pixels, 3) from bytes (pixels, 3). */
void vt_preprocess(float *out, const uint8_t *images, int64_t pixels,
                   const vt_preprocessing *preprocessing);

#ifdef __cplusplus
}
#endif
#endif
