/* Receptive fields of units from their activations to small gratings at a grid of positions. */
#ifndef VT_PHYSIOLOGY_RECEPTIVE_FIELD_H
#define VT_PHYSIOLOGY_RECEPTIVE_FIELD_H

#include "physiology/show.h"

enum { VT_FIELD_POSITIONS = VT_FIELD_SIDE * VT_FIELD_SIDE };

/* Maps of units first .. first + count - 1 of all nodes'. */
typedef struct vt_field_maps {
    int64_t first, count;
    float *map; /* (VT_FIELD_POSITIONS, count): the largest activation, then above the blank */
} vt_field_maps;

/* As many units as fit into `bytes`, at least one. `out` is freed by vt_field_maps_free. */
vt_status vt_field_maps_new(vt_field_maps *out, int64_t units, size_t bytes);
void vt_field_maps_free(vt_field_maps *maps);

/* Shows the receptive field set and fills in the maps of `count` units from `first` on; `blank`
 * (all units) is their rectified activation to the blank. VT_ENUMERIC: one is not finite. */
vt_status vt_field_maps_record(vt_field_maps *maps, vt_show *show, int64_t first, int64_t count,
                               const float *blank);
/* Of units first .. first + count - 1, which are among the maps', centroid (count, 2) in degrees, y
 * and x, and size (count) in degrees; NaN where a map is 0. */
void vt_field_maps_locate(const vt_field_maps *maps, int64_t first, int64_t count, double *position,
                          double *size);

#endif
