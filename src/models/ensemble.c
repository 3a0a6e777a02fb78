/* Ensembles of networks on pixels or on a frozen front end (see ventral/ensemble.h). */
#include "ventral/ensemble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "graph/graph.h"
#include "models/ensemble.h"

static const double momentum = 0.01; /* of running statistics, as Keras has it */

/* Layers to begin with, in their own graph. `description` and `tap` go into the file. */
typedef struct front_end {
    const vt_graph *graph;
    vt_node input, end;
    const char *prefix, *description, *tap;
    vt_preprocessing preprocessing;
} front_end;

/* One member under construction. */
typedef struct builder {
    vt_graph *graph;
    const vt_ensemble_options *o;
    int member;
    char names[4][64]; /* as many as one call needs */
    int next;
} builder;

static const char *path(builder *b, const char *part, const char *tail)
{
    char *name = b->names[b->next++ % 4];
    snprintf(name, sizeof b->names[0], "member%d.%s%s", b->member, part, tail);
    return name;
}

static vt_node norm_relu(builder *b, vt_node x, const char *part)
{
    x = vt_batch_norm(b->graph, x,
                      &(vt_batch_norm_options){.name = path(b, part, "_bn"),
                                               .epsilon = b->o->epsilon,
                                               .momentum = momentum});
    return vt_relu(b->graph, x, path(b, part, "_act"));
}

static vt_node pointwise(builder *b, vt_node x, const char *name, int filters, bool bias)
{
    return vt_conv2d(
        b->graph, x,
        &(vt_conv2d_options){.name = name, .filters = filters, .kernel = {1, 1}, .no_bias = !bias});
}

/* Depthwise, then 1 x 1: NAME_depth and NAME. */
static vt_node separable(builder *b, vt_node x, const char *part, const vt_conv2d_options *o)
{
    int64_t size[VT_MAX_DIMS];
    if (vt_graph_node_size(b->graph, x, size) != 3) return VT_NO_NODE;
    x = vt_conv2d(b->graph, x,
                  &(vt_conv2d_options){.name = path(b, part, "_depth"),
                                       .kernel_name = path(b, part, ".depthwise_kernel"),
                                       .filters = (int)size[2],
                                       .groups = (int)size[2],
                                       .kernel = {o->kernel[0], o->kernel[0]},
                                       .stride = {o->stride[0], o->stride[0]},
                                       .padding = VT_PAD_SAME,
                                       .no_bias = true});
    return vt_conv2d(b->graph, x,
                     &(vt_conv2d_options){.name = path(b, part, ""),
                                          .kernel_name = path(b, part, ".pointwise_kernel"),
                                          .filters = o->filters,
                                          .kernel = {1, 1},
                                          .no_bias = o->no_bias});
}

static vt_node stem(builder *b, vt_node x)
{
    x = vt_conv2d(b->graph, x,
                  &(vt_conv2d_options){.name = path(b, "stem0", "_conv"),
                                       .filters = b->o->stem[0],
                                       .kernel = {5, 5},
                                       .stride = {2, 2},
                                       .padding = VT_PAD_SAME,
                                       .no_bias = true});
    x = norm_relu(b, x, "stem0");
    x = separable(b, x, "stem1",
                  &(vt_conv2d_options){
                      .filters = b->o->stem[1], .kernel = {5}, .stride = {2}, .no_bias = true});
    return norm_relu(b, x, "stem1");
}

static vt_node block(builder *b, vt_node input, int index)
{
    const vt_conv2d_options half = {
        .filters = b->o->channels / 2, .kernel = {3}, .stride = {1}, .no_bias = true};
    bool last = index == b->o->blocks - 1;
    char name[3][24];
    snprintf(name[0], sizeof name[0], "block%d", index);
    snprintf(name[1], sizeof name[1], "block%d_a", index);
    snprintf(name[2], sizeof name[2], "block%d_b", index);
    vt_node x = input;
    for (int i = 1; i <= 2; i++)
        x = norm_relu(b, separable(b, x, name[i], &half), name[i]);
    x = pointwise(b, x, path(b, name[0], "_out"), b->o->channels, true);
    return vt_add(b->graph, x, input, path(b, last ? "embedding" : name[0], ""));
}

