/* Files of text, printed in memory first, and fields of comma-separated values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ventral/io.h"

vt_status vt_text_file_begin(vt_text_file *out)
{
    *out = (vt_text_file){.stream = NULL};
    out->stream = open_memstream(&out->text, &out->size);
    return out->stream ? VT_OK : vt_error(VT_ENOMEM, "out of memory");
}

vt_status vt_text_file_end(vt_text_file *file, const char *path)
{
    bool whole = !ferror(file->stream);
    whole = fclose(file->stream) == 0 && whole;
    vt_status status = whole ? vt_file_write(path, file->text, file->size)
                             : vt_error(VT_ENOMEM, "%s: out of memory", path);
    free(file->text);
    return status;
}

void vt_csv_field(FILE *stream, const char *text)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    if (quoted) fputc('"', stream);
    for (; *text; text++) {
        if (*text == '"') fputc('"', stream);
        fputc(*text, stream);
    }
    if (quoted) fputc('"', stream);
}

void vt_csv_next(FILE *stream, double value)
{
    fputc(',', stream);
    if (isfinite(value)) fprintf(stream, "%.9g", value);
}
