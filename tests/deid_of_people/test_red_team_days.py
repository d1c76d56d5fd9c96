# SPDX-License-Identifier: Apache-2.0
"""What tells a day, a week, an hour, an age or a year of birth without a date; and technique that looks like it."""

from __future__ import annotations

import pytest

from tests.deid_of_people.text_release import cleaned, loose, picture

EVERY = ["basic", "clean_descriptors", "longitudinal+clean_descriptors"]


def left(planted: str, profile: str) -> list[str]:
    """What stays of a text in trusted attributes, a code string and a cleaned one."""
    ds = picture(PatientAge="082Y", SpecificCharacterSet="ISO_IR 192")
    loose(ds, 0x00181020, "LO", planted)
    loose(ds, 0x00283003, "LO", planted)
    loose(ds, 0x00180022, "CS", planted.upper())
    loose(ds, 0x00181030, "LO", planted)
    ds = cleaned(ds, profile)
    return [str(ds.get(word, "")) for word in ("SoftwareVersions", "LUTExplanation", "ScanOptions", "ProtocolName")]


@pytest.mark.parametrize("profile", EVERY)
@pytest.mark.parametrize(
    "planted",
    [
        *("born 41", "born 1941", "*1941", "geb. 1941", "née 1941", "Jg. 41", "Jahrgang 1941", "YOB 1941", "DOB: 1941"),
        *(
            "'41",
            "82 y",
            "82yo",
            "82 ans",
            "82-jährig",
            "82 years old",
            "aged 82",
            "Alter: 82",
            "82歳",
            "82 лет",
            "97 y",
        ),
        *(
            "KW24",
            "KW 24/23",
            "CW 24 2023",
            "Q2 2023",
            "2Q23",
            "令和5年",
            "昭和16年5月3日",
            "10h15",
            "10:15:30",
            "10.15 Uhr",
        ),
        *("26 Dhu al-Qadah 1444", "26 Sivan 5783", "Thu, 15 Jun", "Donnerstag", "jeudi 15 juin", "Tuesday"),
    ],
)
def test_it_goes(planted: str, profile: str) -> None:
    for text in left(planted, profile):
        assert not any(map(str.isdigit, text)), text
        assert not {"thu", "donnerstag", "jeudi", "tuesday", "令和", "昭和", "sivan"} & set(
            text.lower().replace(",", " ").split()
        )


@pytest.mark.parametrize("old", ["90 y", "97yo", "aged 101"])
def test_great_ages_go_where_ages_stay(old: str) -> None:
    for text in left(old, "patient_characteristics"):
        assert not any(map(str.isdigit, text))
    assert left("45 y", "patient_characteristics")[0] == "45 y"


@pytest.mark.parametrize(
    "harmless",
    ["T1 MPRAGE SAG 1.0 mm ISO", "Br40d", "VB17A", "syngo CT 2012B", "MR E11", "R5.4.1", "4:2:2", "1:10", "0.984:1",
     "Y90", "Sun Nuclear", "OSEM 3i21s", "AIDR3D eSTD", "Sn150 kV", "Mo/Rh", "SAT 3", "FA 12", "Q-Body", "82a", "W24",
     "Ga-68", "TI 2300", "1H", "HE1-4;NE1,2", "^18^Fluorine", "XYZ Gauss2.00", "DV26.0_R02_1810.b"],
)  # fmt: skip
def test_technique_stays(harmless: str) -> None:
    for profile in EVERY:
        assert left(harmless, profile)[:2] == [harmless, harmless]
