/* Inner products of images in the features of a network's layers. */
#ifndef VT_PHYSIOLOGY_LAYER_GRAM_H
#define VT_PHYSIOLOGY_LAYER_GRAM_H

#include "ventral/model.h"
#include "ventral/progress.h"
#include "ventral/stimulus.h"

typedef struct vt_layer_gram_options {
    vt_stimulus_set *stimuli;
    const int64_t *stimulus; /* (images); NULL: the first ones */
    int64_t images;
    const vt_node *nodes;
    int count;
    int64_t batch;
    size_t memory; /* of the features held at a time */
    vt_backend_kind backend;
    bool bf16;
    const vt_progress *progress;
    /* Receives each node's centered matrix (images, images), which it may change, in order. */
    vt_status (*receive)(void *context, int index, int64_t features, double *gram);
    void *context;
} vt_layer_gram_options;

/* The network sees the images as often as needed for the features of all nodes to pass through
 * `memory`; those of a node that is larger pass in parts. VT_ENUMERIC names node, image and
 * feature. */
vt_status vt_layer_grams(vt_model *model, const vt_layer_gram_options *options);

#endif
