/* ventral predict: responses of models to images, written as .npy. */
#include <stdio.h>
#include <stdlib.h>

#include "classify.h"
#include "models.h"

typedef struct tap_writer {
    vt_npy_rows *rows;
    const char *path;
    int64_t begin, end;
} tap_writer;

/* Values of one node as they come: (stimuli, size of the node). */
static vt_status receive_tap(void *context, int model, int64_t first, int64_t count,
                             const vt_tensor *values)
{
    tap_writer *w = context;
    (void)model;
    (void)first;
    (void)count;
    if (!w->rows) {
        vt_tensor shape = *values;
        shape.size[0] = w->end - w->begin;
        VT_TRY(vt_npy_rows_new(&w->rows, w->path, VT_F32, shape.ndim, shape.size));
    }
    return vt_npy_rows_put(w->rows, values->data, vt_tensor_bytes(values));
}

static vt_status predict_tap(const cli_models *models, vt_stimulus_set *stimuli,
                             vt_predict_options *options, const char *output)
{
    tap_writer writer = {.path = output, .begin = options->begin, .end = options->end};
    options->receive = receive_tap;
    options->context = &writer;
    vt_status status = vt_predict(models->models, models->count, stimuli, options);
    if (status == VT_OK) return vt_npy_rows_finish(writer.rows);
    vt_npy_rows_abort(writer.rows);
    return status;
}

static vt_status predict_responses(const cli_models *models, vt_stimulus_set *stimuli,
                                   const vt_predict_options *options, const char *output)
{
    vt_tensor responses;
    VT_TRY(vt_predict_responses(&responses, models->models, models->count, stimuli, options));
    vt_status status = vt_npy_write(&responses, output);
    vt_tensor_free(&responses);
    return status;
}

static int report(const cli_models *models, const vt_predict_options *options, const char *output)
{
    int64_t outputs = 0;
    for (int m = 0; m < models->count; m++)
        outputs += vt_model_outputs(models->models[m]);
    long long images = options->end - options->begin;
    if (cli_options.json)
        return cli_print_json(json_pack("{s:s, s:i, s:I, s:I, s:s?}", "output", output, "models",
                                        models->count, "outputs", (json_int_t)outputs, "images",
                                        (json_int_t)images, "tap", options->tap));
    if (options->tap)
        printf("%s: %s for %lld images\n", output, options->tap, images);
    else
        printf("%s: %lld outputs of %d model%s for %lld images\n", output, (long long)outputs,
               models->count, models->count == 1 ? "" : "s", images);
    return cli_finish();
}

static int run(const cli_models *models, const char *images, const char *range, const char *output,
               vt_predict_options *options)
{
    vt_stimulus_set *stimuli;
    if (cli_check_output(output) != VT_OK || vt_stimulus_set_open(&stimuli, images) != VT_OK)
        return cli_fail();
    cli_progress progress;
    options->progress = cli_progress_start(&progress, "predict");
    vt_status status =
        vt_range_parse(&options->begin, &options->end, range, vt_stimulus_set_count(stimuli));
    if (status == VT_OK)
        status = options->tap ? predict_tap(models, stimuli, options, output)
                              : predict_responses(models, stimuli, options, output);
    cli_progress_end(&progress);
    vt_stimulus_set_close(stimuli);
    return status == VT_OK ? report(models, options, output) : cli_fail();
}

int cmd_predict(int argc, const char **argv)
{
    char *images = NULL, *range = NULL, *tap = NULL, *output = NULL, *network = NULL;
    int bf16 = 0, batch = 0, operand_count;
    double epsilon = 0;
    struct poptOption table[] = {
        {"images", 'i', POPT_ARG_STRING, &images, 0,
         "Zip or folder of images, uint8 .npy, or float32 .npy used as it is", "PATH"},
        {"range", 'r', POPT_ARG_STRING, &range, 0, "Only these images: A:B, first, second", "A:B"},
        {"tap", 't', POPT_ARG_STRING, &tap, 0,
         "Write the values of this node or module, not the output", "NODE"},
        {"batch", 'b', POPT_ARG_INT, &batch, 0, "Images at a time (default: 50)", "N"},
        {"bf16", 0, POPT_ARG_NONE, &bf16, 0, "bfloat16 products where the processor has them",
         NULL},
        {"output", 'o', POPT_ARG_STRING, &output, 0, "Result, (models or neurons, images)",
         "FILE.npy"},
        CLI_NETWORK(&network),
        CLI_EPSILON(&epsilon),
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "MODEL... --images PATH --output FILE.npy");
    if (!context) return CLI_MISUSED;
    const char **operands = cli_operands(context, &operand_count);
    int code;
    cli_models models;
    if (operand_count < 1)
        code = cli_misuse("predict: which model?");
    else if (!images || !output)
        code = cli_misuse("predict: --images and --output are needed");
    else if (batch < 0)
        code = cli_misuse("predict: --batch %d: at least 1 is needed", batch);
    else if (tap && operand_count > 1)
        code = cli_misuse("predict: --tap works on one model at a time");
    else if (cli_models_open(&models, operands, operand_count, network, epsilon) != CLI_DONE)
        code = cli_fail();
    else {
        vt_predict_options options = {.batch = batch, .tap = tap, .bf16 = bf16};
        code = run(&models, images, range ? range : "all", output, &options);
        cli_models_close(&models);
    }
    free(images);
    free(range);
    free(tap);
    free(output);
    free(network);
    poptFreeContext(context);
    return code;
}
