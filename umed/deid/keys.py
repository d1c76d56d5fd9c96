# SPDX-License-Identifier: Apache-2.0
"""The secret key of a project, and everything that is derived from it: UIDs, pseudonyms, date shifts.

All of them are HMAC-SHA256 (RFC 2104) of the value and a purpose, so the same key gives the same result in every run,
worker and year without a table that would have to be kept, and nobody without the key can go back or try out values.
"""

from __future__ import annotations

import base64
import re

from pydicom._uid_dict import UID_dictionary

from umed.core.keyfile import Key

_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+\Z", re.ASCII)
_LONGEST_UID = 64
SHIFT_DAYS = 3650  # at most ten years, always into the past, so that no date lies in the future


# SOP classes of the current edition that pydicom 3.0's dictionary does not have yet.
_NEWER = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.66.8",  # Height Map Segmentation
    )
)


def is_standard_uid(text: str) -> bool:
    """Whether a UID is one that DICOM registers (SOP classes, transfer syntaxes, well-known frames of reference).

    Only those of its dictionary (PS3.6 Annex A): others below the same root are instances that somebody minted there,
    and those are as identifying as any other.

    >>> is_standard_uid("1.2.840.10008.5.1.4.1.1.2"), is_standard_uid("1.2.840.10008.1941.305.7781")
    (True, False)
    """
    return text in UID_dictionary or text in _NEWER


class DeidKey(Key):
    """The same key as that of a release, for UIDs, pseudonyms and dates."""

    def keeping_uids(self) -> DeidKey:
        """The same secret, under which UIDs stay (PS3.15 E.3.9): whatever asks it for a UID gets the old one."""
        return _UidKeeper(self.secret)

    def uid(self, text: str) -> str:
        """The UID that stands for another one: ``2.25.`` and 128 bits (PS3.5 B.2).

        Empty ones and those of the standard stay as they are. Blanks and NULs around a UID are padding, not part of it.

        >>> key = DeidKey(bytes(32))
        >>> key.uid("1.2.3") == key.uid("1.2.3 "), key.uid("1.2.840.10008.1.2.1")
        (True, '1.2.840.10008.1.2.1')
        """
        bare = text.strip("\0 \t\r\n")
        if not bare or is_standard_uid(bare):
            return bare
        return f"2.25.{int.from_bytes(self.mac('uid', bare)[:16], 'big')}"

    def pseudonym(self, patient_key: str) -> str:
        """Sixteen characters that stand for a patient; fit for PatientID (LO), PatientName (PN) and folder names."""
        return "UM" + base64.b32encode(self.mac("patient", patient_key)[:10]).decode("ascii")[:14]

    def shift(self, patient_key: str) -> int:
        """Days that every date of a patient is moved by: the same for all studies, from -3650 to -1."""
        return -1 - int.from_bytes(self.mac("shift", patient_key)[:8], "big") % SHIFT_DAYS


class _UidKeeper(DeidKey):
    """A key that maps only what is no UID: letters, leading zeros, more than 64 characters (PS3.5 9.1)."""

    def uid(self, text: str) -> str:
        """The same UID.

        >>> key = _UidKeeper(bytes(32))
        >>> key.uid("1.2.3 "), key.uid("1.2.Roe") == DeidKey(bytes(32)).uid("1.2.Roe")
        ('1.2.3', True)
        """
        bare = text.strip("\0 \t\r\n")
        return bare if len(bare) <= _LONGEST_UID and _UID.match(bare) else super().uid(text)
