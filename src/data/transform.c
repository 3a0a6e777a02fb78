/* Transformations of images for classifiers, as torchvision's on PIL images.
 *
 * RandomResizedCrop (Szegedy et al. 2015, "Going deeper with convolutions", section 6) draws up to
 * ten boxes of area U(min_area, 1) of the image's and ratio exp(U(log 3/4, log 4/3)), sides rounded
 * half to even, and takes the first that fits at a random place; when none does, the largest
 * central box of a ratio within 3/4 and 4/3. Every resize rounds to 8 bits, as Pillow does, so that
 * resizing to 224 and then to 64 is two roundings. Random numbers are drawn in the order: box
 * (area, ratio, top, left), padded crop (top, left), flip. */
#include "data/transform.h"

#include <math.h>
#include <string.h>

#include "io/image.h"
#include "ventral/rng.h"

const vt_transform vt_transform_imagenet_train = {
    .random_resized_crop = 224, .min_area = 0.08, .size = 64, .flip = true};
const vt_transform vt_transform_imagenet_validation = {
    .resize_shorter = 256, .center_crop = 224, .size = 64};
const vt_transform vt_transform_tiny_train = {.size = 64, .flip = true};
const vt_transform vt_transform_tiny_validation = {.size = 64};

enum { MAX_SIDE = 10000 }; /* a square of VT_IMAGE_MAX_PIXELS */

struct box {
    int top, left, height, width;
};

static bool side_ok(int side)
{
    return side >= 0 && side <= MAX_SIDE;
}

static bool has_scale(const vt_transform *t)
{
    return t->sd[0] != 0 || t->sd[1] != 0 || t->sd[2] != 0;
}

vt_status vt_transform_check(const vt_transform *t)
{
    if (!side_ok(t->random_resized_crop) || !side_ok(t->resize_shorter) ||
        !side_ok(t->center_crop) || !side_ok(t->pad_crop) || !side_ok(t->size))
        return vt_error(VT_EINVAL, "sizes of a transformation lie between 0 and %d", MAX_SIDE);
    if (!(t->min_area >= 0 && t->min_area <= 1))
        return vt_error(VT_EINVAL, "the smallest area of a crop, %g, is not between 0 and 1",
                        t->min_area);
    for (int c = 0; c < 3; c++)
        if (has_scale(t) && !(t->sd[c] > 0 && isfinite(t->sd[c]) && isfinite(t->mean[c])))
            return vt_error(VT_EINVAL, "channel %d cannot be scaled by mean %g and s.d. %g", c,
                            (double)t->mean[c], (double)t->sd[c]);
    if (vt_transform_size(t) == 0)
        return vt_error(VT_EINVAL, "a transformation must end in a square; set its size");
    return VT_OK;
}

int vt_transform_size(const vt_transform *t)
{
    if (t->size > 0) return t->size;
    if (t->center_crop > 0) return t->center_crop;
    if (t->random_resized_crop > 0 && t->resize_shorter > 0) return t->resize_shorter;
    return t->random_resized_crop;
}

/* ---- boxes ---- */

static int rounded(double x)
{
    return (int)nearbyint(x); /* half to even, as Python's round */
}

