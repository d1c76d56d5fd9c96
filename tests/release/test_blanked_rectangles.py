# SPDX-License-Identifier: Apache-2.0
"""Rectangles of a site: blanked in every frame and packing, and only where the rule of the device fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.release.anonymize import anonymize

SIZE = (40, 48)
RULE = (
    "{modality: US, manufacturer: 'ACME*', model: 'Echo 5', rows: 40, columns: 48,"
    " rectangles: [[0, 2, 5, 9], [39, 0, 1, 48]]}"
)
DEVICE = {"Manufacturer": "Acme Ltd", "ManufacturerModelName": "Echo 5"}


def release(tmp_path: Path, *pictures: pydicom.Dataset, rule: str = RULE) -> tuple[list[pydicom.Dataset], list[str]]:
    """Released pictures in their order, and names of what was put aside."""
    for number, ds in enumerate(pictures):
        save(ds, tmp_path / "in" / f"{number}.dcm")
    (tmp_path / "site.yaml").write_text(f"profile: basic\nburned_in: [{rule}]\n")
    anonymize(tmp_path / "in", tmp_path / "out", key_file=make_key(tmp_path), profile=tmp_path / "site.yaml",
              report=False, check=False)  # fmt: skip
    aside = json.loads((tmp_path / "out-private" / "quarantine.json").read_text())["files"]
    found = sorted(map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm")), key=lambda ds: int(ds.InstanceNumber))
    return found, [one["name"] for one in aside]


def covered(pixels: np.ndarray, fill: int) -> np.ndarray:
    """What must come out of ``(..., 40, 48)``."""
    want = pixels.copy()
    want[..., 0:5, 2:11] = want[..., 39:, :] = fill
    return want


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("frames", [1, 3])
def test_every_frame_of_every_packing_is_blanked(tmp_path: Path, syntax: str, frames: int) -> None:
    pixels = np.random.default_rng(0).integers(30, 255, (frames, *SIZE)[int(frames == 1) :], np.uint8)
    ds = image(pixels, "US", position=None, instance=1, **DEVICE)
    if syntax != ExplicitVRLittleEndian:
        ds.compress(UID(syntax), generate_instance_uid=False)
    [found], aside = release(tmp_path, ds)
    np.testing.assert_array_equal(found.pixel_array, covered(pixels, int(pixels.min())))
    assert not aside and found.BurnedInAnnotation == "NO"
    assert "113101" in {code.CodeValue for code in found.DeidentificationMethodCodeSequence}


def test_palettes_are_blanked_in_one_colour(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, SIZE, np.uint8)
    ds = image(pixels, "US", position=None, photometric="PALETTE COLOR", instance=1, **DEVICE)
    ramp = np.arange(255, -1, -1, dtype=np.uint16) * 257
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", ramp.tobytes())
    [found], aside = release(tmp_path, ds)
    np.testing.assert_array_equal(found.pixel_array, covered(pixels, int(pixels.min())))
    assert not aside


def test_no_other_device_size_or_modality_is_blanked_or_let_through(tmp_path: Path) -> None:
    pixels = np.full(SIZE, 99, np.uint8)
    others = [
        image(pixels, "US", position=None, instance=1, series=1, Manufacturer="Other", ManufacturerModelName="Echo 5"),
        image(pixels, "US", position=None, instance=2, series=2, Manufacturer="Acme", ManufacturerModelName="Echo 50"),
        image(np.full((41, 48), 99, np.uint8), "US", position=None, instance=3, series=3, **DEVICE),
        image(pixels, "OT", position=None, instance=4, series=4, **DEVICE),
        image(pixels, "US", position=None, instance=5, series=5),
    ]
    right = image(pixels, "US", position=None, instance=6, series=6, **DEVICE)
    found, aside = release(tmp_path, *others, right)
    assert [int(ds.InstanceNumber) for ds in found] == [6] and aside == [f"{number}.dcm" for number in range(5)]


def test_rows_that_lie_do_not_release_a_picture_that_was_not_covered(tmp_path: Path) -> None:
    ds = image(np.full((80, 48), 99, np.uint8), "US", position=None, instance=1, **DEVICE)
    ds.Rows = 40  # the rest of the pixels would stay behind the picture
    found, aside = release(
        tmp_path, ds, image(np.full(SIZE, 99, np.uint8), "US", position=None, series=2, instance=2, **DEVICE)
    )
    assert aside == ["0.dcm"] or len(found[0].PixelData) == 40 * 48


def test_without_a_rule_nothing_is_blanked_and_the_picture_is_put_aside(tmp_path: Path) -> None:
    ds = image(np.full(SIZE, 99, np.uint8), "US", position=None, instance=1, **DEVICE)
    ct = image(np.full(SIZE, 99, np.uint16), "CT", series=2, instance=2, **DEVICE)
    found, aside = release(tmp_path, ds, ct, rule="")
    assert [str(one.Modality) for one in found] == ["CT"] and aside == ["0.dcm"]
    assert (found[0].pixel_array == 99).all()
