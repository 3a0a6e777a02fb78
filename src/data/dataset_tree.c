/* The files of a data set, in a folder or in a zip archive. */
#include "data/dataset_tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "data/image_files.h"
#include "ventral/io.h"

enum { MAX_DEPTH = 16 }; /* of folders; ends the walk when a link leads back to its own folder */

struct vt_tree {
    char *path;
    vt_zip *zip; /* NULL: a folder */
    char *root;  /* of the zip's entries: "" or "FOLDER/" */
};

static bool any_hidden(const char *name)
{
    for (; name; name = strchr(name, '/') ? strchr(name, '/') + 1 : NULL)
        if (*name && vt_is_hidden(name)) return true;
    return false;
}

/* Bytes of the folder, '/' included, in which all entries lie; 0 when there is none, or when it
 * means something: a class, with images directly in it, or a part. */
static size_t root_length(const vt_zip *zip)
{
    const char *first = NULL;
    size_t length = 0;
    for (int64_t i = 0; i < vt_zip_count(zip); i++) {
        const char *name = vt_zip_name(zip, i);
        if (any_hidden(name)) continue;
        if (!first) {
            first = name;
            length = strcspn(name, "/") + 1;
        }
        if (strncmp(name, first, length) != 0 || !strchr(name, '/')) return 0;
        if (!strchr(name + length, '/') && vt_is_image_file(name)) return 0;
    }
    if (!first || strncmp(first, "train/", length) == 0 || strncmp(first, "val/", length) == 0)
        return 0;
    return length;
}

static vt_status open_zip(vt_tree *tree)
{
    VT_TRY(vt_zip_open(&tree->zip, tree->path));
    size_t length = root_length(tree->zip);
    if (!(tree->root = vt_alloc(length + 1, 1))) return VT_ENOMEM;
    for (int64_t i = 0; length && i < vt_zip_count(tree->zip); i++) {
        const char *name = vt_zip_name(tree->zip, i);
        if (any_hidden(name)) continue;
        memcpy(tree->root, name, length);
        break;
    }
    return VT_OK;
}

vt_status vt_tree_open(vt_tree **out, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return vt_error(errno == ENOENT || errno == ENOTDIR ? VT_ENOTFOUND : VT_EIO,
                        "%s: cannot open the data set: %s", path, strerror(errno));
    vt_tree *tree = vt_alloc(1, sizeof *tree);
    if (!tree) return VT_ENOMEM;
    vt_status status = (tree->path = vt_strdup(path)) ? VT_OK : VT_ENOMEM;
    if (status == VT_OK && !S_ISDIR(info.st_mode)) status = open_zip(tree);
    if (status != VT_OK) {
        vt_tree_close(tree);
        return status;
    }
    *out = tree;
    return VT_OK;
}

void vt_tree_close(vt_tree *tree)
{
    if (!tree) return;
    vt_zip_close(tree->zip);
    free(tree->root);
    free(tree->path);
    free(tree);
}

const char *vt_tree_path(const vt_tree *tree)
{
    return tree->path;
}

/* ---- zip ---- */

/* What follows root/folder in the entry's name; NULL for other and hidden entries. */
static const char *entry_below(const vt_tree *tree, int64_t index, const char *folder)
{
    const char *name = vt_zip_name(tree->zip, index);
    size_t root = strlen(tree->root), length = strlen(folder);
    if (strncmp(name, tree->root, root) != 0 || any_hidden(name)) return NULL;
    return strncmp(name + root, folder, length) == 0 ? name + root + length : NULL;
}

static vt_status zip_folders(const vt_tree *tree, const char *folder, vt_names *out)
{
    for (int64_t i = 0; i < vt_zip_count(tree->zip); i++) {
        const char *name = entry_below(tree, i, folder);
        size_t length = name ? strcspn(name, "/") : 0;
        if (length == 0 || name[length] != '/') continue;
        const char *last = out->count ? vt_names_at(out, out->count - 1) : "";
        if (strncmp(last, name, length) == 0 && !last[length]) continue;
        VT_TRY(vt_names_add(out, name, length));
    }
    return VT_OK;
}

static vt_status zip_images(const vt_tree *tree, const char *folder, vt_names *out)
{
    size_t skipped = strlen(folder);
    for (int64_t i = 0; i < vt_zip_count(tree->zip); i++) {
        const char *name = entry_below(tree, i, folder);
        if (!name || !strchr(name, '/') || !vt_is_image_file(name)) continue;
        VT_TRY(vt_names_add(out, name - skipped, strlen(name - skipped)));
    }
    return VT_OK;
}

static vt_status join(char path[PATH_MAX], const char *first, const char *between, const char *last)
{
    if (snprintf(path, PATH_MAX, "%s%s%s", first, between, last) < PATH_MAX) return VT_OK;
    return vt_error(VT_EINVAL, "%s%s%s: the path is too long", first, between, last);
}

static vt_status zip_read(const vt_tree *tree, const char *name, void **out, size_t *size)
{
    char entry[PATH_MAX];
    VT_TRY(join(entry, tree->root, "", name));
    int64_t index = vt_zip_find(tree->zip, entry);
    if (index < 0) return vt_error(VT_ENOTFOUND, "%s: no entry %s", tree->path, entry);
    return vt_zip_read(tree->zip, index, out, size);
}

