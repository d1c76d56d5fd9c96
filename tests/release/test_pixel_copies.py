# SPDX-License-Identifier: Apache-2.0
"""Copies of the pixels beside the pixels: none is left in a protected image, and one that is planted is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

import umed
from tests import forged
from tests.dicom_files import write_series
from tests.release_files import SHAPE, labels, volume, write_seg
from umed.cases.pixel_copies import name_of, remove_copies
from umed.dicom.read import reader
from umed.protect.check_release import check_release
from umed.protect.verify import verify

Plant = Callable[[pydicom.FileDataset, bytes], object]
PROMISE = {"epsilon": 8 / 255, "radius": 2.0}


def item(tag: int, vr: str, value: object) -> Dataset:
    found = Dataset()
    found.add_new(tag, vr, value)
    return found


def private(ds: Dataset, tag: int, vr: str, value: object) -> None:
    ds.add_new((tag & 0xFFFF0000) + 0x10, "LO", "ACME")
    ds.add_new(tag, vr, value)


def in_meta(ds: pydicom.FileDataset, raw: bytes) -> None:
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3"
    ds.file_meta.PrivateInformation = raw


PLANTED: dict[str, Plant] = {
    "(7fe1,1001)": lambda ds, raw: private(ds, 0x7FE11001, "OB", raw),
    "(0009,1001)": lambda ds, raw: private(ds, 0x00091001, "UN", b"head" + raw + b"tail"),
    "(0011,1002)": lambda ds, raw: private(ds, 0x00111002, "SQ", [item(0x00131001, "OW", raw)]),
    "(0015,1001)": lambda ds, raw: private(ds, 0x00151001, "US", np.frombuffer(raw, "<u2").tolist()),
    "(fffc,fffc)": lambda ds, raw: ds.add_new(0xFFFCFFFC, "OB", raw[:40]),
    "(fffa,fffa)": lambda ds, raw: ds.add_new(0xFFFAFFFA, "SQ", [item(0x04000120, "OB", raw[:64])]),
    "(4ffe,0001)": lambda ds, raw: ds.add_new(0x4FFE0001, "SQ", [item(0x04000005, "US", 1)]),
    "(0088,0200)": lambda ds, raw: ds.add_new(0x00880200, "SQ", [item(0x7FE00010, "OW", raw[:64])]),
    "(6000,3000)": lambda ds, raw: ds.add_new(0x60003000, "OW", raw),
    "(0002,0102)": in_meta,
}
GONE = {"(0011,1002)": "(0013,1001)"}
"""The tag that is removed where it is not the planted one."""


def source(root: Path, *plants: Plant) -> Path:
    paths = write_series(root / "ct", volume(), bits=16)
    write_seg(paths, labels(), root / "seg.dcm")
    for path in paths:
        ds = pydicom.dcmread(path)
        for plant in plants:
            plant(ds, ds.PixelData)
        ds.save_as(path)
    return root


def test_no_copy_of_the_pixels_is_left_in_a_protected_series(tmp_path: Path) -> None:
    root, out = source(tmp_path / "in", *PLANTED.values()), tmp_path / "out"
    before = {p.name: pydicom.dcmread(p).PixelData for p in (root / "ct").iterdir()}
    umed.protect(root, out, method="random", **PROMISE)
    changed = 0
    for path in (out / "ct").iterdir():
        ds = pydicom.dcmread(path)
        raw = path.read_bytes()
        changed += ds.PixelData != before[path.name]
        assert raw.count(before[path.name]) == (ds.PixelData == before[path.name])  # no more than a slice as it was
        assert not {0xFFFCFFFC, 0xFFFAFFFA, 0x4FFE0001, 0x00880200, 0x7FE11001} & {int(tag) for tag in ds.keys()}
    assert changed == 4
    audit = json.loads((tmp_path / "out-private/report.json").read_text())
    assert all(f'"{GONE.get(tag, tag)}"' in json.dumps(audit) for tag in PLANTED)
    assert check_release(out, original=root).ok
    assert verify(root, out).ok
    shutil.rmtree(tmp_path / "out-private")
    assert verify(root, out, promise=PROMISE).ok


@pytest.mark.parametrize("tag", PLANTED)
def test_a_copy_that_is_put_in_afterwards_is_found(tmp_path: Path, tag: str) -> None:
    root, out = source(tmp_path / "in"), tmp_path / "out"
    umed.protect(root, out, method="random", **PROMISE)
    path = next(p for p in sorted((out / "ct").iterdir()) if "DERIVED" in str(pydicom.dcmread(p).get("ImageType")))
    raw = pydicom.dcmread(root / "ct" / path.name).PixelData
    forged.dicom(path, lambda ds: PLANTED[tag](ds, raw))
    forged.state(out)
    assert "hidden-data" in {one.kind for one in check_release(out).problems}
    found = [one.where for one in check_release(out, original=root).problems if one.kind == "original"]
    whole = tag not in ("(fffc,fffc)", "(fffa,fffa)", "(4ffe,0001)", "(0088,0200)")  # these hold less than a frame
    assert found == ([f"ct/{path.name}{GONE.get(tag, tag)}"] if whole else [])


def test_pixels_of_an_image_within_a_segmentation_are_found(tmp_path: Path) -> None:
    root, out = source(tmp_path / "in"), tmp_path / "out"
    umed.protect(root, out, method="random", **PROMISE)
    path = next(p for p in sorted((out / "ct").iterdir()) if "DERIVED" in str(pydicom.dcmread(p).get("ImageType")))
    raw = pydicom.dcmread(root / "ct" / path.name).PixelData
    forged.dicom(out / "seg.dcm", lambda ds: private(ds, 0x00091001, "OB", b"xyz" + raw + b"\0"))
    forged.state(out)
    problems = check_release(out, original=root).problems
    assert [one.where for one in problems if one.kind == "original"] == ["seg.dcm(0009,1001)"]


def test_small_elements_and_lookup_tables_stay(tmp_path: Path) -> None:
    table = np.arange(65536, dtype="<u2").tobytes()

    def plant(ds: pydicom.FileDataset, raw: bytes) -> None:
        private(ds, 0x00091001, "OB", raw[:-2])
        ds.add_new(0x00283000, "SQ", [item(0x00283006, "OW", table)])
        ds.add_new(0x60003000, "OW", bytes(SHAPE[1] * SHAPE[2] // 8))

    path = next((source(tmp_path, plant) / "ct").iterdir())
    assert not remove_copies(reader.read(path, pixels=True))


def test_a_compressed_frame_is_found_in_elements_smaller_than_a_frame(tmp_path: Path) -> None:
    path = next((source(tmp_path) / "ct").iterdir())
    ds = reader.read(path, pixels=True)
    packed = bytes(range(200))
    ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    ds.PixelData = encapsulate([packed])
    ds["PixelData"].is_undefined_length = True
    private(ds, 0x00091001, "OB", b"ab" + packed)
    assert dict(remove_copies(ds)) == {(name_of(0x00091001), "X"): 1}
