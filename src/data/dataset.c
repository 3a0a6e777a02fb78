/* Labelled images on disk: folders of classes, ImageNet's and Tiny-ImageNet's layout.
 *
 * Classes are the folders of the training part, numbered in byte order of their names; images are
 * ordered by class, folder and file: the numbering of torchvision's ImageFolder. Only names are
 * kept in memory. */
#include "ventral/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "data/dataset_tree.h"
#include "data/tiny_imagenet.h"

#define ANNOTATIONS "val/val_annotations.txt"
#define ANNOTATED "val/images/"

struct vt_dataset {
    vt_tree *tree;
    vt_names classes, images;
    int32_t *labels;
};

/* ---- classes ---- */

/* Fails unless the sorted lists are equal; `a_name` and `b_name` say what they are. */
static vt_status same_classes(const char *path, const vt_names *a, const char *a_name,
                              const vt_names *b, const char *b_name)
{
    for (int64_t i = 0; i < a->count; i++) {
        const char *name = vt_names_at(a, i);
        if (vt_names_find(b, name, strlen(name)) < 0)
            return vt_error(VT_EFORMAT,
                            "%s: class '%s' is in %s but not in %s; both must have the same "
                            "classes: add its folder or remove the class",
                            path, name, a_name, b_name);
    }
    for (int64_t i = 0; i < b->count; i++) {
        const char *name = vt_names_at(b, i);
        if (vt_names_find(a, name, strlen(name)) < 0)
            return vt_error(VT_EFORMAT,
                            "%s: class '%s' is in %s but not in %s; both must have the same "
                            "classes: add its folder or remove the class",
                            path, name, b_name, a_name);
    }
    return VT_OK;
}

static vt_status check_wnids(const vt_dataset *dataset)
{
    static const char file[] = "wnids.txt";
    void *text;
    size_t size;
    vt_names wnids = {0};
    const char *path = vt_tree_path(dataset->tree);
    if (!vt_tree_has_file(dataset->tree, file)) return VT_OK;
    VT_TRY(vt_tree_read(dataset->tree, file, &text, &size));
    vt_status status = vt_wnids_parse(&wnids, text, size, file);
    if (status != VT_OK)
        vt_error_context(status, "%s", path);
    else
        status = same_classes(path, &wnids, file, &dataset->classes, "train/");
    vt_names_free(&wnids);
    free(text);
    return status;
}

static vt_status find_classes(vt_dataset *dataset, const char *folder)
{
    VT_TRY(vt_tree_folders(dataset->tree, folder, &dataset->classes));
    if (dataset->classes.count == 0)
        return vt_error(VT_EFORMAT,
                        "%s: no class folders in %s; images belong in one folder a class",
                        vt_tree_path(dataset->tree), *folder ? folder : "it");
    if (dataset->classes.count > INT32_MAX)
        return vt_error(VT_EUNSUPPORTED, "%s: too many classes", vt_tree_path(dataset->tree));
    return VT_OK;
}

static vt_status check_validation_classes(const vt_dataset *dataset)
{
    vt_names folders = {0};
    const char *path = vt_tree_path(dataset->tree);
    vt_status status = vt_tree_folders(dataset->tree, "val/", &folders);
    if (status == VT_OK && folders.count == 0)
        status = vt_error(VT_EFORMAT,
                          "%s: no class folders in val/; move its images into val/CLASS/, the "
                          "classes being those of train/",
                          path);
    if (status == VT_OK) status = same_classes(path, &dataset->classes, "train/", &folders, "val/");
    vt_names_free(&folders);
    return status;
}

/* ---- images ---- */

static vt_status list_images(vt_dataset *dataset, const char *folder)
{
    VT_TRY(vt_tree_images(dataset->tree, folder, &dataset->images));
    if (dataset->images.count > INT32_MAX)
        return vt_error(VT_EUNSUPPORTED, "%s: more than 2^31 images", vt_tree_path(dataset->tree));
    dataset->labels = vt_alloc((size_t)dataset->images.count, sizeof *dataset->labels);
    return dataset->labels ? VT_OK : VT_ENOMEM;
}

static vt_status label_by_folder(vt_dataset *dataset, const char *folder)
{
    size_t skipped = strlen(folder);
    for (int64_t i = 0; i < dataset->images.count; i++) {
        const char *name = vt_names_at(&dataset->images, i) + skipped;
        int64_t label = vt_names_find(&dataset->classes, name, strcspn(name, "/"));
        if (label < 0)
            return vt_error(VT_EIO, "%s: %s%s: the data set changed while it was being read",
                            vt_tree_path(dataset->tree), folder, name);
        dataset->labels[i] = (int32_t)label;
    }
    return VT_OK;
}

/* Each image of val/images/ must be annotated, and each annotated one be there. */
static vt_status match_annotations(vt_dataset *dataset, const vt_names *files,
                                   const int32_t *class_of)
{
    const char *path = vt_tree_path(dataset->tree);
    for (int64_t i = 0; i < dataset->images.count; i++) {
        const char *name = vt_names_at(&dataset->images, i);
        int64_t found = -1;
        if (strncmp(name, ANNOTATED, strlen(ANNOTATED)) == 0)
            found =
                vt_names_find(files, name + strlen(ANNOTATED), strlen(name + strlen(ANNOTATED)));
        if (found < 0) return vt_error(VT_EFORMAT, "%s: %s is not in " ANNOTATIONS, path, name);
        dataset->labels[i] = class_of[found];
    }
    if (files->count == dataset->images.count) return VT_OK;
    for (int64_t i = 0; i < files->count; i++) {
        const char *file = vt_names_at(files, i);
        if (i >= dataset->images.count ||
            strcmp(vt_names_at(&dataset->images, i) + strlen(ANNOTATED), file) != 0)
            return vt_error(VT_EFORMAT, "%s: " ANNOTATED "%s of " ANNOTATIONS " is missing", path,
                            file);
    }
    return VT_OK;
}

