# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from pydicom.datadict import keyword_for_tag

from umed.deid.table import MEANINGS, OPTIONS, edition, resolve, rows

ACTIONS = {"X", "Z", "D", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}
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
    assert "PS3.15 Table E.1-1" in edition() and "2026c" in edition()
    assert len(rows()) > 640
    assert {row.basic for row in rows().values()} == ACTIONS
    assert set(MEANINGS) == set(OPTIONS)


def test_keywords_belong_to_their_tags() -> None:
    wrong = [row.keyword for tag, row in rows().items() if row.keyword and keyword_for_tag(tag) != row.keyword]
    assert wrong == []


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
