"""compare_train.py BENCH_TRAIN PEER_PYTHON DIR: a training step of ResNet-50, both programs in turn, and the ratio.

Every round runs both for a few steps; bfloat16 is timed where the processor multiplies in it.
"""
import json
import os
import statistics
import subprocess
import sys

BATCH, THREADS, RUNS, ROUNDS = 128, 2, 3, 3

program, python, folder = sys.argv[1:]
peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_train.py")


def run(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(label, *precision):
    ours, layouts = [], {}
    for _ in range(ROUNDS):
        ours += run(program, f"{folder}/model.pt", f"{folder}/images.npy", f"{folder}/labels.npy", loss,
                    str(THREADS), str(RUNS), *precision)["runs"]
        other = run(python, peer, "time", folder, str(THREADS), str(RUNS), *precision)
        version = other.pop("torch")
        for layout, times in other.items():
            layouts.setdefault(layout, []).extend(times)
    mine = statistics.median(ours)
    print(f"ResNet-50, {label}, batch {BATCH} of 64x64, forward, backward and SGD, {THREADS} threads each, "
          f"median of {ROUNDS * RUNS} steps; first loss verified")
    print(f"  ventral                       {mine:8.0f} ms")
    for layout, times in layouts.items():
        print(f"  PyTorch {version} {layout:14s} {statistics.median(times):8.0f} ms   "
              f"ratio {statistics.median(times) / mine:.2f}")
    best = min(statistics.median(times) for times in layouts.values())
    print(f"  ratio to PyTorch's better layout {best / mine:.2f}")


subprocess.run([python, peer, "make", folder, str(BATCH)], check=True)
with open(f"{folder}/loss.txt") as text:
    loss = text.read()
compare("float32")
with open("/proc/cpuinfo") as text:
    flags = text.read()
if "avx512_bf16" in flags or "amx_bf16" in flags:
    compare("bfloat16", "bf16")
