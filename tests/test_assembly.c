/* Assemblies of Brain-Score: one that xarray wrote, and some that lack what they need. */
#include "netcdf.h"
#include "test.h"

#include "base/arena.h"
#include "ventral/assembly.h"
#include "ventral/io.h"

#define FIXTURE TEST_SOURCE_DIR "/tests/fixtures/assembly.nc"

static void test_written_by_xarray(void **state)
{
    (void)state;
    vt_assembly a;
    assert_ok(vt_assembly_read(&a, FIXTURE, "texture_type"));
    assert_int_equal(7, a.images);
    assert_int_equal(3, a.neurons);
    assert_int_equal(3, a.repeats);
    const double *raw = a.raw.data, *averaged = a.averaged.data;
    for (int n = 0; n < 3; n++)
        for (int s = 0; s < 7; s++) {
            char name[16];
            snprintf(name, sizeof name, "image-%d", s);
            assert_string_equal(name, a.stimuli[s]);
            bool missing = n == 1 && s == 5;
            double first = 10 * n + s;
            const double *r = raw + (n * 7 + s) * 3;
            assert_close(r[0], first, 1e-12);
            assert_true(missing ? isnan(r[1]) : fabs(r[1] - first - 0.5) < 1e-12);
            assert_true(s == 3 ? r[2] == first + 1 : isnan(r[2]));
            assert_close(averaged[n * 7 + s],
                         s == 3    ? first + 0.5
                         : missing ? first
                                   : first + 0.25,
                         1e-12);
            assert_int_equal(s % 2, a.labels[s]);
        }
    vt_assembly_free(&a);
    assert_ok(vt_assembly_read(&a, FIXTURE, "texture_family")); /* numbers */
    for (int s = 0; s < 7; s++)
        assert_int_equal(s / 3, a.labels[s]);
    vt_assembly_free(&a);
    assert_ok(vt_assembly_read(&a, FIXTURE, NULL));
    assert_null(a.labels);
    vt_assembly_free(&a);
    static const char *const bad[] = {"no_such", "neuroid_id", "time_bin_start", "test.assembly"};
    for (int i = 0; i < 4; i++) {
        assert_status(VT_ENOTFOUND, vt_assembly_read(&a, FIXTURE, bad[i]));
        assert_message("along the 15 presentations");
    }
}

