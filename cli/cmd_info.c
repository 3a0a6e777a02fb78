/* ventral info: what a file, folder or session is. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "components.h"

static void print_shape(const vt_tensor *t)
{
    char text[128];
    printf("%-44s %-9s %s\n", t->name, vt_dtype_name(t->dtype),
           vt_tensor_shape_text(t, text, sizeof text));
}

static json_t *shape_json(const vt_tensor *t)
{
    json_t *sizes = json_array();
    for (int i = 0; i < t->ndim; i++)
        json_array_append_new(sizes, json_integer(t->size[i]));
    return sizes;
}

/* ---- models ---- */

/* ---- components of V1 networks ---- */

/* What the authors call the kinds of nodes that make a V1 network of a residual network. */
static const char *component_of(const char *kind)
{
    static const char *const components[][2] = {
        {"center_surround", "center-surround antagonism"},
        {"local_receptive_field", "local receptive fields"},
        {"divisive_normalization", "divisive normalization"},
        {"tuned_normalization", "tuned normalization"},
        {"cortical_magnification", "cortical magnification"}};
    for (size_t i = 0; i < sizeof components / sizeof *components; i++)
        if (strcmp(kind, components[i][0]) == 0) return components[i][1];
    return NULL;
}

/* Parameters, without constants, of the layer of that name. */
static int64_t parameters_in(vt_graph *graph, const char *layer)
{
    int64_t count = 0;
    size_t length = strlen(layer);
    for (int i = 0; i < vt_graph_param_count(graph); i++) {
        const vt_param *param = vt_graph_param(graph, i);
        bool inside = strncmp(param->name, layer, length) == 0 && param->name[length] == '.';
        if (inside && !param->is_buffer) count += vt_tensor_count(&param->value);
    }
    return count;
}

static json_t *components_json(vt_model *model, const char *formulation)
{
    json_t *list = json_array();
    vt_graph *graph = vt_model_graph(model);
    for (vt_node node = 0; node < vt_graph_node_count(graph); node++) {
        const char *name = vt_graph_node_name(graph, node);
        const char *component = component_of(vt_graph_node_kind(graph, node));
        if (component)
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s, s:I}", "node", name, "component",
                                            component, "formulation", formulation, "parameters",
                                            (json_int_t)parameters_in(graph, name)));
    }
    return list;
}

static void print_components(vt_model *model)
{
    vt_resnet_options r;
    vt_graph *graph = vt_model_graph(model);
    if (vt_model_resnet_options(model, &r) != VT_OK || r.variant == VT_RESNET_PLAIN) return;
    printf("\n%-28s %-28s parameters\n", "component", "node");
    for (vt_node node = 0; node < vt_graph_node_count(graph); node++) {
        const char *name = vt_graph_node_name(graph, node);
        const char *component = component_of(vt_graph_node_kind(graph, node));
        if (component)
            printf("%-28s %-28s %10lld\n", component, name, (long long)parameters_in(graph, name));
    }
}

/* Operations for one image's outputs; a multiplication and an addition are two. */
static double giga_operations(const vt_model *model, const vt_graph *graph)
{
    double sum = 0;
    for (vt_node node = 0; node <= vt_model_output(model); node++)
        sum += (double)vt_graph_node_flops(graph, node);
    return 1e-9 * sum;
}

/* ---- descriptions ---- */

/* Options of either kind of model as JSON, for people and programs alike. */
static json_t *options_json(vt_model *model)
{
    vt_compact_options c;
    vt_resnet_options r;
    char name[64];
    if (vt_model_resnet_options(model, &r) == VT_OK)
        return json_pack("{s:s, s:s, s:f, s:f, s:o}", "network",
                         vt_resnet_name(&r, name, sizeof name), "formulation",
                         vt_formulation_name(r.formulation), "width", r.width, "epsilon", r.epsilon,
                         "components", components_json(model, vt_formulation_name(r.formulation)));
    vt_ensemble_options e;
    if (vt_model_ensemble_options(model, &e) == VT_OK)
        return json_pack("{s:i, s:i, s:i, s:f, s:s?}", "members", e.members, "channels", e.channels,
                         "blocks", e.blocks, "epsilon", e.epsilon, "tap", vt_ensemble_tap(model));
    if (vt_model_compact_options(model, &c) != VT_OK) return json_object();
    json_t *filters = json_array();
    for (int i = 0; i < VT_COMPACT_LAYERS; i++)
        json_array_append_new(filters, json_integer(c.filters[i]));
    return json_pack("{s:o, s:b, s:f}", "filters", filters, "linear", (int)c.linear, "epsilon",
                     c.epsilon);
}

