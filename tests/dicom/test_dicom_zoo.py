# SPDX-License-Identifier: Apache-2.0
"""Odd real DICOM files, whole and damaged: each is read exactly or ends in one line, and nothing else comes out."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from umed.core.errors import InputError
from umed.dicom.objects import LIMITS, Limits
from umed.dicom.pixels import pixel_data
from umed.dicom.read import headers, reader
from umed.dicom.read.scan import scan

COPIES = 80
UNREADABLE = {
    "dcm4che__3gb-bulk-data-truncated": "past the end of the file",
    "dcm4che__Tag-0040-A170-VR-CS.dcm": "expected an item",
    "pydicom-data__emri_small_jpeg_2k_lossless_too_short.dcm": "cut off",
    "pydicom__test_files__MR_truncated.dcm": "past the end of the file",
    "pydicom__test_files__dicomdirtests__DICOMDIR-nooffset": "longer than its sequence",
}
UNDECODABLE = {
    "dicom-test-files__data__WG04__JPLY__MR4_JPLY": "lossy JPEG of 12 bits",
    "dicom-test-files__data__WG04__JPLY__RG2_JPLY": "lossy JPEG of 10 bits",
    "dicom-test-files__data__WG04__JPLY__XA1_JPLY": "lossy JPEG of 10 bits",
    "dicomParser__testImages__encapsulated__multi-frame__CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": "of 12 bits",
    "fo-dicom__multiframe.dcm": "got a stream of",
    "nibabel__nibabel__nicom__tests__data__csa_slice_norm.dcm": "no pixel data",
    "pydicom-data__parametric_map_double_float.dcm": "floating point",
    "pydicom__test_files__JPEG-lossy.dcm": "lossy JPEG of 12 bits",
    "pydicom__test_files__SC_ybr_full_422_uncompressed.dcm": "without loss",
}
UNWRITABLE = {"fo-dicom__GH364.dcm", "pydicom__test_files__SC_rgb_jpeg.dcm"}
"""Broken elsewhere than in their pixels, so that no data set can be written from them."""


@pytest.fixture(scope="module")
def zoo(shared_data):
    return sorted(path for path in (shared_data / "dicom_zoo").iterdir() if path.suffix not in (".md", ".tsv"))


def looked(path, limits=LIMITS):
    ds = reader.read(path, limits, pixels=True)
    with reader.guard(path):
        return ds, headers.describe(ds, path, path.name)[0]


def test_every_file_is_read_or_refused_for_the_known_reason(zoo):
    reasons = {}
    for path in zoo:
        try:
            looked(path)
        except InputError as error:
            reasons[path.name] = str(error)
            assert "\n" not in str(error)
    assert set(reasons) == set(UNREADABLE)
    assert all(UNREADABLE[name] in reason for name, reason in reasons.items())


def test_scan_of_the_whole_zoo_places_every_file_once(zoo, shared_data, tmp_path, capsys, recwarn):
    found = scan(shared_data / "dicom_zoo")
    used = [instance.name for series in found.series for instance in series.instances]
    names = used + [name for name, _ in found.refused]
    assert len(names) == len(set(names)) == len(zoo) + 2
    assert all(reason and "\n" not in reason for _, reason in found.refused)
    assert len(found.series) == len({series.id for series in found.series}) > 80
    assert capsys.readouterr() == ("", "") and len(recwarn) == 0


@pytest.mark.slow
def test_every_image_decodes_and_survives_every_syntax(zoo, tmp_path):
    """All five syntaxes for small images, explicit-le and one other for large ones, which take long."""
    reasons, trips = {}, dict.fromkeys(pixel_data.SYNTAXES, 0)
    for path in zoo:
        if path.name in UNREADABLE:
            continue
        ds, instance = looked(path)
        if instance.kind != "image":
            continue
        try:
            expected = pixel_data.decode(ds)
        except InputError as error:
            reasons[path.name] = str(error)
            continue
        if path.name in UNWRITABLE:
            continue
        names = list(pixel_data.SYNTAXES)
        others = names[1:] if expected.nbytes < 100_000 else [names[1 + len(path.name) % 4]]
        for syntax in [names[0], *others]:
            copy = reader.read(path, pixels=True)
            try:
                pixel_data.encode(copy, expected, syntax)
            except InputError as error:
                assert "cannot hold" in str(error) or (expected.size < 100 and "failed" in str(error)), str(error)
                continue
            buffer = io.BytesIO()
            with reader.guard(path):
                copy.save_as(buffer, enforce_file_format="SOPInstanceUID" in copy)
            (tmp_path / "x").write_bytes(buffer.getvalue())
            again = reader.read(tmp_path / "x", pixels=True)
            decoded = pixel_data.decode(again)
            assert decoded.dtype == expected.dtype and np.array_equal(decoded, expected), (path.name, syntax)
            assert again.get("SOPInstanceUID") == ds.get("SOPInstanceUID")
            trips[syntax] += 1
    assert set(reasons) == set(UNDECODABLE)
    assert all(UNDECODABLE[name] in reason for name, reason in reasons.items())
    assert trips["explicit-le"] > 110 and min(trips.values()) > 40


def damaged(content, source):
    """A copy with a few bytes changed, most of them in the header, and sometimes cut or with a part doubled."""
    raw = bytearray(content)
    reach = len(raw) if source.random() < 0.3 else min(len(raw), 2500)
    for _ in range(source.choice((1, 2, 8))):
        raw[source.randrange(reach)] = source.choice((0, 0xFF, 0x7F, source.randrange(256)))
    if source.random() < 0.2:
        raw = raw[: source.randrange(1, len(raw))]
    if source.random() < 0.1:
        at = source.randrange(reach)
        raw[at:at] = raw[at : at + source.randrange(1, 200)]
    return bytes(raw)


def test_damaged_files_give_input_errors_only(dicom_zoo, tmp_path):
    """Random damage; codecs run in a helper process, so that their crashes count as errors too."""
    source = random.Random(20240229)
    zoo = sorted(path for path in dicom_zoo.iterdir() if path.suffix not in (".md", ".tsv"))
    small = [path for path in zoo if path.stat().st_size < 60_000 and path.name not in UNREADABLE]
    limits = Limits(elements=50_000, pixels_bytes=64 << 20, header_bytes=8 << 20)
    done = refused = 0
    target = tmp_path / "in" / "x"
    target.parent.mkdir()
    for _ in range(COPIES):
        path = source.choice(small)
        target.write_bytes(damaged(path.read_bytes(), source))
        try:
            ds, instance = looked(target, limits)
            with reader.guard(target):
                for _ in ds.iterall():
                    pass
            if instance.kind in ("image", "seg"):
                pixel_data.decode(ds, limits)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1500
        scan(target.parent, limits)
        done += 1
    assert done > 50 and 0 < refused < done
