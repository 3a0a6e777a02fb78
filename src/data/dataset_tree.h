/* A folder or a zip archive seen alike: class folders and images below a folder, sorted. */
#ifndef VT_DATA_DATASET_TREE_H
#define VT_DATA_DATASET_TREE_H

#include "ventral/image.h"

/* Names packed one behind the other, as a data set has a million of them. */
typedef struct vt_names {
    char *text;
    uint32_t *start;
    size_t bytes, bytes_capacity;
    int64_t count, capacity;
} vt_names;

vt_status vt_names_add(vt_names *names, const char *name, size_t length);
const char *vt_names_at(const vt_names *names, int64_t index);
/* By the first component behind `skip` bytes (the class), then the folder, then the file, each in
 * byte order: the order of torchvision's ImageFolder. */
void vt_names_sort(vt_names *names, size_t skip);
/* Index in sorted names without '/'; -1 when absent. */
int64_t vt_names_find(const vt_names *names, const char *name, size_t length);
void vt_names_free(vt_names *names);

typedef struct vt_tree vt_tree;

/* A zip whose visible entries all lie in one folder is seen from that folder. */
vt_status vt_tree_open(vt_tree **out, const char *path);
void vt_tree_close(vt_tree *tree);
const char *vt_tree_path(const vt_tree *tree);

/* Folders are "" or end in '/'; names are relative to the tree. Hidden files are as if absent. */
bool vt_tree_has_folder(const vt_tree *tree, const char *folder);
bool vt_tree_has_file(const vt_tree *tree, const char *name);
/* Names of the folders directly in `folder`, sorted. */
vt_status vt_tree_folders(const vt_tree *tree, const char *folder, vt_names *out);
/* Images in the folders below `folder`, at any depth, sorted; those directly in it are no class's.
 */
vt_status vt_tree_images(const vt_tree *tree, const char *folder, vt_names *out);

/* A zero byte, not counted in *size, follows the contents; free() them. */
vt_status vt_tree_read(const vt_tree *tree, const char *name, void **out, size_t *size);
vt_status vt_tree_read_image(const vt_tree *tree, const char *name, vt_image *out);

#endif