static struct box central_box(int height, int width)
{
    struct box box = {.height = height, .width = width};
    double ratio = (double)width / height;
    if (ratio < 3.0 / 4) box.height = rounded(width / (3.0 / 4));
    if (ratio > 4.0 / 3) box.width = rounded(height * (4.0 / 3));
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

static double uniform(vt_rng *rng, double low, double high)
{
    return low + (high - low) * vt_rng_uniform(rng);
}

static struct box random_box(vt_rng *rng, int height, int width, double min_area)
{
    double area = (double)height * width;
    for (int attempt = 0; attempt < 10; attempt++) {
        double target = area * uniform(rng, min_area, 1);
        double ratio = exp(uniform(rng, log(3.0 / 4), log(4.0 / 3)));
        struct box box = {.height = rounded(sqrt(target / ratio)),
                          .width = rounded(sqrt(target * ratio))};
        if (box.height < 1 || box.width < 1 || box.height > height || box.width > width) continue;
        box.top = (int)vt_rng_below(rng, (uint32_t)(height - box.height + 1));
        box.left = (int)vt_rng_below(rng, (uint32_t)(width - box.width + 1));
        return box;
    }
    return central_box(height, width);
}

/* Where a crop of `side` begins in a length: negative where the length must be padded, the odd
 * pixel of padding at the end. */
static int central_start(int length, int side)
{
    return side > length ? -((side - length) / 2) : rounded((length - side) / 2.0);
}

/* ---- steps ---- */

/* A step replaces the image; the first leaves the caller's alone. */
struct stage {
    const vt_image *image;
    vt_image own;
};

static void replace(struct stage *stage, const vt_image *image)
{
    vt_image_free(&stage->own);
    stage->own = *image;
    stage->image = &stage->own;
}

static vt_status resize(struct stage *stage, int height, int width)
{
    vt_image resized;
    if (height == stage->image->height && width == stage->image->width) return VT_OK;
    VT_TRY(vt_image_resize(&resized, stage->image, height, width));
    replace(stage, &resized);
    return VT_OK;
}

/* The box of the image, black where it reaches beyond. */
static vt_status crop(struct stage *stage, struct box box)
{
    const vt_image *from = stage->image;
    vt_image out;
    if (box.top == 0 && box.left == 0 && box.height == from->height && box.width == from->width)
        return VT_OK;
    VT_TRY(vt_image_new(&out, box.height, box.width, "crop"));
    int first_x = box.left > 0 ? box.left : 0, end_x = box.left + box.width;
    int first_y = box.top > 0 ? box.top : 0, end_y = box.top + box.height;
    if (end_x > from->width) end_x = from->width;
    if (end_y > from->height) end_y = from->height;
    for (int y = first_y; y < end_y && first_x < end_x; y++)
        memcpy(out.pixels +
                   ((size_t)(y - box.top) * (size_t)box.width + (size_t)(first_x - box.left)) * 3,
               from->pixels + ((size_t)y * (size_t)from->width + (size_t)first_x) * 3,
               (size_t)(end_x - first_x) * 3);
    replace(stage, &out);
    return VT_OK;
}

static vt_status resize_shorter(struct stage *stage, int side)
{
    int64_t height = stage->image->height, width = stage->image->width;
    bool portrait = width <= height;
    int64_t longer = portrait ? side * height / width : side * width / height;
    if (longer > VT_IMAGE_MAX_PIXELS / side)
        return vt_error(VT_EUNSUPPORTED,
                        "an image of %lld x %lld pixels is too narrow to be resized to %d pixels",
                        (long long)width, (long long)height, side);
    return resize(stage, (int)(portrait ? longer : side), (int)(portrait ? side : longer));
}

static vt_status apply_steps(struct stage *stage, const vt_transform *t, vt_rng *rng)
{
    if (t->random_resized_crop > 0) {
        VT_TRY(crop(stage, random_box(rng, stage->image->height, stage->image->width,
                                      t->min_area > 0 ? t->min_area : 0.08)));
        VT_TRY(resize(stage, t->random_resized_crop, t->random_resized_crop));
    }
    if (t->resize_shorter > 0) VT_TRY(resize_shorter(stage, t->resize_shorter));
    if (t->center_crop > 0) {
        struct box box = {.top = central_start(stage->image->height, t->center_crop),
                          .left = central_start(stage->image->width, t->center_crop),
                          .height = t->center_crop,
                          .width = t->center_crop};
        VT_TRY(crop(stage, box));
    }
    if (t->pad_crop > 0) {
        uint32_t places = 2 * (uint32_t)t->pad_crop + 1;
        struct box box = {.height = stage->image->height, .width = stage->image->width};
        box.top = (int)vt_rng_below(rng, places) - t->pad_crop;
        box.left = (int)vt_rng_below(rng, places) - t->pad_crop;
        VT_TRY(crop(stage, box));
    }
    if (t->size > 0) VT_TRY(resize(stage, t->size, t->size));
    return VT_OK;
}

/* (value / 255 - mean) / sd in float32, as ToTensor and Normalize compute it. */
static void normalize(float *out, const vt_image *image, const vt_transform *t, bool flip)
{
    float table[256][3];
    for (int c = 0; c < 3; c++) {
        float mean = has_scale(t) ? t->mean[c] : 0.5f, sd = has_scale(t) ? t->sd[c] : 0.5f;
        for (int value = 0; value < 256; value++)
            table[value][c] = ((float)value / 255 - mean) / sd;
    }
    const uint8_t *from = image->pixels;
    size_t row = (size_t)image->width * 3;
    for (int y = 0; y < image->height; y++, out += row) {
        float *to = flip ? out + row - 3 : out;
        for (int x = 0; x < image->width; x++, from += 3, to += flip ? -3 : 3)
            for (int c = 0; c < 3; c++)
                to[c] = table[from[c]][c];
    }
}

vt_status vt_transform_apply(const vt_transform *transform, const vt_image *image, uint64_t seed,
                             uint32_t epoch, uint32_t index, float *out)
{
    vt_rng rng;
    struct stage stage = {.image = image};
    VT_TRY(vt_transform_check(transform));
    VT_TRY(vt_image_check(image));
    vt_rng_init(&rng, seed, VT_RNG_AUGMENT, epoch, index);
    vt_status status = apply_steps(&stage, transform, &rng);
    if (status == VT_OK)
        normalize(out, stage.image, transform, transform->flip && vt_rng_uniform(&rng) < 0.5);
    vt_image_free(&stage.own);
    return status;
}
