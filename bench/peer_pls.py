"""Partial least squares beside scikit-learn's PLSRegression(25, scale=False) on the same arrays.

    peer_pls.py BENCH_PLS DIR THREADS
    peer_pls.py time X.npy Y.npy OUT.npy TRAINING   (run by the first, for a process of its own)

Features of 640 images as a ResNet-50's layer4 and layer2 have them at 64 pixels, responses of 50
neurons; 576 images to learn from. Predictions of the others are compared, then times and memory
beyond the arrays printed."""
import json
import os
import subprocess
import sys
import time

import numpy as np

IMAGES, TRAINING, NEURONS = 640, 576, 50


def peak_mib():
    """Memory in use: at most since the last reset."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def reset_peak():
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")


def measure(x_path, y_path, out_path, training):
    import sklearn
    from sklearn.cross_decomposition import PLSRegression

    x, y = np.load(x_path), np.load(y_path)
    model = PLSRegression(25, scale=False)
    reset_peak()
    before, start, processor = peak_mib(), time.perf_counter(), time.process_time()
    # Float32 features would be reduced in float32; Brain-Score's are float64.
    out = model.fit(x[:training].astype(np.float64), y[:training]).predict(x[training:].astype(np.float64))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    np.save(out_path, out)
    print(json.dumps({"seconds": seconds, "processor": processor, "mib": peak_mib() - before, "version": sklearn.__version__}))


def make(folder, features):
    """Features of a falling spectrum, as networks have them, and neurons that some of it explains."""
    rng = np.random.default_rng(features)
    hidden = rng.normal(size=(IMAGES, 60)) / np.arange(1, 61)
    x = (hidden @ rng.normal(size=(60, features))).astype(np.float32)
    x += 0.05 * rng.normal(size=x.shape).astype(np.float32)
    y = hidden @ rng.normal(size=(60, NEURONS)) + 0.5 * rng.normal(size=(IMAGES, NEURONS))
    np.save(f"{folder}/pls_x.npy", x)
    np.save(f"{folder}/pls_y.npy", y)


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def text(result):
    return f"{result['seconds']:.2f} s ({result['processor']:.2f} s of processors), {result['mib']:.0f} MiB"


def main(program, folder, threads):
    os.environ.update({name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})
    arrays = [f"{folder}/pls_x.npy", f"{folder}/pls_y.npy"]
    print(f"partial least squares, {TRAINING} images to {NEURONS} neurons, 25 components, {threads} threads each")
    for features in (8192, 32768):
        make(folder, features)
        peer = run([sys.executable, __file__, "time", *arrays, f"{folder}/pls_peer.npy", str(TRAINING)])
        runs = [run([program, *arrays, f"{folder}/pls_ours.npy", str(TRAINING), threads]) for _ in range(3)]
        a, b = np.load(f"{folder}/pls_ours.npy"), np.load(f"{folder}/pls_peer.npy")
        difference = np.abs(a - b).max() / b.std()
        assert difference < 1e-8, difference
        ours = sorted(runs, key=lambda r: r["seconds"])[1]
        print(f"  {features:7d} features: ventral {text(ours)}; scikit-learn {peer['version']} {text(peer)}; "
              f"ratio {peer['seconds'] / ours['seconds']:.0f}; "
              f"predictions differ by {difference:.0e} of their s.d.", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "time":
        measure(*sys.argv[2:5], int(sys.argv[5]))
    else:
        main(*sys.argv[1:4])
