# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from umed.core.errors import InputError, VerificationError
from umed.data import files


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 999999)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 999999).hexdigest()


def test_atomic_is_whole_or_not_there(tmp_path):
    target = tmp_path / "sub" / "a.nii.gz"
    with files.atomic(target) as temporary:
        assert temporary.name.endswith("a.nii.gz") and temporary.parent == target.parent
        temporary.write_bytes(b"1")
        assert not target.exists()
    assert target.read_bytes() == b"1"
    with pytest.raises(RuntimeError), files.atomic(target) as temporary:
        temporary.write_bytes(b"2")
        raise RuntimeError
    assert target.read_bytes() == b"1" and list(target.parent.iterdir()) == [target]


def test_copy(tmp_path):
    (tmp_path / "a").write_bytes(b"\0\1")
    files.copy(tmp_path / "a", tmp_path / "x" / "b")
    assert (tmp_path / "x" / "b").read_bytes() == b"\0\1"


def test_checked_copy(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert files.checked_copy(tmp_path / "a", tmp_path / "b", digest) == digest
    assert files.checked_copy(tmp_path / "a", tmp_path / "b", "") == digest
    assert (tmp_path / "b").read_bytes() == b"abc"
    with pytest.raises(VerificationError, match="a: expected a copy of the same bytes"):
        files.checked_copy(tmp_path / "a", tmp_path / "b", "0" * 64)


def test_folders_that_lie_in_one_another_are_refused(tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    files.check_apart(source, output)
    for bad in (source, source / "out", tmp_path):
        with pytest.raises(InputError, match="apart from the input"):
            files.check_apart(source, bad)
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(InputError, match="apart from the input"):
        files.check_apart(source, tmp_path / "link" / "out")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="got a file"):
        files.check_apart(source, tmp_path / "file")
    named = {"what": "output", "kind": "private folder", "step": "Pick another with --private", "why": "secret"}
    with pytest.raises(InputError, match=r"expected a private folder apart from the output .*--private; secret\."):
        files.check_apart(source, source / "a", **named)
    with pytest.raises(InputError, match=r"got a file\. Pick another with --private\.$"):
        files.check_apart(source, tmp_path / "file", **named)


def test_alone_lets_one_in_at_a_time(tmp_path):
    seen: list[str] = []

    def work(name: str) -> None:
        with files.alone(tmp_path / "folder" / "a.lock"):
            seen.append(f"{name} in")
            time.sleep(0.1)
            seen.append(f"{name} out")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4 and seen[0][:3] == seen[1][:3] != seen[2][:3] == seen[3][:3]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no plain file"):
        files.sha256(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        files.sha256(tmp_path / "nothing")
