#!/usr/bin/env python3
"""Writes the seeds of fuzz_hdf5, fuzz_keras and fuzz_torch, which tests also read, of fuzz_assembly, and those of
fuzz_references that are arrays.

make_corpus_models.py CORPUS_FOLDER    (needs numpy, h5py and torch)
"""
import collections
import io
import json
import os
import struct
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import torch

folder = sys.argv[1]


def write(name, data):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def ramp(*shape):
    """0, 1/4, 2/4, ...: exact in every float type."""
    return (np.arange(np.prod(shape, dtype=int), dtype=np.float32) / 4).reshape(shape)


def archive(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for name, data in entries.items():
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def hdf5(fill):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        fill(file)
    return buffer.getvalue()


# Keras

def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, **config}, "name": name}


def model(layers, class_name="Functional", name="model"):
    return {"class_name": class_name, "config": {"name": name, "layers": layers}, "name": name}


LAYERS = [
    layer("InputLayer", "image"),
    layer("Conv2D", "zero"),
    layer("BatchNormalization", "zero_bn", scale=True, center=True),
    layer("ReLU", "zero_act"),
    layer("SeparableConv2D", "one"),
    layer("BatchNormalization", "one_bn", scale=False, center=True),
    layer("Conv2D", "two", use_bias=False),
    layer("DepthwiseConv2D", "pool"),
    layer("Flatten", "flat"),
    layer("Dense", "Beta"),
]
# Group in model.weights.h5, and each variable in Keras's order.
VARIABLES = {
    "zero": ("conv2d", [("kernel", (2, 2, 3, 4)), ("bias", (4,))]),
    "zero_bn": ("batch_normalization", [("gamma", (4,)), ("beta", (4,)), ("moving_mean", (4,)),
                                        ("moving_variance", (4,))]),
    "one": ("separable_conv2d", [("depthwise_kernel", (2, 2, 4, 1)),
                                 ("pointwise_kernel", (1, 1, 4, 2)), ("bias", (2,))]),
    "one_bn": ("batch_normalization_1", [("beta", (2,)), ("moving_mean", (2,)),
                                         ("moving_variance", (2,))]),
    "two": ("conv2d_1", [("kernel", (1, 1, 2, 2))]),
    "pool": ("depthwise_conv2d", [("depthwise_kernel", (2, 2, 2, 1)), ("bias", (2,))]),
    "Beta": ("dense", [("kernel", (8, 1)), ("bias", (1,))]),
}


# The layers of those files that show one thing only.
FEW = {name: VARIABLES[name] for name in ("one_bn", "Beta")}


def numbered(file, layers=VARIABLES, by_name=False, noted=False):
    for name, (group, variables) in layers.items():
        place = file.create_group(f"layers/{name if by_name else group}/vars")
        if noted:
            place.attrs["name"] = name
        for i, (_, shape) in enumerate(variables):
            place[str(i)] = ramp(*shape)
    file["optimizer/vars/0"] = np.int64(7)


def legacy(file, inside=True):
    root = file.create_group("model_weights") if inside else file
    if inside:
        file.attrs["model_config"] = json.dumps(model(LAYERS, "Model"))
        file.attrs["keras_version"] = "2.2.4-tf"
        file["optimizer_weights/Adam/iter:0"] = np.int64(7)
    names = ("zero_bn", "one", "pool") if inside else FEW
    for name, (_, variables) in ((name, VARIABLES[name]) for name in names):
        for variable, shape in variables:
            root[f"{name}/{name}_1/{variable}:0"] = ramp(*shape)


def nested_legacy(file):
    for inner in "first", "second":
        file[f"model_weights/inner/{inner}/kernel:0"] = ramp(1, 2)
        file[f"model_weights/inner/{inner}/bias:0"] = ramp(2)
    file["model_weights/last/last/kernel:0"] = ramp(2, 1)


def keras(config, fill):
    return archive({"metadata.json": '{"keras_version": "3.1.1"}', "config.json": config,
                    "model.weights.h5": hdf5(fill)})


