"""Prints the rows of `references` in tests/test_transform.c: CRC-32 of the pixels that torchvision's
transformations give on PIL images.

Random steps are torchvision's own code, run on the library's random numbers: Philox4x32-10 (Salmon et
al. 2011) with key = seed and counter = (block, stream 4, epoch, index).

    python3 tests/make_transform_fixtures.py      # needs numpy, pillow < 13, torch, torchvision
"""
import math
import types
import zlib

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional
from torchvision.transforms import transforms as implementation

SEED, EPOCH = 7, 3
BILINEAR = functional.InterpolationMode.BILINEAR


class Philox:
    def __init__(self, index):
        self.block, self.index, self.words = 0, index, []

    def u32(self):
        if not self.words:
            c, k = [self.block, 4, EPOCH, self.index], [SEED, 0]
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [(p1 >> 32) ^ c[1] ^ k[0], p1 % 2**32, (p0 >> 32) ^ c[3] ^ k[1], p0 % 2**32]
                k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
            self.words = c
            self.block += 1
        return self.words.pop(0)

    def uniform(self):
        high = self.u32()
        return ((high << 32 | self.u32()) >> 11) * 2.0**-53

    def below(self, bound):
        while True:  # Lemire 2019
            product = self.u32() * bound
            if product % 2**32 >= -bound % 2**32 % bound:
                return product >> 32


class Number(float):
    def item(self):
        return float(self) if self != int(self) else int(self)


def torch_drawing_from(rng):
    """What torchvision's get_params uses of torch."""
    empty = types.SimpleNamespace(uniform_=lambda a, b: Number(a + (b - a) * rng.uniform()))
    return types.SimpleNamespace(
        empty=lambda n: empty,
        randint=lambda low, high, size: Number(low + rng.below(high - low)),
        tensor=lambda values: values,
        log=lambda values: [math.log(v) for v in values],
        exp=lambda x: Number(math.exp(x)),
        Tensor=torch.Tensor,
    )


def noise(height, width):
    i = np.arange(height * width * 3, dtype=np.uint64)
    bytes_ = (i * 2654435761 % 2**32 >> 24).astype(np.uint8)
    return Image.fromarray(bytes_.reshape(height, width, 3))


def apply(image, index, t):
    rng = Philox(index)
    implementation.torch = torch_drawing_from(rng)
    if side := t.get("random_resized_crop"):
        scale = (t.get("min_area", 0.08), 1.0)
        box = transforms.RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3))
        image = functional.resized_crop(image, *box, [side, side], BILINEAR)
    if side := t.get("resize_shorter"):
        image = functional.resize(image, side, BILINEAR)
    if side := t.get("center_crop"):
        image = functional.center_crop(image, [side, side])
    if pad := t.get("pad_crop"):
        size = (image.height, image.width)
        padded = functional.pad(image, pad)
        image = functional.crop(padded, *transforms.RandomCrop.get_params(padded, size))
    if side := t.get("size"):
        image = functional.resize(image, [side, side], BILINEAR)
    if t.get("flip") and rng.uniform() < 0.5:
        image = functional.hflip(image)
    return image


SIZES = [(375, 500), (500, 333), (64, 64), (37, 53), (1, 1), (7, 300), (300, 7), (223, 226), (97, 91)]
TRANSFORMS = [
    dict(random_resized_crop=224, size=64, flip=True),
    dict(random_resized_crop=64, min_area=0.9),
    dict(resize_shorter=256, center_crop=224, size=64),
    dict(resize_shorter=40, center_crop=33),
    dict(center_crop=64),
    dict(center_crop=90, pad_crop=4, flip=True),
    dict(pad_crop=8, size=32),
    dict(size=64, flip=True),
]


def main():
    index = 0
    for t in TRANSFORMS:
        fields = ", ".join(f".{k} = {str(v).lower()}" for k, v in t.items())
        for height, width in SIZES:
            pixels = np.asarray(apply(noise(height, width), index, t))
            print(f"{{{{{fields}}}, {height}, {width}, {zlib.crc32(pixels.tobytes()):#010x}u}},")
            index += 1


if __name__ == "__main__":
    main()
