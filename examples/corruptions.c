/* The picture of docs/corruptions.md: corruptions of an image of dead leaves, severities 1, 3 and 5
 * side by side, three corruptions a row: corruptions FILE.png */
#include <stdio.h>
#include <stdlib.h>

#include <ventral/ventral.h>

enum { SIDE = 64, SCALE = 2, SHOWN = 3, CELLS = VT_CORRUPTIONS * SHOWN };

/* Each pixel as a square, so that noise stays what it is. */
static vt_status enlarge(vt_image *out, const vt_image *image)
{
    int height = SCALE * image->height, width = SCALE * image->width;
    *out = (vt_image){height, width, malloc((size_t)height * (size_t)width * 3)};
    if (!out->pixels) return vt_error(VT_ENOMEM, "no memory for the picture");
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                out->pixels[(y * width + x) * 3 + c] =
                    image->pixels[(y / SCALE * image->width + x / SCALE) * 3 + c];
    return VT_OK;
}

static vt_status draw_cell(vt_image *out, const vt_image *image, int cell)
{
    vt_image corrupted;
    VT_TRY(
        vt_corrupt(&corrupted, image, (vt_corruption)(cell / SHOWN), cell % SHOWN * 2 + 1, 0, 0));
    vt_status status = enlarge(out, &corrupted);
    vt_image_free(&corrupted);
    return status;
}

int main(int argc, char **argv)
{
    static uint8_t pixels[SIDE * SIDE * 3];
    vt_image image = {SIDE, SIDE, pixels}, cells[CELLS] = {{0}}, sheet = {0};
    vt_status status = argc == 2 ? VT_OK : vt_error(VT_EINVAL, "usage: corruptions FILE.png");
    if (status == VT_OK) status = vt_dead_leaves(pixels, SIDE, SIDE, 3, 3);
    for (int i = 0; i < CELLS && status == VT_OK; i++)
        status = draw_cell(&cells[i], &image, i);
    if (status == VT_OK)
        status = vt_picture_sheet(&sheet, cells, CELLS, 3 * SHOWN, SCALE * SIDE, SCALE * SIDE, 4);
    if (status == VT_OK) status = vt_picture_write(&sheet, argv[1]);
    if (status != VT_OK) fprintf(stderr, "%s\n", vt_error_message());
    for (int i = 0; i < CELLS; i++)
        vt_image_free(&cells[i]);
    vt_image_free(&sheet);
    return status == VT_OK ? 0 : 1;
}
