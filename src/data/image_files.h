/* Which files of a folder or archive are images. */
#ifndef VT_DATA_IMAGE_FILES_H
#define VT_DATA_IMAGE_FILES_H

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static inline const char *vt_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Dot files and what macOS adds to archives. */
static inline bool vt_is_hidden(const char *name)
{
    return name[0] == '.' || strcmp(name, "__MACOSX") == 0 || strncmp(name, "__MACOSX/", 9) == 0;
}

/* By its ending, in any case. */
static inline bool vt_is_image_file(const char *path)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const char *name = vt_file_name(path), *dot = strrchr(name, '.');
    if (!dot || vt_is_hidden(name)) return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

#endif
