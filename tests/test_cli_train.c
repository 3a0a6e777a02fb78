/* ventral train: what it writes and reports, starting from another network, what it refuses, and
 * images that cannot be read. Killed runs are in test_resume_train.c. */
#include "cli.h"
#include "toy_images.h"

#include "ventral/resnet.h"

/* One folder for all tests, with "toy" (train and val), and "two", of two classes. */
static char root[4096];
static const char *toy, *two;

static int set_up(void **state)
{
    (void)state;
    new_folder(root);
    toy = strdup(cli_join(root, "toy"));
    two = strdup(cli_join(root, "two"));
    write_toys(root, "toy/train", TOY_CLASSES, 0, 6);
    write_toys(root, "toy/val", TOY_CLASSES, 100, 2);
    write_toys(root, "two", 2, 50, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    free((void *)toy);
    free((void *)two);
    return 0;
}

#define IN(folder) cli_join(root, folder)
#define NUMBERS "-e", "2", "-b", "10", "-r", "0.02", "--threads", "2"
#define TRAIN_AS(network, transform, images, folder)                                               \
    "train", "-i", images, "-n", network, "-w", "0.0625", "-o", folder, "--transform", transform,  \
        NUMBERS
#define TRAIN_ON(images, folder) TRAIN_AS("resnet18", "tiny", images, folder)
#define TRAIN(folder) TRAIN_ON(toy, folder)

static void test_common(void **state)
{
    (void)state;
    cli_check_command("train", "--milestones", true);
    cli_misused("--images and --output", "train", "-n", "resnet18", "-o", "x");
    cli_misused("--images and --output", "train", "-n", "resnet18", "-i", toy);
    cli_misused("--network", "train", "-i", toy, "-o", "x");
    cli_misused("no operands", TRAIN("x"), "y");
    cli_misused("--epochs and --batch", TRAIN("x"), "-e", "0");
    cli_misused("--epochs and --batch", TRAIN("x"), "-b", "-1");
    cli_misused("--rate", TRAIN("x"), "-r", "0");
    cli_misused("--rate", TRAIN("x"), "-r", "nan");
    cli_misused("-r fast", TRAIN("x"), "-r", "fast");
    cli_misused("--save-every", TRAIN("x"), "--save-every", "0");
    cli_misused("--momentum", TRAIN("x"), "--momentum", "-0.1");
    cli_misused("--weight-decay", TRAIN("x"), "--weight-decay", "-1");
    cli_misused("belong together", TRAIN("x"), "--free", "2");
    cli_misused("belong together", TRAIN("x"), "--epsilon", "4");
    cli_misused("at least 1 replay", TRAIN("x"), "--free", "-1", "--epsilon", "4");
    cli_misused("above 0", TRAIN("x"), "--free", "2", "--epsilon", "-4");
    cli_misused("of the network of --from", "train", "-i", toy, "-o", "x", "--from", "m", "-w",
                "0.5");
}

/* Refused before anything is written. */
static void test_impossible_wishes(void **state)
{
    (void)state;
    const char *x = IN("x");
    cli_fails("--schedule sometimes", "step, cosine or constant", TRAIN(x), "--schedule",
              "sometimes");
    cli_fails("--milestones 60,,80", "such as 60,80", TRAIN(x), "--milestones", "60,,80");
    cli_fails("--milestones ", "such as 60,80", TRAIN(x), "--milestones", "");
    cli_fails("--milestones -3", "such as 60,80", TRAIN(x), "--milestones", "-3");
    cli_fails("--milestones 1,2,3,4,5,6,7,8,9", "up to 8", TRAIN(x), "--milestones",
              "1,2,3,4,5,6,7,8,9");
    cli_fails("--milestones", "--schedule step", TRAIN(x), "--milestones", "5", "--schedule",
              "cosine");
    cli_fails("'big'", "imagenet, tiny or crop", TRAIN_AS("resnet18", "big", toy, x));
    cli_fails("'resnet19'", "composite_a", TRAIN_AS("resnet19", "tiny", toy, x));
    cli_fails("'sketched'", "described or released", TRAIN(x), "--formulation", "sketched");
    cli_fails("width", "16", TRAIN(x), "-w", "17");
    cli_fails("momentum of 1", "below 1", TRAIN(x), "--momentum", "1");
    cli_fails("replays", "1000", TRAIN(x), "--free", "1001", "--epsilon", "4");
    cli_fails("absent", "", TRAIN_ON(IN("absent"), x));
    cli_fails("absent/x", "No such file", TRAIN(IN("absent/x")));
    cli_fails(IN("toy/train/c0/000.png"), "not a folder", TRAIN(IN("toy/train/c0/000.png")));
    cli_fails("m.safetensors", "", "train", "-i", toy, "-o", x, "--from", IN("m.safetensors"));
    cli_assert_only(root, ";toy;two;");
}

static void test_classes_that_are_missing(void **state)
{
    (void)state;
    write_toys(root, "gap/train", 3, 0, 1);
    write_toys(root, "gap/val", 2, 0, 1);
    cli_fails("c2", "val", TRAIN_ON(IN("gap"), IN("x")));
    write_text(root, "hollow/c0/note.txt", "no image");
    cli_fails("hollow", "", TRAIN_ON(IN("hollow"), IN("x")));
    remove_folder(IN("gap"));
    remove_folder(IN("hollow"));
    cli_assert_only(root, ";toy;two;");
}

static void test_report_and_files(void **state)
{
    (void)state;
    json_t *r = cli_json(TRAIN(IN("run")));
    const char *output, *network;
    int parameters, epochs, best, skipped, resumed;
    double best1, best5, last1, loss;
    assert_int_equal(0, json_unpack(r, "{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:i, s:b !}",
                                    "output", &output, "network", &network, "parameters",
                                    &parameters, "epochs", &epochs, "best_epoch", &best,
                                    "best_top1", &best1, "best_top5", &best5, "last_top1", &last1,
                                    "train_loss", &loss, "skipped", &skipped, "resumed", &resumed));
    assert_string_equal(IN("run"), output);
    assert_string_equal("resnet18", network);
    assert_int_equal(2, epochs);
    assert_in_range(best, 1, 2);
    assert_true(best1 >= last1 && best5 == 1 && loss > 0);
    assert_int_equal(0, skipped + resumed);
    json_decref(r);
    cli_assert_only(IN("run"), ";best.safetensors;last.safetensors;checkpoint.safetensors;"
                               "metrics.csv;metrics.jsonl;loss.svg;loss.gp;loss.tsv;"
                               "accuracy.svg;accuracy.gp;accuracy.tsv;");
    vt_model *model;
    vt_resnet_options options;
    assert_ok(vt_model_read(&model, IN("run/last.safetensors")));
    assert_ok(vt_model_resnet_options(model, &options));
    assert_int_equal(TOY_CLASSES, options.classes);
    assert_int_equal(parameters, vt_model_parameters(model));
    vt_model_free(model);
    /* A finished run only reports; one with other options is refused. */
    char *text = cli_output_of(cli_run(TRAIN(IN("run"))));
    assert_non_null(strstr(text, "resnet18"));
    assert_non_null(strstr(text, "validation top-1"));
    free(text);
    cli_fails("run/checkpoint.safetensors", "other options", TRAIN(IN("run")), "--seed", "1");
    cli_fails("run/checkpoint.safetensors", "other options", TRAIN(IN("run")), "--schedule",
              "constant");
    cli_fails("run/checkpoint.safetensors", "other options",
              TRAIN_AS("resnet18-tuned_norm", "tiny", toy, IN("run")));
    cli_fails("run/checkpoint.safetensors", "other options", TRAIN_ON(two, IN("run")));
}

/* Momentum of 0 is none, not the default. */
static void test_options_matter(void **state)
{
    (void)state;
    static const char *const changes[][2] = {{"--momentum", "0"},
                                             {"--weight-decay", "0"},
                                             {"--schedule", "cosine"},
                                             {"--milestones", "1"},
                                             {"--seed", "9"}};
    void *usual, *changed;
    size_t usual_size, changed_size;
    cli_ok(TRAIN(IN("usual")));
    assert_ok(vt_file_read(&usual, &usual_size, IN("usual/last.safetensors")));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        cli_ok(TRAIN(IN("changed")), changes[i][0], changes[i][1]);
        assert_ok(vt_file_read(&changed, &changed_size, IN("changed/last.safetensors")));
        assert_int_equal(usual_size, changed_size);
        if (memcmp(usual, changed, usual_size) == 0) fail_msg("%s does nothing", changes[i][0]);
        free(changed);
        remove_folder(IN("changed"));
    }
    free(usual);
}

