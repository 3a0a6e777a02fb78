/* The students: their plans, a step of training, and the units of their readouts.
 *
 * A student that learns answers z = (y - mean) / s.d. of its teacher's responses y. The scale is in
 * the last layer, so that folding it in, kernel' = sd kernel and bias' = sd bias + mean, leaves the
 * function as it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/compact.h"
#include "neural/distill_run.h"
#include "train/weights.h"

#define ADAM_EPSILON 1e-7 /* Keras's */

static const char *readout_of(const vt_distill_pupil *p)
{
    return vt_graph_find_param(p->graph, "Beta.kernel") ? "Beta" : "spatial_pool_stage";
}

static vt_param *readout_param(const vt_distill_pupil *p, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", readout_of(p), what);
    return vt_graph_find_param(p->graph, name);
}

static vt_param *readout_kernel(const vt_distill_pupil *p)
{
    vt_param *kernel = readout_param(p, ".kernel");
    return kernel ? kernel : readout_param(p, ".depthwise_kernel");
}

/* ---- enrolment ---- */

static vt_status check_student(const vt_distill_run *run, const vt_distill_student *s, int index)
{
    vt_compact_options shape;
    int height, width;
    if (!s->model || !s->neurons)
        return vt_error(VT_EINVAL, "distill: student %d has no model or no neurons", index);
    VT_TRY(vt_model_compact_options(s->model, &shape));
    vt_image_stream_size(run->stream, &height, &width);
    if (shape.outputs < 1)
        return vt_error(VT_EINVAL, "%s: it has no readout to train", vt_model_label(s->model));
    if (shape.height != height || shape.width != width)
        return vt_error(VT_ESHAPE, "%s: it takes images of %d x %d, the images are %d x %d",
                        vt_model_label(s->model), shape.height, shape.width, height, width);
    for (int64_t i = 0; i < shape.outputs; i++)
        if (s->neurons[i] < 0 || s->neurons[i] >= vt_teacher_count(run->teacher))
            return vt_error(VT_EINVAL, "distill: neuron %lld of a teacher of %lld",
                            (long long)s->neurons[i], (long long)vt_teacher_count(run->teacher));
    return VT_OK;
}

static vt_status list_neurons(vt_distill_run *run, const vt_distill_student *students)
{
    for (int i = 0; i < run->count; i++) {
        VT_TRY(check_student(run, &students[i], i));
        for (int k = 0; k < i; k++)
            if (students[k].model == students[i].model)
                return vt_error(VT_EINVAL, "distill: students %d and %d are the same model", k, i);
        run->pupils[i].outputs = vt_model_outputs(students[i].model);
        run->pupils[i].first = run->neurons;
        run->neurons += run->pupils[i].outputs;
    }
    VT_TRY(vt_arena_alloc(run->arena, &run->teacher_neuron,
                          (size_t)run->neurons * sizeof *run->teacher_neuron, "neurons"));
    for (int i = 0; i < run->count; i++)
        memcpy(run->teacher_neuron + run->pupils[i].first, students[i].neurons,
               (size_t)run->pupils[i].outputs * sizeof *run->teacher_neuron);
    return VT_OK;
}

static vt_status keep_given(vt_distill_run *run, vt_distill_pupil *p)
{
    p->floats = vt_weights_count(p->graph);
    VT_TRY(vt_arena_alloc(run->arena, &p->given, (size_t)p->floats * sizeof *p->given, "weights"));
    vt_weights_gather(p->graph, p->given);
    return VT_OK;
}

vt_status vt_distill_enrol(vt_distill_run *run, const vt_distill_student *students)
{
    if (run->count < 1) return vt_error(VT_EINVAL, "distill: no students");
    VT_TRY(vt_arena_alloc(run->arena, &run->pupils, (size_t)run->count * sizeof *run->pupils,
                          "students"));
    VT_TRY(list_neurons(run, students));
    for (int i = 0; i < run->count; i++) {
        vt_distill_pupil *p = &run->pupils[i];
        p->graph = vt_model_graph(students[i].model);
        VT_TRY(keep_given(run, p));
        p->model = students[i].model; /* from here on, vt_distill_restore restores it */
    }
    return VT_OK;
}

/* About what the activations of a student take. */
static int64_t size_of(const vt_distill_pupil *p)
{
    int64_t sum = 0, size[VT_MAX_DIMS];
    for (vt_node node = 0; node < vt_graph_node_count(p->graph); node++) {
        int64_t product = 1;
        for (int i = 0, n = vt_graph_node_size(p->graph, node, size); i < n; i++)
            product *= size[i];
        sum += product;
    }
    return sum;
}

