/* ventral simulate: what it writes, that a seed gives the same bytes, what it refuses. */
#include "cli.h"

#include "ventral/io.h"
#include "ventral/session.h"

static void test_common(void **state)
{
    (void)state;
    cli_check_command("simulate", "--output", true);
    char folder[4096];
    new_folder(folder);
    cli_misused("takes no operands", "simulate", "-o", cli_join(folder, "r"), "what");
    remove_folder(folder);
}

static void test_recordings_and_truth(void **state)
{
    (void)state;
    char folder[4096], out[4200];
    new_folder(folder);
    snprintf(out, sizeof out, "%s/r", folder);
    json_t *root = cli_json("simulate", "-o", out, "-s", "2", "-i", "20", "-n", "4", "-r", "3");
    json_t *sessions = json_object_get(root, "sessions");
    assert_int_equal(2, json_array_size(sessions));
    assert_int_equal(4, json_integer_value(json_object_get(root, "neurons")));
    for (size_t i = 0; i < 2; i++) {
        json_t *entry = json_array_get(sessions, i);
        vt_session *session;
        vt_session_info info;
        vt_tensor_map *truth;
        assert_ok(
            vt_session_open(&session, out, json_string_value(json_object_get(entry, "session"))));
        vt_session_get_info(session, &info);
        assert_int_equal(20, info.images);
        assert_int_equal(4, info.neurons);
        assert_int_equal(3, info.repeats);
        assert_true(info.has_images);
        vt_session_close(session);
        assert_ok(vt_npz_read(&truth, json_string_value(json_object_get(entry, "truth"))));
        assert_true(vt_tensor_map_count(truth) > 0);
        vt_tensor_map_free(truth);
    }
    json_decref(root);
    cli_fails(out, "", "simulate", "-o", out, "-s", "2", "-i", "20", "-n", "4");
    remove_folder(folder);
}

static void test_same_seed_same_bytes(void **state)
{
    (void)state;
    char folder[4096], a[4300], b[4300];
    new_folder(folder);
    for (int i = 0; i < 2; i++) {
        char out[4200];
        snprintf(out, sizeof out, "%s/%d", folder, i);
        cli_ok("simulate", "-o", out, "-s", "1", "-i", "12", "-n", "3", "-r", "2", "--seed", "7",
               "--threads", i ? "2" : "1");
    }
    static const char *const files[] = {"images/images_sim001.zip",
                                        "responses_raw/responses_sim001.npy"};
    for (int i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s/0/%s", folder, files[i]);
        snprintf(b, sizeof b, "%s/1/%s", folder, files[i]);
        cli_assert_same_file(a, b);
    }
    remove_folder(folder);
}

static void test_refusals(void **state)
{
    (void)state;
    char folder[4096];
    new_folder(folder);
    cli_fails("0", "sessions", "simulate", "-o", cli_join(folder, "r"), "-s", "0");
    cli_fails("-5", "images", "simulate", "-o", cli_join(folder, "r"), "-i", "-5");
    cli_fails("/dev/null", "", "simulate", "-o", "/dev/null/r", "-i", "4");
    cli_assert_only(folder, "");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_recordings_and_truth),
        cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
