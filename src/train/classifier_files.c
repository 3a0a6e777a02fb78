/* Files of a run of training: its folder, and what each epoch measured as CSV and JSON lines. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/classifier_run.h"
#include "ventral/io.h"

static const struct {
    const char *name;
    size_t offset;
} columns[] = {
    {"epoch", offsetof(vt_train_epoch, epoch)},
    {"learning_rate", offsetof(vt_train_epoch, rate)},
    {"train_loss", offsetof(vt_train_epoch, loss)},
    {"train_top1", offsetof(vt_train_epoch, top1)},
    {"train_top5", offsetof(vt_train_epoch, top5)},
    {"validation_loss", offsetof(vt_train_epoch, validation_loss)},
    {"validation_top1", offsetof(vt_train_epoch, validation_top1)},
    {"validation_top5", offsetof(vt_train_epoch, validation_top5)},
    {"skipped", offsetof(vt_train_epoch, skipped)},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

const char *vt_train_path(const vt_train_run *run, const char *name, char *text, size_t size)
{
    snprintf(text, size, "%s/%s", run->options.folder, name);
    return text;
}

vt_status vt_train_make_folder(const vt_train_run *run)
{
    const char *folder = run->options.folder;
    if (!folder || !*folder || strlen(folder) > 900)
        return vt_error(VT_EINVAL,
                        "training: a folder for the run's files is needed, of at most 900 bytes");
    return vt_folder_make(folder);
}

static double value_of(const vt_train_epoch *epoch, int column)
{
    return *(const double *)((const char *)epoch + columns[column].offset);
}

static void print_csv(FILE *to, const vt_train_epoch *epoch)
{
    for (int c = 0; c < COLUMNS; c++)
        fprintf(to, "%s%.6g", c ? "," : "", value_of(epoch, c));
    fputc('\n', to);
}

static void print_json(FILE *to, const vt_train_epoch *epoch)
{
    for (int c = 0; c < COLUMNS; c++) {
        double value = value_of(epoch, c);
        fprintf(to, "%s\"%s\": ", c ? ", " : "{", columns[c].name);
        if (isfinite(value))
            fprintf(to, "%.6g", value);
        else
            fputs("null", to); /* JSON has no NaN */
    }
    fputs("}\n", to);
}

static vt_status write_lines(const vt_train_run *run, const char *name, bool json)
{
    char path[1024];
    vt_text_file file;
    VT_TRY(vt_text_file_begin(&file));
    for (int c = 0; c < COLUMNS && !json; c++)
        fprintf(file.stream, "%s%s%s", c ? "," : "", columns[c].name, c == COLUMNS - 1 ? "\n" : "");
    for (int64_t e = 0; e < run->epoch; e++)
        (json ? print_json : print_csv)(file.stream, &run->history[e]);
    return vt_text_file_end(&file, vt_train_path(run, name, path, sizeof path));
}

vt_status vt_train_write_metrics(const vt_train_run *run)
{
    VT_TRY(write_lines(run, "metrics.csv", false));
    return write_lines(run, "metrics.jsonl", true);
}