static vt_status make_plans(vt_distill_run *run, vt_distill_pupil *p)
{
    vt_node output = vt_model_output(p->model);
    vt_plan_options options = {.batch = run->options.batch,
                               .outputs = &output,
                               .output_count = 1,
                               .bf16 = run->options.bf16,
                               .workspace = run->workspace};
    VT_TRY(vt_plan_new(&p->inference, p->graph, &options));
    VT_TRY(vt_arena_alloc(run->arena, &p->statistics, (size_t)p->floats * sizeof *p->statistics,
                          "running statistics"));
    options.training = options.backward = true;
    return vt_plan_new(&p->training, p->graph, &options);
}

/* The largest of those without plans. */
static vt_distill_pupil *next_pupil(vt_distill_run *run)
{
    vt_distill_pupil *next = run->pupils;
    for (int i = 1; i < run->count; i++) {
        vt_distill_pupil *p = &run->pupils[i];
        if (!p->training && (next->training || size_of(p) > size_of(next))) next = p;
    }
    return next;
}

/* The largest student first: its memory serves all that follow. */
vt_status vt_distill_plan(vt_distill_run *run)
{
    VT_TRY(vt_workspace_new(&run->workspace));
    for (int made = 0; made < run->count; made++) {
        vt_distill_pupil *p = next_pupil(run);
        VT_TRY(make_plans(run, p));
        vt_optimizer_options adam = {
            .kind = VT_ADAM, .epsilon = ADAM_EPSILON, .clip_value = run->options.clip_value};
        VT_TRY(vt_optimizer_new(&p->optimizer, p->graph, &adam));
        static const char *const readouts[] = {"Beta", "spatial_pool_stage"};
        for (int k = 0; k < 2; k++)
            vt_optimizer_set_rate(p->optimizer, readouts[k], run->options.readout_rate);
    }
    return VT_OK;
}

void vt_distill_dismiss(vt_distill_run *run)
{
    for (int i = 0; run->pupils && i < run->count; i++) {
        vt_plan_free(run->pupils[i].training);
        vt_plan_free(run->pupils[i].inference);
        vt_optimizer_free(run->pupils[i].optimizer);
    }
    vt_workspace_free(run->workspace);
}

void vt_distill_restore(vt_distill_run *run)
{
    for (int i = 0; run->pupils && i < run->count; i++)
        if (run->pupils[i].model) vt_weights_scatter(run->pupils[i].graph, run->pupils[i].given);
}

/* ---- units ---- */

/* Whether no image was ever seen in training: running statistics are those of a new model. */
static bool is_new(const vt_distill_pupil *p)
{
    for (int i = 0; i < vt_graph_param_count(p->graph); i++) {
        const vt_param *param = vt_graph_param(p->graph, i);
        if (!param->is_buffer) continue;
        float expected = strstr(param->name, "variance") ? 1 : 0;
        for (int64_t k = 0; k < vt_tensor_count(&param->value); k++)
            if (((const float *)param->value.data)[k] != expected) return false;
    }
    return true;
}

static void scale(vt_distill_run *run, vt_distill_pupil *p, bool fold)
{
    vt_tensor *kernel = &readout_kernel(p)->value, *bias = &readout_param(p, ".bias")->value;
    int64_t each = vt_tensor_count(kernel) / p->outputs;
    for (int64_t i = 0; i < p->outputs; i++) {
        double mean = run->mean[p->first + i], sd = run->sd[p->first + i];
        float *w = (float *)kernel->data + i * each, *b = (float *)bias->data + i;
        for (int64_t k = 0; k < each; k++)
            w[k] = (float)(fold ? w[k] * sd : w[k] / sd);
        *b = (float)(fold ? *b * sd + mean : (*b - mean) / sd);
    }
    vt_graph_touch(p->graph);
}

void vt_distill_unfold(vt_distill_run *run)
{
    for (int i = 0; i < run->count; i++)
        if (!is_new(&run->pupils[i])) scale(run, &run->pupils[i], false);
}

void vt_distill_fold(vt_distill_run *run)
{
    for (int i = 0; i < run->count; i++)
        scale(run, &run->pupils[i], true);
}

/* ---- learning ---- */

/* Squared errors of a batch, and their gradient: that of the mean over images and outputs. Returns
 * the mean error. */
