/* Some units of a layer on its page: their tuning curves and receptive fields. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "physiology.h"

enum { EXAMPLES = 5, FIELDS = 8, FIELD_SCALE = 5 };

/* ---- tuning curves ---- */

/* Which of `count` the i-th of `examples` is, spread evenly. */
static int64_t example(int i, int examples, int64_t count)
{
    return count * (2 * i + 1) / (2 * examples);
}

/* Curves of units spread evenly over those that responded. */
static vt_status put_curves(vt_page *page, const char *folder, int study,
                            const physiology_result *r, const char *label, const char *what)
{
    static const char *const colours[EXAMPLES] = {"blue", "red", "green", "brown", "violet"};
    const vt_study_tuning *t = &r->of_layer.tuning.study[study];
    vt_plot_curve curves[EXAMPLES];
    char path[4600], source[64], caption[512];
    int count = t->neurons < EXAMPLES ? (int)t->neurons : EXAMPLES;
    if (count == 0) return VT_OK;
    int used = snprintf(caption, sizeof caption, "%s Units", what);
    for (int i = 0; i < count; i++) {
        int64_t row = example(i, count, t->neurons);
        used += snprintf(caption + used, sizeof caption - (size_t)used, "%s %" PRId64 " (%s)",
                         i ? "," : "", t->neuron[row], colours[i]);
        curves[i] = (vt_plot_curve){NULL, t->x, t->curves + row * t->points, t->points};
    }
    snprintf(caption + used, sizeof caption - (size_t)used, ".");
    vt_plot_options options = {.x_label = label,
                               .y_label = "spikes/s",
                               .width = PHYSIOLOGY_FIGURE_WIDTH,
                               .height = PHYSIOLOGY_FIGURE_HEIGHT,
                               .x_octaves = study == VT_STUDY_DEVALOIS1982B ||
                                            study == VT_STUDY_CAVANAUGH2002A};
    snprintf(source, sizeof source, "curves_%s.svg", vt_study_at(study)->name);
    snprintf(path, sizeof path, "%s/%s", folder, source);
    VT_TRY(vt_plot_curves(path, &options, curves, count));
    vt_page_figure(page, source, label, caption, PHYSIOLOGY_FIGURE_WIDTH);
    return VT_OK;
}

static vt_status put_all_curves(vt_page *page, const char *folder, const physiology_result *r)
{
    static const struct {
        int study;
        const char *label, *what;
    } kinds[] = {
        {VT_STUDY_RINGACH2002, "orientation (degrees)", "Mean over phases."},
        {VT_STUDY_DEVALOIS1982B, "spatial frequency (cycles/degree)",
         "Mean over phases above baseline, or modulation, whichever is larger."},
        {VT_STUDY_CAVANAUGH2002A, "radius (degrees)",
         "Mean over phases above baseline, or modulation, whichever is larger."},
        {VT_STUDY_FREEMANZIEMBA2013, "texture family", "Mean over samples above baseline."}};
    bool any = false;
    for (int s = 0; s < VT_STUDIES; s++)
        any = any || r->of_layer.tuning.study[s].neurons > 0;
    if (!any) return VT_OK;
    vt_page_heading(page, "Tuning curves of some units");
    vt_page_row_begin(page);
    vt_status status = VT_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && status == VT_OK; i++)
        status = put_curves(page, folder, kinds[i].study, r, kinds[i].label, kinds[i].what);
    vt_page_row_end(page);
    return status;
}

/* ---- receptive fields ---- */

/* A unit's map, with its field's disc. */
static vt_status draw_field(vt_image *out, const vt_layer_tuning *t, int64_t unit)
{
    static const uint8_t red[] = {200, 40, 30};
    float *map = t->map + unit * VT_FIELD_SIDE * VT_FIELD_SIDE, largest = 0;
    const double *position = t->position + 2 * unit;
    for (int i = 0; i < VT_FIELD_SIDE * VT_FIELD_SIDE; i++)
        largest = fmaxf(largest, map[i]);
    vt_tensor values;
    VT_TRY(vt_tensor_init(&values, VT_F32, 2, (int64_t[]){VT_FIELD_SIDE, VT_FIELD_SIDE}, map));
    /* from below 0, so that white paper frames the map */
    VT_TRY(vt_picture_heat(out, &values, -0.1 * largest, largest, FIELD_SCALE));
    double step = FIELD_SCALE / VT_FIELD_STEP, middle = FIELD_SCALE * VT_FIELD_SIDE / 2.0;
    vt_picture_circle(out, middle + position[1] * step, middle + position[0] * step,
                      t->size[unit] / 2 * step, red);
    return VT_OK;
}

static vt_status put_fields(vt_page *page, const char *folder, const physiology_result *r)
{
    const vt_layer_tuning *t = &r->of_layer;
    vt_image fields[FIELDS] = {{0}}, sheet = {0};
    char path[4600], caption[512];
    int count = t->kept < FIELDS ? (int)t->kept : FIELDS, side = VT_FIELD_SIDE * FIELD_SCALE;
    if (count == 0) return VT_OK;
    int used = snprintf(caption, sizeof caption,
                        "Largest response above grey to small gratings at each of %d x %d "
                        "positions, %g degrees about the middle of the image. Units",
                        VT_FIELD_SIDE, VT_FIELD_SIDE, VT_FIELD_SIDE / 2 * VT_FIELD_STEP);
    vt_status status = VT_OK;
    for (int i = 0; i < count && status == VT_OK; i++) {
        int64_t unit = example(i, count, t->kept);
        status = draw_field(&fields[i], t, unit);
        used += snprintf(caption + used, sizeof caption - (size_t)used, "%s %" PRId64 " (%.2f°)",
                         i ? "," : "", unit, t->size[unit]);
    }
    snprintf(caption + used, sizeof caption - (size_t)used,
             ": red, discs of the fields' areas, whose diameters are in brackets.");
    snprintf(path, sizeof path, "%s/fields.png", folder);
    if (status == VT_OK) status = vt_picture_sheet(&sheet, fields, count, FIELDS, side, side, 12);
    if (status == VT_OK) status = vt_picture_write(&sheet, path);
    for (int i = 0; i < count; i++)
        vt_image_free(&fields[i]);
    vt_image_free(&sheet);
    if (status != VT_OK) return status;
    vt_page_heading(page, "Receptive fields of some units");
    vt_page_figure(page, "fields.png", "receptive fields", caption, 0);
    return VT_OK;
}

vt_status physiology_put_units(vt_page *page, const char *folder, const physiology_result *result)
{
    VT_TRY(put_all_curves(page, folder, result));
    return put_fields(page, folder, result);
}
