/* Choosing images of a pool: at random, by the largest responses, or by active learning (Cowley &
 * Pillow 2020): of a large pool the images about which an ensemble disagrees most, of these a
 * core-set, and random ones, since disagreement alone drifts away from what is usually shown. */
#include "ventral/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/probes.h"
#include "neural/select_rank.h"

enum { BLOCK = 256, USUAL_COUNT = 500, USUAL_CANDIDATES = 8 };

typedef struct choice {
    vt_select_options o;
    vt_image_stream *pool;
    int64_t pool_count;
    int64_t outputs;  /* DISAGREEMENT: of a member; TOP: of all */
    int64_t *neurons; /* that count; owned when all do */
    int64_t neuron_count;
    vt_probes *probes;
    float *values;   /* (BLOCK, vt_probes_size) */
    int64_t *places; /* (BLOCK) */
    vt_selection out;
} choice;

vt_status vt_select_find(vt_select_strategy *out, const char *name)
{
    static const char *const names[] = {"random", "top", "disagreement"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (vt_select_strategy)i;
            return VT_OK;
        }
    return vt_error(VT_ENOTFOUND, "'%s' is no strategy: random, top or disagreement", name);
}

void vt_selection_free(vt_selection *selection)
{
    free(selection->items);
    *selection = (vt_selection){.items = NULL};
}

/* Images that are not drawn at random. */
static int64_t covered_count(const vt_select_options *o)
{
    double covered = (double)o->count * (1 - fmax(o->random, 0));
    return (int64_t)ceil(covered - 1e-9); /* rounding: 100 * (1 - 0.9) is above 10 */
}

/* ---- members and neurons ---- */

static bool is_same_session(const vt_model_session *a, const vt_model_session *b)
{
    return strcmp(a->id, b->id) == 0 && a->first == b->first && a->count == b->count &&
           a->first_neuron == b->first_neuron;
}

/* Models that say whose neurons they predict must say the same. */
static vt_status check_sessions(const vt_model *first, const vt_model *other)
{
    int count = vt_model_session_count(first);
    if (count == 0 || vt_model_session_count(other) == 0) return VT_OK;
    bool same = vt_model_session_count(other) == count;
    for (int i = 0; i < count && same; i++)
        same = is_same_session(vt_model_session_at(first, i), vt_model_session_at(other, i));
    if (same) return VT_OK;
    return vt_error(VT_EINVAL, "%s predicts other neurons than %s, so they cannot disagree",
                    vt_model_label(other), vt_model_label(first));
}

static vt_status check_members(const choice *c)
{
    const vt_select_options *o = &c->o;
    if (o->strategy != VT_SELECT_DISAGREEMENT) return VT_OK;
    if (o->member_count < 2)
        return vt_error(VT_EINVAL, "%d member cannot disagree: two or more are needed",
                        o->member_count);
    for (int m = 1; m < o->member_count; m++) {
        VT_TRY(check_sessions(o->members[0].model, o->members[m].model));
        int64_t first = vt_probes_size_of(c->probes, 0), own = vt_probes_size_of(c->probes, m);
        if (own != first)
            return vt_error(VT_EINVAL, "%s predicts %lld neurons, %s %lld: they cannot disagree",
                            vt_model_label(o->members[m].model), (long long)own,
                            vt_model_label(o->members[0].model), (long long)first);
    }
    return VT_OK;
}

static vt_status open_probes(vt_probes **out, const vt_select_options *o,
                             const vt_select_member *members, int count, const char *cache)
{
    vt_probe *probes = vt_alloc((size_t)(count > 0 ? count : 1), sizeof *probes);
    if (!probes) return VT_ENOMEM;
    for (int m = 0; m < count; m++)
        probes[m] = (vt_probe){members[m].model, members[m].node};
    vt_probes_options options = {.probes = probes, .count = count, .cache = cache, .bf16 = o->bf16};
    vt_status status = vt_probes_new(out, &options);
    free(probes);
    return status;
}

