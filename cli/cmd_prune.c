/* ventral prune: compact models without the filters that change little. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "distill_options.h"
#include "prune.h"
#include "streams.h"

/* Images by their places in the stream, and what the teachers answer to them. */
typedef struct image_choice {
    int64_t *order, used, held_out;
    float *target; /* (used + held_out, neurons); NULL: no teacher */
} image_choice;

typedef struct prune_run {
    const prune_request *request;
    const cli_models *models;
    vt_teacher *teacher;
    vt_image_stream *stream;
    image_choice images;
    float *column; /* of one neuron, (used + held_out) */
    const vt_progress *progress;
    prune_results results;
} prune_run;

/* ---- files ---- */

/* FOLDER/NAME with another ending than the input's. */
static void output_path(char *out, size_t size, const char *folder, const char *input,
                        const char *ending)
{
    const char *slash = strrchr(input, '/'), *name = slash ? slash + 1 : input;
    const char *dot = strrchr(name, '.');
    int length = (int)(dot && dot > name ? (size_t)(dot - name) : strlen(name));
    snprintf(out, size, "%s/%.*s%s", folder, length, name, ending);
}

/* No model is written over one that was given, nor over another's. */
static vt_status name_outputs(prune_run *p)
{
    struct stat in, out;
    for (int m = 0; m < p->results.count; m++) {
        prune_result *one = &p->results.models[m];
        one->input = p->models->paths[m];
        output_path(one->output, sizeof one->output, p->request->output, one->input,
                    ".safetensors");
        for (int k = 0; k < p->models->count; k++) {
            bool there = stat(one->output, &out) == 0 && stat(p->models->paths[k], &in) == 0;
            if (there && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
                return vt_error(VT_EINVAL, "%s: it would be overwritten; choose another --output",
                                p->models->paths[k]);
        }
        for (int k = 0; k < m; k++)
            if (strcmp(p->results.models[k].output, one->output) == 0)
                return vt_error(VT_EINVAL, "%s and %s would both become %s", one->input,
                                p->results.models[k].input, one->output);
        VT_TRY(cli_check_output(one->output));
    }
    return VT_OK;
}

static vt_status write_model(const prune_run *p, const prune_result *one, const vt_model *small)
{
    char path[4400];
    if (p->request->h5) {
        output_path(path, sizeof path, p->request->output, one->input, ".h5");
        VT_TRY(vt_model_write_keras(small, path));
    }
    return vt_model_write(small, one->output);
}

/* ---- images and targets ---- */

/* Images at random, and as many others that measure. */
static vt_status choose_images(prune_run *p)
{
    vt_rng rng;
    image_choice *c = &p->images;
    int64_t count = vt_image_stream_count(p->stream);
    c->order = malloc((size_t)count * sizeof *c->order);
    if (!c->order) return vt_error(VT_ENOMEM, "out of memory");
    for (int64_t i = 0; i < count; i++)
        c->order[i] = i;
    vt_rng_init(&rng, (uint64_t)cli_options.seed, VT_RNG_SPLIT, 0, 0);
    vt_rng_shuffle(&rng, c->order, count);
    c->used = count < p->request->images_used ? count : p->request->images_used;
    c->held_out = count - c->used < c->used ? count - c->used : c->used;
    if (c->held_out < 2) c->held_out = 0;
    p->results.used = c->used;
    p->results.held_out = c->held_out;
    return VT_OK;
}

static vt_status ask_teacher(prune_run *p)
{
    int64_t count = p->images.used + p->images.held_out, neurons = vt_teacher_count(p->teacher);
    p->images.target = malloc((size_t)(count * neurons) * sizeof(float));
    p->column = malloc((size_t)count * sizeof(float));
    if (!p->images.target || !p->column) return vt_error(VT_ENOMEM, "out of memory");
    return vt_teacher_responses(p->teacher, p->stream, p->images.order, count, p->images.target,
                                p->progress);
}

/* The teacher's neuron that a model is of; with one neuron there is no question. */
static vt_status find_neuron(int64_t *out, const prune_run *p, int m)
{
    const vt_model_session *s = vt_model_session_at(p->models->models[m], 0);
    int64_t found = s ? vt_teacher_find(p->teacher, s->id, s->first_neuron) : -1;
    if (found < 0 && vt_teacher_count(p->teacher) == 1 && !s) found = 0;
    if (found < 0 && !s)
        return vt_error(VT_ENOTFOUND,
                        "%s: whose neuron it is does not stand in it, so that no "
                        "teacher's can be found",
                        p->models->paths[m]);
    if (found < 0)
        return vt_error(VT_ENOTFOUND, "%s: no teacher predicts neuron %lld of session %s",
                        p->models->paths[m], (long long)s->first_neuron, s->id);
    *out = found;
    return VT_OK;
}

static vt_status set_target(prune_run *p, int m)
{
    int64_t neuron, neurons, count = p->images.used + p->images.held_out;
    if (!p->teacher) return VT_OK;
    neurons = vt_teacher_count(p->teacher);
    VT_TRY(find_neuron(&neuron, p, m));
    for (int64_t i = 0; i < count; i++)
        p->column[i] = p->images.target[i * neurons + neuron];
    return VT_OK;
}

/* ---- pruning ---- */

static vt_status prune_model(prune_run *p, int m)
{
    const image_choice *c = &p->images;
    const prune_request *r = p->request;
    prune_result *one = &p->results.models[m];
    int64_t first = c->held_out ? c->used : 0;
    vt_prune_statistics *s;
    vt_model *small = NULL;
    vt_prune_report made;
    VT_TRY(set_target(p, m));
    vt_prune_images measure = {p->stream, c->order + first, c->held_out ? c->held_out : c->used,
                               p->column ? p->column + first : NULL};
    vt_prune_options options = r->options;
    options.progress = p->progress;
    VT_TRY(vt_prune_measure(&s, p->models->models[m], p->stream, c->order, c->used, p->column,
                            p->progress));
    vt_status status =
        vt_prune_curve(one->reports, s, r->thresholds, r->steps + 1, &measure, &options);
    if (status == VT_OK) status = vt_prune_select(&small, &made, s, &options);
    if (status == VT_OK) status = write_model(p, one, small);
    vt_model_free(small);
    vt_prune_statistics_free(s);
    return status;
}

/* What would fail after the models before it were pruned. */
static vt_status check_models(const cli_models *models, int *height, int *width)
{
    vt_model_image_size(models->models[0], height, width);
    for (int m = 0; m < models->count; m++) {
        vt_compact_options o;
        VT_TRY(vt_model_compact_options(models->models[m], &o));
        if (o.shared || o.outputs != 1)
            return vt_error(VT_EUNSUPPORTED,
                            "%s: a compact model of one neuron can be pruned, this one has %d",
                            models->paths[m], o.outputs);
        if (o.height != *height || o.width != *width)
            return vt_error(VT_EINVAL,
                            "%s takes images of %d x %d, the first model %d x %d: prune them "
                            "separately",
                            models->paths[m], o.height, o.width, *height, *width);
    }
    return VT_OK;
}

static vt_status prepare(prune_run *p, const cli_models *teachers)
{
    int height, width, count = p->models->count;
    VT_TRY(check_models(p->models, &height, &width));
    p->results.models = calloc((size_t)count, sizeof *p->results.models);
    if (!p->results.models) return vt_error(VT_ENOMEM, "out of memory");
    p->results.count = count;
    for (int m = 0; m < count; m++) {
        prune_result *one = &p->results.models[m];
        one->reports = calloc((size_t)p->request->steps + 1, sizeof *one->reports);
        if (!one->reports) return vt_error(VT_ENOMEM, "out of memory");
    }
    VT_TRY(vt_folder_make(p->request->output));
    VT_TRY(name_outputs(p));
    VT_TRY(cli_stream_open(&p->stream, height, width));
    VT_TRY(choose_images(p));
    if (teachers->count == 0) return VT_OK;
    VT_TRY(vt_teacher_new(&p->teacher, teachers->models, teachers->count,
                          &(vt_teacher_options){.cache = NULL}));
    int64_t neuron;
    for (int m = 0; m < count; m++)
        VT_TRY(find_neuron(&neuron, p, m));
    return ask_teacher(p);
}

static void release(prune_run *p)
{
    for (int m = 0; m < p->results.count; m++)
        free(p->results.models[m].reports);
    free(p->results.models);
    free(p->images.order);
    free(p->images.target);
    free(p->column);
    vt_teacher_free(p->teacher);
    vt_image_stream_close(p->stream);
}

static int run(const prune_request *request, const cli_models *models, const cli_models *teachers)
{
    cli_progress progress;
    prune_run p = {.request = request, .models = models};
    p.progress = cli_progress_start(&progress, "prune");
    vt_status status = prepare(&p, teachers);
    for (int m = 0; m < models->count && status == VT_OK; m++)
        status = prune_model(&p, m);
    cli_progress_end(&progress);
    if (status == VT_OK && request->steps) status = prune_write_curve(request, &p.results);
    int code = status == VT_OK ? prune_print(request, &p.results) : cli_fail();
    release(&p);
    return code;
}

static int run_with_teachers(const prune_request *r, const char **operands, int count)
{
    cli_models models, teachers = {.count = 0};
    int teacher_count = 0, code;
    while (r->teachers && r->teachers[teacher_count])
        teacher_count++;
    if (cli_model_folders_open(&models, operands, count, r->epsilon) != CLI_DONE) return cli_fail();
    if (teacher_count > 0 &&
        cli_model_folders_open(&teachers, r->teachers, teacher_count, r->epsilon) != CLI_DONE) {
        code = cli_fail();
    } else {
        code = run(r, &models, &teachers);
        cli_models_close(&teachers);
    }
    cli_models_close(&models);
    return code;
}

/* ---- options ---- */

/* "A:B" or "A:B:N": N thresholds from A to B. */
static bool parse_curve(prune_request *r)
{
    double low, high;
    int steps = 11, end = 0;
    if (!r->curve) return true;
    if (sscanf(r->curve, "%lf:%lf%n:%d%n", &low, &high, &end, &steps, &end) < 2 || r->curve[end])
        return false;
    if (!(low > 0 && low < high && high <= 1) || steps < 2 || steps > PRUNE_MOST_STEPS)
        return false;
    r->steps = steps;
    for (int i = 0; i < steps; i++)
        r->thresholds[i + 1] = i + 1 < steps ? low + (high - low) * i / (steps - 1) : high;
    return true;
}

static int check(prune_request *r)
{
    if (!r->output) return cli_misuse("prune: --output is needed");
    int code = cli_stream_check("prune", false);
    if (code != CLI_DONE) return code;
    if (!(r->threshold > 0 && r->threshold <= 1))
        return cli_misuse("prune: --threshold %g: above 0, up to 1 is possible", r->threshold);
    if (r->minimum < 1) return cli_misuse("prune: --minimum %d: at least 1 is needed", r->minimum);
    if (r->images_used < 2)
        return cli_misuse("prune: --images-used %lld: at least 2 are needed", r->images_used);
    vt_prune_form form;
    if (cli_prune_form_parse(&form, r->form) != VT_OK)
        return cli_misuse("prune: %s", vt_error_message());
    if (!parse_curve(r))
        return cli_misuse("prune: --curve %s: A:B or A:B:N is needed, N thresholds from A to B, "
                          "above 0 and up to 1",
                          r->curve);
    r->options = (vt_prune_options){
        .form = form, .threshold = r->threshold, .minimum = r->minimum, .refit = r->refit};
    r->thresholds[0] = r->threshold;
    return CLI_DONE;
}

int cmd_prune(int argc, const char **argv)
{
    static prune_request r;
    r = (prune_request){.threshold = 0.9, .minimum = 3, .images_used = 5000};
    struct poptOption table[] = {
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "Folder for the pruned models", "DIR"},
        {"teacher", 't', POPT_ARG_ARGV, &r.teachers, 0,
         "Model or folder of models whose responses are the target; may be given several times "
         "(default: the model's own responses)",
         "MODEL"},
        {"images-used", 0, POPT_ARG_LONGLONG, &r.images_used, 0,
         "Images, at random, that decide (default: 5000)", "N"},
        {"threshold", 0, POPT_ARG_DOUBLE, &r.threshold, 0,
         "Share of each layer's variance that is kept (default: 0.9)", "X"},
        {"minimum", 0, POPT_ARG_INT, &r.minimum, 0,
         "Filters that a layer keeps at least (default: 3)", "N"},
        {"form", 0, POPT_ARG_STRING, &r.form, 0,
         "corrected (default), or released: one filter more, as the authors' code has it", "NAME"},
        {"refit", 0, POPT_ARG_NONE, &r.refit, 0,
         "Fit the weights that read what stays, instead of copying them", NULL},
        {"curve", 0, POPT_ARG_STRING, &r.curve, 0,
         "Also show what N (default: 11) thresholds from A to B would give", "A:B[:N]"},
        {"h5", 0, POPT_ARG_NONE, &r.h5, 0, "Write the models as Keras .h5, too", NULL},
        CLI_EPSILON(&r.epsilon),
        CLI_STREAM,
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL... --output DIR --images PATH");
    if (!context) return CLI_MISUSED;
    int count;
    const char **operands = cli_operands(context, &count);
    int code = count < 1 ? cli_misuse("prune: which model?") : check(&r);
    if (code == CLI_DONE) code = run_with_teachers(&r, operands, count);
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
