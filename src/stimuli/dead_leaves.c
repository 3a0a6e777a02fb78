/* Dead leaves: natural-like images made of occluding leaves.
 *
 * Radii follow n(r) ~ r^-3, the one exponent for which the model is scale invariant and amplitude
 * falls as 1/f (Ruderman 1997; Lee, Mumford & Huang 2001). Leaves are laid front to back until the
 * picture is covered, which samples the stationary model exactly (Kendall & Thonnes 1999) and never
 * paints what will be hidden. A scene has a few materials (colour, grain, shape), one light, and a
 * depth of field, because objects of natural scenes share them; leaves of independent colours look
 * like confetti. Colours are display values, log-normal in brightness. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "ventral/rng.h"
#include "ventral/simulate.h"

#define MAX_SIZE 8192
#define MAX_SIDES 6
#define MAX_MATERIALS 5
#define MAX_STRETCH 2.0f    /* a leaf's longer semi-axis over its radius */
#define HIDDEN (1.0f / 512) /* transmittance below which nothing behind can change a byte */

/* A tile of 1/f noise, mean 0 and standard deviation 1, periodic, shared by all images: leaves read
 * it shifted, turned and stretched. */
#define TILE 256
static float tile[TILE][TILE];
static pthread_once_t tile_once = PTHREAD_ONCE_INIT;

typedef struct material {
    float tone[3];     /* log of display RGB (1: white) */
    float grain;       /* contrast of the texture */
    float step[2];     /* tile texels a pixel along and across the grain */
    float grain_angle; /* radians */
    int sides;         /* 0: rounded; else at most so many corners */
} material;

typedef struct scene {
    int height, width, materials;
    float min_radius, max_radius;
    float open;     /* share of the picture left to the backdrop */
    float light[2]; /* where it comes from: unit vector */
    float shading;  /* strength of the gradients on leaves */
    float ramp;     /* of that over the picture: log brightness a pixel towards the light */
    float layout;   /* how far materials have regions of their own, a pixel towards the light */
    float stretch_sigma; /* spread of log stretch of leaves */
    float sharpness;     /* edge width of leaves in focus, pixels */
    float blur;          /* added edge width a unit of depth away from focus */
    float focus;         /* depth in focus, 0 front to 1 back */
    material material[MAX_MATERIALS];
} scene;

typedef struct leaf {
    float x, y, cosine, sine; /* centre; direction of the longer axis */
    float a, b;               /* semi-axes, pixels */
    float lobe[4];            /* rounded: radius 1 + cos and sin of 3 and 5 times the angle */
    int sides;                /* 0: rounded, else a convex polygon */
    float edge[MAX_SIDES][3]; /* polygon: outward normal and offset, pixels */
    float width;              /* of the soft edge, pixels */
    float colour[3], gradient[2], grain;
    float origin[2], along[2], across[2]; /* tile: at the centre, a pixel in x, a pixel in y */
} leaf;

typedef struct canvas {
    int height, width;
    float *through;   /* (height, width): share of the light still to come from behind */
    float *colour;    /* (height, width, 3) */
    float *cover;     /* (width): a row of the leaf being laid */
    int (*open)[2];   /* (height): first and past-last pixel of a row not yet covered */
    double remaining; /* sum of `through` */
} canvas;

static float uniform(vt_rng *rng, float low, float high)
{
    return low + (high - low) * (float)(vt_rng_u32(rng) >> 8) * 0x1p-24f;
}

static float normal(vt_rng *rng)
{
    return (float)vt_rng_normal(rng);
}

static float clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* Equal variance in every octave is amplitude 1/f in two dimensions: a sum of value noises on
 * lattices of 4, 8, ... TILE cells. */
