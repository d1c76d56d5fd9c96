# SPDX-License-Identifier: Apache-2.0
"""One form for all usual spellings of a text, in linear time, and the way back to the text.

Letters and digits alone, without case, width, accents and separators (Unicode NFKC, case folding, NFD without marks);
Cyrillic and Greek in Latin letters, mostly as passports write them (ICAO 9303, ELOT 743); usual transliterations are
one: ü = ue = u, ö = ø = oe = o, ä = æ = ae = a, å = aa = a, ß = ss = s, j = y = i = ii. Simplified, traditional, old
and new ideographs are one, and so are the letters of Arabic and Persian.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from umed.core.shipped import shipped_text

_LETTERS = {
    **{"ł": "l", "đ": "d", "ð": "d", "þ": "th", "ø": "o", "œ": "o", "æ": "a", "ħ": "h", "ŧ": "t", "ŋ": "n", "ı": "i"},
    **{"ə": "e", "j": "i", "y": "i", "ĸ": "k"},
    **dict(zip("абвгґдезиіклмноп", "a b v g g d e z i i k l m n o p".split(), strict=True)),
    **dict(zip("рстуфыэђљњћџј", "r s t u f i e d li ni c dz i".split(), strict=True)),
    **{"ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "", "ю": "iu", "я": "ia"},
    "є": "ie",
    **dict(zip("αβγδεζηικλμνξοπρσςτυφ", "a v g d e z i i k l m n x o p r s s t i f".split(), strict=True)),
    **{"θ": "th", "χ": "ch", "ψ": "ps", "ω": "o"},
    **{"ٱ": "ا", "ی": "ي", "ى": "ي", "ک": "ك", "ة": "ه"},
}
_GREEK_U = re.compile(r"(?<=[αεοάέόΑΕΟΆΈΌ])[υύΥΎ]")  # ου is u, not y
_DOUBLED = re.compile("a[ae]+|oe+|ue+|ss+|ii+")
_KEPT_MODIFIERS = "々〆ーゝゞヽヾ"


class _Table(dict[int, str]):
    """What a character becomes, worked out when it is first met."""

    def __missing__(self, point: int) -> str:
        self[point] = folded = _fold(chr(point))
        return folded


class Located(NamedTuple):
    """A normal form and where each of its characters comes from.

    Args:
        text: the normal form.
        starts: place in the source where each character begins.
        stops: place behind it, with whatever was folded into it.
    """

    text: str
    starts: list[int]
    stops: list[int]


def normal(text: str) -> str:
    """The normal form of a text; that of a normal form is itself.

    >>> normal("Müller-Groß, Zoë"), normal("MUELLER GROSS ZOE"), normal("123 456-789"), normal("Дмитрий")
    ('mullergroszo', 'mullergroszo', '123456789', 'dmitri')
    """
    return _DOUBLED.sub(lambda match: match[0][0], _prepared(text).translate(_TABLE))


def located(text: str) -> Located:
    """The normal form with the way back: character ``i`` of it is ``text[starts[i]:stops[i]]``.

    >>> located("Zoë 7")
    Located(text='zo7', starts=[0, 1, 4], stops=[1, 3, 5])
    """
    letters: list[str] = []
    starts: list[int] = []
    stops: list[int] = []
    for place, character in enumerate(_prepared(text)):
        for letter in _TABLE[ord(character)]:
            last = letters[-1] if letters else ""
            if (letter == "e" and last in ("a", "o", "u")) or (letter == last and letter in "asi"):
                stops[-1] = place + 1
                continue
            letters.append(letter)
            starts.append(place)
            stops.append(place + 1)
    return Located("".join(letters), starts, stops)


def _prepared(text: str) -> str:
    return text if text.isascii() else _GREEK_U.sub("u", text)


def _fold(character: str) -> str:
    folded = []
    for part in unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", character).casefold()):
        kind = unicodedata.category(part)
        if part in _LETTERS:
            folded.append(_LETTERS[part])
        elif kind == "Nd":
            folded.append(str(unicodedata.decimal(part)))
        elif "㐀" <= part <= "\u9fff":
            folded.append(_ideographs().get(part, part))
        elif "ぁ" <= part <= "ゖ":  # as katakana
            folded.append(chr(ord(part) + 0x60))
        elif kind in ("Ll", "Lu", "Lo", "Lt", "No", "Nl", "Mc") or part in _KEPT_MODIFIERS:
            folded.append(part)
    return "".join(folded)


@cache
def _ideographs() -> dict[str, str]:
    """The ideograph that stands for all of its group."""
    lines = [line for line in shipped_text("deid/lists/ideographs.txt").splitlines() if not line.startswith("#")]
    return {one: group[0] for line in lines for group in line.split() for one in group}


_TABLE = _Table()
