# SPDX-License-Identifier: Apache-2.0
"""Text in pieces of one kind each, and the words that are known to be harmless."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal, NamedTuple

from umed.core.shipped import shipped_text

Kind = Literal["number", "word", "blank", "mark"]

_SIGNS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"  # vowels and accents within words
_TOKEN = re.compile(
    rf"(?P<number>\d+)|(?P<word>[^\W\d_](?:[^\W\d_]|[{_SIGNS}])*|[%°])|(?P<blank>\s+)|(?P<mark>.)", re.DOTALL
)


class Token(NamedTuple):
    """A piece of text: a run of digits, of letters, of blanks, or one other character."""

    kind: Kind
    text: str


@cache
def vocabulary() -> frozenset[str]:
    """Words, in lower case, that say what was imaged and how."""
    text = shipped_text("deid/lists/vocabulary.txt")
    return frozenset(line for line in text.split("\n") if line and not line.startswith("#"))


def plain(text: str) -> str:
    r"""Text in compatibility form (NFKC) with ASCII digits and without invisible characters.

    >>> plain("２０２３\u200b０６")
    '202306'
    """
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(
        str(unicodedata.decimal(one)) if one.isdecimal() else one
        for one in folded
        if unicodedata.category(one) not in ("Cf", "Me")
    )


def tokens(text: str) -> list[Token]:
    """Pieces of a text; joined they give the text.

    >>> [token.text for token in tokens("T1, 2.5mm")]
    ['T', '1', ',', ' ', '2', '.', '5', 'mm']
    """
    return [Token(match.lastgroup, match[0]) for match in _TOKEN.finditer(text)]  # type: ignore[arg-type]