static void make_tile(void)
{
    static float lattice[TILE][TILE];
    double sum = 0, squares = 0;
    for (int cells = 4, octave = 0; cells <= TILE; cells *= 2, octave++) {
        vt_rng rng;
        vt_rng_init(&rng, 0, VT_RNG_IMAGE, UINT32_MAX, (uint32_t)octave);
        for (int i = 0; i < cells * cells; i++)
            lattice[i / cells][i % cells] = normal(&rng);
        for (int y = 0; y < TILE; y++)
            for (int x = 0; x < TILE; x++) {
                float u = (float)(x * cells) / TILE, v = (float)(y * cells) / TILE;
                int i = (int)v, j = (int)u, down = (i + 1) % cells, right = (j + 1) % cells;
                u -= (float)j, v -= (float)i;
                u *= u * (3 - 2 * u), v *= v * (3 - 2 * v);
                float top = lattice[i][j] + u * (lattice[i][right] - lattice[i][j]);
                float low = lattice[down][j] + u * (lattice[down][right] - lattice[down][j]);
                tile[y][x] += top + v * (low - top);
            }
    }
    for (int i = 0; i < TILE * TILE; i++) {
        sum += tile[i / TILE][i % TILE];
        squares += (double)tile[i / TILE][i % TILE] * tile[i / TILE][i % TILE];
    }
    double mean = sum / (TILE * TILE), deviation = sqrt(squares / (TILE * TILE) - mean * mean);
    for (int i = 0; i < TILE * TILE; i++)
        tile[i / TILE][i % TILE] = (float)((tile[i / TILE][i % TILE] - mean) / deviation);
}

/* Tile at (u, v) in texels, bilinear; any finite coordinates below 2^30. */
static float tile_at(float u, float v)
{
    int i = (int)v, j = (int)u; /* floorf is a call on processors of the base instruction set */
    i -= v < (float)i, j -= u < (float)j;
    unsigned y = (unsigned)i % TILE, x = (unsigned)j % TILE, right = (x + 1) % TILE;
    const float *top = tile[y], *low = tile[(y + 1) % TILE];
    u -= (float)j, v -= (float)i;
    float t = top[x] + u * (top[right] - top[x]), l = low[x] + u * (low[right] - low[x]);
    return t + v * (l - t);
}

/* Adds a random colour deviation, given as standard deviations, to log RGB. Natural colours vary
 * most in brightness, then blue-yellow, then red-green (Ruderman, Cronin & Chiao 1998).
 * Draws stand in statements of their own, here and below: the order of evaluation within an
 * expression is the compiler's. */
static void vary_tone(float tone[3], float brightness, float yellow, float red, vt_rng *rng)
{
    brightness *= normal(rng);
    yellow *= normal(rng);
    red *= normal(rng);
    tone[0] += brightness + 0.55f * yellow + 0.4f * red;
    tone[1] += brightness + 0.1f * yellow - 0.3f * red;
    tone[2] += brightness - 0.75f * yellow - 0.1f * red;
}

static void draw_scene(scene *out, int height, int width, vt_rng *rng)
{
    float larger = (float)(height > width ? height : width);
    float angle = uniform(rng, 0, 6.2831853f), mean[3] = {-0.98f, -1.02f, -1.10f};
    *out = (scene){.height = height, .width = width};
    out->min_radius = expf(uniform(rng, 0.2f, 1.6f));
    out->max_radius = fmaxf(larger, 1.5f * out->min_radius);
    out->open = 0.01f + 0.5f * powf(uniform(rng, 0, 1), 4);
    out->light[0] = cosf(angle);
    out->light[1] = sinf(angle);
    out->shading = uniform(rng, 0.1f, 0.5f);
    out->sharpness = uniform(rng, 0.8f, 1.6f);
    out->blur = 7 * powf(uniform(rng, 0, 1), 2);
    out->focus = uniform(rng, 0, 1);
    vary_tone(mean, 0.3f, 0.14f, 0.08f, rng);
    float spread = uniform(rng, 0.4f, 0.8f), chroma = 0.26f * expf(0.5f * normal(rng));
    out->stretch_sigma = uniform(rng, 0.1f, 0.7f);
    out->layout = uniform(rng, 0, 1.4f) / larger;
    out->ramp = uniform(rng, 0, 0.8f) / larger;
    out->materials = 2 + (int)vt_rng_below(rng, MAX_MATERIALS - 1);
    float turn = uniform(rng, 0, 6.2831853f);
    for (int m = 0; m < out->materials; m++) {
        material *material = &out->material[m];
        /* Steps of the golden angle keep the materials of a scene apart in brightness. */
        float brightness = 1.3f * spread * cosf(turn + 2.4f * (float)m);
        for (int c = 0; c < 3; c++)
            material->tone[c] = mean[c] + brightness;
        vary_tone(material->tone, 0.3f * spread, chroma, 0.8f * chroma, rng);
        material->grain = 0.25f * expf(0.7f * normal(rng));
        float step = expf(uniform(rng, -1.2f, 0.3f)), stretch = expf(uniform(rng, 0, 1.8f));
        material->step[0] = step / stretch;
        material->step[1] = fminf(step * sqrtf(stretch), 1.6f);
        material->grain_angle = uniform(rng, 0, 6.2831853f);
        bool angular = vt_rng_below(rng, 5) < 2;
        material->sides = angular ? 4 + (int)vt_rng_below(rng, MAX_SIDES - 3) : 0;
    }
}

