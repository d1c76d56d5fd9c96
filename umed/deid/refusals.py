# SPDX-License-Identifier: Apache-2.0
"""Objects that no table of attributes can clean: what is in them is text or data of somebody's own making."""

from __future__ import annotations

from collections.abc import Mapping

from umed.core.errors import InputError
from umed.deid.keys import is_standard_uid

REFUSED_CLASSES: Mapping[str, str] = {  # by the start of the SOP class
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report, whose text cannot be cleaned by rule",
    "1.2.840.10008.5.1.4.1.1.104.": "an encapsulated document, whose content cannot be cleaned by rule",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform, whose content cannot be judged by rule",
    "1.2.840.10008.5.1.4.1.1.66": "raw data of a vendor",
    "1.2.840.10008.5.1.4.1.1.4.2": "MR spectroscopy, whose data may hold anything",
    "1.2.840.10008.1.3.10": "a DICOMDIR, which lists patients and file names",
}
DICOM_ROOT = "1.2.840.10008."
_ALLOWED_66 = "1.2.840.10008.5.1.4.1.1.66."  # registrations, segmentations, ... are well defined, only 66 itself is not


class Quarantine(InputError):
    """A data set that the profile cannot clean; it is put aside, never copied."""


def refuse(sop_class: str) -> str:
    """Why objects of a SOP class cannot be de-identified by rule, or an empty string."""
    if sop_class and not is_standard_uid(sop_class):
        if sop_class.startswith(DICOM_ROOT):
            return "an object of a SOP class that is not in DICOM's dictionary"
        return "an object of a private SOP class, whose content nobody documents"
    for start, reason in REFUSED_CLASSES.items():
        if sop_class.startswith(start) and not sop_class.startswith(_ALLOWED_66):
            return reason
    return ""


def refuse_syntax(syntax: str) -> str:
    """Why a file in a transfer syntax cannot be de-identified by rule, or an empty string."""
    if syntax and not is_standard_uid(syntax):
        return "a file in a transfer syntax that is not in DICOM's dictionary"
    return ""
