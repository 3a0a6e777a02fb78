#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets into corpus/FORMAT, next to this script.

A format is a function that yields (name, bytes): valid, truncated and hostile inputs, a few hundred
bytes each. Usage: make_corpus.py [FORMAT...], by default all. Python's standard library only.
"""
import io
import json
import pathlib
import struct
import sys
import zipfile
import zlib

FORMATS = {}


def corpus(function):
    FORMATS[function.__name__] = function
    return function


def npy_raw(header, data=b"", version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + b"\n" + data


def npy_bytes(descr, shape, data=b"", version=1, fortran=False):
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
    return npy_raw(header, data, version)


@corpus
def npy():
    numbers = struct.pack("<6f", *range(6))
    valid = npy_bytes("<f4", (2, 3), numbers)
    yield "float32", valid
    yield "fortran", npy_bytes("<f4", (2, 3), numbers, fortran=True)
    yield "big_endian", npy_bytes(">i8", (2,), struct.pack(">2q", -1, 2))
    yield "version2", npy_bytes("<f2", (4,), bytes(8), version=2)
    yield "version3", npy_bytes("|b1", (3,), b"\0\1\2", version=3)
    yield "scalar", npy_bytes("<f8", (), struct.pack("<d", 0.5))
    yield "empty", npy_bytes("<u2", (3, 0, 2))
    yield "six_dims", npy_bytes("|u1", (1, 2, 1, 2, 1, 2), bytes(8), fortran=True)
    yield "python2", npy_raw("{'shape': (2L,), 'fortran_order': False, 'descr': '<u4'}", bytes(8))
    yield "truncated_data", valid[:-1]
    yield "truncated_header", valid[:40]
    yield "magic_only", valid[:6]
    yield "trailing", valid + b"x"
    yield "huge_shape", npy_bytes("<f8", (2**62, 2**62))
    yield "overflow_with_zero", npy_bytes("<f8", (0, 2**63 - 1, 2**63 - 1))
    yield "huge_number", npy_bytes("<f8", (2**70,))
    yield "negative", npy_bytes("<f8", (-1,))
    yield "seven_dims", npy_bytes("|u1", (1,) * 7, b"x")
    yield "object", npy_bytes("|O", (1,), b"\x80\x04K\x01.")
    yield "record", npy_bytes([("a", "<f4"), ("b", "<i4")], (1,), bytes(8))
    yield "text", npy_bytes("<U2", (2,), "abcd".encode("utf-32-le"))
    yield "complex", npy_bytes("<c16", (1,), bytes(16))
    yield "huge_header", b"\x93NUMPY\2\0\xff\xff\xff\xff{"
    yield "nested", npy_bytes("<f4", ((((),),),))


def zip_bytes(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def spoil(data, signature, offset, value):
    """Overwrites `value` at `offset` from the last place where a zip record's signature stands."""
    at = data.rindex(signature) + offset
    return data[:at] + value + data[at + len(value):]


CENTRAL, END = b"PK\1\2", b"PK\5\6"


@corpus
def zip():
    members = [("folder/", b""), ("folder/a.txt", b"hello"), ("\u00e9.bin", bytes(range(64)))]
    stored = zip_bytes(members)
    deflated = zip_bytes([("zeros", bytes(5000)), ("a", b"abcabcabc")], zipfile.ZIP_DEFLATED)
    yield "stored", stored
    yield "deflated", deflated
    yield "no_entries", zip_bytes([])
    yield "bzip2", zip_bytes([("a", b"abc")], zipfile.ZIP_BZIP2)
    yield "lzma", zip_bytes([("a", b"abc")], zipfile.ZIP_LZMA)
    yield "duplicate", stored.replace(b"folder/a.txt", b"folder/b.txt", 1)
    yield "truncated", stored[:-5]
    yield "no_directory", stored[: stored.index(CENTRAL)]
    yield "wrong_crc", spoil(stored, CENTRAL, 16, b"\1\2\3\4")
    yield "encrypted", spoil(stored, CENTRAL, 8, b"\1\0")
    yield "absurd_size", spoil(deflated, CENTRAL, 24, b"\xf0\xff\xff\xff")
    yield "zip64_size", spoil(deflated, CENTRAL, 24, b"\xff\xff\xff\xff")
    yield "beyond_archive", spoil(stored, CENTRAL, 20, b"\xf0\xff\xff\x7f")
    yield "wrong_offset", spoil(stored, CENTRAL, 42, b"\xff\xff\xff\x7f")
    yield "many_entries", spoil(stored, END, 8, b"\xfe\xff\xfe\xff")
    yield "directory_offset", spoil(stored, END, 16, b"\xff\xff\xff\x7f")
    yield "wrong_method", spoil(stored, CENTRAL, 10, b"\x08\0")
    yield "bad_deflate", deflated[:40] + b"\xff" * 4 + deflated[44:]
    at = stored.index(CENTRAL)
    entry = stored[stored.rindex(CENTRAL): stored.rindex(END)]
    directory = entry * 8  # eight names for one stretch of data
    yield "bomb", (stored[:at] + directory
                   + struct.pack("<4s4H2IH", END, 0, 0, 8, 8, len(directory), at, 0))


