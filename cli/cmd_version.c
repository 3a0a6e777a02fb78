/* ventral version */
#include <stdio.h>

#include "cli.h"

int cmd_version(int argc, const char **argv)
{
    struct poptOption table[] = {CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "");
    if (!context) return CLI_MISUSED;
    poptFreeContext(context);
    char onednn[32];
    vt_backend_version(onednn, sizeof onednn);
    if (cli_options.json)
        return cli_print_json(json_pack("{s:s, s:s, s:s, s:i}", "ventral", vt_version(), "onednn",
                                        onednn, "instructions", vt_backend_instructions(),
                                        "threads", vt_threads()));
    printf("ventral %s (oneDNN %s, %s, %d threads)\n", vt_version(), onednn,
           vt_backend_instructions(), vt_threads());
    return cli_finish();
}
