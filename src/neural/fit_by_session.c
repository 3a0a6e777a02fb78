/* Training of a core session by session (Cowley, Stan, Pillow & Smith 2026, published code): one
 * readout serves all sessions in turn and starts anew at each visit, so that what stays is the
 * core.
 *
 * In epoch e = 1, 2, ... the sessions are visited in random order, each for e passes over its
 * images, by stochastic gradient descent with momentum 0.75 on batches of 64, gradients clipped to
 * 0.5 element by element. The rate is 2.0 in the first epoch and 0.85 of the last in each later
 * one, with momentum cleared. A visit begins with kernels of mixing and pooling stage that are
 * 0.001 times the network's first ones in a new order, and biases of 0; the momentum of the readout
 * before stays.
 *
 * Why a rate of 2 is none too much. The network has 200 outputs, and the loss is the mean over all
 * of them and the batch, as Keras's is; a session's n < 200 neurons come first, and the target of
 * the others is 0, which they answer (their weights are and stay below 0.001). So with z the
 * responses in units of their s.d. L = 1 / (200 B) sum_b sum_i (y_bi - z_bi)^2 = 1 / 200 sum_i E_i,
 * E_i neuron i's own error: the readout of a neuron goes down its own E_i at the rate 2 / 200 =
 * 0.01, or 0.04 with what momentum adds up to, 1 / (1 - 0.75), however many neurons there are; the
 * core's gradient is n / 200 of that of a mean over neurons. A loss that is the mean over the n
 * neurons alone would take steps 200 / n times as large: for 20 neurons as a rate of 20 here, and a
 * rate of 10 loses all within two visits.
 *
 * It is not too little either, if the map is large. With y = sum_sc p_s m_c f_sc the start, p and m
 * near 0, is a saddle: there the gradients of E are -2 C' p and -2 C m, C_sc = E[z f_sc], so m and
 * p grow by 1 + 0.04 * 2 |C| a step at most, |C| being the largest singular value. From some 3e-5
 * to some 0.3 they need nine times e. A map of 7 x 7 x 512 whose features have s.d. 0.5 and
 * correlate with a neuron by 0.05 has |C| ~ 4: 1.3 a step, some thirty steps, which a visit has.
 * One of 5 x 5 x 8 has 0.35, and three hundred would be needed: with small maps and few steps a
 * visit the readout stays where it was reset to, and the core gets no gradient.
 *
 * Batch normalization makes the size of the kernel before it of no account for what it computes, so
 * large steps there only make later ones relatively smaller. Clipping bounds one step of any weight
 * to 2 * 0.5, or 4 with momentum; it acts where a batch is far off, not in the usual course. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"
#include "neural/fit_run.h"
#include "train/weights.h"
#include "ventral/rng.h"

#define MOMENTUM 0.75
#define CLIP 0.5
#define DECAY 0.85
#define RESET_SCALE 0.001
enum { OUTPUTS = 200, READOUT = 2 };

/* What random numbers are for: the last word of their counter. */
enum { SESSION_ORDER = 1, KERNEL_ORDER, IMAGE_ORDER = KERNEL_ORDER + READOUT };

typedef struct visit {
    int epoch, session, passes;
    int64_t first, last, images; /* first step, the one after the last; images a pass */
} visit;

typedef struct trainer {
    vt_fit_run *run;
    visit *visits;
    struct {
        vt_param *kernel, *bias;
        float *initial;
    } readout[READOUT]; /* mixing and pooling stage */
    int64_t *order;     /* as long as the larger kernel */
} trainer;

static vt_status resolve(vt_fit_options *out, const vt_fit_options *given)
{
    vt_fit_options o = *given;
    if (o.session_count < 1 || o.session_count > VT_FIT_SESSIONS)
        return vt_error(VT_EINVAL, "fit: %d sessions; 1 to %d are possible", o.session_count,
                        VT_FIT_SESSIONS);
    if (o.blur != 0 || o.weight_decay != 0)
        return vt_error(VT_EINVAL,
                        "fit: training session by session has neither blur nor weight decay");
    if (o.epochs == 0) o.epochs = 5;
    if (o.batch == 0) o.batch = 64;
    if (o.rate == 0) o.rate = 2;
    if (o.epochs < 1 || o.epochs > 1000 || o.batch < 2 || o.batch > 4096)
        return vt_error(VT_EINVAL,
                        "fit: %d epochs of batches of %d are not possible session by session",
                        o.epochs, o.batch);
    if (!(o.rate > 0 && o.rate < INFINITY) || o.patience < 0)
        return vt_error(VT_EINVAL, "fit: rate %g and patience %d are not possible", o.rate,
                        o.patience);
    *out = o;
    return VT_OK;
}

/* ---- what is visited, and when ---- */

