# SPDX-License-Identifier: Apache-2.0
"""Names in spellings that people and programs make of them, in text that is trusted and in text that is cleaned."""

from __future__ import annotations

import pytest

from tests.deid_of_people.text_release import KEY, cleaned, loose, picture
from umed.deid.engine import Deidentifier
from umed.deid.profile import load_profile

PLACES = {
    0x00181020: "LO", 0x00181210: "SH", 0x00180024: "SH", 0x00283003: "LO", 0x00281055: "LO", 0x0008103E: "LO",
    0x00181030: "LO", 0x00204000: "LT",
}  # fmt: skip


def left(name: str, planted: str, profile: str = "clean_descriptors", **attributes: str) -> set[str]:
    """Words of the texts of a slice whose patient has a name."""
    ds = picture(PatientName=name, SpecificCharacterSet="ISO_IR 192", **attributes)
    for tag, vr in PLACES.items():
        loose(ds, tag, vr, f"B30f: {planted}")
    ds = cleaned(ds, profile)
    texts = [str(ds[tag].value) for tag in PLACES if tag in ds]
    assert any("B30f" in text for text in texts)
    return {word for text in texts for word in text.split()} - {
        "B30f",
        "B30f:",
        "REMOVED",
        ".",
        ",",
        "-",
        "v.",
        "Graf",
        "v",
        "d",
    }


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("von der Schulenburg^Friedrich Wilhelm", "FW Schulenburg"),
        ("von der Schulenburg^Friedrich Wilhelm", "SchulenburgFW"),
        ("von der Schulenburg^Friedrich Wilhelm", "Schulenb"),
        ("von der Schulenburg^Friedrich Wilhelm", "friedr. schulenburg"),
        ("O'Brien^Siobhán", "Siobhn"),
        ("O'Brien^Siobhán", "Siobh?n"),
        ("Łukaszewski^Bolesław", "Lukaszewska"),
        ("Sørensen^Åse", "AASE"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Taro Yamada"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Tarō"),
        ("Wang^XiaoDong=王^小东", "王小東"),
        ("Wang^XiaoDong=王^小东", "小東"),
        ("Wang^XiaoDong=王^小东", "王先生"),
        ("渡邉^明", "渡辺さん"),
        ("الحسيني^محمد", "حسيني"),
        ("الحسيني^محمد", "ٱلحسيني"),
        ("الحسيني^محمد", "الحسینی"),
        ("Иванов^Дмитрий", "Iwanow"),
        ("Παπαδόπουλος^Γεώργιος", "Παπαδοπουλου"),
        ("สมชาย^ใจดี", "นายสมชาย"),
        ("כהן^דוד", "דוד"),
        ("Li^Bo", "B Li"),
        ("Ng^Vy", "VyNg"),
        ("Krawczyk^Zdzislaw", "S3Jhd2N6eWs="),
        ("Krawczyk^Zdzislaw", "4b726177637a796b"),
    ],
)
def test_a_name_in_another_spelling_goes(name: str, planted: str) -> None:
    assert left(name, planted) <= {"นาย", "="}


def test_short_names_stay_in_codes_and_units_only() -> None:
    ds = picture(PatientName="Hu^Li", RescaleType="HU", PatientPosition="HFS", LUTExplanation="for Li Hu")
    ds = cleaned(ds)
    assert (ds.RescaleType, ds.PatientPosition, ds.LUTExplanation) == ("HU", "HFS", "for")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Philipson^Ada", "Philips"),
        ("Siemensen^Jo", "Siemens"),
        ("Axialis^Jo", "axial"),
        ("Marian^Lin", "Mari Lingual"),
        ("Contrasti^Eva", "contrast"),
        ("Brandstetter^Eva", "Brilliance 64"),
    ],
)
def test_words_that_begin_like_a_name_stay(name: str, text: str) -> None:
    ds = picture(PatientName=name, Manufacturer=text, ConvolutionKernel="B30f")
    assert cleaned(ds).Manufacturer == text


def test_a_name_that_only_another_file_spells_out_goes() -> None:
    engine = Deidentifier(KEY, load_profile("basic"))
    ds = picture(PatientName="Anonymous", SoftwareVersions="VB17A Castorp", SpecificCharacterSet="ISO_IR 192")
    other = picture(PatientName="Anonymous", OtherPatientNames="Castorp^Hans")
    for one in (ds, other):
        engine.remember(one, "p", "s")
    engine(ds, "p", study="s")
    assert ds.SoftwareVersions == "VB17A"
