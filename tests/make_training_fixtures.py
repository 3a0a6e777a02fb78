"""The first step of training of two V1 networks, in float64 with PyTorch, for test_resnet.c.

The networks of golden/v1_networks have weights of very low rank, and their batch statistics amplify
rounding a millionfold: two versions of PyTorch differ in the first float32 loss by a hundredth. In
float64 the loss agrees to six digits and the gradients to three or four. The layers are written from the definitions of the
released formulation in docs/v1-layers.md.

    make_training_fixtures.py GOLDEN_FOLDER > tests/fixtures/v1_training_float64.json
"""
import json
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

GOLDEN = sys.argv[1]
torch.set_default_dtype(torch.float64)


class CenterSurround(nn.Module):
    def __init__(self, channels=16, k=2):
        super().__init__()
        self.channels = channels
        for name in ("sigma1", "sigma2_scale", "total_scale"):
            setattr(self, name, nn.Parameter(torch.zeros(channels * channels, 1, 1)))
        self.register_buffer("bias", torch.zeros(channels))
        axis = torch.arange(-k, k + 1.0) ** 2
        self.register_buffer("kernel_dists", axis[:, None] + axis[None])

    def forward(self, x):
        c, d = self.channels, -self.kernel_dists
        s1, s2 = self.sigma1, self.sigma1 * self.sigma2_scale.clamp(min=1.0001)
        kernels = s1 / math.pi * torch.exp(d / s1) - s2 / math.pi * torch.exp(d / s2)
        kernels = F.normalize(kernels * self.total_scale, dim=0).view(c, c, *d.shape)
        y = F.conv2d(x[:, :c], kernels, self.bias, padding=d.shape[0] // 2)
        return torch.cat((y, x[:, c:]), 1)


class LocalReceptiveField(nn.Module):
    def __init__(self, channels, side, kernel=3):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, channels, side, side, kernel**2))

    def forward(self, x):
        n, c, h, w = x.shape
        patches = F.unfold(x, 3, padding=1).view(n, c, 9, h, w)
        return torch.einsum("nikyx,oiyxk->noyx", patches, self.weight[0])


class TunedNormalization(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.sigmas = nn.Parameter(torch.zeros(n))
        i = torch.arange(n)
        offset = (i[:, None] - i[None] + n // 2) % n  # 0 for the channel half the circle away
        self.register_buffer("channel_distances", torch.minimum(offset, n - offset).double())

    def forward(self, x):
        s = self.sigmas.clamp(min=0.5)
        w = torch.exp(-self.channel_distances**2 / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
        w = w / w.sum(0)
        return x / (1 + F.conv2d(x, w[:, :, None, None]))


class DivisiveNormalization(nn.Module):
    def __init__(self, n):
        super().__init__()
        for name in ("A", "rho", "sigma", "theta", "v", "w"):
            setattr(self, name, nn.Parameter(torch.zeros(n, n, 1, 1)))
        self.bias = nn.Parameter(torch.zeros(1))
        axis = torch.arange(1.0, 4)
        self.register_buffer("x_coords", axis[None].repeat(3, 1))
        self.register_buffer("y_coords", axis[:, None].repeat(1, 3))

    def forward(self, x):
        cos, sin = torch.cos(self.theta), torch.sin(self.theta)
        a = self.x_coords * cos + self.y_coords * sin - self.v
        b = self.y_coords * cos - self.x_coords * sin - self.w
        g = torch.abs(self.A / (2 * math.pi * self.rho * self.sigma).clamp(min=0.1))
        g = g * torch.exp(-0.5 * (a**2 / (self.rho**2).clamp(min=0.1) +
                                  b**2 / (self.sigma**2).clamp(min=0.1)))
        return x / (F.conv2d(x, g, padding=1) + torch.abs(self.bias))


class DogConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.dog_conv = CenterSurround()

    def forward(self, x):
        return self.dog_conv(x)


class ConvThenDog(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv, self.dog = conv, DogConv()

    def forward(self, x):
        return self.dog(self.conv(x))


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.conv3 = nn.Conv2d(filters, 4 * filters, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * filters)
        self.downsample = None
        if stride != 1 or channels != 4 * filters:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * filters, 1, stride, bias=False), nn.BatchNorm2d(4 * filters))
        self.dn = nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.dn(F.relu(y + (x if self.downsample is None else self.downsample(x))))


class Network(nn.Module):
    def __init__(self, variant):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, blocks in enumerate((3, 4, 6, 3)):
            layer = []
            for i in range(blocks):
                layer.append(Block(channels, 64 << stage, 2 if stage and i == 0 else 1))
                channels = 4 * (64 << stage)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels, 1000)
        for i, block in enumerate(self.layer1):
            if variant == "composite_d":
                block.conv2 = ConvThenDog(block.conv2) if i < 2 else LocalReceptiveField(64, 16)
                block.dn = TunedNormalization(256)
            elif variant == "div_norm":
                block.dn = DivisiveNormalization(256)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def golden_value(name, shape, s):
    last, n = name.split(".")[-1], s.size
    if last in ("running_mean",):
        return 0.1 * s
    if last == "running_var":
        return 1 + 0.5 * s * s
    if last in ("sigma1", "sigma2_scale"):
        return 1.5 + 0.4 * s
    if last == "total_scale":
        return 2 * s
    if last == "sigmas":
        return n / 8 + 0.5 + 0.5 * s
    if last == "A":
        return 0.5 + 0.5 * s
    if last in ("rho", "sigma"):
        return 1.5 + 0.5 * s
    if last == "theta":
        return math.pi * (1 + s)
    if last in ("v", "w"):
        return 1 + s
    if last == "bias" and ".dn" in name:
        return 1.5 + 0.5 * s
    if len(shape) == 1:
        return 1 + 0.1 * s if last == "weight" else 0.1 * s
    fan_in = shape[2] * shape[5] if len(shape) == 6 else np.prod(shape[1:])
    return s * math.sqrt(2 / fan_in)


TABLES = ("kernel_dists", "channel_distances", "x_coords", "y_coords", "pooling_masks",
          "pooling_mask_counts", "num_batches_tracked")


def load_golden(model, variant):
    """Fills every entry by the formula of golden/README.md, rounded to float32."""
    entries = json.load(open(f"{GOLDEN}/v1_networks/{variant}.state.json"))
    state = model.state_dict()
    for p, (name, shape) in enumerate(entries):
        if name.split(".")[-1] in TABLES:
            continue
        i = np.arange(int(np.prod(shape)), dtype=np.float64)
        value = golden_value(name, shape, np.sin(12.9898 * i + 78.233 * (p + 1)))
        state[name] = torch.from_numpy(value.astype(np.float32).reshape(shape).astype(np.float64))
    model.load_state_dict(state)


def first_step(variant, batch=4):
    model = Network(variant)
    load_golden(model, variant)
    i = np.arange(batch * 3 * 64 * 64, dtype=np.float64)
    x = np.sin(0.37 * i + 0.001 * i**1.5).astype(np.float32).reshape(batch, 3, 64, 64)
    loss = F.cross_entropy(model(torch.from_numpy(x.astype(np.float64))), 7 * torch.arange(batch))
    loss.backward()
    norms = {name: float(f"{p.grad.norm().item():.6g}") for name, p in model.named_parameters()}
    return {"loss": loss.item(), "gradient_norms": norms}


if __name__ == "__main__":
    json.dump({v: first_step(v) for v in ("composite_d", "div_norm")}, sys.stdout, indent=0)
    print()
