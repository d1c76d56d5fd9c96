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
    "1.2.840.10008.1.3.10": "a DICOMDIR, which lists patients and file names",
}
_ALLOWED_66 = "1.2.840.10008.5.1.4.1.1.66."  # registrations, segmentations, ... are well defined, only 66 itself is not


class Quarantine(InputError):
    """A data set that the profile cannot clean; it is put aside, never copied."""


def refuse(sop_class: str) -> str:
    """Why objects of a SOP class cannot be de-identified by rule, or an empty string."""
    if sop_class and not is_standard_uid(sop_class):
        return "an object of a private SOP class, whose content nobody documents"
    for start, reason in REFUSED_CLASSES.items():
        if sop_class.startswith(start) and not sop_class.startswith(_ALLOWED_66):
            return reason
    return ""
