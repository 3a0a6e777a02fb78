/* Neural predictivity as Brain-Score measures it (Schrimpf et al. 2018): for each of some random
 * splits of the images, a regression from a layer's features to the neurons, r between
 * predictions and responses of each neuron on the images left out, the median over neurons; the
 * mean over splits; divided by what the neurons' own reliability allows. */
#include "ventral/predictivity.h"

#include "base/arena.h"
#include "neural/gram.h"
#include "neural/kernel_ridge.h"
#include "neural/pls.h"
#include "physiology/layer_gram.h"
#include "ventral/score.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- formulas ---- */

static const char *const formula_names[] = {"2026", "2023"};

double vt_predictivity_score(double r, double ceiling, vt_predictivity_formula formula)
{
    if (!(ceiling > 0)) return NAN;
    return formula == VT_PREDICTIVITY_2023 ? r / ceiling * (r / ceiling) : r * r / ceiling;
}

const char *vt_predictivity_formula_name(vt_predictivity_formula formula)
{
    return formula_names[formula];
}

vt_status vt_predictivity_formula_parse(vt_predictivity_formula *out, const char *name)
{
    for (int i = 0; i < 2; i++)
        if (strcmp(name, formula_names[i]) == 0) {
            *out = (vt_predictivity_formula)i;
            return VT_OK;
        }
    return vt_error(VT_EINVAL,
                    "formula '%s': there are 2026 (r^2 / ceiling) and 2023 "
                    "((r / ceiling)^2)",
                    name);
}

static const char *const regression_names[] = {"pls", "ridge"};

const char *vt_predictivity_regression_name(vt_predictivity_regression regression)
{
    return regression_names[regression];
}

vt_status vt_predictivity_regression_parse(vt_predictivity_regression *out, const char *name)
{
    for (int i = 0; i < 2; i++)
        if (strcmp(name, regression_names[i]) == 0) {
            *out = (vt_predictivity_regression)i;
            return VT_OK;
        }
    return vt_error(VT_EINVAL, "regression '%s': there are pls and ridge", name);
}

/* ---- neurons ---- */

vt_status vt_predictivity_neurons_of(vt_predictivity_neurons *out, vt_session *session,
                                     vt_stimulus_set *stimuli, const int64_t *labels)
{
    vt_session_info info;
    vt_session_get_info(session, &info);
    const vt_tensor *averaged = vt_session_averaged(session);
    if (!averaged) return VT_ENUMERIC;
    *out = (vt_predictivity_neurons){.stimuli = stimuli,
                                     .images = info.images,
                                     .neurons = info.neurons,
                                     .repeats = info.repeats,
                                     .averaged = averaged->data,
                                     .labels = labels};
    if (info.has_raw) out->raw = vt_session_raw(session)->data;
    return VT_OK;
}

static vt_status check_neurons(const vt_predictivity_neurons *n)
{
    int64_t there = vt_stimulus_set_count(n->stimuli);
    vt_matrix responses = {.f64 = n->averaged, .rows = n->neurons, .columns = n->images};
    VT_TRY(vt_matrix_check(&responses, "responses", "neuron", "image"));
    for (int64_t i = 0; i < n->images; i++) {
        int64_t stimulus = n->stimulus ? n->stimulus[i] : i;
        if (stimulus < 0 || stimulus >= there)
            return vt_error(VT_EINVAL, "image %lld is stimulus %lld, but there are %lld",
                            (long long)i, (long long)stimulus, (long long)there);
    }
    return VT_OK;
}

static vt_status measure_ceiling(vt_predictivity *out, const vt_predictivity_neurons *n,
                                 const vt_predictivity_options *o)
{
    int64_t size = n->images * n->repeats;
    for (int64_t i = 0; i < n->neurons; i++) {
        out->ceilings[i] = NAN;
        if (n->raw)
            VT_TRY(vt_split_half(&out->ceilings[i], n->raw + i * size, n->images, n->repeats,
                                 o->splits, o->seed));
    }
    out->ceiling = vt_median(out->ceilings, n->neurons);
    return VT_OK;
}

/* ---- a layer ---- */

typedef struct scorer {
    const vt_predictivity_neurons *neurons;
    vt_predictivity_options options;
    vt_predictivity *out;
    vt_split *splits;
    double *r; /* (splits, neurons) of the layer at hand */
} scorer;

