/* Fuzzes what the parent reads from the child that parses HDF5: the input is the child's stream.
 * The HDF5 library itself is not fuzzed here: it runs in the child because it is known to crash
 * (fuzz_keras takes that way, at a fork an input). */
#include "io/hdf5_child.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_tensor_map *map;
    if (vt_hdf5_stream_parse(&map, data, size, 1 << 20, "input") == VT_OK) vt_tensor_map_free(map);
    return 0;
}
