/* A distillation on the command line: its students, and what it leaves. */
#ifndef VT_CLI_DISTILL_H
#define VT_CLI_DISTILL_H

#include "models.h"

/* What was asked for, as it stands on the command line. */
typedef struct distill_request {
    const char **teachers; /* popt's list, ended by NULL */
    char *neurons, *filters, *from, *cache, *output;
    int shared, linear;
    double epsilon;
} distill_request;

typedef struct distill_students {
    vt_distill_student *list;
    int64_t *neurons; /* of the teacher, those of all students in their order */
    int64_t neuron_count;
    int count;
    cli_models from; /* the models of --from, which are those of `list` */
} distill_students;

/* distill_students.c: new ones for the teacher's neurons, or those of --from. */
vt_status distill_make_students(distill_students *out, const distill_request *request,
                                const vt_teacher *teacher);
void distill_free_students(distill_students *students);
/* What a teacher's neuron is called: SESSION_neuronN, or neuronN of the teacher's list. */
typedef char distill_name[128];
void distill_name_of(distill_name out, const vt_teacher *teacher, int64_t index);

/* distill_files.c: models, distill.csv and figures in request->output; then the results on standard
 * output. */
vt_status distill_write_models(const distill_request *request, const distill_students *students,
                               const vt_teacher *teacher);
vt_status distill_write_course(const distill_request *request, const distill_students *students,
                               const vt_teacher *teacher, const vt_distill_report *report);
vt_status distill_draw(const distill_request *request, const vt_distill_report *report);
int distill_print(const distill_request *request, const distill_students *students,
                  const vt_teacher *teacher, const vt_distill_report *report);

#endif
