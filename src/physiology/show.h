/* Showing gratings and textures to a network, batch by batch, and reading some of its nodes. */
#ifndef VT_PHYSIOLOGY_SHOW_H
#define VT_PHYSIOLOGY_SHOW_H

#include "ventral/recording.h"

/* A node that is read. */
typedef struct vt_show_node {
    vt_node node;
    int64_t size[3];      /* rows, columns, channels */
    int64_t first, units; /* its units are first .. first + units - 1 of all nodes' */
} vt_show_node;

typedef struct vt_show {
    vt_subject subject;
    vt_show_node *nodes; /* (count) */
    int count;
    int height, width;
    int64_t batch, units; /* units of all nodes */
    double degrees;       /* of visual field */
    vt_screen *screen;
    vt_plan *plan;
    vt_grating *gratings; /* (batch) */
    uint8_t *grey;        /* (batch, height, width) */
    float levels[256][3]; /* of each byte, what the network takes */
    vt_recording_time time;
    const vt_progress *progress;
    int64_t done, total; /* stimuli, of all sets, for the progress */
} vt_show;

/* Of show->nodes[node], activations (count, units) of stimuli first, first + 1, ... of those shown.
 * Called for one node after the other. */
typedef vt_status (*vt_show_receive)(void *context, const vt_show *show, int node, int64_t first,
                                     int64_t count, const float *activations);

/* `out` is freed by vt_show_free, also after a failure. */
vt_status vt_show_new(vt_show *out, const vt_subject *subject, const vt_node *nodes, int count,
                      const vt_recording_options *options);
void vt_show_free(vt_show *show);

/* Shows gratings of a set in the order `order`, NULL: theirs. Batches are always whole, filled up
 * with blanks, so that a unit that sees grey answers the same bits each time. */
vt_status vt_show_set(vt_show *show, vt_grating_set set, const int64_t *order,
                      vt_show_receive receive, void *context);
/* The same with textures, in their order. */
vt_status vt_show_textures(vt_show *show, const vt_texture_set *textures, vt_show_receive receive,
                           void *context);

static inline bool vt_is_finite_bits(float value)
{
    union {
        float value;
        uint32_t bits;
    } u = {value};
    return (u.bits & 0x7f800000) != 0x7f800000;
}

/* VT_ENUMERIC, which names the unit of the node. */
vt_status vt_show_not_finite(const vt_show *show, int node, int64_t unit, float value);

#endif
