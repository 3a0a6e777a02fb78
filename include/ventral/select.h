/* Choosing stimuli: which images of a pool to show next. */
#ifndef VENTRAL_SELECT_H
#define VENTRAL_SELECT_H

#include "ventral/image_stream.h"
#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_select_strategy {
    VT_SELECT_RANDOM,
    VT_SELECT_TOP,          /* the largest responses of each neuron */
    VT_SELECT_DISAGREEMENT, /* where the members of an ensemble disagree (active learning) */
} vt_select_strategy;

/* "random", "top", "disagreement"; VT_ENOTFOUND lists them. */
vt_status vt_select_find(vt_select_strategy *out, const char *name);

/* A node of a model, as vt_graph_find takes it; NULL: the model's output. */
typedef struct vt_select_member {
    vt_model *model;
    const char *node;
} vt_select_member;

/* Zero means the default in brackets. */
typedef struct vt_select_options {
    vt_select_strategy strategy;
    int64_t count; /* images in all; TOP: of each neuron [500] */
    /* TOP: neurons are numbered through all members. DISAGREEMENT: at least two members that
     * predict the same neurons. RANDOM: of no account. */
    const vt_select_member *members;
    int member_count;
    const int64_t *neurons; /* that count [all] */
    int64_t neuron_count;
    bool lowest; /* TOP: the smallest responses instead */
    /* DISAGREEMENT, after Cowley & Pillow (2020), whose numbers are the defaults */
    double random;                    /* share of the images that is drawn at random from the rest
                                         of the pool [0.5; < 0: none] */
    int64_t candidates;               /* images that disagree most, which the core-set covers
                                         [8 for each it takes; the pool where that is smaller] */
    const vt_select_member *features; /* what it covers them in: a node, maps averaged over places
                                         [the members' mean response] */
    const char *cache; /* file of responses to the pool, as of vt_teacher; NULL: kept nowhere */
    bool bf16;
    uint64_t seed;
    const vt_progress *progress; /* counts images of the pool */
} vt_select_options;

typedef struct vt_selected {
    int64_t index;               /* in the pool */
    vt_select_strategy strategy; /* that chose it */
    int64_t neuron;              /* TOP; else -1 */
    double score;                /* TOP: response; DISAGREEMENT: median distance; else NaN */
} vt_selected;

typedef struct vt_selection {
    vt_selected *items; /* TOP: neuron by neuron, best first; DISAGREEMENT: in the order in which
                           the core-set took them, then random ones, which are in the pool's */
    int64_t count;
    bool lowest;   /* as was asked for */
    double radius; /* DISAGREEMENT: the largest distance of a candidate from the core-set */
} vt_selection;

/* Chooses images of the pool. Its images are read in order, some hundred at a time; what is kept
 * are scores and, of the candidates, features. Equal scores are ranked by index; what is drawn
 * depends on the seed alone. VT_EINVAL: more images than the pool has, members that do not fit
 * together; VT_ENUMERIC: a response is not finite; VT_EINTERRUPTED: what the cache has is kept. */
vt_status vt_select(vt_selection *out, vt_image_stream *pool, const vt_select_options *options);
void vt_selection_free(vt_selection *selection);

/* For each image the median Euclidean distance between two members' responses (images, members,
 * neurons), at least two members; to out (images). */
vt_status vt_disagreement(double *out, const float *responses, int64_t images, int members,
                          int64_t neurons);

/* Core-set (Sener & Savarese 2018): the greedy k-centre. The first of points (count, size), then
 * again and again the one whose distance from the nearest chosen is largest, the first of equals.
 * Writes `wanted` indices to out and the largest distance left to *radius. */
vt_status vt_core_set(int64_t *out, double *radius, const float *points, int64_t count,
                      int64_t size, int64_t wanted);

typedef enum vt_select_format {
    VT_SELECT_PNG,  /* lossless */
    VT_SELECT_JPEG, /* quality 95, chroma at full resolution */
} vt_select_format;

/* Writes folder/images.zip, each image once as the pool shows it: image0001.png and on, in the
 * order of the selection; and folder/selection.csv: rank, image (its name in the pool), score,
 * source, neuron, file (in the zip). Ranks count within a neuron or source from 1. The folder is
 * made where it is not there; both files appear whole, the list last. The source is "random",
 * "top", "lowest" or "disagreement". */
vt_status vt_selection_write(const vt_selection *selection, vt_image_stream *pool,
                             const char *folder, vt_select_format format);

#ifdef __cplusplus
}
#endif
#endif
