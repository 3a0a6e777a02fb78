#!/usr/bin/env python3
"""Writes corruptions.npz, next to this script: corruptions of one image, by the libraries that the
published program uses (NumPy, SciPy, scikit-image, OpenCV, Pillow), fed with Ventral's random numbers.

Of each result, the pixels whose index is a multiple of 11. Frost is absent: its texture is Ventral's own.
Made with numpy 2.4, scipy 1.17, scikit-image 0.26, opencv 4.14 and Pillow 12.3.
"""
import io
import math
import pathlib

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage, stats
from skimage import color
from skimage.filters import gaussian

SIZE, SEED, INDEX, STREAM, EVERY = 64, 20190507, 7, 10, 11
NAMES = ("gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
         "brightness contrast elastic_transform pixelate jpeg_compression").split()


class Random:
    """Philox4x32-10 and the draws of ventral/rng.h."""

    def __init__(self, epoch):
        self.counter, self.epoch, self.words, self.used = 0, epoch, np.empty(0, np.uint64), 0

    def refill(self, blocks=4096):
        low32 = np.uint64(0xFFFFFFFF)
        c = [np.arange(self.counter, self.counter + blocks, dtype=np.uint64)]
        c += [np.full(blocks, v, np.uint64) for v in (STREAM, self.epoch, INDEX)]
        k = [SEED & 0xFFFFFFFF, SEED >> 32]
        for _ in range(10):
            p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
            c = [q >> np.uint64(32) ^ c[1] ^ np.uint64(k[0]), q & low32,
                 p >> np.uint64(32) ^ c[3] ^ np.uint64(k[1]), p & low32]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        self.words, self.used = np.stack(c, 1).ravel(), 0
        self.counter += blocks

    def word(self):
        if self.used == len(self.words):
            self.refill()
        self.used += 1
        return int(self.words[self.used - 1])

    def uniform(self, low=0.0, high=1.0):
        first = self.word()
        return low + (high - low) * ((first << 32 | self.word()) >> 11) * 2.0**-53

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(6.283185307179586 * self.uniform())

    def below(self, bound):
        while True:
            product = self.word() * bound
            if product & 0xFFFFFFFF >= 2**32 % bound:
                return product >> 32

    def field(self, shape, draw, *arguments):
        return np.array([draw(*arguments) for _ in range(math.prod(shape))]).reshape(shape)


