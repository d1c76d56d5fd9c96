# SPDX-License-Identifier: Apache-2.0
"""What a de-identified file says about itself, and its file meta information (PS3.10 7.1, PS3.15 E.1.1)."""

from __future__ import annotations

from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ImplicitVRLittleEndian

from umed.deid.keys import is_standard_uid
from umed.deid.profile import Profile
from umed.deid.table import MEANINGS, OPTIONS

IMPLEMENTATION_CLASS_UID = "2.25.190237814421879934127580436115243798637"
IMPLEMENTATION_VERSION = "UMED"
METHOD = "PS3.15 Annex E Basic Profile, keyed UIDs and pseudonyms"
_KEPT_META = (0x00020001, 0x00020002, 0x00020010)


def code(value: str, meaning: str) -> Dataset:
    """A code of the DICOM controlled terminology (PS3.16 Annex D)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def record(dataset: Dataset, profile: Profile, *, blanked: bool) -> None:
    """Say in the data set that it was de-identified and how (PS3.3 C.7.1.1, C.12.1, C.7.6.1).

    Claims no more than was done: a picture that is said to have text burned in, and was not blanked, is not called
    free of the patient's identity.
    """
    burned = str(dataset.get("BurnedInAnnotation", "") or "").strip().upper()
    if blanked:
        dataset.BurnedInAnnotation = "NO"
    dataset.PatientIdentityRemoved = "NO" if burned == "YES" and not blanked else "YES"
    dataset.DeidentificationMethod = METHOD
    names = ["basic", *(name for name in profile.options if name != "clean_pixel_data")]
    names += ["clean_pixel_data"] if blanked else []
    dataset.DeidentificationMethodCodeSequence = Sequence(code(OPTIONS[name], MEANINGS[name]) for name in names)
    if "retain_long_modified_dates" in profile.options:
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    elif "retain_long_full_dates" in profile.options:
        dataset.LongitudinalTemporalInformationModified = "UNMODIFIED"
    else:
        dataset.LongitudinalTemporalInformationModified = "REMOVED"


def clean_meta(dataset: Dataset, meta: FileMetaDataset) -> None:
    """Empty preamble; of group 0002 only version, class, instance and transfer syntax, and who wrote the file."""
    for tag in list(meta.keys()):
        if int(tag) not in _KEPT_META:
            del meta[tag]
    for keyword in ("MediaStorageSOPClassUID", "TransferSyntaxUID"):
        if keyword in meta and not is_standard_uid(str(meta.get(keyword) or "").strip("\0 ")):
            delattr(meta, keyword)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", meta.get("MediaStorageSOPClassUID", ""))
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    _settle_encoding(dataset, str(meta.get("TransferSyntaxUID", "") or ""))
    dataset.preamble = bytes(128)


def _settle_encoding(dataset: Dataset, syntax: str) -> None:
    """Convert what was read as implicit VR though the transfer syntax says explicit; pydicom would write it wrongly."""
    if not syntax or syntax == ImplicitVRLittleEndian:
        return
    stored: list[Any] = [dataset.get_item(tag) for tag in dataset.keys()]
    if any(isinstance(element, RawDataElement) and element.VR is None for element in stored):
        for _ in dataset.iterall():
            pass
