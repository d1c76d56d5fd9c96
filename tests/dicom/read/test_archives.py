# SPDX-License-Identifier: Apache-2.0
"""Zips are listed within limits and read from memory, and their tricks are refused with a reason."""

from __future__ import annotations

import hashlib
import os
import stat
import tracemalloc
import zipfile
import zlib

import pytest

from umed.core.errors import InputError
from umed.dicom import members
from umed.dicom.objects import Limits
from umed.dicom.read import archives
from umed.dicom.read.scan import scan


def make(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name), content, compression)
    return path


def content(place):
    with place.open() as file:
        return file.read()


def test_members_are_read_from_the_zip_and_nothing_is_laid_on_the_disk(tmp_path):
    path = make(tmp_path / "a.zip", {"b/2.dcm": b"two", "1": b"one", "b/": b""})
    found, refused = archives.members(path, "a.zip", Limits())
    assert [(content(file), name) for file, name in found] == [(b"one", "a.zip!1"), (b"two", "a.zip!b/2.dcm")]
    assert refused == [] and os.listdir(tmp_path) == ["a.zip"]
    assert members.digest_of(found[0][0]) == hashlib.sha256(b"one").hexdigest()
    assert str(found[1][0]) == f"{path}!b/2.dcm"


def test_a_member_of_a_name_that_comes_twice_is_read_by_its_place(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("x", b"first")
            archive.writestr("x", b"second")
    found, _ = archives.members(tmp_path / "a.zip", "a.zip", Limits())
    assert [content(file) for file, _ in found] == [b"first", b"second"]


def test_a_zip_that_changes_after_it_was_listed_is_told(tmp_path):
    path = make(tmp_path / "a.zip", {"1": b"one", "2": b"two" * 50})
    (_, (second, _)), _ = archives.members(path, "a.zip", Limits())
    assert content(second) == b"two" * 50
    make(path, {"other": b"z" * 999})
    with pytest.raises(InputError, match="changed since"):
        content(second)


def test_a_forked_process_reads_with_a_handle_of_its_own(tmp_path):
    path = make(tmp_path / "a.zip", {f"{n:03d}": os.urandom(3000) for n in range(40)}, zipfile.ZIP_STORED)
    found, _ = archives.members(path, "a.zip", Limits())
    whole = [content(file) for file, _ in found]
    child = os.fork()
    if child == 0:  # pragma: no cover
        os._exit(0 if all(content(file) == one for (file, _), one in zip(found * 5, whole * 5, strict=True)) else 1)
    assert all(content(file) == one for (file, _), one in zip(found * 5, whole * 5, strict=True))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_packings_that_have_no_bound_are_refused(tmp_path):
    path = make(tmp_path / "a.zip", {"x": b"x" * 5000}, zipfile.ZIP_BZIP2)
    found, refused = archives.members(path, "a.zip", Limits())
    assert found == [] and refused == [
        ("a.zip!x", "is packed by something else than deflate; unpack the zip and give the folder")
    ]


def test_a_member_never_becomes_larger_than_its_entry_says(tmp_path):
    raw = bytearray(make(tmp_path / "a.zip", {"x": b"\0" * (64 << 20)}).read_bytes())
    for place in (raw.index(b"PK\x01\x02") + 24, 22):  # the size in the directory and in the member's own header
        raw[place : place + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(raw)
    ((place, _),), refused = archives.members(tmp_path / "a.zip", "a.zip", Limits())
    assert refused == [] and place.size == 1000
    tracemalloc.start()
    with pytest.raises(InputError, match="cannot be unpacked"):
        place.open()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "\\\\host\\evil"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    path = make(tmp_path / "a.zip", {name: b"x", "good": b"y"})
    found, refused = archives.members(path, "a.zip", Limits())
    assert [shown for _, shown in found] == ["a.zip!good"]
    assert len(refused) == 1 and "leads out" in refused[0][1]
    assert os.listdir(tmp_path) == ["a.zip"]


def test_links_hidden_encrypted_and_nested_members_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    inner = make(tmp_path / "inner.zip", {"x": b"x"}).read_bytes()
    path = make(tmp_path / "a.zip", {link: b"/etc/passwd", "__MACOSX/x": b"x", ".DS_Store": b"x", "in.zip": inner})
    raw = bytearray(make(tmp_path / "b.zip", {"secret": b"x" * 50}, zipfile.ZIP_STORED).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(raw)
    found, refused = archives.members(path, "a.zip", Limits())
    assert found == []
    reasons = dict(refused)
    assert "link" in reasons["a.zip!link"] and "zip inside" in reasons["a.zip!in.zip"]
    assert reasons["a.zip!__MACOSX/x"] == reasons["a.zip!.DS_Store"] == "is hidden"
    found, refused = archives.members(tmp_path / "b.zip", "b.zip", Limits())
    assert found == [] and "encrypted" in refused[0][1]


def test_bombs_are_refused_by_ratio_and_by_size(tmp_path):
    path = make(tmp_path / "a.zip", {"bomb": b"\0" * (8 << 20), "good": b"y"})
    found, refused = archives.members(path, "a.zip", Limits(zip_ratio=100))
    assert [name for _, name in found] == ["a.zip!good"] and "100 times" in refused[0][1]
    found, refused = archives.members(path, "a.zip", Limits(zip_bytes=1 << 20))
    assert "at most 1048576 bytes" in refused[0][1]
    with pytest.raises(InputError, match="at most 1 files, got 2"):
        archives.members(path, "a.zip", Limits(zip_members=1))


def test_broken_members_are_refused_and_broken_zips_are_an_error(tmp_path):
    raw = bytearray(make(tmp_path / "a.zip", {"bad": os.urandom(500), "good": b"y"}, zipfile.ZIP_STORED).read_bytes())
    raw[100] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(raw)
    found, refused = archives.members(tmp_path / "a.zip", "a.zip", Limits())
    assert [name for _, name in found] == ["a.zip!bad", "a.zip!good"] and refused == []
    assert content(found[1][0]) == b"y"
    with pytest.raises(InputError, match="cannot be unpacked"):
        content(found[0][0])
    sheet = scan(tmp_path / "a.zip")
    assert "cannot be unpacked" in dict(sheet.refused)["a.zip!bad"]
    (tmp_path / "c.zip").write_bytes(bytes(raw[:300]))
    with pytest.raises(InputError, match="broken one"):
        archives.members(tmp_path / "c.zip", "c.zip", Limits())


def test_random_damage_ends_in_refusals_only(tmp_path):
    raw = make(tmp_path / "a.zip", {"a": b"abc" * 100, "b/c": zlib.compress(b"x" * 99)}).read_bytes()
    import random

    source = random.Random(3)
    for _ in range(150):
        damaged = bytearray(raw)
        for _ in range(3):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        path = tmp_path / "d.zip"
        path.write_bytes(damaged)
        try:
            for place, _ in archives.members(path, "d.zip", Limits())[0]:
                content(place)
        except InputError as error:
            assert "\n" not in str(error)


def test_office_documents_are_not_taken_for_archives(tmp_path):
    path = make(tmp_path / "letter.docx", {"x": b"x"})
    assert not archives.is_zip(path) and archives.is_zip(path, named=False)
