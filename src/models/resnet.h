/* Parts of the V1 networks, for the files of this room. */
#ifndef VT_MODELS_RESNET_H
#define VT_MODELS_RESNET_H

#include "ventral/resnet.h"

enum { VT_RESNET_SURROUND_RADIUS = 2, VT_RESNET_DIVISIVE_KERNEL = 3 };

/* resnet_names.c: the variants of this depth whose weights look like these, as bits. */
typedef struct vt_resnet_signs {
    bool center_surround, local, divisive, tuned, magnification;
    bool composite_names; /* conv2.dog, conv2.weight; not conv2.1 */
    bool sequential_names;
} vt_resnet_signs;
unsigned vt_resnet_candidates(const vt_resnet_signs *signs);

/* resnet.c: a network whose weights are all 0, to be read from a file; VT_EFORMAT if they are more
 * than `most`. */
vt_status vt_resnet_new_empty(vt_model **out, const vt_resnet_options *options, int64_t most);

/* resnet_import.c; from_map is vt_resnet_read once the file is read. */
vt_status vt_resnet_from_map(vt_model **out, const vt_tensor_map *map, const char *label,
                             const char *name);
vt_status vt_resnet_import(vt_model *model, const vt_tensor_map *map, const char *label);
vt_status vt_resnet_export(const vt_model *model, vt_tensor_map *map);
/* The parameter's values, allocated, in PyTorch's layout. */
vt_status vt_resnet_to_torch(vt_tensor *out, const vt_param *param);
/* The name in a Sequential: 4.0.conv1.weight of layer1.0.conv1.weight. */
void vt_resnet_sequential_name(char *out, size_t size, const char *name);

#endif