static vt_status label_by_annotations(vt_dataset *dataset)
{
    void *text;
    size_t size;
    vt_names files = {0};
    int32_t *class_of = NULL;
    VT_TRY(vt_tree_read(dataset->tree, ANNOTATIONS, &text, &size));
    vt_status status =
        vt_annotations_parse(&files, &class_of, &dataset->classes, text, size, ANNOTATIONS);
    if (status != VT_OK)
        vt_error_context(status, "%s", vt_tree_path(dataset->tree));
    else
        status = match_annotations(dataset, &files, class_of);
    vt_names_free(&files);
    free(class_of);
    free(text);
    return status;
}

static vt_status check_no_class_is_empty(const vt_dataset *dataset, const char *folder)
{
    char *seen = vt_alloc((size_t)dataset->classes.count, 1);
    if (!seen) return VT_ENOMEM;
    for (int64_t i = 0; i < dataset->images.count; i++)
        seen[dataset->labels[i]] = 1;
    const char *unseen = memchr(seen, 0, (size_t)dataset->classes.count);
    int64_t label = unseen ? unseen - seen : 0;
    free(seen);
    if (!unseen) return VT_OK;
    return vt_error(VT_EFORMAT,
                    "%s: no images of class '%s' in %s (files ending in .jpg, .jpeg or .png); add "
                    "some or remove the class",
                    vt_tree_path(dataset->tree), vt_names_at(&dataset->classes, label),
                    *folder ? folder : "its folder");
}

/* ---- layouts ---- */

static vt_status load_classes_only(vt_dataset *dataset)
{
    VT_TRY(find_classes(dataset, ""));
    VT_TRY(list_images(dataset, ""));
    VT_TRY(label_by_folder(dataset, ""));
    return check_no_class_is_empty(dataset, "");
}

static vt_status load_parts(vt_dataset *dataset, vt_dataset_part part)
{
    const char *folder = part == VT_PART_TRAIN ? "train/" : "val/";
    if (!vt_tree_has_folder(dataset->tree, "train/"))
        return vt_error(VT_ENOTFOUND, "%s: no folder train/ beside val/",
                        vt_tree_path(dataset->tree));
    if (!vt_tree_has_folder(dataset->tree, folder))
        return vt_error(VT_ENOTFOUND, "%s: no folder %s for the validation images",
                        vt_tree_path(dataset->tree), folder);
    VT_TRY(find_classes(dataset, "train/"));
    VT_TRY(check_wnids(dataset));
    bool annotated = part == VT_PART_VALIDATION && vt_tree_has_file(dataset->tree, ANNOTATIONS);
    if (part == VT_PART_VALIDATION && !annotated) VT_TRY(check_validation_classes(dataset));
    VT_TRY(list_images(dataset, folder));
    VT_TRY(annotated ? label_by_annotations(dataset) : label_by_folder(dataset, folder));
    return check_no_class_is_empty(dataset, folder);
}

vt_status vt_dataset_open(vt_dataset **out, const char *path, vt_dataset_part part)
{
    if (part != VT_PART_TRAIN && part != VT_PART_VALIDATION)
        return vt_error(VT_EINVAL, "%s: no part %d of a data set", path, (int)part);
    vt_dataset *dataset = vt_alloc(1, sizeof *dataset);
    if (!dataset) return VT_ENOMEM;
    vt_status status = vt_tree_open(&dataset->tree, path);
    if (status == VT_OK) {
        bool parts = vt_tree_has_folder(dataset->tree, "train/") ||
                     vt_tree_has_folder(dataset->tree, "val/");
        status = parts ? load_parts(dataset, part) : load_classes_only(dataset);
    }
    if (status != VT_OK) {
        vt_dataset_close(dataset);
        return status;
    }
    *out = dataset;
    return VT_OK;
}

void vt_dataset_close(vt_dataset *dataset)
{
    if (!dataset) return;
    vt_tree_close(dataset->tree);
    vt_names_free(&dataset->classes);
    vt_names_free(&dataset->images);
    free(dataset->labels);
    free(dataset);
}

int64_t vt_dataset_count(const vt_dataset *dataset)
{
    return dataset->images.count;
}

int vt_dataset_classes(const vt_dataset *dataset)
{
    return (int)dataset->classes.count;
}

const char *vt_dataset_class_name(const vt_dataset *dataset, int label)
{
    if (label < 0 || label >= dataset->classes.count) return NULL;
    return vt_names_at(&dataset->classes, label);
}

static bool in_range(const vt_dataset *dataset, int64_t index)
{
    return index >= 0 && index < dataset->images.count;
}

int vt_dataset_label(const vt_dataset *dataset, int64_t index)
{
    return in_range(dataset, index) ? dataset->labels[index] : -1;
}

const char *vt_dataset_name(const vt_dataset *dataset, int64_t index)
{
    return in_range(dataset, index) ? vt_names_at(&dataset->images, index) : NULL;
}

vt_status vt_dataset_read(vt_dataset *dataset, int64_t index, vt_image *out)
{
    if (!in_range(dataset, index))
        return vt_error(VT_EINVAL, "%s: no image %lld; there are %lld, counted from 0",
                        vt_tree_path(dataset->tree), (long long)index,
                        (long long)dataset->images.count);
    return vt_tree_read_image(dataset->tree, vt_names_at(&dataset->images, index), out);
}
