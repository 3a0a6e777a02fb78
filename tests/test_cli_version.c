/* ventral version, and what the program says without a command. */
#include "cli.h"

static void test_version(void **state)
{
    (void)state;
    char *text = cli_output_of(cli_run("version"));
    char expected[64];
    snprintf(expected, sizeof expected, "ventral %s (oneDNN ", vt_version());
    assert_memory_equal(expected, text, strlen(expected));
    free(text);
    text = cli_output_of(cli_run("--version"));
    assert_memory_equal(expected, text, strlen(expected));
    free(text);
}

static void test_version_json(void **state)
{
    (void)state;
    json_t *root = cli_json("version", "--threads", "1");
    const char *version, *onednn, *instructions;
    int threads;
    assert_int_equal(0, json_unpack(root, "{s:s, s:s, s:s, s:i}", "ventral", &version, "onednn",
                                    &onednn, "instructions", &instructions, "threads", &threads));
    assert_string_equal(vt_version(), version);
    assert_int_equal(1, threads);
    json_decref(root);
}

static void test_common(void **state)
{
    (void)state;
    cli_check_command("version", "--threads", false);
    cli_misused("takes no operands", "version", "of", "what");
}

static void test_help(void **state)
{
    (void)state;
    static const char *const commands[] = {"info", "predict", "score", "fit", "version"};
    char *text = cli_output_of(cli_run("--help"));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strstr(text, commands[i])) fail_msg("--help has no %s", commands[i]);
    free(text);
    cli_result r = cli_run_how((const char *const[]){"ventral", NULL}, &(cli_how){.signal = 0});
    assert_int_equal(2, r.code);
    assert_string_equal("", r.out);
    assert_non_null(strstr(r.err, "Usage: ventral COMMAND"));
    cli_free(&r);
    cli_misused("there is no command 'oracle'", "oracle");
}

static void test_full_standard_output(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    const char *const text[] = {"ventral", "version", NULL};
    const char *const json[] = {"ventral", "version", "--json", NULL};
    cli_how how = {.stdout_path = "/dev/full"};
    cli_assert_fails(cli_run_how(text, &how), 1, "standard output", "could not be written");
    cli_assert_fails(cli_run_how(json, &how), 1, "standard output", "could not be written");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_version_json),
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_full_standard_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
