/* ventral distill: students that learn what teachers answer to many images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "distill.h"
#include "distill_options.h"
#include "streams.h"

/* The teacher's responses and the training are two tasks, each with a rate of its own. */
typedef struct two_tasks {
    cli_progress teacher, training;
    bool begun;
    vt_progress progress;
} two_tasks;

static bool report(void *context, int64_t done, int64_t total, const char *line)
{
    two_tasks *t = context;
    bool asking = line && strcmp(line, "teacher") == 0;
    if (!asking && !t->begun) {
        cli_progress_end(&t->teacher);
        cli_progress_start(&t->training, "distill");
        t->begun = true;
    }
    const vt_progress *p = asking ? &t->teacher.progress : &t->training.progress;
    return p->report(p->context, done, total, line);
}

static const vt_progress *start(two_tasks *t)
{
    *t = (two_tasks){.progress = {report, t}};
    cli_progress_start(&t->teacher, "distill");
    return &t->progress;
}

static vt_status make_folder(const distill_request *r)
{
    struct stat output, from;
    VT_TRY(vt_folder_make(r->output));
    if (r->from && stat(r->output, &output) == 0 && stat(r->from, &from) == 0 &&
        from.st_dev == output.st_dev && from.st_ino == output.st_ino)
        return vt_error(VT_EINVAL, "%s: --from and --output must be different folders", r->output);
    return VT_OK;
}

static vt_status leave(const distill_request *r, const distill_students *students,
                       const vt_teacher *teacher, const vt_distill_report *course)
{
    VT_TRY(distill_write_models(r, students, teacher));
    VT_TRY(distill_write_course(r, students, teacher, course));
    if (distill_draw(r, course) != VT_OK) cli_note("ventral: no figures: %s", vt_error_message());
    return VT_OK;
}

static int train(const distill_request *r, const distill_students *students, vt_teacher *teacher,
                 vt_image_stream *stream)
{
    char checkpoint[4400];
    two_tasks tasks;
    vt_distill_report course;
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", r->output);
    vt_distill_options o = cli_distill_asked();
    o.checkpoint = checkpoint;
    o.progress = start(&tasks);
    vt_status status = vt_distill(students->list, students->count, teacher, stream, &o, &course);
    cli_progress_end(tasks.begun ? &tasks.training : &tasks.teacher);
    if (status == VT_EINTERRUPTED) {
        cli_note("ventral: stopped; the same command goes on from %s", checkpoint);
        return CLI_FAILED;
    }
    if (status != VT_OK) return cli_fail();
    int code = CLI_FAILED;
    if (leave(r, students, teacher, &course) != VT_OK) {
        cli_fail();
    } else {
        unlink(checkpoint);
        code = distill_print(r, students, teacher, &course);
    }
    vt_distill_report_free(&course);
    return code;
}

/* Images are of the students' size. */
static int run_with(const distill_request *r, const cli_models *teachers)
{
    vt_teacher *teacher = NULL;
    vt_image_stream *stream = NULL;
    distill_students students = {.count = 0};
    int height, width, code = CLI_FAILED;
    vt_status status = make_folder(r);
    if (status == VT_OK)
        status = vt_teacher_new(&teacher, teachers->models, teachers->count,
                                &(vt_teacher_options){.cache = r->cache});
    if (status == VT_OK) status = distill_make_students(&students, r, teacher);
    if (status == VT_OK) {
        vt_model_image_size(students.list[0].model, &height, &width);
        status = cli_stream_open(&stream, height, width);
    }
    if (status == VT_OK)
        code = train(r, &students, teacher, stream);
    else
        cli_fail();
    vt_image_stream_close(stream);
    distill_free_students(&students);
    vt_teacher_free(teacher);
    return code;
}

/* --teacher may name one model or folder each; models behind the options are teachers, too, so that
 * the shell's *.keras works. */
static int run(const distill_request *r, const char **operands, int operand_count)
{
    cli_models teachers;
    int count = 0;
    while (r->teachers && r->teachers[count])
        count++;
    const char **paths = calloc((size_t)(count + operand_count) + 1, sizeof *paths);
    if (!paths) return cli_misuse("distill: out of memory");
    for (int i = 0; i < count + operand_count; i++)
        paths[i] = i < count ? r->teachers[i] : operands[i - count];
    int code = cli_model_folders_open(&teachers, paths, count + operand_count, r->epsilon);
    if (code == CLI_DONE) {
        code = run_with(r, &teachers);
        cli_models_close(&teachers);
    } else {
        cli_fail();
    }
    free((void *)paths);
    return code;
}

static int check(const distill_request *r)
{
    if (!r->teachers) return cli_misuse("distill: which teacher? --teacher is needed");
    if (!r->output) return cli_misuse("distill: --output is needed");
    if (r->from && (r->filters || r->shared || r->linear || r->neurons))
        return cli_misuse("distill: --from brings the students: --neurons, --filters, --shared and "
                          "--linear are of new ones");
    if (r->filters && r->shared)
        return cli_misuse("distill: --shared N is --filters N,N,N,100,100 for all neurons; one of "
                          "them, not both");
    if (r->shared < 0) return cli_misuse("distill: --shared cannot be negative");
    if (cli_distill_check("distill") != CLI_DONE) return CLI_MISUSED;
    return cli_stream_check("distill", false);
}

int cmd_distill(int argc, const char **argv)
{
    distill_request r = {.shared = 0};
    struct poptOption table[] = {
        {"teacher", 't', POPT_ARG_ARGV, &r.teachers, 0,
         "Model, or folder of models, whose responses are learned; more may follow the options",
         "MODEL"},
        {"neurons", 'n', POPT_ARG_STRING, &r.neurons, 0,
         "Only these of the teacher's neurons, as 0,3,5-9", "LIST"},
        CLI_STREAM,
        {"output", 'o', POPT_ARG_STRING, &r.output, 0, "Folder of the students", "DIR"},
        {"filters", 'f', POPT_ARG_STRING, &r.filters, 0,
         "Filters of a student's five layers (default: 100 each)", "N,N,N,N,N"},
        {"shared", 0, POPT_ARG_INT, &r.shared, 0,
         "One student for all neurons: N filters in its first three layers, 100 in the others",
         "N"},
        {"linear", 0, POPT_ARG_NONE, &r.linear, 0, "Students without ReLU", NULL},
        {"from", 0, POPT_ARG_STRING, &r.from, 0,
         "Students that were trained before, such as pruned ones: folder or model", "PATH"},
        {"cache", 'c', POPT_ARG_STRING, &r.cache, 0,
         "File of the teacher's responses, made or extended", "FILE"},
        CLI_DISTILLING,
        CLI_EPSILON(&r.epsilon),
        CLI_COMMON};
    poptContext context =
        cli_parse(argc, argv, table, "--teacher MODEL --images PATH --output DIR [MODEL...]");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    code = check(&r);
    if (code == CLI_DONE) code = run(&r, operands, operand_count);
    cli_free_options(table);
    poptFreeContext(context);
    return code;
}
