"""make_v1_figures.py: draws the figures of docs/v1-layers.md with NumPy and gnuplot."""
import pathlib
import subprocess

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "v1-layers"
BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#888888"
rng = np.random.default_rng(0)


def draw(name, width, height, commands, **tables):
    """Runs gnuplot with the tables as datablocks."""
    blocks = "".join(f"${key} << EOD\n" + "\n".join(" ".join(f"{x:.6g}" for x in np.atleast_1d(row)) for row in rows)
                     + "\nEOD\n" for key, rows in tables.items())
    head = (f"set terminal pngcairo size {width},{height} font 'DejaVu Sans,11'\n"
            f"set output '{FOLDER / name}.png'\nset border 3\nset tics nomirror out\n"
            f"set key top right noautotitle\nblue='{BLUE}'; orange='{ORANGE}'; grey='{GREY}'\n")
    subprocess.run(["gnuplot"], input=blocks + head + commands, text=True, check=True)


def described_dog(d2, s1, ratio):
    s2 = s1 * np.maximum(ratio, 1.0001)
    return np.exp(-d2 / (2 * s1 ** 2)) / (2 * np.pi * s1 ** 2) - np.exp(-d2 / (2 * s2 ** 2)) / (2 * np.pi * s2 ** 2)


def released_dog(d2, s1, ratio):
    s2 = s1 * np.maximum(ratio, 1.0001)
    return s1 / np.pi * np.exp(-d2 / s1) - s2 / np.pi * np.exp(-d2 / s2)


def center_surround():
    d = np.linspace(-6, 6, 241)
    profiles = []
    for dog in (described_dog, released_dog):
        values = dog(d ** 2, 1.5, 1.5)
        profiles.append(values / np.abs(values).max())
    # Kernels as they start: 16 x 16 pairs, 5 x 5 positions, 200 networks.
    k = np.arange(-2, 3)
    d2 = (k[:, None] ** 2 + k[None, :] ** 2).ravel()
    means = np.zeros((2, 25))
    for _ in range(200):
        s1, ratio, scale = rng.uniform(1, 2, (256, 1)), rng.uniform(1, 2, (256, 1)), rng.normal(0, 2, (256, 1))
        described = described_dog(d2, s1, ratio)
        described *= scale / np.linalg.norm(described, axis=1, keepdims=True)
        released = released_dog(d2, s1, ratio) * scale
        released /= np.linalg.norm(released, axis=0)
        sign = np.sign(scale)
        means += np.array([(described * sign).mean(0) / np.abs(scale).mean(),
                           (released * sign).mean(0) / np.abs(scale).mean()]) / 200
    scaled = means / np.abs(means).max(axis=1, keepdims=True)
    by_distance = [(np.sqrt(x), scaled[0, d2 == x].mean(), scaled[1, d2 == x].mean()) for x in np.unique(d2)]
    draw("center_surround", 960, 340, """
set multiplot layout 1,2
set xzeroaxis lc rgb grey
set title "Difference of Gaussians, sigma1 = 1.5, sigma2 = 2.25"
set xlabel 'distance from the centre (pixels)'
set ylabel 'value (largest = 1)'
set yrange [-1.1:1.4]
plot $profile using 1:2 with lines lw 2.5 lc rgb blue title 'described', \\
     '' using 1:3 with lines lw 2.5 lc rgb orange title 'released'
set title 'Mean kernel at the start, normalized'
set ylabel 'mean weight (largest = 1)'
set xrange [-0.1:3]
plot $start using 1:2 with linespoints pt 7 lw 2 lc rgb blue title 'described', \\
     '' using 1:3 with linespoints pt 7 lw 2 lc rgb orange title 'released'
""", profile=np.column_stack([d, *profiles]), start=by_distance)


def tuned_normalization():
    n, channel = 256, 64
    sigmas = rng.uniform(n / 8, n / 8 + 1, n)
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    around = np.minimum((j - i) % n, (i - j) % n)
    described = np.exp(-around ** 2 / (2 * sigmas[:, None] ** 2))
    described /= described.sum(1, keepdims=True)
    opposite = np.abs((j - i) % n - n // 2)
    released = np.exp(-opposite ** 2 / (2 * sigmas[None, :] ** 2))
    released /= released.sum(0, keepdims=True)
    draw("tuned_normalization", 760, 340, f"""
set title 'Pool of channel {channel} among {n}, sigmas as they start'
set xlabel 'inhibiting channel'
set ylabel 'weight'
set xrange [0:{n - 1}]
set xtics 0,32,{n}
set yrange [0:0.016]
set arrow from {channel},0 to {channel},0.0135 nohead dt 2 lc rgb grey
set label 'the channel itself' at {channel + 4},0.0132 tc rgb grey
plot $pool using 1:2 with lines lw 2.5 lc rgb blue title 'described', \\
     '' using 1:3 with lines lw 2.5 lc rgb orange title 'released'
""", pool=np.column_stack([np.arange(n), described[channel], released[channel]]))


def divisive_normalization():
    count = 200000
    a, rho, sigma = rng.uniform(0, 1, count), rng.uniform(1, 2, count), rng.uniform(1, 2, count)
    theta, v, w = rng.uniform(0, 2 * np.pi, count), rng.normal(1, 1, count), rng.normal(1, 1, count)
    c, s = np.cos(theta), np.sin(theta)
    # Centres, in pixels from the middle of the window (columns, rows).
    centres = [(v - 1, w - 1), (v * c - w * s - 2, v * s + w * c - 2)]
    kernels = []
    for x0, y0 in centres:
        kernel = np.zeros((3, 3))
        for row in range(3):
            for column in range(3):
                x, y = column - 1 - x0, row - 1 - y0
                along, across = x * c + y * s, y * c - x * s
                kernel[row, column] = np.mean(a / (2 * np.pi * rho * sigma)
                                              * np.exp(-0.5 * (along ** 2 / rho ** 2 + across ** 2 / sigma ** 2)))
        kernels.append(kernel / kernel.max())
    cells = [(column - 1, row - 1, kernels[0][row, column], kernels[1][row, column])
             for row in range(3) for column in range(3)]
    draw("divisive_normalization", 1080, 380, """
set multiplot layout 1,3
set size ratio -1
set xrange [-6:4.5]
set yrange [4.5:-6]
set label 1 'released' at -5.6,2.8 tc rgb orange
set label 2 'described' at 1.8,3.4 tc rgb blue
set xlabel 'column from the middle of the window'
set ylabel 'row'
set title 'Centres at the start'
set object rectangle from -1.5,-1.5 to 1.5,1.5 fs empty border lc rgb 'black' lw 2 front
plot $centres using 3:4 with points pt 7 ps 0.35 lc rgb orange, \\
     '' using 1:2 with points pt 7 ps 0.35 lc rgb blue
unset object
unset label
unset ylabel
set xrange [-1.5:1.5]
set yrange [1.5:-1.5]
set xtics -1,1,1
set ytics -1,1,1
set border 15
set palette defined (0 'white', 1 blue)
set cbrange [0:1]
unset colorbox
set title 'Mean kernel, described (largest = 1)'
plot $cells using 1:2:3 with image, '' using 1:2:(sprintf('%.2f', $3)) with labels
set palette defined (0 'white', 1 orange)
set title 'Mean kernel, released (largest = 1)'
plot $cells using 1:2:4 with image, '' using 1:2:(sprintf('%.2f', $4)) with labels
""", centres=np.column_stack([*centres[0], *centres[1]])[:600], cells=cells)


if __name__ == "__main__":
    center_surround()
    tuned_normalization()
    divisive_normalization()