static vt_node readout(builder *b, vt_node x)
{
    int64_t size[VT_MAX_DIMS];
    if (vt_graph_node_size(b->graph, x, size) != 3) return VT_NO_NODE;
    if (b->o->flat) {
        x = vt_flatten(b->graph, x, path(b, "features", ""));
        return vt_linear(
            b->graph, x,
            &(vt_linear_options){.name = path(b, "readout", ""), .units = b->o->outputs});
    }
    x = pointwise(b, x, path(b, "mixing_stage", ""), b->o->outputs, true);
    x = vt_conv2d(
        b->graph, x,
        &(vt_conv2d_options){.name = path(b, "spatial_pool_stage", ""),
                             .kernel_name = path(b, "spatial_pool_stage", ".depthwise_kernel"),
                             .filters = b->o->outputs,
                             .groups = b->o->outputs,
                             .kernel = {(int)size[0], (int)size[1]}});
    return vt_flatten(b->graph, x, path(b, "responses", ""));
}

static vt_node member(vt_graph *graph, vt_node x, const vt_ensemble_options *o, int index,
                      bool has_stem)
{
    builder b = {.graph = graph, .o = o, .member = index};
    if (has_stem) x = stem(&b, x);
    x = pointwise(&b, x, path(&b, "expand", "_conv"), o->channels, false);
    x = norm_relu(&b, x, "expand");
    x = separable(&b, x, "reduce",
                  &(vt_conv2d_options){.filters = o->channels, .kernel = {3}, .stride = {2}});
    for (int i = 0; i < o->blocks; i++)
        x = block(&b, x, i);
    return o->outputs > 0 ? readout(&b, x) : x;
}

static void build(vt_model *model, const front_end *front)
{
    const vt_ensemble_options *o = &model->options.ensemble;
    vt_graph *g = model->graph;
    model->input = vt_input(g, "image_input", 3, (int64_t[]){o->height, o->width, 3});
    model->core_input = model->input;
    if (front)
        model->core_input =
            vt_graph_copy(g, model->input, front->graph, front->input, front->end, front->prefix);
    for (int i = 0; i < o->members; i++) {
        char name[32];
        vt_node x = member(g, model->core_input, o, i, !front);
        snprintf(name, sizeof name, i == o->members - 1 ? "mean" : "mean%d", i);
        model->output =
            i == 0 ? x : vt_blend(g, model->output, x, &(vt_blend_options){name, 1.0 / (i + 1)});
    }
}

static vt_status check_options(const vt_ensemble_options *o)
{
    if (o->members < 1 || o->members > VT_ENSEMBLE_MEMBERS)
        return vt_error(VT_EINVAL, "ensemble: %d members; 1 to %d are possible", o->members,
                        VT_ENSEMBLE_MEMBERS);
    for (int i = 0; i < VT_ENSEMBLE_STEM; i++)
        if (o->stem[i] < 1 || o->stem[i] > 4096)
            return vt_error(VT_EINVAL, "ensemble: %d filters in the stem; 1 to 4096 are possible",
                            o->stem[i]);
    if (o->channels < 2 || o->channels > 8192 || o->channels % 2)
        return vt_error(VT_EINVAL,
                        "ensemble: %d channels; an even number from 2 to 8192 is possible",
                        o->channels);
    if (o->blocks < 1 || o->blocks > 64)
        return vt_error(VT_EINVAL, "ensemble: %d blocks; 1 to 64 are possible", o->blocks);
    if (o->height < 8 || o->width < 8 || o->height > 4096 || o->width > 4096)
        return vt_error(VT_EINVAL, "ensemble: images of %d x %d; 8 to 4096 are possible", o->height,
                        o->width);
    if (!(o->epsilon > 0))
        return vt_error(VT_EINVAL, "ensemble: epsilon %g must be above 0", o->epsilon);
    if (o->outputs < 0) return vt_error(VT_EINVAL, "ensemble: %d outputs", o->outputs);
    return VT_OK;
}

/* What the front end decides. */
static vt_status take_front(vt_model *model, const front_end *front)
{
    int64_t size[VT_MAX_DIMS];
    vt_ensemble_options *o = &model->options.ensemble;
    if (vt_graph_node_size(front->graph, front->end, size) != 3)
        return vt_error(VT_ESHAPE, "node %s is no map of features that members could go on from",
                        front->tap);
    vt_graph_node_size(front->graph, front->input, size);
    o->height = (int)size[0];
    o->width = (int)size[1];
    model->preprocessing = front->preprocessing;
    model->front = vt_strdup(front->description);
    model->tap = vt_strdup(front->tap);
    return model->front && model->tap ? VT_OK : VT_ENOMEM;
}

