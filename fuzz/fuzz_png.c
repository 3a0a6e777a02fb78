/* PNG decoding of any bytes; what decodes must survive being encoded and decoded again. */
#include <stdlib.h>
#include <string.h>

#include "io/png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_image image, again;
    void *encoded;
    size_t encoded_size;
    if (vt_png_decode(&image, data, size, "fuzz") != VT_OK) return 0;
    if (vt_png_encode(&encoded, &encoded_size, &image) == VT_OK) {
        if (vt_png_decode(&again, encoded, encoded_size, "fuzz") != VT_OK) abort();
        if (memcmp(image.pixels, again.pixels, (size_t)image.height * (size_t)image.width * 3) != 0)
            abort();
        vt_image_free(&again);
        free(encoded);
    }
    vt_image_free(&image);
    return 0;
}