static json_t *nodes_json(vt_model *model)
{
    json_t *nodes = json_array();
    vt_graph *graph = vt_model_graph(model);
    for (vt_node node = 0; node < vt_graph_node_count(graph); node++) {
        int64_t size[VT_MAX_DIMS];
        json_t *sizes = json_array();
        int ndim = vt_graph_node_size(graph, node, size);
        for (int i = 0; i < ndim; i++)
            json_array_append_new(sizes, json_integer(size[i]));
        json_array_append_new(
            nodes, json_pack("{s:s, s:s, s:o, s:I}", "name", vt_graph_node_name(graph, node),
                             "kind", vt_graph_node_kind(graph, node), "size", sizes, "flops",
                             (json_int_t)vt_graph_node_flops(graph, node)));
    }
    return nodes;
}

static json_t *model_json(const char *path, vt_model *model)
{
    int height, width;
    vt_model_image_size(model, &height, &width);
    json_t *sessions = json_array();
    for (int i = 0; i < vt_model_session_count(model); i++) {
        const vt_model_session *s = vt_model_session_at(model, i);
        json_array_append_new(sessions,
                              json_pack("{s:s, s:I, s:I, s:I}", "session", s->id, "first_output",
                                        (json_int_t)s->first, "neurons", (json_int_t)s->count,
                                        "first_neuron", (json_int_t)s->first_neuron));
    }
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:[i,i,i], s:I, s:I, s:f}", "path", path, "kind", "model",
                  "architecture", vt_model_architecture(model), "format", vt_model_source(model),
                  "input", height, width, 3, "outputs", (json_int_t)vt_model_outputs(model),
                  "parameters", (json_int_t)vt_model_parameters(model), "gflop",
                  giga_operations(model, vt_model_graph(model)));
    json_object_update_new(root, options_json(model));
    json_object_set_new(root, "sessions", sessions);
    json_object_set_new(root, "nodes", nodes_json(model));
    return root;
}

static void print_options(const char *path, const vt_model *model)
{
    vt_compact_options c;
    vt_ensemble_options e;
    vt_resnet_options r;
    char name[64];
    if (vt_model_ensemble_options(model, &e) == VT_OK) {
        const char *tap = vt_ensemble_tap(model);
        printf("%s: ensemble (%s)\nmembers     %d, %d channels, %d blocks, on %s%s\n", path,
               vt_model_source(model), e.members, e.channels, e.blocks,
               tap ? "a front end up to " : "pixels", tap ? tap : "");
    } else if (vt_model_resnet_options(model, &r) == VT_OK) {
        printf("%s: %s, width %g (%s)\n", path, vt_resnet_name(&r, name, sizeof name), r.width,
               vt_model_source(model));
        if (r.variant != VT_RESNET_PLAIN)
            printf("formulation %s\n", vt_formulation_name(r.formulation));
    } else if (vt_model_compact_options(model, &c) == VT_OK) {
        printf("%s: %s%s model (%s)\nfilters    ", path, c.linear ? "linear " : "",
               vt_model_architecture(model), vt_model_source(model));
        for (int i = 0; i < VT_COMPACT_LAYERS; i++)
            printf(" %d", c.filters[i]);
        putchar('\n');
    }
}

static void print_nodes(vt_graph *graph)
{
    puts("\nnode                         kind                     size of one image");
    for (vt_node node = 0; node < vt_graph_node_count(graph); node++) {
        int64_t size[VT_MAX_DIMS];
        int ndim = vt_graph_node_size(graph, node, size);
        printf("%-28s %-24s", vt_graph_node_name(graph, node), vt_graph_node_kind(graph, node));
        for (int i = 0; i < ndim; i++)
            printf("%s%lld", i ? " x " : " ", (long long)size[i]);
        putchar('\n');
    }
}

static int model_text(const char *path, vt_model *model)
{
    int height, width;
    vt_model_image_size(model, &height, &width);
    print_options(path, model);
    printf("images      %d x %d x 3\noutputs     %lld\nparameters  %lld\n", height, width,
           (long long)vt_model_outputs(model), (long long)vt_model_parameters(model));
    printf("an image    %.3g GFLOP\n", giga_operations(model, vt_model_graph(model)));
    for (int i = 0; i < vt_model_session_count(model); i++) {
        const vt_model_session *s = vt_model_session_at(model, i);
        if (vt_model_outputs(model) == 1)
            printf("session     %s, neuron %lld\n", s->id, (long long)s->first_neuron);
        else
            printf("session     %s, outputs %lld to %lld\n", s->id, (long long)s->first,
                   (long long)(s->first + s->count - 1));
    }
    print_components(model);
    print_nodes(vt_model_graph(model));
    return cli_finish();
}

