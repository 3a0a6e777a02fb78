/* Figures, pictures and pages. */
#include "group_folder.h"

#include <locale.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "report/text.h"
#include "ventral/io.h"
#include "ventral/report.h"

/* FOLDER/NAME; static, one of four. */
static const char *in_folder(const char *name)
{
    static char paths[4][4300];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* The file's text; free(). */
static char *text_of(const char *path)
{
    void *data;
    size_t size;
    assert_ok(vt_file_read(&data, &size, path));
    return data;
}

static void assert_contains(const char *path, const char *wanted)
{
    char *text = text_of(path);
    if (!strstr(text, wanted)) fail_msg("%s does not contain '%s'", path, wanted);
    free(text);
}

static bool has_gnuplot(void)
{
    const char *path = getenv("PATH");
    char *copy = strdup(path ? path : ""), *rest = NULL;
    bool found = false;
    for (char *part = strtok_r(copy, ":", &rest); part; part = strtok_r(NULL, ":", &rest)) {
        char file[4096];
        snprintf(file, sizeof file, "%s/gnuplot", part);
        found = found || access(file, X_OK) == 0;
    }
    free(copy);
    return found;
}

#define need_gnuplot()                                                                             \
    if (!has_gnuplot()) {                                                                          \
        print_message("skipped: no gnuplot\n");                                                    \
        skip();                                                                                    \
    }

/* ---- text ---- */

static void test_escapes(void **state)
{
    (void)state;
    vt_text t = {0};
    vt_text_html(&t, "a<b & \"c\" 'd' >\x01µ\n");
    assert_string_equal(t.data, "a&lt;b &amp; &quot;c&quot; &#39;d&#39; &gt;\xef\xbf\xbdµ\n");
    vt_text_free(&t);
    vt_text_gnuplot(&t, "it's \\n\nset output '/etc'");
    assert_string_equal(t.data, "'it''s \\n set output ''/etc'''");
    vt_text_free(&t);
    vt_text_url(&t, "figures/50% \"a\"#1?.png");
    assert_string_equal(t.data, "figures/50%25%20%22a%22%231%3F.png");
    vt_text_free(&t);
    vt_text_url(&t, "javascript:alert(1)");
    assert_string_equal(t.data, "javascript%3Aalert%281%29");
    vt_text_free(&t);
}

static void test_text_ignores_locale(void **state)
{
    (void)state;
    const char *comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    for (size_t i = 0; i < sizeof comma / sizeof *comma; i++)
        if (setlocale(LC_NUMERIC, comma[i])) break;
    vt_text t = {0};
    vt_text_number(&t, 0.25);
    vt_text_format(&t, " %.1f ", 1.5);
    vt_text_number(&t, NAN);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(t.data, "0.25 1.5 NaN");
    vt_text_free(&t);
}

/* ---- pages ---- */

static void fill_page(vt_page *page)
{
    const char *columns[] = {"neuron", "kind <b>", "r"};
    const char *row[] = {"3", "dot & edge", "0.71"};
    vt_page_heading(page, "Scores <of> neurons");
    vt_page_paragraph(page, "r² & \"more\"");
    vt_page_link(page, "a \"b\"/index.html", "model <c>");
    vt_page_code(page, "ventral fit 'a' > b\n  next");
    vt_page_row_begin(page);
    vt_page_figure(page, "figures/a b.png", "a \"quoted\" <alt>", "caption <i>", 120);
    vt_page_row_end(page);
    vt_page_table_begin(page, columns, 3, 2);
    vt_page_table_row(page, row);
    vt_page_table_end(page);
}

static void test_page(void **state)
{
    (void)state;
    const char *path = in_folder("index.html");
    vt_page *page;
    assert_ok(vt_page_new(&page, "A <script>alert(1)</script> title"));
    fill_page(page);
    assert_ok(vt_page_write(page, path));
    vt_page_free(page);
    assert_contains(path, "<a href=\"a%20%22b%22/index.html\">model &lt;c&gt;</a>");
    assert_contains(path, "<title>A &lt;script&gt;alert(1)&lt;/script&gt; title</title>");
    assert_contains(path, "<h2>Scores &lt;of&gt; neurons</h2>");
    assert_contains(path, "<p>r² &amp; &quot;more&quot;</p>");
    assert_contains(path, "<pre>ventral fit &#39;a&#39; &gt; b\n  next</pre>");
    assert_contains(path, "src=\"figures/a%20b.png\" alt=\"a &quot;quoted&quot; &lt;alt&gt;\" "
                          "width=\"120\"");
    assert_contains(path, "<figcaption>caption &lt;i&gt;</figcaption>");
    assert_contains(path, "<td>3</td><td>dot &amp; edge</td><td class=\"n\">0.71</td>");
    char *text = text_of(path);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "http"));
    assert_string_equal(text + strlen(text) - 16, "</body>\n</html>\n");
    free(text);
}

