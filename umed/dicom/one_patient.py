# SPDX-License-Identifier: Apache-2.0
"""Whether files that belong together are of one patient: by PatientID and issuer, birth date and name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

_SPELLINGS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "þ": "th"})
_UMLAUTS = (("ae", "a"), ("oe", "o"), ("ue", "u"))


@dataclass(frozen=True)
class Person:
    """Who a file says that it shows, as it is written there; empty where it does not say.

    Args:
        id: PatientID.
        issuer: IssuerOfPatientID.
        name: PatientName with all its component groups.
        birth: PatientBirthDate.
    """

    id: str = ""
    issuer: str = ""
    name: str = ""
    birth: str = ""


def differing(persons: Iterable[Person]) -> tuple[str, ...]:
    """What tells the files of several patients apart.

    A PatientID that some files lack differs, too, since those files would get another pseudonym. A name or birth date
    that some files lack does not, nor does another spelling of a name: only names without a common word differ.

    Args:
        persons: of each file.

    Returns:
        Attributes with their tags, never values; none where all files may be of one patient.
    """
    known = set(persons)
    found = []
    if len({one.id for one in known}) > 1:
        found.append("PatientID (0010,0020)")
    if len({one.issuer for one in known if one.id}) > 1:
        found.append("IssuerOfPatientID (0010,0021)")
    if len({re.sub(r"\D", "", one.birth) for one in known} - {""}) > 1:
        found.append("PatientBirthDate (0010,0030)")
    names = sorted({tuple(sorted(_words(one.name))) for one in known} - {()})
    if any(_other_person(one, other) for one, other in combinations(names[:100], 2)):
        found.append("PatientName (0010,0010)")
    return tuple(found)


def _words(name: str) -> set[str]:
    """Words of two letters or more without accents, capitals and usual transliterations."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold().translate(_SPELLINGS))
    text = "".join(one for one in plain if not unicodedata.combining(one))
    for long, short in _UMLAUTS:
        text = text.replace(long, short)
    return {word for word in re.findall(r"[^\W_]+", text) if len(word) > 1 or not word.isascii()}


def _other_person(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two names share no word; those in different scripts cannot be compared."""
    for script in (True, False):
        left, right = ({word for word in words if word.isascii() == script} for words in (one, other))
        if left and right:
            return not left & right
    return False
