/* How students learn, on the command line. */
#include "distill_options.h"

#include <math.h>
#include <string.h>

static struct {
    int passes, batch, cosine, bf16;
    long long held_out, stretch;
    double rate, readout_rate, blur, clip;
} asked = {.passes = 1, .batch = 64, .rate = 1e-4, .readout_rate = 1, .blur = 0.5};

struct poptOption cli_distill_table[] = {
    {"passes", 'p', POPT_ARG_INT, &asked.passes, 0, "Passes over the images (default: 1)", "N"},
    {"stretch", 0, POPT_ARG_LONGLONG, &asked.stretch, 0,
     "Images between measurements, each followed by the blur (default: one pass)", "N"},
    {"held-out", 0, POPT_ARG_LONGLONG, &asked.held_out, 0,
     "Images that only measure (default: a tenth, 5000 at most)", "N"},
    {"batch", 'b', POPT_ARG_INT, &asked.batch, 0, "Images a step (default: 64)", "N"},
    {"rate", 'r', POPT_ARG_DOUBLE, &asked.rate, 0, "Learning rate of Adam (default: 0.0001)", "X"},
    {"readout-rate", 0, POPT_ARG_DOUBLE, &asked.readout_rate, 0,
     "Learning rate of readouts, relative to --rate (default: 1)", "X"},
    {"cosine", 0, POPT_ARG_NONE, &asked.cosine, 0,
     "The rate rises over the first 5 % of steps, then falls to 0", NULL},
    {"blur", 0, POPT_ARG_DOUBLE, &asked.blur, 0,
     "Blur of depthwise kernels and readouts, s.d. in pixels; 0: none (default: 0.5)", "X"},
    {"clip", 0, POPT_ARG_DOUBLE, &asked.clip, 0,
     "Limit of each element of the gradient (default: none)", "X"},
    {"bf16", 0, POPT_ARG_NONE, &asked.bf16, 0,
     "Students use bfloat16 products where the processor has them", NULL},
    POPT_TABLEEND};

int cli_distill_check(const char *command)
{
    if (asked.passes < 1 || asked.batch < 2 || asked.held_out < 0 || asked.held_out == 1 ||
        asked.stretch < 0)
        return cli_misuse("%s: at least 1 pass, 2 images a batch and 2 held out are needed, and "
                          "--stretch cannot be negative",
                          command);
    if (!(asked.rate > 0 && asked.rate < INFINITY) || !(asked.blur >= 0) || !(asked.clip >= 0) ||
        !(asked.readout_rate > 0 && asked.readout_rate < INFINITY))
        return cli_misuse("%s: --rate and --readout-rate must be above 0, --blur and --clip at "
                          "least 0",
                          command);
    return CLI_DONE;
}

vt_distill_options cli_distill_asked(void)
{
    return (vt_distill_options){.held_out = asked.held_out,
                                .passes = asked.passes,
                                .stretch = asked.stretch,
                                .batch = asked.batch,
                                .rate = asked.rate,
                                .readout_rate = asked.readout_rate,
                                .cosine = asked.cosine,
                                .blur = asked.blur == 0 ? -1 : asked.blur,
                                .clip_value = asked.clip,
                                .bf16 = asked.bf16,
                                .seed = (uint64_t)cli_options.seed};
}

vt_status cli_prune_form_parse(vt_prune_form *out, const char *name)
{
    if (name && strcmp(name, "corrected") != 0 && strcmp(name, "released") != 0)
        return vt_error(VT_EINVAL, "--form %s: corrected or released", name);
    *out = name && name[0] == 'r' ? VT_PRUNE_RELEASED : VT_PRUNE_CORRECTED;
    return VT_OK;
}
