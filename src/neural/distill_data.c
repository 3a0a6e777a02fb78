/* What a distillation learns from: images to train on and images that only measure, and the
 * teacher's responses to all of them.
 *
 * Images are held out by their names, not their places: each name is hashed with the seed, and the
 * lowest hashes are held out. Variants of an image share its hash, so that no held-out image has a
 * twin among those trained on, but for the one image at the border. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "neural/distill_run.h"
#include "ventral/rng.h"

enum { ASKED_AT_ONCE = 4096 };

typedef struct keyed {
    uint64_t key;
    int64_t index;
} keyed;

/* Length of the name up to the "~SEED:K" of variant K, behind which only " gaudy ..." may follow.
 */
static size_t length_of_original(const char *name)
{
    const char *tilde = strrchr(name, '~');
    size_t digits = tilde ? strspn(tilde + 1, "0123456789:") : 0;
    bool variant = digits > 0 && (!tilde[1 + digits] || tilde[1 + digits] == ' ');
    return variant ? (size_t)(tilde - name) : strlen(name);
}

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void make_keys(vt_distill_run *run, keyed *keys, int64_t count)
{
    run->names = 0;
    for (int64_t i = 0; i < count; i++) {
        char name[VT_IMAGE_NAME_SIZE];
        vt_rng rng;
        vt_image_stream_name(run->stream, i, name);
        run->names = vt_hash64(name, strlen(name), run->names);
        uint64_t hash = vt_hash64(name, length_of_original(name), 0);
        vt_rng_init(&rng, run->options.seed, VT_RNG_SPLIT, (uint32_t)hash, (uint32_t)(hash >> 32));
        uint64_t high = vt_rng_u32(&rng);
        keys[i] = (keyed){high << 32 | vt_rng_u32(&rng), i};
    }
}

static vt_status allocate(vt_distill_run *run)
{
    size_t train = (size_t)run->trained, held = (size_t)run->held_out, neurons, bytes, held_bytes;
    neurons = (size_t)run->neurons;
    if (!vt_mul_ok(&bytes, train, neurons * sizeof(float)) ||
        !vt_mul_ok(&held_bytes, held, neurons * sizeof(float)))
        return vt_error(VT_EINVAL, "distill: %lld images are too many", (long long)run->trained);
    VT_TRY(vt_arena_alloc(run->arena, &run->training, train * sizeof *run->training, "images"));
    VT_TRY(vt_arena_alloc(run->arena, &run->measuring, held * sizeof *run->measuring, "images"));
    VT_TRY(vt_arena_alloc(run->arena, &run->order, train * sizeof *run->order, "images"));
    VT_TRY(vt_arena_alloc(run->arena, &run->ordered, train * sizeof *run->ordered, "images"));
    VT_TRY(vt_arena_alloc(run->arena, &run->targets, bytes, "the teacher's responses"));
    VT_TRY(
        vt_arena_alloc(run->arena, &run->measured_targets, held_bytes, "the teacher's responses"));
    VT_TRY(vt_arena_alloc(run->arena, &run->mean, neurons * sizeof *run->mean, "neurons"));
    return vt_arena_alloc(run->arena, &run->sd, neurons * sizeof *run->sd, "neurons");
}

vt_status vt_distill_split(vt_distill_run *run)
{
    int64_t count = vt_image_stream_count(run->stream), held = run->options.held_out;
    if (held == 0) held = count / 10 < 5000 ? count / 10 : 5000;
    if (held < 2) held = 2;
    if (held > count - 2)
        return vt_error(VT_EINVAL,
                        "distill: %lld of %lld images held out; at least 2 must be left to train "
                        "on",
                        (long long)held, (long long)count);
    run->held_out = held;
    run->trained = count - held;
    VT_TRY(allocate(run));
    keyed *keys = vt_alloc((size_t)count, sizeof *keys);
    if (!keys) return VT_ENOMEM;
    make_keys(run, keys, count);
    qsort(keys, (size_t)count, sizeof *keys, by_key);
    for (int64_t i = 0; i < count; i++)
        *(i < held ? run->measuring + i : run->training + i - held) = keys[i].index;
    free(keys);
    qsort(run->measuring, (size_t)held, sizeof *run->measuring, ascending);
    qsort(run->training, (size_t)run->trained, sizeof *run->training, ascending);
    return VT_OK;
}