@corpus
def npz():
    floats = npy_bytes("<f4", (2, 3), struct.pack("<6f", *range(6)))
    text = npy_bytes("<U2", (2,), "ab\u00e9\0".encode("utf-32-le"))
    valid = zip_bytes([("x.npy", floats), ("names.npy", text)])
    yield "stored", valid
    yield "member_ucs4", text
    yield "member_bytes", npy_bytes("|S3", (3,), b"a\0\0bcdef\n")
    planes = "\u00e9\u20ac\U0001d11e".encode("utf-32-be")
    yield "member_planes", npy_bytes(">U4", (), planes + bytes(4))
    yield "member_floats", floats
    yield "deflated", zip_bytes([("x.npy", floats), ("s.npy", npy_bytes("|S3", (), b"abc"))],
                                zipfile.ZIP_DEFLATED)
    yield "no_members", zip_bytes([])
    yield "truncated", valid[:-30]
    yield "surrogate", zip_bytes([("t.npy", npy_bytes("<U1", (), b"\0\xd8\0\0"))])
    yield "zero_width", zip_bytes([("t.npy", npy_bytes("<U0", (10**12,)))])
    yield "huge_width", zip_bytes([("t.npy", npy_bytes("<U1073741824", (1,)))])
    yield "object", zip_bytes([("o.npy", npy_bytes("|O", (1,), b"\x80\x04K\x01."))])
    yield "not_npy", zip_bytes([("x.txt", b"hello")])
    yield "empty_member", zip_bytes([("x.npy", b"")])
    yield "long_name", zip_bytes([("n" * 140 + ".npy", floats)])
    yield "duplicate", zip_bytes([("x.npy", text), ("y.npy", text)]).replace(b"y.npy", b"x.npy")


