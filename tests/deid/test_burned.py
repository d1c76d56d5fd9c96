# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import image
from umed.deid.burned import blank, check, doubt, outside_regions
from umed.deid.engine import Quarantine
from umed.deid.profile import load_profile

BASIC = load_profile("basic")
PIXELS = np.zeros((6, 8), np.uint8)
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
        ({"Modality": "US"}, "modality US"),
        ({"Modality": "ES"}, "modality ES"),
        ({"Modality": "OT"}, "modality OT"),
        ({"SOPClassUID": CAPTURE}, "secondary capture"),
        ({"SOPClassUID": CAPTURE + ".4"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}, "photograph"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "DOSE_INFO"]}, "screen"),
        ({"SeriesDescription": "Dose Report"}, "description"),
    ],
)
def test_doubtful_pictures_are_put_aside_unless_accepted(attributes: dict[str, object], reason: str) -> None:
    ds = image(PIXELS, **attributes)
    with pytest.raises(Quarantine, match=reason) as caught:
        check(ds, BASIC)
    assert "--accept-burned-in" in str(caught.value) and "\n" not in str(caught.value)
    assert check(ds, BASIC, accept=True) == ()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]},
        {"Modality": "MR", "SeriesDescription": "t1"},
        {"BurnedInAnnotation": "NO"},
        {"Modality": "SEG", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
    ],
)
def test_tomography_raises_no_doubt(attributes: dict[str, object]) -> None:
    assert doubt(image(PIXELS, **attributes)) == ""
    assert check(image(PIXELS, **attributes), BASIC) == ()


def test_a_rule_of_the_device_covers_pictures_of_that_size_only(tmp_path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "burned_in: [{modality: US, manufacturer: 'acme*', rows: 6, columns: 8, "
        "rectangles: [[0, 0, 2, 8], [5, 6, 1, 2]]}]\n"
    )
    profile = load_profile(path)
    ds = image(PIXELS, Modality="US", Manufacturer="ACME Medical")
    rectangles = check(ds, profile)
    assert rectangles == ((0, 0, 2, 8), (5, 6, 1, 2))
    values = np.full((2, 6, 8), 9, np.uint8)
    done = blank(values, rectangles)
    assert done[:, :2].max() == 0 and done[:, 5, 6:].max() == 0 and (done == 0).sum() == 2 * (16 + 2)
    assert values.min() == 9
    for other in ({"Manufacturer": "Other"}, {"Modality": "OT"}):
        with pytest.raises(Quarantine):
            check(image(PIXELS, **{"Modality": "US", "Manufacturer": "ACME", **other}), profile)
    with pytest.raises(Quarantine):
        check(image(np.zeros((7, 8), np.uint8), Modality="US", Manufacturer="ACME"), profile)


def region(left: int, top: int, right: int, bottom: int) -> Dataset:
    made = Dataset()
    made.RegionLocationMinX0, made.RegionLocationMinY0 = left, top
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = right, bottom
    return made


@pytest.mark.parametrize("boxes", [[(1, 1, 3, 3)], [(0, 0, 7, 5)], [(1, 1, 3, 3), (2, 2, 6, 4)], [(0, 2, 99, 99)]])
def test_all_but_the_declared_ultrasound_regions_is_blanked(boxes: list[tuple[int, int, int, int]]) -> None:
    ds = image(PIXELS, Modality="US", SequenceOfUltrasoundRegions=[region(*box) for box in boxes])
    inside = np.zeros((6, 8), bool)
    for left, top, right, bottom in boxes:
        inside[top : bottom + 1, left : right + 1] = True
    done = blank(np.ones((1, 6, 8), np.uint8), check(ds, load_profile("clean_pixel_data")))
    np.testing.assert_array_equal(done[0] == 1, inside)


def test_pictures_without_usable_regions_stay_put_aside() -> None:
    for regions in ([], [Dataset()], [region(5, 5, 2, 2)]):
        ds = image(PIXELS, Modality="US", SequenceOfUltrasoundRegions=regions)
        assert outside_regions(ds) == ()
        with pytest.raises(Quarantine):
            check(ds, load_profile("clean_pixel_data"))
