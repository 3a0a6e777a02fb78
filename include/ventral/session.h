/* Sessions: one day's recording of neurons' responses to images; subsets and splits of them. */
#ifndef VENTRAL_SESSION_H
#define VENTRAL_SESSION_H

#include "ventral/image.h"
#include "ventral/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Responses are spike counts. Averaged responses have no repeats and no missing values; raw ones
 * keep every repeat, a missing repeat being NaN. Image i, in the natural order of names, belongs to
 * column i of the responses. */
typedef struct vt_session vt_session;

typedef struct vt_session_info {
    char id[64];
    int64_t images, neurons;
    int64_t repeats;   /* most repeats of an image; 0 without raw responses */
    bool has_averaged; /* vt_session_averaged gives them */
    bool has_raw, has_images;
} vt_session_info;

/* Opens session `id` under `root`, which has one of two layouts.
 * Published: root/images/images_ID.zip, root/responses_repeat_averaged/responses_ID.npy (neurons,
 * images), root/responses_raw/responses_ID.npy (neurons, images, repeats); root may also be the
 * folder that holds data_V4_responses/. At least one file of responses must be there.
 * Plain: root/ID/ holding responses.npy (2-D averaged or 3-D raw) and images/ or images.zip; or
 * root itself such a folder. `id` may be NULL when there is one session only.
 * VT_ENOTFOUND names what was looked for and the sessions there are; VT_ESHAPE when images and
 * responses differ in number; VT_ENUMERIC for NaN in averaged or infinity in any responses. */
vt_status vt_session_open(vt_session **out, const char *root, const char *id);
void vt_session_close(vt_session *session);
void vt_session_get_info(const vt_session *session, vt_session_info *out);

/* Borrowed until vt_session_close; NULL, with a message saying where they should be, when the
 * session has no images. */
vt_image_source *vt_session_images(vt_session *session);

/* float64 (neurons, images), borrowed. Without a file of averages, the mean over the repeats that
 * are there. NULL, with a message, when some neuron has no repeat at all of some image: there is no
 * mean then, and the raw responses are what can be used. */
const vt_tensor *vt_session_averaged(const vt_session *session);
/* float64 (neurons, images, repeats), borrowed; NULL, with a message, when there are none. */
const vt_tensor *vt_session_raw(const vt_session *session);

/* The ids of the sessions with responses under `root`, sorted; none is VT_ENOTFOUND. Free with
 * vt_session_list_free. */
vt_status vt_session_list(char ***out, int64_t *out_count, const char *root);
void vt_session_list_free(char **ids, int64_t count);

typedef enum vt_session_image_format {
    VT_SESSION_JPEG, /* quality 95, chroma at full resolution */
    VT_SESSION_PNG,  /* lossless, several times larger */
} vt_session_image_format;

typedef struct vt_session_write_options {
    int64_t images;
    /* Called once for each image in order; makes `out`, which the writer frees. */
    vt_status (*read_image)(void *context, int64_t index, vt_image *out);
    void *context;
    vt_session_image_format format;
    const vt_tensor *averaged; /* (neurons, images), no NaN; any dtype, stored as float64 */
    const vt_tensor *raw;      /* (neurons, images, repeats), NaN for missing; or NULL */
} vt_session_write_options;

/* Writes a session in the published layout under `root`, which is created where it does not exist.
 * Images become image0001.jpg (or .png) and on. All is checked before anything is written, files
 * appear whole, and a failure leaves none. VT_EINVAL when `root` has a session `id` already. */
vt_status vt_session_write(const char *root, const char *id,
                           const vt_session_write_options *options);

/* Parses a range of 0 .. count - 1 into [begin, end): "A:B" (B excluded), "A:", ":B", "all",
 * "first" and "second" (the halves; the first is the shorter one when count is odd). Empty or
 * reversed ranges and bounds beyond count are VT_EINVAL. */
vt_status vt_range_parse(int64_t *begin, int64_t *end, const char *text, int64_t count);

/* Parses indices and inclusive ranges, "0,3,5-9", in the order given; each must be below `count`
 * and come once. Free *out with free(). */
vt_status vt_index_list_parse(int64_t **out, int64_t *out_count, const char *text, int64_t count);

/* Three disjoint ascending lists of indices that cover 0 .. count - 1. */
typedef struct vt_split {
    int64_t *train, *validation, *test;
    int64_t train_count, validation_count, test_count;
} vt_split;

/* Random split by fractions, each count rounded to nearest; the rest is for training. The same seed
 * gives the same split (Philox, stream VT_RNG_SPLIT). VT_EINVAL when a fraction is negative, their
 * sum is not below 1, or a part with a positive fraction would be empty. Free with vt_split_free.
 */
vt_status vt_split_random(vt_split *out, int64_t count, double validation, double test,
                          uint64_t seed);
/* Random split number `index` into training and test items, ceil(test count) of these, in which
 * every kind of item has its share, to one item (Philox, stream VT_RNG_STRATIFY). `labels` (count)
 * tell the kinds; NULL: all are alike. VT_EINVAL unless 0 < test < 1 and both parts have an item.
 * Free with vt_split_free. */
vt_status vt_split_stratified(vt_split *out, const int64_t *labels, int64_t count, double test,
                              int index, uint64_t seed);
void vt_split_free(vt_split *split);

#ifdef __cplusplus
}
#endif
#endif
