# SPDX-License-Identifier: Apache-2.0
"""Text that a file states to be in another character set than it is: what its bytes say in those it may be in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from umed.deid.matcher import ANYWHERE, Matcher
from umed.deid.normal_form import normal
from umed.deid.spellings import enough

_SINGLE = ("latin-1", *(f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 11, 15)))
SEVERAL = ("utf-8", "gb18030", "euc_kr", "euc_jp", "shift_jis")
"""Character sets of several bytes a letter, as Python calls them."""
_BETWEEN = re.compile(r"[\^=\s\\\0]+")
_ESCAPE = re.compile(r"\x1b[$(),\-./]{1,2}[0-~]")
_UNREADABLE = "\ufffd"


def other_readings(text: str) -> Iterator[str]:
    """What the bytes of a text say in character sets of several bytes, where it was read in one of single bytes.

    >>> "欧阳" in list(other_readings("Å·Ñô")), list(other_readings("CT"))
    (True, [])
    """
    if text.isascii():
        return
    seen: set[bytes] = set()
    for single in _SINGLE:
        try:
            raw = text.encode(single)
        except UnicodeEncodeError:
            continue
        if raw in seen:
            continue
        seen.add(raw)
        for several in SEVERAL:
            try:
                yield raw.decode(several)
            except UnicodeDecodeError:
                continue


def other_names(raw: bytes) -> Iterator[str]:
    """What the bytes of a person name say in character sets of several bytes, where these make whole words of it.

    >>> "王^小" in list(other_names("王^小".encode("gb18030"))), list(other_names("Größe".encode("latin-1")))
    (True, [])
    """
    for name in SEVERAL:
        try:
            text = _ESCAPE.sub("", raw.decode(name))
        except UnicodeDecodeError:
            continue
        words = [word for word in _BETWEEN.split(text) if word]
        if all(word.isascii() or (name == "utf-8" and word.isprintable()) or _is_one_script(word) for word in words):
            yield text


def _is_one_script(word: str) -> bool:
    return all(enough(normal(one)) < ANYWHERE for one in word)


def hides(text: str, matcher: Matcher) -> bool:
    """Whether a text cannot be read, or is a removed value in another character set than its file states."""
    return _UNREADABLE in text or any(matcher.has(one) for one in other_readings(text))
