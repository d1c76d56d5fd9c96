# SPDX-License-Identifier: Apache-2.0
"""Text burned into pixels: which pictures may have some, and what is blanked. Fails closed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from umed.deid.engine import Quarantine
from umed.deid.profile import BurnedRule, Profile, Rectangle

# Modalities whose pictures are seldom without text or a face: ultrasound, endoscopes, photographs, paper, screens.
RISKY_MODALITIES = frozenset("US IVUS BDUS ES XC GM OP OPM DMS OT SC DOC AU HC ECG EPS HD CP CD DD FA CS VF".split())
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kinds .7.1 to .7.4
VISIBLE_LIGHT = "1.2.840.10008.5.1.4.1.1.77.1."  # endoscopes, microscopes, photographs
ULTRASOUND = ("1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.6.2")
SLIDES = ("1.2.840.10008.5.1.4.1.1.77.1.6",)
# Values of ImageType that mean a screen or a page rather than a picture of the patient.
SCREENS = ("SCREEN", "DOSE", "REPORT", "CAPTURE", "FORM", "PATIENT_PROTOCOL", "PATIENT PROTOCOL", "EVENT", "SUMMARY")
SCREEN_WORDS = ("SCREEN SAVE", "DOSE REPORT", "DOSE INFO", "DOSE SUMMARY", "PATIENT PROTOCOL", "EXAM PROTOCOL")


def doubt(picture: Dataset) -> str:
    """Why a picture may have text burned in, or an empty string."""
    burned, modality, sop_class, image_type, description = (
        _text(picture, keyword).upper()
        for keyword in ("BurnedInAnnotation", "Modality", "SOPClassUID", "ImageType", "SeriesDescription")
    )
    kinds = [kind.strip() for kind in image_type.split("\\")]
    if burned == "YES":
        return "BurnedInAnnotation is YES"
    if sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        return "a secondary capture"
    if sop_class.startswith(VISIBLE_LIGHT) and sop_class not in SLIDES:
        return "a photograph or a view through an endoscope"
    if sop_class in ULTRASOUND:
        return "an ultrasound picture"
    if modality in RISKY_MODALITIES:
        return f"modality {modality}"
    if any(screen in kind for kind in kinds[2:] for screen in SCREENS):
        return "a screen or dose report by its ImageType"
    if any(word in description for word in SCREEN_WORDS):
        return "a screen or dose report by its description"
    return ""


def check(picture: Dataset, profile: Profile, accept: bool = False) -> tuple[Rectangle, ...]:
    """Rectangles that have to be blanked before a picture may go out.

    A rule of the profile that fits always counts, also for a picture that raises no doubt.

    Args:
        picture: a data set as it was read.
        profile: its ``burned_in`` rules.
        accept: the user vouches for the pictures (``--accept-burned-in``).

    Raises:
        Quarantine: when there is doubt, no rule covers the picture, and ``accept`` is off.
    """
    # Segmentations are drawn by programs and people, voxel by voxel; nobody burns text into them.
    if "Rows" not in picture or str(picture.get("Modality", "")) == "SEG":
        return ()
    found: list[Rectangle] = []
    covered = False
    for rule in profile.burned_in:
        if _fits(rule, picture):
            boxes = list(rule.rectangles)
            if rule.outside_ultrasound_regions:
                outside = outside_regions(picture)
                if not outside:
                    continue
                boxes += [box for box in outside if box[2] and box[3]]
            covered = True
            found += boxes
    reason = doubt(picture)
    if reason and not covered and not accept:
        raise Quarantine(
            f"{reason}: text may be burned into the picture, and no rule of profile {profile.name} says where."
            " Add a burned_in rule, or pass --accept-burned-in when you looked at it."
        )
    return tuple(found)


def blank(values: NDArray[Any], rectangles: tuple[Rectangle, ...], fill: int = 0) -> NDArray[Any]:
    """Copy of stored values ``(frames, rows, columns[, samples])`` with rectangles set to ``fill``, shown dark.

    Parts of a rectangle outside the picture do not count.
    """
    done = np.array(values)
    for top, left, height, width in rectangles:
        done[:, top : top + height, left : left + width] = fill
    return done


def outside_regions(dataset: Dataset) -> tuple[Rectangle, ...]:
    """Everything but the ultrasound regions that a file declares (PS3.3 C.8.5.5), cut into rectangles.

    One of no size when the regions fill the picture; none at all when the file declares no usable ones.
    """
    rows, columns = _size(dataset)
    regions = []
    for item in dataset.get("SequenceOfUltrasoundRegions", None) or ():
        try:
            left, top = int(item.RegionLocationMinX0), int(item.RegionLocationMinY0)
            right, bottom = int(item.RegionLocationMaxX1) + 1, int(item.RegionLocationMaxY1) + 1
        except (AttributeError, TypeError, ValueError):
            return ()
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, columns), min(bottom, rows)
        if left < right and top < bottom:
            regions.append((top, left, bottom, right))
    if not regions:
        return ()
    edges = sorted({0, rows, *(edge for top, _, bottom, _ in regions for edge in (top, bottom))})
    found: list[Rectangle] = []
    for top, bottom in zip(edges, edges[1:], strict=False):
        at = 0
        for start, stop in sorted((left, right) for t, left, b, right in regions if t <= top and bottom <= b):
            if start > at:
                found.append((top, at, bottom - top, start - at))
            at = max(at, stop)
        if at < columns:
            found.append((top, at, bottom - top, columns - at))
    return tuple(found) or ((0, 0, 0, 0),)


def _fits(rule: BurnedRule, picture: Dataset) -> bool:
    rows, columns = _size(picture)
    texts = (
        (rule.modality, _text(picture, "Modality")),
        (rule.manufacturer, _text(picture, "Manufacturer")),
        (rule.model, _text(picture, "ManufacturerModelName")),
    )
    if any(pattern and not fnmatchcase(value.lower(), pattern.lower()) for pattern, value in texts):
        return False
    return rule.rows in (0, rows) and rule.columns in (0, columns)


def _size(picture: Dataset) -> tuple[int, int]:
    return int(picture.get("Rows", 0) or 0), int(picture.get("Columns", 0) or 0)


def _text(picture: Dataset, keyword: str) -> str:
    """One value or several; pydicom converts them, and what it has converted is written without superfluous blanks."""
    value = picture.get(keyword)
    if value is None or isinstance(value, str):
        return (value or "").strip()
    return "\\".join(str(one) for one in value)
