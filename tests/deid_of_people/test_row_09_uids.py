# SPDX-License-Identifier: Apache-2.0
"""Row 9: of the UIDs below DICOM's root only those of its dictionary stay, in values, file meta and file names."""

from __future__ import annotations

import json

import pydicom
import pytest

from tests.deid_of_people.text_release import anonymized, picture
from umed.deid.keys import is_standard_uid

MINTED = "1.2.840.10008.1941.305.7781"


def test_a_uid_that_somebody_minted_below_dicoms_root_is_mapped_everywhere(tmp_path) -> None:
    ds = picture(SOPInstanceUID=MINTED, FrameOfReferenceUID=MINTED + ".1")
    ds.file_meta.MediaStorageSOPInstanceUID = MINTED
    code, files = anonymized(tmp_path, ds)
    found = pydicom.dcmread(files[0])
    assert code == 0
    assert MINTED not in str(files[0]) and "1941.305" not in str(files[0])
    assert b"1941.305" not in files[0].read_bytes()
    assert (
        found.SOPInstanceUID.startswith("2.25.") and found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    )
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize("where", ["class", "syntax"])
def test_a_class_or_syntax_that_dicom_does_not_know_is_put_aside_with_the_reason(tmp_path, where: str, capsys) -> None:
    ds = picture()
    if where == "class":
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MINTED
    else:
        from umed.deid.engine import Deidentifier, Quarantine
        from umed.deid.keys import DeidKey
        from umed.deid.profile import load_profile

        ds.file_meta.TransferSyntaxUID = MINTED
        with pytest.raises(Quarantine, match="transfer syntax that is not in DICOM's dictionary"):
            Deidentifier(DeidKey(bytes(range(32))), load_profile("basic"))(ds, "p")
        return
    code, files = anonymized(tmp_path, ds)
    assert code == 1 and files == []
    said = "".join(capsys.readouterr())
    for path in tmp_path.rglob("quarantine.json"):
        said += json.dumps(json.loads(path.read_text()))
    assert "not in DICOM's dictionary" in said


@pytest.mark.parametrize(
    ("uid", "known"),
    [
        ("1.2.840.10008.1.2.1", True),
        ("1.2.840.10008.5.1.4.1.1.66.7", True),
        ("1.2.840.10008.1.4.1.1", True),
        ("1.2.840.10008.1941.305.7781", False),
        ("1.2.840.10008.5.1.4.1.1.2.9", False),
        ("1.2.840.10008", False),
    ],
)
def test_uids_of_the_dictionary(uid: str, known: bool) -> None:
    assert is_standard_uid(uid) is known
