/* JSON (RFC 8259) over jansson with the library's messages. */
#include "io/json.h"

vt_status vt_json_parse(json_t **out, const char *data, size_t size, const char *label)
{
    json_error_t error;
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!root) {
        vt_status code =
            json_error_code(&error) == json_error_out_of_memory ? VT_ENOMEM : VT_EFORMAT;
        return vt_error(code, "%s: not valid JSON: line %d, column %d: %s", label, error.line,
                        error.column, error.text);
    }
    *out = root;
    return VT_OK;
}
