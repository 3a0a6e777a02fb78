"""The same compact model in PyTorch eager, written as the authors of the compact models did.

    peer_predict.py make DIR            writes model.pt, images.npy, expected.npy
    peer_predict.py time DIR THREADS N  prints JSON: milliseconds of N runs in each memory layout
"""
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

FILTERS = [47, 57, 3, 7, 3]  # medians of the 219 published models
BATCH = 50


class Compact(torch.nn.Module):
    def __init__(self):
        super().__init__()
        layers = {"layer0_conv": torch.nn.Conv2d(3, FILTERS[0], 5, padding=2)}
        for i in range(5):
            if i:
                stride = 2 if i in (1, 2) else 1
                layers[f"layer{i}_conv_depth"] = torch.nn.Conv2d(
                    FILTERS[i - 1], FILTERS[i - 1], 5, stride=stride, padding=0 if stride == 2 else 2,
                    groups=FILTERS[i - 1], bias=False)
                layers[f"layer{i}_conv_point"] = torch.nn.Conv2d(FILTERS[i - 1], FILTERS[i], 1)
            layers[f"layer{i}_bn"] = torch.nn.BatchNorm2d(FILTERS[i], eps=1e-3)
        layers["Beta"] = torch.nn.Linear(28 * 28 * FILTERS[4], 1)
        self.layers = torch.nn.ModuleDict(layers)

    def forward(self, x):
        layers = self.layers
        x = F.relu(layers["layer0_bn"](layers["layer0_conv"](x)))
        for i in range(1, 5):
            if i in (1, 2):
                x = F.pad(x, (1, 2, 1, 2))  # TensorFlow's 'same' at stride 2
            x = layers[f"layer{i}_conv_point"](layers[f"layer{i}_conv_depth"](x))
            x = F.relu(layers[f"layer{i}_bn"](x))
        return layers["Beta"](x.permute(0, 2, 3, 1).flatten(1))


def load(folder):
    model = Compact()
    model.load_state_dict(torch.load(f"{folder}/model.pt"))
    return model.eval()


def make(folder):
    torch.manual_seed(0)
    model = Compact()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
            torch.nn.init.normal_(layer.running_mean, 0, 0.2)
    torch.save(model.state_dict(), f"{folder}/model.pt")
    coarse = 255 * torch.rand(BATCH, 3, 9, 9) * torch.rand(BATCH, 1, 1, 1)  # smooth, of many contrasts
    images = F.interpolate(coarse, (112, 112), mode="bilinear").permute(0, 2, 3, 1)
    images = (images - torch.tensor([116.222, 109.27, 100.381]))
    np.save(f"{folder}/images.npy", images.contiguous().numpy())
    with torch.no_grad():
        y = load(folder)(images.permute(0, 3, 1, 2))
    np.save(f"{folder}/expected.npy", y[:, 0].numpy())


def measure(folder, threads, runs):
    torch.set_num_threads(threads)
    x = torch.from_numpy(np.load(f"{folder}/images.npy")).permute(0, 3, 1, 2)
    expected = np.load(f"{folder}/expected.npy")
    results = {}
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        model = load(folder).to(memory_format=layout)
        batch = x.contiguous(memory_format=layout)
        with torch.no_grad():
            y = model(batch)[:, 0].numpy()
            assert np.abs(y - expected).max() <= 1e-4 * expected.std()
            times = []
            for _ in range(runs):
                start = time.perf_counter()
                model(batch)
                times.append(1e3 * (time.perf_counter() - start))
        results[name] = times
    results["torch"] = torch.__version__
    print(json.dumps(results))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
