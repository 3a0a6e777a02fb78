/* Labelled images for training classifiers: data sets on disk, the transformations of the common
 * recipes, and a loader that prepares batches ahead on threads of its own. */
#ifndef VENTRAL_DATASET_H
#define VENTRAL_DATASET_H

#include "ventral/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data sets ---- */

typedef struct vt_dataset vt_dataset;

typedef enum vt_dataset_part { VT_PART_TRAIN, VT_PART_VALIDATION } vt_dataset_part;

/* `path` is a folder, or a zip read without unpacking it, of one of these layouts:
 * - train/ and val/, each with one folder of images a class (ImageNet, ImageFolder);
 * - folders of classes without train/ and val/: both parts are the whole;
 * - Tiny-ImageNet: wnids.txt, train/CLASS/images/, and val/images/ with val/val_annotations.txt.
 * A zip may hold all of it within one folder, as Tiny-ImageNet's does. Images are the files ending
 * in .jpg, .jpeg or .png (any case), at any depth of a class folder; dot files and __MACOSX/ are
 * skipped. Classes are the folders of the training part, numbered by name in byte order; images are
 * in order of class, folder and file: all as torchvision's ImageFolder has it. VT_EFORMAT for a
 * class without images, or in one part only; the message names it. Only names are kept in memory.
 */
vt_status vt_dataset_open(vt_dataset **out, const char *path, vt_dataset_part part);
void vt_dataset_close(vt_dataset *dataset);
int64_t vt_dataset_count(const vt_dataset *dataset);
int vt_dataset_classes(const vt_dataset *dataset);
const char *vt_dataset_class_name(const vt_dataset *dataset, int label); /* borrowed, or NULL */
int vt_dataset_label(const vt_dataset *dataset, int64_t index);
const char *vt_dataset_name(const vt_dataset *dataset, int64_t index); /* path within the set */
/* Decodes one image. Safe from several threads at once. */
vt_status vt_dataset_read(vt_dataset *dataset, int64_t index, vt_image *out);

/* ---- transformations ---- */

/* Applied in this order; 0 leaves a step out. Sizes in pixels, at most 10,000. Resizing is Pillow's
 * BILINEAR with antialiasing, sides and offsets round as torchvision's do: the same crops of an
 * image have the same pixels. */
typedef struct vt_transform {
    int random_resized_crop; /* area U(min_area, 1), ratio log-uniform 3/4 to 4/3, to this square */
    double min_area;         /* 0: 0.08 */
    int resize_shorter;      /* the shorter side becomes this */
    int center_crop;         /* this square, padded with black where the image is smaller */
    int pad_crop;            /* pad all sides with black by this, crop the old size at random */
    int size;                /* to this square */
    bool flip;               /* left-right with probability 1/2 */
    float mean[3], sd[3];    /* (value / 255 - mean) / sd; sd 0: mean 0.5, sd 0.5 */
} vt_transform;

/* The paper's: RandomResizedCrop(224), Resize(64), flip; and Resize(256), CenterCrop(224),
 * Resize(64); mean and s.d. 0.5. */
extern const vt_transform vt_transform_imagenet_train, vt_transform_imagenet_validation;
/* For images of 64 pixels (others are resized to it): flip; and nothing. */
extern const vt_transform vt_transform_tiny_train, vt_transform_tiny_validation;

/* float32 (size, size, 3) of an image; random numbers from (seed, epoch, index). VT_EINVAL for
 * steps out of range, and when vt_transform_size is 0. Safe from several threads at once. */
vt_status vt_transform_apply(const vt_transform *transform, const vt_image *image, uint64_t seed,
                             uint32_t epoch, uint32_t index, float *out);
/* Side of the square that comes out, 0 when it depends on the image. */
int vt_transform_size(const vt_transform *transform);

/* ---- loader ---- */

typedef struct vt_loader vt_loader;

typedef struct vt_loader_options {
    vt_dataset *dataset;
    vt_transform transform;
    int64_t batch;
    bool shuffle;   /* a new order every epoch, from seed and epoch alone */
    bool drop_last; /* leave out an incomplete last batch */
    int64_t limit;  /* only so many images, at equal distances in the data set; 0: all */
    uint64_t seed;
    int threads; /* 0: vt_threads() */
} vt_loader_options;

typedef struct vt_loader_batch {
    int64_t count;          /* images, at most options.batch */
    const float *images;    /* (count, size, size, 3), as all three borrowed until the next call */
    const float *labels;    /* (count) */
    const int64_t *indices; /* (count), in the data set */
} vt_loader_batch;

/* Threads that prepare the next two batches while the caller computes; vt_loader_start sets them to
 * work. What lies at a place of a batch depends on the data set, the transformation, batch, seed
 * and epoch alone, not on the threads nor on where the epoch was begun. The data set must outlive
 * the loader; calls are for one thread at a time. */
vt_status vt_loader_new(vt_loader **out, const vt_loader_options *options);
/* Begins an epoch at batch `first` (0: its start); what was being prepared is dropped. */
vt_status vt_loader_start(vt_loader *loader, uint32_t epoch, int64_t first);
/* The next batch; count 0 at the end of the epoch. The place of an image that cannot be decoded is
 * taken by the next image of the data set that can. VT_EFORMAT when more than a tenth of the images
 * cannot; the message names the first. Any other failure to read an image is passed on. After a
 * failure, the same until vt_loader_start. */
vt_status vt_loader_next(vt_loader *loader, vt_loader_batch *out);
int64_t vt_loader_batches(const vt_loader *loader); /* an epoch's */
/* Images left out of the batches delivered since vt_loader_start. *first_error (out may be NULL)
 * says why the first was; borrowed until the next call, NULL when none was. */
int64_t vt_loader_skipped(const vt_loader *loader, const char **first_error);
void vt_loader_free(vt_loader *loader);

#ifdef __cplusplus
}
#endif
#endif