static vt_status fill_in(vt_model *model, const vt_ensemble_options *options,
                         const front_end *front)
{
    static const int stems[VT_ENSEMBLE_STEM] = {16, 32};
    vt_ensemble_options *o = &model->options.ensemble;
    *o = *options;
    if (o->members == 0) o->members = 1;
    for (int i = 0; i < VT_ENSEMBLE_STEM; i++)
        if (o->stem[i] == 0) o->stem[i] = stems[i];
    if (o->channels == 0) o->channels = front ? 512 : 64;
    if (o->blocks == 0) o->blocks = 4;
    if (o->height == 0) o->height = 112;
    if (o->width == 0) o->width = 112;
    if (o->epsilon == 0) o->epsilon = 1e-3;
    model->architecture = &vt_architecture_ensemble;
    model->preprocessing = vt_preprocessing_v4;
    model->outputs = o->outputs;
    model->source = "new";
    if (front) VT_TRY(take_front(model, front));
    return check_options(o);
}

/* Where the weights come from: drawn from `seed`, or, when it is NULL, to be filled in, at most so
 * many. */
typedef struct weights {
    const uint64_t *seed;
    int64_t most;
} weights;

static vt_status make(vt_model **out, const vt_ensemble_options *options, const front_end *front,
                      const weights *from)
{
    vt_model *model = vt_alloc(1, sizeof *model);
    if (!model) return VT_ENOMEM;
    vt_status status = fill_in(model, options, front);
    if (status == VT_OK) status = vt_graph_new(&model->graph, VT_F32, VT_NAMES_KERAS);
    if (status == VT_OK) {
        build(model, front);
        status = from->seed ? vt_graph_finish(model->graph, *from->seed)
                            : vt_graph_finish_empty(model->graph, from->most);
    }
    if (status != VT_OK) {
        vt_model_free(model);
        return status;
    }
    vt_graph_set_trainable(model->graph, "front.", false);
    *out = model;
    return VT_OK;
}

static char *describe_front(const vt_model *front)
{
    json_t *root = vt_model_describe(front);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) vt_error(VT_ENOMEM, "the front end's description could not be made");
    return text;
}

static vt_status make_on(vt_model **out, const vt_ensemble_options *options, const vt_model *front,
                         const char *tap, const weights *from)
{
    if (!front) return make(out, options, NULL, from);
    if (front->architecture == &vt_architecture_ensemble)
        return vt_error(VT_EUNSUPPORTED, "%s: an ensemble cannot be a front end",
                        vt_model_label(front));
    vt_node end = tap ? vt_graph_find(front->graph, tap) : VT_NO_NODE;
    if (end == VT_NO_NODE)
        return vt_error(VT_ENOTFOUND, "%s has no node '%s'; 'ventral info' lists them",
                        vt_model_label(front), tap ? tap : "");
    char *text = describe_front(front);
    if (!text) return VT_ENOMEM;
    front_end begin = {.graph = front->graph,
                       .input = front->input,
                       .end = end,
                       .prefix = "front.",
                       .description = text,
                       .tap = tap,
                       .preprocessing = front->preprocessing};
    vt_status status = make(out, options, &begin, from);
    free(text);
    return status;
}

vt_status vt_ensemble_new(vt_model **out, const vt_ensemble_options *options, const vt_model *front,
                          const char *tap)
{
    VT_TRY(make_on(out, options, front, tap, &(weights){.seed = &options->seed}));
    if (front) vt_graph_copy_values((*out)->graph, front->graph, "front.");
    return VT_OK;
}

vt_status vt_ensemble_new_empty(vt_model **out, const vt_ensemble_options *options,
                                const vt_model *front, const char *tap, int64_t most)
{
    return make_on(out, options, front, tap, &(weights){.most = most});
}

/* Another ensemble on the same front end, weights 0. */
static vt_status make_like(vt_model **out, const vt_model *model,
                           const vt_ensemble_options *options)
{
    front_end front = {.graph = model->graph,
                       .input = model->input,
                       .end = model->core_input,
                       .prefix = "",
                       .description = model->front,
                       .tap = model->tap,
                       .preprocessing = model->preprocessing};
    return make(out, options, model->front ? &front : NULL, &(weights){.most = INT64_MAX});
}

vt_status vt_model_ensemble_options(const vt_model *model, vt_ensemble_options *out)
{
    if (model->architecture != &vt_architecture_ensemble)
        return vt_error(VT_EUNSUPPORTED, "%s: an ensemble is needed, this is a %s",
                        vt_model_label(model), vt_model_architecture(model));
    *out = model->options.ensemble;
    return VT_OK;
}

const char *vt_ensemble_tap(const vt_model *model)
{
    return model->tap;
}

/* ---- members and readouts ---- */

int vt_ensemble_maps(const vt_model *model, vt_model_map *maps)
{
    const vt_ensemble_options *o = &model->options.ensemble;
    for (int i = 0; i < o->members; i++) {
        char name[32];
        snprintf(maps[i].prefix, sizeof maps[i].prefix, "member%d.", i);
        snprintf(name, sizeof name, "member%d.embedding", i);
        maps[i].node = vt_graph_find(model->graph, name);
    }
    return o->members;
}

