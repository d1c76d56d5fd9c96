# SPDX-License-Identifier: Apache-2.0
"""What a picture says about text and faces in it (PS3.3 C.7.6.1); only a plain NO counts as NO."""

from __future__ import annotations

from typing import Literal

from pydicom.dataset import Dataset

from umed.dicom.held import texts_at_rest, value_of

Flag = Literal["", "NO", "YES", "odd"]
"""Absent or empty, the two values that the standard knows, and whatever else stands there."""
BURNED, FACES = "BurnedInAnnotation", "RecognizableVisualFeatures"


def values_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value of an attribute as text without its padding; bytes of an unknown VR are read as ASCII."""
    plain = texts_at_rest(dataset, keyword)
    if plain is not None:
        return tuple(plain)
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").split("\\")
    several = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    found = tuple(str(one).strip(" \0") for one in several)
    return found if any(found) else ()


def flag(dataset: Dataset, keyword: str) -> Flag:
    """Read a flag. Padding does not count; small letters, several values and other words are odd.

    >>> ds = Dataset()
    >>> ds.BurnedInAnnotation = "NO "
    >>> flag(ds, "BurnedInAnnotation")
    'NO'
    >>> ds.BurnedInAnnotation = "no"
    >>> flag(ds, "BurnedInAnnotation")
    'odd'
    """
    found = values_of(dataset, keyword)
    if not found:
        return ""
    if found == ("NO",):
        return "NO"
    return "YES" if found == ("YES",) else "odd"


def names_somebody(dataset: Dataset, *, blanked: bool) -> bool:
    """Whether a picture may still show who it is, by its own words: then nobody may call it free of identity.

    Args:
        dataset: as it was read, since cleaning may take an odd value away.
        blanked: whether the places where its device writes were blanked; that hides text, not faces.
    """
    text = flag(dataset, BURNED) in ("YES", "odd") and not blanked
    return text or flag(dataset, FACES) in ("YES", "odd")