static vt_status check_sessions(vt_fit_run *run)
{
    for (int i = 0; i < run->options.session_count; i++) {
        vt_fit_group *g = &run->groups[i];
        if (g->neurons > OUTPUTS)
            return vt_error(VT_EINVAL,
                            "session %s has %lld neurons; training session by session is defined "
                            "for at most %d",
                            run->options.sessions[i].id, (long long)g->neurons, OUTPUTS);
        if (g->end - g->begin < run->options.batch) run->options.batch = (int)(g->end - g->begin);
        g->first = 0; /* all take the same outputs */
    }
    run->outputs = OUTPUTS;
    run->absent = 0;
    return VT_OK;
}

static vt_status plan_visits(trainer *t)
{
    vt_fit_run *run = t->run;
    int sessions = run->options.session_count;
    int64_t order[VT_FIT_SESSIONS];
    run->rounds = run->options.epochs * sessions;
    size_t count = (size_t)run->rounds;
    VT_TRY(vt_arena_alloc(run->arena, &t->visits, count * sizeof *t->visits, "visits"));
    VT_TRY(vt_arena_alloc(run->arena, &run->history, count * sizeof *run->history, "history"));
    for (int i = 0; i < run->rounds; i++) {
        visit *v = &t->visits[i];
        v->epoch = i / sessions;
        v->passes = v->epoch + 1;
        if (i % sessions == 0) {
            vt_rng rng;
            for (int s = 0; s < sessions; s++)
                order[s] = s;
            vt_rng_init(&rng, run->options.seed, VT_RNG_SHUFFLE, (uint32_t)v->epoch, SESSION_ORDER);
            vt_rng_shuffle(&rng, order, sessions);
        }
        v->session = (int)order[i % sessions];
        const vt_fit_group *g = &run->groups[v->session];
        v->images = g->end - g->begin;
        v->first = run->steps;
        v->last = run->steps += v->passes * (v->images / run->options.batch);
        run->history[i] = (vt_fit_epoch){.session = v->session, .passes = v->passes};
    }
    return VT_OK;
}

/* The images of the visited session, whose samples are together, in the order of a pass. */
static void shuffle(trainer *t, const visit *v, int64_t pass)
{
    vt_fit_run *run = t->run;
    vt_rng rng;
    int64_t before = 0;
    for (int s = 0; s < v->session; s++)
        before += run->groups[s].end - run->groups[s].begin;
    for (int64_t k = 0; k < v->images; k++)
        run->order[k] = before + k;
    vt_rng_init(&rng, run->options.seed, VT_RNG_SHUFFLE, (uint32_t)(v - t->visits),
                (uint32_t)(IMAGE_ORDER + pass));
    vt_rng_shuffle(&rng, run->order, v->images);
}

/* ---- the network ---- */

static vt_status build(vt_fit_run *run)
{
    const vt_model *core = run->subject.core;
    vt_model *whole;
    int64_t size[VT_MAX_DIMS];
    vt_graph_node_size(core->graph, core->core_input, size);
    VT_TRY(vt_model_with_outputs(&whole, core, OUTPUTS));
    vt_status status = vt_graph_new(&run->graph, VT_F32, VT_NAMES_KERAS);
    if (status == VT_OK) {
        vt_graph *g = run->graph;
        run->image = vt_input(g, "image", 3, size);
        run->target = vt_input(g, "responses", 1, (int64_t[]){OUTPUTS});
        run->group = VT_NO_NODE;
        vt_node x =
            vt_graph_copy(g, run->image, whole->graph, whole->core_input, whole->output, "");
        run->loss = vt_mean_squared_error(g, x, run->target, "loss");
        run->map = vt_graph_find(g, vt_graph_node_name(core->graph, core->output));
        status = vt_graph_finish(g, run->options.seed); /* Glorot's, as Keras's layers have them */
    }
    vt_model_free(whole);
    return status;
}

static vt_status keep_initial_readout(trainer *t)
{
    static const char *const names[READOUT][2] = {
        {"mixing_stage.kernel", "mixing_stage.bias"},
        {"spatial_pool_stage.depthwise_kernel", "spatial_pool_stage.bias"}};
    vt_fit_run *run = t->run;
    vt_model_map maps[VT_ENSEMBLE_MEMBERS];
    char name[VT_NAME_SIZE];
    int64_t largest = 0;
    vt_model_maps(run->subject.core, maps);
    for (int i = 0; i < READOUT; i++) {
        snprintf(name, sizeof name, "%s%s", maps[0].prefix, names[i][0]);
        t->readout[i].kernel = vt_graph_find_param(run->graph, name);
        snprintf(name, sizeof name, "%s%s", maps[0].prefix, names[i][1]);
        t->readout[i].bias = vt_graph_find_param(run->graph, name);
        const vt_tensor *value = &t->readout[i].kernel->value;
        VT_TRY(
            vt_arena_alloc(run->arena, &t->readout[i].initial, vt_tensor_bytes(value), "weights"));
        memcpy(t->readout[i].initial, value->data, vt_tensor_bytes(value));
        if (vt_tensor_count(value) > largest) largest = vt_tensor_count(value);
    }
    return vt_arena_alloc(run->arena, &t->order, (size_t)largest * sizeof *t->order, "weights");
}

