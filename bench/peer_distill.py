"""Training steps of students in PyTorch eager, beside which bench_distill is timed.

    peer_distill.py DIR THREADS RUNS NEURONS LAYOUT [bf16]  prints JSON: first losses, milliseconds of each step

DIR holds what bench_distill make wrote. LAYOUT: contiguous or channels_last. A step is forward, backward and Adam
of the students of NEURONS neurons, one after the other.
"""
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 100, 5, padding=2)
        self.depth = nn.ModuleList(nn.Conv2d(100, 100, 5, stride, groups=100, bias=False) for stride in (2, 2, 1, 1))
        self.point = nn.ModuleList(nn.Conv2d(100, 100, 1) for _ in range(4))
        self.norm = nn.ModuleList(nn.BatchNorm2d(100, eps=1e-3, momentum=0.01) for _ in range(5))
        self.beta = nn.Linear(100 * 28 * 28, 1)

    def forward(self, x):
        x = F.relu(self.norm[0](self.conv(x)), inplace=True)
        for depth, point, norm in zip(self.depth, self.point, self.norm[1:]):
            # TensorFlow's 'same': with stride 2 and even sizes the odd row and column are behind
            pad = (1, 2, 1, 2) if depth.stride[0] == 2 else (2, 2, 2, 2)
            x = F.relu(norm(point(depth(F.pad(x, pad)))), inplace=True)
        return self.beta(x.flatten(1))[:, 0]


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            assert entry["dtype"] == "F32", name
            arrays[name] = torch.from_numpy(
                np.frombuffer(data[first:last], np.float32).reshape(entry["shape"]).copy())
    return arrays


def student_of(path):
    """Kernels come as (filters, height, width, channels), the readout's as (1, height * width * channels)."""
    arrays, student = read_safetensors(path), Student()

    def put(parameter, name, change=lambda x: x):
        with torch.no_grad():
            value = change(arrays.pop(name))
            assert parameter.shape == value.shape, name
            parameter.copy_(value)

    def turn(kernel):
        return kernel.permute(0, 3, 1, 2)

    put(student.conv.weight, "layer0_conv.kernel", turn)
    put(student.conv.bias, "layer0_conv.bias")
    for i in range(5):
        if i > 0:
            put(student.depth[i - 1].weight, f"layer{i}_conv.depthwise_kernel", turn)
            put(student.point[i - 1].weight, f"layer{i}_conv.pointwise_kernel", turn)
            put(student.point[i - 1].bias, f"layer{i}_conv.bias")
        put(student.norm[i].weight, f"layer{i}_bn.gamma")
        put(student.norm[i].bias, f"layer{i}_bn.beta")
        put(student.norm[i].running_mean, f"layer{i}_bn.moving_mean")
        put(student.norm[i].running_var, f"layer{i}_bn.moving_variance")
    put(student.beta.weight, "Beta.kernel", lambda x: x.reshape(1, 28, 28, 100).permute(0, 3, 1, 2).reshape(1, -1))
    put(student.beta.bias, "Beta.bias")
    assert not arrays, list(arrays)
    return student


folder, threads, runs, neurons, layout = sys.argv[1:6]
bf16 = len(sys.argv) > 6
torch.set_num_threads(int(threads))
memory = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[layout]
images = torch.from_numpy(np.load(f"{folder}/images.npy")).permute(0, 3, 1, 2).contiguous(memory_format=memory)
targets = torch.from_numpy(np.load(f"{folder}/targets.npy"))
students = [student_of(f"{folder}/student_{n}.safetensors").to(memory_format=memory) for n in range(int(neurons))]
optimizers = [torch.optim.Adam(student.parameters(), lr=1e-4) for student in students]
losses, times = [], []
for run in range(int(runs) + 1):
    start = time.perf_counter()
    for n, (student, adam) in enumerate(zip(students, optimizers)):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = student(images)
        loss = F.mse_loss(y.float(), targets[:, n])
        adam.zero_grad()
        loss.backward()
        adam.step()
        if run == 0:
            losses.append(loss.item())
    times.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"torch": torch.__version__, "losses": losses, "runs": times[1:]}))
