/* Assemblies: what an HDF5 file holds is refused, or is made into responses of which none is
 * missing on average. The input is the stream of the child that parses HDF5, as in fuzz_hdf5; HDF5
 * files themselves take the whole way, at a fork an input. */
#include <math.h>
#include <stdlib.h>

#include "data/assembly.h"
#include "io/hdf5_child.h"
#include "ventral/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const vt_assembly *a, bool labelled)
{
    if (a->images < 1 || a->neurons < 1 || a->repeats < 1 || (a->labels != NULL) != labelled)
        abort();
    for (int64_t i = 0; i < a->images; i++)
        if (!a->stimuli[i] || (labelled && a->labels[i] < 0)) abort();
    if (vt_tensor_count(&a->averaged) != a->neurons * a->images ||
        vt_tensor_count(&a->raw) != a->neurons * a->images * a->repeats)
        abort();
    for (int64_t i = 0; i < vt_tensor_count(&a->averaged); i++)
        if (isnan(vt_tensor_get(&a->averaged, i))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const labels[] = {NULL, "texture_type"};
    vt_tensor_map *map;
    vt_status status = vt_hdf5_has_signature(data, size)
                           ? vt_hdf5_parse(&map, data, size, "input")
                           : vt_hdf5_stream_parse(&map, data, size, 1 << 20, "input");
    if (status != VT_OK) return 0;
    for (int i = 0; i < 2; i++) {
        vt_assembly assembly;
        if (vt_assembly_make(&assembly, map, "input", labels[i]) != VT_OK) continue;
        check(&assembly, labels[i] != NULL);
        vt_assembly_free(&assembly);
    }
    vt_tensor_map_free(map);
    return 0;
}
