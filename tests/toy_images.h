/* Toy classes, which a small network learns in seconds: gratings of 64 x 64 pixels whose
 * orientation and colour tell the class, with phase and noise of each image's own. */
#ifndef TOY_IMAGES_H
#define TOY_IMAGES_H

#include "image_tree.h"
#include "ventral/rng.h"

enum { TOY_SIDE = 64, TOY_CLASSES = 4 };

static inline void toy_pixels(uint8_t *out, int label, int number)
{
    vt_rng rng;
    vt_rng_init(&rng, 7, VT_RNG_IMAGE, (uint32_t)label, (uint32_t)number);
    double angle = label * 3.14159265 / TOY_CLASSES, phase = 6.28318530 * vt_rng_uniform(&rng);
    for (int y = 0; y < TOY_SIDE; y++)
        for (int x = 0; x < TOY_SIDE; x++) {
            double grating = sin(0.6 * (x * cos(angle) + y * sin(angle)) + phase);
            for (int c = 0; c < 3; c++) {
                double colour = 25 * cos(1.57079633 * label + 2.1 * c);
                double value = 128 + 35 * grating + colour + 20 * vt_rng_normal(&rng);
                out[(y * TOY_SIDE + x) * 3 + c] = (uint8_t)fmin(fmax(value, 0), 255);
            }
        }
}

/* Writes ROOT/FOLDER/c0/first.png and on: `count` images of each of `classes`. */
static inline void write_toys(const char *root, const char *folder, int classes, int first,
                              int count)
{
    static uint8_t pixels[TOY_SIDE * TOY_SIDE * 3];
    for (int label = 0; label < classes; label++)
        for (int i = first; i < first + count; i++) {
            char name[256];
            void *data;
            size_t size;
            toy_pixels(pixels, label, i);
            snprintf(name, sizeof name, "%s/c%d/%03d.png", folder, label, i);
            assert_ok(vt_png_encode(
                &data, &size,
                &(vt_image){.height = TOY_SIDE, .width = TOY_SIDE, .pixels = pixels}));
            write_file(root, name, data, size);
            free(data);
        }
}

#endif
