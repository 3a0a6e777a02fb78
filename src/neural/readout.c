/* Readouts of both kinds through the same calls. */
#include "neural/readout.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "neural/ridge_alpha.h"

vt_readout_options vt_readout_options_default(vt_readout_kind kind)
{
    return (vt_readout_options){.kind = kind,
                                .ridge = vt_ridge_options_default(),
                                .factorized = vt_factorized_options_default()};
}

static const char *const kinds[] = {"ridge", "factorized"};

const char *vt_readout_kind_name(vt_readout_kind kind)
{
    return kinds[kind];
}

vt_status vt_readout_kind_parse(vt_readout_kind *out, const char *name)
{
    for (int i = 0; i < 2; i++) {
        if (strcmp(name, kinds[i]) != 0) continue;
        *out = (vt_readout_kind)i;
        return VT_OK;
    }
    return vt_error(VT_EINVAL, "there is no readout '%.40s'; there are %s and %s", name, kinds[0],
                    kinds[1]);
}

/* Features of a sample; VT_EINVAL where the kinds' own checks would be too late. */
static vt_status count_features(int64_t *out, const vt_readout_features *x)
{
    int64_t places;
    if (x->height < 1 || x->width < 1 || x->channels < 1 ||
        __builtin_mul_overflow(x->height, x->width, &places) ||
        __builtin_mul_overflow(places, x->channels, out))
        return vt_error(VT_EINVAL, "feature maps of %lld x %lld x %lld: sizes must be > 0",
                        (long long)x->height, (long long)x->width, (long long)x->channels);
    return VT_OK;
}

vt_status vt_readout_fit(vt_readout **out, const vt_readout_features *x, const double *y,
                         int64_t targets, const vt_readout_options *options)
{
    int64_t features = 0;
    vt_readout_options o = options ? *options : vt_readout_options_default(VT_READOUT_RIDGE);
    VT_TRY(count_features(&features, x));
    vt_readout *r = vt_alloc(1, sizeof *r);
    if (!r) return VT_ENOMEM;
    *r = (vt_readout){.kind = o.kind,
                      .height = x->height,
                      .width = x->width,
                      .channels = x->channels,
                      .targets = targets};
    vt_status status =
        o.kind == VT_READOUT_RIDGE
            ? vt_ridge_fit_float(&r->ridge, x->data, y, x->samples, features, targets, &o.ridge)
            : vt_factorized_fit(&r->factorized, x->data, y, x->samples, x->height, x->width,
                                x->channels, targets, &o.factorized);
    if (status == VT_OK)
        *out = r;
    else
        free(r);
    return status;
}

void vt_readout_free(vt_readout *readout)
{
    if (!readout) return;
    vt_ridge_free(readout->ridge);
    vt_factorized_free(readout->factorized);
    free(readout);
}

vt_status vt_readout_predict(const vt_readout *r, double *out, const vt_readout_features *x)
{
    if (x->height != r->height || x->width != r->width || x->channels != r->channels)
        return vt_error(VT_ESHAPE,
                        "feature maps of %lld x %lld x %lld; the readout was fitted to "
                        "%lld x %lld x %lld",
                        (long long)x->height, (long long)x->width, (long long)x->channels,
                        (long long)r->height, (long long)r->width, (long long)r->channels);
    return r->kind == VT_READOUT_RIDGE
               ? vt_ridge_predict_float(r->ridge, out, x->data, x->samples)
               : vt_factorized_predict(r->factorized, out, x->data, x->samples);
}

/* Copies of the samples `rows`. */
static void gather(float *x_out, double *y_out, const vt_readout_features *x, const double *y,
                   int64_t features, int64_t targets, const int64_t *rows, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        memcpy(x_out + i * features, x->data + rows[i] * features,
               (size_t)features * sizeof *x_out);
        memcpy(y_out + i * targets, y + rows[i] * targets, (size_t)targets * sizeof *y_out);
    }
}

/* Progress of a fold's fit as a part of that of all. */
typedef struct fold_progress {
    const vt_progress *outer;
    int fold, folds;
} fold_progress;

static bool report_fold(void *context, int64_t done, int64_t total, const char *line)
{
    const fold_progress *p = context;
    return vt_progress_report(p->outer, p->fold * total + done, p->folds * total, line) == VT_OK;
}

/* What each fold in turn uses. */
typedef struct outer_fold {
    const vt_readout_features *x;
    const double *y;
    int64_t features, targets, largest; /* largest: samples of a training set */
    float *maps;                        /* (largest, features) */
    double *responses;                  /* (largest, targets); predictions of the test samples */
} outer_fold;

