/* Features of images at a node of a model, computed once and kept on disk, so that many networks
 * can be trained on a front end that stays as it is. */
#ifndef VENTRAL_FEATURE_CACHE_H
#define VENTRAL_FEATURE_CACHE_H

#include "ventral/image_stream.h"
#include "ventral/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_feature_cache vt_feature_cache;

/* The model, borrowed, and a node of it as vt_graph_find takes it. `path` is made where it is not
 * there; NULL: nothing is kept. VT_EINVAL when the file is of another model (another checksum of
 * its weights) or node, which the message names; VT_ENOTFOUND: no such node; VT_EFORMAT when the
 * file is corrupt; VT_EIO while another process has it. */
vt_status vt_feature_cache_open(vt_feature_cache **out, const char *path, vt_model *model,
                                const char *tap);
void vt_feature_cache_close(vt_feature_cache *cache);
/* Sizes of one image's features, (height, width, channels) or (features); returns their number. */
int vt_feature_cache_size(const vt_feature_cache *cache, int64_t size[VT_MAX_DIMS]);

/* Features of images of a stream, float32 (count, sizes of the node). Those that lack are computed
 * and added. A feature has the 11 binary digits of a float16, with an exponent for each image,
 * found or computed: 14 x 14 x 1024 features take 400 kB. An image whose bytes changed since is
 * VT_EINVAL, and the message names it; VT_ENUMERIC for a feature that is not finite. A process
 * killed at any moment leaves a file that the next one goes on with. After a failure `out` is
 * undefined. */
vt_status vt_feature_cache_read(vt_feature_cache *cache, vt_image_stream *stream,
                                const int64_t *indices, int64_t count, float *out);

#ifdef __cplusplus
}
#endif
#endif
