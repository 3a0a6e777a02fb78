/* The list of a set of textures. */
#ifndef VT_STIMULI_TEXTURE_SET_H
#define VT_STIMULI_TEXTURE_SET_H

#include "ventral/texture.h"

#define VT_TEXTURE_LIST "textures.csv"

/* A line: the file, and what it is. */
typedef struct vt_texture_row {
    char *file;
    vt_texture_stimulus is;
} vt_texture_row;

typedef struct vt_texture_list {
    vt_texture_row *rows;
    int64_t count;
    char *origin; /* NULL: not said */
} vt_texture_list;

/* From the text of a textures.csv; `label` names it in errors. `out` is freed by
 * vt_texture_list_free, also after a failure. */
vt_status vt_texture_list_parse(vt_texture_list *out, const char *text, size_t size,
                                const char *label);
/* What "tex-320x320-im13-smp2.png" is; false for other names. */
bool vt_texture_name_parse(vt_texture_stimulus *out, const char *name);
void vt_texture_list_free(vt_texture_list *list);

#endif
