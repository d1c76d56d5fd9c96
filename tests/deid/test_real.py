# SPDX-License-Identifier: Apache-2.0
"""Real files: nothing leaks, nothing that images need changes, every reference still resolves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from umed.core.errors import InputError
from umed.deid.check import check
from umed.deid.engine import Deidentifier, Quarantine
from umed.deid.keys import DeidKey, is_standard_uid
from umed.deid.profile import load_profile
from umed.dicom.objects import Limits
from umed.dicom.read import reader

KEY = DeidKey(bytes(range(32)))
EVERYTHING = "longitudinal+clean_descriptors+safe_private+device_identity+patient_characteristics"
GEOMETRY = """
ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices SliceLocation
GantryDetectorTilt PatientPosition ImagerPixelSpacing RescaleSlope RescaleIntercept RealWorldValueSlope
ContourData ContourGeometricType NumberOfContourPoints ROINumber ReferencedROINumber SegmentNumber
SegmentationType DimensionIndexValues DimensionIndexPointer FunctionalGroupPointer Modality ImageType
ReferencedFrameNumber MaximumFractionalValue EchoTime RepetitionTime KVP DiffusionBValue DoseGridScaling
GridFrameOffsetVector
""".split()
LONG = re.compile(r"'\d{6,}'")  # a code of digits alone in ImageType may be somebody's number, and goes
# Set by the engine; palettes lose their low bits, colour profiles become that of sRGB; explanations are text.
NOT_THESE = {
    0x00280303,
    0x00281055,
    0x00283003,
    0x00280301,
    0x00282000,
    0x00282002,
    *range(0x00281201, 0x00281205),
    *range(0x00281221, 0x00281225),
}


def readable(root: Path, work: Path) -> Iterator[tuple[str, Dataset]]:
    for path, name in reader.find(root, Limits())[0]:
        try:
            yield name, reader.read(path, Limits(), pixels=True)
        except InputError:
            continue


def needed(ds: Dataset, place: str = "") -> dict[str, object]:
    """Values of all attributes that pixels and their places depend on, at every depth, by their path.

    Without group lengths, and without icons: those are copies of the picture, and go (Table E.1-1).
    """
    found: dict[str, object] = {}
    for element in ds:
        where = f"{place}/{element.tag}"
        about_pixels = (
            element.tag.group in (0x0028, 0x7FE0) and element.tag.element and int(element.tag) not in NOT_THESE
        )
        if element.tag.is_private or element.tag.element == 0 or int(element.tag) == 0x00880200:
            continue
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                found |= needed(item, f"{where}[{number}]")
        elif about_pixels or element.keyword in GEOMETRY:
            found[where] = element.value if element.value != "" else None
    return found


def uids(ds: Dataset) -> Iterator[tuple[int, str]]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from uids(item)
        elif element.VR == "UI":
            values = [element.value] if isinstance(element.value, str) else element.value or []
            yield from ((int(element.tag), str(value)) for value in values)


@pytest.fixture
def dicom_series(shared_data: Path) -> Path:
    return shared_data / "dicom_series"


@pytest.mark.parametrize("profile", ["basic", EVERYTHING])
@pytest.mark.parametrize("folder", ["dicom_zoo", "dicom_series"])
def test_real_files(request: pytest.FixtureRequest, tmp_path: Path, folder: str, profile: str) -> None:
    source: Path = request.getfixturevalue(folder)
    deidentify = Deidentifier(KEY, load_profile(profile))
    output = tmp_path / "out"
    output.mkdir()
    done = 0
    for name, ds in readable(source, tmp_path / "work"):
        try:
            with reader.guard(name):
                before, old = needed(ds), {uid for _, uid in uids(ds)}
        except InputError:  # broken values that pydicom stumbles over
            continue
        with reader.guard(name):
            try:
                deidentify(ds, str(ds.get("PatientID", "")))
            except Quarantine:
                continue
            after = needed(ds)
            lost = {key for key, value in before.items() if after.get(key) != value and not LONG.search(str(value))}
            assert lost == set(), name
            new = {KEY.uid(one) for one in old} | {""}
            for tag, uid in uids(ds):
                assert uid in new or tag == 0x0008010C or is_standard_uid(uid), name
            ds.save_as(output / f"{done}.dcm", enforce_file_format=False)
            done += 1
    assert done > 80
    assert check(output, source) == []
    assert check(output) == []
