/* Assemblies of what a file holds. */
#ifndef VT_DATA_ASSEMBLY_H
#define VT_DATA_ASSEMBLY_H

#include "ventral/assembly.h"

/* As vt_assembly_read; `path` is for messages. */
vt_status vt_assembly_make(vt_assembly *out, const vt_tensor_map *map, const char *path,
                           const char *labels);

#endif
