/* zip: any bytes are refused, or open as an archive whose entries can be found and are read to the
 * same bytes each time, or are refused. */
#include <stdlib.h>
#include <string.h>

#include "ventral/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_zip *zip;
    if (vt_zip_open_memory(&zip, data, size, "input") != VT_OK) return 0;
    for (int64_t i = 0; i < vt_zip_count(zip); i++) {
        const char *name = vt_zip_name(zip, i), *found = vt_zip_name(zip, vt_zip_find(zip, name));
        void *first, *second;
        size_t first_size, second_size;
        if (!found || strcmp(found, name) != 0) abort();
        if (vt_zip_read(zip, i, &first, &first_size) != VT_OK) continue;
        if (vt_zip_read(zip, i, &second, &second_size) != VT_OK) abort();
        if (first_size != second_size || memcmp(first, second, first_size) != 0) abort();
        free(first);
        free(second);
    }
    vt_zip_close(zip);
    return 0;
}
