# SPDX-License-Identifier: Apache-2.0
"""Every kind of value of a patient, laid into every place of an output, in other spellings and character sets."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.dicom_files import image
from umed.deid.check import Examined, examine
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile

KEY = DeidKey(bytes(range(32)))
PATIENT = {
    "SpecificCharacterSet": ["ISO_IR 192"],
    "PatientName": "Müllerovská^Ottilie=山田^太郎=やまだ^たろう",
    "PatientID": "MRN-0048812345",
    "PatientBirthDate": "19410503",
    "InstitutionName": "Sanatorium Zauberberg",
    "AccessionNumber": "ACC-77190/3",
    "PatientTelephoneNumbers": "044 255 11 18",
    "ReferringPhysicianName": "Дмитриев^Пётр",
    "OperatorsName": "Παπαδόπουλος^Γιώργος",
    "PerformingPhysicianName": "כהן^דויד",
    "NameOfPhysiciansReadingStudy": "محمود^قباني",
    "RequestingPhysician": "김희중^길동",
    "ScheduledPerformingPhysicianName": "สมชายดี^ใจดี",
    "PatientComments": "see file",
    "StationName": "ZBG-CT-0Q71",
    "DeviceSerialNumber": "SN5519-204",
    "StudyDate": "20230615",
}
UID = "1.3.999.4711.77.3"

SPELLINGS = {  # what, spelled otherwise than in the original, and the keyword that it is to be told by
    "name without accents": ("OTTILIE MULLEROVSKA", "PatientName"),
    "name transliterated": ("Muellerovska", "PatientName"),
    "name decomposed": ("Mu\u0308llerovska\u0301", "PatientName"),
    "name within a word": ("imgMüllerovskáCT", "PatientName"),
    "name in wide letters": ("Ｏｔｔｉｌｉｅ", "PatientName"),
    "ideographs": ("患者山田", "PatientName"),
    "kana": ("ヤマダタロウ", "PatientName"),
    "Cyrillic": ("ДМИТРИЕВ", "ReferringPhysicianName"),
    "Cyrillic in Latin": ("Dmitriev", "ReferringPhysicianName"),
    "Greek": ("ΠΑΠΑΔΟΠΟΥΛΟΣ", "OperatorsName"),
    "identifier in groups": ("no 48 812 345", "PatientID"),
    "identifier without prefix": ("x 0048812345 y", "PatientID"),
    "identifier without zeros": ("id48812345.", "PatientID"),
    "accession number": ("acc 77190 3", "AccessionNumber"),
    "phone": ("0442551118", "PatientTelephoneNumbers"),
    "phone with slashes": ("044/255/11/18", "PatientTelephoneNumbers"),
    "institution in pieces": ("Sanatorium_ZAUBERBERG", "InstitutionName"),
    "part of the institution": ("zauberberg", "InstitutionName"),
    "date in words": ("born 3rd of May, 1941", "PatientBirthDate"),
    "date in German": ("3. Mai 1941", "PatientBirthDate"),
    "date in French": ("3 mai 1941", "PatientBirthDate"),
    "date in Russian": ("3 мая 1941 г.", "PatientBirthDate"),
    "date in Japanese": ("1941年5月3日", "PatientBirthDate"),
    "date in Thai": ("3 พฤษภาคม 2484", "PatientBirthDate"),
    "date with slashes": ("05/03/41", "PatientBirthDate"),
    "date with dots": ("3.5.1941", "PatientBirthDate"),
    "date without zeros": ("5031941", "PatientBirthDate"),
    "date in ISO": ("1941-05-03T10:00", "PatientBirthDate"),
    "study date, short": ("06 15 23", "StudyDate"),
    "station": ("zbg ct 0q71", "StationName"),
    "UID": (UID, "SOPInstanceUID"),
}
ENCODINGS = {
    "utf-8": ("Müllerovská", "山田太郎"),
    "utf-16-le": ("Müllerovská", "山田太郎"),
    "utf-16-be": ("Müllerovská", "山田太郎"),
    "latin-1": ("Müllerovská",),
    "iso8859_2": ("Müllerovská",),
    "iso8859_3": ("Müllerovská",),
    "iso8859_4": ("Müllerovská",),
    "iso8859_5": ("Дмитриев",),
    "iso8859_6": ("محمود",),
    "iso8859_7": ("Παπαδόπουλος",),
    "iso8859_8": ("כהן דויד",),
    "iso8859_9": ("Müllerovská",),
    "iso8859_15": ("Müllerovská",),
    "iso8859_11": ("สมชายดี",),
    "shift_jis": ("山田太郎", "ﾔﾏﾀﾞ ﾀﾛｳ"),
    "iso2022_jp": ("山田太郎",),
    "iso2022_jp_2": ("山田太郎",),
    "euc_jp": ("山田太郎",),
    "euc_kr": ("김희중",),
    "gb18030": ("山田太郎",),
    "gbk": ("山田太郎",),
}


@pytest.fixture
def released(tmp_path: Path) -> tuple[Path, Path]:
    """An original, and an output in which nothing is left."""
    original, output = tmp_path / "in", tmp_path / "out"
    original.mkdir()
    output.mkdir()
    ds = image(np.arange(64, dtype=np.uint16).reshape(8, 8), **PATIENT)
    ds.SOPInstanceUID = UID
    ds.save_as(original / "a.dcm", enforce_file_format=True)
    Deidentifier(KEY, load_profile("basic"))(ds, "x")
    ds.save_as(output / "1.dcm", enforce_file_format=True)
    return original, output


def sources(checked: Examined) -> set[str]:
    return {name for one in checked.findings for name in one.source.split(", ")}


def clean(checked: Examined) -> bool:
    """Whether no more than two characters of anything secret are quoted."""
    text = " ".join(f"{one.file} {one.hint} {one.why}" for one in checked.findings).lower()
    return not any(
        part in text for part in ("ottilie", "vská", "48812", "zauberberg", "3. mai", "мая", "山田太", "44255")
    )


@pytest.mark.parametrize("what", SPELLINGS)
def test_every_spelling_is_found_and_told_by_its_attribute(released, what: str) -> None:
    original, output = released
    text, keyword = SPELLINGS[what]
    (output / "note.txt").write_text(f"made today\n{text}\n", encoding="utf-8")
    checked = examine(output, original)
    assert keyword in sources(checked), checked.findings
    assert clean(checked) and all(one.why for one in checked.findings)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("place", ["text", "private", "behind", "pixels"])
def test_every_character_set_is_read(released, encoding: str, place: str) -> None:
    original, output = released
    for text in ENCODINGS[encoding]:
        data = text.encode(encoding)
        if place == "text":
            (output / "note").write_bytes(b"x " + data + b" y")
        elif place == "private":
            put(output / "1.dcm", raw(0x00291010, "UN", b"\0\1" + data + b"\0"))
        elif place == "behind":
            with open(output / "1.dcm", "ab") as file:
                value = data + b" " * (len(data) % 2)
                file.write(b"\xfc\xff\xfc\xffOB\0\0" + len(value).to_bytes(4, "little") + value)
        elif len(data) < 8 or "\uff94" in text:
            continue
        else:
            put(output / "1.dcm", raw(0x7FE00010, "OW", data.rjust(64, b"\x07").ljust(128, b"\x07")))
        assert sources(examine(output, original)), text


def raw(tag: int, vr: str, value: bytes) -> RawDataElement:
    value += b"\0" * (len(value) % 2)
    return RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def put(path: Path, element: RawDataElement) -> None:
    from pydicom import dcmread

    ds = dcmread(path)
    ds[element.tag] = element
    ds.save_as(path)


ZAUBER = b"Sanatorium Zauberberg"


def zipped(data: bytes, name: str = "a.txt") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("a")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


PLACES = {
    "gzip": gzip.compress(ZAUBER, mtime=0),
    "bzip2": bz2.compress(ZAUBER),
    "xz": lzma.compress(ZAUBER),
    "zip": zipped(ZAUBER),
    "name of a member": zipped(b"", "Zauberberg/1.txt"),
    "tar": tarred(ZAUBER),
    "zip in a gzip in a zip": zipped(gzip.compress(zipped(ZAUBER), mtime=0)),
    "base64": b'{"x": "' + base64.b64encode(ZAUBER) + b'"}',
    "base64 within a path": b"see/" + base64.b64encode(ZAUBER) + b"/x",
    "base64 in lines": base64.encodebytes(b"." * 50 + ZAUBER + b"." * 60),
    "base64 for the web": base64.urlsafe_b64encode("Müllerovská".encode()),
    "base64 of a gzip": b"<p>" + base64.b64encode(gzip.compress(ZAUBER * 2, mtime=0)) + b"</p>",
    "hexadecimal": b"0x" + ZAUBER.hex().encode(),
    "JSON escapes": json.dumps("x Müllerovská y").encode(),
    "HTML escapes": b"<p>M&uuml;llerovsk&aacute;</p>",
    "web address": b"http://x/?q=M%C3%BCllerovsk%C3%A1",
    "data URI": b'<img src="data:image/png;base64,' + base64.b64encode(b"\x89PNG...." + ZAUBER) + b'">',
    "style of a page": b"<html><style>/* Zauberberg */</style></html>",
    "attribute of a page": b'<html><p style="x" title="Zauberberg">a</p></html>',
    "wide text": "Sanatorium Zauberberg".encode("utf-16"),
    "bytes": bytes(range(256)) * 9 + ZAUBER + bytes(range(256)),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_in_a_file_is_searched(released, place: str) -> None:
    original, output = released
    (output / "x.bin").write_bytes(PLACES[place])
    checked = examine(output, original)
    assert sources(checked) & {"InstitutionName", "PatientName"}, checked.unsearched
    assert clean(checked)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00204000, "LT", b"q 48812345"),
        (0x00081030, "LO", b"CT 3 MAY 1941"),
        (0x00200011, "IS", b"48812345"),
        (0x00200011, "IS", b"5031941"),
        (0x00187050, "CS", b"ZAUBERBERG"),
        (0x00189004, "CS", b"OTTILIE"),
        (0x00282000, "OB", b"icc.Zauberberg"),
        (0x00281201, "OW", b"Sanatorium  Zauberberg"),
        (0x00420011, "OB", gzip.compress(ZAUBER, mtime=0)),
        (0x00420011, "OB", zipped(ZAUBER)),
        (0x00091010, "UN", base64.b64encode(ZAUBER)),
        (0x00201040, "LO", "Müllerovska".encode("gb18030", "ignore")),
        (0x00189999, "UN", "Ottilie".encode("utf-16-le")),
        (0x00020016, "AE", b"ZBG-CT-0Q71"),
    ],
)
def test_every_kind_of_attribute_is_searched(released, tag: int, vr: str, value: bytes) -> None:
    original, output = released
    path = output / "1.dcm"
    if tag >> 16 == 2:
        from pydicom import dcmread

        ds = dcmread(path)
        ds.file_meta.SourceApplicationEntityTitle = value.decode()
        ds.save_as(path)
    else:
        put(path, raw(tag, vr, value))
    assert sources(examine(output, original)) & {
        "PatientID", "PatientBirthDate", "InstitutionName", "PatientName", "StationName",
    }  # fmt: skip


@pytest.mark.parametrize("syntax", ["deflated", "rle", "jpegls"])
def test_pixels_that_are_stored_packed_are_searched(released, syntax: str) -> None:
    from pydicom import dcmread
    from pydicom.uid import UID as Uid

    original, output = released
    ds = dcmread(output / "1.dcm")
    values = bytearray(128)
    values[20 : 20 + len(ZAUBER)] = ZAUBER
    ds.PixelData = bytes(values)
    if syntax == "deflated":
        ds.file_meta.TransferSyntaxUID = Uid("1.2.840.10008.1.2.1.99")
    else:
        name = {"rle": "1.2.840.10008.1.2.5", "jpegls": "1.2.840.10008.1.2.4.80"}[syntax]
        ds.compress(Uid(name), generate_instance_uid=False)
    ds.save_as(output / "1.dcm")
    assert ZAUBER not in (output / "1.dcm").read_bytes()
    assert sources(examine(output, original)) == {"InstitutionName"}


def test_names_of_folders_files_links_and_extended_attributes_are_searched(released) -> None:
    original, output = released
    (output / "Ottilie Müllerovská").mkdir()
    (output / "a").mkdir()
    (output / "a" / "48-812-345.txt").write_text("x")
    (output / "b").symlink_to("/data/zauberberg/x")
    checked = examine(output, original)
    assert {one.tag for one in checked.findings} == {"name", "link"}
    assert {"PatientName", "PatientID", "InstitutionName"} <= sources(checked) and clean(checked)
    try:
        os.setxattr(output / "a", "user.from", "/in/Müllerovská".encode())
    except OSError:
        pytest.skip("a file system without extended attributes")
    assert "xattr" in {one.tag for one in examine(output, original).findings}


def test_a_clean_output_has_no_finding_and_says_what_was_not_searched(released) -> None:
    original, output = released
    checked = examine(output, original)
    assert checked.ok and checked.findings == [] and checked.files == 1
    assert "text and faces in pixels" in {one.what for one in checked.unsearched}
