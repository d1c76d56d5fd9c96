# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import pytest
from pydicom.datadict import keyword_for_tag

from umed.deid.table import MEANINGS, OPTIONS, edition, resolve, rows

ACTIONS = {"X", "Z", "D", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}
BASIC = {"X": 412, "D": 93, "U": 55, "Z": 42, "X/D": 23, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2}
COLUMNS = {  # option: attributes that are kept, attributes that are cleaned
    "retain_uids": (60, 0),
    "retain_device_identity": (48, 11),
    "retain_institution_identity": (10, 0),
    "retain_patient_characteristics": (14, 5),
    "retain_long_full_dates": (169, 0),
    "retain_long_modified_dates": (0, 169),
    "clean_descriptors": (0, 140),
    "clean_structured_content": (0, 4),
    "clean_graphics": (0, 1),
}
NEEDED = """
Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PhotometricInterpretation
PlanarConfiguration NumberOfFrames PixelData RescaleSlope RescaleIntercept RescaleType WindowCenter
WindowWidth PixelSpacing ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices
GantryDetectorTilt PatientPosition PixelPaddingValue SmallestImagePixelValue SharedFunctionalGroupsSequence
PerFrameFunctionalGroupsSequence SegmentSequence ROIContourSequence ContourData ReferencedSeriesSequence
ReferencedFrameOfReferenceSequence SOPClassUID Modality ImageType InstanceNumber SpecificCharacterSet
DimensionIndexSequence
""".split()


def test_the_table_names_its_edition_and_is_complete() -> None:
    assert "PS3.15 Table E.1-1" in edition() and "2026c" in edition() and "columns as of edition 2025b" in edition()
    assert len(rows()) == 652
    assert {row.basic for row in rows().values()} == ACTIONS
    assert set(MEANINGS) == set(OPTIONS)


def test_keywords_belong_to_their_tags() -> None:
    wrong = [row.keyword for tag, row in rows().items() if row.keyword and keyword_for_tag(tag) != row.keyword]
    assert wrong == []


def test_each_column_has_as_many_actions_as_the_standard() -> None:
    # Counted in PS3.15 Table E.1-1; without private attributes, curves and overlays, which are rules of the engine.
    assert Counter(row.basic for row in rows().values()) == BASIC
    found: dict[str, dict[str, int]] = {option: {"K": 0, "C": 0} for option in COLUMNS}
    for row in rows().values():
        for option, letter in row.options.items():
            found[option][letter] += 1
    assert {option: (count["K"], count["C"]) for option, count in found.items()} == COLUMNS


@pytest.mark.parametrize(
    ("tag", "option", "letter"),
    [  # rows that came into the standard, or got an action, after 2024
        (0x00181010, "retain_device_identity", "K"),
        (0x00102162, "retain_patient_characteristics", "K"),
        (0x00100042, "retain_patient_characteristics", "C"),
        (0x0040A034, "retain_long_full_dates", "K"),
        (0x0040B036, "retain_long_modified_dates", "C"),
        (0x00321033, "clean_descriptors", "C"),
        (0x00700006, "clean_descriptors", "C"),
        (0x0040B020, "clean_structured_content", "C"),
    ],
)
def test_newer_rows_have_their_options(tag: int, option: str, letter: str) -> None:
    assert rows()[tag].options[option] == letter


def test_options_have_only_actions_that_loosen() -> None:
    assert {action for row in rows().values() for action in row.options.values()} == {"K", "C"}
    assert all(resolve(row.basic, kind) in "XZDU" for row in rows().values() for kind in ("1", "2", "3", ""))


@pytest.mark.parametrize("keyword", NEEDED)
def test_nothing_that_images_need_is_in_it(keyword: str) -> None:
    assert keyword not in {row.keyword for row in rows().values()}


@pytest.mark.parametrize(
    ("keyword", "action", "dates"),
    [
        ("PatientName", "Z", None),
        ("PatientID", "Z/D", None),
        ("SOPInstanceUID", "U", None),
        ("FrameOfReferenceUID", "U", None),
        ("StudyDate", "Z", "C"),
        ("SeriesDate", "X/D", "C"),
        ("InstitutionAddress", "X", None),
        ("StudyDescription", "X", None),
    ],
)
def test_rows_that_everybody_knows(keyword: str, action: str, dates: str | None) -> None:
    row = next(row for row in rows().values() if row.keyword == keyword)
    assert row.basic == action
    assert row.options.get("retain_long_modified_dates") == dates


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_a_combined_action_never_leaves_a_required_attribute_out(action: str) -> None:
    if "/" in action:
        assert resolve(action, "1") in ("D", "U") or action == "X/Z"
        assert resolve(action, "") == resolve(action, "1")
