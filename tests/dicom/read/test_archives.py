# SPDX-License-Identifier: Apache-2.0
"""Zips unpack under our own names, within limits, and their tricks are refused with a reason."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib

import pytest

from umed.core.errors import InputError
from umed.dicom.objects import Limits
from umed.dicom.read import archives


def make(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name), content, compression)
    return path


def test_members_get_names_of_our_own(tmp_path):
    path = make(tmp_path / "a.zip", {"b/2.dcm": b"two", "1": b"one", "b/": b""})
    found, refused = archives.unpack(path, "a.zip", tmp_path / "work", Limits())
    assert [(file.read_bytes(), name) for file, name in found] == [(b"one", "a.zip!1"), (b"two", "a.zip!b/2.dcm")]
    assert refused == [] and all(file.parent == tmp_path / "work" for file, _ in found)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "\\\\host\\evil"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    path = make(tmp_path / "a.zip", {name: b"x", "good": b"y"})
    found, refused = archives.unpack(path, "a.zip", tmp_path / "deep" / "work", Limits())
    assert [shown for _, shown in found] == ["a.zip!good"]
    assert len(refused) == 1 and "leads out" in refused[0][1]
    everything = {file for _, _, files in os.walk(tmp_path) for file in files}
    assert everything == {"a.zip", found[0][0].name}


def test_links_hidden_encrypted_and_nested_members_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    inner = make(tmp_path / "inner.zip", {"x": b"x"}).read_bytes()
    path = make(tmp_path / "a.zip", {link: b"/etc/passwd", "__MACOSX/x": b"x", ".DS_Store": b"x", "in.zip": inner})
    raw = bytearray(make(tmp_path / "b.zip", {"secret": b"x" * 50}, zipfile.ZIP_STORED).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(raw)
    found, refused = archives.unpack(path, "a.zip", tmp_path / "work", Limits())
    assert found == []
    reasons = dict(refused)
    assert "link" in reasons["a.zip!link"] and "zip inside" in reasons["a.zip!in.zip"]
    assert reasons["a.zip!__MACOSX/x"] == reasons["a.zip!.DS_Store"] == "is hidden"
    found, refused = archives.unpack(tmp_path / "b.zip", "b.zip", tmp_path / "work2", Limits())
    assert found == [] and "encrypted" in refused[0][1]


def test_bombs_are_refused_by_ratio_and_by_size(tmp_path):
    path = make(tmp_path / "a.zip", {"bomb": b"\0" * (8 << 20), "good": b"y"})
    found, refused = archives.unpack(path, "a.zip", tmp_path / "work", Limits(zip_ratio=100))
    assert [name for _, name in found] == ["a.zip!good"] and "100 times" in refused[0][1]
    found, refused = archives.unpack(path, "a.zip", tmp_path / "work2", Limits(zip_bytes=1 << 20))
    assert "at most 1048576 bytes" in refused[0][1] and not (tmp_path / "work2" / "000000.dcm").exists()
    with pytest.raises(InputError, match="at most 1 files, got 2"):
        archives.unpack(path, "a.zip", tmp_path / "work3", Limits(zip_members=1))


def test_broken_members_are_refused_and_broken_zips_are_an_error(tmp_path):
    raw = bytearray(make(tmp_path / "a.zip", {"bad": os.urandom(500), "good": b"y"}, zipfile.ZIP_STORED).read_bytes())
    raw[100] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(raw)
    found, refused = archives.unpack(tmp_path / "a.zip", "a.zip", tmp_path / "work", Limits())
    assert [name for _, name in found] == ["a.zip!good"] and "cannot be unpacked" in refused[0][1]
    (tmp_path / "c.zip").write_bytes(bytes(raw[:300]))
    with pytest.raises(InputError, match="broken one"):
        archives.unpack(tmp_path / "c.zip", "c.zip", tmp_path / "work2", Limits())


def test_random_damage_ends_in_refusals_only(tmp_path):
    raw = make(tmp_path / "a.zip", {"a": b"abc" * 100, "b/c": zlib.compress(b"x" * 99)}).read_bytes()
    import random

    source = random.Random(3)
    for number in range(150):
        damaged = bytearray(raw)
        for _ in range(3):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        path = tmp_path / "d.zip"
        path.write_bytes(damaged)
        try:
            archives.unpack(path, "d.zip", tmp_path / f"w{number}", Limits())
        except InputError as error:
            assert "\n" not in str(error)


def test_office_documents_are_not_taken_for_archives(tmp_path):
    path = make(tmp_path / "letter.docx", {"x": b"x"})
    assert not archives.is_zip(path) and archives.is_zip(path, named=False)
