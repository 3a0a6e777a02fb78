/* Responses of a model to images, one line an image: predict MODEL IMAGES */
#include <stdio.h>

#include <ventral/ventral.h>

int main(int argc, char **argv)
{
    vt_model *model = NULL;
    vt_stimulus_set *images = NULL;
    vt_tensor responses = {0}; /* (neurons, images) */
    vt_status status = argc == 3 ? VT_OK : vt_error(VT_EINVAL, "usage: predict MODEL IMAGES");
    if (status == VT_OK) status = vt_model_read(&model, argv[1]);
    if (status == VT_OK) status = vt_stimulus_set_open(&images, argv[2]);
    if (status == VT_OK)
        status = vt_predict_responses(&responses, &model, 1, images, &(vt_predict_options){0});
    if (status != VT_OK) {
        fprintf(stderr, "%s\n", vt_error_message());
    } else {
        for (int64_t i = 0; i < responses.size[1]; i++)
            for (int64_t n = 0; n < responses.size[0]; n++)
                printf("%.3f%c", vt_tensor_get(&responses, n * responses.size[1] + i),
                       n + 1 < responses.size[0] ? ' ' : '\n');
    }
    vt_tensor_free(&responses);
    vt_stimulus_set_close(images);
    vt_model_free(model);
    return status == VT_OK ? 0 : 1;
}
