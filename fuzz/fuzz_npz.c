/* .npz: any bytes are refused, or parse into tensors and texts that can be found and read. Bytes
 * that begin as a .npy file are put into an archive first: behind a CRC, mutations seldom reach
 * them. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "ventral/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(uint8_t *p, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* An archive of one stored member t.npy. */
static uint8_t *wrap(const uint8_t *data, size_t size, size_t *out_size)
{
    enum { LOCAL = 30, CENTRAL = 46, END = 22, NAME = 5 };
    uint32_t crc = (uint32_t)crc32(0, data, (uInt)size);
    uint8_t *archive = calloc(1, LOCAL + CENTRAL + END + 2 * NAME + size);
    if (!archive) abort();
    uint8_t *central = archive + LOCAL + NAME + size, *end = central + CENTRAL + NAME;
    put(archive, 4, 0x04034b50);
    put(central, 4, 0x02014b50);
    put(end, 4, 0x06054b50);
    for (int i = 0; i < 2; i++) { /* the fields that both headers have */
        uint8_t *crc_at = i ? central + 16 : archive + 14;
        put(crc_at, 4, crc);
        put(crc_at + 4, 4, size);
        put(crc_at + 8, 4, size);
        put(crc_at + 12, 2, NAME);
        memcpy(i ? central + CENTRAL : archive + LOCAL, "t.npy", NAME);
    }
    memcpy(archive + LOCAL + NAME, data, size);
    put(end + 8, 2, 1);
    put(end + 10, 2, 1);
    put(end + 12, 4, CENTRAL + NAME);
    put(end + 16, 4, LOCAL + NAME + size);
    *out_size = (size_t)(end + END - archive);
    return archive;
}

static void check(const vt_tensor_map *map)
{
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_tensor_map *map;
    uint8_t *archive = NULL;
    if (size > 0 && *data == 0x93) data = archive = wrap(data, size, &size);
    if (vt_npz_parse(&map, data, size, "input") == VT_OK) {
        check(map);
        vt_tensor_map_free(map);
    }
    free(archive);
    return 0;
}