static void put_number(hid_t file, const char *variable, const char *name, double value)
{
    hid_t set = H5Dopen2(file, variable, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    hid_t number = H5Acreate2(set, name, H5T_STD_I16LE, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(number >= 0 && H5Awrite(number, H5T_NATIVE_DOUBLE, &value) >= 0);
    H5Aclose(number);
    H5Sclose(space);
    H5Dclose(set);
}

/* Identifiers of one letter each. */
static void put_ids(hid_t file, const char *name, const char *letters)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    netcdf_put(file, name, type, 1, (hsize_t[]){strlen(letters)}, letters);
    H5Tclose(type);
}

/* A file of responses 0, 1, ... of these sizes, but for `special`, at the first. */
static vt_status read_made(vt_assembly *out, const char *ids_name, const char *ids, int variables,
                           hsize_t rows, hsize_t columns, double special)
{
    char folder[4096], path[4200];
    double *data = malloc(rows * columns * sizeof *data);
    for (hsize_t i = 0; i < rows * columns; i++)
        data[i] = i == 0 ? special : (double)i;
    snprintf(path, sizeof path, "%s/made.nc", new_folder(folder));
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    for (int v = 0; v < variables; v++)
        netcdf_put(file, v ? "other" : "responses", H5T_NATIVE_DOUBLE, 2,
                   (hsize_t[]){rows, columns}, data);
    put_ids(file, ids_name, ids);
    H5Fclose(file);
    vt_status status = vt_assembly_read(out, path, NULL);
    remove_folder(folder);
    free(data);
    return status;
}

static void test_layouts(void **state)
{
    (void)state;
    vt_assembly a;
    assert_ok(read_made(&a, "image_id", "badb", 1, 4, 2, 0)); /* (presentation, neuroid) */
    assert_int_equal(3, a.images);
    assert_int_equal(2, a.repeats);
    assert_string_equal("b", a.stimuli[0]);
    assert_string_equal("a", a.stimuli[1]);
    assert_close(((double *)a.averaged.data)[0], 3, 0);     /* of 0 and 6 */
    assert_close(((double *)a.averaged.data)[3 + 2], 5, 0); /* neuron 1, "d" */
    vt_assembly_free(&a);
    assert_ok(read_made(&a, "stimulus_id", "badb", 1, 2, 4, 0)); /* (neuroid, presentation) */
    assert_close(((double *)a.averaged.data)[0], 1.5, 0);        /* of 0 and 3 */
    assert_close(((double *)a.averaged.data)[3 + 2], 6, 0);
    vt_assembly_free(&a);
    assert_status(VT_EFORMAT, read_made(&a, "object", "badb", 1, 4, 2, 0));
    assert_message("no coordinate stimulus_id");
    assert_status(VT_EFORMAT, read_made(&a, "stimulus_id", "badb", 0, 4, 2, 0));
    assert_message("no variable of responses");
    assert_status(VT_EFORMAT, read_made(&a, "stimulus_id", "badb", 2, 4, 2, 0));
    assert_message("other and responses");
    assert_status(VT_ESHAPE, read_made(&a, "stimulus_id", "bad", 1, 4, 2, 0));
    assert_message("3 presentations");
    assert_status(VT_ENUMERIC, read_made(&a, "stimulus_id", "badc", 1, 4, 2, NAN));
    assert_message("no response to stimulus b");
    assert_status(VT_ENUMERIC, read_made(&a, "stimulus_id", "badc", 1, 4, 2, INFINITY));
    assert_message("infinite");
    assert_status(VT_ENOTFOUND, vt_assembly_read(&a, "/nowhere/a.nc", NULL));
    assert_status(VT_EFORMAT, vt_assembly_read(&a, TEST_SOURCE_DIR "/README.md", NULL));
}

/* Neuron n answers to stimulus s with 10 s + n, less 1 in the first time bin and more in the
 * second, whatever the order of dimensions, where these are named. Three of each would fit any. */
static void test_named_dimensions(void **state)
{
    (void)state;
    static const char *const orders[][3] = {{"presentation", "neuroid", "time_bin"},
                                            {"presentation", "time_bin", "neuroid"},
                                            {"time_bin", "neuroid", "presentation"},
                                            {"neuroid", "presentation", "time_bin"}};
    char folder[4096], path[4200];
    snprintf(path, sizeof path, "%s/made.nc", new_folder(folder));
    for (int order = 0; order < 4; order++) {
        double data[27];
        vt_assembly a;
        for (int i = 0; i < 27; i++) {
            const int at[] = {i / 9, i / 3 % 3, i % 3};
            data[i] = 0;
            for (int axis = 0; axis < 3; axis++)
                data[i] += orders[order][axis][0] == 'p'   ? 10 * at[axis]
                           : orders[order][axis][0] == 'n' ? at[axis]
                                                           : at[axis] - 1;
        }
        hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        netcdf_put(file, "data", H5T_NATIVE_DOUBLE, 3, (hsize_t[]){3, 3, 3}, data);
        put_ids(file, "stimulus_id", "abc");
        netcdf_name_axes(file, "data", 3, orders[order]);
        netcdf_name_axes(file, "stimulus_id", 1, (const char *const[]){"presentation"});
        H5Fclose(file);
        assert_ok(vt_assembly_read(&a, path, NULL));
        assert_int_equal(3, a.neurons);
        for (int i = 0; i < 9; i++)
            assert_close(((double *)a.averaged.data)[i], 10 * (i % 3) + i / 3, 1e-12);
        vt_assembly_free(&a);
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    vt_assembly a;
    netcdf_put(file, "data", H5T_NATIVE_DOUBLE, 2, (hsize_t[]){3, 3}, (double[9]){0});
    put_ids(file, "stimulus_id", "abc");
    netcdf_name_axes(file, "data", 2, (const char *const[]){"event", "neuroid"});
    H5Fclose(file);
    assert_status(VT_ESHAPE, vt_assembly_read(&a, path, NULL));
    assert_message("expected (presentation, neuroid");
    remove_folder(folder);
}

/* Integers that stand for others, one of them for a missing response; identifiers that are numbers;
 * kinds as rows of letters; a variable in a group. */
static void test_packed(void **state)
{
    (void)state;
    static const int packed[] = {2, -9, 6, 8, 10, 12};
    static const char kinds[] = "aabba.";
    char folder[4096], path[4200];
    vt_assembly a;
    snprintf(path, sizeof path, "%s/made.nc", new_folder(folder));
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    netcdf_put(file, "data", H5T_NATIVE_INT, 2, (hsize_t[]){3, 2}, packed);
    put_number(file, "data", "_FillValue", -9);
    put_number(file, "data", "scale_factor", 3);
    put_number(file, "data", "add_offset", 1);
    netcdf_put(file, "stimulus_id", H5T_NATIVE_INT, 1, (hsize_t[]){3}, (int[]){7, 4, 7});
    hid_t letters = H5Tcopy(H5T_C_S1);
    netcdf_put(file, "kind", letters, 2, (hsize_t[]){3, 2}, kinds);
    H5Tclose(letters);
    hid_t group = H5Gcreate2(file, "extra", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    netcdf_put(group, "data", H5T_NATIVE_INT, 2, (hsize_t[]){3, 2}, packed);
    H5Gclose(group);
    H5Fclose(file);
    assert_ok(vt_assembly_read(&a, path, "kind"));
    assert_int_equal(2, a.images);
    assert_string_equal("7", a.stimuli[0]);
    assert_string_equal("4", a.stimuli[1]);
    assert_int_equal(0, a.labels[0]);
    assert_int_equal(1, a.labels[1]);
    const double expected[] = {(7 + 31) / 2.0, 19, 37, 25}; /* neuron 0 to stimuli 7, 4; neuron 1 */
    for (int i = 0; i < 4; i++)
        assert_close(((double *)a.averaged.data)[i], expected[i], 1e-12);
    vt_assembly_free(&a);
    remove_folder(folder);
}

/* Half of the presentations are of one stimulus, the others of one each: a table of repeats would
 * be much larger than the file. */
static void test_uneven(void **state)
{
    (void)state;
    enum { P = 400 };
    char folder[4096], path[4200], ids[P][4];
    double data[P] = {0};
    vt_assembly a;
    for (int i = 0; i < P; i++)
        snprintf(ids[i], sizeof ids[i], "%d", i % 2 ? i : 0);
    snprintf(path, sizeof path, "%s/made.nc", new_folder(folder));
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, sizeof ids[0]);
    netcdf_put(file, "stimulus_id", type, 1, (hsize_t[]){P}, ids);
    netcdf_put(file, "responses", H5T_NATIVE_DOUBLE, 2, (hsize_t[]){P, 1}, data);
    H5Tclose(type);
    H5Fclose(file);
    assert_status(VT_EUNSUPPORTED, vt_assembly_read(&a, path, NULL));
    assert_message("200 of the 400 presentations");
    remove_folder(folder);
}

static void test_match(void **state)
{
    (void)state;
    static const char *const files[] = {"image-6.png", "image-2.png", "other.png",   "image-0.png",
                                        "image-1.png", "image-3.png", "image-5.png", "image-4.png"};
    char folder[4096], path[4200];
    uint8_t pixels[3] = {1, 2, 3};
    vt_assembly a;
    vt_image_source *images;
    int64_t found[7];
    assert_ok(vt_assembly_read(&a, FIXTURE, NULL));
    new_folder(folder);
    for (int i = 0; i < 8; i++) {
        void *data;
        size_t size;
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_ok(
            vt_png_encode(&data, &size, &(vt_image){.height = 1, .width = 1, .pixels = pixels}));
        assert_ok(vt_file_write(path, data, size));
        free(data);
    }
    assert_ok(vt_image_source_open(&images, folder));
    assert_ok(vt_assembly_match(found, &a, images));
    for (int i = 0; i < 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.png", a.stimuli[i]);
        assert_string_equal(name, vt_image_source_name(images, found[i]));
    }
    strcpy(a.stimuli[4], "image-");
    assert_status(VT_ENOTFOUND, vt_assembly_match(found, &a, images));
    assert_message("stimulus image- is not among the 8 images");
    vt_image_source_close(images);
    vt_assembly_free(&a);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_by_xarray),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_named_dimensions),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_uneven),
        cmocka_unit_test(test_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
