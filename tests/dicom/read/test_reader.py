# SPDX-License-Identifier: Apache-2.0
"""Any folder mess is listed or refused; any file is read or ends in one line."""

from __future__ import annotations

import os
import zipfile
import zlib

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.dicom_files import dataset, image, save
from umed.core.errors import GeometryError, InputError
from umed.dicom.objects import Limits
from umed.dicom.read import reader


def test_finds_files_in_folders_and_zips(tmp_path):
    root = tmp_path / "in"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "noending").write_bytes(b"1")
    (root / "x.txt").write_bytes(b"2")
    (root / ".hidden").write_bytes(b"3")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "y").write_bytes(b"4")
    (root / "empty").write_bytes(b"")
    with zipfile.ZipFile(root / "z.zip", "w") as archive:
        archive.writestr("m/1", b"5")
    found, refused = reader.find(root)
    assert [name for _, name in found] == ["a/b/noending", "x.txt", "z.zip!m/1"]
    assert dict(refused) == {".hidden": "is hidden", "__MACOSX": "is hidden", "empty": "is empty"}


def test_a_zip_or_a_file_can_be_the_root(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.bin", "w") as archive:
        archive.writestr("m", b"5")
    assert [name for _, name in reader.find(tmp_path / "data.bin")[0]] == ["data.bin!m"]
    (tmp_path / "one").write_bytes(b"1")
    assert reader.find(tmp_path / "one")[0] == [(tmp_path / "one", "one")]
    with pytest.raises(InputError, match="got nothing"):
        reader.find(tmp_path / "absent")


def test_links_and_special_files(tmp_path):
    root, outside = tmp_path / "in", tmp_path / "outside"
    (root / "d").mkdir(parents=True)
    outside.write_bytes(b"secret")
    (root / "real").write_bytes(b"1")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    (root / "d" / "up").symlink_to(root)
    (root / "good").symlink_to(root / "real")
    os.mkfifo(root / "pipe")
    found, refused = reader.find(root)
    assert [name for _, name in found] == ["good", "real"]
    reasons = dict(refused)
    assert set(reasons) == {"out", "loop", "d/up", "pipe"}
    assert "leads out" in reasons["out"] and "cannot be read" in reasons["loop"]
    assert "link to a folder" in reasons["d/up"] and "no ordinary file" in reasons["pipe"]


def test_names_are_printable_and_files_are_counted(tmp_path):
    (tmp_path / "a\nb\x1b[31m").write_bytes(b"1")
    (tmp_path / "c").write_bytes(b"1")
    assert reader.find(tmp_path)[0][0][1] == "a?b?[31m"
    with pytest.raises(InputError, match="at most 1 files"):
        reader.find(tmp_path, Limits(files=1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    _, refused = reader.find(tmp_path)
    assert "cannot be read" in dict(refused)["locked"]


def test_reads_header_only_or_all(tmp_path):
    ds = image(np.arange(6, dtype=np.int16).reshape(2, 3))
    path = save(ds, tmp_path / "x")
    assert "PixelData" not in reader.read(path, pixels=False)
    assert reader.read(path, pixels=True).PixelData == ds.PixelData


@pytest.mark.parametrize("bare", ["no preamble", "no meta"])
def test_reads_files_without_preamble_or_meta(tmp_path, bare):
    path = save(image(np.ones((2, 2), np.int16)), tmp_path / "x")
    content = path.read_bytes()
    start = 132 if bare == "no preamble" else content.index(b"\x08\x00\x05\x00CS")
    path.write_bytes(content[start:])
    found = reader.read(path, pixels=True)
    assert found.PatientID == "4711-X" and found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.PixelData == np.ones((2, 2), np.int16).tobytes()


def test_blank_uids_come_from_the_meta_header(tmp_path):
    ds = image(np.ones((2, 2), np.int16))
    kept = str(ds.SOPInstanceUID), str(ds.SOPClassUID)
    path = save(ds, tmp_path / "x")
    again = reader.read(path, pixels=True)
    again.SOPInstanceUID = again.SOPClassUID = ""
    again.save_as(path, enforce_file_format=False)
    found = reader.read(path, pixels=False)
    assert (found.SOPInstanceUID, found.SOPClassUID) == kept


def test_deflated_is_inflated_within_limits(tmp_path):
    ds = image(np.ones((20, 20), np.int16))
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(ds, tmp_path / "x")
    found = reader.read(path, pixels=True)
    assert found.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert found.PixelData == ds.PixelData and found.PatientName == "Muster^Erika"
    assert "PixelData" not in reader.read(path, pixels=False)
    most = path.stat().st_size + 10
    with pytest.raises(InputError, match=f"inflates to at most {most} bytes"):
        reader.read(path, Limits(header_bytes=most - 5, pixels_bytes=5), pixels=True)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(InputError, match="cut off"):
        reader.read(path, pixels=True)


def test_deflate_bomb_needs_no_memory_beyond_its_limit(tmp_path, monkeypatch):
    ds = dataset()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(ds, tmp_path / "x")
    content = path.read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(b"\0" * (30 << 20)) + packer.flush()
    start = content.index(DeflatedExplicitVRLittleEndian.encode()) + 22
    path.write_bytes(content[:start] + bomb)
    monkeypatch.setattr(reader, "_INFLATE_FREE", 1 << 20)
    with pytest.raises(InputError, match="inflates to at most"):
        reader.read(path, pixels=False)


@pytest.mark.parametrize("cut", [10, 141, 301, -1, -400])
def test_truncated_files_are_one_line_with_the_path(tmp_path, cut):
    path = save(image(np.ones((20, 20), np.int16)), tmp_path / "x")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError) as caught:
        reader.read(path, pixels=True)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_missing_and_huge_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read .No such file"):
        reader.read(tmp_path / "absent", pixels=False)
    path = save(dataset(), tmp_path / "x")
    with pytest.raises(InputError, match="at most 20 bytes"):
        reader.read(path, Limits(header_bytes=10, pixels_bytes=10), pixels=False)


def test_guard_makes_one_line_of_anything_and_lets_our_errors_pass(capsys, recwarn):
    import warnings

    with (
        pytest.raises(InputError, match="^f.dcm: expected a sound DICOM file, got ValueError: two$"),
        reader.guard("f.dcm"),
    ):
        warnings.warn("noise", stacklevel=1)
        raise ValueError("two\nlines")
    with pytest.raises(GeometryError, match="^mine$"), reader.guard("f.dcm"):
        raise GeometryError("mine")
    with pytest.raises(KeyboardInterrupt), reader.guard("f.dcm"):
        raise KeyboardInterrupt
    assert len(recwarn) == 0 and capsys.readouterr() == ("", "")
