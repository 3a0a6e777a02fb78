/* Small trees of images in a temporary folder, for tests of data sets. */
#ifndef IMAGE_TREE_H
#define IMAGE_TREE_H

#include <sys/stat.h>

#include "test.h"
#include "ventral/image.h"
#include "ventral/io.h"

/* Writes a file, making the folders above it below `root`. */
static inline void write_file(const char *root, const char *name, const void *data, size_t size)
{
    char path[8192];
    if (snprintf(path, sizeof path, "%s/%s", root, name) >= (int)sizeof path) fail_msg("long path");
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("%s cannot be written", path);
    assert_int_equal(size, fwrite(data, 1, size, file));
    fclose(file);
}

static inline void write_text(const char *root, const char *name, const char *text)
{
    write_file(root, name, text, strlen(text));
}

/* A PNG of 4 x 4 pixels of one grey level, by which it is known again. Free() it. */
static inline void *grey_png(size_t *size, int level)
{
    uint8_t pixels[4 * 4 * 3];
    void *data;
    memset(pixels, level, sizeof pixels);
    assert_ok(vt_png_encode(&data, size, &(vt_image){.height = 4, .width = 4, .pixels = pixels}));
    return data;
}

static inline void write_grey(const char *root, const char *name, int level)
{
    size_t size;
    void *data = grey_png(&size, level);
    write_file(root, name, data, size);
    free(data);
}

#endif
