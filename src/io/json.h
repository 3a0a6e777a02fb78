/* JSON over jansson with the library's messages. */
#ifndef VT_IO_JSON_H
#define VT_IO_JSON_H

#include <jansson.h>

#include "ventral/io.h"

/* Parses `size` bytes of JSON (one value, UTF-8, no duplicate keys); json_decref the result. Keys
 * keep their order. `label` names the source in messages, which give line and column. */
vt_status vt_json_parse(json_t **out, const char *data, size_t size, const char *label);

#endif