/* A radius from r^-3 times the area of centres whose leaf can touch the picture,
 * (height + 2 s r)(width + 2 s r) with s the largest stretch: a mixture of three power laws, each
 * drawn by inverting its distribution. */
static float draw_radius(const scene *s, vt_rng *rng)
{
    double low = s->min_radius, high = s->max_radius, m = 2 * MAX_STRETCH;
    double cubic = 0.5 * s->height * s->width * (1 / (low * low) - 1 / (high * high));
    double square = m * (s->height + s->width) * (1 / low - 1 / high);
    double inverse = m * m * log(high / low);
    double pick = vt_rng_uniform(rng) * (cubic + square + inverse);
    double u = vt_rng_uniform(rng);
    if (pick < cubic) return (float)(low / sqrt(1 - u * (1 - low * low / (high * high))));
    if (pick < cubic + square) return (float)(low / (1 - u * (1 - low / high)));
    return (float)(low * pow(high / low, u));
}

/* Corners at jittered angles on the ellipse: a convex polygon, as half-planes. */
static void draw_corners(leaf *out, int sides, vt_rng *rng)
{
    float corner[MAX_SIDES][2], turn = uniform(rng, 0, 1);
    out->sides = sides;
    for (int k = 0; k < sides; k++) {
        float angle = 6.2831853f * ((float)k + turn + uniform(rng, -0.3f, 0.3f)) / (float)sides;
        corner[k][0] = out->a * cosf(angle);
        corner[k][1] = out->b * sinf(angle);
    }
    for (int k = 0; k < sides; k++) {
        const float *p = corner[k], *q = corner[(k + 1) % sides];
        float nx = q[1] - p[1], ny = p[0] - q[0], length = sqrtf(nx * nx + ny * ny);
        out->edge[k][0] = nx / length;
        out->edge[k][1] = ny / length;
        out->edge[k][2] = (nx * p[0] + ny * p[1]) / length;
    }
}

/* Position along the light, pixels from the picture's middle. */
static float towards_light(const scene *s, float x, float y)
{
    return (x - 0.5f * (float)s->width) * s->light[0] + (y - 0.5f * (float)s->height) * s->light[1];
}

static void draw_surface(leaf *out, const scene *s, const material *material, vt_rng *rng)
{
    float tone[3], place = s->ramp * towards_light(s, out->x, out->y);
    for (int c = 0; c < 3; c++)
        tone[c] = material->tone[c] + place;
    vary_tone(tone, 0.22f, 0.06f, 0.05f, rng);
    for (int c = 0; c < 3; c++)
        out->colour[c] = expf(tone[c]);
    float slope = s->shading * uniform(rng, -0.4f, 1.6f) / fmaxf(out->a, 6);
    float across = 0.5f * s->shading * normal(rng) / fmaxf(out->a, 6);
    out->gradient[0] = slope * s->light[0] - across * s->light[1];
    out->gradient[1] = slope * s->light[1] + across * s->light[0];
    /* What is out of focus shows its coarse grain only. */
    float coarse = 1 / (1 + 0.4f * (out->width - 1)), angle = material->grain_angle;
    angle += 0.3f * normal(rng);
    out->grain = material->grain * sqrtf(coarse);
    out->along[0] = coarse * material->step[0] * cosf(angle);
    out->along[1] = -coarse * material->step[1] * sinf(angle);
    out->across[0] = coarse * material->step[0] * sinf(angle);
    out->across[1] = coarse * material->step[1] * cosf(angle);
    out->origin[0] = uniform(rng, 0, TILE);
    out->origin[1] = uniform(rng, 0, TILE);
}