static vt_status list_neurons(choice *c)
{
    const vt_select_options *o = &c->o;
    c->outputs =
        o->strategy == VT_SELECT_TOP ? vt_probes_size(c->probes) : vt_probes_size_of(c->probes, 0);
    c->neuron_count = o->neurons ? o->neuron_count : c->outputs;
    if (c->neuron_count < 1) return vt_error(VT_EINVAL, "no neuron is wanted");
    c->neurons = vt_alloc((size_t)c->neuron_count, sizeof *c->neurons);
    if (!c->neurons) return VT_ENOMEM;
    for (int64_t i = 0; i < c->neuron_count; i++) {
        c->neurons[i] = o->neurons ? o->neurons[i] : i;
        if (c->neurons[i] < 0 || c->neurons[i] >= c->outputs)
            return vt_error(VT_EINVAL, "neuron %lld is wanted, there are %lld, counted from 0",
                            (long long)c->neurons[i], (long long)c->outputs);
    }
    return VT_OK;
}

/* ---- the pool ---- */

/* Shows the pool; `take` gets blocks of consecutive images from `first` on. */
static vt_status
show_pool(choice *c, vt_status (*take)(void *context, int64_t first, int64_t count), void *context)
{
    c->values = vt_alloc((size_t)BLOCK, (size_t)vt_probes_size(c->probes) * sizeof *c->values);
    c->places = vt_alloc(BLOCK, sizeof *c->places);
    if (!c->values || !c->places) return VT_ENOMEM;
    for (int64_t first = 0; first < c->pool_count; first += BLOCK) {
        int64_t count = c->pool_count - first < BLOCK ? c->pool_count - first : BLOCK;
        for (int64_t i = 0; i < count; i++)
            c->places[i] = first + i;
        VT_TRY(vt_probes_read(c->probes, c->pool, c->places, count, NULL, c->values, NULL));
        VT_TRY(take(context, first, count));
        VT_TRY(vt_progress_report(c->o.progress, first + count, c->pool_count, NULL));
    }
    return VT_OK;
}

static vt_status make_items(choice *c, int64_t count)
{
    c->out.items = vt_alloc((size_t)count, sizeof *c->out.items);
    return c->out.items ? VT_OK : VT_ENOMEM;
}

static void put(choice *c, vt_select_strategy strategy, int64_t index, int64_t neuron, double score)
{
    c->out.items[c->out.count++] = (vt_selected){index, strategy, neuron, score};
}

/* ---- random ---- */

static int compare_indices(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Adds `count` images that are not in the selection yet. */
static vt_status draw(choice *c, int64_t count)
{
    int64_t chosen = c->out.count;
    int64_t *taken = vt_alloc((size_t)(chosen + 1), sizeof *taken);
    int64_t *drawn = vt_alloc((size_t)(count + 1), sizeof *drawn);
    vt_status status = taken && drawn ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) {
        for (int64_t i = 0; i < chosen; i++)
            taken[i] = c->out.items[i].index;
        qsort(taken, (size_t)chosen, sizeof *taken, compare_indices);
        vt_draw(drawn, count, c->pool_count, taken, chosen, c->o.seed);
        for (int64_t i = 0; i < count; i++)
            put(c, VT_SELECT_RANDOM, drawn[i], -1, NAN);
    }
    free(taken);
    free(drawn);
    return status;
}

static vt_status choose_random(choice *c)
{
    VT_TRY(make_items(c, c->o.count));
    return draw(c, c->o.count);
}

/* ---- top ---- */

typedef struct top {
    choice *c;
    vt_ranking *rankings; /* one a neuron */
} top;

static vt_status offer_responses(void *context, int64_t first, int64_t count)
{
    const top *t = context;
    const choice *c = t->c;
    double sign = c->o.lowest ? -1 : 1;
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < c->neuron_count; k++)
            vt_ranking_offer(&t->rankings[k], sign * c->values[i * c->outputs + c->neurons[k]],
                             first + i);
    return VT_OK;
}