config = json.dumps(model(LAYERS))
write("keras/functional.keras", keras(config, numbered))
write("keras/by_name.keras", keras(config, lambda f: numbered(f, FEW, by_name=True)))
shuffled = json.dumps(model(list(reversed(LAYERS))))
write("keras/noted.keras", keras(
    shuffled, lambda f: numbered(f, {"one_bn": VARIABLES["one_bn"]}, noted=True)))


def nested(file):
    file["layers/dense/vars/0"] = ramp(1, 2)
    file["layers/functional/layers/dense/vars/0"] = ramp(2, 3)
    file["layers/functional/layers/dense_1/vars/1"] = ramp(3)
    file["layers/multi_head_attention/query_dense/vars/0"] = ramp(2, 2)


inner = model([layer("Dense", "a"), layer("Dense", "b")], name="inner")
write("keras/nested.keras", keras(json.dumps(model(
    [layer("Dense", "last"), inner, layer("MultiHeadAttention", "heads")])), nested))
write("keras/legacy.h5", hdf5(legacy))
write("keras/legacy_weights.h5", hdf5(lambda f: legacy(f, inside=False)))
write("keras/legacy_nested.h5", hdf5(nested_legacy))
write("keras/plain.weights.h5", hdf5(lambda f: numbered(f, FEW)))
# What fuzz_keras makes an archive of: config, zero byte, weights.
small = json.dumps(model([layer("Dense", "d")]))
write("keras/small.parts", small.encode() + b"\0" +
      hdf5(lambda f: f.create_dataset("layers/dense/vars/0", data=ramp(2, 2))))


# PyTorch

def torch_file(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def pickle_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return z.read(next(n for n in z.namelist() if n.endswith("data.pkl")))


net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3))
with torch.no_grad():
    for parameter in net.parameters():
        parameter.copy_(torch.from_numpy(ramp(*parameter.shape)))
base = torch.from_numpy(ramp(4, 6))
views = {
    "whole": base, "transposed": base.t(), "part": base[1:3, 2:5], "expanded": base[0, 1].expand(3),
    "permuted": base.reshape(2, 2, 6).permute(2, 0, 1), "empty": torch.zeros(0, 3)}
dtypes = collections.OrderedDict(
    (str(d)[6:], torch.tensor([0, 1, 1, 100 if d != torch.bool else 1]).to(d)) for d in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool))
nested_state = {
    "state_dict": {"fc.weight": torch.nn.Parameter(base), "step": torch.tensor(3)},
    "epoch": 12, "big": -2 ** 40, "lr": 0.1, "arch": "resnet50", "best": True, "none": None,
    "history": [torch.ones(2), {7: 0.5}]}
for name, value in (("state", net.state_dict()), ("views", views), ("dtypes", dtypes),
                    ("nested", nested_state)):
    data = torch_file(value)
    write(f"torch/{name}.pt", data)
    write(f"torch/{name}.pickle", pickle_of(data))
    write(f"torch/{name}.legacy.pt", torch_file(value, _use_new_zipfile_serialization=False))
write("torch/protocol4.pt", torch_file({"a": base}, pickle_protocol=4))
write("torch/protocol4.legacy.pt", torch_file({"a": base}, pickle_protocol=4,
                                              _use_new_zipfile_serialization=False))
write("torch/model.pt", torch_file(torch.nn.Linear(1, 1)))
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as file:
    file.addfile(tarfile.TarInfo("storages"))
write("torch/tar.pt", tar.getvalue()[:1024])


# The stream between the HDF5 reader and its parent (src/io/hdf5_child.h)

def text(value):
    return struct.pack("=H", len(value)) + value


def tensor(name, dtype, values):
    head = struct.pack("=BB", dtype, values.ndim) + np.array(values.shape, "=u8").tobytes()
    return b"T" + text(name) + head + values.tobytes()


F32, I64 = 11, 8
stream = (tensor(b"layers/a", F32, ramp(2, 3)) + tensor(b"scalar", I64, np.array(5)) +
          b"A" + text(b"@note") + struct.pack("=I", 5) + b"hello" + b"S" + text(b"strings") +
          b"S" + text(b"others"))
