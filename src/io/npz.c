/* NumPy's .npz: a zip archive of .npy members; arrays of strings are read as texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/npy.h"
#include "io/zip.h"

/* The code points of one element, without the zeros that pad it, as UTF-8 (RFC 3629) at `out`,
 * which has room for 4 bytes each. NULL when they are no text a C string can hold. */
static char *put_ucs4(char *out, const unsigned char *element, const vt_npy_header *h)
{
    size_t length = h->item / 4;
    for (size_t used = 0, i = 0; i < length; i++) {
        const unsigned char *p = element + 4 * i;
        uint32_t code =
            h->swapped ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                       : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
        if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return NULL;
        if (code == 0) continue;
        if (used++ != i) return NULL; /* a zero before this one */
        if (code < 0x80) {
            *out++ = (char)code;
        } else {
            int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3; /* continuation bytes */
            *out++ = (char)((0xff00 >> (more + 1) & 0xff) | code >> 6 * more);
            while (more-- > 0)
                *out++ = (char)(0x80 | (code >> 6 * more & 0x3f));
        }
    }
    return out;
}

static char *put_bytes(char *out, const unsigned char *element, const vt_npy_header *h)
{
    size_t length = h->item;
    while (length > 0 && element[length - 1] == 0)
        length--;
    if (memchr(element, 0, length)) return NULL;
    memcpy(out, element, length);
    return out + length;
}

static vt_status add_text(vt_tensor_map *map, const char *name, const vt_npy_header *h,
                          const char *label)
{
    if (h->ndim > 1 || (h->item == 0 && h->count > 1))
        return vt_error(VT_EUNSUPPORTED,
                        "%s: an array of strings of more than one dimension, or "
                        "of strings without characters",
                        label);
    if (vt_tensor_map_get_text(map, name))
        return vt_error(VT_EFORMAT, "%s: two members have this name", label);
    char *text = vt_alloc(h->count * (h->item + 1), 1), *end = text;
    if (!text) return vt_error_context(VT_ENOMEM, "%s", label);
    vt_status status = VT_OK;
    for (size_t i = 0; i < h->count && status == VT_OK; i++) {
        const unsigned char *element = h->data + i * h->item;
        if (i > 0) *end++ = '\n';
        char *start = end;
        end = h->kind == 'U' ? put_ucs4(end, element, h) : put_bytes(end, element, h);
        if (!end)
            status = vt_error(VT_EFORMAT, "%s: string %zu is not valid text", label, i);
        else if (h->count > 1 && memchr(start, '\n', (size_t)(end - start)))
            status =
                vt_error(VT_EUNSUPPORTED,
                         "%s: string %zu has a line break, which separates strings here", label, i);
    }
    if (status == VT_OK) status = vt_tensor_map_set_text(map, name, text);
    free(text);
    return status;
}

static vt_status add_member(vt_tensor_map *map, const char *name, const void *data, size_t size,
                            const char *label)
{
    vt_npy_header header;
    vt_tensor t;
    VT_TRY(vt_npy_header_parse(&header, data, size, label));
    vt_dtype dtype = vt_npy_dtype(&header);
    if (dtype == VT_DTYPE_COUNT) return add_text(map, name, &header, label);
    if (vt_tensor_map_find(map, name))
        return vt_error(VT_EFORMAT, "%s: two members have this name", label);
    vt_status status = vt_tensor_map_add(map, name, dtype, header.ndim, header.size, &t);
    if (status != VT_OK) return vt_error_context(status, "%s", label);
    vt_npy_fill(&t, &header);
    return VT_OK;
}

static vt_status read_member(vt_tensor_map *map, vt_zip *zip, int64_t index, const char *label)
{
    char name[VT_NAME_SIZE], place[1024];
    const char *member = vt_zip_name(zip, index);
    size_t length = strlen(member);
    void *data;
    size_t size;
    if (length < 4 || strcmp(member + length - 4, ".npy") != 0)
        return vt_error(VT_EUNSUPPORTED, "%s: member %.200s is no .npy array", label, member);
    if (length - 4 >= sizeof name)
        return vt_error(VT_EUNSUPPORTED, "%s: the name of member %.60s... is longer than %d bytes",
                        label, member, VT_NAME_SIZE - 1);
    snprintf(name, sizeof name, "%.*s", (int)(length - 4), member);
    snprintf(place, sizeof place, "%s: member %s", label, name);
    VT_TRY(vt_zip_read(zip, index, &data, &size));
    vt_status status = add_member(map, name, data, size, place);
    free(data);
    return status;
}

