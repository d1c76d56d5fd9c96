# SPDX-License-Identifier: Apache-2.0
"""What a de-identified file says about itself, and its file meta information (PS3.10 7.1, PS3.15 E.1.1)."""

from __future__ import annotations

from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ImplicitVRLittleEndian

from umed.deid.elements import element
from umed.deid.keys import is_standard_uid
from umed.deid.profile import Profile
from umed.deid.table import MEANINGS, OPTIONS
from umed.dicom.held import value_of

IMPLEMENTATION_CLASS_UID = "2.25.190237814421879934127580436115243798637"
IMPLEMENTATION_VERSION = "UMED"
METHOD = "PS3.15 Annex E Basic Profile, keyed UIDs and pseudonyms"


def code(value: str, meaning: str) -> Dataset:
    """A code of the DICOM controlled terminology (PS3.16 Annex D)."""
    item = Dataset()
    _set(item, 0x00080100, "SH", value)
    _set(item, 0x00080102, "SH", "DCM")
    _set(item, 0x00080104, "LO", meaning)
    return item


def record(dataset: Dataset, profile: Profile, *, blanked: bool, shown: bool = False) -> None:
    """Say in the data set that it was de-identified and how (PS3.3 C.7.1.1, C.12.1, C.7.6.1).

    Claims no more than was done: a picture that may show who it is (``shown``, see
    :func:`umed.deid.picture_flags.names_somebody`) is not called free of the patient's identity.
    """
    if blanked:
        _set(dataset, 0x00280301, "CS", "NO")
    _set(dataset, 0x00120062, "CS", "NO" if shown else "YES")
    _set(dataset, 0x00120063, "LO", METHOD)
    names = ["basic", *(name for name in profile.options if name != "clean_pixel_data")]
    names += ["clean_pixel_data"] if blanked else []
    _set(dataset, 0x00120064, "SQ", Sequence(code(OPTIONS[name], MEANINGS[name]) for name in names))
    if "retain_long_modified_dates" in profile.options:
        modified = "MODIFIED"
    else:
        modified = "UNMODIFIED" if "retain_long_full_dates" in profile.options else "REMOVED"
    _set(dataset, 0x00280303, "CS", modified)


def clean_meta(dataset: Dataset, meta: FileMetaDataset) -> None:
    """Empty preamble; of group 0002 only version, class, instance and transfer syntax, and who wrote the file."""
    sop_class = str(value_of(dataset, "SOPClassUID") or "")
    syntax = str(value_of(meta, "TransferSyntaxUID") or "").strip("\0 ")
    fresh = FileMetaDataset()
    _set(fresh, 0x00020001, "OB", b"\0\1")
    _set(fresh, 0x00020002, "UI", UID(sop_class if is_standard_uid(sop_class) else ""))
    _set(fresh, 0x00020003, "UI", UID(str(value_of(dataset, "SOPInstanceUID") or "")))
    if is_standard_uid(syntax):
        _set(fresh, 0x00020010, "UI", UID(syntax))
    _set(fresh, 0x00020012, "UI", UID(IMPLEMENTATION_CLASS_UID))
    _set(fresh, 0x00020013, "SH", IMPLEMENTATION_VERSION)
    dataset.file_meta = fresh
    _settle_encoding(dataset, syntax)
    dataset.preamble = bytes(128)


def _set(dataset: Dataset, tag: int, vr: str, value: Any) -> None:
    dataset[tag] = element(tag, vr, value)


def _settle_encoding(dataset: Dataset, syntax: str) -> None:
    """Convert what was read as implicit VR though the transfer syntax says explicit; pydicom would write it wrongly.

    At every depth: items may be implicit where the rest is not.
    """
    if not syntax or syntax == ImplicitVRLittleEndian:
        return
    stored: Any
    for tag, stored in list(dataset.items()):
        if isinstance(stored, RawDataElement) and (stored.VR is None or stored.value is None):
            stored = dataset[tag]
        if stored.VR == "SQ" and not isinstance(stored, RawDataElement):
            for item in stored.value or ():
                _settle_encoding(item, syntax)
