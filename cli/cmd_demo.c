/* ventral demo: recordings are simulated, a model fitted, scored and shown on a page. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"

#define MARK ".ventral-demo" /* says that the folder is the demonstration's to rewrite */

vt_status demo_path_of(demo_path out, const demo *d, const char *folder, const char *name)
{
    int size = folder ? snprintf(out, sizeof(demo_path), "%s/%s/%s", d->folder, folder, name)
                      : snprintf(out, sizeof(demo_path), "%s/%s", d->folder, name);
    if (size >= 0 && (size_t)size < sizeof(demo_path)) return VT_OK;
    return vt_error(VT_EINVAL, "the folder's name is too long: %.60s...", d->folder);
}

/* ---- the folder ---- */

static vt_status check_empty(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) return vt_error(VT_EIO, "%s: cannot open the folder: %s", path, strerror(errno));
    bool empty = true;
    for (struct dirent *e = readdir(folder); e && empty; e = readdir(folder))
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(folder);
    if (empty) return VT_OK;
    return vt_error(VT_EINVAL,
                    "%s holds files that are not of a demo: give --output a new or empty folder",
                    path);
}

/* Removes what an earlier demo left, by name: the page first, so that none shows another's data. */
static vt_status clear(const demo *d)
{
    static const char *const files[] = {DEMO_INDEX, DEMO_MODEL};
    static const char *const parts[] = {"truth/truth_%s.npz", "images/images_%s.zip",
                                        "responses_raw/responses_%s.npy",
                                        "responses_repeat_averaged/responses_%s.npy"};
    demo_path path;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        VT_TRY(demo_path_of(path, d, NULL, files[i]));
        if (unlink(path) != 0 && errno != ENOENT)
            return vt_error(VT_EIO, "%s: cannot remove: %s", path, strerror(errno));
    }
    for (int s = 1; s <= d->simulation.sessions; s++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char id[32], name[128];
            snprintf(id, sizeof id, "sim%03d", s);
            snprintf(name, sizeof name, parts[i], id);
            VT_TRY(demo_path_of(path, d, DEMO_RECORDINGS, name));
            if (unlink(path) != 0 && errno != ENOENT)
                return vt_error(VT_EIO, "%s: cannot remove: %s", path, strerror(errno));
        }
    return VT_OK;
}

static vt_status prepare_folder(const demo *d)
{
    static const char text[] = "ventral demo wrote this folder and may write it again.\n";
    demo_path mark, path;
    VT_TRY(demo_path_of(mark, d, NULL, MARK));
    VT_TRY(vt_folder_make(d->folder));
    if (access(mark, F_OK) == 0)
        VT_TRY(clear(d));
    else
        VT_TRY(check_empty(d->folder));
    VT_TRY(vt_file_write(mark, text, sizeof text - 1));
    VT_TRY(demo_path_of(path, d, NULL, DEMO_FIGURES));
    return vt_folder_make(path);
}

/* ---- the steps ---- */

static vt_status simulate(const demo *d)
{
    demo_path recordings;
    cli_progress progress;
    VT_TRY(demo_path_of(recordings, d, NULL, DEMO_RECORDINGS));
    vt_status status =
        vt_simulate(recordings, &d->simulation, cli_progress_start(&progress, "simulate"));
    cli_progress_end(&progress);
    return status;
}

static vt_status fit(demo *d)
{
    demo_path recordings, output;
    vt_fit_session sessions[VT_FIT_SESSIONS] = {{.begin = 0}};
    cli_progress progress;
    VT_TRY(demo_path_of(recordings, d, NULL, DEMO_RECORDINGS));
    VT_TRY(demo_path_of(output, d, NULL, DEMO_MODEL));
    for (int s = 0; s < d->simulation.sessions; s++)
        snprintf(sessions[s].id, sizeof sessions[s].id, "sim%03d", s + 1);
    VT_TRY(vt_range_parse(&sessions[0].begin, &sessions[0].end, "first", d->simulation.images));
    vt_fit_options options = {.recordings = recordings,
                              .sessions = sessions,
                              .session_count = d->simulation.sessions,
                              .epochs = d->epochs,
                              .seed = d->simulation.seed,
                              .progress = cli_progress_start(&progress, "fit")};
    vt_status status = vt_fit(&d->model, &d->fit, &options);
    cli_progress_end(&progress);
    return status == VT_OK ? vt_model_write(d->model, output) : status;
}

const double *demo_truth(const demo *d, const char *name)
{
    const vt_tensor *t = vt_tensor_map_find(d->truth, name);
    return t && t->dtype == VT_F64 ? t->data : NULL;
}

vt_simulate_kind demo_kind(const demo *d, int64_t neuron)
{
    return (vt_simulate_kind)vt_tensor_get(vt_tensor_map_find(d->truth, "kind"), neuron);
}

const double *demo_expected(const demo *d, int64_t neuron)
{
    return demo_truth(d, "rates") + neuron * d->simulation.images + d->score.begin;
}