static int show_model(const char *path, vt_model *model)
{
    int code = cli_options.json ? cli_print_json(model_json(path, model)) : model_text(path, model);
    vt_model_free(model);
    return code;
}

/* ---- named tensors ---- */

static int show_map(const char *path, const vt_tensor_map *map, const char *format)
{
    int64_t elements = 0;
    json_t *tensors = json_array(), *texts = json_object();
    if (!cli_options.json) printf("%s: %s, %d tensors\n", path, format, vt_tensor_map_count(map));
    for (int i = 0; i < vt_tensor_map_count(map); i++) {
        const vt_tensor *t = vt_tensor_map_at(map, i);
        elements += vt_tensor_count(t);
        if (cli_options.json)
            json_array_append_new(tensors,
                                  json_pack("{s:s, s:s, s:o}", "name", t->name, "dtype",
                                            vt_dtype_name(t->dtype), "size", shape_json(t)));
        else
            print_shape(t);
    }
    for (int i = 0; i < vt_tensor_map_text_count(map); i++) {
        const char *key, *value;
        vt_tensor_map_text_at(map, i, &key, &value);
        json_object_set_new(texts, key, json_string(value));
        if (!cli_options.json)
            printf("%s = %.60s%s\n", key, value, strlen(value) > 60 ? "..." : "");
    }
    if (cli_options.json)
        return cli_print_json(json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "path", path, "kind",
                                        "tensors", "format", format, "elements",
                                        (json_int_t)elements, "tensors", tensors, "texts", texts));
    json_decref(tensors);
    json_decref(texts);
    return cli_finish();
}

typedef vt_status map_reader(vt_tensor_map **out, const char *path);

static int show_tensors(const char *path, map_reader *read, const char *format)
{
    vt_tensor_map *map;
    if (read(&map, path) != VT_OK) return cli_fail();
    int code = show_map(path, map, format);
    vt_tensor_map_free(map);
    return code;
}

static int show_npy(const char *path)
{
    vt_tensor t;
    if (vt_npy_read(&t, path) != VT_OK) return cli_fail();
    char text[128];
    vt_tensor_shape_text(&t, text, sizeof text);
    int code = CLI_DONE;
    if (cli_options.json)
        code = cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:o}", "path", path, "kind", "array",
                                        "format", "npy", "dtype", vt_dtype_name(t.dtype), "size",
                                        shape_json(&t)));
    else {
        printf("%s: npy, %s %s\n", path, vt_dtype_name(t.dtype), text);
        code = cli_finish();
    }
    vt_tensor_free(&t);
    return code;
}

/* ---- images and recordings ---- */

static int show_images(const char *path, vt_image_source *images)
{
    vt_image first = {0};
    int64_t count = vt_image_source_count(images);
    int code = CLI_FAILED;
    if (count > 0 && vt_image_source_read(images, 0, &first) != VT_OK)
        cli_fail();
    else if (cli_options.json)
        code = cli_print_json(json_pack("{s:s, s:s, s:I, s:i, s:i}", "path", path, "kind", "images",
                                        "images", (json_int_t)count, "height", first.height,
                                        "width", first.width));
    else {
        printf("%s: %lld images, the first %d x %d\n", path, (long long)count, first.height,
               first.width);
        code = cli_finish();
    }
    vt_image_free(&first);
    vt_image_source_close(images);
    return code;
}

static json_t *session_json(const vt_session_info *info)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:b}", "session", info->id, "neurons",
                     (json_int_t)info->neurons, "images", (json_int_t)info->images, "repeats",
                     (json_int_t)info->repeats, "has_averaged", info->has_averaged, "has_raw",
                     info->has_raw, "has_images", info->has_images);
}

static int show_recordings(const char *path, char **ids, int64_t count)
{
    json_t *sessions = json_array();
    if (!cli_options.json)
        printf("%s: %lld sessions\nsession   neurons  images  repeats\n", path, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        vt_session *session;
        vt_session_info info;
        if (vt_session_open(&session, path, ids[i]) != VT_OK) {
            json_decref(sessions);
            return cli_fail();
        }
        vt_session_get_info(session, &info);
        vt_session_close(session);
        if (cli_options.json)
            json_array_append_new(sessions, session_json(&info));
        else
            printf("%-9s %7lld %7lld %8s%s\n", info.id, (long long)info.neurons,
                   (long long)info.images, info.has_raw ? "raw" : "averaged",
                   info.has_images ? "" : "  (no images)");
    }
    if (cli_options.json)
        return cli_print_json(
            json_pack("{s:s, s:s, s:o}", "path", path, "kind", "recordings", "sessions", sessions));
    json_decref(sessions);
    return cli_finish();
}