/* What the prediction of one split needs. */
typedef struct room {
    double *kernel;             /* (training, training) */
    double *means;              /* (training) */
    double *y;                  /* (training, neurons) */
    double *mean_y;             /* (neurons) */
    double *dual;               /* (training, neurons) */
    double *beside;             /* (testing, training) */
    double *predicted, *actual; /* (testing, neurons); (testing) twice */
} room;

static vt_status room_new(room *r, const vt_split *split, int64_t neurons)
{
    size_t n = (size_t)split->train_count, t = (size_t)split->test_count, m = (size_t)neurons;
    r->kernel = vt_alloc(n, n * sizeof(double));
    r->means = vt_alloc(n, sizeof(double));
    r->y = vt_alloc(n, m * sizeof(double));
    r->mean_y = vt_alloc(m, sizeof(double));
    r->dual = vt_alloc(n, m * sizeof(double));
    r->beside = vt_alloc(t, n * sizeof(double));
    r->predicted = vt_alloc(t, m * sizeof(double));
    r->actual = vt_alloc(t, 2 * sizeof(double));
    return r->kernel && r->means && r->y && r->mean_y && r->dual && r->beside && r->predicted &&
                   r->actual
               ? VT_OK
               : VT_ENOMEM;
}

static void room_free(room *r)
{
    free(r->kernel);
    free(r->means);
    free(r->y);
    free(r->mean_y);
    free(r->dual);
    free(r->beside);
    free(r->predicted);
    free(r->actual);
}

/* Centered responses to the training images, and their means. */
static void gather_responses(room *r, const vt_predictivity_neurons *n, const vt_split *split)
{
    int64_t neurons = n->neurons, count = split->train_count;
    for (int64_t j = 0; j < neurons; j++) {
        const double *row = n->averaged + j * n->images;
        for (int64_t i = 0; i < count; i++)
            r->mean_y[j] += row[split->train[i]] / (double)count;
        bool varies = false;
        for (int64_t i = 0; i < count; i++) {
            varies = varies || row[split->train[i]] != row[split->train[0]];
            r->y[i * neurons + j] = row[split->train[i]] - r->mean_y[j];
        }
        /* Rounding of the mean is no variation. */
        for (int64_t i = 0; i < count && !varies; i++)
            r->y[i * neurons + j] = 0;
    }
}

static void correlate(double *out, room *r, const vt_predictivity_neurons *n, const vt_split *split)
{
    int64_t count = split->test_count;
    for (int64_t j = 0; j < n->neurons; j++) {
        double *actual = r->actual, *predicted = r->actual + count;
        for (int64_t i = 0; i < count; i++) {
            actual[i] = n->averaged[j * n->images + split->test[i]];
            predicted[i] = r->predicted[i * n->neurons + j];
        }
        out[j] = vt_pearson(actual, predicted, count);
    }
}

/* Dual weights from the centered kernel and responses, which are used up. */
static vt_status regress(room *r, const scorer *s, int64_t training, int components)
{
    int64_t neurons = s->neurons->neurons;
    vt_pls_options options = {.components = components};
    int found;
    if (s->options.regression == VT_PREDICTIVITY_RIDGE)
        return vt_kernel_ridge_dual(r->dual, NULL, r->kernel, r->y, training, neurons);
    VT_TRY(vt_pls_check_options(&options, &options));
    return vt_pls_dual(r->dual, &found, r->kernel, r->y, training, neurons, &options);
}

static vt_status score_split(double *out, const scorer *s, const vt_split *split,
                             const double *gram, int components)
{
    room r = {.kernel = NULL};
    int64_t images = s->neurons->images, n = split->train_count;
    int neurons = (int)s->neurons->neurons, tests = (int)split->test_count;
    vt_status status = room_new(&r, split, neurons);
    if (status == VT_OK) {
        vt_gram_part part = {
            .gram = gram, .total = images, .rows = split->train, .count = n, .mean = r.means};
        vt_gram_center(r.kernel, &part);
        gather_responses(&r, s->neurons, split);
        status = regress(&r, s, n, components);
        vt_gram_center_others(r.beside, &part, split->test, tests);
    }
    if (status == VT_OK) {
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tests, neurons, (int)n, 1, r.beside,
                    (int)n, r.dual, neurons, 0, r.predicted, neurons);
        correlate(out, &r, s->neurons, split);
    }
    room_free(&r);
    return status;
}

