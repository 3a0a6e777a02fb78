/* ventral version */
#include <stdio.h>

#include "cli.h"

int cmd_version(int argc, const char **argv)
{
    struct poptOption table[] = {CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "");
    if (!context) return CLI_MISUSED;
    bool operands = poptPeekArg(context) != NULL;
    poptFreeContext(context);
    if (operands) return cli_misuse("version: takes no operands");
    char onednn[64];
    int major, minor, patch;
    vt_backend_onednn_version(&major, &minor, &patch);
    snprintf(onednn, sizeof onednn, "%d.%d.%d", major, minor, patch);
    if (cli_options.json)
        return cli_print_json(json_pack("{s:s, s:s, s:s, s:i}", "ventral", vt_version(), "onednn",
                                        onednn, "instructions", vt_backend_instructions(),
                                        "threads", vt_threads()));
    printf("ventral %s (oneDNN %s, %s, %d threads)\n", vt_version(), onednn,
           vt_backend_instructions(), vt_threads());
    return cli_finish();
}
