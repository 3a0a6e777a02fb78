/* Readouts of new neurons on a model that is there. */
#include "readouts.h"

#include <stdio.h>

int cli_fit_readout(const char *path, const vt_fit_options *options, const char *readout,
                    const char *output, const char *command)
{
    vt_readout_kind kind = VT_READOUT_FACTORIZED;
    if (readout && vt_readout_kind_parse(&kind, readout) != VT_OK)
        return cli_misuse("%s: --readout: %s", command, vt_error_message());
    vt_readout_options how = vt_readout_options_default(kind);
    how.ridge.seed = how.factorized.seed = options->seed;
    if (options->session_count != 1)
        return cli_misuse("%s: --core fits the readout of one session at a time", command);
    vt_model *core = NULL, *model = NULL;
    vt_session *session = NULL;
    cli_progress progress;
    const vt_progress *shown = cli_progress_start(&progress, "fit readout");
    vt_status status = vt_model_read(&core, path);
    if (status == VT_OK)
        status = vt_session_open(&session, options->recordings, options->sessions[0].id);
    if (status == VT_OK)
        status = vt_fit_readout(&model, core, session, options->sessions, &how, shown);
    if (status == VT_OK) status = vt_model_write(model, output);
    cli_progress_end(&progress);
    int code = CLI_FAILED;
    if (status != VT_OK)
        cli_fail();
    else if (cli_options.json)
        code = cli_print_json(json_pack("{s:s, s:I, s:I}", "output", output, "neurons",
                                        (json_int_t)vt_model_outputs(model), "parameters",
                                        (json_int_t)vt_model_parameters(model)));
    else {
        printf("%s: readout of %lld neurons of session %s on the core of %s\n", output,
               (long long)vt_model_outputs(model), options->sessions[0].id, path);
        code = cli_finish();
    }
    vt_session_close(session);
    vt_model_free(core);
    vt_model_free(model);
    return code;
}