static void draw_leaf(leaf *out, const scene *s, float depth, vt_rng *rng)
{
    float radius = draw_radius(s, rng), margin = MAX_STRETCH * radius;
    float angle = uniform(rng, 0, 3.1415927f);
    float stretch = fminf(expf(s->stretch_sigma * fabsf(normal(rng))), MAX_STRETCH);
    *out = (leaf){.cosine = cosf(angle), .sine = sinf(angle)};
    out->x = uniform(rng, -margin, (float)s->width + margin);
    out->y = uniform(rng, -margin, (float)s->height + margin);
    out->a = radius * stretch;
    out->b = radius / stretch;
    out->width = s->sharpness + fminf(s->blur * fabsf(depth - s->focus), radius);
    float place = 0.5f + s->layout * towards_light(s, out->x, out->y) + 0.3f * normal(rng);
    const material *material = &s->material[(int)(clamp(place, 0, 0.999f) * (float)s->materials)];
    if (material->sides) {
        draw_corners(out, 3 + (int)vt_rng_below(rng, (uint32_t)material->sides - 2), rng);
    } else {
        for (int k = 0; k < 4; k++)
            out->lobe[k] = (k < 2 ? 0.12f : 0.05f) * normal(rng);
    }
    draw_surface(out, s, material, rng);
}

/* What is behind all leaves: one wide surface, brighter towards the light. */
static void draw_backdrop(leaf *out, const scene *s, vt_rng *rng)
{
    float larger = (float)(s->height > s->width ? s->height : s->width);
    *out = (leaf){
        .x = 0.5f * (float)s->width,
        .y = 0.5f * (float)s->height,
        .cosine = 1,
        .a = larger,
        .b = larger,
        .width = s->sharpness + s->blur * fabsf(1 - s->focus),
    };
    draw_surface(out, s, &s->material[0], rng);
    out->grain *= 0.5f;
}

/* Cover of pixels first..last-1 of row y: 1 inside, 0 outside, linear over the soft edge. */
static void cover_row(float *cover, const leaf *l, int y, int first, int last)
{
    float dy = (float)y + 0.5f - l->y, slope = 1 / l->width;
    float u0 = l->sine * dy, v0 = l->cosine * dy;
    if (l->sides) {
        for (int x = first; x < last; x++)
            cover[x] = 1;
        for (int k = 0; k < l->sides; k++) {
            const float *edge = l->edge[k];
            float du = (edge[0] * l->cosine - edge[1] * l->sine) * slope;
            float start = 0.5f + (edge[2] - edge[0] * u0 - edge[1] * v0) * slope;
            for (int x = first; x < last; x++) {
                float inside = start - du * ((float)x + 0.5f - l->x);
                cover[x] = inside < cover[x] ? inside : cover[x];
            }
        }
        for (int x = first; x < last; x++)
            cover[x] = cover[x] < 0 ? 0 : cover[x];
        return;
    }
    float inverse_a = 1 / l->a, inverse_b = 1 / l->b;
    for (int x = first; x < last; x++) {
        float dx = (float)x + 0.5f - l->x;
        float u = (l->cosine * dx + u0) * inverse_a, v = (v0 - l->sine * dx) * inverse_b;
        float q = sqrtf(u * u + v * v + 1e-12f), per_q = 1 / q, c = u * per_q, s = v * per_q;
        float c2 = c * c - s * s, s2 = 2 * c * s, c3 = c2 * c - s2 * s, s3 = s2 * c + c2 * s;
        float c5 = c3 * c2 - s3 * s2, s5 = s3 * c2 + c3 * s2;
        float rim = 1 + l->lobe[0] * c3 + l->lobe[1] * s3 + l->lobe[2] * c5 + l->lobe[3] * s5;
        /* distance to the rim: value over gradient of q, pixels */
        float gu = c * inverse_a, gv = s * inverse_b;
        float inside = 0.5f + (rim - q) / sqrtf(gu * gu + gv * gv) * slope;
        inside = inside < 0 ? 0 : inside;
        cover[x] = inside > 1 ? 1 : inside;
    }
}

