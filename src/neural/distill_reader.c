/* Batches of images ready for the students, read ahead: a thread of its own decodes or generates
 * the next ones while the caller trains on this one.
 *
 * Batch b lies in slot b modulo the ring's size. The caller has one, the others are ahead of it. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/distill_run.h"

enum { RING = 3 };

struct slot {
    float *images;
    vt_error_state error; /* code VT_OK: none */
};

struct vt_distill_reader {
    vt_image_stream *stream;
    vt_preprocessing preprocessing;
    int64_t batch, image_bytes;
    uint8_t *bytes; /* of one batch, the thread's */
    struct slot slots[RING];
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t work;  /* there may be a batch to read */
    pthread_cond_t done;  /* a batch is complete, or the thread is idle */
    const int64_t *indices;
    int64_t count, batches;
    int64_t complete; /* batches read */
    int64_t taken;    /* batches the caller was given */
    bool busy, stopping;
};

static int64_t batch_count(const vt_distill_reader *reader, int64_t b)
{
    int64_t left = reader->count - b * reader->batch;
    return left < reader->batch ? left : reader->batch;
}

static void fill(vt_distill_reader *reader, int64_t b)
{
    struct slot *slot = &reader->slots[b % RING];
    int64_t count = batch_count(reader, b);
    vt_status status = vt_image_stream_read(reader->stream, reader->indices + b * reader->batch,
                                            count, reader->bytes);
    if (status == VT_OK)
        vt_preprocess(slot->images, reader->bytes, count * reader->image_bytes / 3,
                      &reader->preprocessing);
    slot->error.code = VT_OK;
    if (status != VT_OK) vt_error_save(&slot->error, status);
}

static void *run(void *argument)
{
    vt_distill_reader *reader = argument;
    pthread_mutex_lock(&reader->lock);
    while (!reader->stopping) {
        int64_t b = reader->complete;
        if (b >= reader->batches || b >= reader->taken + RING - 1) {
            pthread_cond_wait(&reader->work, &reader->lock);
            continue;
        }
        reader->busy = true;
        pthread_mutex_unlock(&reader->lock);
        fill(reader, b);
        pthread_mutex_lock(&reader->lock);
        reader->busy = false;
        reader->complete++;
        pthread_cond_signal(&reader->done);
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

/* Signals are the caller's threads' affair. */
static vt_status start_thread(vt_distill_reader *reader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&reader->thread, NULL, run, reader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    reader->has_thread = code == 0;
    if (code == 0) return VT_OK;
    return vt_error(VT_ENOMEM, "the thread that reads images could not be started: %s",
                    strerror(code));
}

static vt_status allocate(vt_distill_reader *reader)
{
    size_t count = (size_t)reader->batch, bytes = (size_t)reader->image_bytes;
    reader->bytes = vt_alloc(count, bytes);
    if (!reader->bytes) return VT_ENOMEM;
    for (int i = 0; i < RING; i++)
        if (!(reader->slots[i].images = vt_alloc(count, bytes * sizeof(float)))) return VT_ENOMEM;
    return VT_OK;
}

vt_status vt_distill_reader_new(vt_distill_reader **out, vt_image_stream *stream, int64_t batch,
                                const vt_preprocessing *preprocessing)
{
    int height, width;
    vt_distill_reader *reader = vt_alloc(1, sizeof *reader);
    if (!reader) return VT_ENOMEM;
    vt_image_stream_size(stream, &height, &width);
    reader->stream = stream;
    reader->preprocessing = *preprocessing;
    reader->batch = batch;
    reader->image_bytes = (int64_t)height * width * 3;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->work, NULL);
    pthread_cond_init(&reader->done, NULL);
    vt_status status = allocate(reader);
    if (status == VT_OK) status = start_thread(reader);
    if (status != VT_OK) {
        vt_distill_reader_free(reader);
        return vt_error_context(status, "batches of %lld images", (long long)batch);
    }
    *out = reader;
    return VT_OK;
}

void vt_distill_reader_start(vt_distill_reader *reader, const int64_t *indices, int64_t count)
{
    pthread_mutex_lock(&reader->lock);
    reader->batches = 0; /* then wait for the one being read */
    while (reader->busy)
        pthread_cond_wait(&reader->done, &reader->lock);
    reader->indices = indices;
    reader->count = count;
    reader->batches = (count + reader->batch - 1) / reader->batch;
    reader->complete = reader->taken = 0;
    pthread_cond_signal(&reader->work);
    pthread_mutex_unlock(&reader->lock);
}

vt_status vt_distill_reader_next(vt_distill_reader *reader, const float **images, int64_t *count)
{
    pthread_mutex_lock(&reader->lock);
    while (reader->complete <= reader->taken && reader->taken < reader->batches)
        pthread_cond_wait(&reader->done, &reader->lock);
    int64_t b = reader->taken < reader->batches ? reader->taken++ : -1;
    pthread_cond_signal(&reader->work);
    pthread_mutex_unlock(&reader->lock);
    *count = b < 0 ? 0 : batch_count(reader, b);
    if (b < 0) return VT_OK;
    *images = reader->slots[b % RING].images;
    return vt_error_restore(&reader->slots[b % RING].error);
}

void vt_distill_reader_free(vt_distill_reader *reader)
{
    if (!reader) return;
    pthread_mutex_lock(&reader->lock);
    reader->stopping = true;
    pthread_cond_signal(&reader->work);
    pthread_mutex_unlock(&reader->lock);
    if (reader->has_thread) pthread_join(reader->thread, NULL);
    pthread_cond_destroy(&reader->work);
    pthread_cond_destroy(&reader->done);
    pthread_mutex_destroy(&reader->lock);
    for (int i = 0; i < RING; i++)
        free(reader->slots[i].images);
    free(reader->bytes);
    free(reader);
}
