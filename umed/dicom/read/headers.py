# SPDX-License-Identifier: Apache-2.0
"""What the header of one file says: its kind, what its stored values mean, and whether they can be perturbed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from umed.core.types import Encoding
from umed.dicom.held import has, held, tag_of, value_of
from umed.dicom.members import FileRef
from umed.dicom.objects import Instance, Kind
from umed.dicom.one_patient import Person
from umed.dicom.read import geometry
from umed.dicom.read.archives import printable

SEG = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation and Label Map Segmentation Storage."""
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_REFUSED = (
    ("1.2.840.10008.1.3.10", "is a DICOMDIR, whose records name patients and files; the output needs a new one"),
    ("1.2.840.10008.5.1.4.1.1.88.", "is a structured report, whose free text cannot be cleaned"),
    ("1.2.840.10008.5.1.4.1.1.104.", "is an encapsulated document, which cannot be cleaned"),
    ("1.2.840.10008.5.1.4.1.1.9.", "is a waveform, which is not supported"),
    ("1.2.840.10008.5.1.4.1.1.66", "is raw data, which cannot be cleaned"),
)
_CONTENT = (
    ("DirectoryRecordSequence", _REFUSED[0][1]),
    ("ContentSequence", _REFUSED[1][1]),
    ("EncapsulatedDocument", _REFUSED[2][1]),
    ("WaveformSequence", _REFUSED[3][1]),
)
PERSON = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
LOSSY = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(50|51|81|91|203)$")
"""JPEG baseline and extended, JPEG-LS near-lossless, JPEG 2000 and HTJ2K without the word lossless."""
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(10[0-8])(\.1)?$")
_PLAIN = frozenset(("UI", "CS", "LO", "SH", "DA", "AE"))
_RGB_FROM_YBR = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def describe(dataset: FileDataset, path: FileRef, name: str) -> tuple[Instance, tuple[geometry.SlicePlane, ...] | None]:
    """Describe a file, read without pixel data, by its header; ``name`` is for people.

    Gives the instance, and the planes of its frames if it is an image whose header places them. Whatever pydicom raises
    on a broken value comes out; call it inside :func:`umed.dicom.read.reader.guard`.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    sop_class = text(dataset, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    frames = max(integer(dataset, "NumberOfFrames", 1), 1)
    shape = (frames, integer(dataset, "Rows"), integer(dataset, "Columns"))
    pictured = shape[1] > 0 and shape[2] > 0
    kind, reason = _kind(dataset, sop_class, pictured, syntax)
    study_uid, series_uid = _missing_uids(dataset, name)
    encoding, unprotectable = encoding_of(dataset) if kind == "image" else (None, "")
    placed = kind == "image" and not _mosaic(dataset)
    instance = Instance(
        path=path,
        name=name,
        kind=kind,
        reason=reason,
        modality=text(dataset, "Modality"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        series_uid=series_uid,
        study_uid=study_uid,
        patient_key=patient_key(dataset) or f"study:{study_uid}",
        person=Person(*(text(dataset, keyword) for keyword in PERSON)),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        syntax=syntax,
        shape=shape if pictured else (0, 0, 0),
        samples=integer(dataset, "SamplesPerPixel", 1),
        photometric=text(dataset, "PhotometricInterpretation"),
        encoding=encoding,
        unprotectable=unprotectable,
        references=tuple(dict.fromkeys(_references(dataset))) if kind in ("seg", "rtstruct") else (),
        number=integer(dataset, "InstanceNumber"),
    )
    return instance, geometry.planes(dataset, frames) if placed else None


def text(dataset: Dataset, keyword: str) -> str:
    """One value as text, ``""`` where there is none; several values are joined as they are written in DICOM."""
    return "\\".join(texts(dataset, keyword))


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """All values of an attribute as text."""
    plain = geometry.unread(dataset, keyword, _PLAIN)
    if plain is not None:
        return tuple(plain)
    value = value_of(dataset, keyword)
    if value is None or value == "":
        return ()
    several = not isinstance(value, (str, bytes)) and hasattr(value, "__iter__") and not hasattr(value, "components")
    return tuple(str(item).strip("\0 ") for item in (value if several else (value,)))


def integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """One whole number, ``default`` where it is absent or no number."""
    value = geometry.numbers(dataset, keyword, 1)
    return int(value[0]) if value is not None and value[0] == int(value[0]) else default


def patient_key(dataset: Dataset) -> str:
    """What all files of one patient share: PatientID with its issuer, else name and birth date, else nothing."""
    identity = text(dataset, "PatientID")
    if identity:
        issuer = text(dataset, "IssuerOfPatientID")
        return f"id:{identity}|{issuer}"
    name, birth = text(dataset, "PatientName").strip("^ "), text(dataset, "PatientBirthDate")
    return f"name:{name}|{birth}" if name else ""


def fill(dataset: Dataset, instance: Instance) -> None:
    """Put into a data set the UIDs of study and series that it lacks, as they were derived for its instance."""
    for keyword, value in (("StudyInstanceUID", instance.study_uid), ("SeriesInstanceUID", instance.series_uid)):
        if not text(dataset, keyword):
            setattr(dataset, keyword, value)


def _missing_uids(dataset: Dataset, name: str) -> tuple[str, str]:
    """Study and series UID; where an anonymizer has blanked them, the same ones for all files of a folder."""
    folder = name.rpartition("/")[0] if "/" in name else name.rpartition("!")[0]
    study, series = text(dataset, "StudyInstanceUID"), text(dataset, "SeriesInstanceUID")
    if not study:
        parts = [text(dataset, keyword) for keyword in ("StudyID", "StudyDate", "AccessionNumber")]
        study = _derived("study", patient_key(dataset) or folder, *parts)
    return study, series or _derived("series", study, folder, text(dataset, "Modality"))


def _derived(*parts: str) -> str:
    """UID from words (PS3.5 B.2): the same for the same words."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _kind(dataset: Dataset, sop_class: str, pictured: bool, syntax: str) -> tuple[Kind, str]:
    for start, reason in _REFUSED:
        if sop_class == start or (start.endswith(".") and sop_class.startswith(start)):
            return "refused", reason
    for keyword, reason in _CONTENT:
        if has(dataset, tag_of(keyword)):
            return "refused", reason
    if not text(dataset, "SOPInstanceUID"):
        return "refused", "has no SOPInstanceUID, so that nothing can refer to it"
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if len(texts(dataset, keyword)) > 1:
            return "refused", f"has several values of {keyword}"
    if _VIDEO.match(syntax):
        return "refused", f"is a video ({UID(syntax).name}), which is not supported"
    if sop_class in SEG:
        return "seg", ""
    if sop_class == RTSTRUCT:
        return "rtstruct", ""
    if pictured:
        return "image", ""
    if UID(sop_class).is_private or not sop_class:
        return "refused", f"is of an unknown kind (SOP class {printable(sop_class) or 'missing'}) without a picture"
    return "other", ""


