/* The text files of Tiny-ImageNet. */
#include "data/tiny_imagenet.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

struct line {
    const char *text;
    size_t length;
    int64_t number;
};

/* Steps to the next line that is not blank; false at the end. */
static bool next_line(struct line *line, const char **at, const char *end)
{
    while (*at < end) {
        const char *start = *at, *stop = memchr(start, '\n', (size_t)(end - start));
        if (!stop) stop = end;
        *at = stop < end ? stop + 1 : end;
        line->number++;
        if (stop > start && stop[-1] == '\r') stop--;
        line->text = start;
        line->length = (size_t)(stop - start);
        if (stop > start) return true;
    }
    return false;
}

/* A name of one file or folder, as it may stand in such a list. */
static bool is_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == '/') return false;
    return length > 0 && length < 256;
}

vt_status vt_wnids_parse(vt_names *out, const char *text, size_t size, const char *label)
{
    struct line line = {.number = 0};
    vt_names names = {0};
    vt_status status = VT_OK;
    for (const char *at = text; status == VT_OK && next_line(&line, &at, text + size);) {
        if (is_name(line.text, line.length))
            status = vt_names_add(&names, line.text, line.length);
        else
            status = vt_error(VT_EFORMAT, "%s: line %lld is no name of a class", label,
                              (long long)line.number);
    }
    if (status == VT_OK && names.count == 0)
        status = vt_error(VT_EFORMAT, "%s: no classes in it", label);
    if (status != VT_OK) {
        vt_names_free(&names);
        return status;
    }
    vt_names_sort(&names, 0);
    *out = names;
    return VT_OK;
}

/* FILE <tab> CLASS [<tab> anything] */
static vt_status parse_annotation(vt_names *files, const vt_names *classes, const struct line *line,
                                  const char *label)
{
    const char *end = line->text + line->length;
    const char *tab = memchr(line->text, '\t', line->length);
    size_t file_length = tab ? (size_t)(tab - line->text) : 0;
    const char *class_name = tab ? tab + 1 : end;
    const char *class_end = memchr(class_name, '\t', (size_t)(end - class_name));
    size_t class_length = (size_t)((class_end ? class_end : end) - class_name);
    if (!is_name(line->text, file_length) || !is_name(class_name, class_length))
        return vt_error(VT_EFORMAT, "%s: line %lld is not FILE <tab> CLASS", label,
                        (long long)line->number);
    if (vt_names_find(classes, class_name, class_length) < 0)
        return vt_error(VT_EFORMAT, "%s: line %lld: class '%.*s' is not in the training part",
                        label, (long long)line->number, (int)class_length, class_name);
    /* The class stands behind the file's terminating zero until the list is sorted. */
    VT_TRY(vt_names_add(files, line->text, file_length + 1 + class_length));
    files->text[files->start[files->count - 1] + file_length] = '\0';
    return VT_OK;
}

static vt_status find_classes(int32_t **out, const vt_names *files, const vt_names *classes,
                              const char *label)
{
    int32_t *class_of = vt_alloc((size_t)files->count, sizeof *class_of);
    if (!class_of) return VT_ENOMEM;
    for (int64_t i = 0; i < files->count; i++) {
        const char *file = vt_names_at(files, i), *class_name = file + strlen(file) + 1;
        if (i > 0 && strcmp(vt_names_at(files, i - 1), file) == 0) {
            vt_status status = vt_error(VT_EFORMAT, "%s: '%s' is named twice", label, file);
            free(class_of);
            return status;
        }
        class_of[i] = (int32_t)vt_names_find(classes, class_name, strlen(class_name));
    }
    *out = class_of;
    return VT_OK;
}

vt_status vt_annotations_parse(vt_names *files, int32_t **class_of, const vt_names *classes,
                               const char *text, size_t size, const char *label)
{
    struct line line = {.number = 0};
    vt_names names = {0};
    vt_status status = VT_OK;
    for (const char *at = text; status == VT_OK && next_line(&line, &at, text + size);)
        status = parse_annotation(&names, classes, &line, label);
    if (status == VT_OK && names.count == 0)
        status = vt_error(VT_EFORMAT, "%s: no images in it", label);
    if (status == VT_OK) {
        vt_names_sort(&names, 0);
        status = find_classes(class_of, &names, classes, label);
    }
    if (status != VT_OK) {
        vt_names_free(&names);
        return status;
    }
    *files = names;
    return VT_OK;
}