static void take_rankings(const top *t)
{
    choice *c = t->c;
    for (int64_t k = 0; k < c->neuron_count; k++) {
        vt_ranking *ranking = &t->rankings[k];
        vt_ranking_sort(ranking);
        for (int64_t i = 0; i < ranking->count; i++)
            put(c, VT_SELECT_TOP, ranking->items[i].index, c->neurons[k],
                c->o.lowest ? -ranking->items[i].score : ranking->items[i].score);
    }
}

static vt_status choose_top(choice *c)
{
    top t = {c, vt_alloc((size_t)c->neuron_count, sizeof *t.rankings)};
    vt_status status = t.rankings ? VT_OK : VT_ENOMEM;
    for (int64_t k = 0; k < c->neuron_count && status == VT_OK; k++)
        status = vt_ranking_init(&t.rankings[k], c->o.count);
    if (status == VT_OK) status = show_pool(c, offer_responses, &t);
    if (status == VT_OK) status = make_items(c, c->neuron_count * c->o.count);
    if (status == VT_OK) take_rankings(&t);
    for (int64_t k = 0; k < c->neuron_count && t.rankings; k++)
        vt_ranking_destroy(&t.rankings[k]);
    free(t.rankings);
    return status;
}

/* ---- disagreement ---- */

typedef struct dispute {
    choice *c;
    vt_ranking candidates;
    float *responses; /* (BLOCK, members, neurons that count) */
    double scores[BLOCK];
} dispute;

static vt_status offer_disagreements(void *context, int64_t first, int64_t count)
{
    dispute *d = context;
    const choice *c = d->c;
    float *to = d->responses;
    const float *values = c->values;
    for (int64_t i = 0; i < count; i++)
        for (int m = 0; m < c->o.member_count; m++, values += c->outputs)
            for (int64_t k = 0; k < c->neuron_count; k++)
                *to++ = values[c->neurons[k]];
    VT_TRY(vt_disagreement(d->scores, d->responses, count, c->o.member_count, c->neuron_count));
    for (int64_t i = 0; i < count; i++)
        vt_ranking_offer(&d->candidates, d->scores[i], first + i);
    return VT_OK;
}

/* Features (candidates, *size) of the node that the core-set is to cover. */
static vt_status read_features(float **out, int64_t *size, const choice *c, const int64_t *indices,
                               int64_t count)
{
    vt_probes *probes;
    VT_TRY(open_probes(&probes, &c->o, c->o.features, 1, NULL));
    *size = vt_probes_size(probes);
    float *features = vt_alloc((size_t)count, (size_t)*size * sizeof *features);
    vt_status status = features
                           ? vt_probes_read(probes, c->pool, indices, count, NULL, features, NULL)
                           : VT_ENOMEM;
    vt_probes_free(probes);
    if (status == VT_OK)
        *out = features;
    else
        free(features);
    return status;
}

/* The members' mean responses (candidates, neurons) instead. */
static vt_status read_means(float **out, int64_t *size, const choice *c, const int64_t *indices,
                            int64_t count)
{
    int64_t all = vt_probes_size(c->probes), neurons = c->neuron_count;
    float *means = vt_alloc((size_t)count, (size_t)neurons * sizeof *means);
    vt_status status = means ? VT_OK : VT_ENOMEM;
    for (int64_t first = 0; first < count && status == VT_OK; first += BLOCK) {
        int64_t n = count - first < BLOCK ? count - first : BLOCK;
        status = vt_probes_read(c->probes, c->pool, indices + first, n, NULL, c->values, NULL);
        for (int64_t i = 0; i < n && status == VT_OK; i++)
            for (int64_t k = 0; k < neurons; k++) {
                double sum = 0;
                for (int m = 0; m < c->o.member_count; m++)
                    sum += c->values[i * all + m * c->outputs + c->neurons[k]];
                means[(first + i) * neurons + k] = (float)(sum / c->o.member_count);
            }
    }
    if (status != VT_OK) {
        free(means);
        return status;
    }
    *out = means;
    *size = neurons;
    return VT_OK;
}

