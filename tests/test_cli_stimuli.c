/* ventral stimuli: what it lists and writes, what it refuses, full disks. */
#include "cli.h"

#include "ventral/grating.h"
#include "ventral/image.h"
#include "ventral/texture.h"

static void test_common(void **state)
{
    (void)state;
    cli_check_command("stimuli", "--degrees", false);
    cli_misused("--output", "stimuli", "size");
    cli_misused("which set", "stimuli", "-o", "x");
    cli_misused("one set", "stimuli", "-o", "x", "size", "orientation");
    cli_misused("'dots'", "stimuli", "-o", "x", "dots");
    cli_misused("or textures", "stimuli", "-o", "x", "dots");
    cli_misused("--degrees", "stimuli", "-o", "x", "--degrees", "0", "size");
    cli_misused("--degrees", "stimuli", "-o", "x", "--degrees", "-4", "size");
    cli_misused("--resolution", "stimuli", "-o", "x", "--resolution", "nan", "size");
    cli_misused("--size", "stimuli", "-o", "x", "--size", "-1", "size");
    cli_misused("--photographs", "stimuli", "-o", "x", "textures");
    cli_misused("--range", "stimuli", "-o", "x", "-p", "y", "-r", "0:1", "textures");
    cli_misused("--samples", "stimuli", "-o", "x", "-n", "3", "size");
    cli_misused("--iterations", "stimuli", "-o", "x", "-p", "y", "--iterations", "-2", "textures");
}

static void test_lists(void **state)
{
    (void)state;
    json_t *root = cli_json("stimuli");
    json_t *sets = json_object_get(root, "sets");
    assert_int_equal(json_array_size(sets), VT_GRATING_SETS);
    json_int_t total = 0;
    for (size_t i = 0; i < VT_GRATING_SETS; i++)
        total += json_integer_value(json_object_get(json_array_get(sets, i), "gratings"));
    assert_int_equal(total, 9097);
    json_decref(root);
    char *text = cli_output_of(cli_run("stimuli"));
    assert_non_null(strstr(text, "spatial_frequency      2112"));
    free(text);
}