static vt_status correlate_with_truth(demo *d)
{
    int64_t images = d->score.end - d->score.begin;
    double *prediction = malloc((size_t)images * sizeof *prediction);
    d->r_truth = malloc((size_t)d->score.count * sizeof *d->r_truth);
    if (!prediction || !d->r_truth) {
        free(prediction);
        return vt_error(VT_ENOMEM, "out of memory");
    }
    for (int64_t i = 0; i < d->score.count; i++) {
        for (int64_t k = 0; k < images; k++)
            prediction[k] = vt_tensor_get(&d->score.predictions, i * images + k);
        d->r_truth[i] =
            vt_pearson(prediction, demo_expected(d, d->score.neurons[i].neuron), images);
    }
    free(prediction);
    return vt_median_interval(&d->r_truth_median, d->r_truth, d->score.count, 0.9, 2000,
                              d->simulation.seed);
}

static vt_status score(demo *d)
{
    demo_path recordings, truth;
    cli_progress progress;
    vt_score_options options = {.seed = d->simulation.seed};
    VT_TRY(demo_path_of(recordings, d, NULL, DEMO_RECORDINGS));
    VT_TRY(demo_path_of(truth, d, DEMO_RECORDINGS, "truth/truth_" DEMO_SESSION ".npz"));
    VT_TRY(vt_session_open(&d->session, recordings, DEMO_SESSION));
    VT_TRY(vt_npz_read(&d->truth, truth));
    VT_TRY(vt_range_parse(&options.begin, &options.end, "second", d->simulation.images));
    options.progress = cli_progress_start(&progress, "score");
    vt_status status = vt_score_session(&d->score, &d->model, 1, d->session, &options);
    cli_progress_end(&progress);
    return status == VT_OK ? correlate_with_truth(d) : status;
}

static vt_status draw(const demo *d)
{
    cli_progress progress;
    vt_status status = demo_write_page(d, cli_progress_start(&progress, "draw"));
    cli_progress_end(&progress);
    return status;
}

static vt_status run_steps(demo *d)
{
    VT_TRY(vt_plot_check());
    VT_TRY(prepare_folder(d));
    VT_TRY(simulate(d));
    VT_TRY(fit(d));
    VT_TRY(score(d));
    return draw(d);
}

/* ---- results ---- */

static void print_median(const char *name, const vt_interval *v, const char *with)
{
    if (isfinite(v->median))
        printf("median %-6s %.3f   90 %% interval %.3f to %.3f   %s\n", name, v->median, v->low,
               v->high, with);
}

static int print_report(const demo *d)
{
    const vt_session_score *s = &d->score;
    demo_path page;
    demo_path_of(page, d, NULL, DEMO_INDEX);
    if (cli_options.json)
        return cli_print_json(
            json_pack("{s:s, s:s, s:I, s:I, s:o, s:[o,o], s:o, s:[o,o], s:o, s:[o,o]}", "page",
                      page, "folder", d->folder, "neurons", (json_int_t)s->count, "images",
                      (json_int_t)(s->end - s->begin), "median_r", cli_number(s->r.median),
                      "median_r_interval", cli_number(s->r.low), cli_number(s->r.high),
                      "median_r2_er", cli_number(s->r2_er.median), "median_r2_er_interval",
                      cli_number(s->r2_er.low), cli_number(s->r2_er.high), "median_r_truth",
                      cli_number(d->r_truth_median.median), "median_r_truth_interval",
                      cli_number(d->r_truth_median.low), cli_number(d->r_truth_median.high)));
    printf("%lld neurons, %lld images that the model was not fitted to\n", (long long)s->count,
           (long long)(s->end - s->begin));
    print_median("r", &s->r, "predicted and recorded responses");
    print_median("r2_er", &s->r2_er, "the same, corrected for noise");
    print_median("r", &d->r_truth_median, "predicted and true expected responses");
    printf("the page is %s\n", page);
    return cli_finish();
}

static int run(demo *d)
{
    vt_status status = run_steps(d);
    int code = CLI_FAILED;
    if (status == VT_OK)
        code = print_report(d);
    else if (status == VT_EINTERRUPTED)
        cli_note("ventral: stopped; %s has no page; the same command begins again", d->folder);
    else
        cli_fail();
    vt_model_free(d->model);
    vt_fit_report_free(&d->fit);
    vt_session_close(d->session);
    vt_session_score_free(&d->score);
    vt_tensor_map_free(d->truth);
    free(d->r_truth);
    return code;
}

int cmd_demo(int argc, const char **argv)
{
    demo d = {.folder = "ventral-demo", .epochs = 12, .simulation = VT_SIMULATE_DEFAULTS};
    char *output = NULL;
    d.simulation.sessions = 2;
    d.simulation.images = 1000;
    d.simulation.neurons = 24;
    struct poptOption table[] = {
        {"output", 'o', POPT_ARG_STRING, &output, 0, "Folder to write (default: ventral-demo)",
         "DIR"},
        {"images", 'i', POPT_ARG_INT, &d.simulation.images, 0, "Images a session (default: 1000)",
         "N"},
        {"epochs", 'e', POPT_ARG_INT, &d.epochs, 0, "Passes over the images (default: 12)", "N"},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "");
    if (!context) return CLI_MISUSED;
    d.simulation.seed = (uint64_t)cli_options.seed;
    if (output) d.folder = output;
    int operand_count, code;
    cli_operands(context, &operand_count);
    if (operand_count > 0)
        code = cli_misuse("demo: takes no operands");
    else if (d.simulation.images < 40 || d.epochs < 1)
        code = cli_misuse("demo: at least 40 images and 1 epoch are needed");
    else if (!*d.folder)
        code = cli_misuse("demo: --output needs a folder");
    else
        code = run(&d);
    free(output);
    poptFreeContext(context);
    return code;
}
