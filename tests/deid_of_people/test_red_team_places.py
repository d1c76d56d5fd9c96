# SPDX-License-Identifier: Apache-2.0
"""Addresses of people, machines and pages, escapes, and places in text that is trusted."""

from __future__ import annotations

import pytest

from tests.deid_of_people.text_release import cleaned, loose, picture


def left(planted: str) -> str:
    """What stays of a trusted text."""
    ds = picture(
        PatientName="Krawczyk^Zdzislaw", InstitutionName="Sanatorium Zauberberg Davos",
        SpecificCharacterSet="ISO_IR 192",
        PatientAddress="Lindenstrasse 14, 80331 Hottingen", PatientTelephoneNumbers="044 255 91 37",
    )  # fmt: skip
    loose(ds, 0x00181020, "LO", planted)
    return str(cleaned(ds).SoftwareVersions)


@pytest.mark.parametrize(
    "planted",
    [
        *("hans@spital.ch", "hans@spital", "hans(at)spital.ch", "hans [at] spital [dot] ch", "hans AT spital DOT ch"),
        *("www.spital-hier.ch/p/1", "spital-hier.ch", "ftp://pacs/x", "file:///C:/Users/hans", "//pacs01/share"),
        *("D:/data/hans", "fe80::1ff:fe23:4567:890a", "00:1B:44:11:3A:B7", "044/255.91.37", "0442559137"),
        *("Davos", "DAVOS", "zauberberg", "80331", "%4Brawczyk", "&#75;rawczyk", "Kr&aacute;wczyk", "𝐊𝐫𝐚𝐰𝐜𝐳𝐲𝐤"),
    ],
)
def test_it_goes(planted: str) -> None:
    assert left(f"VB17A {planted}") == "VB17A"


@pytest.mark.parametrize(
    "harmless",
    ["syngo.via VB60", "M4_0910.a", "ASIR 40%", "C:HEA;HEP", "AC & SC", "4:2:2", "L/min", "a / b", "dcm4che 5.23",
     "measured at 3T", "R&D build", "T1:/w"],
)  # fmt: skip
def test_technique_stays(harmless: str) -> None:
    assert left(harmless) == harmless


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"InstitutionName": "Center for Body Imaging"}, "Q-Body"),
        ({"InstitutionName": "Siemens Healthineers Demo"}, "Siemens syngo"),
        ({"PatientAddress": "Head Street 3"}, "HEAD FIRST"),
        ({"PatientName": "Phantom^Water", "PatientID": "CT-0001"}, "CT WATER 2.5 mm"),
        ({"PatientName": "Standard^Lung"}, "STANDARD LUNG"),
        ({"StationName": "SKYRA-40123"}, "MAGNETOM Skyra fit"),
        ({"AccessionNumber": "12.0"}, "12.0 SP3"),
        ({"PatientID": "2.5"}, "2.5 mm"),
    ],
)
def test_ordinary_words_of_places_and_people_take_no_technique_away(attributes: dict[str, str], text: str) -> None:
    ds = picture(**attributes)
    loose(ds, 0x00181020, "LO", text)
    assert cleaned(ds).SoftwareVersions == text