/* ---- the teacher ---- */

typedef struct question {
    const vt_progress *progress;
    int64_t asked, total; /* images */
} question;

static bool report(void *context, int64_t done, int64_t total, const char *line)
{
    const question *q = context;
    (void)total, (void)line;
    return vt_progress_report(q->progress, q->asked + done, q->total, "teacher") == VT_OK;
}

/* The teacher may have more neurons than the students learn. */
static vt_status ask(vt_distill_run *run, question *q, const int64_t *indices, int64_t count,
                     float *out, float *answers)
{
    vt_progress progress = {report, q};
    int64_t all = vt_teacher_count(run->teacher);
    for (int64_t first = 0; first < count; first += ASKED_AT_ONCE) {
        int64_t n = count - first < ASKED_AT_ONCE ? count - first : ASKED_AT_ONCE;
        VT_TRY(vt_teacher_responses(run->teacher, run->stream, indices + first, n, answers,
                                    &progress));
        for (int64_t k = 0; k < n; k++, out += run->neurons)
            for (int64_t i = 0; i < run->neurons; i++)
                out[i] = answers[k * all + run->teacher_neuron[i]];
        q->asked += n;
    }
    return VT_OK;
}

static vt_status measure_neuron(vt_distill_run *run, int64_t i)
{
    double sum = 0, squares = 0, n = (double)run->trained;
    for (int64_t k = 0; k < run->trained; k++)
        sum += run->targets[k * run->neurons + i];
    double mean = sum / n;
    for (int64_t k = 0; k < run->trained; k++) {
        double d = run->targets[k * run->neurons + i] - mean;
        squares += d * d;
    }
    run->mean[i] = mean;
    run->sd[i] = sqrt(squares / n);
    if (run->sd[i] > 1e-6 * fabs(mean)) return VT_OK;
    const vt_teacher_neuron *who = vt_teacher_neuron_at(run->teacher, run->teacher_neuron[i]);
    return vt_error(VT_ENUMERIC,
                    "distill: the teacher's response is %g to all %lld images to train on (session "
                    "'%s', neuron %lld): there is nothing to learn; leave this neuron out",
                    mean, (long long)run->trained, who->session, (long long)who->neuron);
}

vt_status vt_distill_ask(vt_distill_run *run)
{
    question q = {run->options.progress, 0, run->trained + run->held_out};
    float *answers =
        vt_alloc(ASKED_AT_ONCE, (size_t)vt_teacher_count(run->teacher) * sizeof *answers);
    if (!answers) return VT_ENOMEM;
    vt_status status = ask(run, &q, run->training, run->trained, run->targets, answers);
    if (status == VT_OK)
        status = ask(run, &q, run->measuring, run->held_out, run->measured_targets, answers);
    free(answers);
    for (int64_t i = 0; status == VT_OK && i < run->neurons; i++)
        status = measure_neuron(run, i);
    return status;
}

void vt_distill_standardize(vt_distill_run *run)
{
    for (int64_t k = 0; k < run->trained; k++)
        for (int64_t i = 0; i < run->neurons; i++) {
            float *y = &run->targets[k * run->neurons + i];
            *y = (float)((*y - run->mean[i]) / run->sd[i]);
        }
}

void vt_distill_shuffle(vt_distill_run *run, int64_t pass)
{
    vt_rng rng;
    for (int64_t k = 0; k < run->trained; k++)
        run->order[k] = k;
    vt_rng_init(&rng, run->options.seed, VT_RNG_SHUFFLE, (uint32_t)pass, 0);
    vt_rng_shuffle(&rng, run->order, run->trained);
    for (int64_t k = 0; k < run->trained; k++)
        run->ordered[k] = run->training[run->order[k]];
}
