"""A training step of a ResNet-50 in PyTorch eager, beside which bench_train is timed.

    peer_train.py make DIR BATCH            writes model.pt, images.npy, labels.npy, loss.txt
    peer_train.py time DIR THREADS N [bf16] prints JSON: milliseconds of N steps in each memory layout
"""
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.conv3 = nn.Conv2d(filters, 4 * filters, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * filters)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != 4 * filters:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * filters, 1, stride, bias=False), nn.BatchNorm2d(4 * filters))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, blocks in enumerate((3, 4, 6, 3)):
            layer = []
            for i in range(blocks):
                layer.append(Bottleneck(channels, 64 << stage, 2 if stage and i == 0 else 1))
                channels = 4 * (64 << stage)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def loss_of(model, x, y, bf16=False):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        scores = model(x)
    return F.cross_entropy(scores.float(), y)


def make(folder, batch):
    torch.manual_seed(0)
    model = ResNet50()
    torch.save(model.state_dict(), f"{folder}/model.pt")
    x = torch.randn(batch, 3, 64, 64)
    y = torch.arange(batch) * 7 % 1000
    np.save(f"{folder}/images.npy", x.permute(0, 2, 3, 1).contiguous().numpy())
    np.save(f"{folder}/labels.npy", y.float().reshape(-1, 1).numpy())
    with open(f"{folder}/loss.txt", "w") as out, torch.no_grad():
        out.write(f"{loss_of(model, x, y).item():.7f}")


def measure(folder, threads, runs, bf16):
    torch.set_num_threads(threads)
    x = torch.from_numpy(np.load(f"{folder}/images.npy")).permute(0, 3, 1, 2)
    y = torch.from_numpy(np.load(f"{folder}/labels.npy"))[:, 0].long()
    results = {"torch": torch.__version__}
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        model = ResNet50()
        model.load_state_dict(torch.load(f"{folder}/model.pt"))
        model = model.to(memory_format=layout)
        batch = x.contiguous(memory_format=layout)
        sgd = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=1e-5)
        times = []
        for _ in range(runs + 1):
            start = time.perf_counter()
            loss = loss_of(model, batch, y, bf16)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            times.append(1e3 * (time.perf_counter() - start))
        results[name] = times[1:]
    print(json.dumps(results))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), len(sys.argv) > 5)