def _mosaic(dataset: Dataset) -> bool:
    """Whether the picture is a mosaic of slices (Siemens), whose position is not that of any slice."""
    return any(word.upper() == "MOSAIC" for word in texts(dataset, "ImageType"))


def encoding_of(dataset: Dataset) -> tuple[Encoding | None, str]:
    """What the stored values of an image mean, or why they cannot be perturbed; pixel data are not looked at."""
    why = _unprotectable(dataset)
    if why:
        return None, why
    bits, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    sign = "i" if integer(dataset, "PixelRepresentation") else "u"
    scales = {_scale(dataset)} if _scale(dataset) is not None else set(_frame_scales(dataset))
    if len(scales) > 1:
        return None, "its frames have different rescale slopes"
    slope, inter = (scales.pop() if scales else None) or (1.0, 0.0)
    if not np.isfinite((slope, inter)).all() or slope == 0:
        return None, f"its rescale slope is {slope:g}"
    dtype = np.dtype(f"{sign}{bits // 8}").newbyteorder("<").str
    return Encoding(dtype, slope, inter, stored if stored < bits else None), ""


def _unprotectable(dataset: Dataset) -> str:
    bits, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    photometric, samples = text(dataset, "PhotometricInterpretation"), integer(dataset, "SamplesPerPixel", 1)
    syntax = str(dataset.file_meta.TransferSyntaxUID) if hasattr(dataset, "file_meta") else ""
    if bits in (32, 64) and not stored:
        return "its pixels are floating point numbers (parametric map), which have no stored steps"
    if bits == 1:
        return "its pixels are single bits"
    if bits not in (8, 16, 32) or not 1 <= stored <= bits:
        return f"it stores {stored} of {bits} bits, which is not supported"
    if integer(dataset, "HighBit", stored - 1) != stored - 1:
        return f"its high bit is {integer(dataset, 'HighBit')} and not {stored - 1}"
    if integer(dataset, "PixelRepresentation") not in (0, 1):
        return "its pixel representation is unknown"
    if (samples, photometric) not in {(1, "MONOCHROME1"), (1, "MONOCHROME2"), (3, "RGB")}:
        if samples != 3 or photometric not in _RGB_FROM_YBR:
            return f"its colours are {photometric or 'unknown'} with {samples} samples, which is not supported"
        if not turns_to_rgb(photometric, syntax):
            return f"its colours are {photometric}, which cannot be turned to RGB without loss"
    if syntax == "1.2.840.10008.1.2.4.51" and stored > 8:
        return f"it is lossy JPEG of {stored} bits, which no free codec decodes"
    if _mosaic(dataset):
        return "it is a mosaic of slices"
    if has(dataset, tag_of("TotalPixelMatrixRows")):
        return "it is tiles of a slide"
    if text(dataset, "Modality") == "RTDOSE" or has(dataset, tag_of("DoseGridScaling")):
        return "it is a dose, not a picture"
    if value_of(dataset, "ModalityLUTSequence"):
        return "its values go through a modality lookup table"
    return ""


