/* Recording from a network as from V1: every element of a layer's map is a unit, whose receptive
 * field is mapped with small gratings; those that look at the gratings' centre are shown the sets
 * of orientation, spatial frequency and size, and textures where there are some, and answer in
 * spikes a second (Marques, Schrimpf & DiCarlo 2021, as Brain-Score measures its V1 properties). */
#ifndef VENTRAL_RECORDING_H
#define VENTRAL_RECORDING_H

#include "ventral/grating.h"
#include "ventral/model.h"
#include "ventral/texture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Positions a side of the receptive field set, their distance, and the place that units are kept
 * for, with how far away their receptive field may be; degrees. */
#define VT_FIELD_SIDE 21
#define VT_FIELD_STEP 0.25
#define VT_FIELD_CENTRE 0.5
#define VT_FIELD_REACH 0.15

/* Zero means the default in brackets. */
typedef struct vt_recording_options {
    double degrees;   /* visual field of the network's image [8] */
    int batch;        /* stimuli at a time [64 up to 64 x 64 pixels, fewer above, at least 8] */
    size_t map_bytes; /* memory for maps of receptive fields; for more units it is filled several
                         times, each showing their stimuli again [an eighth of the machine's, at
                         most 2 GiB] */
    vt_backend_kind backend;
    bool bf16;                      /* bfloat16 products where the processor has them */
    const vt_texture_set *textures; /* shown after the gratings [none] */
    const vt_progress *progress;    /* stimuli */
} vt_recording_options;

/* Where a recording's time went, seconds. */
typedef struct vt_recording_time {
    double stimuli, network, analysis;
} vt_recording_time;

/* From one node. */
typedef struct vt_recording {
    char reason[512];       /* why nothing can be recorded here, no map is there then; "": it is */
    int64_t units;          /* of the node */
    int64_t answering;      /* of them, those that any grating drives above the blank */
    int64_t kept;           /* of them, those whose receptive field is at the centre */
    int64_t responsive;     /* of them, those that decide about slope and offset */
    double slope, offset;   /* spikes/s = slope activation + offset, rectified before and after */
    vt_recording_time time; /* of all nodes that were recorded together */
    /* What vt_tuning_measure takes and figures need, for vt_npz_write:
     *   responses.SET (kept, stimuli), stimuli.SET (stimuli, 7) of orientation, spatial_frequency
     *     and size, float64, in the published order; baseline (kept, 1), to the blank; spikes/s,
     *   unit (kept, 3) int64: row, column and channel in the node's map,
     *   unit.position (kept, 2), y and x, and unit.size (kept) of its receptive field, degrees,
     *   unit.map (kept, 21, 21) float32: the largest activation above blank at each position,
     *   node.position (units, 2) and node.size (units) of all units, NaN where nothing drives one,
     *   affine (2): slope and offset; the texts model and node;
     *   with textures responses.texture (kept, stimuli), texture.type, texture.family and
     *     texture.sample (stimuli) int64, and the text textures: their vt_texture_set_origin. */
    vt_tensor_map *map;
} vt_recording;

/* A network to record from, all of it borrowed. */
typedef struct vt_subject {
    vt_graph *graph;
    vt_node input; /* an image (height, width, 3) */
    const vt_preprocessing *preprocessing;
    const char *label; /* for messages */
} vt_subject;

/* Shows the blank, the receptive field set and the three others once to all of `nodes`, and plans
 * only what they need; out[i] is of nodes[i]. The size of a receptive field is the diameter of a
 * disc with the area of the positions above 5 % of its largest; its place their centroid. A node
 * has a `reason` where no unit answers to gratings, none has its receptive field at the centre, or
 * none of those answers to gratings of the orientation set more than to the blank. VT_ENUMERIC: an
 * activation is not finite. */
vt_status vt_record_graph(vt_recording *out, const vt_subject *subject, const vt_node *nodes,
                          int count, const vt_recording_options *options);
/* The same of a model's nodes or modules, such as "layer1"; NULL: its output. VT_ENOTFOUND: there
 * is none of this name. */
vt_status vt_record(vt_recording *out, vt_model *model, const char *const *nodes, int count,
                    const vt_recording_options *options);
void vt_recording_free(vt_recording *recording);

#ifdef __cplusplus
}
#endif
#endif
