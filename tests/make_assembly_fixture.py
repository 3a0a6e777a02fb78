"""Writes fixtures/assembly.nc as Brain-Score's tools do: xarray's to_netcdf (pip install xarray netCDF4).

Seven stimuli, two presentations of each in turn and a third of one; three neuroids, two time bins. The response of
neuroid n to stimulus s in its repetition r is 10 n + s + 0.5 r, less 1 in the first bin and plus 1 in the second."""
import os

import numpy as np
import xarray as xr

stimulus = np.array(list(range(7)) + [6, 5, 4, 3, 2, 1, 0, 3])
repetition = np.array([0] * 7 + [1] * 7 + [2])
neuroid = np.arange(3)
rate = 10.0 * neuroid[None, :] + stimulus[:, None] + 0.5 * repetition[:, None]
data = np.stack([rate - 1, rate + 1], axis=2)
data[8, 1, :] = np.nan  # stimulus 5, repetition 1, neuroid 1
assembly = xr.DataArray(
    data, dims=("presentation", "neuroid", "time_bin"), name="test.assembly",
    coords={
        "stimulus_id": ("presentation", [f"image-{s}" for s in stimulus]),
        "texture_type": ("presentation", ["noise" if s % 2 else "texture" for s in stimulus]),
        "repetition": ("presentation", repetition),
        "texture_family": ("presentation", 60 + stimulus // 3),
        "neuroid_id": ("neuroid", [f"n{n}" for n in neuroid]),
        "time_bin_start": ("time_bin", [50, 60]),
        "time_bin_end": ("time_bin", [60, 70]),
    })
assembly.to_netcdf(os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "assembly.nc"), engine="netcdf4")
