"""The layers of V1 in PyTorch eager, written as their authors wrote them, beside this library's.

    peer_v1_layers.py BENCH_V1_LAYERS DIR THREADS RUNS

Runs the program, checks the results and gradients it leaves in DIR against these modules, times the
modules and prints milliseconds an image side by side. Batches are 128, but 4 where a layer's
intermediate results would take gigabytes."""
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

SMALL_BATCH = {"local_receptive_field": 4, "cortical_magnification": 4}


def center_surround(x, p):
    """Kernels of all pairs of 16 channels, normalized over pairs; the other channels pass."""
    n = p["bias"].numel()
    k = torch.arange(-2.0, 3.0)
    distances = k[:, None] ** 2 + k[None, :] ** 2
    s1 = p["sigma1"].reshape(-1, 1, 1).clamp(min=0.1)
    s2 = s1 * p["sigma2_scale"].reshape(-1, 1, 1).clamp(min=1.0001)
    kernels = s1 / torch.pi * torch.exp(-distances / s1) - s2 / torch.pi * torch.exp(-distances / s2)
    kernels = F.normalize(kernels * p["total_scale"].reshape(-1, 1, 1), dim=0).view(n, n, 5, 5)
    return torch.cat([F.conv2d(x[:, :n], kernels, p["bias"], padding=2), x[:, n:]], dim=1)


def local_receptive_field(x, p):
    """Every product of a window and its weights, then their sum."""
    h, w, filters, taps, channels = p["weight"].shape
    weight = p["weight"].permute(2, 4, 0, 1, 3)[None]  # 1, filters, channels, height, width, taps
    windows = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
    windows = windows.reshape(len(x), 1, channels, h, w, taps)
    return (windows * weight).sum(dim=(2, 5))


def divisive_normalization(x, p):
    """Rotated Gaussians of all pairs of channels."""
    n = p["A"].shape[0]
    a, rho, sigma, theta, v, w = (p[k].reshape(n, n, 1, 1) for k in ("A", "rho", "sigma", "theta", "v", "w"))
    c = torch.arange(1.0, 4.0)
    along = c[None, :] * torch.cos(theta) + c[:, None] * torch.sin(theta) - v
    across = c[:, None] * torch.cos(theta) - c[None, :] * torch.sin(theta) - w
    squares = along ** 2 / (rho ** 2).clamp(min=0.1) + across ** 2 / (sigma ** 2).clamp(min=0.1)
    kernels = (a / (2 * torch.pi * rho * sigma).clamp(min=0.1)).abs() * torch.exp(-0.5 * squares)
    return x / (F.conv2d(x, kernels, padding=1) + p["bias"].abs())


def convolution(x, p):
    return F.conv2d(x, p["weight"].permute(0, 3, 1, 2), p["bias"], padding=1)