static double compare(vt_distill_run *run, const vt_distill_pupil *p, int64_t first)
{
    int64_t batch = run->options.batch;
    const float *y = vt_plan_output(p->training, vt_model_output(p->model))->data;
    float *seed = vt_plan_seed(p->training, vt_model_output(p->model))->data;
    float factor = (float)(2.0 / (double)(batch * p->outputs));
    double total = 0;
    for (int64_t i = 0; i < p->outputs; i++) {
        double sum = 0;
        for (int64_t k = 0; k < batch; k++) {
            const float *target = run->targets + run->order[first + k] * run->neurons + p->first;
            float d = y[k * p->outputs + i] - target[i];
            seed[k * p->outputs + i] = factor * d;
            sum += (double)d * d;
        }
        run->sums[p->first + i] += sum / (double)batch;
        total += sum;
    }
    return total / (double)(batch * p->outputs);
}

static vt_status learn(vt_distill_run *run, vt_distill_pupil *p, const float *images, int64_t first,
                       double rate)
{
    vt_tensor *x = vt_plan_input(p->training, vt_model_input(p->model));
    memcpy(x->data, images, vt_tensor_bytes(x));
    VT_TRY(vt_plan_forward(p->training));
    double loss = compare(run, p, first);
    if (!isfinite(loss))
        return vt_error(VT_ENUMERIC, "the loss is %g: the learning rate (%g) may be too high", loss,
                        run->options.rate);
    VT_TRY(vt_plan_backward(p->training));
    return vt_optimizer_step(p->optimizer, rate);
}

vt_status vt_distill_step(vt_distill_run *run, const float *images, int64_t first, double rate)
{
    for (int i = 0; i < run->count; i++) {
        vt_status status = learn(run, &run->pupils[i], images, first, rate);
        if (status != VT_OK)
            return vt_error_context(status, "distill, student %d of %d, step %lld of %lld", i + 1,
                                    run->count, (long long)run->step + 1, (long long)run->steps);
    }
    return VT_OK;
}

/* A batch moves running statistics by momentum (its own - running): from 0 on they are its own
 * times momentum. They become the mean over the batches so far. */
static vt_status settle(vt_distill_pupil *p, const float *images, int number)
{
    vt_tensor *x = vt_plan_input(p->training, vt_model_input(p->model));
    double *sum = p->statistics;
    for (int i = 0; i < vt_graph_param_count(p->graph); i++) {
        vt_param *param = vt_graph_param(p->graph, i);
        if (param->is_buffer) memset(param->value.data, 0, vt_tensor_bytes(&param->value));
    }
    memcpy(x->data, images, vt_tensor_bytes(x));
    VT_TRY(vt_plan_forward(p->training));
    for (int i = 0; i < vt_graph_param_count(p->graph); i++) {
        vt_param *param = vt_graph_param(p->graph, i);
        float *value = param->value.data;
        for (int64_t k = 0; param->is_buffer && k < vt_tensor_count(&param->value); k++, sum++) {
            *sum = (number == 0 ? 0 : *sum) + value[k] / VT_COMPACT_MOMENTUM;
            value[k] = (float)(*sum / (number + 1));
        }
    }
    vt_graph_touch(p->graph);
    return VT_OK;
}

vt_status vt_distill_settle(vt_distill_run *run, const float *images, int number)
{
    for (int i = 0; i < run->count; i++)
        VT_TRY(settle(&run->pupils[i], images, number));
    return VT_OK;
}

vt_status vt_distill_predict(vt_distill_run *run, const float *images, int64_t first, int64_t count)
{
    for (int i = 0; i < run->count; i++) {
        vt_distill_pupil *p = &run->pupils[i];
        vt_tensor *x = vt_plan_input(p->inference, vt_model_input(p->model));
        memset(x->data, 0, vt_tensor_bytes(x));
        memcpy(x->data, images, vt_tensor_bytes(x) / (size_t)x->size[0] * (size_t)count);
        VT_TRY(vt_plan_forward(p->inference));
        const float *y = vt_plan_output(p->inference, vt_model_output(p->model))->data;
        for (int64_t k = 0; k < count; k++)
            memcpy(run->predictions + (first + k) * run->neurons + p->first, y + k * p->outputs,
                   (size_t)p->outputs * sizeof *y);
    }
    return VT_OK;
}

/* Depthwise kernels, of which a shared model's spatial pool is one, and the flat readout. */
vt_status vt_distill_blur(vt_distill_run *run)
{
    for (int i = 0; i < run->count; i++) {
        VT_TRY(vt_blur_kernels(run->pupils[i].graph, ".depthwise_kernel", run->options.blur));
        VT_TRY(vt_blur_kernels(run->pupils[i].graph, "Beta.kernel", run->options.blur));
    }
    return VT_OK;
}