static const vt_param *param(vt_model *model, const char *name)
{
    const vt_param *p = vt_graph_find_param(vt_model_graph(model), name);
    assert_non_null(p);
    return p;
}

/* From a network of four classes to one of two, of which only the last layer learns. */
static void test_from(void **state)
{
    (void)state;
    cli_ok(TRAIN_AS("resnet18-composite_b", "tiny", toy, IN("four")));
    const char *four = IN("four/last.safetensors");
    cli_fails(four, "it is a resnet18-composite_b, not a resnet50", "train", "-i", two, "-o",
              IN("x"), "--from", four, "-n", "resnet50");
    json_t *r = cli_json("train", "-i", two, "-o", IN("fine"), "--from", four, "--freeze",
                         "--transform", "crop", NUMBERS);
    assert_string_equal("resnet18-composite_b", json_string_value(json_object_get(r, "network")));
    json_decref(r);
    vt_model *a, *b;
    assert_ok(vt_model_read(&a, IN("four/last.safetensors")));
    assert_ok(vt_model_read(&b, IN("fine/last.safetensors")));
    assert_int_equal(2, vt_model_outputs(b));
    const vt_param *p = param(a, "layer3.0.conv1.weight"), *q = param(b, "layer3.0.conv1.weight");
    assert_memory_equal(p->value.data, q->value.data, vt_tensor_bytes(&p->value));
    p = param(a, "bn1.running_mean");
    q = param(b, "bn1.running_mean");
    assert_memory_not_equal(p->value.data, q->value.data, vt_tensor_bytes(&p->value));
    vt_model_free(a);
    vt_model_free(b);
    /* The same classes again: the last layer is taken over too, so that training goes on well. */
    cli_ok("train", "-i", two, "-o", IN("again"), "--from", IN("fine/last.safetensors"), NUMBERS,
           "-r", "1e-30");
    assert_ok(vt_model_read(&a, IN("fine/last.safetensors")));
    assert_ok(vt_model_read(&b, IN("again/last.safetensors")));
    p = param(a, "fc.weight");
    q = param(b, "fc.weight");
    assert_memory_equal(p->value.data, q->value.data, vt_tensor_bytes(&p->value));
    vt_model_free(a);
    vt_model_free(b);
    cli_write_model(IN("compact.safetensors"), NULL, 1, 1);
    cli_fails("compact.safetensors", "ResNet", "train", "-i", two, "-o", IN("x"), "--from",
              IN("compact.safetensors"));
}