static void summarise(const scorer *s, vt_predictivity_layer *layer)
{
    int splits = s->options.splits, defined = 0;
    int64_t neurons = s->neurons->neurons;
    double sum = 0, squares = 0;
    for (int k = 0; k < splits; k++) {
        double r = vt_median(s->r + k * neurons, neurons);
        if (isnan(r)) continue;
        sum += r;
        squares += r * r;
        defined++;
    }
    layer->r = defined ? sum / defined : NAN;
    layer->r_sd = defined ? sqrt(fmax(squares / defined - layer->r * layer->r, 0)) : NAN;
    layer->score = vt_predictivity_score(layer->r, s->out->ceiling, s->options.formula);
    for (int64_t j = 0; j < neurons; j++) {
        double total = 0;
        int count = 0;
        for (int k = 0; k < splits; k++) {
            double r = s->r[k * neurons + j];
            if (isnan(r)) continue;
            total += r;
            count++;
        }
        layer->neurons[j] = count ? total / count : NAN;
    }
}

static vt_status score_layer(void *context, int index, int64_t features, double *gram)
{
    scorer *s = context;
    vt_predictivity_layer *layer = &s->out->layers[index];
    vt_error_state failure = {.code = VT_OK};
    layer->features = features;
    if (s->options.regression == VT_PREDICTIVITY_PLS)
        layer->components =
            features < s->options.components ? (int)features : s->options.components;
    vt_blas_threads(0);
#pragma omp parallel for schedule(dynamic) num_threads(vt_threads())
    for (int k = 0; k < s->options.splits; k++) {
        vt_status status =
            score_split(s->r + k * s->neurons->neurons, s, &s->splits[k], gram, layer->components);
        if (status == VT_OK) continue;
#pragma omp critical(predictivity_failure)
        vt_error_save(&failure, status);
    }
    VT_TRY(vt_error_restore(&failure));
    summarise(s, layer);
    return VT_OK;
}

/* ---- layers ---- */

/* Whether a node's values are its input's, in another shape or in inference. */
static bool passes_values_on(const char *kind)
{
    return strcmp(kind, "flatten") == 0 || strcmp(kind, "dropout") == 0;
}

static vt_status choose_layers(vt_node **out, vt_predictivity *result, vt_model *model,
                               const vt_predictivity_options *o)
{
    vt_graph *graph = vt_model_graph(model);
    vt_node output = vt_model_output(model);
    size_t most = o->layers ? (size_t)o->layer_count : (size_t)output + 1;
    vt_node *nodes = vt_alloc(most, sizeof *nodes);
    result->layers = vt_alloc(most, sizeof *result->layers);
    vt_status status = nodes && result->layers ? VT_OK : VT_ENOMEM;
    for (int i = 0; status == VT_OK && o->layers && i < o->layer_count; i++) {
        status = vt_model_find(&nodes[i], model, o->layers[i]);
        if (status == VT_OK) result->count++;
    }
    for (vt_node node = 0; status == VT_OK && !o->layers && node <= output; node++)
        if (!passes_values_on(vt_graph_node_kind(graph, node))) nodes[result->count++] = node;
    for (int i = 0; status == VT_OK && i < result->count; i++) {
        const char *name = o->layers ? o->layers[i] : vt_graph_node_name(graph, nodes[i]);
        if (strlen(name) >= sizeof result->layers[i].name)
            status = vt_error(VT_EINVAL, "layer '%.80s...': the name is too long", name);
        else
            strcpy(result->layers[i].name, name);
    }
    if (status == VT_OK)
        *out = nodes;
    else
        free(nodes);
    return status;
}

/* ---- all of it ---- */

