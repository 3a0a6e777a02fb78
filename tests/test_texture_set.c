/* Sets of textures: read by name and by table, shown as published, written from photographs. */
#include "group_folder.h"
#include "image_tree.h"

#include "base/arena.h"
#include "ventral/rng.h"
#include "ventral/texture.h"

enum { SIDE = 16, PIXELS = SIDE * SIDE, FAMILIES = 2, SAMPLES = 3 };

static void fill(uint8_t *grey, int number)
{
    vt_rng rng;
    vt_rng_init(&rng, 2, VT_RNG_IMAGE, 0, (uint32_t)number);
    for (int i = 0; i < PIXELS; i++)
        grey[i] = (uint8_t)vt_rng_below(&rng, 256);
}

static void write_png(const char *name, const uint8_t *grey, int height, int width)
{
    uint8_t *rgb = vt_alloc((size_t)height * (size_t)width, 3);
    void *data;
    size_t size;
    for (int i = 0; i < height * width; i++)
        memset(rgb + 3 * i, grey[i], 3);
    assert_ok(vt_png_encode(&data, &size, &(vt_image){height, width, rgb}));
    write_file(folder, name, data, size);
    free(data);
    free(rgb);
}

/* Families 7 and 60, samples 1 to 3, image n made of number n in the order of the set. */
static void write_published(const char *under)
{
    for (int n = 0; n < 2 * FAMILIES * SAMPLES; n++) {
        char name[256];
        uint8_t grey[PIXELS];
        fill(grey, n);
        snprintf(name, sizeof name, "%s/%s-320x320-im%d-smp%d.png", under, n < 6 ? "noise" : "tex",
                 n / 3 % 2 ? 60 : 7, n % 3 + 1);
        write_png(name, grey, SIDE, SIDE);
    }
}

