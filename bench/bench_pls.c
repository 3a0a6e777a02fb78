/* bench_pls X.npy Y.npy OUT.npy TRAINING THREADS: partial least squares, 25 components, of float32
 * features (images, features) to responses (images, neurons): learns from the first TRAINING
 * images, writes the predictions of the others and prints JSON: seconds of fit and prediction, by
 * the clock and of processors, and the memory that they took beyond the arrays, in MiB. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ventral/ventral.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Memory in use, in MiB: at most since the last reset. */
static double peak_mib(void)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lf kB", &kib) == 1) break;
    if (file) fclose(file);
    return kib / 1024;
}

static void reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file) return;
    fputs("5", file);
    fclose(file);
}

static void check(vt_status status)
{
    if (status == VT_OK) return;
    fprintf(stderr, "bench_pls: %s\n", vt_error_message());
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: bench_pls X.npy Y.npy OUT.npy TRAINING THREADS\n");
        return 2;
    }
    vt_tensor x, y, out;
    vt_pls *pls;
    check(vt_npy_read(&x, argv[1]));
    check(vt_npy_read(&y, argv[2]));
    int64_t training = atoll(argv[4]), tests = x.size[0] - training;
    vt_threads_set(atoi(argv[5]));
    check(vt_tensor_new(&out, VT_F64, 2, (int64_t[]){tests, y.size[1]}));
    reset_peak();
    double before = peak_mib(), start = now();
    clock_t processor = clock();
    check(vt_pls_fit_float(&pls, x.data, y.data, training, x.size[1], y.size[1], NULL));
    check(vt_pls_predict_float(pls, out.data, (const float *)x.data + training * x.size[1], tests));
    double seconds = now() - start;
    printf("{\"seconds\": %.4f, \"processor\": %.4f, \"mib\": %.1f}\n", seconds,
           (double)(clock() - processor) / CLOCKS_PER_SEC, peak_mib() - before);
    check(vt_npy_write(&out, argv[3]));
    vt_pls_free(pls);
    vt_tensor_free(&x);
    vt_tensor_free(&y);
    vt_tensor_free(&out);
}
