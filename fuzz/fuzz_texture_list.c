/* Tables of textures, and names like the published ones: any bytes are refused, or say of each file
 * which texture it is; the canonical name of what a name says says the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stimuli/texture_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const vt_texture_stimulus *is)
{
    if (is->family < 0 || is->sample < 0 || is->family > 999999999 || is->sample > 999999999 ||
        (is->type != VT_TEXTURE_IS_NOISE && is->type != VT_TEXTURE_IS_TEXTURE))
        abort();
}

static void try_name(const char *name)
{
    char again[128];
    vt_texture_stimulus is, same;
    if (!vt_texture_name_parse(&is, name)) return;
    check(&is);
    snprintf(again, sizeof again, "%s-1x1-im%lld-smp%lld.png",
             is.type == VT_TEXTURE_IS_NOISE ? "noise" : "tex", (long long)is.family,
             (long long)is.sample);
    if (!vt_texture_name_parse(&same, again) || same.type != is.type || same.family != is.family ||
        same.sample != is.sample)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_texture_list list;
    if (vt_texture_list_parse(&list, (const char *)data, size, "input") == VT_OK)
        for (int64_t i = 0; i < list.count; i++) {
            if (!*list.rows[i].file) abort();
            check(&list.rows[i].is);
            try_name(list.rows[i].file);
        }
    vt_texture_list_free(&list);
    char *name = malloc(size + 1);
    if (!name) abort();
    memcpy(name, data, size);
    name[size] = '\0';
    try_name(name);
    free(name);
    return 0;
}
