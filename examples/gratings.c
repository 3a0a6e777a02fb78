/* The picture of docs/gratings.md: some gratings of each set, and what 8 pixels a degree show of
 * them: gratings FILE.png */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ventral/ventral.h>

enum { ROWS = 5, COLUMNS = 8, SIDE = 168, GAP = 4 };

/* Grating `first` + column * `step` of a set on a screen of so many degrees and pixels. */
static const struct {
    vt_grating_set set;
    int first, step, degrees, pixels;
} rows[ROWS] = {
    {VT_GRATINGS_RECEPTIVE_FIELD, 7 * 21 + 3, 444, 8, 448},
    {VT_GRATINGS_ORIENTATION, 0, 8, 8, 448},
    {VT_GRATINGS_SPATIAL_FREQUENCY, 16, 144, 3, 168},
    {VT_GRATINGS_SPATIAL_FREQUENCY, 16, 144, 3, 24},
    {VT_GRATINGS_SIZE, 48 + 16, 192, 8, 448},
};

static vt_status draw(vt_image *out, int row, int64_t index)
{
    int pixels = rows[row].pixels;
    vt_screen *screen;
    vt_grating grating;
    size_t count = (size_t)pixels * (size_t)pixels;
    *out = (vt_image){pixels, pixels, malloc(3 * count)};
    uint8_t *grey = malloc(count);
    vt_screen_options options = {.degrees = rows[row].degrees, .height = pixels, .width = pixels};
    vt_status status = out->pixels && grey ? vt_grating_set_at(&grating, rows[row].set, index)
                                           : vt_error(VT_ENOMEM, "out of memory");
    if (status == VT_OK) status = vt_screen_new(&screen, &options);
    if (status == VT_OK) {
        status = vt_screen_draw(screen, &grating, 1, grey);
        for (size_t i = 0; i < count && status == VT_OK; i++)
            memset(out->pixels + 3 * i, grey[i], 3);
        vt_screen_free(screen);
    }
    free(grey);
    return status;
}

int main(int argc, char **argv)
{
    vt_image cells[ROWS * COLUMNS] = {{0}}, sheet = {0};
    vt_status status = argc == 2 ? VT_OK : vt_error(VT_EINVAL, "usage: gratings FILE.png");
    for (int i = 0; i < ROWS * COLUMNS && status == VT_OK; i++) {
        int row = i / COLUMNS, column = i % COLUMNS;
        status = draw(&cells[i], row, rows[row].first + column * rows[row].step);
    }
    if (status == VT_OK)
        status = vt_picture_sheet(&sheet, cells, ROWS * COLUMNS, COLUMNS, SIDE, SIDE, GAP);
    if (status == VT_OK) status = vt_picture_write(&sheet, argv[1]);
    if (status != VT_OK) fprintf(stderr, "%s\n", vt_error_message());
    for (int i = 0; i < ROWS * COLUMNS; i++)
        vt_image_free(&cells[i]);
    vt_image_free(&sheet);
    return status == VT_OK ? 0 : 1;
}