static vt_status check_options(vt_predictivity_options *out, const vt_predictivity_options *options)
{
    vt_predictivity_options o = options ? *options : (vt_predictivity_options){.splits = 0};
    if (o.splits < 0 || o.components < 0 || o.batch < 0 || (o.layers && o.layer_count < 1) ||
        !(o.test >= 0 && o.test < 1))
        return vt_error(VT_EINVAL, "predictivity: splits, components and batch must be positive, "
                                   "the fraction of test images below 1, layers at least one");
    if (o.splits == 0) o.splits = 10;
    if (o.test == 0) o.test = 0.1;
    if (o.components == 0) o.components = 25;
    if (o.batch == 0) o.batch = 50;
    if (o.memory == 0) o.memory = (size_t)1 << 30;
    *out = o;
    return VT_OK;
}

static vt_status make_splits(scorer *s)
{
    const vt_predictivity_options *o = &s->options;
    const vt_predictivity_neurons *n = s->neurons;
    s->splits = vt_alloc((size_t)o->splits, sizeof *s->splits);
    s->r = vt_alloc((size_t)o->splits, (size_t)n->neurons * sizeof *s->r);
    if (!s->splits || !s->r) return VT_ENOMEM;
    for (int k = 0; k < o->splits; k++)
        VT_TRY(vt_split_stratified(&s->splits[k], n->labels, n->images, o->test, k, o->seed));
    s->out->training = s->splits[0].train_count;
    s->out->testing = s->splits[0].test_count;
    int components = o->regression == VT_PREDICTIVITY_PLS ? o->components : 1;
    if (s->out->training <= components || s->out->testing < 2)
        return vt_error(VT_EINVAL,
                        "%lld images, %lld for training and %lld for testing, are too few for %d "
                        "components: more images than components to train on, and two to test",
                        (long long)n->images, (long long)s->out->training,
                        (long long)s->out->testing, components);
    return VT_OK;
}

static vt_status run(scorer *s, vt_model *model)
{
    vt_predictivity *out = s->out;
    const vt_predictivity_neurons *n = s->neurons;
    vt_node *nodes = NULL;
    VT_TRY(check_neurons(n));
    out->ceilings = vt_alloc((size_t)n->neurons, sizeof *out->ceilings);
    if (!out->ceilings) return VT_ENOMEM;
    VT_TRY(make_splits(s));
    VT_TRY(choose_layers(&nodes, out, model, &s->options));
    vt_status status = VT_OK;
    for (int i = 0; status == VT_OK && i < out->count; i++) {
        out->layers[i].neurons = vt_alloc((size_t)n->neurons, sizeof(double));
        if (!out->layers[i].neurons) status = VT_ENOMEM;
    }
    if (status == VT_OK) status = measure_ceiling(out, n, &s->options);
    if (status == VT_OK) {
        int64_t batch = s->options.batch < n->images ? s->options.batch : n->images;
        vt_layer_gram_options options = {.stimuli = n->stimuli,
                                         .stimulus = n->stimulus,
                                         .images = n->images,
                                         .nodes = nodes,
                                         .count = out->count,
                                         .batch = batch,
                                         .memory = s->options.memory,
                                         .backend = s->options.backend,
                                         .bf16 = s->options.bf16,
                                         .progress = s->options.progress,
                                         .receive = score_layer,
                                         .context = s};
        status = vt_layer_grams(model, &options);
    }
    free(nodes);
    return status;
}

vt_status vt_predictivity_run(vt_predictivity *out, vt_model *model,
                              const vt_predictivity_neurons *neurons,
                              const vt_predictivity_options *options)
{
    vt_predictivity result = {.images = neurons->images, .neurons = neurons->neurons, .best = -1};
    scorer s = {.neurons = neurons, .out = &result};
    VT_TRY(check_options(&s.options, options));
    vt_status status = run(&s, model);
    for (int k = 0; s.splits && k < s.options.splits; k++)
        vt_split_free(&s.splits[k]);
    free(s.splits);
    free(s.r);
    if (status != VT_OK) {
        vt_predictivity_free(&result);
        return status;
    }
    for (int i = 0; i < result.count; i++)
        if (result.layers[i].r > (result.best < 0 ? -INFINITY : result.layers[result.best].r))
            result.best = i;
    *out = result;
    return VT_OK;
}

void vt_predictivity_free(vt_predictivity *result)
{
    for (int i = 0; i < result->count; i++)
        free(result->layers[i].neurons);
    free(result->layers);
    free(result->ceilings);
    *result = (vt_predictivity){.best = -1};
}
