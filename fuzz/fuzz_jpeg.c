/* JPEG decoding of any bytes. */
#include "io/jpeg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_image image;
    if (vt_jpeg_decode(&image, data, size, "fuzz") == VT_OK) vt_image_free(&image);
    return 0;
}
