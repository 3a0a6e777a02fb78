/* Transformations by name, and accuracies as text and JSON. */
#include "classify.h"

#include <stdio.h>
#include <string.h>

vt_status cli_find_recipe(cli_recipe *out, const char *name)
{
    vt_transform crop = vt_transform_tiny_train;
    crop.pad_crop = 8;
    const cli_recipe recipes[] = {
        {"imagenet", vt_transform_imagenet_train, vt_transform_imagenet_validation},
        {"tiny", vt_transform_tiny_train, vt_transform_tiny_validation},
        {"crop", crop, vt_transform_tiny_validation},
    };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(recipes[i].name, name ? name : "imagenet") == 0) {
            *out = recipes[i];
            return VT_OK;
        }
    return vt_error(VT_EINVAL, "there is no transformation '%s': imagenet, tiny or crop", name);
}

vt_status cli_find_formulation(vt_formulation *out, const char *name)
{
    for (int f = VT_DESCRIBED; f <= VT_RELEASED; f++)
        if (!name || strcmp(name, vt_formulation_name((vt_formulation)f)) == 0) {
            *out = (vt_formulation)f;
            return VT_OK;
        }
    return vt_error(VT_EINVAL, "there is no formulation '%s': described or released", name);
}

json_t *cli_accuracy_json(const vt_accuracy *a)
{
    return json_pack("{s:I, s:f, s:f, s:o, s:I}", "images", (json_int_t)a->images, "top1", a->top1,
                     "top5", a->top5, "loss", cli_number(a->loss), "skipped",
                     (json_int_t)a->skipped);
}

void cli_print_accuracy(const char *what, const vt_accuracy *a)
{
    printf("%-28s top-1 %6.2f %%  top-5 %6.2f %%  loss %.4f", what, 100 * a->top1, 100 * a->top5,
           a->loss);
    if (a->skipped) printf("  (%lld images could not be read)", (long long)a->skipped);
    putchar('\n');
}
