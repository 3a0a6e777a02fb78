/* Small teachers, students and images for distillation. */
#ifndef TOY_DISTILL_H
#define TOY_DISTILL_H

#include "test.h"

#include "ventral/distill.h"
#include "ventral/io.h"
#include "ventral/rng.h"
#include "ventral/train.h"

enum { TOY_SIZE = 32, TOY_TEACHERS = 4 };

typedef struct toy {
    char folder[4096];
    vt_model *models[TOY_TEACHERS];
    int count;
    vt_teacher *teacher;
    vt_image_stream *stream;
} toy;

/* A coloured blob on a grey ground: what a small network tells apart by place, size and colour. */
static inline void toy_image(uint8_t *out, int64_t index)
{
    vt_rng rng;
    vt_rng_init(&rng, 3, VT_RNG_IMAGE, 0, (uint32_t)index);
    double row = TOY_SIZE * vt_rng_uniform(&rng), column = TOY_SIZE * vt_rng_uniform(&rng);
    double width = 3 + 6 * vt_rng_uniform(&rng), colour[3];
    for (int c = 0; c < 3; c++)
        colour[c] = 240 * vt_rng_uniform(&rng) - 120;
    for (int y = 0; y < TOY_SIZE; y++)
        for (int x = 0; x < TOY_SIZE; x++) {
            double far = ((y - row) * (y - row) + (x - column) * (x - column)) / (width * width);
            for (int c = 0; c < 3; c++)
                out[(y * TOY_SIZE + x) * 3 + c] = (uint8_t)(128 + colour[c] * exp(-0.5 * far));
        }
}

/* FOLDER/images.npy of so many images. */
static inline void toy_write_images(const char *path, int64_t count)
{
    vt_tensor images;
    assert_ok(vt_tensor_new(&images, VT_U8, 4, (int64_t[]){count, TOY_SIZE, TOY_SIZE, 3}));
    for (int64_t i = 0; i < count; i++)
        toy_image((uint8_t *)images.data + i * TOY_SIZE * TOY_SIZE * 3, i);
    assert_ok(vt_npy_write(&images, path));
    vt_tensor_free(&images);
}

/* A compact model of one neuron. */
static inline vt_model *toy_compact(int filters, uint64_t seed)
{
    vt_model *model;
    vt_compact_options o = {.height = TOY_SIZE, .width = TOY_SIZE, .outputs = 1, .seed = seed};
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        o.filters[i] = filters;
    assert_ok(vt_compact_new(&model, &o));
    return model;
}

/* The same for several neurons, with a readout shared by them. */
static inline vt_model *toy_shared(int filters, int neurons, uint64_t seed)
{
    vt_model *model;
    vt_compact_options o = {.height = TOY_SIZE,
                            .width = TOY_SIZE,
                            .outputs = neurons,
                            .shared = true,
                            .linear = true,
                            .seed = seed};
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        o.filters[i] = filters;
    assert_ok(vt_compact_new(&model, &o));
    return model;
}

/* Teachers of neurons 0, 1, ... of session "toy", and a stream of images. */
static inline void toy_open(toy *t, int neurons, int64_t images)
{
    char path[4200];
    const char *paths[] = {path};
    *t = (toy){.count = neurons};
    snprintf(path, sizeof path, "%s/images.npy", new_folder(t->folder));
    toy_write_images(path, images);
    for (int i = 0; i < neurons; i++) {
        t->models[i] = toy_compact(2, 100 + (uint64_t)i);
        vt_graph *graph = vt_model_graph(t->models[i]);
        /* smooth over space, which is learnt from fewer images */
        assert_ok(vt_blur_kernels(graph, "kernel", 3));
        ((float *)vt_graph_find_param(graph, "layer4_bn.moving_mean")->value.data)[0] = 0.1f;
        vt_graph_touch(graph);
        vt_model_session session = {.id = "toy", .count = 1, .first_neuron = i};
        assert_ok(vt_model_add_session(t->models[i], &session));
    }
    assert_ok(
        vt_teacher_new(&t->teacher, t->models, neurons, &(vt_teacher_options){.cache = NULL}));
    vt_image_stream_options o = {
        .paths = paths, .path_count = 1, .height = TOY_SIZE, .width = TOY_SIZE};
    assert_ok(vt_image_stream_open(&t->stream, &o));
}

/* Responses of a model to all images of the stream, (images, outputs); free() them. */
static inline float *toy_responses(const toy *t, vt_model *model)
{
    vt_plan *plan;
    vt_node output = vt_model_output(model);
    int64_t count = vt_image_stream_count(t->stream), each = vt_model_outputs(model);
    uint8_t *bytes = malloc((size_t)count * TOY_SIZE * TOY_SIZE * 3);
    float *out = malloc((size_t)(count * each) * sizeof *out);
    int64_t *indices = malloc((size_t)count * sizeof *indices);
    for (int64_t i = 0; i < count; i++)
        indices[i] = i;
    assert_ok(vt_image_stream_read(t->stream, indices, count, bytes));
    assert_ok(
        vt_plan_new(&plan, vt_model_graph(model),
                    &(vt_plan_options){.batch = count, .outputs = &output, .output_count = 1}));
    vt_preprocess(vt_plan_input(plan, vt_model_input(model))->data, bytes,
                  count * TOY_SIZE * TOY_SIZE, vt_model_preprocessing(model));
    assert_ok(vt_plan_forward(plan));
    memcpy(out, vt_plan_output(plan, output)->data, (size_t)(count * each) * sizeof *out);
    vt_plan_free(plan);
    free(bytes);
    free(indices);
    return out;
}

static inline void toy_assert_same_weights(vt_model *a, vt_model *b)
{
    vt_graph *x = vt_model_graph(a), *y = vt_model_graph(b);
    for (int i = 0; i < vt_graph_param_count(x); i++) {
        const vt_tensor *p = &vt_graph_param(x, i)->value, *q = &vt_graph_param(y, i)->value;
        if (memcmp(p->data, q->data, vt_tensor_bytes(p)) != 0)
            fail_msg("%s differs", vt_graph_param(x, i)->name);
    }
}

static inline void toy_close(toy *t)
{
    vt_image_stream_close(t->stream);
    vt_teacher_free(t->teacher);
    for (int i = 0; i < t->count; i++)
        vt_model_free(t->models[i]);
    remove_folder(t->folder);
}

#endif
