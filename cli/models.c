/* Opening the models that a command is given. */
#include "models.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

vt_status cli_model_read(vt_model **out, const char *path, const char *network)
{
    return network ? vt_resnet_read(out, path, network) : vt_model_read(out, path);
}

static int is_model_file(const struct dirent *entry)
{
    static const char *const endings[] = {".safetensors", ".keras", ".h5", ".pt", ".pth"};
    const char *dot = strrchr(entry->d_name, '.');
    for (size_t i = 0; dot > entry->d_name && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(dot, endings[i]) == 0) return 1;
    return 0;
}

static vt_status add_path(cli_models *out, const char *folder, const char *name)
{
    char **paths = realloc(out->paths, ((size_t)out->count + 1) * sizeof *paths);
    if (!paths) return vt_error(VT_ENOMEM, "out of memory");
    out->paths = paths;
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = paths[out->count] = malloc(size);
    if (!path) return vt_error(VT_ENOMEM, "out of memory");
    snprintf(path, size, "%s%s%s", folder, *folder ? "/" : "", name);
    out->count++;
    return VT_OK;
}

static vt_status add_folder(cli_models *out, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_model_file, versionsort);
    if (count < 0) return vt_error(VT_EIO, "%s: %s", folder, strerror(errno));
    vt_status status =
        count > 0 ? VT_OK : vt_error(VT_ENOTFOUND, "%s: no models in this folder", folder);
    for (int i = 0; i < count; i++) {
        if (status == VT_OK) status = add_path(out, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static vt_status list_paths(cli_models *out, const char **paths, int count, bool folders)
{
    struct stat info;
    for (int i = 0; i < count; i++) {
        bool folder = folders && stat(paths[i], &info) == 0 && S_ISDIR(info.st_mode);
        VT_TRY(folder ? add_folder(out, paths[i]) : add_path(out, "", paths[i]));
    }
    return VT_OK;
}

static vt_status read_all(cli_models *out, const char *network, double epsilon)
{
    out->models = calloc(out->count > 0 ? (size_t)out->count : 1, sizeof *out->models);
    if (!out->models) return vt_error(VT_ENOMEM, "out of memory");
    for (int i = 0; i < out->count; i++) {
        VT_TRY(cli_model_read(&out->models[i], out->paths[i], network));
        if (epsilon != 0) VT_TRY(vt_model_set_epsilon(out->models[i], epsilon));
    }
    return VT_OK;
}

static int open_paths(cli_models *out, const char **paths, int count, bool folders,
                      const char *network, double epsilon)
{
    *out = (cli_models){.count = 0};
    vt_status status = list_paths(out, paths, count, folders);
    if (status == VT_OK) status = read_all(out, network, epsilon);
    if (status == VT_OK) return CLI_DONE;
    cli_models_close(out);
    return CLI_FAILED;
}

int cli_models_open(cli_models *out, const char **paths, int count, const char *network,
                    double epsilon)
{
    return open_paths(out, paths, count, false, network, epsilon);
}

int cli_model_folders_open(cli_models *out, const char **paths, int count, double epsilon)
{
    return open_paths(out, paths, count, true, NULL, epsilon);
}

void cli_models_close(cli_models *models)
{
    for (int i = 0; i < models->count; i++) {
        if (models->models) vt_model_free(models->models[i]);
        free(models->paths[i]);
    }
    free(models->models);
    free(models->paths);
    *models = (cli_models){.count = 0};
}

vt_status cli_filters_parse(int out[VT_COMPACT_LAYERS], const char *text)
{
    char end;
    if (sscanf(text, "%d,%d,%d,%d,%d%c", &out[0], &out[1], &out[2], &out[3], &out[4], &end) == 5)
        return VT_OK;
    return vt_error(VT_EINVAL, "--filters '%s': five numbers are needed, as 16,32,32,64,64", text);
}
