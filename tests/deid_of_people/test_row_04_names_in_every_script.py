# SPDX-License-Identifier: Apache-2.0
"""Row 4: every component group of a name goes from all text, in every character set of DICOM."""

from __future__ import annotations

import re

import pydicom
import pytest
from pydicom.datadict import tag_for_keyword

from tests.deid_of_people.own_search import survivors
from tests.deid_of_people.text_release import EVERYTHING, anonymized, loose, picture, proven, stored
from tests.dicom_files import save
from umed.cli.main import main

PLACES = "ManufacturerModelName SoftwareVersions SegmentLabel StudyDescription ProtocolName StudyComments".split()
# Character sets (PS3.3 C.12.1.1.2), a name, and the words of it that name somebody.
NAMES = {
    "UTF-8, Japanese": ("ISO_IR 192", "Kita^Haru=北ノ園^春信=きたのその^はるのぶ", "北ノ園 春信 きたのその はるのぶ"),
    "UTF-8, Chinese": ("ISO_IR 192", "Ouyang^Xiaoqian=歐陽^筱茜", "歐陽 筱茜"),
    "UTF-8, Korean": ("ISO_IR 192", "Namgung^Seokhun=南宮^錫勳=남궁^석훈", "南宮 錫勳 남궁 석훈"),
    "IR 13": (["ISO_IR 13"], "ｷﾀﾉｿﾉ^ﾊﾙﾉﾌﾞ", "ｷﾀﾉｿﾉ ﾊﾙﾉﾌﾞ"),
    "IR 13 and 87": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ｷﾀﾉｿﾉ^ﾊﾙﾉﾌﾞ=北ノ園^春信", "ｷﾀﾉｿﾉ 北ノ園 春信"),
    "IR 87": (["", "ISO 2022 IR 87"], "Kita^Haru=北ノ園^春信=きたのその^はるのぶ", "北ノ園 春信 きたのその はるのぶ"),
    "IR 159": (["", "ISO 2022 IR 159"], "Kitanosono^Harunobu=鷗丂^龔丅", "鷗丂 龔丅"),
    "IR 149": (["", "ISO 2022 IR 149"], "Namgung^Seokhun=南宮^錫勳=남궁^석훈", "南宮 錫勳 남궁 석훈"),
    "IR 58": (["", "ISO 2022 IR 58"], "Ouyang^Xiaoqian=欧阳^筱茜", "欧阳 筱茜"),
    "GB18030": ("GB18030", "Ouyang^Xiaoqian=歐陽^筱茜", "歐陽 筱茜"),
    "GBK": ("GBK", "Ouyang^Xiaoqian=歐陽^筱茜", "歐陽 筱茜"),
    "Latin-1": ("ISO_IR 100", "Grünmüßler^Zoë", "Grünmüßler"),
    "Latin-2": ("ISO_IR 101", "Żółwiński^Łukaszek", "Żółwiński Łukaszek"),
    "Latin-3": ("ISO_IR 109", "Ĝangalŭno^Ĉiamvera", "Ĝangalŭno Ĉiamvera"),
    "Latin-4": ("ISO_IR 110", "Ķirzāķenne^Šņukura", "Ķirzāķenne Šņukura"),
    "Latin-5": ("ISO_IR 148", "Çığlıoğulları^Şükrüye", "Çığlıoğulları Şükrüye"),
    "Latin-9": ("ISO_IR 203", "Œillardeaux^Žofiela", "Œillardeaux Žofiela"),
    "Cyrillic": ("ISO_IR 144", "Щукарёвский^Юльян", "Щукарёвский Юльян"),
    "Arabic": ("ISO_IR 127", "قباني^لنزارية", "قباني لنزارية"),
    "Greek": ("ISO_IR 126", "Ψαρογιαννίδης^Ευφροσύνη", "Ψαρογιαννίδης Ευφροσύνη"),
    "Hebrew": ("ISO_IR 138", "שרוניאלי^דבוריאל", "שרוניאלי דבוריאל"),
    "Thai": ("ISO_IR 166", "นามสกุลดี^ชื่อเด่นชัย", "นามสกุลดี"),
    "2022 Cyrillic": (["ISO 2022 IR 6", "ISO 2022 IR 144"], "Щукарёвский^Юльян", "Щукарёвский Юльян"),
    "2022 Greek": (["ISO 2022 IR 6", "ISO 2022 IR 126"], "Ψαρογιαννίδης^Ευφροσύνη", "Ψαρογιαννίδης"),
}  # fmt: skip


