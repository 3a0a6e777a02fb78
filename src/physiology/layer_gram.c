/* Inner products of images, layer by layer: G = (X - mean)(X - mean)', X (images, features). X is
 * never there as a whole: columns of some layers are collected from batches of images, added to
 * their layers' G, and forgotten. */
#include "physiology/layer_gram.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/gram.h"

/* Columns of a layer's features that are collected in one pass over the images. */
typedef struct piece {
    int layer;
    int64_t first, columns;
    float *data; /* (images, columns) */
} piece;

typedef struct collector {
    vt_model *model;
    const vt_layer_gram_options *options;
    int height, width;
    int64_t *features; /* (layers) */
    piece *pieces;
    vt_node *nodes; /* of the pieces */
    int piece_count;
    int next_layer; /* where the next pass begins */
    int64_t next_column;
    double *gram; /* of the layer at whose columns the passes are; NULL: at none yet */
    float *pixels;
    int64_t *indices;
    vt_workspace *workspace;
    int64_t done, total; /* images shown, in all passes */
} collector;

/* The pieces of the next pass. A layer is cut only where it alone is more than memory. */
static void choose_pieces(collector *c)
{
    const vt_layer_gram_options *o = c->options;
    int64_t capacity = (int64_t)(o->memory / sizeof(float)) / o->images, room;
    if (capacity < 1) capacity = 1;
    room = capacity;
    c->piece_count = 0;
    while (room > 0 && c->next_layer < o->count) {
        int64_t left = c->features[c->next_layer] - c->next_column;
        if (left > room && c->piece_count > 0) break;
        int64_t columns = left < room ? left : room;
        c->pieces[c->piece_count] = (piece){c->next_layer, c->next_column, columns, NULL};
        c->nodes[c->piece_count++] = o->nodes[c->next_layer];
        room -= columns;
        c->next_column += columns;
        if (columns == left) {
            c->next_layer++;
            c->next_column = 0;
        }
    }
}

static int64_t count_passes(collector *c)
{
    int64_t passes = 0;
    for (; c->next_layer < c->options->count; passes++)
        choose_pieces(c);
    c->next_layer = 0;
    return passes;
}

/* Shows the images first .. first + count - 1; the batch is filled up with the last one. */
static vt_status show(collector *c, vt_plan *plan, int64_t first, int64_t count)
{
    const vt_layer_gram_options *o = c->options;
    for (int64_t i = 0; i < o->batch; i++) {
        int64_t image = first + (i < count ? i : count - 1);
        c->indices[i] = o->stimulus ? o->stimulus[image] : image;
    }
    VT_TRY(vt_stimulus_set_read(o->stimuli, c->indices, o->batch, c->height, c->width,
                                vt_model_preprocessing(c->model), c->pixels));
    vt_tensor *input = vt_plan_input(plan, vt_model_input(c->model));
    if (input) memcpy(input->data, c->pixels, vt_tensor_bytes(input));
    VT_TRY(vt_plan_forward(plan));
    for (int p = 0; p < c->piece_count; p++) {
        const piece *piece = &c->pieces[p];
        const float *values = vt_plan_output(plan, c->nodes[p])->data;
        for (int64_t i = 0; i < count; i++)
            memcpy(piece->data + (first + i) * piece->columns,
                   values + i * c->features[piece->layer] + piece->first,
                   (size_t)piece->columns * sizeof *values);
    }
    return VT_OK;
}

static vt_status collect(collector *c)
{
    const vt_layer_gram_options *o = c->options;
    vt_plan_options options = {.batch = o->batch,
                               .outputs = c->nodes,
                               .output_count = c->piece_count,
                               .backend = o->backend,
                               .bf16 = o->bf16,
                               .workspace = c->workspace};
    vt_plan *plan;
    VT_TRY(vt_plan_new(&plan, vt_model_graph(c->model), &options));
    vt_status status = VT_OK;
    for (int64_t first = 0; status == VT_OK && first < o->images; first += o->batch) {
        int64_t count = o->images - first < o->batch ? o->images - first : o->batch;
        status = show(c, plan, first, count);
        c->done += count;
        if (status == VT_OK) status = vt_progress_report(o->progress, c->done, c->total, NULL);
    }
    vt_plan_free(plan);
    return status;
}

