/* From a network's layer to its tuning: recorded, measured, and kept in a file. */
#ifndef VENTRAL_PHYSIOLOGY_H
#define VENTRAL_PHYSIOLOGY_H

#include "ventral/recording.h"
#include "ventral/tuning.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_layer_tuning {
    vt_tuning tuning;                           /* of the units kept */
    int64_t units, answering, kept, responsive; /* as in vt_recording */
    double slope, offset;
    float *map;              /* of the units kept, as unit.map, ... */
    double *position, *size; /* ... unit.position and unit.size of vt_recording */
    bool loaded;             /* found in the file, not recorded now */
    char reason[512]; /* why the layer cannot be measured, nothing else is set then; "": it can */
} vt_layer_tuning;

/* Records from a model's nodes or modules (vt_record) and measures (vt_tuning_measure): out[i] of
 * nodes[i]. With `paths` a result is kept at paths[i], whole or not at all, and loaded instead when
 * it is there already of the same weights, node, visual field, textures and precision: a run over
 * many layers that was killed goes on where it stopped. Layers are recorded together, stimuli shown
 * once to all, as far as the memory for their maps allows. The .npz holds what vt_tuning_store puts
 * there, of the recording `unit`, `unit.position`, `unit.size`, `unit.map`, `affine` and the text
 * textures, and counts. A layer from which nothing can be recorded is a result too, with `reason`.
 * VT_ENOTFOUND: there is no such node; VT_EFORMAT: a file holds anything else, and is not
 * overwritten. */
vt_status vt_layer_tuning_get(vt_layer_tuning *out, vt_model *model, const char *const *nodes,
                              const char *const *paths, int count,
                              const vt_recording_options *options);
void vt_layer_tuning_free(vt_layer_tuning *tuning);

#ifdef __cplusplus
}
#endif
#endif
