/* .npy: any bytes are refused, or parse into a tensor that is the same after writing and reading.
 */
#include <stdlib.h>
#include <string.h>

#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_tensor t, back;
    void *file;
    size_t file_size;
    if (vt_npy_parse(&t, data, size, "input") != VT_OK) return 0;
    if (vt_npy_encode(&file, &file_size, &t) != VT_OK) abort();
    if (vt_npy_parse(&back, file, file_size, "written") != VT_OK) abort();
    if (back.dtype != t.dtype || back.ndim != t.ndim ||
        memcmp(back.size, t.size, sizeof t.size) != 0 ||
        memcmp(back.data, t.data, vt_tensor_bytes(&t)) != 0)
        abort();
    free(file);
    vt_tensor_free(&back);
    vt_tensor_free(&t);
    return 0;
}
