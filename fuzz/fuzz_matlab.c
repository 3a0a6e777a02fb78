/* MATLAB files of version 5: any bytes are refused, or parse into arrays that can be found and
 * read. Bytes without a header get one, and are read compressed too, since mutations seldom get
 * past zlib's checksum. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "ventral/weights.h"

enum { HEADER = 128, TAG = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const void *data, size_t size)
{
    vt_tensor_map *map;
    if (vt_matlab_parse(&map, data, size, "input") != VT_OK) return;
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        vt_tensor copy;
        if (vt_tensor_map_find(map, t->name) != t) abort();
        if (vt_tensor_convert(&copy, t, VT_F32) == VT_OK) vt_tensor_free(&copy);
    }
    vt_tensor_map_free(map);
}

/* A file of these elements, or of one element that is them compressed. */
static void parse_elements(const uint8_t *data, size_t size, int compressed)
{
    uLongf body = compressBound(size) + size;
    uint8_t *file = calloc(1, HEADER + TAG + body);
    if (!file) abort();
    memcpy(file + 124, "\0\1IM", 4);
    if (compressed) {
        uint32_t kind = 15;
        if (compress(file + HEADER + TAG, &body, data, size) != Z_OK) abort();
        memcpy(file + HEADER, &kind, 4);
        memcpy(file + HEADER + 4, &(uint32_t){(uint32_t)body}, 4);
        parse(file, HEADER + TAG + body);
    } else {
        memcpy(file + HEADER, data, size);
        parse(file, HEADER + size);
    }
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= HEADER && (memcmp(data + 126, "IM", 2) == 0 || memcmp(data + 126, "MI", 2) == 0)) {
        parse(data, size);
        return 0;
    }
    parse_elements(data, size, 0);
    parse_elements(data, size, 1);
    return 0;
}