def test_image():
    y, x, c = np.mgrid[:SIZE, :SIZE, :3]
    noise = (((y * SIZE + x) * 3 + c) * 2654435761 & 0xFFFFFFFF) >> 24
    ramp = np.minimum(4 * x + 20 * c, 255)
    checks = 255 * ((x // 8 + y // 8 + c) % 2)
    disk = np.where((x - 32)**2 + (y - 40)**2 < 49, 200 - 60 * c, 40 + 30 * c)
    return np.select([y < 16, y < 32, y < 48], [ramp, checks, disk], 64 + noise // 2).astype(np.uint8)


def gaussian_noise(image, level, random):
    noise = random.field(image.shape, random.normal)
    return np.clip(image / 255 + [.04, .08, .12, .15, .18][level] * noise, 0, 1) * 255


def shot_noise(image, level, random):
    photons = [250, 100, 50, 30, 15][level]
    counts = stats.poisson.ppf(random.field(image.shape, random.uniform), image / 255 * photons)
    return np.clip(counts / photons, 0, 1) * 255


def impulse_noise(image, level, random):
    amount, out = [.01, .02, .05, .08, .14][level], (image / 255).ravel()
    for i in range(out.size):
        if random.uniform() < amount:
            out[i] = random.uniform() < 0.5
    return out.reshape(image.shape) * 255


def defocus_blur(image, level, random):
    radius, sigma = [(0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)][level]
    y, x = np.mgrid[-8:9, -8:9]
    disk = (x * x + y * y <= radius * radius).astype(np.float32)
    disk = cv2.GaussianBlur(disk / disk.sum(), (3, 3), sigma)
    return np.clip(cv2.filter2D(image / 255, -1, disk), 0, 1) * 255


def glass_blur(image, level, random):
    sigma, reach, times = [(.1, 1, 1), (.5, 1, 1), (.6, 1, 2), (.7, 2, 1), (.9, 2, 2)][level]
    out = np.uint8(gaussian(image / 255, sigma, channel_axis=2) * 255)
    for _ in range(times):
        for y in range(SIZE - reach, reach, -1):
            for x in range(SIZE - reach, reach, -1):
                dx = random.below(2 * reach) - reach
                dy = random.below(2 * reach) - reach
                here, there = out[y, x], out[y + dy, x + dx]  # views, as in the published program
                out[y, x], out[y + dy, x + dx] = there, here
    return np.clip(gaussian(out / 255, sigma, channel_axis=2), 0, 1) * 255


def motion(image, radius, sigma, angle):
    """ImageMagick's motion blur of 8-bit images: virtual pixels repeat the edge; rounded to 16 bits, cut to 8.

    Equal to what MagickMotionBlurImage of ImageMagick 6.9.11 (16 bits) returns, byte for byte.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-steps**2 / (2 * sigma**2))
    direction = np.deg2rad(angle)
    x = np.ceil(steps * np.cos(direction) - 0.5).astype(int)
    y = np.ceil(steps * np.sin(direction) - 0.5).astype(int)
    pad = 2 * radius
    wide = np.pad(image.astype(float), [(pad, pad), (pad, pad), (0, 0)], mode="edge")
    views = [wide[pad + j:pad + j + SIZE, pad + i:pad + i + SIZE] for i, j in zip(x, y)]
    return np.floor(257 * np.tensordot(weights / weights.sum(), views, 1) + 0.5) // 257


def motion_blur(image, level, random):
    radius, sigma = [(10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)][level]
    return motion(image, radius, sigma, random.uniform(-45, 45))


def centre_zoom(field, factor):
    inside = math.ceil(SIZE / factor)
    start = (SIZE - inside) // 2
    large = ndimage.zoom(field[start:start + inside, start:start + inside], (factor, factor, 1), order=1)
    trim = (large.shape[0] - SIZE) // 2
    return large[trim:trim + SIZE, trim:trim + SIZE]


def zoom_blur(image, level, random):
    x = (image / 255).astype(np.float32)
    factors = np.arange(1, [1.06, 1.11, 1.16, 1.21, 1.26][level], 0.01)
    total = np.zeros_like(x)
    for factor in factors:
        total += centre_zoom(x, factor)
    return np.clip((x + total) / (len(factors) + 1), 0, 1) * 255


def snow(image, level, random):
    mean, sd, zoom, least, radius, sigma, keep = [
        (.1, .2, 1, .6, 8, 3, .8), (.1, .2, 1, .5, 10, 4, .8), (.15, .3, 1.75, .55, 10, 4, .7),
        (.25, .3, 2.25, .6, 12, 6, .65), (.3, .3, 1.25, .65, 14, 12, .6)][level]
    flakes = centre_zoom(mean + sd * random.field((SIZE, SIZE, 1), random.normal), zoom)
    flakes = np.uint8(np.clip(np.where(flakes < least, 0, flakes), 0, 1) * 255)
    flakes = motion(flakes, radius, sigma, random.uniform(-135, -45)) / 255
    x = image.astype(np.float32) / np.float32(255)
    white = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None] * 1.5 + 0.5
    pale = keep * x + (1 - keep) * np.maximum(x, white)
    return np.clip(pale + flakes + flakes[::-1, ::-1], 0, 1) * 255


def plasma(decay, random):
    field, wobble, step = np.zeros((SIZE, SIZE)), 100.0, SIZE

    def settle(ys, xs, neighbours):
        points = np.ix_(range(ys, SIZE, step), range(xs, SIZE, step))
        mean = sum(np.roll(field, shift, (0, 1)) for shift in neighbours)[points] / 4
        field[points] = mean + wobble * random.field(mean.shape, random.uniform, -wobble, wobble)

    while step >= 2:
        h = step // 2
        straight = [(h, 0), (-h, 0), (0, h), (0, -h)]
        settle(h, h, [(h, h), (h, -h), (-h, h), (-h, -h)])
        settle(0, h, straight)
        settle(h, 0, straight)
        step, wobble = h, wobble / decay
    field -= field.min()
    return field[..., None] / field.max()


def fog(image, level, random):
    amount, decay = [(.4, 3), (.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)][level]
    x = image / 255
    return np.clip((x + amount * plasma(decay, random)) * x.max() / (x.max() + amount), 0, 1) * 255


def brightness(image, level, random):
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + [.1, .2, .3, .4, .5][level], 0, 1)
    return np.clip(color.hsv2rgb(hsv), 0, 1) * 255


def contrast(image, level, random):
    x = image / 255
    mean = x.mean((0, 1), keepdims=True)
    return np.clip((x - mean) * [.4, .3, .2, .1, .05][level] + mean, 0, 1) * 255


def elastic_transform(image, level, random):
    alpha, sigma, reach = [(0, 0, .08), (.05, .3, .06), (.1, .08, .06), (.1, .03, .03),
                           (.16, .03, .02)][level]
    centre, side = SIZE // 2, SIZE // 3
    points = np.float32([[centre + side, centre + side], [centre + side, centre - side],
                         [centre - side, centre - side]])
    moved = points + random.field((3, 2), random.uniform, -SIZE * reach, SIZE * reach).astype(np.float32)
    x = image.astype(np.float32) / np.float32(255)
    x = cv2.warpAffine(x, cv2.getAffineTransform(points, moved), (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
    dx, dy = (np.float32(SIZE * alpha * gaussian(random.field((SIZE, SIZE), random.uniform, -1, 1), SIZE * sigma,
                                                 mode="reflect", truncate=3)) for _ in range(2))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    out = [ndimage.map_coordinates(x[..., c], [rows + dy, columns + dx], order=1, mode="reflect") for c in range(3)]
    return np.clip(np.stack(out, 2), 0, 1) * 255


def pixelate(image, level, random):
    small = int(SIZE * [.9, .8, .7, .6, .5][level])
    reduced = Image.fromarray(image).resize((small, small), Image.Resampling.BOX)
    return np.asarray(reduced.resize((SIZE, SIZE), Image.Resampling.BOX))


def jpeg_compression(image, level, random):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=[65, 58, 50, 40, 25][level])
    return np.asarray(Image.open(data))


def main():
    image, results = test_image(), {}
    for number, name in enumerate(NAMES):
        if name in globals():
            levels = [globals()[name](image, i, Random(5 * number + i)) for i in range(5)]
            results[name] = np.stack([np.uint8(v).reshape(-1, 3)[::EVERY] for v in levels])
    np.savez_compressed(pathlib.Path(__file__).with_name("corruptions.npz"), **results)


if __name__ == "__main__":
    main()