def gb_2312(text: str) -> bytes:
    """As PS3.5 K.2 writes it: an escape sequence before each run of ideographs."""
    return re.sub("[\u4e00-\u9fff]+", lambda match: "\x1b$)A" + match[0], text).encode("gb2312")


# What pydicom reads, in part, and does not write.
UNWRITTEN = {"IR 58": gb_2312}


def written(name: str, words: str) -> list[str]:
    """The name as people write it again."""
    parts = words.split()
    orders = [" ".join(parts), " ".join(reversed(parts)), "".join(parts), "_".join(parts)]
    return [name, *parts, *orders, f"CT {parts[0]} T1", *(one.upper() for one in parts)]


@pytest.mark.parametrize("way", NAMES)
def test_no_part_of_a_name_stays_in_text(tmp_path, way: str) -> None:
    sets, name, words = NAMES[way]
    wanted = [*words.split(), *(part for part in name.split("=")[0].split("^") if part.isascii())]
    ds = picture(SpecificCharacterSet=sets, PatientName=name)
    for number, one in enumerate(written(name, words)):
        tag = tag_for_keyword(PLACES[number % len(PLACES)])
        before = [] if tag not in ds else [ds[tag].value] if isinstance(ds[tag].value, str) else list(ds[tag].value)
        loose(ds, tag, "LO", [*(text for text in before if text not in ("Maker", "Model 1")), one])
    if way in UNWRITTEN:
        stored(ds, 0x00100010, "PN", UNWRITTEN[way](name))
        stored(ds, 0x00081090, "LO", b"Model " + UNWRITTEN[way](words))
    path = proven(tmp_path, ds, EVERYTHING)
    assert str(pydicom.dcmread(tmp_path / "in" / "slice.dcm").PatientName) == name or way in UNWRITTEN
    assert survivors(path, words=wanted) == set()


@pytest.mark.parametrize("way", NAMES)
def test_the_check_finds_a_name_that_was_left(tmp_path, way: str, capsys) -> None:
    sets, name, words = NAMES[way]
    path = proven(tmp_path, picture(SpecificCharacterSet=sets, PatientName=name))
    ds = pydicom.dcmread(path)
    ds.SpecificCharacterSet = sets
    ds.ManufacturerModelName = words.split()[0]
    ds.save_as(path)
    capsys.readouterr()
    assert main(["anonymize", "--check", str(tmp_path / "out"), "--original", str(tmp_path / "in")]) == 1
    assert "PatientName" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["Kitanosono^Harunobu", "北ノ園^春信", "きたのその^はるのぶ"])
@pytest.mark.parametrize("attribute", ["ReferringPhysicianName", "OperatorsName", "OtherPatientNames"])
def test_names_of_others_in_one_group_alone(tmp_path, attribute: str, group: str) -> None:
    ds = picture(SpecificCharacterSet="ISO_IR 192", ManufacturerModelName=group.replace("^", " "))
    setattr(ds, attribute, f"Kitanosono^Harunobu={group}=")
    assert survivors(proven(tmp_path, ds), words=group.split("^")) == set()


@pytest.mark.parametrize("codec", ["shift_jis", "euc_jp", "gb18030", "utf-8", "utf-16-le"])
def test_a_file_that_states_another_character_set_than_it_has(tmp_path, codec: str) -> None:
    name = "北ノ園^春信" if codec != "gb18030" else "歐陽^筱茜"
    ds = picture(SpecificCharacterSet="ISO_IR 100")
    stored(ds, 0x00100010, "PN", name.encode(codec))
    stored(ds, 0x00081090, "LO", "".join(name.split("^")).encode(codec))
    assert survivors(proven(tmp_path, ds), words=name.split("^")) == set()


