/* The text files of Tiny-ImageNet: wnids.txt, one class a line, and val/val_annotations.txt, a line
 * FILE <tab> CLASS <tab> bounding box for each image. */
#ifndef VT_DATA_TINY_IMAGENET_H
#define VT_DATA_TINY_IMAGENET_H

#include "data/dataset_tree.h"

/* Parsers of `size` bytes; the names found come out sorted. Blank lines and carriage returns are
 * passed over. VT_EFORMAT names `label` and the line. */
vt_status vt_wnids_parse(vt_names *out, const char *text, size_t size, const char *label);

/* `files` are sorted, and file i is an image of class classes[class_of[i]]; VT_EFORMAT for a class
 * that is not in `classes` (sorted) and for a file named twice. Free *class_of with free(). */
vt_status vt_annotations_parse(vt_names *files, int32_t **class_of, const vt_names *classes,
                               const char *text, size_t size, const char *label);

#endif