/* A JPEG whose end is missing is left out and counted; too many are an error. */
static void test_damaged_images(void **state)
{
    (void)state;
    write_toys(root, "bad", 2, 0, 10);
    write_text(root, "bad/c1/004.jpg", "\xff\xd8\xff\xe0 and no more");
    json_t *r = cli_json(TRAIN_ON(IN("bad"), IN("bad run")));
    assert_int_equal(2, json_integer_value(json_object_get(r, "skipped"))); /* both parts have it */
    json_decref(r);
    char *text = cli_output_of(cli_run(TRAIN_ON(IN("bad"), IN("bad run"))));
    assert_non_null(strstr(text, "2 images could not be read"));
    free(text);
    write_text(root, "bad/c1/005.png", "no image");
    write_text(root, "bad/c1/006.png", "no image");
    cli_fails("00", "more than a tenth", TRAIN_ON(IN("bad"), IN("worse")));
}

/* Figures are a gift: without gnuplot a note says that there are none. */
static void test_without_gnuplot(void **state)
{
    (void)state;
    char *path = strdup(getenv("PATH"));
    setenv("PATH", root, 1);
    cli_result r = cli_run(TRAIN(IN("plain")));
    setenv("PATH", path, 1);
    free(path);
    assert_int_equal(0, r.code);
    assert_non_null(strstr(r.err, "no figures"));
    assert_non_null(strstr(r.out, "validation top-1"));
    cli_free(&r);
    cli_assert_only(IN("plain"), ";best.safetensors;last.safetensors;checkpoint.safetensors;"
                                 "metrics.csv;metrics.jsonl;");
}

/* The models fit, the checkpoint does not: exit 1, one line, nothing half-written. */
static void test_full_disk(void **state)
{
    (void)state;
    struct stat model;
    cli_ok(TRAIN(IN("whole")));
    assert_int_equal(0, stat(IN("whole/last.safetensors"), &model));
    cli_how how = {.largest_file = model.st_size + 1000};
    const char *const args[] = {"ventral", TRAIN(IN("tight")), NULL};
    cli_assert_fails(cli_run_how(args, &how), 1, "tight/checkpoint.safetensors", "File too large");
    cli_assert_only(IN("tight"), ";best.safetensors;last.safetensors;metrics.csv;metrics.jsonl;");
    cli_ok(TRAIN(IN("tight")));
    cli_assert_same_file(IN("whole/last.safetensors"), IN("tight/last.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_impossible_wishes),
        cmocka_unit_test(test_classes_that_are_missing),
        cmocka_unit_test(test_report_and_files),
        cmocka_unit_test(test_options_matter),
        cmocka_unit_test(test_from),
        cmocka_unit_test(test_damaged_images),
        cmocka_unit_test(test_without_gnuplot),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
