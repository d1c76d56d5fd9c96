# SPDX-License-Identifier: Apache-2.0
"""What a header says a file is, and whether and why its values cannot be perturbed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.dicom_files import AXIAL, dataset, enhanced, image, uid
from umed.dicom.read import headers

GREY = np.zeros((4, 6), np.int16)
COLOUR = np.zeros((4, 6, 3), np.uint8)


def describe(ds, name="a/b"):
    return headers.describe(ds, Path("/x"), name)[0]


def test_encoding_of_a_ct():
    ds = image(GREY, bits=12, RescaleSlope="0.5", RescaleIntercept="-1024")
    found = describe(ds)
    assert found.kind == "image" and found.unprotectable == "" and found.shape == (1, 4, 6)
    assert (found.encoding.dtype, found.encoding.slope, found.encoding.inter, found.encoding.bits) == (
        "<i2",
        0.5,
        -1024,
        12,
    )
    assert found.encoding.stored_limits == (-2048, 2047)


def test_encoding_of_functional_groups():
    ds = enhanced(np.zeros((3, 4, 6), np.uint16))
    found = describe(ds)
    assert (found.encoding.slope, found.encoding.inter, found.shape) == (2, -1000, (3, 4, 6))
    other = Dataset()
    other.RescaleSlope, other.RescaleIntercept = 3, 0
    ds.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence = [other]
    assert "different rescale" in describe(ds).unprotectable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "single bits"),
        ({"BitsAllocated": 32, "BitsStored": None}, "floating point"),
        ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, "12 of 12 bits"),
        ({"BitsStored": 12, "HighBit": 15}, "high bit is 15"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"PixelRepresentation": 7}, "pixel representation"),
        ({"RescaleSlope": 0}, "slope is 0"),
        ({"RescaleSlope": [1, 2]}, "slope is nan"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        ({"TotalPixelMatrixRows": 100}, "tiles"),
        ({"DoseGridScaling": 1}, "dose"),
        ({"ModalityLUTSequence": [Dataset()]}, "lookup table"),
    ],
)
def test_what_cannot_be_perturbed_says_why(change, words):
    ds = image(GREY)
    for keyword, value in change.items():
        setattr(ds, keyword, value)
    found = describe(ds)
    assert found.kind == "image" and found.encoding is None and words in found.unprotectable


@pytest.mark.parametrize(
    ("photometric", "syntax", "fine"),
    [
        ("RGB", "1.2.840.10008.1.2.1", True),
        ("YBR_FULL", "1.2.840.10008.1.2.1", False),
        ("YBR_FULL", "1.2.840.10008.1.2.5", False),
        ("YBR_FULL_422", "1.2.840.10008.1.2.4.50", True),
        ("YBR_ICT", "1.2.840.10008.1.2.4.91", True),
        ("YBR_RCT", "1.2.840.10008.1.2.4.90", True),
        ("YBR_FULL", "1.2.840.10008.1.2.4.70", False),
        ("HSV", "1.2.840.10008.1.2.1", False),
    ],
)
def test_colours(photometric, syntax, fine):
    ds = image(COLOUR, "OT", position=None, photometric=photometric)
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    assert (describe(ds).encoding is not None) == fine


@pytest.mark.parametrize(("kind", "words"), [("SR", "structured report"), ("RAW", "raw data")])
def test_kinds_that_cannot_be_cleaned_are_refused(kind, words):
    found = describe(dataset(kind))
    assert found.kind == "refused" and words in found.reason


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("EncapsulatedDocument", b"%PDF", "encapsulated document"),
        ("WaveformSequence", [Dataset()], "waveform"),
        ("ContentSequence", [Dataset()], "structured report"),
        ("DirectoryRecordSequence", [Dataset()], "DICOMDIR"),
        ("SOPInstanceUID", "", "no SOPInstanceUID"),
        ("SOPClassUID", "1.2.3.4", "unknown kind"),
    ],
)
def test_content_that_cannot_be_cleaned_is_refused_whatever_the_class(keyword, value, words):
    ds = dataset("PR")
    setattr(ds, keyword, value)
    found = describe(ds)
    assert found.kind == "refused" and words in found.reason


def test_video_is_refused_and_presentation_states_are_kept():
    ds = image(COLOUR, "OT", position=None)
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")
    assert "video" in describe(ds).reason
    assert describe(dataset("PR")).kind == "other"


def test_references_of_a_structure_set_at_any_depth():
    ds = dataset("PR")
    ds.SOPClassUID = headers.RTSTRUCT
    item, inner = Dataset(), Dataset()
    inner.ReferencedSOPInstanceUID = uid("b")
    item.ReferencedSOPInstanceUID = uid("a")
    item.ReferencedSeriesSequence = [inner, inner]
    ds.ReferencedStudySequence = [item]
    assert describe(ds).references == (uid("b"), uid("a"))


def test_patient_key():
    ds = dataset(IssuerOfPatientID="Clinic")
    assert headers.patient_key(ds) == "id:4711-X|Clinic"
    ds.PatientID = ""
    assert headers.patient_key(ds) == "name:Muster^Erika|19640812"
    ds.PatientName = "^^^^"
    assert headers.patient_key(ds) == "" and describe(ds).patient_key == f"study:{ds.StudyInstanceUID}"


def test_missing_study_and_series_are_the_same_for_a_folder():
    first, second, other = (dataset(StudyInstanceUID="", SeriesInstanceUID="") for _ in range(3))
    a, b, c = describe(first, "x/1"), describe(second, "x/2"), describe(other, "y/1")
    assert a.series_uid == b.series_uid != c.series_uid and a.study_uid == b.study_uid == c.study_uid
    assert a.series_uid.startswith("2.25.") and UID(a.series_uid).is_valid
    headers.fill(first, a)
    assert (first.StudyInstanceUID, first.SeriesInstanceUID) == (a.study_uid, a.series_uid)
    kept = dataset()
    headers.fill(kept, a)
    assert kept.SeriesInstanceUID == dataset().SeriesInstanceUID


def test_planes_come_with_images_only():
    assert headers.describe(image(GREY, orientation=AXIAL), Path("/x"), "n")[1] is not None
    assert headers.describe(image(GREY, position=None), Path("/x"), "n")[1] is None
    assert headers.describe(image(GREY, ImageType=["A", "B", "MOSAIC"]), Path("/x"), "n")[1] is None
