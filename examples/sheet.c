/* The picture of docs/choosing-stimuli.md: the first eight images of each folder or zip, a row
 * each: sheet FILE.png IMAGES... */
#include <stdio.h>
#include <stdlib.h>

#include <ventral/ventral.h>

enum { COLUMNS = 8, SIDE = 88, GAP = 4 };

static vt_status read_row(vt_image *row, const char *path)
{
    vt_image_source *source;
    vt_status status = vt_image_source_open(&source, path);
    if (status != VT_OK) return status;
    for (int i = 0; i < COLUMNS && status == VT_OK; i++)
        status = vt_image_source_read(source, i, &row[i]);
    vt_image_source_close(source);
    return status;
}

static vt_status draw(const char *path, char *const *sources, int rows)
{
    vt_image sheet = {0}, *images = calloc((size_t)rows, COLUMNS * sizeof *images);
    vt_status status = images ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
    for (int r = 0; r < rows && status == VT_OK; r++)
        status = read_row(images + r * COLUMNS, sources[r]);
    if (status == VT_OK)
        status = vt_picture_sheet(&sheet, images, rows * COLUMNS, COLUMNS, SIDE, SIDE, GAP);
    if (status == VT_OK) status = vt_picture_write(&sheet, path);
    for (int i = 0; i < rows * COLUMNS && images; i++)
        vt_image_free(&images[i]);
    free(images);
    vt_image_free(&sheet);
    return status;
}

int main(int argc, char **argv)
{
    vt_status status = argc > 2 ? draw(argv[1], argv + 2, argc - 2)
                                : vt_error(VT_EINVAL, "usage: sheet FILE.png IMAGES...");
    if (status == VT_OK) return 0;
    fprintf(stderr, "%s\n", vt_error_message());
    return 1;
}
