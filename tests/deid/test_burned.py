# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import image
from umed.deid.burned import accepted, blank, check, doubt, faces, outside_regions
from umed.deid.engine import Quarantine
from umed.deid.profile import load_profile

BASIC = load_profile("basic")
PIXELS = np.zeros((6, 8), np.uint8)
DEEP = np.zeros((6, 8), np.uint16)
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
COLOUR = "1.2.840.10008.5.1.4.1.1.4.3"
SAID = {"BurnedInAnnotation": "NO"}


def picture(**attributes: object) -> Dataset:
    """A CT of 16 bits; what describes its pixels can be said wrongly, too."""
    made = image(DEEP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in attributes.items():
            setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
        *(({"BurnedInAnnotation": one}, "neither YES nor NO") for one in ("Y", "TRUE", "1", "UNKNOWN", "no", "N")),
        ({"BurnedInAnnotation": ["NO", "NO"]}, "neither YES nor NO"),
        *(({"Modality": one}, f"modality {one}") for one in ("US", "IVUS", "ES", "XC", "GM", "OP", "SC", "DOC", "ECG")),
        ({"Modality": ["CT", "US"]}, "modality US"),
        ({"Modality": "us"}, "modality US"),
        ({"SOPClassUID": CAPTURE}, "secondary capture"),
        *(({"SOPClassUID": f"{CAPTURE}.{kind}"}, "secondary capture") for kind in (1, 2, 3, 4)),
        ({"SOPClassUID": CAPTURE, "Modality": "SEG"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3"}, "ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}, "photograph"),
        ({"SOPClassUID": "1.2.840.10008.5.1.1.29"}, "film or print"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREENSHOT"]}, "screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "screen_capture"]}, "screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "RESULT SUMMARY"]}, "screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "DOSE_INFO"]}, "screen"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "OTHER", "CT_SOM5 PROT"]}, "screen"),
        *(({"SeriesDescription": one}, "description") for one in ("Dose Report", "screen-save", "Patient Protocol")),
        *(({"SeriesDescription": one}, "description") for one in ("SCREENSHOT 1", "Perfusion summary", "SSAVE")),
        ({"Modality": "SM", "SOPClassUID": SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "LABEL"]}, "label of a slide"),
        ({"Modality": "SM", "SOPClassUID": SLIDE, "SpecimenLabelInImage": "YES"}, "SpecimenLabelInImage"),
        ({"PhotometricInterpretation": "RGB"}, "colour picture of modality CT"),
        ({"Modality": "MR", "PhotometricInterpretation": "PALETTE COLOR"}, "colour picture of modality MR"),
        ({"Modality": "PT", "SamplesPerPixel": 3}, "colour picture of modality PT"),
    ],
)
def test_doubtful_pictures_are_put_aside_unless_accepted(attributes: dict[str, object], reason: str) -> None:
    for said in ({}, {"BurnedInAnnotation": "NO"}):  # a NO is not believed of screens, paper and ultrasound
        ds = picture(**{**said, **attributes})
        with pytest.raises(Quarantine, match=reason) as caught:
            check(ds, BASIC)
        assert "--accept-burned-in" in str(caught.value) and "\n" not in str(caught.value)
        assert check(ds, BASIC, accept=True) == () and reason in accepted(ds, BASIC)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        *(({"ConversionType": one}, "ConversionType") for one in "DV DI DF WSD SD SI DRW SYN OTHER".split()),
        *(({"Modality": one, "ConversionType": "DF"}, "ConversionType") for one in ("MG", "CR", "DX")),
        ({"SecondaryCaptureDeviceID": "grabber"}, "SecondaryCaptureDeviceID"),
        ({"DateOfSecondaryCapture": "20240101"}, "DateOfSecondaryCapture"),
        *(({"Modality": one}, f"modality {one}") for one in ("OT", "PX", "IO", "SM", "OPT", "BMD")),
        ({"Modality": "Erika Muster"}, "does not list"),
        ({"Modality": ""}, "neither Modality nor SOPClassUID"),
        ({"Modality": "NM", "PhotometricInterpretation": "PALETTE COLOR"}, "a colour picture"),
        ({"BitsStored": 8}, "8 bits"),
    ],
)
def test_a_plain_no_is_enough_where_text_is_only_likely(attributes: dict[str, object], reason: str) -> None:
    unknown = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"} if attributes == {"Modality": ""} else {}
    with pytest.raises(Quarantine, match=reason) as caught:
        check(picture(**attributes, **unknown), BASIC)
    assert "Erika" not in str(caught.value)
    for said in ("", "no", "UNKNOWN"):
        with pytest.raises(Quarantine):
            check(picture(BurnedInAnnotation=said, **attributes, **unknown), BASIC)
    assert check(picture(BurnedInAnnotation="NO", **attributes, **unknown), BASIC) == ()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MIP", "LOW DOSE"]},
        {"Modality": "MR", "SeriesDescription": "t1"},
        *({"SeriesDescription": one} for one in ("CT LUNG SCREEN LOW DOSE", "Mammo screening", "contrast transform")),
        *({"Modality": one} for one in ("PT", "NM", "CR", "DX", "MG", "XA", "RF", "RTIMAGE")),
        *({"BurnedInAnnotation": one} for one in ("NO", " NO ", "", None)),
        {"ConversionType": ""},
        {"Modality": ""},
        {"Modality": "SEG", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
        {"Modality": "SM", "SOPClassUID": SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME"], **SAID},
        {"Modality": "OPT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.5.4", **SAID},
        {"Modality": "MR", "SOPClassUID": COLOUR, "PhotometricInterpretation": "RGB", **SAID},
        {"RecognizableVisualFeatures": "NO"},
    ],
)
def test_tomography_raises_no_doubt(attributes: dict[str, object]) -> None:
    ds = picture(**attributes)
    assert doubt(ds) == faces(ds) == accepted(ds, BASIC) == ""
    assert check(ds, BASIC) == ()


@pytest.mark.parametrize("value", ["YES", "Y", "yes", "no", "UNKNOWN", ["NO", "NO"]])
def test_faces_are_put_aside_and_no_rule_covers_them(value: object, tmp_path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("burned_in: [{modality: CT, rows: 6, columns: 8, rectangles: [[0, 0, 2, 8]]}]\n")
    for profile in (BASIC, load_profile(path)):
        ds = picture(RecognizableVisualFeatures=value)
        with pytest.raises(Quarantine, match="RecognizableVisualFeatures.*Remove the face, or pass --accept-burned-in"):
            check(ds, profile)
        assert check(ds, profile, accept=True) == (() if profile is BASIC else ((0, 0, 2, 8),))
        assert "RecognizableVisualFeatures" in accepted(ds, profile)


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