/* ---- folder ---- */

enum item { FILE_ITEM, FOLDER_ITEM, OTHER_ITEM };

/* Links count as what they lead to; those to nothing as files, which fail when read. */
static enum item item_kind(DIR *folder, const struct dirent *item)
{
    struct stat info;
    if (item->d_type == DT_REG) return FILE_ITEM;
    if (item->d_type == DT_DIR) return FOLDER_ITEM;
    if (fstatat(dirfd(folder), item->d_name, &info, 0) != 0) return FILE_ITEM;
    return S_ISDIR(info.st_mode) ? FOLDER_ITEM : S_ISREG(info.st_mode) ? FILE_ITEM : OTHER_ITEM;
}

static vt_status open_folder(DIR **out, const vt_tree *tree, const char *folder)
{
    char path[PATH_MAX];
    VT_TRY(join(path, tree->path, "/", folder));
    if ((*out = opendir(path))) return VT_OK;
    return vt_error(errno == ENOMEM ? VT_ENOMEM : VT_EIO, "%s: cannot list the folder: %s", path,
                    strerror(errno));
}

static vt_status folder_folders(const vt_tree *tree, const char *folder, vt_names *out)
{
    DIR *listing;
    vt_status status = VT_OK;
    VT_TRY(open_folder(&listing, tree, folder));
    for (struct dirent *item; status == VT_OK && (item = readdir(listing));)
        if (!vt_is_hidden(item->d_name) && item_kind(listing, item) == FOLDER_ITEM)
            status = vt_names_add(out, item->d_name, strlen(item->d_name));
    closedir(listing);
    return status;
}

static vt_status walk(const vt_tree *tree, const char *folder, int depth, vt_names *out)
{
    DIR *listing;
    vt_status status = VT_OK;
    if (depth > MAX_DEPTH)
        return vt_error(VT_EFORMAT, "%s/%s: folders lie more than %d deep (does a link lead back?)",
                        tree->path, folder, MAX_DEPTH);
    VT_TRY(open_folder(&listing, tree, folder));
    for (struct dirent *item; status == VT_OK && (item = readdir(listing));) {
        char path[PATH_MAX];
        if (vt_is_hidden(item->d_name)) continue;
        enum item kind = item_kind(listing, item);
        if (kind == FILE_ITEM && (depth == 0 || !vt_is_image_file(item->d_name))) continue;
        status = join(path, folder, item->d_name, kind == FOLDER_ITEM ? "/" : "");
        if (status != VT_OK) break;
        if (kind == FOLDER_ITEM)
            status = walk(tree, path, depth + 1, out);
        else if (kind == FILE_ITEM)
            status = vt_names_add(out, path, strlen(path));
    }
    closedir(listing);
    return status;
}

/* ---- either ---- */

bool vt_tree_has_folder(const vt_tree *tree, const char *folder)
{
    char path[PATH_MAX];
    struct stat info;
    if (!tree->zip)
        return join(path, tree->path, "/", folder) == VT_OK && stat(path, &info) == 0 &&
               S_ISDIR(info.st_mode);
    for (int64_t i = 0; i < vt_zip_count(tree->zip); i++)
        if (entry_below(tree, i, folder)) return true;
    return false;
}

bool vt_tree_has_file(const vt_tree *tree, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    if (tree->zip)
        return join(path, tree->root, "", name) == VT_OK && vt_zip_find(tree->zip, path) >= 0;
    return join(path, tree->path, "/", name) == VT_OK && stat(path, &info) == 0 &&
           S_ISREG(info.st_mode);
}

static void remove_repeats(vt_names *names)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < names->count; i++)
        if (i == 0 || strcmp(vt_names_at(names, i), vt_names_at(names, kept - 1)) != 0)
            names->start[kept++] = names->start[i];
    names->count = kept;
}

vt_status vt_tree_folders(const vt_tree *tree, const char *folder, vt_names *out)
{
    VT_TRY((tree->zip ? zip_folders : folder_folders)(tree, folder, out));
    vt_names_sort(out, 0);
    remove_repeats(out);
    return VT_OK;
}

vt_status vt_tree_images(const vt_tree *tree, const char *folder, vt_names *out)
{
    VT_TRY(tree->zip ? zip_images(tree, folder, out) : walk(tree, folder, 0, out));
    vt_names_sort(out, strlen(folder));
    remove_repeats(out);
    return VT_OK;
}

vt_status vt_tree_read(const vt_tree *tree, const char *name, void **out, size_t *size)
{
    char path[PATH_MAX];
    if (tree->zip) return zip_read(tree, name, out, size);
    VT_TRY(join(path, tree->path, "/", name));
    return vt_file_read(out, size, path);
}

vt_status vt_tree_read_image(const vt_tree *tree, const char *name, vt_image *out)
{
    void *data;
    size_t size;
    char label[2 * PATH_MAX];
    VT_TRY(vt_tree_read(tree, name, &data, &size));
    snprintf(label, sizeof label, "%s%s%s", tree->path, tree->zip ? ": entry " : "/", name);
    vt_status status = vt_image_decode(out, data, size, label);
    free(data);
    return status;
}
