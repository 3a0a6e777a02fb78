/* Weights of published models: Keras (.keras, legacy .h5), PyTorch (.pt, .pth), and HDF5 at large
 * (also NetCDF4 and MATLAB 7.3).
 *
 * The files are read as data: nothing in them is executed, and none of them, however broken, makes
 * the caller crash. Each function gives a new tensor map that the caller frees. `label` names the
 * data in messages (usually a path). Failures: VT_EFORMAT (truncated, corrupt, another format),
 * VT_EUNSUPPORTED (valid, but holds what this library does not read), VT_ENOMEM, and VT_EIO or
 * VT_ENOTFOUND from the functions that take a path.
 *
 * HDF5 is parsed in a forked child with limits on time and memory and no access to files, since
 * the HDF5 library can crash on hostile input. The host therefore sees a SIGCHLD. The fork runs the
 * process's atfork handlers, as any fork does: read models before other threads start to compute.
 */
#ifndef VENTRAL_WEIGHTS_H
#define VENTRAL_WEIGHTS_H

#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the weights of a Keras model: .keras (zip), legacy .h5, .weights.h5. Tensors keep Keras's
 * layouts (kernels HWIO, depthwise kernels (H, W, C, multiplier)) and are named LAYER.WEIGHT after
 * the layers of the model's config, in its order: layer0_conv.kernel, layer0_conv.bias,
 * layer0_bn.gamma/.beta/.moving_mean/.moving_variance,
 * layer1_conv.depthwise_kernel/.pointwise_kernel/.bias, Beta.kernel/.bias. Layers of a nested model
 * are named MODEL.LAYER.WEIGHT; weights whose name the file does not tell, LAYER.0, LAYER.1, ...
 * Texts: "format" = "keras", and "config" = the model's config JSON where the file has one.
 * Optimizer state is left out. */
vt_status vt_keras_parse(vt_tensor_map **out, const void *data, size_t size, const char *label);
vt_status vt_keras_read(vt_tensor_map **out, const char *path);

/* Writes a Keras model as legacy .h5: `map` as vt_keras_read gives it, float tensors LAYER.WEIGHT
 * in Keras's layouts and order and the text "config", the JSON of a functional or sequential model
 * without models in it. Keras itself loads the file; the same map gives the same bytes. VT_EINVAL
 * when the config is missing or a weight belongs to none of its layers. */
vt_status vt_keras_write(const vt_tensor_map *map, const char *path);

/* Reads a PyTorch checkpoint, the zip archive of torch.save since 1.6 or the stream of versions
 * before: state dictionaries of tensors. Tensors keep their dtype, sizes and names; views become
 * contiguous. Nested dictionaries and lists are flattened with '.'; numbers and strings beside the
 * tensors become texts.
 * Texts: "format" = "torch". VT_EUNSUPPORTED when it holds any other object, such as a whole
 * model: the message names it; and for the tars of the first versions. */
vt_status vt_torch_parse(vt_tensor_map **out, const void *data, size_t size, const char *label);
vt_status vt_torch_read(vt_tensor_map **out, const char *path);

/* Reads every dataset of integers or floats with up to six dimensions, named by its path without
 * the leading '/', in the order of names. String attributes of the root and of groups become texts
 * "path@attribute" (the root's: "@attribute"). Names of the datasets left out (strings, compounds,
 * external or virtual storage, names of VT_NAME_SIZE bytes or more) are the lines of the text
 * "skipped"; vectors of strings (and matrices of letters) are also texts, under their paths, a line
 * an element. NetCDF4's names of a dataset's dimensions are the lines of the text
 * "path@dimensions", its _FillValue, missing_value, scale_factor and add_offset texts
 * "path@_FillValue" and so on. A dataset linked under several names is read under one; soft and
 * external links are not followed. At most 16,384 datasets, and 64 MiB plus 1,032 times the file's
 * size of data. */
vt_status vt_hdf5_parse(vt_tensor_map **out, const void *data, size_t size, const char *label);
vt_status vt_hdf5_read(vt_tensor_map **out, const char *path);

/* Reads a MATLAB file: its full arrays of real numbers with up to six dimensions by their names,
 * those in a structure (1 x 1) as STRUCTURE/FIELD; the names of other kinds are the lines of the
 * text "skipped". Of version 5 to 7.2, compressed or not, in either byte order, sizes are MATLAB's;
 * version 7.3 is read by vt_hdf5_parse and has them in reverse. At most 64 MiB plus 1,032 times the
 * file's size of data. */
vt_status vt_matlab_parse(vt_tensor_map **out, const void *data, size_t size, const char *label);
vt_status vt_matlab_read(vt_tensor_map **out, const char *path);

#ifdef __cplusplus
}
#endif
#endif
