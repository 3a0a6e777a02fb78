/* Which texture an image is: from names like the published ones, or from a table. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "stimuli/texture_set.h"

enum { MAX_COLUMNS = 64, MAX_DIGITS = 9 };
#define MAX_ROWS 1000000

/* ---- names ---- */

/* The number at *text, which moves behind it. */
static bool take_number(int64_t *out, const char **text)
{
    int digits = 0;
    *out = 0;
    while (isdigit((unsigned char)**text) && digits++ < MAX_DIGITS)
        *out = 10 * *out + (*(*text)++ - '0');
    return digits > 0 && digits <= MAX_DIGITS;
}

static bool take_word(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0) return false;
    *text += length;
    return true;
}

bool vt_texture_name_parse(vt_texture_stimulus *out, const char *name)
{
    int64_t width, height;
    vt_texture_stimulus is = {0};
    if (take_word(&name, "tex-"))
        is.type = VT_TEXTURE_IS_TEXTURE;
    else if (take_word(&name, "noise-"))
        is.type = VT_TEXTURE_IS_NOISE;
    else
        return false;
    if (!take_number(&height, &name) || !take_word(&name, "x") || !take_number(&width, &name) ||
        !take_word(&name, "-im") || !take_number(&is.family, &name) || !take_word(&name, "-smp") ||
        !take_number(&is.sample, &name) || strcmp(name, ".png") != 0)
        return false;
    *out = is;
    return true;
}

/* ---- the table ---- */

enum { FILE_COLUMN, FAMILY, SAMPLE, TYPE, ORIGIN, KNOWN };
static const char *const column_names[KNOWN] = {"file", "family", "sample", "type", "origin"};

/* Splits a line, which is changed, at its commas; their number, or -1 when there are too many. */
static int split(char *fields[MAX_COLUMNS], char *line)
{
    int count = 0;
    for (;;) {
        if (count == MAX_COLUMNS) return -1;
        while (*line == ' ')
            line++;
        fields[count++] = line;
        char *comma = strchr(line, ','), *end = comma ? comma : line + strlen(line);
        while (end > line && (end[-1] == ' ' || end[-1] == '\r'))
            *--end = '\0';
        if (!comma) return count;
        *comma = '\0';
        line = comma + 1;
    }
}

static vt_status find_columns(int at[KNOWN], char *line, const char *label)
{
    char *fields[MAX_COLUMNS];
    int count = split(fields, line);
    for (int k = 0; k < KNOWN; k++) {
        at[k] = -1;
        for (int i = 0; i < count; i++)
            if (strcmp(fields[i], column_names[k]) == 0) at[k] = i;
        if (at[k] < 0 && k != ORIGIN)
            return vt_error(VT_EFORMAT,
                            "%s: its first line names no column '%s'; file, family, sample and "
                            "type are needed",
                            label, column_names[k]);
    }
    return VT_OK;
}

static bool parse_number(int64_t *out, const char *text)
{
    return take_number(out, &text) && !*text;
}

static bool parse_type(int64_t *out, const char *text)
{
    if (strcmp(text, "noise") == 0)
        *out = VT_TEXTURE_IS_NOISE;
    else if (strcmp(text, "texture") == 0 || strcmp(text, "tex") == 0)
        *out = VT_TEXTURE_IS_TEXTURE;
    else
        return false;
    return true;
}

static vt_status check_origin(vt_texture_list *list, const char *origin, const char *label,
                              long long line)
{
    if (list->count == 0 && *origin) {
        list->origin = vt_strdup(origin);
        return list->origin ? VT_OK : VT_ENOMEM;
    }
    if (strcmp(origin, list->origin ? list->origin : "") == 0) return VT_OK;
    return vt_error(VT_EFORMAT, "%s: line %lld: origin '%s', that of those before is '%s'", label,
                    line, origin, list->origin ? list->origin : "");
}

static vt_status add_row(vt_texture_list *list, const int at[KNOWN], char *line, const char *label,
                         long long number)
{
    char *fields[MAX_COLUMNS];
    vt_texture_row row = {.file = NULL};
    int count = split(fields, line);
    for (int k = 0; k < KNOWN; k++)
        if (at[k] >= count)
            return vt_error(VT_EFORMAT, "%s: line %lld has no %s", label, number, column_names[k]);
    if (!*fields[at[FILE_COLUMN]] || !parse_number(&row.is.family, fields[at[FAMILY]]) ||
        !parse_number(&row.is.sample, fields[at[SAMPLE]]) ||
        !parse_type(&row.is.type, fields[at[TYPE]]))
        return vt_error(VT_EFORMAT,
                        "%s: line %lld: file '%s', family '%s', sample '%s', type '%s'; a name, "
                        "two numbers, and noise or texture are needed",
                        label, number, fields[at[FILE_COLUMN]], fields[at[FAMILY]],
                        fields[at[SAMPLE]], fields[at[TYPE]]);
    VT_TRY(check_origin(list, at[ORIGIN] >= 0 ? fields[at[ORIGIN]] : "", label, number));
    row.file = vt_strdup(fields[at[FILE_COLUMN]]);
    if (!row.file) return VT_ENOMEM;
    list->rows[list->count++] = row;
    return VT_OK;
}

vt_status vt_texture_list_parse(vt_texture_list *out, const char *text, size_t size,
                                const char *label)
{
    int at[KNOWN];
    size_t lines = 0;
    *out = (vt_texture_list){.rows = NULL};
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    if (lines > MAX_ROWS || memchr(text, '\0', size))
        return vt_error(VT_EFORMAT, "%s: no table of textures", label);
    char *copy = vt_alloc(size + 1, 1);
    out->rows = vt_alloc(lines + 1, sizeof *out->rows);
    vt_status status = copy && out->rows ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) memcpy(copy, text, size);
    long long number = 0;
    for (char *line = copy; status == VT_OK && line;) {
        char *end = strchr(line, '\n'), *next = end ? end + 1 : NULL;
        if (end) *end = '\0';
        number++;
        if (number == 1)
            status = find_columns(at, line, label);
        else if (line[strspn(line, " \r")])
            status = add_row(out, at, line, label, number);
        line = next;
    }
    free(copy);
    return status;
}

void vt_texture_list_free(vt_texture_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        free(list->rows[i].file);
    free(list->rows);
    free(list->origin);
    *list = (vt_texture_list){.rows = NULL};
}