def test_a_name_in_gb_2312_and_in_another_file_in_utf_8(tmp_path) -> None:
    first, second = picture(SpecificCharacterSet=["", "ISO 2022 IR 58"]), picture(SpecificCharacterSet="ISO_IR 192")
    stored(first, 0x00081070, "PN", gb_2312("欧阳^筱茜"))
    second.SOPInstanceUID += ".2"
    second.ManufacturerModelName = "欧阳 筱茜"
    save(first, tmp_path / "in" / "first.dcm")
    code, files = anonymized(tmp_path, second)
    assert code == 0 and len(files) == 2
    assert [survivors(path, words=["欧阳", "筱茜"]) for path in files] == [set(), set()]


@pytest.mark.parametrize("codec", ["gb18030", "utf-8", "euc_kr"])
@pytest.mark.parametrize("stated", ["ISO_IR 100", "ISO_IR 144", "ISO_IR 192", ""])
def test_text_in_another_character_set_than_is_stated(tmp_path, stated: str, codec: str) -> None:
    name = "南宮^錫勳"
    first, second = picture(SpecificCharacterSet="ISO_IR 192", OperatorsName=name), picture(SpecificCharacterSet=stated)
    second.SOPInstanceUID += ".2"
    stored(second, 0x00081090, "LO", "CT 南宮錫勳".encode(codec))
    stored(second, 0x00181020, "LO", "錫勳".encode(codec))
    save(first, tmp_path / "in" / "first.dcm")
    code, files = anonymized(tmp_path, second)
    assert code == 0 and len(files) == 2
    assert [survivors(path, words=name.split("^")) for path in files] == [set(), set()]


@pytest.mark.parametrize("stated", ["ISO_IR 100", "ISO_IR 144"])
@pytest.mark.parametrize(
    ("codec", "name"), [("gb18030", "王^小明"), ("euc_kr", "남궁^석훈"), ("shift_jis", "北園^春信")]
)
def test_a_name_in_another_character_set_than_is_stated(tmp_path, stated: str, codec: str, name: str) -> None:
    first, second = picture(SpecificCharacterSet=stated), picture(SpecificCharacterSet="ISO_IR 192")
    stored(first, 0x00081070, "PN", name.encode(codec))
    second.SOPInstanceUID += ".2"
    second.ManufacturerModelName = name.replace("^", "")
    save(first, tmp_path / "in" / "first.dcm")
    code, files = anonymized(tmp_path, second)
    assert code == 0 and len(files) == 2
    assert [survivors(path, words=[name.replace("^", "")]) for path in files] == [set(), set()]


@pytest.mark.parametrize("vr", ["CS", "AE", "DA", "TM", "AS", "UI"])
def test_escapes_are_no_part_of_a_value_that_has_no_character_set(tmp_path, vr: str) -> None:
    ds = picture(SpecificCharacterSet=["", "ISO 2022 IR 159"], PatientName="Kita^Haru=卌倞")
    tags = {"CS": 0x00181403, "AE": 0x00080054, "DA": 0x00080021, "TM": 0x00080032, "AS": 0x00101010, "UI": 0x00081155}
    stored(ds, tags[vr], vr, "卌倞".encode("iso2022_jp_2"))
    path = proven(tmp_path, ds, EVERYTHING)
    assert b"\x1b$(D" not in path.read_bytes() and survivors(path, words=["卌倞"]) == set()


@pytest.mark.parametrize("vr", ["AS", "CS", "DA", "AE"])
def test_text_that_is_stored_with_a_vr_of_no_character_set(tmp_path, vr: str) -> None:
    ds = picture(SpecificCharacterSet=["", "ISO 2022 IR 159"], PatientName="Kita^Haru=卌倞")
    stored(ds, 0x00081090, vr, "卌倞".encode("iso2022_jp_2") + b"/2")
    path = proven(tmp_path, ds)
    assert survivors(path, words=["卌倞"]) == set() and b"\x1b$(D" not in path.read_bytes()
