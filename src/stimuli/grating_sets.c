/* The parameters of the published sets of gratings, in their order (Marques, Schrimpf & DiCarlo
 * 2021; Brain-Score's Marques2020 stimuli).
 *
 * Frequencies are 2^f, f = -1.375, -1.125, ..., 3.875 cycles a degree, and radii 2^r / 2, r =
 * -2.25, -1.75, ..., 3.25 degrees; orientations steps of 15 degrees and phases of 45. All but the
 * receptive field's gratings have their centre at (0.5, 0.5) degrees. */
#include <math.h>
#include <string.h>

#include "ventral/grating.h"

static const char *const names[VT_GRATING_SETS] = {"blank", "receptive_field", "orientation",
                                                   "spatial_frequency", "size"};

/* Of each set, how many values its parameters take, the fastest first. */
static const int counts[VT_GRATING_SETS][4] = {
    {1, 1, 1, 1},   /* blank */
    {21, 21, 2, 4}, /* x, y, phase, orientation */
    {8, 12, 4, 3},  /* phase, orientation, frequency, cycles */
    {8, 6, 22, 2},  /* phase, orientation, frequency, radius */
    {8, 6, 4, 12},  /* phase, orientation, frequency, radius */
};

static double frequency_at(int i)
{
    return pow(2, -1.375 + 0.25 * i);
}

/* The four frequencies of the orientation and the size set. */
static double chosen_frequency(int i)
{
    return frequency_at(4 * (i + 1));
}

vt_status vt_grating_set_find(vt_grating_set *out, const char *name)
{
    for (int set = 0; set < VT_GRATING_SETS; set++)
        if (strcmp(name, names[set]) == 0) {
            *out = (vt_grating_set)set;
            return VT_OK;
        }
    return vt_error(VT_ENOTFOUND, "'%s' is no set of gratings: %s, %s, %s, %s or %s", name,
                    names[0], names[1], names[2], names[3], names[4]);
}

const char *vt_grating_set_name(vt_grating_set set)
{
    return names[set];
}

int64_t vt_grating_set_count(vt_grating_set set)
{
    const int *n = counts[set];
    return (int64_t)n[0] * n[1] * n[2] * n[3];
}

vt_status vt_grating_set_at(vt_grating *out, vt_grating_set set, int64_t index)
{
    if (index < 0 || index >= vt_grating_set_count(set))
        return vt_error(VT_EINVAL, "the set %s has no grating %lld; it has %lld", names[set],
                        (long long)index, (long long)vt_grating_set_count(set));
    int at[4];
    for (int k = 0; k < 4; k++) {
        at[k] = (int)(index % counts[set][k]);
        index /= counts[set][k];
    }
    vt_grating g = {.y = 0.5, .x = 0.5, .contrast = 1, .phase = 45 * at[0]};
    switch (set) {
    case VT_GRATINGS_RECEPTIVE_FIELD:
        g.x = -2.5 + 0.25 * at[0];
        g.y = -2.5 + 0.25 * at[1];
        g.phase = 180 * at[2];
        g.orientation = 45 * at[3];
        g.radius = 1.0 / 6;
        g.frequency = 3;
        break;
    case VT_GRATINGS_ORIENTATION:
        g.orientation = 15 * at[1];
        g.frequency = chosen_frequency(at[2]);
        g.radius = (at[3] + 2) / 2.0 / g.frequency;
        break;
    case VT_GRATINGS_SPATIAL_FREQUENCY:
        g.orientation = 30 * at[1];
        g.frequency = frequency_at(at[2]);
        g.radius = at[3] == 0 ? 0.75 : 2.25;
        break;
    case VT_GRATINGS_SIZE:
        g.orientation = 30 * at[1];
        g.frequency = chosen_frequency(at[2]);
        g.radius = pow(2, -2.25 + 0.5 * at[3]) / 2;
        break;
    default: g = (vt_grating){.radius = -1};
    }
    *out = g;
    return VT_OK;
}