static const char *path_of(const char *name)
{
    static char path[8600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- reading ---- */

static void test_names(void **state)
{
    (void)state;
    vt_texture_set *set;
    write_published("published");
    assert_ok(vt_texture_set_open(&set, path_of("published")));
    assert_int_equal(vt_texture_set_count(set), 12);
    for (int n = 0; n < 12; n++) {
        const vt_texture_stimulus *s = vt_texture_set_at(set, n);
        assert_int_equal(s->type, n < 6 ? VT_TEXTURE_IS_NOISE : VT_TEXTURE_IS_TEXTURE);
        assert_int_equal(s->family, n / 3 % 2 ? 60 : 7);
        assert_int_equal(s->sample, n % 3 + 1);
    }
    assert_null(vt_texture_set_at(set, 12));
    assert_null(vt_texture_set_at(set, -1));
    assert_null(vt_texture_set_origin(set));
    vt_texture_set_close(set);
}

/* What the publication's own words give for a pixel of the canvas of `side`, 4 pixels a degree. */
static int shown(const uint8_t *grey, int side, int row, int column, bool aperture)
{
    int y = row - (side - SIDE) / 2 - 2, x = column - (side - SIDE) / 2 - 2;
    if (y < 0 || y >= SIDE || x < 0 || x >= SIDE) return 128;
    if (!aperture) return grey[y * SIDE + x];
    double r = sqrt((y - 8) * (y - 8) + (x - 8) * (x - 8)) / 8;
    double mask = r < 1 ? 0.5 * (1 + cos(r * M_PI)) : 0;
    return (uint8_t)((grey[y * SIDE + x] - 128) * mask + 128);
}

static void test_draw(void **state)
{
    (void)state;
    static const int degrees[] = {8, 4, 2, 12};
    vt_texture_set *set;
    write_published("drawn");
    assert_ok(vt_texture_set_open(&set, path_of("drawn")));
    for (int n = 0; n < 12; n += 5)
        for (int d = 0; d < 4; d++) {
            uint8_t grey[PIXELS], out[48 * 48], rgb[48 * 48 * 3], small[10 * 6];
            int side = 4 * degrees[d];
            vt_screen_options screen = {.degrees = degrees[d], .height = side, .width = side};
            fill(grey, n);
            assert_ok(vt_texture_set_draw(set, n, &screen, out));
            for (int i = 0; i < side * side; i++) {
                assert_int_equal(out[i], shown(grey, side, i / side, i % side, true));
                memset(rgb + 3 * i, out[i], 3);
            }
            vt_image resized;
            screen.height = 10, screen.width = 6;
            assert_ok(vt_texture_set_draw(set, n, &screen, small));
            assert_ok(vt_image_resize(&resized, &(vt_image){side, side, rgb}, 10, 6));
            for (int i = 0; i < 60; i++)
                assert_int_equal(small[i], resized.pixels[3 * i]);
            vt_image_free(&resized);
        }
    uint8_t out[1];
    assert_status(VT_EINVAL, vt_texture_set_draw(set, 12, &(vt_screen_options){8, 8, 1, 1}, out));
    assert_status(VT_EINVAL, vt_texture_set_draw(set, 0, &(vt_screen_options){0, -1, 1, 1}, out));
    assert_status(VT_EINVAL, vt_texture_set_draw(set, 0, &(vt_screen_options){0, NAN, 1, 1}, out));
    assert_status(VT_EINVAL, vt_texture_set_draw(set, 0, &(vt_screen_options){0, 1e9, 1, 1}, out));
    assert_status(VT_EINVAL, vt_texture_set_draw(set, 0, &(vt_screen_options){0, 8, 0, 1}, out));
    vt_texture_set_close(set);
}

/* Images that are grey outside the disc are shown as they are: the aperture is not applied twice.
 */
static void test_with_aperture(void **state)
{
    (void)state;
    vt_texture_set *set;
    uint8_t grey[2][PIXELS], out[32 * 32];
    for (int n = 0; n < 2; n++) {
        fill(grey[n], n);
        for (int i = 0; i < PIXELS; i++)
            if (hypot(i / SIDE - 8, i % SIDE - 8) >= 8) grey[n][i] = 128;
        write_png(n ? "masked/tex-16x16-im1-smp1.png" : "masked/noise-16x16-im1-smp1.png", grey[n],
                  SIDE, SIDE);
    }
    assert_ok(vt_texture_set_open(&set, path_of("masked")));
    for (int n = 0; n < 2; n++) {
        assert_ok(vt_texture_set_draw(set, n, &(vt_screen_options){0, 8, 32, 32}, out));
        for (int i = 0; i < 32 * 32; i++)
            assert_int_equal(out[i], shown(grey[n], 32, i / 32, i % 32, false));
    }
    vt_texture_set_close(set);
}

/* The same pixels by another way have the same checksum, others do not. */
static void test_table(void **state)
{
    (void)state;
    vt_texture_set *named, *listed;
    char table[2048] = "type, sample,family,notes,file,origin\r\n";
    for (int n = 11; n >= 0; n--) {
        char name[64];
        uint8_t grey[PIXELS];
        fill(grey, n);
        snprintf(name, sizeof name, "listed/%c.png", 'a' + n);
        write_png(name, grey, SIDE, SIDE);
        snprintf(table + strlen(table), 128, "%s,%d,%d,,%c.png, made by hand\r\n",
                 n < 6 ? "noise" : "texture", n % 3 + 1, n / 3 % 2 ? 60 : 7, 'a' + n);
    }
    write_png("listed/other.png", (uint8_t[]){1, 2}, 1, 2); /* not listed: not looked at */
    write_text(folder, "listed/textures.csv", table);
    write_published("compared");
    assert_ok(vt_texture_set_open(&listed, path_of("listed")));
    assert_ok(vt_texture_set_open(&named, path_of("compared")));
    assert_string_equal(vt_texture_set_origin(listed), "made by hand");
    assert_true(vt_texture_set_checksum(listed) == vt_texture_set_checksum(named));
    assert_int_equal(vt_texture_set_count(listed), 12);
    vt_texture_set_close(listed);
    vt_texture_set_close(named);
    write_png("compared/tex-320x320-im60-smp3.png", (uint8_t[PIXELS]){0}, SIDE, SIDE);
    assert_ok(vt_texture_set_open(&named, path_of("compared")));
    assert_ok(vt_texture_set_open(&listed, path_of("listed")));
    assert_true(vt_texture_set_checksum(listed) != vt_texture_set_checksum(named));
    vt_texture_set_close(listed);
    vt_texture_set_close(named);
}

static void refuse(const char *name, vt_status status, const char *says)
{
    vt_texture_set *set;
    assert_status(status, vt_texture_set_open(&set, path_of(name)));
    assert_message(says);
}

static void refuse_table(const char *table, vt_status status, const char *says)
{
    write_text(folder, "tables/textures.csv", table);
    refuse("tables", status, says);
}

static void test_refuses(void **state)
{
    (void)state;
    uint8_t grey[PIXELS] = {0};
    static const char *const names[] = {"tex-320x320-im1.png",
                                        "texture-320x320-im1-smp1.png",
                                        "tex-320x320-im-smp1.png",
                                        "tex-320x320-im1-smp1x.png",
                                        "tex-320x320-im12345678901-smp1.png",
                                        "tex-320x320-im1-smp1.jpg",
                                        "tex-x320-im1-smp1.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char under[32], name[128];
        snprintf(under, sizeof under, "wrong%zu", i);
        snprintf(name, sizeof name, "%s/%s", under, names[i]);
        write_png(name, grey, SIDE, SIDE);
        refuse(under, VT_EFORMAT, names[i]);
    }
    refuse("nowhere", VT_ENOTFOUND, "nowhere");
    write_png("alone/tex-1x1-im1-smp1.png", grey, SIDE, SIDE);
    refuse("alone", VT_EFORMAT, "missing");
    write_png("uneven/tex-1x1-im1-smp1.png", grey, SIDE, SIDE);
    write_png("uneven/noise-1x1-im1-smp2.png", grey, SIDE, SIDE);
    refuse("uneven", VT_EFORMAT, "missing");
    write_png("sizes/tex-1x1-im1-smp1.png", grey, SIDE, SIDE);
    write_png("sizes/noise-1x1-im1-smp1.png", grey, SIDE, SIDE / 2);
    refuse("sizes", VT_EFORMAT, "square");
    write_png("twice/tex-1x1-im1-smp1.png", grey, SIDE, SIDE);
    write_png("twice/tex-2x2-im1-smp1.png", grey, SIDE, SIDE);
    refuse("twice", VT_EFORMAT, "the same texture");

    write_png("tables/a.png", grey, SIDE, SIDE);
    write_png("tables/b.png", grey, SIDE, SIDE);
    refuse_table("", VT_EFORMAT, "'file'");
    refuse_table("file,family,sample,type\n", VT_EFORMAT, "no textures");
    refuse_table("file,family,type\na.png,1,noise\n", VT_EFORMAT, "'sample'");
    refuse_table("file,family,sample,type\na.png,1,1\n", VT_EFORMAT, "line 2 has no type");
    refuse_table("file,family,sample,type\na.png,1,1,dots\n", VT_EFORMAT, "'dots'");
    refuse_table("file,family,sample,type\na.png,-1,1,noise\n", VT_EFORMAT, "'-1'");
    refuse_table("file,family,sample,type\na.png,1,1,noise\nc.png,1,1,tex\n", VT_ENOTFOUND,
                 "c.png");
    refuse_table("file,family,sample,type,origin\na.png,1,1,noise,x\nb.png,1,1,tex,y\n", VT_EFORMAT,
                 "origin");
    vt_texture_set *set = NULL;
    write_text(folder, "tables/textures.csv",
               "file,family,sample,type\na.png,1,1,noise\nb.png,1,1,tex\n");
    vt_status status = VT_ENOMEM;
    for (int64_t n = 0; status != VT_OK; n++) {
        assert_status(VT_ENOMEM, status);
        vt_alloc_fail_after(n);
        status = vt_texture_set_open(&set, path_of("tables"));
    }
    vt_alloc_fail_after(-1);
    vt_texture_set_close(set);
}

/* ---- families from photographs ---- */

enum { PHOTOGRAPH = 40, MADE = 32 };

static const vt_texture_families options = {
    .synthesis = {.statistics = {.scales = 2}, .iterations = 4, .seed = 3},
    .samples = 2,
    .side = MADE};

static void write_photographs(void)
{
    uint8_t grey[PHOTOGRAPH * (PHOTOGRAPH + 8)];
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < PHOTOGRAPH * (PHOTOGRAPH + 8); i++) {
            int y = i / (PHOTOGRAPH + 8), x = i % (PHOTOGRAPH + 8);
            grey[i] = (uint8_t)((n ? x : y) % 8 * 20 + (x * y * 7 + x) % 50);
        }
        write_png(n ? "photographs/two, wide.png" : "photographs/one.png", grey, PHOTOGRAPH,
                  PHOTOGRAPH + 8);
    }
}

