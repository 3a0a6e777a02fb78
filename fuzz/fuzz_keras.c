/* Fuzzes the Keras reader, the HDF5 library in its child included: slow, but the whole way. Zip
 * archives and HDF5 files are read as they are; any other input is the config, a zero byte and the
 * weights of an archive, since mutations rarely get past a zip's checksums. */
#include "../tests/stored_zip.h"
#include "io/hdf5_child.h"
#include "ventral/weights.h"

static void parse(const void *data, size_t size)
{
    vt_tensor_map *map;
    if (vt_keras_parse(&map, data, size, "input") == VT_OK) vt_tensor_map_free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    if (!zero || vt_hdf5_has_signature(data, size) || memcmp(data, "PK", 2) == 0) {
        parse(data, size);
        return 0;
    }
    stored_zip z = {0};
    size_t config = (size_t)(zero - data);
    stored_zip_add(&z, "config.json", data, config);
    stored_zip_add(&z, "model.weights.h5", zero + 1, size - config - 1);
    stored_zip_finish(&z);
    parse(z.data, z.size);
    free(z.data);
    return 0;
}