static vt_status with_readout(vt_model **out, const vt_model *model, int outputs, bool flat)
{
    vt_ensemble_options options = model->options.ensemble;
    options.outputs = outputs;
    options.flat = flat;
    VT_TRY(make_like(out, model, &options));
    vt_graph_copy_values((*out)->graph, model->graph, "");
    return VT_OK;
}

vt_status vt_ensemble_with_outputs(vt_model **out, const vt_model *model, int outputs)
{
    return with_readout(out, model, outputs, false);
}

vt_status vt_ensemble_with_flat_readout(vt_model **out, const vt_model *model, int outputs)
{
    return with_readout(out, model, outputs, true);
}

/* Whether two ensembles can become one. */
static vt_status check_alike(const vt_model *a, const vt_model *b)
{
    vt_ensemble_options x = a->options.ensemble, y;
    VT_TRY(vt_model_ensemble_options(b, &y));
    bool same = memcmp(x.stem, y.stem, sizeof x.stem) == 0 && x.channels == y.channels &&
                x.blocks == y.blocks && x.height == y.height && x.width == y.width &&
                x.epsilon == y.epsilon && x.flat == y.flat;
    if (!same)
        return vt_error(VT_EINVAL, "%s: its members are not built as those of the first ensemble",
                        vt_model_label(b));
    same = !a->front == !b->front &&
           (!a->front || (strcmp(a->front, b->front) == 0 && strcmp(a->tap, b->tap) == 0));
    for (int i = 0; same && i < vt_graph_param_count(a->graph); i++) {
        const vt_param *p = vt_graph_param(a->graph, i);
        if (strncmp(p->name, "front.", 6) != 0) break;
        same = memcmp(p->value.data, vt_graph_param(b->graph, i)->value.data,
                      vt_tensor_bytes(&p->value)) == 0;
    }
    if (!same)
        return vt_error(VT_EINVAL, "%s: it has another front end than the first ensemble",
                        vt_model_label(b));
    same = x.outputs == y.outputs && a->session_count == b->session_count;
    for (size_t i = 0; same && i < a->session_count; i++) {
        const vt_model_session *s = &a->sessions[i], *t = &b->sessions[i];
        same = strcmp(s->id, t->id) == 0 && s->first == t->first && s->count == t->count &&
               s->first_neuron == t->first_neuron;
    }
    if (!same)
        return vt_error(VT_EINVAL, "%s: it predicts other neurons than the first ensemble",
                        vt_model_label(b));
    return VT_OK;
}

/* One member's weights to another's place. */
static void copy_member(vt_model *to, int to_member, const vt_model *from, int from_member)
{
    char prefix[16], name[VT_NAME_SIZE];
    int length = snprintf(prefix, sizeof prefix, "member%d.", from_member);
    for (int i = 0; i < vt_graph_param_count(from->graph); i++) {
        const vt_param *p = vt_graph_param(from->graph, i);
        if (strncmp(p->name, prefix, (size_t)length) != 0) continue;
        snprintf(name, sizeof name, "member%d.%s", to_member, p->name + length);
        memcpy(vt_graph_find_param(to->graph, name)->value.data, p->value.data,
               vt_tensor_bytes(&p->value));
    }
}

vt_status vt_ensemble_join(vt_model **out, vt_model *const *models, int count)
{
    vt_ensemble_options options, other = {.members = 0};
    vt_model *model;
    if (count < 1) return vt_error(VT_EINVAL, "ensemble: no members to join");
    VT_TRY(vt_model_ensemble_options(models[0], &options));
    options.members = 0;
    for (int m = 0; m < count; m++) {
        VT_TRY(check_alike(models[0], models[m]));
        VT_TRY(vt_model_ensemble_options(models[m], &other));
        options.members += other.members;
    }
    VT_TRY(make_like(&model, models[0], &options));
    vt_graph_copy_values(model->graph, models[0]->graph, ""); /* the front end, for one */
    for (int m = 0, member = 0; m < count; m++)
        for (int i = 0; i < models[m]->options.ensemble.members; i++)
            copy_member(model, member++, models[m], i);
    for (size_t i = 0; i < models[0]->session_count; i++) {
        vt_status status = vt_model_add_session(model, &models[0]->sessions[i]);
        if (status != VT_OK) {
            vt_model_free(model);
            return status;
        }
    }
    vt_graph_touch(model->graph);
    *out = model;
    return VT_OK;
}