static uint64_t checksum_of(const char *name, const char *origin)
{
    vt_texture_set *set;
    assert_ok(vt_texture_set_open(&set, path_of(name)));
    assert_int_equal(vt_texture_set_count(set), 8);
    assert_string_equal(vt_texture_set_origin(set), origin);
    uint64_t checksum = vt_texture_set_checksum(set);
    vt_texture_set_close(set);
    return checksum;
}

/* The first file of a table's line that contains `text`; static. */
static const char *listed_file(const char *table, const char *text)
{
    static char line[512];
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path_of(table)));
    FILE *file = fmemopen(data, size, "r");
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = strstr(line, text) != NULL;
    fclose(file);
    free(data);
    if (!found) fail_msg("no line with %s", text);
    *strchr(line, ',') = '\0';
    return line;
}

static void test_families(void **state)
{
    (void)state;
    static const char origin[] = "synthesised from 2 photographs of photographs";
    char made[8600], again[8600], photographs[8600], path[600];
    write_photographs();
    strcpy(photographs, path_of("photographs"));
    strcpy(made, path_of("made"));
    strcpy(again, path_of("again"));
    vt_threads_set(1);
    assert_ok(vt_texture_families_write(made, photographs, &options));
    uint64_t checksum = checksum_of("made", origin);
    vt_threads_set(3);
    assert_ok(vt_texture_families_write(again, photographs, &options));
    vt_threads_set(0);
    assert_true(checksum == checksum_of("again", origin));

    /* what a stopped run left is kept, what is missing made the same */
    vt_image image;
    snprintf(path, sizeof path, "again/%s", listed_file("again/textures.csv", ",texture,1,2,"));
    assert_int_equal(0, remove(path_of(path)));
    assert_int_equal(0, remove(path_of("again/textures.csv")));
    assert_ok(vt_texture_families_write(again, photographs, &options));
    assert_true(checksum == checksum_of("again", origin));
    assert_ok(vt_image_read(&image, path_of(path)));
    memset(image.pixels, 90, (size_t)MADE * MADE * 3);
    void *data;
    size_t size;
    assert_ok(vt_png_encode(&data, &size, &image));
    write_file(folder, path, data, size);
    free(data);
    vt_image_free(&image);
    assert_ok(vt_texture_families_write(again, photographs, &options));
    assert_true(checksum != checksum_of("again", origin)); /* it was not made anew */

    /* other options are other files, beside these */
    vt_texture_families other = options;
    other.synthesis.seed++;
    assert_ok(vt_texture_families_write(made, photographs, &other));
    assert_true(checksum != checksum_of("made", origin));
    assert_ok(vt_texture_families_write(made, photographs, &options));
    assert_true(checksum == checksum_of("made", origin));
}

