/* Distributions of properties: any table of text, and any arrays, are refused, or give counts of
 * no more neurons than there are. The input is text and, where it is that, the stream of arrays of
 * fuzz_hdf5: arrays of .npz, .nc and .mat files are alike once they are read. */
#include <stdlib.h>
#include <string.h>

#include "io/hdf5_child.h"
#include "physiology/references.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const vt_references *references)
{
    for (int i = 0; i < vt_property_count(); i++) {
        const vt_reference *r = vt_references_at(references, i);
        if (!r || strcmp(r->source, "input") != 0) continue;
        int64_t counted = 0;
        for (int b = 0; b < vt_property_at(i)->bins; b++)
            counted += r->counts[b];
        if (counted > r->neurons) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vt_status (*const set[])(vt_references *, int *, const vt_tensor_map *, const char *) = {
        vt_references_set_vectors, vt_references_set_assembly, vt_references_set_matlab};
    int found = 0;
    vt_references *references;
    vt_tensor_map *map;
    char *text = malloc(size + 1);
    if (!text || vt_references_new(&references) != VT_OK) abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (vt_references_set_table(references, &found, text, "input") == VT_OK) check(references);
    free(text);
    if (vt_hdf5_stream_parse(&map, data, size, 1 << 20, "input") == VT_OK) {
        for (size_t i = 0; i < sizeof set / sizeof *set; i++)
            if (set[i](references, &found, map, "input") == VT_OK) check(references);
        vt_tensor_map_free(map);
    }
    vt_references_free(references);
    return 0;
}
