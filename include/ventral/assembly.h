/* Neuronal assemblies: recordings as Brain-Score stores them, NetCDF4 files of xarray. */
#ifndef VENTRAL_ASSEMBLY_H
#define VENTRAL_ASSEMBLY_H

#include "ventral/image.h"
#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Stimuli are in the order in which they first appear; a stimulus's presentations are its repeats.
 */
typedef struct vt_assembly {
    int64_t images, neurons;
    int64_t repeats;    /* most repeats of a stimulus */
    char **stimuli;     /* (images) identifiers */
    vt_tensor raw;      /* float64 (neurons, images, repeats), NaN where missing */
    vt_tensor averaged; /* float64 (neurons, images) */
    int64_t *labels;    /* (images) kinds of stimuli; NULL when no coordinate was named */
} vt_assembly;

/* Reads an assembly: one variable of numbers with the dimensions presentation and neuroid, and
 * perhaps time_bin, over which the mean is taken. Their order is that of the dimensions' names, or,
 * where the file names none, that which the sizes tell: presentations first or second, time bins
 * last. A coordinate "stimulus_id" or "image_id" along the presentations, of strings or numbers,
 * says what was shown. `labels` names another one along these, which tells kinds of stimuli, such
 * as "texture_type"; or NULL. Variables in groups are not looked at; _FillValue, missing_value,
 * scale_factor and add_offset are. VT_EFORMAT when something of this is missing; VT_ENUMERIC when a
 * neuron has no response to a stimulus. Free with vt_assembly_free. */
vt_status vt_assembly_read(vt_assembly *out, const char *path, const char *labels);
void vt_assembly_free(vt_assembly *assembly);

/* Where the stimuli are among images: out (assembly->images), by file names without their endings,
 * or with them where identifiers have them. VT_ENOTFOUND names the first that is not there. */
vt_status vt_assembly_match(int64_t *out, const vt_assembly *assembly,
                            const vt_image_source *images);

#ifdef __cplusplus
}
#endif
#endif
