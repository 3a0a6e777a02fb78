/* Making published distributions of what files hold. */
#ifndef VT_PHYSIOLOGY_REFERENCES_H
#define VT_PHYSIOLOGY_REFERENCES_H

#include "ventral/similarity.h"

struct vt_references {
    vt_reference *reference; /* (vt_property_count()); neurons 0: none */
    char **sources;          /* files read */
    int source_count;
};

/* Takes a property's values (count), NaN where undefined; `source` must live as long. */
void vt_references_set(vt_references *references, int property, const double *values, int64_t count,
                       const char *source);

/* What files hold, after reading; `found` grows by the properties that were, `references` may have
 * changed also after a failure, and `source` must live as long. Errors do not name the file. */

/* Vectors under the properties' keys. */
vt_status vt_references_set_vectors(vt_references *references, int *found, const vt_tensor_map *map,
                                    const char *source);
/* A matrix whose columns (or rows) are named by the lines of the text neuronal_property. */
vt_status vt_references_set_assembly(vt_references *references, int *found,
                                     const vt_tensor_map *map, const char *source);
/* One of the two published MATLAB files below. */
vt_status vt_references_set_matlab(vt_references *references, int *found, const vt_tensor_map *map,
                                   const char *source);
/* Columns under keys, divided by commas. */
vt_status vt_references_set_table(vt_references *references, int *found, const char *text,
                                  const char *source);

/* The properties of recordings as they were published. `map` is what a MATLAB file holds. */

/* Structure db of Ringach2002.mat: vectors spont, maxdc, mindc, maxfirst, orivar, bw, po. */
vt_status vt_references_set_ringach(vt_references *references, const vt_tensor_map *map,
                                    const char *source);
/* Array v1 of FreemanZiemba2013_V1V2data.mat: spikes (cells, milliseconds, repetitions, samples,
 * noise and texture, families). */
vt_status vt_references_set_freeman_ziemba(vt_references *references, const vt_tensor *v1,
                                           const char *source);
/* Its properties (11, cells), allocated. */
vt_status vt_freeman_ziemba_measure(double **out, const vt_tensor *v1);

#endif