write("hdf5/whole.stream", stream + b"E")
write("hdf5/cut.stream", stream)
write("hdf5/error.stream", stream + b"X" + struct.pack("=i", -4) + text(b"truncated file\n"))
write("hdf5/empty.stream", b"E")
write("hdf5/twice.stream", 2 * tensor(b"a", F32, ramp(1)) + b"E")


# Assemblies and distributions, as that stream; one as a file

F64 = F32 + 1


def texts(name, *lines):
    value = "\n".join(lines).encode()
    return b"A" + text(name) + struct.pack("=I", len(value)) + value


ids = texts(b"stimulus_id", *"badbc")
responses = tensor(b"responses", F64, ramp(5, 3, 2).astype("f8"))
kinds = texts(b"texture_type", *"tntnt")
write("assembly/whole.stream", responses + ids + kinds + b"E")
write("assembly/numbers.stream",
      responses + ids + tensor(b"texture_type", I64, np.array([60, 61, 60, 61, 62])) + b"E")
write("assembly/turned.stream", tensor(b"responses", F32, ramp(2, 5)) + ids + b"E")
write("assembly/old.stream", tensor(b"r", F32, ramp(3, 1)) + texts(b"image_id", *"aab") + b"E")
missing = ramp(5, 3).astype("f8")
missing[0] = np.nan
write("assembly/missing.stream", tensor(b"r", F64, missing) + ids + b"E")
write("assembly/no_response.stream", tensor(b"r", F64, missing) + texts(b"image_id", *"edcba") + b"E")
write("assembly/infinite.stream", tensor(b"r", F32, ramp(5, 1) + np.float32("inf")) + ids + b"E")
write("assembly/uneven.stream",
      tensor(b"r", F32, ramp(300, 1)) + texts(b"image_id", *"a" * 200, *map(str, range(100))) + b"E")
write("assembly/empty_lines.stream", tensor(b"r", F32, ramp(3, 2)) + texts(b"image_id", "", "", "") + b"E")
write("assembly/no_neuroids.stream", tensor(b"r", F32, ramp(5, 0)) + ids + b"E")
write("assembly/two_variables.stream", responses + tensor(b"other", F32, ramp(5, 3)) + ids + b"E")


def assembly(file):
    file["responses"] = ramp(5, 2)
    file["stimulus_id"] = list("badbc")
    file["texture_type"] = np.array(list("tntnt"), "S1")


write("assembly/whole.nc", hdf5(assembly))

names = texts(b"neuronal_property", "bandwidth", "no_property", "modulation_ratio")
write("references/assembly.stream", tensor(b"values", F64, ramp(4, 3).astype("f8")) + names + b"E")
write("references/turned.stream", tensor(b"values", F32, ramp(3, 4)) + names + b"E")
write("references/square.stream", tensor(b"values", F32, ramp(3, 3)) + names + b"E")
write("references/no_rows.stream", tensor(b"values", F32, ramp(0, 3)) + names + b"E")
write("references/vectors.stream", tensor(b"bandwidth", F32, ramp(5)) +
      tensor(b"modulation_ratio", F64, np.array([[np.nan], [0.5], [1e300], [-np.inf]])) + b"E")
write("references/scalar.stream", tensor(b"bandwidth", F32, np.array(1, "f4")) + b"E")
fields = "spont", "maxdc", "mindc", "maxfirst", "orivar", "bw", "po"
write("references/ringach.stream",
      b"".join(tensor(b"db/" + f.encode(), F64, 10 * ramp(1, 9).astype("f8")[:, ::-1 if f == "spont" else 1])
               for f in fields) + b"E")
write("references/ringach_uneven.stream",
      b"".join(tensor(b"db/" + f.encode(), F64, ramp(len(f)).astype("f8")) for f in fields) + b"E")
U8 = 1
spikes = (np.arange(1840) % 7 == 0).astype("u1").reshape(1, 230, 1, 2, 2, 2)
write("references/freeman.stream", tensor(b"v1", U8, spikes) + b"E")
write("references/freeman_short.stream", tensor(b"v1", U8, spikes[:, :220]) + b"E")