static vt_status predict_fold(double *out, outer_fold *f, const int64_t *train, int64_t train_count,
                              const int64_t *test, int64_t test_count,
                              const vt_factorized_options *options)
{
    const vt_readout_features *x = f->x;
    vt_factorized *readout;
    gather(f->maps, f->responses, x, f->y, f->features, f->targets, train, train_count);
    VT_TRY(vt_factorized_fit(&readout, f->maps, f->responses, train_count, x->height, x->width,
                             x->channels, f->targets, options));
    gather(f->maps, f->responses, x, f->y, f->features, f->targets, test, test_count);
    vt_status status = vt_factorized_predict(readout, f->responses, f->maps, test_count);
    for (int64_t i = 0; status == VT_OK && i < test_count; i++)
        memcpy(out + test[i] * f->targets, f->responses + i * f->targets,
               (size_t)f->targets * sizeof *out);
    vt_factorized_free(readout);
    return status;
}

static vt_status cross_validate_factorized(double *out, outer_fold *f, const int64_t *order,
                                           int64_t *train, const vt_factorized_options *options)
{
    int64_t samples = f->x->samples;
    for (int k = 0; k < options->folds; k++) {
        fold_progress place = {options->progress, k, options->folds};
        vt_progress progress = {report_fold, &place};
        vt_factorized_options o = *options;
        int64_t first, last;
        if (options->progress) o.progress = &progress;
        vt_folds_get(train, &first, &last, order, samples, options->folds, k);
        VT_TRY(
            predict_fold(out, f, train, samples - (last - first), order + first, last - first, &o));
    }
    return VT_OK;
}

static vt_status factorized(double *out, const vt_readout_features *x, const double *y,
                            int64_t features, int64_t targets, const vt_factorized_options *options)
{
    vt_matrix maps = {.f32 = x->data, .rows = x->samples, .columns = features};
    vt_matrix responses = {.f64 = y, .rows = x->samples, .columns = targets};
    int64_t *order = NULL, *train = NULL;
    double *predictions = NULL;
    VT_TRY(vt_matrix_check(&maps, "features", "image", "feature"));
    VT_TRY(vt_matrix_check(&responses, "responses", "image", "neuron"));
    VT_TRY(vt_folds_check(options->folds, x->samples));
    outer_fold f = {.x = x, .y = y, .features = features, .targets = targets};
    f.largest =
        x->samples - x->samples / options->folds; /* the smallest test set is rounded down */
    f.maps = vt_alloc((size_t)f.largest, (size_t)features * sizeof *f.maps);
    f.responses = vt_alloc((size_t)f.largest, (size_t)targets * sizeof *f.responses);
    train = vt_alloc((size_t)x->samples, sizeof *train);
    predictions = vt_alloc((size_t)x->samples, (size_t)targets * sizeof *predictions);
    vt_status status = f.maps && f.responses && train && predictions ? VT_OK : VT_ENOMEM;
    if (status == VT_OK) status = vt_folds_deal(&order, x->samples, options->seed);
    if (status == VT_OK) status = cross_validate_factorized(predictions, &f, order, train, options);
    if (status == VT_OK)
        memcpy(out, predictions, (size_t)(x->samples * targets) * sizeof *predictions);
    free(f.maps);
    free(f.responses);
    free(order);
    free(train);
    free(predictions);
    return status;
}

vt_status vt_readout_cross_validate(double *out, const vt_readout_features *x, const double *y,
                                    int64_t targets, const vt_readout_options *options)
{
    int64_t features = 0;
    vt_readout_options o = options ? *options : vt_readout_options_default(VT_READOUT_RIDGE);
    VT_TRY(count_features(&features, x));
    return o.kind == VT_READOUT_RIDGE ? vt_ridge_cross_validate_float(out, x->data, y, x->samples,
                                                                      features, targets, &o.ridge)
                                      : factorized(out, x, y, features, targets, &o.factorized);
}

vt_readout_kind vt_readout_kind_of(const vt_readout *readout)
{
    return readout->kind;
}

int64_t vt_readout_targets(const vt_readout *readout)
{
    return readout->targets;
}

const vt_ridge *vt_readout_ridge(const vt_readout *readout)
{
    return readout->ridge;
}

const vt_factorized *vt_readout_factorized(const vt_readout *readout)
{
    return readout->factorized;
}