/* The images of the archive are those that the library draws, in the order of the list. */
static void test_writes(void **state)
{
    (void)state;
    char folder[4096], out[4200], zip[4300];
    new_folder(folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(zip, sizeof zip, "%s/images.zip", out);
    json_t *root = cli_json("stimuli", "size", "-o", out, "--range", "690:730", "--degrees", "8",
                            "--size", "48", "--resolution", "28");
    assert_int_equal(json_integer_value(json_object_get(root, "images")), 40);
    assert_int_equal(json_integer_value(json_object_get(root, "height")), 48);
    json_decref(root);
    cli_assert_only(out, ";images.zip;stimuli.csv;");

    void *list;
    size_t size;
    vt_image_source *source;
    vt_screen *screen;
    vt_screen_options options = {.resolution = 28, .degrees = 8, .height = 48, .width = 48};
    assert_ok(vt_file_read(&list, &size, cli_join(out, "stimuli.csv")));
    assert_ok(vt_image_source_open(&source, zip));
    assert_int_equal(vt_image_source_count(source), 40);
    assert_ok(vt_screen_new(&screen, &options));
    char *line = strchr(list, '\n') + 1;
    for (int i = 0; i < 40; i++, line = strchr(line, '\n') + 1) {
        static uint8_t expected[48 * 48];
        char file[64];
        vt_image image;
        vt_grating g = {0};
        assert_int_equal(sscanf(line, "%63[^,],%lf,%lf,%lf,%lf,%lf,%lf,%lf\n", file, &g.y, &g.x,
                                &g.contrast, &g.radius, &g.frequency, &g.orientation, &g.phase),
                         8);
        assert_string_equal(file, vt_image_source_name(source, i));
        char name[64];
        snprintf(name, sizeof name, "size_%04d.png", 690 + i);
        assert_string_equal(file, name);
        vt_grating of_set;
        assert_ok(vt_grating_set_at(&of_set, VT_GRATINGS_SIZE, 690 + i));
        assert_memory_equal(&g, &of_set, sizeof g);
        assert_ok(vt_screen_draw(screen, &g, 1, expected));
        assert_ok(vt_image_source_read(source, i, &image));
        for (int p = 0; p < 48 * 48 * 3; p++)
            assert_int_equal(image.pixels[p], expected[p / 3]);
        vt_image_free(&image);
    }
    assert_string_equal(line, "");
    free(list);
    vt_screen_free(screen);
    vt_image_source_close(source);
    remove_folder(folder);
}

static void test_blank_and_threads(void **state)
{
    (void)state;
    char folder[4096], out[4200], again[4200];
    new_folder(folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(again, sizeof again, "%s/again", folder);
    char *text = cli_output_of(cli_run("stimuli", "blank", "-o", out));
    assert_non_null(strstr(text, "1 image of 672 x 672 pixels of the set blank"));
    free(text);
    void *list;
    size_t size;
    assert_ok(vt_file_read(&list, &size, cli_join(out, "stimuli.csv")));
    assert_non_null(strstr(list, "\nblank_0000.png,,,,,,,\n"));
    free(list);
    cli_ok("stimuli", "orientation", "-r", "5:50", "-s", "64", "-o", out, "--threads", "1");
    cli_ok("stimuli", "orientation", "-r", "5:50", "-s", "64", "-o", again, "--threads", "3");
    cli_assert_same_file(cli_join(out, "images.zip"), cli_join(again, "images.zip"));
    cli_assert_same_file(cli_join(out, "stimuli.csv"), cli_join(again, "stimuli.csv"));
    remove_folder(folder);
}

static void test_failures(void **state)
{
    (void)state;
    char folder[4096], out[4200];
    new_folder(folder);
    snprintf(out, sizeof out, "%s/out", folder);
    cli_fails("2304", "", "stimuli", "size", "-o", out, "--range", "2000:2305");
    cli_fails("degrees", "", "stimuli", "size", "-o", out, "--degrees", "1e9");
    cli_fails("pixels", "", "stimuli", "size", "-o", out, "--size", "2000000000");
    cli_fails("no/such", "folder", "stimuli", "size", "-o", "/no/such/place");
    const char *const args[] = {"ventral", "stimuli", "blank", "-o", out, NULL};
    cli_how full = {.largest_file = 512};
    cli_assert_fails(cli_run_how(args, &full), 1, "images.zip", "");
    cli_assert_only(out, ";");
    remove_folder(folder);
}

/* A family from each photograph, which the library reads back; a seed is a seed. */
static void test_textures(void **state)
{
    (void)state;
    char folder[4096], out[4200], photographs[4200];
    new_folder(folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(photographs, sizeof photographs, "%s/photographs", folder);
    cli_ok("stimuli", "size", "-o", photographs, "-r", "200:202", "--degrees", "1", "-s", "40");
    json_t *root =
        cli_json("stimuli", "textures", "-o", out, "-p", cli_join(photographs, "images.zip"), "-n",
                 "2", "-s", "32", "--scales", "2", "--iterations", "3", "--seed", "5");
    assert_int_equal(8, json_integer_value(json_object_get(root, "images")));
    assert_string_equal("synthesised from 2 photographs of images.zip",
                        json_string_value(json_object_get(root, "origin")));
    json_decref(root);

    vt_texture_set *set;
    uint64_t checksums[2];
    assert_ok(vt_texture_set_open(&set, out));
    assert_int_equal(8, vt_texture_set_count(set));
    checksums[0] = vt_texture_set_checksum(set);
    vt_texture_set_close(set);
    vt_texture_families options = {
        .synthesis = {.statistics = {.scales = 2}, .iterations = 3, .seed = 6},
        .samples = 2,
        .side = 32};
    for (int i = 0; i < 2; i++) {
        assert_ok(vt_texture_families_write(out, cli_join(photographs, "images.zip"), &options));
        assert_ok(vt_texture_set_open(&set, out));
        checksums[1] = vt_texture_set_checksum(set);
        vt_texture_set_close(set);
        assert_int_equal(checksums[0] == checksums[1], i == 1);
        options.synthesis.seed = 5;
    }
    char *text = cli_output_of(cli_run("stimuli", "textures", "-o", out, "-p",
                                       cli_join(photographs, "images.zip"), "-n", "2", "-s", "32",
                                       "--scales", "2", "--iterations", "3", "--seed", "5"));
    assert_non_null(strstr(text, "8 images, half of them noise, synthesised from 2 photographs"));
    free(text);
    cli_fails("nowhere", "", "stimuli", "textures", "-o", out, "-p", "nowhere");
    cli_fails("size_0200.png", "multiples", "stimuli", "textures", "-o", out, "-p",
              cli_join(photographs, "images.zip"), "-s", "33");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),   cmocka_unit_test(test_lists),
        cmocka_unit_test(test_writes),   cmocka_unit_test(test_blank_and_threads),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_textures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
