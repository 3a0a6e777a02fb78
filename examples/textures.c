/* The picture of docs/textures.md: images made by rule in the place of photographs, two textures of
 * each, and noise with the spectrum of the last: textures FILE.png [ITERATIONS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ventral/ventral.h>

enum { ROWS = 4, COLUMNS = 4, SIDE = 160, PIXELS = SIDE * SIDE, GAP = 4 };

/* Small leaves, twice; bars that wind, with spots; discs at random places. */
static vt_status make_photograph(double *out, int row)
{
    static uint8_t leaves[2 * SIDE * 2 * SIDE * 3];
    static const uint32_t number[2] = {12, 4};
    vt_rng rng;
    vt_rng_init(&rng, 0, VT_RNG_IMAGE, 0, (uint32_t)row);
    if (row < 2) VT_TRY(vt_dead_leaves(leaves, 2 * SIDE, 2 * SIDE, 7, number[row]));
    for (int i = 0; i < PIXELS; i++) {
        int y = i / SIDE, x = i % SIDE;
        double wave = fmod(x + 3 * sin(y / 7.0) + 160, 20) / 20;
        if (row < 2)
            out[i] = leaves[3 * (2 * y * 2 * SIDE + 2 * x) + 1];
        else
            out[i] = row == 2 ? 50 + 120 * wave * wave + 6 * vt_rng_normal(&rng) : 60;
    }
    for (int n = 0; n < 150 && row == 3; n++) {
        double x = SIDE * vt_rng_uniform(&rng), y = SIDE * vt_rng_uniform(&rng);
        double radius = 4 + 8 * vt_rng_uniform(&rng), tone = 90 + 120 * vt_rng_uniform(&rng);
        for (int i = 0; i < PIXELS; i++) {
            double dx = remainder(i % SIDE - x, SIDE), dy = remainder(i / SIDE - y, SIDE);
            if (hypot(dy, dx) < radius) out[i] = tone + 25 * (dx - dy) / radius;
        }
    }
    return VT_OK;
}

static vt_status to_image(vt_image *out, const double *grey)
{
    *out = (vt_image){SIDE, SIDE, malloc((size_t)PIXELS * 3)};
    if (!out->pixels) return vt_error(VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < PIXELS; i++)
        memset(out->pixels + 3 * i, (int)fmin(fmax(rint(grey[i]), 0), 255), 3);
    return VT_OK;
}

static vt_status make_row(vt_image cells[COLUMNS], int row, int iterations)
{
    static double photograph[PIXELS], made[PIXELS], noise[PIXELS];
    VT_TRY(make_photograph(photograph, row));
    VT_TRY(to_image(&cells[0], photograph));
    for (uint32_t i = 0; i < 2; i++) {
        vt_texture_result result;
        vt_texture_synthesis options = {.iterations = iterations, .number = i};
        VT_TRY(vt_texture_synthesize(made, &result, photograph, SIDE, SIDE, &options));
        VT_TRY(to_image(&cells[1 + i], made));
        printf("row %d: distance %.3f at the start, %.3f after %d steps\n", row + 1, result.start,
               result.distance, result.iterations);
    }
    VT_TRY(vt_texture_noise(noise, made, SIDE, SIDE, 0, 1));
    return to_image(&cells[3], noise);
}

int main(int argc, char **argv)
{
    vt_image cells[ROWS * COLUMNS] = {{0}}, sheet = {0};
    bool used = argc == 2 || argc == 3;
    vt_status status = used ? VT_OK : vt_error(VT_EINVAL, "usage: textures FILE.png [ITERATIONS]");
    for (int row = 0; row < ROWS && status == VT_OK; row++)
        status = make_row(cells + (ptrdiff_t)row * COLUMNS, row, argc == 3 ? atoi(argv[2]) : 0);
    if (status == VT_OK)
        status = vt_picture_sheet(&sheet, cells, ROWS * COLUMNS, COLUMNS, SIDE, SIDE, GAP);
    if (status == VT_OK) status = vt_picture_write(&sheet, argv[1]);
    if (status != VT_OK) fprintf(stderr, "%s\n", vt_error_message());
    for (int i = 0; i < ROWS * COLUMNS; i++)
        vt_image_free(&cells[i]);
    vt_image_free(&sheet);
    return status == VT_OK ? 0 : 1;
}
