# SPDX-License-Identifier: Apache-2.0
"""Text burned into pixels: which pictures may have some, and what is blanked. Fails closed."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from umed.deid.engine import Quarantine
from umed.deid.picture_flags import BURNED, FACES, flag, values_of
from umed.deid.profile import BurnedRule, Profile, Rectangle
from umed.dicom.held import has, tag_of, value_at_rest, value_of
from umed.dicom.read.headers import SEG

# Modalities whose pictures are seldom without text or a face, whatever the file says: ultrasound, endoscopes,
# photographs, paper, screens.
RISKY_MODALITIES = frozenset("US IVUS BDUS ES XC GM OP OPM DMS SC DOC AU HC ECG EPS HD CP CD DD FA CS VF".split())
# Modalities that write no text into the picture. All others (OT, PX, IO, SM, OPT, BMD, unknown ones) need a plain NO.
PLAIN_MODALITIES = frozenset("CT MR PT NM CR DX MG XA RF RTIMAGE RTDOSE SEG".split())
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# The same by SOP class, for files without a modality: CR, DX, mammography, CT, MR, XA, RF, 3-D X-ray, NM, PET, RT.
_PLAIN = "1 1.1 1.1.1 1.2 1.2.1 2 2.1 2.2 4 4.1 4.4 12.1 12.1.1 12.2 12.2.1 13.1.1 13.1.2 13.1.3 20 128 130 481.1 481.2"
PLAIN_CLASSES = frozenset(_STORAGE + end for end in _PLAIN.split())
SECONDARY_CAPTURE = _STORAGE + "7"  # and its multi-frame kinds .7.1 to .7.4
HARDCOPY = ("1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30")  # films and colour prints as pictures, retired
VISIBLE_LIGHT = _STORAGE + "77.1."  # endoscopes, microscopes, photographs
ULTRASOUND = tuple(_STORAGE + end for end in ("3", "3.1", "6", "6.1", "6.2", "6.3"))
SLIDES = (_STORAGE + "77.1.6",)
TOMOGRAPHY_OF_THE_EYE = tuple(_STORAGE + f"77.1.5.{end}" for end in (4, 7, 8))
COLOUR_MR = _STORAGE + "4.3"
# Words of ImageType or SeriesDescription that mean a screen or a page rather than a picture of the patient.
SCREENS = frozenset(
    "SCREENSAVE SCREENSAVES SCREENSHOT SCREENSHOTS SCREENCAPTURE SCREENDUMP SCREENGRAB SAVE SSAVE CAPTURE CAPTURES "
    "CAPTURED REPORT REPORTS DOSEREPORT DOSEINFO DOSESUMMARY DOSERECORD SUMMARY DOSISBERICHT DOSISPROTOKOLL "
    "PATIENTENPROTOKOLL BILDSCHIRM BILDSCHIRMFOTO".split()
)
SCREEN_TYPES = SCREENS | frozenset("SCREEN DOSE FORM EVENT PROTOCOL PROT".split())  # a "lung screen" is no screen
SCREEN_PHRASES = ("SCREEN SHOT", "SCREEN SHOTS", "DOSE INFO", "DOSE RECORD", "PATIENT PROTOCOL", "EXAM PROTOCOL")
SLIDE_LABELS = frozenset(("LABEL", "OVERVIEW", "MACRO"))  # ImageType of a slide's paper label, or a view that has it
# Only pictures that were taken from a screen, a film or paper have these (PS3.3 C.8.6.1).
CAPTURE_KEYWORDS = (
    "ConversionType SecondaryCaptureDeviceID SecondaryCaptureDeviceManufacturer DateOfSecondaryCapture "
    "SecondaryCaptureDeviceManufacturerModelName SecondaryCaptureDeviceSoftwareVersions TimeOfSecondaryCapture "
    "VideoImageFormatAcquired DigitalImageFormatAcquired HardcopyCreationDeviceID HardcopyDeviceManufacturer"
).split()


def doubt(picture: Dataset) -> str:
    """Why a picture may have text burned in, or an empty string.

    A plain NO in BurnedInAnnotation is believed where a modality only sometimes writes text, and not of screens, paper,
    photographs and ultrasound.
    """
    said = flag(picture, BURNED)
    if said == "YES":
        return "BurnedInAnnotation is YES"
    if said == "odd":
        return "BurnedInAnnotation (0028,0301) is neither YES nor NO"
    sop_class = _text(picture, "SOPClassUID")
    # Segmentations are drawn by programs and people, voxel by voxel; nobody burns text into them.
    if sop_class in SEG:
        return ""
    return _screen(picture, sop_class) or ("" if said == "NO" else _unsure(picture, sop_class))


def faces(picture: Dataset) -> str:
    """Why a picture may show a face that somebody knows, by its own words, or an empty string."""
    said = flag(picture, FACES)
    if said == "odd":
        return "RecognizableVisualFeatures (0028,0302) is neither YES nor NO"
    return "RecognizableVisualFeatures is YES" if said == "YES" else ""


def _screen(picture: Dataset, sop_class: str) -> str:
    """Why a picture shows text by what it is, whatever its file says."""
    modality = next((one for one in _modalities(picture) if one in RISKY_MODALITIES), "")
    types = [_words(kind) for kind in values_of(picture, "ImageType")]
    description = _words(_text(picture, "SeriesDescription"))
    if sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        return "a secondary capture"
    if sop_class in HARDCOPY:
        return "a film or print"
    if sop_class.startswith(VISIBLE_LIGHT) and sop_class not in SLIDES + TOMOGRAPHY_OF_THE_EYE:
        return "a photograph or a view through an endoscope"
    if sop_class in ULTRASOUND:
        return "an ultrasound picture"
    if modality:
        return f"modality {modality}"
    if any(SCREEN_TYPES & set(kind.replace("LOW DOSE", "").split()) for kind in types):
        return "a screen or dose report by its ImageType"
    if SCREENS & set(description.split()) or any(f" {phrase} " in f" {description} " for phrase in SCREEN_PHRASES):
        return "a screen or dose report by its description"
    if sop_class in SLIDES and any(SLIDE_LABELS & set(kind.split()) for kind in types):
        return "the label of a slide by its ImageType"
    if flag(picture, "SpecimenLabelInImage") in ("YES", "odd"):
        return "SpecimenLabelInImage (0048,0010) is not NO"
    if _coloured(picture) and sop_class != COLOUR_MR and PLAIN_MODALITIES & set(_modalities(picture)) - {"NM", "SEG"}:
        return f"a colour picture of modality {_modalities(picture)[0]}, as screens are saved"
    return ""


def _unsure(picture: Dataset, sop_class: str) -> str:
    """Why only a plain NO would be enough."""
    modalities = _modalities(picture)
    if not modalities and sop_class not in PLAIN_CLASSES:
        return "neither Modality nor SOPClassUID says what it is"
    for modality in modalities:
        if modality not in PLAIN_MODALITIES:
            known = modality if re.fullmatch("[A-Z]{2,8}", modality) else "(0008,0060) that the standard does not list"
            return f"modality {known}"
    for keyword in CAPTURE_KEYWORDS:
        if any(values_of(picture, keyword)):
            return f"it was taken from a screen, film or paper by its {keyword}"
    if _coloured(picture):
        return "a colour picture"
    if {"CT", "PT"} & set(modalities) and not 8 < _number(picture, "BitsStored", 16):
        return "a picture of 8 bits of a modality that stores more"
    return ""


def accepted(picture: Dataset, profile: Profile) -> str:
    """Why a picture would be put aside, if ``--accept-burned-in`` did not let it through; else an empty string.

    Args:
        picture: a data set as it was read.
        profile: its ``burned_in`` rules.
    """
    if not has(picture, tag_of("Rows")):
        return ""
    return ("" if _cover(picture, profile)[0] else doubt(picture)) or faces(picture)


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
    if not has(picture, tag_of("Rows")):
        return ()
    covered, found = _cover(picture, profile)
    reason = doubt(picture)
    if reason and not covered and not accept:
        raise Quarantine(
            f"{reason}: text may be burned into the picture, and no rule of profile {profile.name} says where."
            " Add a burned_in rule, or pass --accept-burned-in when you looked at it."
        )
    shown = faces(picture)
    if shown and not accept:
        raise Quarantine(
            f"{shown}: it may show a face. Remove the face, or pass --accept-burned-in when you looked at it."
        )
    return found


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


def _cover(picture: Dataset, profile: Profile) -> tuple[bool, tuple[Rectangle, ...]]:
    """Whether a rule of the profile says where the text is, and the rectangles of all that do."""
    found: list[Rectangle] = []
    covered = False
    if _text(picture, "SOPClassUID") in SEG:
        return False, ()
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
    return covered, tuple(found)


def _modalities(picture: Dataset) -> tuple[str, ...]:
    return tuple(one.upper() for one in values_of(picture, "Modality") if one)


def _coloured(picture: Dataset) -> bool:
    photometric = _text(picture, "PhotometricInterpretation").upper()
    return bool(photometric and not photometric.startswith("MONOCHROME")) or _number(picture, "SamplesPerPixel", 1) > 1


def _words(text: str) -> str:
    """Words in capitals with one blank between them."""
    return " ".join(re.findall("[A-Z0-9]+", text.upper()))


def _number(picture: Dataset, keyword: str, missing: int) -> int:
    value = value_at_rest(picture, keyword)
    return value if isinstance(value, int) else missing


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
    return int(value_of(picture, "Rows") or 0), int(value_of(picture, "Columns") or 0)


def _text(picture: Dataset, keyword: str) -> str:
    """One value or several, as they are written."""
    return "\\".join(values_of(picture, keyword))