/* Adds the columns of one piece, and hands the layer's matrix over after its last one. */
static vt_status reduce_piece(collector *c, const piece *p)
{
    const vt_layer_gram_options *o = c->options;
    int64_t n = o->images, features = c->features[p->layer];
    const char *name = vt_graph_node_name(vt_model_graph(c->model), o->nodes[p->layer]);
    vt_matrix x = {.f32 = p->data, .rows = n, .columns = p->columns};
    vt_status status = vt_matrix_check(&x, "features", "image", "feature");
    if (status != VT_OK) return vt_error_context(status, "%s", name);
    int64_t block_columns = vt_gram_block_columns(n, p->columns);
    double *mean = vt_alloc((size_t)p->columns, sizeof *mean);
    double *block = vt_alloc((size_t)n, (size_t)block_columns * sizeof *block);
    if (p->first == 0) c->gram = vt_alloc((size_t)n, (size_t)n * sizeof *c->gram);
    if (mean && block && c->gram) {
        vt_blas_threads(n * n * p->columns);
        vt_matrix_means(mean, &x, NULL, n);
        vt_gram_add(c->gram, &x, mean, block, block_columns);
    } else {
        status = VT_ENOMEM;
    }
    free(mean);
    free(block);
    if (status != VT_OK || p->first + p->columns < features) return status;
    vt_gram_mirror(c->gram, n);
    status = o->receive(o->context, p->layer, features, c->gram);
    free(c->gram);
    c->gram = NULL;
    return status;
}

static vt_status run_pass(collector *c)
{
    int64_t columns = 0;
    choose_pieces(c);
    for (int p = 0; p < c->piece_count; p++)
        columns += c->pieces[p].columns;
    float *data = vt_alloc((size_t)c->options->images, (size_t)columns * sizeof *data);
    if (!data) return VT_ENOMEM;
    float *next = data;
    for (int p = 0; p < c->piece_count; p++) {
        c->pieces[p].data = next;
        next += c->options->images * c->pieces[p].columns;
    }
    vt_status status = collect(c);
    for (int p = 0; status == VT_OK && p < c->piece_count; p++)
        status = reduce_piece(c, &c->pieces[p]);
    free(data);
    return status;
}

static vt_status prepare(collector *c)
{
    const vt_layer_gram_options *o = c->options;
    size_t layers = (size_t)o->count;
    vt_model_image_size(c->model, &c->height, &c->width);
    c->features = vt_alloc(layers, sizeof *c->features);
    c->pieces = vt_alloc(layers, sizeof *c->pieces);
    c->nodes = vt_alloc(layers, sizeof *c->nodes);
    c->indices = vt_alloc((size_t)o->batch, sizeof *c->indices);
    c->pixels =
        vt_alloc((size_t)o->batch, (size_t)c->height * (size_t)c->width * 3 * sizeof *c->pixels);
    if (!c->features || !c->pieces || !c->nodes || !c->indices || !c->pixels) return VT_ENOMEM;
    for (int l = 0; l < o->count; l++) {
        int64_t size[VT_MAX_DIMS];
        int ndim = vt_graph_node_size(vt_model_graph(c->model), o->nodes[l], size);
        c->features[l] = 1;
        for (int i = 0; i < ndim; i++)
            c->features[l] *= size[i];
    }
    c->total = count_passes(c) * o->images;
    return vt_workspace_new(&c->workspace);
}

vt_status vt_layer_grams(vt_model *model, const vt_layer_gram_options *options)
{
    collector c = {.model = model, .options = options};
    vt_status status = prepare(&c);
    while (status == VT_OK && c.next_layer < options->count)
        status = run_pass(&c);
    free(c.features);
    free(c.pieces);
    free(c.nodes);
    free(c.indices);
    free(c.pixels);
    free(c.gram);
    vt_workspace_free(c.workspace);
    return status;
}