def tuned_normalization(x, p):
    """A Gaussian over circular channel distance, then a pointwise convolution."""
    s = p["sigmas"].clamp(min=0.5)
    n = len(s)
    middle = (torch.arange(float(n)) - n // 2).abs()
    distances = torch.stack([middle.roll(i) for i in range(n)])
    weights = torch.exp(-distances ** 2 / (2 * s ** 2)) / s
    return x / (F.conv2d(x, (weights / weights.sum(0))[:, :, None, None]) + 1)


def polar_masks():
    """(540, 32, 32) in half precision and their sums: 18 rings of 30 angles about pixel (16, 16)."""
    edges = np.array([*range(15), 16, 18, 20, 23])
    y, x = 16 - np.mgrid[:32, :32][0], np.mgrid[:32, :32][1] - 16
    ring = np.searchsorted(edges ** 2, x ** 2 + y ** 2, side="right") - 1
    angle = np.floor(np.mod(np.arctan2(y, x), 2 * np.pi) / (2 * np.pi) * 30 + 1e-9).astype(int)
    masks = np.zeros((18, 30, 32, 32), np.float32)
    for r in range(18):
        for a in range(30):
            masks[r, a] = (ring == r) & (angle == a)
        filled = masks[r][masks[r].any(axis=(1, 2))]
        if r < 16:  # bins without pixels are dropped and the others stretched
            rows = torch.from_numpy(filled.reshape(1, len(filled), -1)).permute(0, 2, 1)
            stretched = F.interpolate(rows, 30, mode="linear")[0].T
            masks[r] = stretched.reshape(30, 32, 32).numpy()
    masks = torch.from_numpy(masks.reshape(540, 32, 32))
    counts = masks.sum(dim=(1, 2)).half().float()
    return masks.half().float(), torch.where(counts == 0, torch.ones(()), counts)


MASKS, COUNTS = polar_masks()


def cortical_magnification(x, p):
    """Each feature map times each mask, summed; then resized."""
    pooled = (x[:, :, None] * MASKS).sum(dim=(3, 4)) / COUNTS
    polar = F.pad(pooled.view(*x.shape[:2], 18, 30), (1, 1, 0, 0), mode="reflect")
    return F.interpolate(polar, (16, 16), mode="bilinear")


def step(layer, x, params, gy):
    """Results, and seconds of forward and backward."""
    for t in (x, *params.values()):
        t.grad = None
    start = time.perf_counter()
    y = layer(x, params)
    middle = time.perf_counter()
    y.backward(gy)
    return y, middle - start, time.perf_counter() - middle


def load(path):
    arrays = {name: torch.from_numpy(a) for name, a in np.load(path).items()}
    images = {name: arrays[name].permute(0, 3, 1, 2).contiguous() for name in ("x", "y", "gy", "gx")}
    params = {name[6:]: a.clone().requires_grad_("grad." + name[6:] in arrays)
              for name, a in arrays.items() if name.startswith("param.")}
    return arrays, images, params


def near(name, ours, theirs):
    worst = (ours - theirs).abs().max() / theirs.abs().max()
    assert worst < 1e-4, f"{name} differs by {worst:.1e}"


def check(name, arrays, images, params):
    x = images["x"].clone().requires_grad_()
    y, _, _ = step(globals()[name], x, params, images["gy"])
    near(f"{name}: y", images["y"], y.detach())
    near(f"{name}: gradient of x", images["gx"], x.grad)
    for key, value in params.items():
        if value.requires_grad:
            near(f"{name}: gradient of {key}", arrays["grad." + key], value.grad)


def measure(name, images, params, runs):
    batch = SMALL_BATCH.get(name, 128)
    x = images["x"].repeat(batch // 2, 1, 1, 1).requires_grad_()
    gy = images["gy"].repeat(batch // 2, 1, 1, 1)
    times = [step(globals()[name], x, params, gy)[1:] for _ in range(runs + 1)][1:]
    return [1e3 * statistics.median(t) / batch for t in zip(*times)]


def main():
    program, folder, threads, runs = sys.argv[1:]
    torch.set_num_threads(int(threads))
    out = subprocess.run([program, folder, threads, runs], check=True, capture_output=True, text=True)
    print(f"layers of V1, ms an image, {threads} threads each, median of {runs} runs; "
          "results and gradients verified")
    print(f"  {'':24s}{'ventral':>18s}{'PyTorch ' + torch.__version__:>22s}")
    print(f"  {'':24s}{'forward  backward':>18s}{'forward  backward':>22s}   ratio")
    for line in out.stdout.splitlines():
        result = json.loads(line)
        name = result["layer"]
        arrays, images, params = load(f"{folder}/{name}.npz")
        check(name, arrays, images, params)
        ours = [statistics.median(result[k]) / result["batch"] for k in ("forward", "backward")]
        theirs = measure(name, images, params, int(runs))
        print(f"  {name:24s}{ours[0]:9.3f}{ours[1]:9.3f}{theirs[0]:13.3f}{theirs[1]:9.3f}"
              f"{sum(theirs) / sum(ours):8.1f}", flush=True)


if __name__ == "__main__":
    main()
