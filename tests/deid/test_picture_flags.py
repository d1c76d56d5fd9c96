# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from umed.deid.picture_flags import flag, names_somebody, values_of

BURNED, FACES = "BurnedInAnnotation", "RecognizableVisualFeatures"


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        *((value, "NO") for value in ("NO", " NO ", "NO\0", ["NO"])),
        *((value, "") for value in (None, "", "  ", "\0")),
        ("YES", "YES"),
        ("YES ", "YES"),
        *((value, "odd") for value in ("no", "No", "yes", "Y", "N", "TRUE", "FALSE", "0", "1", "UNKNOWN", "NO NO")),
        *((value, "odd") for value in (["NO", "NO"], ["NO", "YES"], ["NO", ""], "NOT REALLY", "NEIN", "\u039d\u039f")),
    ],
)
def test_only_a_plain_no_is_no(value: object, meant: str) -> None:
    ds = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setattr(ds, BURNED, value)
        assert flag(ds, BURNED) == meant


def test_an_absent_flag_and_one_of_unknown_vr_are_read() -> None:
    ds = Dataset()
    assert flag(ds, BURNED) == "" and values_of(ds, BURNED) == ()
    for stored, meant in ((b"NO", "NO"), (b"YES ", "YES"), (b"NO\\YES ", "odd")):
        ds[0x0028, 0x0301] = DataElement(0x00280301, "UN", stored)
        assert flag(ds, BURNED) == meant


@pytest.mark.parametrize("value", ["YES", "Y", "UNKNOWN"])
def test_blanking_hides_text_but_no_face(value: str) -> None:
    ds = Dataset()
    assert not names_somebody(ds, blanked=False)
    setattr(ds, BURNED, value)
    assert names_somebody(ds, blanked=False) and not names_somebody(ds, blanked=True)
    setattr(ds, FACES, value)
    assert names_somebody(ds, blanked=True)