static bool stop(void *context, int64_t done, int64_t total, const char *line)
{
    (void)context;
    (void)line;
    assert_int_equal(total, 4);
    return done < 2;
}

static void test_families_refuse(void **state)
{
    (void)state;
    char out[8600], photographs[8600];
    write_photographs();
    strcpy(photographs, path_of("photographs"));
    strcpy(out, path_of("refused"));
    vt_texture_families o = options;
    o.progress = &(vt_progress){.report = stop};
    vt_threads_set(1);
    assert_status(VT_EINTERRUPTED, vt_texture_families_write(out, photographs, &o));
    vt_threads_set(0);
    assert_int_equal(-1, access(path_of("refused/textures.csv"), F_OK));
    o = options;
    o.side = 34;
    assert_status(VT_EUNSUPPORTED, vt_texture_families_write(out, photographs, &o));
    assert_message("one.png");
    o.side = MADE;
    o.samples = -1;
    assert_status(VT_EINVAL, vt_texture_families_write(out, photographs, &o));
    assert_status(VT_EIO, vt_texture_families_write("/no/such/place", photographs, &options));
    assert_status(VT_ENOTFOUND, vt_texture_families_write(out, path_of("nothing"), &options));
    write_grey(folder, "plain/grey.png", 90);
    assert_status(VT_ENUMERIC, vt_texture_families_write(out, path_of("plain"), &options));
    assert_message("grey.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_draw),
        cmocka_unit_test(test_with_aperture),   cmocka_unit_test(test_table),
        cmocka_unit_test(test_refuses),         cmocka_unit_test(test_families),
        cmocka_unit_test(test_families_refuse),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
