# SPDX-License-Identifier: Apache-2.0
"""What any bytes may say: read in every character set that DICOM allows, unescaped, and taken out of base64 and hex."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote_to_bytes

MOST_IN_EVERY_SET = 1 << 20
"""Bytes up to which a text is read in every character set; longer ones as UTF-8, UTF-16 and Latin-1 only."""
_SINGLE = ("latin-1", *(f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 11, 15)))
_MULTIPLE = ("shift_jis", "euc_jp", "euc_kr", "gb18030")
_SHIFTED = ("iso2022_jp_ext", "iso2022_jp_2")
_ESCAPE = re.compile(rb"\x1b[$(),\-./]{1,2}[0-~]")
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1b")) + b"\x7f"
_RUN = re.compile(rb"[\t\n\r\x1b\x20-\x7e\x80-\xff]{4,}")
_ASCII_RUN = re.compile(rb"[\t\n\r\x20-\x7e]{6,}")
_MOST_BINARY = 1 << 16
_WIDE_RUN = re.compile(rb"(?:[\x20-\x7e\xa0-\xff]\0){3,}|(?:\0[\x20-\x7e\xa0-\xff]){3,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}(?:\r?\n[A-Za-z0-9+/_-]{8,})*={0,2}")
_BASE64_WORD = re.compile(rb"[A-Za-z0-9]{8,}={0,2}")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}[ :]?){6,}")
# Bytes as hexadecimal digits in JavaScript, RTF and quoted-printable mails.
_BYTE_ESCAPE = re.compile(r"(?:\\x|\\'|=)([0-9A-Fa-f]{2})")
_JSON_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_SHORT_RUN = 256
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def readings(data: bytes) -> Iterator[str]:
    r"""All texts that some bytes may be: of a text in every character set, of other bytes the readable runs in them.

    Args:
        data: any bytes.

    >>> list(readings(b"Muster")), "Мы" in list(readings(b"\xbc\xeb"))
    (['Muster'], True)
    """
    if not data:
        return
    seen: set[str] = set()
    for text in _decoded(data):
        for view in (text, *_unescaped(text)):
            if view not in seen:
                seen.add(view)
                yield view


def _decoded(data: bytes) -> Iterator[str]:
    plain = data.rstrip(b"\0 ")
    if plain.isascii() and not plain.translate(None, delete=bytes(range(32, 127)) + b"\t\n\r\x0b\x0c"):
        yield plain.decode("ascii")
        return
    if b"\0" in plain:
        if plain.count(0) * 4 >= len(plain) or plain[:2] in (b"\xff\xfe", b"\xfe\xff"):
            yield data.decode("utf-16-le", "ignore")
            yield data.decode("utf-16-be", "ignore")
        else:
            yield " ".join(match[0].replace(b"\0", b"").decode("latin-1") for match in _WIDE_RUN.finditer(data))
    texty = is_text(plain)
    run = _RUN if len(data) <= _MOST_BINARY else _ASCII_RUN
    text = plain if texty else b"\n\n".join(run.findall(data))
    if not text:
        return
    if len(text) > MOST_IN_EVERY_SET or (not texty and len(data) > _MOST_BINARY):
        yield text.decode("utf-8", "ignore")
        yield text.decode("latin-1")
        return
    for name in ("utf-8", *_SINGLE, *_MULTIPLE):
        yield text.decode(name, "ignore")
    if b"\x1b" in text:
        for name in _SHIFTED:
            yield text.decode(name, "ignore")
        bare = _ESCAPE.sub(b"", text)
        for name in (*_SINGLE, *_MULTIPLE):
            yield bare.decode(name, "ignore")


def _unescaped(text: str) -> Iterator[str]:
    """The same without the escapes of JSON, JavaScript, RTF, mails, HTML and web addresses."""
    if "\\u" in text:
        yield _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    if _BYTE_ESCAPE.search(text):
        plain = _BYTE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text.replace("=\n", "").replace("=\r\n", ""))
        yield plain
        with suppress(UnicodeError):
            yield plain.encode("latin-1").decode("utf-8")
    if "&" in text:
        yield html.unescape(text)
    if "%" in text:
        yield unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        yield unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("latin-1")


def is_text(data: bytes) -> bool:
    """Whether hardly any of some bytes are control characters."""
    return len(data.translate(None, delete=_CONTROL)) >= 0.97 * len(data)


def is_long(data: bytes) -> bool:
    """Whether some bytes are too long to be read in every character set."""
    return len(data) > MOST_IN_EVERY_SET and not data.isascii()


def encoded(data: bytes) -> Iterator[bytes]:
    """What stands in some bytes as base64 (also its form for web addresses) or as hexadecimal digits.

    >>> b"Muster" in list(encoded(b'{"x": "TXVzdGVy"}')), b"Muster" in list(encoded(b"0x4d7573746572"))
    (True, True)
    """
    for match in _BASE64.finditer(data):
        run = match[0].translate(_URL_SAFE, delete=b"\r\n=")
        yield from _of_base64(run)
        if len(run) <= _SHORT_RUN:  # what stands before it may look like a part of it
            for place in (1, 2, 3):
                yield from _of_base64(run[place:])
            for word in _BASE64_WORD.findall(match[0]):
                if len(word) < len(run):
                    yield from _of_base64(word.rstrip(b"="))
    for match in _HEX.finditer(data):
        digits = match[0].translate(None, delete=b" :")
        yield from (bytes.fromhex(digits[: len(digits) & ~1].decode()), bytes.fromhex(_odd(digits).decode()))


def _odd(digits: bytes) -> bytes:
    return digits[1 : 1 + (len(digits) - 1 & ~1)]


def _of_base64(run: bytes) -> Iterator[bytes]:
    if len(run) % 4 == 1:
        run = run[:-1]
    try:
        yield base64.b64decode(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return