static int show_folder(const char *path)
{
    char **ids;
    int64_t count;
    vt_image_source *images;
    if (vt_session_list(&ids, &count, path) == VT_OK) {
        int code = show_recordings(path, ids, count);
        vt_session_list_free(ids, count);
        return code;
    }
    if (vt_image_source_open(&images, path) == VT_OK) return show_images(path, images);
    vt_error(VT_EFORMAT, "%s: a folder with neither recordings nor images", path);
    return cli_fail();
}

/* ---- telling one from the other ---- */

static int show_file(const char *path)
{
    const char *dot = strrchr(path, '.');
    vt_model *model;
    vt_image_source *images;
    if (!dot) dot = "";
    if (strcmp(dot, ".npy") == 0) return show_npy(path);
    if (strcmp(dot, ".npz") == 0) return show_tensors(path, vt_npz_read, "npz");
    if (strcmp(dot, ".jpg") == 0 || strcmp(dot, ".jpeg") == 0 || strcmp(dot, ".png") == 0) {
        vt_image image;
        if (vt_image_read(&image, path) != VT_OK) return cli_fail();
        int height = image.height, width = image.width;
        vt_image_free(&image);
        if (cli_options.json)
            return cli_print_json(json_pack("{s:s, s:s, s:i, s:i}", "path", path, "kind", "image",
                                            "height", height, "width", width));
        printf("%s: image, %d x %d\n", path, height, width);
        return cli_finish();
    }
    if (strcmp(dot, ".zip") == 0) {
        if (vt_image_source_open(&images, path) != VT_OK) return cli_fail();
        return show_images(path, images);
    }
    if (vt_model_read(&model, path) == VT_OK) return show_model(path, model);
    vt_error_state why;
    vt_error_save(&why, VT_EFORMAT);
    static const struct {
        const char *extension, *format;
        map_reader *read;
    } others[] = {{".safetensors", "safetensors", vt_safetensors_read},
                  {".pt", "torch", vt_torch_read},
                  {".pth", "torch", vt_torch_read},
                  {".keras", "keras", vt_keras_read},
                  {".h5", "hdf5", vt_hdf5_read},
                  {".hdf5", "hdf5", vt_hdf5_read},
                  {".nc", "netcdf4", vt_hdf5_read},
                  {".mat", "matlab 7.3", vt_hdf5_read}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(dot, others[i].extension) == 0)
            return show_tensors(path, others[i].read, others[i].format);
    vt_error_restore(&why);
    return cli_fail();
}

/* A network that no file is needed for. */
static int show_network(const char *name, const vt_resnet_options *options)
{
    vt_model *model;
    return vt_resnet_new(&model, options) == VT_OK ? show_model(name, model) : cli_fail();
}

/* What training made of a model's components, or chance of a new network's. */
static int show_learned(const char *path, const char *folder)
{
    struct stat status;
    vt_model *model;
    vt_resnet_options network = {.depth = 0};
    bool is_new = stat(path, &status) != 0 && vt_resnet_parse_name(&network, path) == VT_OK;
    if ((is_new ? vt_resnet_new(&model, &network) : vt_model_read(&model, path)) != VT_OK)
        return cli_fail();
    int code = cli_components(model, path, folder);
    vt_model_free(model);
    return code;
}

int cmd_info(int argc, const char **argv)
{
    char *components_folder = NULL;
    struct poptOption table[] = {{"components", 'c', POPT_ARG_STRING, &components_folder, 0,
                                  "Of a model: writes what training made of its components", "DIR"},
                                 CLI_COMMON};
    int operand_count;
    poptContext context = cli_parse(argc, argv, table, "PATH|NETWORK");
    if (!context) return CLI_MISUSED;
    const char **operands = cli_operands(context, &operand_count);
    struct stat status;
    vt_resnet_options network = {.depth = 0};
    int code;
    if (operand_count != 1)
        code = cli_misuse("info: one path is needed");
    else if (components_folder)
        code = show_learned(operands[0], components_folder);
    else if (stat(operands[0], &status) == 0)
        code = S_ISDIR(status.st_mode) ? show_folder(operands[0]) : show_file(operands[0]);
    else if (vt_resnet_parse_name(&network, operands[0]) == VT_OK)
        code = show_network(operands[0], &network);
    else {
        vt_error(VT_ENOTFOUND, "%s: there is no such file, folder or network", operands[0]);
        code = cli_fail();
    }
    free(components_folder);
    poptFreeContext(context);
    return code;
}