/* Also forgets the momentum. */
static vt_status new_optimizer(vt_fit_run *run)
{
    vt_optimizer_free(run->optimizer);
    run->optimizer = NULL;
    return vt_optimizer_new(
        &run->optimizer, run->graph,
        &(vt_optimizer_options){.kind = VT_SGD, .momentum = MOMENTUM, .clip_value = CLIP});
}

static void reset_readout(trainer *t, int number)
{
    for (int i = 0; i < READOUT; i++) {
        vt_rng rng;
        vt_tensor *value = &t->readout[i].kernel->value, *bias = &t->readout[i].bias->value;
        int64_t count = vt_tensor_count(value);
        for (int64_t k = 0; k < count; k++)
            t->order[k] = k;
        vt_rng_init(&rng, t->run->options.seed, VT_RNG_SHUFFLE, (uint32_t)number,
                    (uint32_t)(KERNEL_ORDER + i));
        vt_rng_shuffle(&rng, t->order, count);
        for (int64_t k = 0; k < count; k++)
            ((float *)value->data)[k] = (float)(RESET_SCALE * t->readout[i].initial[t->order[k]]);
        memset(bias->data, 0, vt_tensor_bytes(bias));
    }
    vt_graph_touch(t->run->graph);
}

/* ---- the loop ---- */

/* The mean squared error of the session's neurons, of a sum over `steps` of means over all outputs.
 */
static double session_loss(const vt_fit_run *run, const visit *v, int64_t steps)
{
    return run->loss_sum / (double)steps * OUTPUTS / (double)run->groups[v->session].neurons;
}

static vt_status report_progress(const vt_fit_run *run, const visit *v)
{
    char line[160];
    bool ended = run->step == v->last;
    int used = snprintf(line, sizeof line, "visit %d of %d, session %s, loss %.4f",
                        run->done + !ended, run->rounds, run->options.sessions[v->session].id,
                        ended ? run->history[run->done - 1].loss
                              : session_loss(run, v, run->step - v->first));
    if (run->done > 0 && isfinite(run->history[run->done - 1].validation))
        snprintf(line + used, sizeof line - (size_t)used, ", validation r %.4f",
                 run->history[run->done - 1].validation);
    return vt_progress_report(run->options.progress, run->step * run->options.batch,
                              run->steps * run->options.batch, line);
}

static vt_status begin_visit(trainer *t, const visit *v)
{
    int number = (int)(v - t->visits);
    if (number % t->run->options.session_count == 0) VT_TRY(new_optimizer(t->run));
    reset_readout(t, number);
    return VT_OK;
}

/* The weights as they are now are those that are validated and may be kept. */
static vt_status end_visit(vt_fit_run *run, const visit *v)
{
    vt_weights_gather(run->graph, run->average);
    return vt_fit_end_round(run, session_loss(run, v, v->last - v->first));
}

static vt_status make_visit(trainer *t, const visit *v)
{
    vt_fit_run *run = t->run;
    int64_t steps = v->images / run->options.batch, shuffled = -1;
    double rate = run->options.rate * pow(DECAY, v->epoch);
    if (run->step == v->first) VT_TRY(begin_visit(t, v));
    while (run->step < v->last) {
        int64_t pass = (run->step - v->first) / steps;
        if (shuffled != pass) shuffle(t, v, shuffled = pass);
        VT_TRY(vt_fit_step(run, (run->step - v->first) % steps, rate));
        bool ends = run->step == v->last;
        if (ends) VT_TRY(end_visit(run, v));
        VT_TRY(vt_fit_keep(run, report_progress(run, v), ends));
    }
    return VT_OK;
}

vt_status vt_fit_by_session(vt_fit_run *run, const vt_fit_options *options)
{
    trainer t = {.run = run};
    VT_TRY(resolve(&run->options, options));
    VT_TRY(vt_fit_open_data(run));
    VT_TRY(check_sessions(run));
    VT_TRY(plan_visits(&t));
    VT_TRY(build(run));
    VT_TRY(keep_initial_readout(&t));
    VT_TRY(new_optimizer(run));
    VT_TRY(vt_fit_make_plan(run));
    VT_TRY(vt_fit_resume(run));
    while (run->done < run->rounds && t.visits[run->done].last <= run->step)
        run->done++;
    while (run->done < run->rounds && !vt_fit_out_of_patience(run))
        VT_TRY(make_visit(&t, &t.visits[run->done]));
    return VT_OK;
}
