/* Tiny-ImageNet's text files: any bytes are refused, or are a sorted list of classes; any bytes are
 * refused, or are a sorted list of files without repeats and a class for each. */
#include <stdlib.h>
#include <string.h>

#include "data/tiny_imagenet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_order(const vt_names *names, int least)
{
    for (int64_t i = 0; i < names->count; i++) {
        const char *name = vt_names_at(names, i);
        if (*name == '\0' || strchr(name, '/')) abort();
        if (i > 0 && strcmp(name, vt_names_at(names, i - 1)) < least) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char classes_text[] = "n01\nn02\nn03\n";
    const char *text = (const char *)data;
    vt_names classes, found, files;
    int32_t *class_of;
    if (vt_wnids_parse(&classes, classes_text, strlen(classes_text), "classes") != VT_OK) abort();
    if (vt_wnids_parse(&found, text, size, "input") == VT_OK) {
        check_order(&found, 0);
        vt_names_free(&found);
    }
    if (vt_annotations_parse(&files, &class_of, &classes, text, size, "input") == VT_OK) {
        check_order(&files, 1);
        for (int64_t i = 0; i < files.count; i++)
            if (class_of[i] < 0 || class_of[i] >= classes.count) abort();
        vt_names_free(&files);
        free(class_of);
    }
    vt_names_free(&classes);
    return 0;
}
