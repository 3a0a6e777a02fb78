/* Training ensembles, member by member (see ventral/ensemble.h). */
#include "ventral/ensemble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "neural/fit_run.h"
#include "neural/part_progress.h"

static char *checkpoint_name(const char *checkpoint, int member)
{
    size_t bytes = strlen(checkpoint) + 16;
    char *name = vt_alloc(bytes, 1);
    if (name) snprintf(name, bytes, "%s.%d", checkpoint, member);
    return name;
}

static vt_status fit_member(vt_model **out, vt_fit_report *report,
                            const vt_ensemble_fit_options *options, int member, int members)
{
    vt_part_progress part;
    vt_model *core;
    char *checkpoint = NULL;
    vt_ensemble_options shape = options->shape;
    vt_fit_options fit = options->fit;
    shape.members = 1;
    shape.outputs = 0;
    shape.seed = fit.seed += (uint64_t)member;
    fit.progress = vt_part_progress_start(&part, fit.progress, "member", member, members);
    VT_TRY(vt_ensemble_new(&core, &shape, options->front, options->tap));
    vt_status status = VT_OK;
    if (fit.checkpoint) {
        fit.checkpoint = checkpoint = checkpoint_name(fit.checkpoint, member);
        if (!checkpoint) status = VT_ENOMEM;
    }
    if (status == VT_OK)
        status =
            vt_fit_core(out, report, &fit,
                        &(vt_fit_subject){.core = core,
                                          .front = options->front,
                                          .tap = options->tap,
                                          .cache = options->cache,
                                          .by_session = options->training == VT_TRAINING_PAPER});
    free(checkpoint);
    vt_model_free(core);
    return status;
}

static vt_status fit_members(vt_model **members, vt_fit_report *fits, int count,
                             const vt_ensemble_fit_options *options)
{
    for (int i = 0; i < count; i++)
        VT_TRY(fit_member(&members[i], &fits[i], options, i, count));
    return VT_OK;
}

vt_status vt_ensemble_fit(vt_model **out, vt_ensemble_report *report,
                          const vt_ensemble_fit_options *options)
{
    int count = options->shape.members == 0 ? 1 : options->shape.members;
    if (count < 1 || count > VT_ENSEMBLE_MEMBERS)
        return vt_error(VT_EINVAL, "ensemble: %d members; 1 to %d are possible", count,
                        VT_ENSEMBLE_MEMBERS);
    vt_model *members[VT_ENSEMBLE_MEMBERS] = {NULL}, *model;
    vt_ensemble_report all = {.members = count};
    all.fits = vt_alloc((size_t)count, sizeof *all.fits);
    if (!all.fits) return VT_ENOMEM;
    vt_status status = fit_members(members, all.fits, count, options);
    if (status == VT_OK) status = vt_ensemble_join(&model, members, count);
    for (int i = 0; i < count; i++)
        vt_model_free(members[i]);
    if (status == VT_OK) *out = model;
    if (status == VT_OK && report)
        *report = all;
    else
        vt_ensemble_report_free(&all);
    return status;
}

void vt_ensemble_report_free(vt_ensemble_report *report)
{
    for (int i = 0; report->fits && i < report->members; i++)
        vt_fit_report_free(&report->fits[i]);
    free(report->fits);
    report->fits = NULL;
}

void vt_ensemble_remove_checkpoints(const char *checkpoint, int members)
{
    for (int i = 0; i < members; i++) {
        char *name = checkpoint_name(checkpoint, i);
        if (name) unlink(name);
        free(name);
    }
}