/* Adds a row of the leaf behind what is there. */
static void lay_row(canvas *c, const leaf *l, int y, int first, int last)
{
    float *through = c->through + (size_t)y * (size_t)c->width;
    float *colour = c->colour + (size_t)y * (size_t)c->width * 3;
    float dy = (float)y + 0.5f - l->y, taken = 0;
    for (int x = first; x < last; x++) {
        float share = c->cover[x] * through[x];
        if (share < HIDDEN / 8) continue;
        float dx = (float)x + 0.5f - l->x;
        float grain = tile_at(l->origin[0] + dx * l->along[0] + dy * l->across[0],
                              l->origin[1] + dx * l->along[1] + dy * l->across[1]);
        float light = 1 + dx * l->gradient[0] + dy * l->gradient[1];
        light = clamp(light, 0.35f, 1.8f) * clamp(1 + l->grain * grain, 0.15f, 2.5f) * share;
        for (int k = 0; k < 3; k++)
            colour[3 * x + k] += light * l->colour[k];
        through[x] -= share;
        taken += share;
    }
    c->remaining -= taken;
    int *open = c->open[y];
    while (open[0] < open[1] && through[open[0]] < HIDDEN)
        open[0]++;
    while (open[0] < open[1] && through[open[1] - 1] < HIDDEN)
        open[1]--;
}

static void lay_leaf(canvas *c, const leaf *l)
{
    /* Lobes reach 1.5 radii at most three standard deviations out; what is beyond is cut. */
    float reach = l->sides ? 1
                           : 1 + fabsf(l->lobe[0]) + fabsf(l->lobe[1]) + fabsf(l->lobe[2]) +
                                 fabsf(l->lobe[3]);
    float ea = l->a * reach, eb = l->b * reach;
    float ex = sqrtf(ea * ea * l->cosine * l->cosine + eb * eb * l->sine * l->sine) + l->width;
    float ey = sqrtf(ea * ea * l->sine * l->sine + eb * eb * l->cosine * l->cosine) + l->width;
    int left = (int)clamp(l->x - ex, 0, (float)c->width);
    int right = (int)clamp(l->x + ex + 1, 0, (float)c->width);
    int top = (int)clamp(l->y - ey, 0, (float)c->height);
    int bottom = (int)clamp(l->y + ey + 1, 0, (float)c->height);
    for (int y = top; y < bottom; y++) {
        int first = left > c->open[y][0] ? left : c->open[y][0];
        int last = right < c->open[y][1] ? right : c->open[y][1];
        if (first >= last) continue;
        cover_row(c->cover, l, y, first, last);
        lay_row(c, l, y, first, last);
    }
}

/* Highlights are compressed as cameras do: linear up to 0.6, then approaching 1. */
static uint8_t display_byte(float value)
{
    if (value > 0.6f) value = 1 - 0.4f * expf((0.6f - value) / 0.4f);
    return (uint8_t)(value * 255 + 0.5f);
}

static void paint(canvas *c, uint64_t seed, uint32_t index)
{
    vt_rng rng;
    scene s;
    leaf l;
    double area = (double)c->height * c->width;
    vt_rng_init(&rng, seed, VT_RNG_IMAGE, 0, index);
    draw_scene(&s, c->height, c->width, &rng);
    while (c->remaining > s.open * area) {
        draw_leaf(&l, &s, 1 - (float)(c->remaining / area), &rng);
        lay_leaf(c, &l);
    }
    draw_backdrop(&l, &s, &rng);
    for (int y = 0; y < c->height; y++) {
        for (int x = 0; x < c->width; x++)
            c->cover[x] = 1;
        lay_row(c, &l, y, 0, c->width);
    }
}

vt_status vt_dead_leaves(uint8_t *out, int height, int width, uint64_t seed, uint32_t index)
{
    if (!out || height < 1 || width < 1 || height > MAX_SIZE || width > MAX_SIZE)
        return vt_error(VT_EINVAL, "dead leaves: image of %d x %d pixels; give sizes 1 to %d",
                        height, width, MAX_SIZE);
    pthread_once(&tile_once, make_tile);
    size_t pixels = (size_t)height * (size_t)width, columns = (size_t)width;
    canvas c = {.height = height, .width = width, .remaining = (double)pixels};
    float *memory = vt_alloc(4 * pixels + columns + 2 * (size_t)height, sizeof *memory);
    if (!memory) return VT_ENOMEM;
    c.colour = memory;
    c.through = c.colour + 3 * pixels;
    c.cover = c.through + pixels;
    c.open = (int(*)[2])(c.cover + columns);
    for (size_t i = 0; i < pixels; i++)
        c.through[i] = 1;
    for (int y = 0; y < height; y++)
        c.open[y][1] = width;
    paint(&c, seed, index);
    for (size_t i = 0; i < 3 * pixels; i++)
        out[i] = display_byte(c.colour[i]);
    free(memory);
    return VT_OK;
}
