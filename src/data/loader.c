/* A loader of batches: threads of its own decode and transform the images of the next batches while
 * the caller computes.
 *
 * Batches live in a ring of slots, batch b in slot b modulo the ring's size. Threads claim one
 * image at a time, in order, so that all work on the batch that is needed first. What lies at
 * position p of epoch e depends on the seed, e and p alone: neither the number of threads nor the
 * batch at which the epoch was begun changes it.
 *
 * An image that does not decode is replaced by the next of the data set that does. Which ones do
 * not is remembered, so that each is tried once or twice and not again for every position before
 * it. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "data/transform.h"
#include "ventral/progress.h"
#include "ventral/rng.h"

enum { RING = 3, MAX_THREADS = 1024 };

struct slot {
    float *images, *labels;
    int64_t *indices;
    int64_t batch, done; /* the batch in it, -1: none; its images that are done */
    /* Places within the batch: how many were given another image, the first of them, and the first
     * that failed altogether (-1: none), each with its reason. */
    int64_t skipped, first_skipped, failed;
    vt_error_state skip, failure;
};

struct vt_loader {
    vt_loader_options options;
    int64_t images;         /* of the data set */
    int64_t count, batches; /* of an epoch */
    size_t image_values;
    int64_t *order;       /* image at each position of the epoch */
    _Atomic uint8_t *bad; /* images known not to decode */
    struct slot slots[RING];
    pthread_t *threads;
    int thread_count;
    int64_t skipped; /* of the batches delivered */
    vt_error_state first_skip;

    pthread_mutex_t lock; /* of all that follows, and of the slots' numbers */
    pthread_cond_t work;  /* there may be an image to claim */
    pthread_cond_t done;  /* for the caller: a batch is complete, or all threads have stopped */
    uint32_t epoch;
    int64_t next;                     /* batch that the next call delivers */
    int64_t claim_batch, claim_place; /* image that the next thread takes */
    int busy;                         /* threads at work on an image */
    bool started, stopping;
};

static int64_t batch_count(const vt_loader *loader, int64_t batch)
{
    int64_t left = loader->count - batch * loader->options.batch;
    return left < loader->options.batch ? left : loader->options.batch;
}

static struct slot *slot_of(vt_loader *loader, int64_t batch)
{
    return &loader->slots[batch % RING];
}

/* ---- one image ---- */

/* Damage is the image's own fault; a disk that fails or memory that is short is not. */
static bool is_damage(vt_status status)
{
    return status == VT_EFORMAT || status == VT_EUNSUPPORTED;
}

static vt_status prepare_image(vt_loader *loader, int64_t index, float *out)
{
    vt_image image;
    VT_TRY(vt_dataset_read(loader->options.dataset, index, &image));
    vt_status status = vt_transform_apply(&loader->options.transform, &image, loader->options.seed,
                                          loader->epoch, (uint32_t)index, out);
    vt_image_free(&image);
    if (status != VT_OK)
        vt_error_context(status, "%s", vt_dataset_name(loader->options.dataset, index));
    return status;
}

/* Fills one place of a batch with image `*index` or the next that decodes; `*skip` says why the
 * first choice was left out. */
static vt_status prepare_place(vt_loader *loader, int64_t *index, float *out, vt_error_state *skip)
{
    int64_t wanted = *index;
    for (int64_t tries = 0; tries < loader->images; tries++) {
        int64_t i = (wanted + tries) % loader->images;
        if (tries > 0 && atomic_load(&loader->bad[i])) continue;
        vt_status status = prepare_image(loader, i, out);
        if (status == VT_OK) {
            *index = i;
            return VT_OK;
        }
        if (!is_damage(status)) return status;
        atomic_store(&loader->bad[i], 1);
        if (tries == 0) vt_error_save(skip, status);
    }
    return vt_error_context(vt_error_restore(skip), "none of the images can be decoded");
}

/* ---- threads ---- */

/* The next image, if its batch's slot is free: the caller has batch next - 1. */
static bool claim_image(vt_loader *loader, int64_t *batch, int64_t *place)
{
    if (!loader->started || loader->claim_batch >= loader->batches ||
        loader->claim_batch >= loader->next + RING - 1)
        return false;
    *batch = loader->claim_batch;
    *place = loader->claim_place++;
    if (*place == 0) {
        struct slot *slot = slot_of(loader, *batch);
        slot->batch = *batch;
        slot->done = slot->skipped = 0;
        slot->failed = -1;
    }
    if (loader->claim_place == batch_count(loader, *batch)) {
        loader->claim_batch++;
        loader->claim_place = 0;
    }
    return true;
}

