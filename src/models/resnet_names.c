/* Names of the V1 networks and the components they have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/resnet.h"

enum {
    CS = VT_HAS_CENTER_SURROUND,
    LRF = VT_HAS_LOCAL_RECEPTIVE_FIELDS,
    DN = VT_HAS_DIVISIVE_NORMALIZATION,
    TN = VT_HAS_TUNED_NORMALIZATION,
    CM = VT_HAS_CORTICAL_MAGNIFICATION,
};

static const struct {
    const char *name;
    unsigned components;
} variants[VT_RESNET_VARIANTS] = {
    [VT_RESNET_PLAIN] = {"", 0},
    [VT_RESNET_CENTER_SURROUND] = {"center_surround", CS},
    [VT_RESNET_LOCAL_RF] = {"local_rf", LRF},
    [VT_RESNET_DIV_NORM] = {"div_norm", DN},
    [VT_RESNET_TUNED_NORM] = {"tuned_norm", TN},
    [VT_RESNET_CORTICAL_MAGNIFICATION] = {"cortical_magnification", CM},
    [VT_RESNET_COMPOSITE_A] = {"composite_a", CS | LRF | TN | CM},
    [VT_RESNET_COMPOSITE_B] = {"composite_b", LRF | TN | CM},
    [VT_RESNET_COMPOSITE_C] = {"composite_c", CS | LRF | CM},
    [VT_RESNET_COMPOSITE_D] = {"composite_d", CS | LRF | TN},
    [VT_RESNET_COMPOSITE_E] = {"composite_e", TN | CM},
    [VT_RESNET_COMPOSITE_F] = {"composite_f", LRF | CM},
    [VT_RESNET_COMPOSITE_G] = {"composite_g", LRF | TN},
};

unsigned vt_resnet_components(vt_resnet_variant variant)
{
    return variant < VT_RESNET_VARIANTS ? variants[variant].components : 0;
}

const char *vt_formulation_name(vt_formulation formulation)
{
    return formulation == VT_RELEASED ? "released" : "described";
}

/* The depth a name begins with, and where its variant begins; ResNet-50 when it names none. */
static int parse_depth(const char *name, const char **variant)
{
    static const struct {
        const char *name;
        int depth;
    } depths[] = {{"resnet18", 18}, {"resnet34", 34}, {"resnet50", 50}};
    *variant = name;
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        size_t length = strlen(depths[i].name);
        if (strncmp(name, depths[i].name, length) != 0) continue;
        if (name[length] != '\0' && name[length] != '-') continue;
        *variant = name + length + (name[length] == '-' && name[length + 1]);
        return depths[i].depth;
    }
    return *name ? 50 : 0;
}

vt_status vt_resnet_parse_name(vt_resnet_options *options, const char *name)
{
    const char *variant;
    int depth = parse_depth(name, &variant);
    bool plain_needs_depth = variant != name || *variant;
    for (int v = 0; v < VT_RESNET_VARIANTS && depth && plain_needs_depth; v++)
        if (strcmp(variant, variants[v].name) == 0) {
            options->variant = (vt_resnet_variant)v;
            options->depth = depth;
            return VT_OK;
        }
    return vt_error(VT_EINVAL,
                    "there is no network '%s': resnet18, resnet34, resnet50, or center_surround, "
                    "local_rf, div_norm, tuned_norm, cortical_magnification, composite_a to "
                    "composite_g, of a ResNet-50 or, as in resnet18-composite_a, of another",
                    name);
}

const char *vt_resnet_name(const vt_resnet_options *options, char *text, size_t size)
{
    const char *variant = variants[options->variant].name;
    snprintf(text, size, "resnet%d%s%s", options->depth, *variant ? "-" : "", variant);
    return text;
}

unsigned vt_resnet_candidates(const vt_resnet_signs *s)
{
    unsigned shown = (s->center_surround ? CS : 0) | (s->local ? LRF : 0) | (s->divisive ? DN : 0) |
                     (s->tuned ? TN : 0);
    unsigned found = 0;
    for (int v = 0; v < VT_RESNET_VARIANTS; v++) {
        bool composite = v >= VT_RESNET_COMPOSITE_A;
        if ((variants[v].components & ~(unsigned)CM) != shown) continue;
        if ((s->center_surround || s->local) && composite != s->composite_names) continue;
        if (s->sequential_names != (v == VT_RESNET_CORTICAL_MAGNIFICATION)) continue;
        if ((variants[v].components & CM) && !s->magnification) continue;
        found |= 1u << v;
    }
    return found;
}
