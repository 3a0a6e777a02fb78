/* Models made ready to answer batches: which node is read, a plan a model. */
#include "neural/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static vt_status make_plan(vt_runner *runner, int model)
{
    const vt_runner_options *o = &runner->options;
    vt_plan_options options = {.batch = o->batch,
                               .outputs = &runner->nodes[model],
                               .output_count = 1,
                               .backend = o->backend,
                               .bf16 = o->bf16,
                               .workspace = o->workspace};
    return vt_plan_new(&runner->plans[model], vt_model_graph(o->models[model]), &options);
}

vt_status vt_runner_new(vt_runner *out, const vt_runner_options *options)
{
    *out = (vt_runner){.options = *options};
    out->nodes = vt_alloc((size_t)options->count, sizeof *out->nodes);
    out->plans = vt_alloc((size_t)options->count, sizeof *out->plans);
    if (!out->nodes || !out->plans) return VT_ENOMEM;
    for (int m = 0; m < options->count; m++)
        VT_TRY(vt_model_find(&out->nodes[m], options->models[m], options->tap));
    for (int m = 0; m < options->count; m++)
        VT_TRY(make_plan(out, m));
    return VT_OK;
}

void vt_runner_free(vt_runner *runner)
{
    for (int m = 0; runner->plans && m < runner->options.count; m++)
        vt_plan_free(runner->plans[m]);
    free(runner->plans);
    free(runner->nodes);
    *runner = (vt_runner){.plans = NULL};
}

vt_status vt_runner_run(const vt_runner *runner, int model, const float *pixels,
                        const vt_tensor **out)
{
    vt_plan *plan = runner->plans[model];
    vt_tensor *input = vt_plan_input(plan, vt_model_input(runner->options.models[model]));
    if (input) memcpy(input->data, pixels, vt_tensor_bytes(input));
    VT_TRY(vt_plan_forward(plan));
    *out = vt_plan_output(plan, runner->nodes[model]);
    return VT_OK;
}
