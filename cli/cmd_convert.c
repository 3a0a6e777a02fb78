/* ventral convert: a model from one kind of file to another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "models.h"

typedef struct request {
    char *network, *formulation;
    int state_dict;
} request;

static bool ends_with(const char *path, const char *tail)
{
    size_t a = strlen(path), b = strlen(tail);
    return a > b && strcmp(path + a - b, tail) == 0;
}

static bool is_written(const char *path)
{
    return ends_with(path, ".safetensors") || ends_with(path, ".npz") || ends_with(path, ".h5");
}

/* The model of `path` as what was asked for. */
static vt_status open_model(vt_model **out, const char *path, const request *r)
{
    vt_formulation formulation;
    vt_model *other, *model;
    VT_TRY(cli_model_read(&model, path, r->network));
    if (!r->formulation) {
        *out = model;
        return VT_OK;
    }
    vt_status status = cli_find_formulation(&formulation, r->formulation);
    if (status == VT_OK) status = vt_resnet_with_formulation(&other, model, formulation);
    vt_model_free(model);
    if (status == VT_OK) *out = other;
    return status;
}

static vt_status to_map(vt_tensor_map **out, const vt_model *model, const request *r)
{
    vt_tensor_map *map;
    VT_TRY(vt_tensor_map_new(&map));
    vt_status status =
        r->state_dict ? vt_resnet_state_dict(model, map) : vt_model_to_map(model, map);
    if (status == VT_OK)
        *out = map;
    else
        vt_tensor_map_free(map);
    return status;
}

static vt_status convert(vt_model **model, vt_tensor_map **map, const char *const *paths,
                         const request *r)
{
    VT_TRY(cli_check_output(paths[1]));
    VT_TRY(open_model(model, paths[0], r));
    VT_TRY(to_map(map, *model, r));
    if (ends_with(paths[1], ".h5")) return vt_model_write_keras(*model, paths[1]);
    return ends_with(paths[1], ".npz") ? vt_npz_write(*map, paths[1])
                                       : vt_safetensors_write(*map, paths[1]);
}

/* Whether the authors' code, which knows the released formulation alone, computes something else
 * with these weights. */
static bool is_foreign(const vt_resnet_options *o)
{
    unsigned same = VT_HAS_LOCAL_RECEPTIVE_FIELDS; /* in either formulation */
    return o->formulation == VT_DESCRIBED && (vt_resnet_components(o->variant) & ~same) != 0;
}

static int report(const vt_model *model, const vt_tensor_map *map, const char *const *paths,
                  const request *r)
{
    vt_resnet_options o = {.depth = 0};
    char name[64] = "";
    bool resnet = vt_model_resnet_options(model, &o) == VT_OK;
    if (resnet) vt_resnet_name(&o, name, sizeof name);
    const char *what = resnet ? name : vt_model_architecture(model);
    const char *formulation = resnet ? vt_formulation_name(o.formulation) : NULL;
    if (r->state_dict && is_foreign(&o))
        cli_note("ventral: %s: these weights are for the described formulation; the authors' code "
                 "computes the released one",
                 paths[1]);
    if (cli_options.json)
        return cli_print_json(
            json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:b, s:i, s:I}", "input", paths[0],
                      "output", paths[1], "architecture", vt_model_architecture(model), "format",
                      vt_model_source(model), "network", resnet ? name : NULL, "formulation",
                      formulation, "state_dict", r->state_dict, "tensors", vt_tensor_map_count(map),
                      "parameters", (json_int_t)vt_model_parameters(model)));
    bool two = resnet && o.variant != VT_RESNET_PLAIN; /* formulations that differ */
    printf("%s: %s%s%s, %d tensors, %lld parameters\n", paths[1], what, two ? ", " : "",
           two ? formulation : "", vt_tensor_map_count(map), (long long)vt_model_parameters(model));
    return cli_finish();
}

static int run(const char *const *paths, const request *r)
{
    vt_model *model = NULL;
    vt_tensor_map *map = NULL;
    int code = convert(&model, &map, paths, r) == VT_OK ? report(model, map, paths, r) : cli_fail();
    vt_tensor_map_free(map);
    vt_model_free(model);
    return code;
}

/* Whether the names in the options exist; an unknown one is no matter of files. */
static bool names_exist(const request *r)
{
    vt_resnet_options o;
    vt_formulation f;
    return (!r->network || vt_resnet_parse_name(&o, r->network) == VT_OK) &&
           cli_find_formulation(&f, r->formulation) == VT_OK;
}

int cmd_convert(int argc, const char **argv)
{
    request r = {NULL, NULL, 0};
    struct poptOption table[] = {
        CLI_NETWORK(&r.network),
        {"formulation", 0, POPT_ARG_STRING, &r.formulation, 0,
         "released or described: how V1's layers compute with these weights (default: what the "
         "file says, released if nothing)",
         "NAME"},
        {"state-dict", 0, POPT_ARG_NONE, &r.state_dict, 0,
         "A complete PyTorch state dictionary of a V1 network, with constant tables", NULL},
        CLI_COMMON};
    poptContext context = cli_parse(argc, argv, table, "IN OUT.safetensors|OUT.npz|OUT.h5");
    if (!context) return CLI_MISUSED;
    int operand_count, code;
    const char **operands = cli_operands(context, &operand_count);
    if (operand_count != 2)
        code = cli_misuse("convert: a model and a file to write are needed");
    else if (!is_written(operands[1]))
        code =
            cli_misuse("convert: %s: only .safetensors, .npz and .h5 can be written", operands[1]);
    else if (r.state_dict && ends_with(operands[1], ".h5"))
        code = cli_misuse("convert: --state-dict is PyTorch's, %s Keras's", operands[1]);
    else if (!names_exist(&r))
        code = cli_misuse("convert: %s", vt_error_message());
    else
        code = run(operands, &r);
    free(r.network);
    free(r.formulation);
    poptFreeContext(context);
    return code;
}
