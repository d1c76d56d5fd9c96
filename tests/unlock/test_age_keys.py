# SPDX-License-Identifier: Apache-2.0
"""Keys and files of age: as the program has them, refused in one line, never quoted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unlock.unlock_runs import person
from umed.cli.main import main
from umed.core.errors import InputError, UmedError
from umed.core.keyfile import Key
from umed.unlock import age_keys

ANNE, BEN = age_keys.new_identity(), age_keys.new_identity()
CLOSED = age_keys.encrypt(b"the residual of a case " * 20, [age_keys.public_of(ANNE)])


def test_keygen_writes_a_key_of_age_that_only_its_owner_may_read(tmp_path, capsys):
    path = tmp_path / "anne.key"
    assert main(["keygen", "--recipient", str(path)]) == 0
    said = capsys.readouterr()
    comment, secret = path.read_text().splitlines()
    assert said.err == "" and said.out.splitlines()[-1] == comment.removeprefix("# public key: ")
    assert secret.startswith("AGE-SECRET-KEY-1") and secret not in said.out
    assert age_keys.public_of(secret) == said.out.splitlines()[-1]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert main(["keygen", "--recipient", str(path)]) == 1
    assert "exists and is not overwritten" in capsys.readouterr().err and path.read_bytes() == before


@pytest.mark.parametrize("words", [["keygen"], ["keygen", "a.key", "--recipient", "b.key"]])
def test_keygen_writes_one_kind_of_key(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert "expected KEY or --recipient NAME.key" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_list_of_recipients_is_read_as_age_reads_it(tmp_path):
    publics = [age_keys.public_of(one) for one in (ANNE, BEN)]
    path = tmp_path / "people.txt"
    path.write_text(f"# who signed\n\n{publics[1]}\n  {publics[0]}  \n{publics[1]}\n")
    assert age_keys.read_recipients(path) == publics[::-1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"# mine\n{ANNE}\n", "line 2: expected a public key age1..., got a secret key"),
        (f"# {BEN}\n", "line 1: expected a public key age1..., got a secret key"),
        ("ab" * 32 + "\n", "line 1: expected a public key age1..., got a secret key"),
        (age_keys.public_of(ANNE)[:-1] + "q\n", "line 1: expected a public key age1... of X25519"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n", "line 1: expected a public key age1... of X25519"),
        ("# nobody\n", "expected at least one public key"),
        ("", "expected at least one public key"),
    ],
    ids=["secret", "secret in a comment", "key of umed", "damaged", "ssh", "comments only", "empty"],
)
def test_what_is_no_list_of_public_keys_is_refused_and_not_quoted(tmp_path, text, says):
    path = tmp_path / "people.txt"
    path.write_text(text)
    with pytest.raises(InputError) as stop:
        age_keys.read_recipients(path)
    assert says in str(stop.value) and "\n" not in str(stop.value)
    for word in text.split():
        assert len(word) < 20 or word not in str(stop.value)


def test_files_that_are_none_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        for read in (age_keys.read_recipients, age_keys.read_identities):
            with pytest.raises(InputError):
                read(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\n\n")
    for name, says in (("binary", "plain text"), ("large", "at most")):
        with pytest.raises(InputError, match=says):
            age_keys.read_recipients(tmp_path / name)


def test_a_key_that_others_may_read_is_refused(tmp_path):
    anne = person(tmp_path, "anne")
    assert age_keys.public_of(age_keys.read_identities(anne.key)[0]) == anne.public
    anne.key.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        age_keys.read_identities(anne.key)


def test_other_keys_are_told_apart_and_never_quoted(tmp_path):
    other = Key.random().write(tmp_path / "project.key")
    (tmp_path / "public.key").write_text(age_keys.public_of(ANNE))
    (tmp_path / "empty.key").write_text("")
    (tmp_path / "cut.key").write_text(ANNE[:-3])
    for name, says in (
        ("project", "a key from which umed draws codes"),
        ("public", "public keys"),
        ("empty", "an empty file"),
        ("cut", "a damaged one"),
    ):
        path = tmp_path / f"{name}.key"
        path.chmod(0o600)
        with pytest.raises(InputError, match=says) as stop:
            age_keys.read_identities(path)
        assert ANNE[:-3] not in str(stop.value) and other.secret.hex() not in str(stop.value)


def test_only_a_recipient_opens_a_file():
    both = age_keys.encrypt(b"x", [age_keys.public_of(ANNE), age_keys.public_of(BEN)])
    assert age_keys.decrypt(both, [BEN], "f") == b"x" == age_keys.decrypt(both, [ANNE], "f")
    with pytest.raises(InputError, match="f: expected a file for k.key, got one for other keys"):
        age_keys.decrypt(CLOSED, [BEN], "f", key="k.key")


@settings(max_examples=120, deadline=None)
@given(st.integers(0, len(CLOSED) - 1), st.integers(1, 255))
def test_a_flipped_byte_anywhere_opens_nothing(place, flip):
    damaged = bytearray(CLOSED)
    damaged[place] ^= flip
    with pytest.raises(InputError, match=r"\Af: [^\n]*\Z"):
        age_keys.decrypt(bytes(damaged), [ANNE], "f")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(CLOSED) - 1), st.binary(min_size=1, max_size=9))
def test_a_file_that_is_cut_or_longer_opens_nothing(length, more):
    for damaged in (CLOSED[:length], CLOSED + more):
        with pytest.raises(InputError):
            age_keys.decrypt(damaged, [ANNE], "f")
    assert age_keys.form_fault(CLOSED) == "" and age_keys.form_fault(CLOSED[:60]) and age_keys.form_fault(more)


def test_the_program_age_makes_and_opens_the_same_files(tmp_path):
    age, keygen = shutil.which("age"), shutil.which("age-keygen")
    if age is None or keygen is None:
        pytest.skip("the program age is not installed (Debian: apt-get install age)")
    subprocess.run([keygen, "-o", str(tmp_path / "theirs.key")], check=True, capture_output=True)
    [theirs] = age_keys.read_identities(tmp_path / "theirs.key")
    (tmp_path / "ours.age").write_bytes(age_keys.encrypt(b"for age", [age_keys.public_of(theirs)]))
    opened = subprocess.run(
        [age, "-d", "-i", str(tmp_path / "theirs.key"), str(tmp_path / "ours.age")], check=True, capture_output=True
    )
    assert opened.stdout == b"for age"
    anne = person(tmp_path, "anne")
    closed = subprocess.run([age, "-R", str(anne.list)], input=b"for umed", check=True, capture_output=True).stdout
    assert age_keys.decrypt(closed, age_keys.read_identities(anne.key), "f") == b"for umed"


def test_without_the_library_the_message_says_what_to_install(monkeypatch, tmp_path, capsys):
    anne = person(tmp_path, "anne")
    monkeypatch.setitem(sys.modules, "pyrage", None)
    for words in (
        ["keygen", "--recipient", str(tmp_path / "new.key")],
        ["unlock", str(tmp_path), str(tmp_path / "new"), "--key", str(anne.key)],
        ["protect", str(tmp_path / "in"), str(tmp_path / "new"), "--recipients", str(anne.list)],
    ):
        assert main(words) == 2
        assert "pip install 'umed[unlock]'" in capsys.readouterr().err
        assert not (tmp_path / "new.key").exists() and not Path(tmp_path / "new").exists()
    with pytest.raises(UmedError):
        age_keys.require_pyrage()
