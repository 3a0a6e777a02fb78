/* Accuracy on trees of corrupted images: TREE/CORRUPTION/SEVERITY/CLASS/IMAGE. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "ventral/classifier.h"

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool severity_folder(char *path, size_t size, const char *tree, const char *name, int level)
{
    int length = snprintf(path, size, "%s/%s/%d", tree, name, level);
    return length > 0 && (size_t)length < size && is_folder(path);
}

static bool is_corruption(const char *tree, const char *name)
{
    char path[2048];
    if (name[0] == '.' || strlen(name) >= sizeof((vt_corruption_score *)0)->name) return false;
    for (int level = 1; level <= VT_SEVERITIES; level++)
        if (severity_folder(path, sizeof path, tree, name, level)) return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const vt_corruption_score *)a)->name, ((const vt_corruption_score *)b)->name);
}

static vt_status list_corruptions(vt_corruption_score **out, int *out_count, const char *tree)
{
    vt_corruption_score *scores = NULL;
    int count = 0;
    DIR *folder = opendir(tree);
    if (!folder)
        return vt_error(errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "%s: %s", tree, strerror(errno));
    vt_status status = VT_OK;
    for (struct dirent *entry; status == VT_OK && (entry = readdir(folder));) {
        if (!is_corruption(tree, entry->d_name)) continue;
        vt_corruption_score *more =
            vt_grow(scores, (size_t)count, (size_t)count + 1, sizeof *scores);
        if (more) {
            scores = more;
            strcpy(scores[count++].name, entry->d_name);
        } else {
            status = VT_ENOMEM;
        }
    }
    closedir(folder);
    if (status == VT_OK && count == 0)
        status = vt_error(VT_ENOTFOUND,
                          "%s: it holds no corrupted images, CORRUPTION/SEVERITY/CLASS/IMAGE with "
                          "severities 1 to %d ('ventral corrupt' makes them)",
                          tree, VT_SEVERITIES);
    if (status != VT_OK) {
        free(scores);
        return status;
    }
    qsort(scores, (size_t)count, sizeof *scores, by_name);
    *out = scores;
    *out_count = count;
    return VT_OK;
}

static vt_status evaluate_folder(vt_accuracy *out, vt_model *model, const char *path,
                                 const vt_evaluate_options *options)
{
    vt_dataset *dataset;
    VT_TRY(vt_dataset_open(&dataset, path, VT_PART_VALIDATION));
    vt_status status = vt_evaluate_classifier(out, model, dataset, options);
    vt_dataset_close(dataset);
    if (status == VT_OK || status == VT_EINTERRUPTED) return status;
    return vt_error_context(status, "%s", path);
}

/* Folders done, while the images of one go on: so that it can be stopped there. */
typedef struct folder_progress {
    const vt_progress *whole;
    int64_t done, total;
    const char *name;
} folder_progress;

static bool report_folder(void *context, int64_t done, int64_t total, const char *line)
{
    const folder_progress *p = context;
    (void)done, (void)total, (void)line;
    return vt_progress_report(p->whole, p->done, p->total, p->name) == VT_OK;
}

vt_status vt_evaluate_corruptions(vt_corruption_score **out, int *out_count, vt_model *model,
                                  const char *tree, const vt_evaluate_options *options)
{
    vt_corruption_score *scores = NULL;
    vt_evaluate_options each = *options;
    int count = 0;
    VT_TRY(list_corruptions(&scores, &count, tree));
    vt_status status = VT_OK;
    for (int i = 0; i < count * VT_SEVERITIES && status == VT_OK; i++) {
        vt_corruption_score *s = &scores[i / VT_SEVERITIES];
        int level = i % VT_SEVERITIES + 1;
        char path[2048];
        folder_progress state = {options->progress, i, count * VT_SEVERITIES, s->name};
        vt_progress progress = {report_folder, &state};
        each.progress = &progress;
        if (severity_folder(path, sizeof path, tree, s->name, level))
            status = evaluate_folder(&s->severity[level - 1], model, path, &each);
        if (status == VT_OK)
            status = vt_progress_report(options->progress, i + 1, count * VT_SEVERITIES, s->name);
    }
    if (status != VT_OK) {
        free(scores);
        return status;
    }
    *out = scores;
    *out_count = count;
    return VT_OK;
}
