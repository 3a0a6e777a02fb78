/* Which neurons the models of the original publication predict. Their files do not say: a compact
 * model has it in its file name, a shared one predicts the four main test sessions in this order.
 */
#include <stdio.h>
#include <string.h>

#include "models/model.h"

static const vt_model_session shared_sessions[] = {
    {"190923", 0, 33, 0}, {"201025", 33, 89, 0}, {"210225", 122, 55, 0}, {"211022", 177, 42, 0}};

vt_status vt_model_published_sessions(vt_model *model, const char *path)
{
    if (model->architecture == &vt_architecture_shared_compact) {
        if (model->outputs != 219) return VT_OK;
        for (size_t i = 0; i < sizeof shared_sessions / sizeof *shared_sessions; i++)
            VT_TRY(vt_model_add_session(model, &shared_sessions[i]));
        return VT_OK;
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    vt_model_session session = {.count = 1};
    int neuron;
    if (sscanf(name, "compact_model_%15[0-9A-Za-z-]_neuron%d.", session.id, &neuron) != 2)
        return VT_OK;
    session.first_neuron = neuron;
    return vt_model_add_session(model, &session);
}