/* Of several places that were skipped or failed the first counts, whichever thread came first. */
static void note_result(struct slot *slot, int64_t place, vt_status status,
                        const vt_error_state *skip)
{
    if (skip->code != VT_OK && (slot->skipped++ == 0 || place < slot->first_skipped)) {
        slot->first_skipped = place;
        slot->skip = *skip;
    }
    if (status != VT_OK && (slot->failed < 0 || place < slot->failed)) {
        slot->failed = place;
        vt_error_save(&slot->failure, status);
    }
    slot->done++;
}

static void *run(void *argument)
{
    vt_loader *loader = argument;
    int64_t batch = 0, place = 0;
    pthread_mutex_lock(&loader->lock);
    while (!loader->stopping) {
        if (!claim_image(loader, &batch, &place)) {
            pthread_cond_wait(&loader->work, &loader->lock);
            continue;
        }
        loader->busy++;
        pthread_mutex_unlock(&loader->lock);

        struct slot *slot = slot_of(loader, batch);
        vt_error_state skip = {.code = VT_OK};
        int64_t index = loader->order[batch * loader->options.batch + place];
        vt_status status = prepare_place(
            loader, &index, slot->images + (size_t)place * loader->image_values, &skip);
        slot->indices[place] = index;
        slot->labels[place] = (float)vt_dataset_label(loader->options.dataset, index);

        pthread_mutex_lock(&loader->lock);
        loader->busy--;
        note_result(slot, place, status, &skip);
        bool idle = loader->busy == 0 && !loader->started;
        if (idle || slot->done == batch_count(loader, batch)) pthread_cond_signal(&loader->done);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* Signals are the caller's threads' affair. */
static vt_status start_threads(vt_loader *loader, int count)
{
    sigset_t all, before;
    int code = 0;
    if (!(loader->threads = vt_alloc((size_t)count, sizeof *loader->threads))) return VT_ENOMEM;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (code == 0 && loader->thread_count < count) {
        code = pthread_create(&loader->threads[loader->thread_count], NULL, run, loader);
        if (code == 0) loader->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) return VT_OK;
    return vt_error(VT_ENOMEM, "thread %d of %d of the loader could not be started: %s",
                    loader->thread_count + 1, count, strerror(code));
}

/* ---- the caller's side ---- */

static vt_status check_options(const vt_loader_options *options)
{
    if (!options->dataset) return vt_error(VT_EINVAL, "a loader needs a data set");
    if (options->batch < 1 || options->batch > INT32_MAX)
        return vt_error(VT_EINVAL, "batches of %lld images cannot be made",
                        (long long)options->batch);
    if (options->threads < 0 || options->threads > MAX_THREADS)
        return vt_error(VT_EINVAL, "a loader cannot have %d threads; the limit is %d",
                        options->threads, MAX_THREADS);
    if (options->drop_last && options->batch > vt_dataset_count(options->dataset))
        return vt_error(VT_EINVAL, "no whole batch of %lld: the data set has %lld images",
                        (long long)options->batch, (long long)vt_dataset_count(options->dataset));
    return vt_transform_check(&options->transform);
}

static vt_status allocate(vt_loader *loader)
{
    size_t side = (size_t)vt_transform_size(&loader->options.transform), values;
    size_t batch = (size_t)loader->options.batch;
    loader->image_values = side * side * 3;
    if (!vt_mul_ok(&values, loader->image_values, batch))
        return vt_error(VT_EINVAL, "a batch of %zu images is too large", batch);
    for (int i = 0; i < RING; i++) {
        struct slot *slot = &loader->slots[i];
        slot->images = vt_alloc(values, sizeof *slot->images);
        slot->labels = vt_alloc(batch, sizeof *slot->labels);
        slot->indices = vt_alloc(batch, sizeof *slot->indices);
        if (!slot->images || !slot->labels || !slot->indices)
            return vt_error_context(VT_ENOMEM, "batches of %zu images", batch);
    }
    loader->order = vt_alloc((size_t)loader->count, sizeof *loader->order);
    loader->bad = vt_alloc((size_t)loader->images, sizeof *loader->bad);
    return loader->order && loader->bad ? VT_OK : VT_ENOMEM;
}

vt_status vt_loader_new(vt_loader **out, const vt_loader_options *options)
{
    VT_TRY(check_options(options));
    vt_loader *loader = vt_alloc(1, sizeof *loader);
    if (!loader) return VT_ENOMEM;
    loader->options = *options;
    loader->images = vt_dataset_count(options->dataset);
    loader->count = loader->images;
    if (options->limit > 0 && options->limit < loader->count) loader->count = options->limit;
    loader->batches = loader->count / options->batch;
    if (!options->drop_last && loader->count % options->batch) loader->batches++;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->done, NULL);
    int threads = options->threads ? options->threads : vt_threads();
    vt_status status = allocate(loader);
    if (status == VT_OK)
        status = start_threads(loader, threads < MAX_THREADS ? threads : MAX_THREADS);
    if (status != VT_OK) {
        vt_loader_free(loader);
        return status;
    }
    *out = loader;
    return VT_OK;
}

static void order_images(vt_loader *loader)
{
    vt_rng rng;
    for (int64_t i = 0; i < loader->count; i++)
        loader->order[i] = i * loader->images / loader->count;
    vt_rng_init(&rng, loader->options.seed, VT_RNG_SHUFFLE, loader->epoch, 0);
    if (loader->options.shuffle) vt_rng_shuffle(&rng, loader->order, loader->count);
}

vt_status vt_loader_start(vt_loader *loader, uint32_t epoch, int64_t first)
{
    if (first < 0 || first > loader->batches)
        return vt_error(VT_EINVAL, "no batch %lld in an epoch of %lld", (long long)first,
                        (long long)loader->batches);
    pthread_mutex_lock(&loader->lock);
    loader->started = false; /* no more claims; then wait for what is being prepared */
    while (loader->busy > 0)
        pthread_cond_wait(&loader->done, &loader->lock);
    for (int i = 0; i < RING; i++)
        loader->slots[i].batch = -1;
    loader->epoch = epoch;
    loader->next = loader->claim_batch = first;
    loader->claim_place = 0;
    loader->skipped = 0;
    order_images(loader);
    loader->started = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return VT_OK;
}

/* Waits until the next batch is complete. */
static struct slot *wait_for_batch(vt_loader *loader)
{
    struct slot *slot = slot_of(loader, loader->next);
    pthread_mutex_lock(&loader->lock);
    while (slot->batch != loader->next || slot->done < batch_count(loader, loader->next))
        pthread_cond_wait(&loader->done, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
    return slot;
}

static vt_status check_batch(const vt_loader *loader, const struct slot *slot)
{
    int64_t skipped = loader->skipped + slot->skipped;
    const vt_error_state *first = loader->skipped ? &loader->first_skip : &slot->skip;
    if (slot->failed >= 0) return vt_error_restore(&slot->failure);
    if (skipped <= loader->count / 10) return VT_OK;
    return vt_error(VT_EFORMAT,
                    "%lld of %lld images cannot be decoded, more than a tenth; first %s",
                    (long long)skipped, (long long)loader->count, first->message);
}

vt_status vt_loader_next(vt_loader *loader, vt_loader_batch *out)
{
    if (!loader->started) return vt_error(VT_EINVAL, "the loader has not begun an epoch");
    if (loader->next >= loader->batches) {
        *out = (vt_loader_batch){.count = 0};
        return VT_OK;
    }
    struct slot *slot = wait_for_batch(loader);
    VT_TRY(check_batch(loader, slot));
    if (loader->skipped == 0 && slot->skipped > 0) loader->first_skip = slot->skip;
    loader->skipped += slot->skipped;
    *out = (vt_loader_batch){.count = batch_count(loader, loader->next),
                             .images = slot->images,
                             .labels = slot->labels,
                             .indices = slot->indices};
    pthread_mutex_lock(&loader->lock);
    loader->next++;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return VT_OK;
}

int64_t vt_loader_batches(const vt_loader *loader)
{
    return loader->batches;
}

int64_t vt_loader_skipped(const vt_loader *loader, const char **first_error)
{
    if (first_error) *first_error = loader->skipped ? loader->first_skip.message : NULL;
    return loader->skipped;
}

void vt_loader_free(vt_loader *loader)
{
    if (!loader) return;
    pthread_mutex_lock(&loader->lock);
    loader->stopping = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->thread_count; i++)
        pthread_join(loader->threads[i], NULL);
    pthread_cond_destroy(&loader->done);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->lock);
    for (int i = 0; i < RING; i++) {
        free(loader->slots[i].images);
        free(loader->slots[i].labels);
        free(loader->slots[i].indices);
    }
    free(loader->order);
    free((void *)loader->bad);
    free(loader->threads);
    free(loader);
}
