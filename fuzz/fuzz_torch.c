/* Fuzzes the PyTorch reader. Input that begins as a zip archive, a stream or a tar is read as it
 * is; any other is the pickle of an archive with four storages, since mutations rarely get past a
 * zip's checksums. */
#include <stdio.h>

#include "../tests/stored_zip.h"
#include "io/torch.h"
#include "ventral/weights.h"

static void parse(const void *data, size_t size)
{
    vt_tensor_map *map;
    if (vt_torch_parse(&map, data, size, "input") == VT_OK) vt_tensor_map_free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char elements[256];
    bool zip = size >= 2 && memcmp(data, "PK", 2) == 0;
    if (zip || vt_torch_is_stream(data, size) || vt_torch_is_tar(data, size)) {
        parse(data, size);
        return 0;
    }
    stored_zip z = {0};
    stored_zip_add(&z, "a/data.pkl", data, size);
    stored_zip_add(&z, "a/byteorder", size % 2 ? "little" : "big", size % 2 ? 6 : 3);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "a/data/%d", i);
        stored_zip_add(&z, name, elements, sizeof elements >> i);
    }
    stored_zip_finish(&z);
    parse(z.data, z.size);
    free(z.data);
    return 0;
}
