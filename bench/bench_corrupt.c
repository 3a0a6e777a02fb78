/* Images of 64 x 64 pixels that vt_corrupt makes a second of processor time: bench_corrupt */
#include <stdio.h>
#include <time.h>

#include <ventral/ventral.h>

enum { SIDE = 64 };
static const double SECONDS = 0.2; /* a corruption and severity */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 0 after a failure. */
static double rate(const vt_image *image, vt_corruption kind, int severity)
{
    double started = now(), elapsed;
    uint32_t done = 0;
    do {
        vt_image out;
        if (vt_corrupt(&out, image, kind, severity, 0, done++) != VT_OK) return 0;
        vt_image_free(&out);
        elapsed = now() - started;
    } while (elapsed < SECONDS);
    return done / elapsed;
}

int main(void)
{
    static uint8_t pixels[SIDE * SIDE * 3];
    vt_image image = {SIDE, SIDE, pixels};
    double seconds = 0;
    if (vt_dead_leaves(pixels, SIDE, SIDE, 0, 0) != VT_OK) return 1;
    puts("images a second   severity  1       2       3       4       5");
    for (int kind = 0; kind < VT_CORRUPTIONS; kind++) {
        printf("%-21s", vt_corruption_name((vt_corruption)kind));
        for (int severity = 1; severity <= VT_CORRUPTION_SEVERITIES; severity++) {
            double images = rate(&image, (vt_corruption)kind, severity);
            if (!(images > 0)) {
                fprintf(stderr, "%s\n", vt_error_message());
                return 1;
            }
            printf(" %7.0f", images);
            seconds += 1 / images;
        }
        putchar('\n');
    }
    printf("all 75 of an image: %.1f ms\n", 1e3 * seconds);
    return 0;
}
