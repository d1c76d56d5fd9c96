# SPDX-License-Identifier: Apache-2.0
"""MetaImage and NRRD files for tests, by SimpleITK where it can write them, else by hand."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import SimpleITK

ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")
META = {
    "i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT",
    "i8": "LONG_LONG", "u8": "ULONG_LONG", "f4": "FLOAT", "f8": "DOUBLE",
}  # fmt: skip
NRRD = {
    "i1": "int8", "u1": "uchar", "i2": "short", "u2": "unsigned short", "i4": "int", "u4": "uint32",
    "i8": "long long", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip
PACKERS = {
    "raw": bytes,
    "zlib": zlib.compress,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
}


def metaimage(path, array, *, packing="raw", vector=False, big=False, data_file="", lines=(), changes=(), newline="\n"):
    """Write ``array`` (Fortran order: x first; ``vector``: components first) by hand; ``changes`` replace lines."""
    sizes = array.shape[1:] if vector else array.shape
    raw = array.astype(array.dtype.newbyteorder(">" if big else "<")).tobytes(order="F")
    data = PACKERS[packing](raw)
    fields = {
        "ObjectType": "Image",
        "NDims": len(sizes),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": big,
        "CompressedData": packing != "raw",
        **({"CompressedDataSize": len(data)} if packing != "raw" else {}),
        "TransformMatrix": " ".join(str(int(n)) for n in np.eye(len(sizes)).ravel()),
        "Offset": " ".join("3" * len(sizes)),
        "ElementSpacing": " ".join(["0.5", "1", "2", "1"][: len(sizes)]),
        "DimSize": " ".join(map(str, sizes)),
        **({"ElementNumberOfChannels": array.shape[0]} if vector else {}),
        "ElementType": f"MET_{META[array.dtype.str[1:]]}",
        **dict(changes),
    }
    text = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    text += [*lines, f"ElementDataFile = {data_file or 'LOCAL'}"]
    return _put(path, (newline.join(text) + newline).encode("latin-1"), data, data_file)


def nrrd(path, array, *, packing="raw", vector=False, big=False, data_file="", lines=(), changes=(), newline="\n"):
    """As :func:`metaimage`, as NRRD; placed in LPS where it has three axes."""
    dims = array.ndim - vector
    raw = array.astype(array.dtype.newbyteorder(">" if big else "<")).tobytes(order="F")
    steps = [f"({','.join('0' if i != j else str(0.5 * 2**i) for j in range(dims))})" for i in range(dims)]
    fields = {
        "type": NRRD[array.dtype.str[1:]],
        "dimension": array.ndim,
        "space": None,
        "space dimension": dims,
        "sizes": " ".join(map(str, array.shape)),
        "space directions": " ".join([*(["none"] if vector else []), *steps]),
        "kinds": " ".join([*(["vector"] if vector else []), *["domain"] * dims]),
        "endian": "big" if big else "little",
        "encoding": packing,
        **dict(changes),
    }
    text = ["NRRD0004", "# a comment", *(f"{key}: {value}" for key, value in fields.items() if value is not None)]
    text += [*([f"data file: {data_file}"] if data_file else []), *lines, "", ""]
    return _put(path, newline.join(text).encode(), PACKERS[packing](raw), data_file)


def _put(path, head, data, data_file):
    path.write_bytes(head if data_file else head + data)
    if data_file:
        (path.parent / data_file).write_bytes(data)
    return path


def head_of(path):
    """Header bytes of a file whose voxels follow, or all of one whose voxels lie beside it."""
    data = path.read_bytes()
    if data.startswith(b"NRRD"):
        ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := data.find(mark)) >= 0]
        stop = min(ends, default=len(data))
    else:
        stop = data.index(b"\n", data.index(b"ElementDataFile")) + 1
    return data[:stop]


def simpleitk(path):
    """Values as SimpleITK gives them, turned to x, y, z and components last."""
    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    axes = len(SimpleITK.ReadImage(str(path)).GetSize())
    return array.transpose(*range(axes)[::-1], *range(axes, array.ndim))


def save(array, path, *, compress, vector=False, texts=(), spacing=(0.9, 1.1, 2.0), origin=(-10.0, 5.0, 30.0)):
    """Let SimpleITK write an array ``(z, y, x)`` with an oblique place in space."""
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    dims = image.GetDimension()
    image.SetSpacing(spacing[:dims])
    image.SetOrigin(origin[:dims])
    if dims == 3:
        image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    for key, value in texts:
        image.SetMetaData(key, value)
    SimpleITK.WriteImage(image, str(path), compress)
    return image


def make_itk_nnunet(root: Path, ending: str, compress: bool, *, cases: int = 3, texts=()) -> Path:
    """A small data set in nnU-Net's raw layout: smooth MR-like volumes with a ball; the last label is empty."""
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    index = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "ball": 1}, "numTraining": cases}
    (root / "dataset.json").write_text(json.dumps({**index, "file_ending": ending}))
    z, y, x = np.indices((6, 20, 16))
    ball = ((z - 3) ** 2 * 3 + (y - 10) ** 2 + (x - 8) ** 2 < 30).astype(np.uint8)
    for case in range(cases):
        waves = np.sin(x / (2 + case)) + np.cos(y / 3) + np.random.default_rng(case).normal(0, 0.2, x.shape)
        image = (400 + 150 * waves).astype(np.int16)
        save(image, root / "imagesTr" / f"c{case}_0000{ending}", compress=compress, texts=texts)
        save(ball * (case < cases - 1), root / "labelsTr" / f"c{case}{ending}", compress=compress)
    return root
