# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys

import pytest

from umed.core.errors import InputError
from umed.deid.keys import DeidKey, is_standard_uid

KEY = DeidKey(bytes(range(32)))


def test_a_new_key_is_private_and_never_overwritten(tmp_path) -> None:
    path = tmp_path / "project.key"
    key = DeidKey.create(path)
    assert DeidKey.load(path) == key
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists and is not overwritten"):
        DeidKey.create(path)
    assert path.read_bytes() == before
    assert DeidKey.create(tmp_path / "other.key") != key


def test_the_secret_is_shown_nowhere(tmp_path) -> None:
    key = DeidKey.create(tmp_path / "k")
    for text in (repr(key), str(key), key.digest(), key.uid("1.2.3"), key.pseudonym("p")):
        assert key.secret.hex() not in text


@pytest.mark.parametrize("text", ["", "# only a comment\n", "ab" * 31, "zz" * 32, "ab" * 32 + "\n" + "cd" * 32, "\xff"])
def test_what_is_no_key_file_is_refused_without_quoting_it(tmp_path, text: str) -> None:
    path = tmp_path / "k"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(InputError, match="expected one line of 64 hexadecimal digits") as caught:
        DeidKey.load(path)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_an_absent_key_names_the_command(tmp_path) -> None:
    with pytest.raises(InputError, match="umed keygen"):
        DeidKey.load(tmp_path / "absent")


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode: int) -> None:
    DeidKey.create(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(InputError, match="chmod 600") as caught:
        DeidKey.load(tmp_path / "k")
    assert (tmp_path / "k").read_text().split()[-1] not in str(caught.value)


def test_uids_are_valid_stable_and_distinct() -> None:
    olds = [f"1.2.826.0.1.3680043.{number}" for number in range(2000)]
    news = [KEY.uid(old) for old in olds]
    assert len(set(news)) == len(olds)
    assert all(new.startswith("2.25.") and len(new) <= 64 and new[5:].isdigit() and new[5] != "0" for new in news)
    assert KEY.uid("1.2.3\0") == KEY.uid("1.2.3 ") == KEY.uid("1.2.3")
    assert KEY.uid(news[0]) not in (news[0], olds[0])
    assert DeidKey(bytes(32)).uid("1.2.3") != KEY.uid("1.2.3")


def test_the_map_is_the_same_in_another_process() -> None:
    code = "from umed.deid.keys import DeidKey; k = DeidKey(bytes(range(32))); "
    code += "print(k.uid('1.2.3'), k.pseudonym('p'), k.shift('p'))"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [KEY.uid("1.2.3"), KEY.pseudonym("p"), str(KEY.shift("p"))]
    assert pickle.loads(pickle.dumps(KEY)).uid("1.2.3") == KEY.uid("1.2.3")


@pytest.mark.parametrize("uid", ["", "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.1.4.1.1"])
def test_uids_of_the_standard_stay(uid: str) -> None:
    assert KEY.uid(uid) == uid


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.20210317.5",
        "1.2.840.10008.5.DOE",
        "1.2.840.100080.1",
        "1.2.840.10008",
        "DOE^JOHN",
        "1.2.840.10008.1\n",
    ],
)
def test_what_only_looks_like_the_standard_is_mapped(uid: str) -> None:
    assert not is_standard_uid(uid)
    assert KEY.uid("x" + uid).startswith("2.25.")


def test_pseudonyms_fit_and_shifts_go_back_in_time() -> None:
    names = {KEY.pseudonym(str(number)) for number in range(500)}
    assert len(names) == 500
    assert all(len(name) <= 16 and name.isalnum() and name.isascii() for name in names)
    shifts = [KEY.shift(str(number)) for number in range(500)]
    assert all(-3650 <= days <= -1 for days in shifts)
    assert len(set(shifts)) > 300