/* A core-set of `wanted` of the candidates. */
static vt_status cover(dispute *d, int64_t wanted)
{
    choice *c = d->c;
    int64_t count = d->candidates.count, size = 0;
    float *points = NULL;
    int64_t *indices = vt_alloc((size_t)count, sizeof *indices);
    int64_t *chosen = vt_alloc((size_t)wanted, sizeof *chosen);
    vt_status status = indices && chosen ? VT_OK : VT_ENOMEM;
    vt_ranking_sort(&d->candidates);
    for (int64_t i = 0; i < count && status == VT_OK; i++)
        indices[i] = d->candidates.items[i].index;
    if (status == VT_OK)
        status = (c->o.features ? read_features : read_means)(&points, &size, c, indices, count);
    if (status == VT_OK) status = vt_core_set(chosen, &c->out.radius, points, count, size, wanted);
    for (int64_t i = 0; i < wanted && status == VT_OK; i++) {
        const vt_ranked *item = &d->candidates.items[chosen[i]];
        put(c, VT_SELECT_DISAGREEMENT, item->index, -1, item->score);
    }
    free(points);
    free(indices);
    free(chosen);
    return status;
}

static vt_status dispute_pool(dispute *d, int64_t covering)
{
    choice *c = d->c;
    int64_t candidates = c->o.candidates < c->pool_count ? c->o.candidates : c->pool_count;
    if (candidates < covering)
        return vt_error(VT_EINVAL, "a core-set of %lld images of %lld candidates: give more",
                        (long long)covering, (long long)candidates);
    size_t each = (size_t)c->o.member_count * (size_t)c->neuron_count;
    if (!(d->responses = vt_alloc(BLOCK, each * sizeof *d->responses))) return VT_ENOMEM;
    VT_TRY(vt_ranking_init(&d->candidates, candidates));
    VT_TRY(show_pool(c, offer_disagreements, d));
    return cover(d, covering);
}

static vt_status choose_disagreement(choice *c)
{
    int64_t covering = covered_count(&c->o);
    dispute *d = vt_alloc(1, sizeof *d);
    if (!d) return VT_ENOMEM;
    d->c = c;
    vt_status status = make_items(c, c->o.count);
    if (status == VT_OK && covering > 0) status = dispute_pool(d, covering);
    if (status == VT_OK) status = draw(c, c->o.count - covering);
    vt_ranking_destroy(&d->candidates);
    free(d->responses);
    free(d);
    return status;
}

/* ---- all ---- */

static vt_status check_options(choice *c)
{
    vt_select_options *o = &c->o;
    if (o->count == 0) o->count = USUAL_COUNT;
    if (o->random == 0) o->random = 0.5;
    if (o->count < 0 || o->count > c->pool_count)
        return vt_error(VT_EINVAL, "%lld images are wanted, the pool has %lld", (long long)o->count,
                        (long long)c->pool_count);
    if (o->strategy != VT_SELECT_DISAGREEMENT) return VT_OK;
    if (!(o->random <= 1))
        return vt_error(VT_EINVAL, "a share of %g of the images at random: at most 1 is possible",
                        o->random);
    if (o->candidates == 0) o->candidates = USUAL_CANDIDATES * covered_count(o);
    return VT_OK;
}

static vt_status choose(choice *c)
{
    VT_TRY(check_options(c));
    if (c->o.strategy == VT_SELECT_RANDOM) return choose_random(c);
    VT_TRY(open_probes(&c->probes, &c->o, c->o.members, c->o.member_count, c->o.cache));
    VT_TRY(check_members(c));
    VT_TRY(list_neurons(c));
    return c->o.strategy == VT_SELECT_TOP ? choose_top(c) : choose_disagreement(c);
}

vt_status vt_select(vt_selection *out, vt_image_stream *pool, const vt_select_options *options)
{
    choice c = {.o = *options,
                .pool = pool,
                .pool_count = vt_image_stream_count(pool),
                .out = {.lowest = options->lowest}};
    vt_status status = choose(&c);
    vt_probes_free(c.probes);
    free(c.neurons);
    free(c.values);
    free(c.places);
    if (status == VT_OK)
        *out = c.out;
    else
        vt_selection_free(&c.out);
    return status;
}
