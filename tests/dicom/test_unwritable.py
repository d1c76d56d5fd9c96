# SPDX-License-Identifier: Apache-2.0
"""Values that no VR can hold: a reason that names the attribute, no exception of a library."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from tests.deid_of_people.text_release import cleaned, picture, stored
from tests.dicom_files import save
from umed.core.errors import InputError
from umed.dicom.pixels import writing


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [(0x00281103, "US", [20050703, 1, 8]), (0x00281103, "US", "x"), (0x00189096, "FD", "x")],
)
def test_it_names_the_attribute(tmp_path, syntax: str, tag: int, vr: str, value: object) -> None:
    ds = picture()
    ds.file_meta.TransferSyntaxUID = syntax
    ds = pydicom.dcmread(save(ds, tmp_path / "a.dcm")) if syntax.endswith(".1") else ds
    ds[Tag(tag)] = DataElement(Tag(tag), vr, value, validation_mode=IGNORE)
    with pytest.raises(InputError, match="expected a value that its VR can hold") as error:
        writing.chunks(ds)
    assert "20050703" not in str(error.value) and "Error" not in str(error.value)
    assert syntax.endswith("2") or f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in str(error.value)


@pytest.mark.parametrize(
    ("tag", "vr"), [(0x7FE00010, "OW"), (0x00189096, "FD"), (0x00660023, "OW"), (0x00181149, "IS")]
)
def test_an_empty_value_is_written_as_one(tmp_path, tag: int, vr: str) -> None:
    ds = picture()
    stored(ds, tag, vr, b"")
    ds = pydicom.dcmread(save(ds, tmp_path / "a.dcm"))
    assert not ds.get_item(tag).value
    back = pydicom.dcmread(io.BytesIO(b"".join(writing.chunks(ds))))
    assert back[tag].VR == vr and not back[tag].value


@pytest.mark.parametrize(("tag", "text"), [(0x00281103, b"20050703"), (0x00189219, b"-70000"), (0x00189096, b"1e999")])
def test_a_number_that_is_too_large_for_its_vr_goes(tag: int, text: bytes) -> None:
    ds = picture()
    stored(ds, tag, "LO", text)
    assert Tag(tag) not in cleaned(ds)
