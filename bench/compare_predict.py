"""compare_predict.py BENCH_PREDICT PEER_PYTHON DIR: runs both programs in turn and prints the ratio."""
import json
import os
import statistics
import subprocess
import sys

THREADS, RUNS, ROUNDS = 2, 10, 3

program, python, folder = sys.argv[1:]
peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_predict.py")
ours, layouts, rates = [], {}, []
subprocess.run([python, peer, "make", folder], check=True)
for _ in range(ROUNDS):
    out = subprocess.run([program, f"{folder}/model.pt", f"{folder}/images.npy", f"{folder}/expected.npy",
                          str(THREADS), str(RUNS)], check=True, capture_output=True, text=True).stdout
    result = json.loads(out)
    ours += result["runs"]
    rates.append(result["product_gflops"])
    out = subprocess.run([python, peer, "time", folder, str(THREADS), str(RUNS)], check=True,
                         capture_output=True, text=True).stdout
    other = json.loads(out)
    version = other.pop("torch")
    for layout, times in other.items():
        layouts.setdefault(layout, []).extend(times)

mine = statistics.median(ours)
print(f"one compact model, batch of 50, {THREADS} threads each, median of {ROUNDS * RUNS} runs; predictions verified")
print(f"  ventral ({result['kernel']})        {mine:8.1f} ms")
for layout, times in layouts.items():
    print(f"  PyTorch {version} {layout:14s} {statistics.median(times):8.1f} ms   ratio {statistics.median(times) / mine:.1f}")
best = min(statistics.median(times) for times in layouts.values())
print(f"  ratio to PyTorch's better layout {best / mine:.1f} (at least 4 is the aim of this project)")
gflops = result["flops"] / (mine / 1e3) / 1e9
print(f"  {gflops:.0f} GFLOP/s, {100 * gflops / max(rates):.0f} % of this machine's matrix product "
      f"({max(rates):.0f} GFLOP/s in the same run)")
