# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from umed.dicom.one_patient import Person, differing

ID, ISSUER = "PatientID (0010,0020)", "IssuerOfPatientID (0010,0021)"
NAME, BIRTH = "PatientName (0010,0010)", "PatientBirthDate (0010,0030)"
ERIKA = Person("4711-X", "", "Muster^Erika", "19640812")


@pytest.mark.parametrize(
    "name",
    [
        "", "MUSTER^ERIKA", "Muster, Erika", "Muster^Erika^^Dr.", "Beispiel-Muster^Erika", "Beispiel^Erika", "M^E",
        "\u6b66\u65af\u7279^\u827e\u4e3d\u5361",
    ],
)  # fmt: skip
def test_spellings_marriages_initials_and_other_scripts_are_no_other_person(name: str) -> None:
    assert differing([ERIKA, Person("4711-X", "", name, "")]) == ()


@pytest.mark.parametrize("pair", [("M\u00fcller", "MUELLER"), ("Mu\u0308ller", "Muller"), ("Gro\u00df", "GROSS")])
def test_transliterations_are_one_name(pair: tuple[str, str]) -> None:
    assert differing(Person("1", "", name) for name in pair) == ()


@pytest.mark.parametrize(
    ("other", "tags"),
    [
        (Person("8820", "", "Muster^Erika", "19640812"), (ID,)),
        (Person("", "", "Muster^Erika", "19640812"), (ID,)),
        (Person("4711-X", "West", "Muster^Erika", "19640812"), (ISSUER,)),
        (Person("4711-X", "", "Muster^Erika", "19640813"), (BIRTH,)),
        (Person("4711-X", "", "Beispiel^Hans", "19640812"), (NAME,)),
        (Person("4711-X", "", "\u0418\u0432\u0430\u043d\u043e\u0432=Beispiel", ""), (NAME,)),
        (Person("8820", "", "Beispiel^Hans", "1933.01.02"), (ID, BIRTH, NAME)),
    ],
)
def test_another_person_is_told_by_tags_alone(other: Person, tags: tuple[str, ...]) -> None:
    assert differing([ERIKA, other, ERIKA]) == tags == differing([other, ERIKA])
    assert differing([other, other]) == ()


def test_names_in_one_foreign_script_are_compared() -> None:
    yamada, suzuki = (Person("1", "", f"{name}^\u592a\u90ce") for name in ("\u5c71\u7530", "\u9234\u6728"))
    assert differing([yamada, suzuki]) == ()  # a common given name
    other = Person("1", "", "\u9234\u6728^\u82b1\u5b50")
    assert differing([yamada, other]) == (NAME,)
    assert differing([]) == ()
