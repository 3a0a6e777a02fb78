/* safetensors: any bytes are refused, or parse into tensors and texts that can be found and read.
 */
#include <stdlib.h>

#include "ventral/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_tensor_map *map;
    if (vt_safetensors_parse(&map, data, size, "input") != VT_OK) return 0;
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        vt_tensor copy;
        if (vt_tensor_map_find(map, t->name) != t) abort();
        if (vt_tensor_convert(&copy, t, VT_F32) == VT_OK) vt_tensor_free(&copy);
    }
    for (int i = 0; i < vt_tensor_map_text_count(map); i++) {
        const char *key, *text;
        vt_tensor_map_text_at(map, i, &key, &text);
        if (vt_tensor_map_get_text(map, key) != text) abort();
    }
    vt_tensor_map_free(map);
    return 0;
}
