/* Gratings as they are drawn: the window of a picture that is seen, and its rows. */
#ifndef VT_STIMULI_GRATING_H
#define VT_STIMULI_GRATING_H

#include "ventral/grating.h"

/* The square of `side` pixels from pixel (first, first) of a square picture of `picture` pixels,
 * VT_GRATING_DEGREES wide; it may reach beyond the picture. */
typedef struct vt_window {
    int picture, first, side;
    double resolution; /* pixels a degree */
} vt_window;

#define VT_GREY 128

/* Degrees from the picture's middle of pixel `at` of the window. */
static inline double vt_window_degrees(const vt_window *window, int at)
{
    return (window->first + at - window->picture / 2.0) / window->resolution;
}

/* A grating made ready to draw its rows: pixels [top, bottom) x [left, right) of the window may lie
 * in its disc; sines of x and y apart, since sin(a + b) = sin a cos b + cos a sin b. */
typedef struct vt_painter {
    const vt_window *window;
    vt_grating grating;
    int top, bottom, left, right;
    double cosine, sine, phase; /* of the orientation; radians */
    float amplitude;            /* grey levels */
    float doubt;                /* grey levels by which float values may be wrong */
    double *x;                  /* degrees from the centre, one a column; from here on borrowed */
    float *x_sine, *x_cosine;   /* of 2 pi frequency x cos(orientation) */
} vt_painter;

/* `x`, `x_sine` and `x_cosine` have one place for each column of the window. */
void vt_painter_init(vt_painter *out, const vt_window *window, const vt_grating *grating, double *x,
                     float *x_sine, float *x_cosine);
/* Draws row y of the window, top <= y < bottom, into `row`, which stays as it is outside the disc.
 */
void vt_painter_row(const vt_painter *painter, int y, uint8_t *row);

/* The whole window (side, side), pixel by pixel from the formula: the reference. */
void vt_grating_draw_naive(uint8_t *out, const vt_window *window, const vt_grating *grating);

#endif
