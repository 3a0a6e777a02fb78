/* Networks of V1: residual networks (He et al. 2016) in which layer1, or what comes before it, has
 * components of biology (Pogoncheff, Granley & Beyeler, NeurIPS 2023; see v1_layers.h).
 *
 * Parameters and nodes have the names PyTorch and the authors' code give them; a module's name,
 * such as "layer1", finds its output. Input is (image, image, 3), values -1 to 1; the output is a
 * score a class, "fc". For training there are an input "label", the class's number, and "loss", the
 * cross-entropy of the scores; plans that do not ask for the loss do not compute it. */
#ifndef VENTRAL_RESNET_H
#define VENTRAL_RESNET_H

#include "ventral/model.h"
#include "ventral/v1_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_resnet_variant {
    VT_RESNET_PLAIN,
    VT_RESNET_CENTER_SURROUND,
    VT_RESNET_LOCAL_RF,
    VT_RESNET_DIV_NORM,
    VT_RESNET_TUNED_NORM,
    VT_RESNET_CORTICAL_MAGNIFICATION,
    VT_RESNET_COMPOSITE_A, /* center-surround, local receptive fields, tuned normalization, cortical
                              magnification */
    VT_RESNET_COMPOSITE_B, /* without center-surround */
    VT_RESNET_COMPOSITE_C, /* without tuned normalization */
    VT_RESNET_COMPOSITE_D, /* without cortical magnification */
    VT_RESNET_COMPOSITE_E, /* tuned normalization, cortical magnification */
    VT_RESNET_COMPOSITE_F, /* local receptive fields, cortical magnification */
    VT_RESNET_COMPOSITE_G, /* local receptive fields, tuned normalization */
    VT_RESNET_VARIANTS,
} vt_resnet_variant;

/* Components of a variant, as bits. */
enum {
    VT_HAS_CENTER_SURROUND = 1,
    VT_HAS_LOCAL_RECEPTIVE_FIELDS = 2,
    VT_HAS_DIVISIVE_NORMALIZATION = 4,
    VT_HAS_TUNED_NORMALIZATION = 8,
    VT_HAS_CORTICAL_MAGNIFICATION = 16,
};
unsigned vt_resnet_components(vt_resnet_variant variant);

/* Zero means the default in brackets. */
typedef struct vt_resnet_options {
    vt_resnet_variant variant;
    int depth;    /* 18, 34 or 50 [50] */
    double width; /* all numbers of channels times this, rounded [1] */
    int classes;  /* [1000] */
    int image;    /* side in pixels [64]; variants with local receptive fields keep theirs, cortical
                     magnification needs 64 */
    vt_formulation formulation; /* [described] */
    double epsilon;             /* of batch normalization [1e-5] */
    uint64_t seed;              /* of the initial weights */
    bool float64; /* computes in float64, slowly: to check results, not saved in files */
} vt_resnet_options;

/* "resnet50", "composite_a" (of a ResNet-50) or "resnet18-composite_a": sets variant and depth.
 * VT_EINVAL lists the names there are. */
vt_status vt_resnet_parse_name(vt_resnet_options *options, const char *name);
/* The name of a network, at most 63 bytes, into `text`. */
const char *vt_resnet_name(const vt_resnet_options *options, char *text, size_t size);
const char *vt_formulation_name(vt_formulation formulation); /* "described", "released" */

/* A network with the initial weights of the authors' code. VT_EINVAL for impossible options. */
vt_status vt_resnet_new(vt_model **out, const vt_resnet_options *options);
/* VT_EUNSUPPORTED when the model is no such network. */
vt_status vt_model_resnet_options(const vt_model *model, vt_resnet_options *out);

/* The same weights in another formulation, as `*out`, with the same label; the model stays. */
vt_status vt_resnet_with_formulation(vt_model **out, const vt_model *model,
                                     vt_formulation formulation);

/* The state dictionary that the authors' code, or torchvision's for a plain network, has of the
 * network: names, layouts, types and order of PyTorch, with the counters of batch normalization (0)
 * and the tables the code holds as buffers. All of it goes into the empty map `out`. The authors'
 * code computes the released formulation. VT_EUNSUPPORTED when the model is no such network. */
vt_status vt_resnet_state_dict(const vt_model *model, vt_tensor_map *out);

/* A network from torchvision's or the authors' weights (see vt_model_read), which do not always say
 * which network they are: composites A and D, B and G, E and tuned_norm have the same weights.
 * `name` decides; NULL: what fits, VT_EINVAL when several do. Weights of the authors are read as
 * the released formulation. */
vt_status vt_resnet_read(vt_model **out, const char *path, const char *name);

#ifdef __cplusplus
}
#endif
#endif