def safetensors_bytes(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@corpus
def safetensors():
    x = entry("F32", [2, 1], 0, 8)
    valid = safetensors_bytes({"x": x, "__metadata__": {"k": "v\u20ac"},
                               "y": entry("BF16", [2], 8, 12), "z": entry("BOOL", [], 12, 13)},
                              bytes(12) + b"\2")
    yield "valid", valid
    yield "no_tensors", safetensors_bytes({})
    yield "padded", safetensors_bytes(b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}    ')
    yield "truncated_header", valid[:30]
    yield "truncated_data", valid[:-1]
    yield "trailing", valid + b"x"
    yield "length_only", valid[:8]
    yield "huge_length", b"\xff" * 8 + b"{}"
    yield "overlap", safetensors_bytes({"x": x, "y": entry("U8", [2], 7, 9)}, bytes(9))
    yield "gap", safetensors_bytes({"x": x, "y": entry("U8", [2], 9, 11)}, bytes(11))
    yield "reversed", safetensors_bytes({"x": entry("F32", [2], 8, 0)}, bytes(8))
    yield "negative", safetensors_bytes({"x": entry("F32", [-2], 0, -8)}, bytes(8))
    yield "huge_shape", safetensors_bytes({"x": entry("F32", [2**62, 2**62], 0, 0)})
    yield "huge_number", safetensors_bytes({"x": entry("F32", [2**70], 0, 8)}, bytes(8))
    yield "huge_offset", safetensors_bytes({"x": entry("U8", [8], 0, 2**63 - 1)}, bytes(8))
    yield "seven_dims", safetensors_bytes({"x": entry("U8", [1] * 7, 0, 1)}, b"x")
    yield "float8", safetensors_bytes({"x": entry("F8_E5M2", [1], 0, 1)}, b"x")
    yield "duplicate", safetensors_bytes(b'{"x":%s,"x":%s}' % ((json.dumps(x).encode(),) * 2),
                                         bytes(8))
    yield "no_string", safetensors_bytes({"__metadata__": {"k": 1}})
    yield "wrong_types", safetensors_bytes({"x": {"dtype": 1, "shape": {}, "data_offsets": "a"}})
    yield "deep", safetensors_bytes(b'{"x":' + b"[" * 300)
    yield "not_utf8", safetensors_bytes(b'{"\xff":1}')
    yield "nul_name", safetensors_bytes(b'{"a\\u0000b":1}')


@corpus
def tiny_imagenet():
    valid = b"val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n"
    yield "annotations", valid
    yield "windows", valid.replace(b"\n", b"\r\n")
    yield "no_last_newline", valid[:-1]
    yield "no_boxes", b"val_0.JPEG\tn02\nval_1.JPEG\tn01\n"
    yield "blank_lines", b"\n\r\n\n" + valid + b"\n\n"
    yield "repeated", valid + valid
    yield "unknown_class", valid + b"val_2.JPEG\tn09\n"
    yield "no_class", valid + b"val_2.JPEG\n"
    yield "empty_class", valid + b"val_2.JPEG\t\t0\n"
    yield "empty_file", b"\tn01\n"
    yield "path", b"../../etc/x.JPEG\tn01\n"
    yield "zero_byte", b"val_0.JPEG\tn0\0001\n"
    yield "long_name", b"x" * 300 + b"\tn01\n"
    yield "wnids", b"n02\nn01\nn03\n"
    yield "wnids_repeated", b"n02\nn02\n"
    yield "wnids_high_bytes", b"\xff\xfe\n\x80\n"
    yield "only_newlines", b"\n" * 9
    yield "empty", b""


def xxh64(data, seed=0):
    """XXH64 (Collet), as src/base/hash.c has it."""
    prime = [0, 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
             0x27D4EB2F165667C5]
    mask = 2**64 - 1
    rotate = lambda x, bits: (x << bits | x >> (64 - bits)) & mask
    step = lambda lane, word: rotate((lane + word * prime[2]) & mask, 31) * prime[1] & mask
    stripes, size = len(data) // 32 * 32, len(data)
    value = seed + prime[5]
    if stripes:
        lanes = [seed + prime[1] + prime[2] & mask, seed + prime[2] & mask, seed,
                 seed - prime[1] & mask]
        for at in range(0, stripes, 32):
            words = struct.unpack_from("<4Q", data, at)
            lanes = [step(lanes[i], words[i]) for i in range(4)]
        value = sum(rotate(lanes[i], (1, 7, 12, 18)[i]) for i in range(4))
        for lane in lanes:
            value = ((value ^ step(0, lane)) * prime[1] + prime[4]) & mask
    value, tail = (value + size) & mask, data[stripes:]
    while len(tail) >= 8:
        word, = struct.unpack("<Q", tail[:8])
        value = (rotate(value ^ step(0, word), 27) * prime[1] + prime[4]) & mask
        tail = tail[8:]
    if len(tail) >= 4:
        word, = struct.unpack("<I", tail[:4])
        value = (rotate(value ^ word * prime[1] & mask, 23) * prime[2] + prime[3]) & mask
        tail = tail[4:]
    for byte in tail:
        value = rotate(value ^ byte * prime[5] & mask, 11) * prime[1] & mask
    value = (value ^ value >> 33) * prime[2] & mask
    value = (value ^ value >> 29) * prime[3] & mask
    return value ^ value >> 32


@corpus
def records():
    def header(parts, kind=b"responses", size=4, count=None):
        count = len(parts) if count is None else count
        head = b"VTRECS1\n" + struct.pack("<IIQ160s", count, 0, size, kind)
        body = b"".join(struct.pack("<120sQ", *part) for part in parts)
        return head + struct.pack("<Q", xxh64(body, xxh64(head))) + body

    def block(file, first, keys, count=None):
        data = [b"%04d" % i for i in range(len(keys))]
        entries = b"".join(struct.pack("<3Q", keys[i], 7, xxh64(data[i])) for i in range(len(keys)))
        count = len(keys) if count is None else count
        head = struct.pack("<4Q", 0x4b434f4c42545680, first, count, xxh64(entries))
        seed, = struct.unpack_from("<Q", file, 184)
        return head + struct.pack("<Q", xxh64(head, seed)) + entries + b"".join(data)

    start = header([(b"a.keras", 1)])
    one, two = block(start, 0, [3, 4]), block(start, 2, [5, 3, 6])
    yield "empty", b""
    yield "header", start
    yield "whole", start + one + two
    yield "blocks", one + two
    yield "torn_header", start[:100]
    yield "torn_head", start + one + two[:20]
    yield "torn_records", start + one + two[:-3]
    yield "zero_tail", start + one + bytes(200)
    yield "damaged_record", start + one[:-1] + b"x" + two
    yield "damaged_last", start + one + two[:-1] + b"x"
    yield "damaged_entry", start + one[:50] + b"x" + one[51:] + two
    yield "gap", start + two
    yield "no_records", start + block(start, 0, [])
    yield "huge_count", start + block(start, 0, [3], 2**63)
    yield "many", start + block(start, 0, [3], 1000)
    yield "same_keys", start + block(start, 0, [3] * 9)
    yield "changed", header([(b"a.keras", 2)]) + one
    yield "renamed", header([(b"b" * 120, 1)])
    yield "other_kind", header([(b"a.keras", 1)], b"k" * 160)
    yield "other_size", header([(b"a.keras", 1)], size=2**63)
    yield "many_parts", header([], count=2**32 - 1)
    yield "no_parts", header([])
    yield "not_records", b"VTRECS2\n" + bytes(400)


class Matlab:
    """Elements of a MATLAB 5 file in one byte order."""

    def __init__(self, order="<"):
        self.order = order

    def element(self, kind, data, pad=True):
        return (struct.pack(self.order + "II", kind, len(data)) + data +
                (b"\0" * (-len(data) % 8) if pad else b""))

    def small(self, kind, data):
        first = len(data) << 16 | kind
        return struct.pack(self.order + "I", first) + data.ljust(4, b"\0")

    def matrix(self, name, mx, sizes, *parts, flags=0):
        return self.element(14, self.element(6, struct.pack(self.order + "II", flags | mx, 0)) +
                            self.element(5, struct.pack(f"{self.order}{len(sizes)}i", *sizes)) +
                            self.element(1, name.encode()) + b"".join(parts))

    def doubles(self, name, sizes, *values):
        return self.matrix(name, 6, sizes, self.element(
            9, struct.pack(f"{self.order}{len(values)}d", *values)))

    def structure(self, name, width=8, sizes=(1, 1), **fields):
        names = b"".join(f.encode().ljust(width, b"\0") for f in fields)
        return self.matrix(name, 2, sizes, self.small(5, struct.pack(self.order + "i", width)),
                           self.element(1, names), *fields.values())

    def file(self, *elements):
        mark = struct.pack(self.order + "HH", 0x0100, 0x4D49)
        return b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(elements)


@corpus
def matlab():
    m, big = Matlab(), Matlab(">")
    grid = m.doubles("grid", (2, 3), 0, 3, 1, 4, 2, 5)
    bytes_as_doubles = m.matrix("bytes", 6, (1, 3), m.small(2, b"\7\0\xff"))
    shorts = m.matrix("shorts", 10, (3, 1), m.element(3, struct.pack("<3h", -1, 2, 300)))
    fields = m.structure("db", bw=m.doubles("", (1, 2), 30, 91), po=m.doubles("", (1, 2), 0.5, 1),
                         inner=m.structure("", deep=m.doubles("", (1, 1), 8)))
    text = m.matrix("text", 4, (1, 2), m.small(4, b"a\0b\0"))
    cells = m.matrix("cells", 1, (1, 1), m.doubles("", (1, 1), 1))
    complex_ = m.matrix("complex", 6, (1, 1), m.element(9, bytes(8)), m.element(9, bytes(8)),
                        flags=0x0800)
    empty = m.matrix("empty", 6, (0, 0), m.element(9, b""))
    yield "kinds", m.file(grid, bytes_as_doubles, shorts, fields, text, cells, complex_, empty)
    packed = zlib.compress(fields)
    yield "compressed", m.file(m.element(15, packed, pad=False), grid)
    yield "big_endian", big.file(
        big.doubles("grid", (2, 3), 0, 3, 1, 4, 2, 5),
        big.matrix("shorts", 10, (3, 1), big.element(3, struct.pack(">3h", -1, 2, 300))))
    def row(*values):
        return m.doubles("", (1, len(values)), *values)
    yield "ringach", m.file(m.element(15, zlib.compress(m.structure(
        "db", width=16, spont=row(1, 2, 0), maxdc=row(20, 7, 100), mindc=row(1, 2, 3),
        maxfirst=row(30, 7, 10), orivar=row(0.3, 0.5, 0.9), bw=row(25, 20, 91),
        po=row(0.05, 0.5, 1.2))), pad=False))
    yield "elements", grid + fields
    yield "array_of_structures", m.structure("s", sizes=(1, 2), a=grid, b=grid)
    yield "twice", m.file(grid, grid)
    yield "cut", m.file(grid)[:-20]
    yield "cut_tag", m.file(grid, b"\0\0\0")
    yield "cut_compressed", m.file(m.element(15, packed[:-9], pad=False))
    yield "bomb", m.file(m.element(15, zlib.compress(bytes(1 << 20)), pad=False))
    yield "huge_sizes", m.matrix("a", 6, (1 << 30, 1 << 30, 1 << 30), m.element(9, bytes(8)))
    yield "negative_size", m.matrix("a", 6, (-1, 1), m.element(9, b""))
    yield "long_element", m.file(struct.pack("<II", 14, 1 << 30))
    yield "wide_names", m.matrix("s", 2, (1, 1), m.small(5, b"\xff\xff\xff\x7f"),
                                 m.element(1, bytes(8)))
    yield "no_width", m.matrix("s", 2, (1, 1), m.small(5, bytes(4)), m.element(1, bytes(8)))
    deep = m.doubles("", (1, 1), 1)
    for _ in range(40):
        deep = m.structure("", a=deep)
    yield "deep", m.structure("s", a=deep)
    yield "version4", struct.pack("<5i", 0, 1, 1, 0, 2) + b"a\0" + bytes(8)
    yield "empty", b""


@corpus
def references():
    valid = b'cell, "modulation_ratio" ,orientation_selective\r\na,0.1,1\r\nb,,0\n\nc,1.95,1\nd,nan,1'
    yield "table.csv", valid
    yield "one_column.csv", b"bandwidth\n30\n40\n91\n"
    yield "twice.csv", b"bandwidth,bandwidth\n1,2\n"
    yield "extremes.csv", b"spatial_frequency_bandwidth,bandwidth\n1e308,-1e308\ninf,-inf\n0,-0\n"
    yield "word.csv", valid.replace(b"1.95", b"much")
    yield "long_field.csv", b"bandwidth\n" + b"1" * 300 + b"\n"
    yield "few_fields.csv", valid + b"\n1\n"
    yield "many_fields.csv", valid + b"\n1,2,3,4\n"
    yield "returns.csv", valid.replace(b"\n", b"\r")
    yield "wide.csv", b"," * 500 + b"\n1" * 500
    yield "header.csv", valid[:30]
    yield "zero_byte.csv", valid.replace(b"0.1", b"0\x001")
    yield "empty.csv", b""


@corpus
def texture_list():
    valid = (b"file,family,sample,type,origin\n"
             b"tex-320x320-im13-smp2.png,13,2,texture,photographs\n"
             b"noise-320x320-im13-smp2.png,13,2,noise,photographs\n")
    yield "written", valid
    yield "windows", valid.replace(b"\n", b"\r\n")
    yield "no_origin", b"type,note,sample,family,file\n tex , ,1, 7,a.png\n\n noise,x,1,7,b.png"
    yield "two_origins", valid + b"a.png,1,1,tex,other\n"
    yield "no_column", valid.replace(b"family", b"kind")
    yield "same_column", valid.replace(b"sample", b"family")
    yield "cut", valid[:-30]
    yield "no_file", valid + b",1,1,tex,photographs\n"
    yield "negative", valid + b"a.png,-1,1,tex,photographs\n"
    yield "long_number", valid + b"a.png,1234567890,1,tex,photographs\n"
    yield "unknown_type", valid + b"a.png,1,1,dots,photographs\n"
    yield "many_columns", b"," * 80 + valid
    yield "many_fields", valid + b"a.png,1,1,tex,photographs" + b"," * 80
    yield "zero_byte", valid.replace(b"13", b"1\x00")
    yield "empty", b""
    yield "name", b"tex-320x320-im13-smp2.png"
    yield "name_zeros", b"noise-0x007-im000000001-smp0.png"
    yield "name_long", b"tex-320x320-im1234567890-smp2.png"
    yield "name_cut", b"tex-320x320-im13-smp"


def main(names):
    for name in names or FORMATS:
        folder = pathlib.Path(__file__).parent / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, data in FORMATS[name]():
            (folder / seed).write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1:])
