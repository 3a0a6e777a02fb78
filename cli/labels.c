/* Labels of images, a line each. */
#include "labels.h"

#include <stdlib.h>
#include <string.h>

typedef struct line {
    const char *text;
    int64_t index;
} line;

static int compare_lines(const void *a, const void *b)
{
    return strcmp(((const line *)a)->text, ((const line *)b)->text);
}

/* Ends lines in place; their number, or -1 when there are more than `room`. */
static int64_t cut(line *lines, int64_t room, char *text, size_t size)
{
    int64_t count = 0;
    for (char *p = text; p < text + size;) {
        char *end = memchr(p, '\n', (size_t)(text + size - p));
        if (!end) end = text + size;
        char *last = end;
        if (last > p && last[-1] == '\r') last--;
        *last = '\0';
        if (count == room) return -1;
        lines[count] = (line){p, count};
        count++;
        p = end + 1;
    }
    return count;
}

vt_status cli_labels_read(int64_t **out, const char *path, int64_t count)
{
    void *text;
    size_t size;
    VT_TRY(vt_file_read(&text, &size, path));
    line *lines = calloc((size_t)count, sizeof *lines);
    int64_t *labels = calloc((size_t)count, sizeof *labels), found;
    vt_status status = lines && labels ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
    if (status == VT_OK && (found = cut(lines, count, text, size)) != count)
        status =
            vt_error(VT_ESHAPE, "%s: %s lines than the %lld images: a label for each is needed",
                     path, found < 0 ? "more" : "fewer", (long long)count);
    if (status == VT_OK) {
        int64_t label = 0;
        qsort(lines, (size_t)count, sizeof *lines, compare_lines);
        for (int64_t i = 0; i < count; i++) {
            label += i > 0 && strcmp(lines[i].text, lines[i - 1].text) != 0;
            labels[lines[i].index] = label;
        }
        *out = labels;
        labels = NULL;
    }
    free(labels);
    free(lines);
    free(text);
    return status;
}
