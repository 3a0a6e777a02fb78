/* Finding the sessions of a folder, in either layout. */
#include "data/session_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "data/session.h"

struct list {
    char **ids;
    int64_t count, capacity;
};

static bool is_kind(const char *path, mode_t kind)
{
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

static vt_status add_id(struct list *list, const char *id, size_t length)
{
    char text[64];
    if (length >= sizeof text) return VT_OK; /* such a session could not be opened */
    memcpy(text, id, length);
    text[length] = '\0';
    if (vt_session_check_id(text) != VT_OK) return VT_OK;
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity ? 2 * list->capacity : 16;
        char **grown = vt_grow(list->ids, (size_t)list->count, (size_t)capacity, sizeof *list->ids);
        if (!grown) return VT_ENOMEM;
        list->ids = grown;
        list->capacity = capacity;
    }
    char *copy = vt_strdup(text);
    if (!copy) return VT_ENOMEM;
    list->ids[list->count++] = copy;
    return VT_OK;
}

/* Session ids of base/folder/responses_ID.npy. */
static vt_status list_responses(struct list *list, const char *base, const char *folder)
{
    static const char start[] = "responses_", end[] = ".npy";
    const size_t around = sizeof start - 1 + sizeof end - 1;
    char *path = vt_path_format("%s/%s", base, folder);
    if (!path) return VT_ENOMEM;
    DIR *items = opendir(path);
    free(path);
    vt_status status = VT_OK;
    for (struct dirent *item; items && status == VT_OK && (item = readdir(items));) {
        const char *name = item->d_name;
        size_t length = strlen(name);
        if (length <= around || strncmp(name, start, sizeof start - 1) != 0 ||
            strcmp(name + length - (sizeof end - 1), end) != 0)
            continue;
        status = add_id(list, name + sizeof start - 1, length - around);
    }
    if (items) closedir(items);
    return status;
}

/* Subfolders of `root` that hold responses.npy. */
static vt_status list_plain(struct list *list, const char *root)
{
    vt_status status = VT_OK;
    DIR *items = opendir(root);
    if (!items)
        return vt_error(errno == ENOENT || errno == ENOTDIR ? VT_ENOTFOUND : VT_EIO,
                        "%s: cannot list sessions: %s", root, strerror(errno));
    for (struct dirent *item; status == VT_OK && (item = readdir(items));) {
        if (item->d_name[0] == '.') continue;
        char *path = vt_path_format("%s/%s/responses.npy", root, item->d_name);
        if (!path)
            status = VT_ENOMEM;
        else if (is_kind(path, S_IFREG))
            status = add_id(list, item->d_name, strlen(item->d_name));
        free(path);
    }
    closedir(items);
    return status;
}

vt_status vt_session_own_id(char out[64], const char *root)
{
    char *responses = vt_path_format("%s/responses.npy", root);
    if (!responses) return VT_ENOMEM;
    char *real = is_kind(responses, S_IFREG) ? realpath(root, NULL) : NULL;
    const char *name = real ? strrchr(real, '/') + 1 : "";
    bool usable = strlen(name) < 64 && vt_session_check_id(name) == VT_OK;
    strcpy(out, usable ? name : "");
    free(real);
    free(responses);
    return VT_OK;
}

static vt_status has_published(bool *out, const char *base)
{
    char *averaged = vt_path_format("%s/responses_repeat_averaged", base);
    char *raw = vt_path_format("%s/responses_raw", base);
    vt_status status = averaged && raw ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) *out = is_kind(averaged, S_IFDIR) || is_kind(raw, S_IFDIR);
    free(averaged);
    free(raw);
    return status;
}

vt_status vt_session_published_root(char **out, const char *root)
{
    static const char *const places[] = {"", "/data_V4_responses"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool published = false;
        char *base = vt_path_format("%s%s", root, places[i]);
        vt_status status = base ? has_published(&published, base) : VT_ENOMEM;
        if (status == VT_OK && published) {
            *out = base;
            return VT_OK;
        }
        free(base);
        VT_TRY(status);
    }
    *out = NULL;
    return VT_OK;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts and drops duplicates: most sessions have both averaged and raw responses. */
static void sort_unique(struct list *list)
{
    int64_t kept = 0;
    if (list->count > 1) qsort(list->ids, (size_t)list->count, sizeof *list->ids, compare_ids);
    for (int64_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->ids[kept - 1], list->ids[i]) == 0)
            free(list->ids[i]);
        else
            list->ids[kept++] = list->ids[i];
    }
    list->count = kept;
}

static vt_status collect(struct list *list, const char *root)
{
    char *base = NULL, own_id[64];
    VT_TRY(list_plain(list, root));
    VT_TRY(vt_session_published_root(&base, root));
    vt_status status = VT_OK;
    if (base) {
        status = list_responses(list, base, "responses_repeat_averaged");
        if (status == VT_OK) status = list_responses(list, base, "responses_raw");
    }
    free(base);
    VT_TRY(status);
    VT_TRY(vt_session_own_id(own_id, root));
    VT_TRY(add_id(list, own_id, strlen(own_id)));
    if (list->count == 0)
        return vt_error(VT_ENOTFOUND,
                        "%s: no sessions: neither responses_repeat_averaged/responses_ID.npy, "
                        "responses_raw/responses_ID.npy nor ID/responses.npy is there",
                        root);
    sort_unique(list);
    return VT_OK;
}

vt_status vt_session_list(char ***out, int64_t *out_count, const char *root)
{
    struct list list = {0};
    vt_status status = collect(&list, root);
    if (status != VT_OK) {
        vt_session_list_free(list.ids, list.count);
        return status;
    }
    *out = list.ids;
    *out_count = list.count;
    return VT_OK;
}

void vt_session_list_free(char **ids, int64_t count)
{
    for (int64_t i = 0; ids && i < count; i++)
        free(ids[i]);
    free(ids);
}