def turns_to_rgb(photometric: str, syntax: str) -> bool:
    """Whether luminance and chrominance become RGB without a loss that the source has not had before.

    YBR_RCT is exact, and decoders undo it. The others are rounded: fine where the source was compressed with loss, as
    then the decoded RGB is what every viewer shows.

    >>> turns_to_rgb("YBR_RCT", "1.2.840.10008.1.2.4.90"), turns_to_rgb("YBR_FULL", "1.2.840.10008.1.2.1")
    (True, False)
    """
    if photometric == "YBR_RCT":
        return syntax.startswith(("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20"))
    return photometric in _RGB_FROM_YBR and LOSSY.match(syntax) is not None


def _scale(dataset: Dataset) -> tuple[float, float] | None:
    """Slope and intercept of a data set or of an item of a functional group."""
    if not has(dataset, tag_of("RescaleSlope")) and not has(dataset, tag_of("RescaleIntercept")):
        return None
    slope, inter = (
        geometry.numbers(dataset, keyword, 1) or ((missing,) if value_of(dataset, keyword) is None else None)
        for keyword, missing in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    return (np.nan if slope is None else slope[0], np.nan if inter is None else inter[0])


def _frame_scales(dataset: Dataset) -> Iterator[tuple[float, float]]:
    """Slopes and intercepts of the functional groups (PS3.3 C.7.6.16.2.9)."""
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in value_of(dataset, keyword) or []:
            for item in value_of(group, "PixelValueTransformationSequence") or []:
                scale = _scale(item)
                if scale is not None:
                    yield scale


def _references(dataset: Dataset) -> Iterator[str]:
    """ReferencedSOPInstanceUID values at any depth, in file order; converts no other value, contours are long."""
    for tag in sorted(dataset.keys()):
        stored: Any = held(dataset, tag)
        vr = stored.VR
        if vr is None:
            vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
        if tag == 0x00081155:
            yield str(dataset[tag].value).strip("\0 ")
        elif vr == "SQ":
            for item in dataset[tag].value or []:
                yield from _references(item)