/* Closes `zip`. */
static vt_status read_archive(vt_tensor_map **out, vt_zip *zip, const char *label)
{
    vt_tensor_map *map = NULL;
    vt_status status = vt_tensor_map_new(&map);
    int64_t count = vt_zip_count(zip);
    if (status == VT_OK && count > VT_IO_MAX_ITEMS)
        status = vt_error(VT_EUNSUPPORTED, "%s: %lld members; the limit is %d", label,
                          (long long)count, VT_IO_MAX_ITEMS);
    for (int64_t i = 0; i < count && status == VT_OK; i++)
        status = read_member(map, zip, i, label);
    vt_zip_close(zip);
    if (status != VT_OK) {
        vt_tensor_map_free(map);
        return status;
    }
    *out = map;
    return VT_OK;
}

vt_status vt_npz_parse(vt_tensor_map **out, const void *data, size_t size, const char *label)
{
    vt_zip *zip;
    VT_TRY(vt_zip_open_memory(&zip, data, size, label));
    return read_archive(out, zip, label);
}

vt_status vt_npz_read(vt_tensor_map **out, const char *path)
{
    vt_zip *zip;
    VT_TRY(vt_zip_open(&zip, path));
    return read_archive(out, zip, path);
}

/* The code point at *text, which advances; UINT32_MAX when it is not valid UTF-8 (RFC 3629). */
static uint32_t take_utf8(const unsigned char **text)
{
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *p = *text;
    if (*p < 0x80) return *(*text)++;
    if (*p < 0xc2 || *p > 0xf4) return UINT32_MAX;
    int more = *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
    uint32_t code = *p & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) return UINT32_MAX;
        code = code << 6 | (p[i] & 0x3fu);
    }
    *text = p + more + 1;
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[more] || code > 0x10ffff || surrogate ? UINT32_MAX : code;
}

/* A text as a 0-d array of dtype <U(length); at least U1, as NumPy itself writes "". */
static vt_status encode_text(void **out, size_t *out_size, const char *key, const char *text)
{
    char descr[32], *data;
    size_t count = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; count++)
        if (take_utf8(&p) == UINT32_MAX)
            return vt_error(VT_EINVAL, "text %s is not valid UTF-8", key);
    size_t length = count ? count : 1;
    snprintf(descr, sizeof descr, "<U%zu", length);
    VT_TRY(vt_npy_start(out, out_size, &data, descr, 0, NULL, 4 * length));
    for (const unsigned char *p = (const unsigned char *)text; *p; data += 4) {
        uint32_t code = take_utf8(&p);
        memcpy(data, &code, 4);
    }
    return VT_OK;
}

/* Takes over `data`; `encoded` says whether there are any. */
static vt_status write_member(vt_zip_writer *w, const char *key, vt_status encoded, void *data,
                              size_t size, const char *path)
{
    char name[VT_NAME_SIZE + 4];
    if (encoded != VT_OK) return vt_error_context(encoded, "%s", path);
    snprintf(name, sizeof name, "%s.npy", key);
    return vt_zip_writer_adopt(w, name, data, size, false);
}

static vt_status write_members(vt_zip_writer *w, const vt_tensor_map *map, const char *path)
{
    void *data = NULL;
    size_t size = 0;
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        vt_status encoded = vt_npy_encode(&data, &size, t);
        VT_TRY(write_member(w, t->name, encoded, data, size, path));
    }
    for (int i = 0; i < vt_tensor_map_text_count(map); i++) {
        const char *key, *text;
        vt_tensor_map_text_at(map, i, &key, &text);
        if (strlen(key) >= VT_NAME_SIZE)
            return vt_error(VT_EINVAL, "%s: the key of text %.60s... is longer than %d bytes", path,
                            key, VT_NAME_SIZE - 1);
        vt_status encoded = encode_text(&data, &size, key, text);
        VT_TRY(write_member(w, key, encoded, data, size, path));
    }
    return VT_OK;
}

vt_status vt_npz_write(const vt_tensor_map *map, const char *path)
{
    vt_zip_writer *w;
    VT_TRY(vt_zip_writer_new(&w, path));
    vt_status status = write_members(w, map, path);
    if (status == VT_OK) return vt_zip_writer_finish(w);
    vt_zip_writer_abort(w);
    return status;
}
