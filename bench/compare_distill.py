"""compare_distill.py BENCH_DISTILL PEER_PYTHON DIR: training steps of students of five times 100 filters, of one
neuron and of ten on the same images, both programs in turn, and the ratio.

Both start from the same weights, which bench_distill writes; their first losses are compared. bfloat16 is timed where
the processor multiplies in it.
"""
import json
import os
import statistics
import subprocess
import sys

BATCH, THREADS = 64, 2
ROUNDS = {1: (3, 3), 10: (1, 1)}  # neurons: rounds, steps in each

program, python, folder = sys.argv[1:]
peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_distill.py")


def run(policy, *command):
    """Threads that wait sleep in one and spin in the other, each as it is faster on a busy machine."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment.update(policy)
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True,
                          env=environment)
    return json.loads(done.stdout)


def compare(neurons, tolerance, *precision):
    ours, layouts = [], {"contiguous": [], "channels_last": []}
    rounds, runs = ROUNDS[neurons]
    for _ in range(rounds):
        mine = run({"OMP_WAIT_POLICY": "passive"}, program, "time", folder, THREADS, runs, neurons, *precision)
        ours += mine["runs"]
        for layout, times in layouts.items():
            other = run({}, python, peer, folder, THREADS, runs, neurons, layout, *precision)
            times += other["runs"]
            for a, b in zip(mine["losses"], other["losses"]):
                if not abs(a - b) <= tolerance * abs(b):
                    sys.exit(f"first losses differ: {a} and, in PyTorch, {b}")
    mine = statistics.median(ours) / neurons
    print(f"students of {neurons} neuron{'s' if neurons > 1 else ''}, {precision[0] if precision else 'float32'}, batch "
          f"{BATCH}, forward, backward and Adam, {THREADS} threads each, median of {rounds * runs}; first losses "
          f"verified")
    print(f"  ventral                       {mine:8.0f} ms a neuron, {mine / BATCH:6.2f} ms an image")
    for layout, times in layouts.items():
        theirs = statistics.median(times) / neurons
        print(f"  PyTorch {other['torch']} {layout:14s} {theirs:8.0f} ms a neuron   ratio {theirs / mine:.2f}")
    best = min(statistics.median(times) for times in layouts.values()) / neurons
    print(f"  ratio to PyTorch's better layout {best / mine:.2f}", flush=True)


subprocess.run([program, "make", folder, str(BATCH), "10"], check=True)
compare(1, 1e-3)
compare(10, 1e-3)
with open("/proc/cpuinfo") as text:
    flags = text.read()
if "avx512_bf16" in flags or "amx_bf16" in flags:
    compare(1, 0.05, "bf16")
