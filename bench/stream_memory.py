"""stream_memory.py VENTRAL DIR: peak memory of predicting 10,000 images with one compact model.

DIR holds model.pt; the images are uint8, 376 MB on disk."""
import resource
import subprocess
import sys

import numpy as np

COUNT = 10_000

program, folder = sys.argv[1:]
path = f"{folder}/stream.npy"
images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(COUNT, 112, 112, 3))
rng = np.random.default_rng(0)
for i in range(0, COUNT, 500):
    images[i:i + 500] = rng.integers(0, 256, (500, 112, 112, 3), dtype=np.uint8)
images.flush()
del images
subprocess.run([program, "predict", f"{folder}/model.pt", "--images", path, "--threads", "2",
                "--output", f"{folder}/stream_out.npy"], check=True, capture_output=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
shape = np.load(f"{folder}/stream_out.npy", mmap_mode="r").shape
assert shape == (1, COUNT), shape
print(f"10,000 images streamed through one compact model: peak memory {peak:.0f} MB (limit 500 MB)")