static void test_page_without_memory(void **state)
{
    (void)state;
    const char *path = in_folder("short.html");
    int failures = 0;
    for (int n = 0; n < 200; n++) {
        vt_page *page;
        vt_alloc_fail_after(n);
        vt_status status = vt_page_new(&page, "title");
        if (status == VT_OK) {
            fill_page(page);
            status = vt_page_write(page, path);
            vt_page_free(page);
        }
        vt_alloc_fail_after(-1);
        if (status == VT_OK) break;
        assert_status(VT_ENOMEM, status);
        if (access(path, F_OK) == 0) assert_contains(path, "</html>"); /* never half */
        failures++;
    }
    assert_in_range(failures, 3, 100);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- pictures ---- */

static void assert_pixel(const vt_image *image, int y, int x, int red, int green, int blue)
{
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
    if (p[0] != red || p[1] != green || p[2] != blue)
        fail_msg("pixel (%d, %d) is (%d, %d, %d), expected (%d, %d, %d)", y, x, p[0], p[1], p[2],
                 red, green, blue);
}

static void test_filters(void **state)
{
    (void)state;
    /* Three filters of 1 x 2: extremes, a faint one, an empty one. */
    float w[18] = {1, -1, 0, 0.5f, 0, 0, 0, 0, 0.002f, 0, -0.001f, 0};
    vt_tensor kernels;
    vt_image image;
    assert_ok(vt_tensor_init(&kernels, VT_F32, 4, (int64_t[]){3, 1, 2, 3}, w));
    assert_ok(vt_picture_filters(&image, &kernels, 2, 4, 3));
    assert_int_equal(image.height, 2 * 4 + 3);
    assert_int_equal(image.width, 2 * 8 + 3);
    assert_pixel(&image, 0, 0, 255, 0, 128);
    assert_pixel(&image, 3, 3, 255, 0, 128);
    assert_pixel(&image, 0, 4, 191, 128, 128);
    assert_pixel(&image, 0, 8, 255, 255, 255);  /* the gap */
    assert_pixel(&image, 0, 11, 128, 128, 255); /* its own scale */
    assert_pixel(&image, 0, 15, 128, 64, 128);
    assert_pixel(&image, 7, 0, 128, 128, 128);
    assert_pixel(&image, 7, 11, 255, 255, 255); /* no fourth filter */
    vt_image_free(&image);
}

static void test_filters_refused(void **state)
{
    (void)state;
    float w[16] = {0};
    vt_tensor kernels;
    vt_image image;
    assert_ok(vt_tensor_init(&kernels, VT_F32, 4, (int64_t[]){1, 2, 2, 4}, w));
    assert_status(VT_ESHAPE, vt_picture_filters(&image, &kernels, 2, 4, 1));
    assert_message("(1, 2, 2, 4)");
    assert_ok(vt_tensor_init(&kernels, VT_F32, 4, (int64_t[]){1, 2, 2, 3}, w));
    assert_status(VT_EINVAL, vt_picture_filters(&image, &kernels, 0, 4, 1));
    assert_status(VT_EINVAL, vt_picture_filters(&image, &kernels, 1, 0, 1));
    assert_status(VT_EINVAL, vt_picture_filters(&image, &kernels, 1, 1, -1));
    w[0] = NAN;
    w[1] = 2;
    assert_ok(vt_picture_filters(&image, &kernels, 1, 1, 0));
    assert_pixel(&image, 0, 0, 128, 255, 128);
    vt_image_free(&image);
}

static void test_sheet(void **state)
{
    (void)state;
    uint8_t red[2 * 2 * 3], grey[12 * 12 * 3];
    for (int i = 0; i < 4; i++)
        memcpy(red + 3 * i, (uint8_t[]){200, 10, 10}, 3);
    memset(grey, 77, sizeof grey);
    vt_image images[3] = {{2, 2, red}, {12, 12, grey}, {2, 2, red}}, sheet, back;
    assert_ok(vt_picture_sheet(&sheet, images, 3, 2, 6, 6, 1));
    assert_int_equal(sheet.height, 13);
    assert_int_equal(sheet.width, 13);
    assert_pixel(&sheet, 5, 5, 200, 10, 10);
    assert_pixel(&sheet, 5, 6, 255, 255, 255);
    assert_pixel(&sheet, 5, 7, 77, 77, 77);
    assert_pixel(&sheet, 7, 0, 200, 10, 10);
    assert_pixel(&sheet, 7, 7, 255, 255, 255);
    assert_ok(vt_picture_write(&sheet, in_folder("sheet.png")));
    assert_ok(vt_image_read(&back, in_folder("sheet.png")));
    assert_int_equal(back.height, 13);
    assert_memory_equal(back.pixels, sheet.pixels, 13 * 13 * 3);
    vt_image_free(&back);
    vt_image_free(&sheet);
    images[1].pixels = NULL;
    assert_status(VT_EINVAL, vt_picture_sheet(&sheet, images, 3, 2, 6, 6, 1));
    assert_status(VT_EINVAL, vt_picture_sheet(&sheet, images, 0, 2, 6, 6, 1));
}

static void test_heat(void **state)
{
    (void)state;
    double v[6] = {0, 1, 0.5, NAN, -3, 9};
    vt_tensor t;
    vt_image image;
    assert_ok(vt_tensor_init(&t, VT_F64, 2, (int64_t[]){2, 3}, v));
    assert_ok(vt_picture_heat(&image, &t, 0, 1, 2));
    assert_int_equal(image.height, 4);
    assert_int_equal(image.width, 6);
    assert_pixel(&image, 1, 1, 255, 255, 255);
    assert_pixel(&image, 0, 2, 8, 48, 107);
    assert_pixel(&image, 0, 5, 107, 174, 214);
    assert_pixel(&image, 2, 0, 190, 190, 190);
    assert_pixel(&image, 2, 2, 255, 255, 255);
    assert_pixel(&image, 3, 5, 8, 48, 107);
    vt_image_free(&image);
    assert_status(VT_EINVAL, vt_picture_heat(&image, &t, 1, 1, 2));
    assert_status(VT_EINVAL, vt_picture_heat(&image, &t, 0, NAN, 2));
}

static void test_circle(void **state)
{
    (void)state;
    static uint8_t pixels[41 * 41 * 3];
    vt_image image = {41, 41, pixels};
    memset(pixels, 255, sizeof pixels);
    vt_picture_circle(&image, 20.5, 20.5, 10, (uint8_t[]){200, 0, 0});
    assert_pixel(&image, 20, 20, 255, 255, 255);
    assert_pixel(&image, 20, 30, 200, 0, 0);
    assert_pixel(&image, 10, 20, 200, 0, 0);
    assert_pixel(&image, 20, 34, 255, 255, 255);
    vt_picture_circle(&image, -500, 1e9, 3, (uint8_t[]){0, 0, 0}); /* outside: nothing */
    assert_pixel(&image, 0, 0, 255, 255, 255);
}

/* ---- figures ---- */

/* The image decodes, has the size, and more than `ink` pixels that are not white. */
static void assert_drawn(const char *path, int height, int width, int ink)
{
    vt_image image;
    int dark = 0;
    assert_ok(vt_image_read(&image, path));
    assert_int_equal(image.height, height);
    assert_int_equal(image.width, width);
    for (int64_t i = 0; i < (int64_t)height * width; i++)
        dark += image.pixels[3 * i] < 200;
    vt_image_free(&image);
    if (dark < ink) fail_msg("%s: %d dark pixels, at least %d expected", path, dark, ink);
}

static int count_files(void)
{
    char command[4300];
    snprintf(command, sizeof command, "ls '%s' | grep -c tmp", folder);
    FILE *pipe = popen(command, "r");
    int count = -1;
    if (fscanf(pipe, "%d", &count) != 1) count = -1;
    pclose(pipe);
    return count;
}

static void test_scatter(void **state)
{
    (void)state;
    need_gnuplot();
    double x[50], y[50];
    for (int i = 0; i < 50; i++) {
        x[i] = i * 0.1;
        y[i] = i * 0.1 + (i % 7) * 0.05;
    }
    y[3] = NAN;
    vt_plot_options o = {.title = "it's <r² & more> `id`\nnext",
                         .x_label = "true_rate ^2",
                         .y_label = "predicted \"\\n\"",
                         .width = 400,
                         .height = 300};
    assert_ok(vt_plot_scatter(in_folder("it's a -plot.png"), &o, x, y, 50));
    assert_drawn(in_folder("it's a -plot.png"), 300, 400, 300);
    assert_contains(in_folder("it's a -plot.tsv"), "\n0.5\t0.75\n");
    assert_contains(in_folder("it's a -plot.gp"), "set output drawing");
    assert_ok(vt_plot_scatter(in_folder("-x.svg"), &o, x, y, 50));
    assert_contains(in_folder("-x.svg"), "it's &lt;r² &amp; more> `id` next");
    assert_contains(in_folder("-x.svg"), "width=\"400\" height=\"300\"");
    assert_int_equal(count_files(), 0);
}

static void test_lines_and_strips(void **state)
{
    (void)state;
    need_gnuplot();
    double loss[] = {1, 0.7, 0.5, 0.45}, other[] = {1.1, NAN, 0.8}, flat[] = {2};
    vt_plot_line lines[] = {{"training", loss, 4}, {"validation", other, 3}};
    vt_plot_options o = {.x_label = "epoch", .y_label = "loss"};
    assert_ok(vt_plot_lines(in_folder("lines.png"), &o, lines, 2));
    assert_drawn(in_folder("lines.png"), 360, 480, 300);
    assert_ok(vt_plot_lines(in_folder("one.png"), &o, &(vt_plot_line){NULL, flat, 1}, 1));
    assert_drawn(in_folder("one.png"), 360, 480, 100);
    double sizes[] = {9000, 500, 12000.5, NAN};
    vt_plot_curve curves[] = {{"a", sizes, loss, 3}, {NULL, loss, sizes, 4}};
    assert_ok(vt_plot_curves(in_folder("curves.png"), &o, curves, 2));
    assert_drawn(in_folder("curves.png"), 360, 480, 300);
    assert_contains(in_folder("curves.tsv"), "1\t12000.5\t0.5\n");
    assert_contains(in_folder("curves.tsv"), "2\t0.45\tNaN\n");
    curves[0].x = curves[1].x = &sizes[3];
    curves[0].count = curves[1].count = 1;
    assert_status(VT_EINVAL, vt_plot_curves(in_folder("none.png"), &o, curves, 2));
    const char *names[] = {"orientation", "no one", "dot"};
    int group[] = {0, 0, 2, 2, 2};
    double r[] = {0.5, 0.9, 0.7, NAN, 0.2};
    assert_ok(vt_plot_strips(in_folder("strips.png"), &o, names, 3, group, r, 5));
    assert_drawn(in_folder("strips.png"), 360, 480, 100);
    assert_contains(in_folder("strips.tsv"), "0\t0.7\n1\tNaN\n2\t0.45\n");
}

static void test_distribution(void **state)
{
    (void)state;
    need_gnuplot();
    const double edges[] = {0.25, 0.5, 1, 4}, shares[] = {0.5, 0, 0.5}, other[] = {0.2, 0.7, 0.1};
    const double whole[] = {0, 0.5, 1}, none[] = {NAN, NAN};
    const char *answers[] = {"no", "it's"};
    vt_plot_options o = {.x_label = "size", .width = 300, .height = 200};
    vt_plot_histogram h = {
        .bins = 3, .edges = edges, .logarithmic = true, .shares = shares, .reference = other};
    assert_ok(vt_plot_distribution(in_folder("shares.png"), &o, &h));
    assert_drawn(in_folder("shares.png"), 200, 300, 1000);
    assert_contains(in_folder("shares.tsv"), "0.5\t1\t0\n1\t4\t0.5\n");
    assert_contains(in_folder("shares.tsv"), "0.25\t0\n0.25\t0.2\n0.5\t0.2\n0.5\t0.7\n");
    assert_contains(in_folder("shares.tsv"), "4\t0.1\n4\t0\n");
    h = (vt_plot_histogram){.bins = 2, .edges = whole, .shares = none, .bin_names = answers};
    assert_ok(vt_plot_distribution(in_folder("names.svg"), &o, &h));
    assert_contains(in_folder("names.gp"), "'it''s' 0.75");
    h.logarithmic = true;
    assert_status(VT_EINVAL, vt_plot_distribution(in_folder("a.svg"), &o, &h));
    h.edges = (const double[]){1, 1, 2};
    assert_status(VT_EINVAL, vt_plot_distribution(in_folder("a.svg"), &o, &h));
    h.bins = 0;
    assert_status(VT_EINVAL, vt_plot_distribution(in_folder("a.svg"), &o, &h));
    vt_plot_curve curve = {NULL, edges, other, 3};
    o.x_octaves = true;
    assert_ok(vt_plot_curves(in_folder("octaves.svg"), &o, &curve, 1));
    assert_contains(in_folder("octaves.gp"), "set logscale x 2");
}

static void test_figure_refused(void **state)
{
    (void)state;
    double x[] = {1, 2}, none[] = {NAN, INFINITY};
    vt_plot_options o = {.title = NULL};
    assert_status(VT_EINVAL, vt_plot_scatter(in_folder("a.pdf"), &o, x, x, 2));
    assert_status(VT_EINVAL, vt_plot_scatter(in_folder(".png"), &o, x, x, 2));
    assert_status(VT_EINVAL, vt_plot_scatter(in_folder("a\nb.png"), &o, x, x, 2));
    assert_status(VT_EINVAL, vt_plot_scatter(in_folder("a.png"), &o, none, none, 2));
    assert_message("no finite value");
    assert_status(VT_EINVAL, vt_plot_scatter(in_folder("a.png"), &o, x, x, 0));
    assert_status(VT_ENOTFOUND, vt_plot_scatter(in_folder("no/a.png"), &o, x, x, 2));
    o.width = 5;
    assert_status(VT_EINVAL, vt_plot_scatter(in_folder("a.png"), &o, x, x, 2));
    assert_status(VT_EINVAL, vt_plot_strips(in_folder("a.png"), &(vt_plot_options){.title = NULL},
                                            (const char *[]){"a"}, 1, (int[]){0, 1}, x, 2));
}

static void test_without_gnuplot(void **state)
{
    (void)state;
    double x[] = {1, 2};
    char *path = strdup(getenv("PATH"));
    setenv("PATH", folder, 1);
    vt_status status =
        vt_plot_scatter(in_folder("gone.png"), &(vt_plot_options){.title = NULL}, x, x, 2);
    setenv("PATH", path, 1);
    free(path);
    assert_status(VT_EUNSUPPORTED, status);
    assert_message("gnuplot-nox");
    assert_int_not_equal(access(in_folder("gone.png"), F_OK), 0);
}

/* A gnuplot that fails says why, and an older figure stays. */
static void test_failing_gnuplot(void **state)
{
    (void)state;
    double x[] = {1, 2};
    char *path = strdup(getenv("PATH")), fake[4400];
    const char *body = "#!/bin/sh\necho 'line 7: undefined' >&2\nexit 1\n";
    assert_ok(vt_file_write(in_folder("gnuplot"), body, strlen(body)));
    assert_int_equal(chmod(in_folder("gnuplot"), 0755), 0);
    assert_ok(vt_file_write(in_folder("old.png"), "old", 3));
    snprintf(fake, sizeof fake, "%s:/bin:/usr/bin", folder);
    setenv("PATH", fake, 1);
    vt_status status =
        vt_plot_scatter(in_folder("old.png"), &(vt_plot_options){.title = NULL}, x, x, 2);
    setenv("PATH", path, 1);
    free(path);
    unlink(in_folder("gnuplot"));
    assert_status(VT_EIO, status);
    assert_message("line 7: undefined");
    assert_contains(in_folder("old.png"), "old");
}

static void test_figure_without_memory(void **state)
{
    (void)state;
    need_gnuplot();
    double x[] = {1, 2};
    int failures = 0;
    for (int n = 0; n < 200; n++) {
        vt_alloc_fail_after(n);
        vt_status status =
            vt_plot_scatter(in_folder("memory.svg"), &(vt_plot_options){.title = "t"}, x, x, 2);
        vt_alloc_fail_after(-1);
        if (status == VT_OK) break;
        assert_status(VT_ENOMEM, status);
        failures++;
    }
    assert_in_range(failures, 5, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_text_ignores_locale),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_page_without_memory),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_filters_refused),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_heat),
        cmocka_unit_test(test_circle),
        cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_lines_and_strips),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_figure_refused),
        cmocka_unit_test(test_without_gnuplot),
        cmocka_unit_test(test_failing_gnuplot),
        cmocka_unit_test(test_figure_without_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
