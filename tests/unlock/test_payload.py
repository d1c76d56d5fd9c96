# SPDX-License-Identifier: Apache-2.0
"""The plaintext of an unlock file: read as it was written, or refused in one line."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umed.core.errors import InputError
from umed.unlock.payload import (
    DIFFERENCE,
    INDEX,
    MAGIC_LINE,
    WINDOWS,
    Payload,
    check_name,
    decode_payload,
    index_payload,
    padded_size,
    read_index,
)

DIGEST = "ab" * 32


def payload(**changes) -> Payload:
    given = {"kind": DIFFERENCE, "path": "images/a.png", "sha256": DIGEST, "digest": DIGEST, "name": "images/a.png"}
    return Payload(**{**given, "size": 12, "data": b"some data\0\0", **changes})


@given(st.binary(max_size=3000), st.text(st.characters(min_codepoint=33, exclude_characters="\\/:\x7f"), min_size=3))
def test_a_payload_is_read_as_it_was_written(data, word):
    one = payload(data=data, path=f"x/{word}x", name=f"x/{word}x")
    assert decode_payload(one.encode(), "f") == one
    assert one.encode() == one.encode()


@given(st.integers(0, 1 << 40))
def test_padding_costs_little_and_leaves_few_sizes(size):
    padded = padded_size(size)
    assert padded >= max(size, 1024) and padded <= max(1024, size * 1.12) and padded_size(padded) == padded


def test_few_sizes_are_left():
    assert len({padded_size(size) for size in range(10_000, 20_000)}) < 45


@settings(max_examples=200)
@given(st.data())
def test_whatever_is_changed_is_refused_or_read_as_a_payload(data):
    text = bytearray(payload().encode())
    place = data.draw(st.integers(0, 300))
    text[place] ^= data.draw(st.integers(1, 255))
    try:
        assert isinstance(decode_payload(bytes(text), "f"), Payload)
    except InputError as error:
        assert str(error).startswith("f: expected ") and "\n" not in str(error)


def changed(**fields) -> bytes:
    line = payload().encode()[len(MAGIC_LINE) :].split(b"\n")[0]
    return MAGIC_LINE + json.dumps({**json.loads(line), **fields}).encode() + b"\nsome data\0\0" + bytes(20)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"umed unlock 2\n{}\n",
        MAGIC_LINE,
        MAGIC_LINE + b"[]\n",
        MAGIC_LINE + b"[" * 60_000 + b"\n",
        changed(kind="other"),
        changed(size=-1),
        changed(size=True),
        changed(size=1.5),
        changed(data=5),
        changed(data=500),
        changed(digest="AB" * 32),
        changed(sha256=5),
        payload().encode() + b"x",
    ],
)
def test_what_is_no_payload_is_refused_in_one_line(text):
    with pytest.raises(InputError, match=r"\Af: expected [^\n]*\Z"):
        decode_payload(text, "f")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../a", "a/../../b", "a/./b", "a//b", "C:/a", "a\\b", "a\nb", "a\0b", "a/", ".."]
)
def test_names_outside_the_release_are_refused(name, monkeypatch):
    if name in ("C:/a", "a\\b"):
        assert WINDOWS or str(check_name(name, "f")) == name
        monkeypatch.setattr(sys.modules[Payload.__module__], "WINDOWS", True)
    with pytest.raises(InputError, match="names of files inside the release"):
        check_name(name, "f")
    for field in ("path", "name"):
        with pytest.raises(InputError):
            decode_payload(payload(**{field: name}).encode(), "f")
    with pytest.raises(InputError):
        read_index(index_payload({name: {"sha256": DIGEST, "payload": True}}), "f")


def test_the_index_is_read_as_it_was_written():
    listed = {"a/b.png": {"sha256": DIGEST, "payload": True}, "c.json": {"sha256": "cd" * 32, "payload": False}}
    one = decode_payload(index_payload(listed).encode(), "index.age")
    assert one.kind == INDEX
    assert read_index(one, "f") == {"a/b.png": (DIGEST, True), "c.json": ("cd" * 32, False)}
    with pytest.raises(InputError, match="another payload"):
        read_index(payload(), "f")
    with pytest.raises(InputError, match="damaged list"):
        read_index(index_payload({"a": {"sha256": DIGEST, "payload": 1}}), "f")
