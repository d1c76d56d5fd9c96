# SPDX-License-Identifier: Apache-2.0
"""Mutated files: every one is released or put aside within the limit, none ends the run, none leaks its patient."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from tests.dicom_files import dataset, enhanced, image, save
from umed.deid.identity import Anonymous
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile
from umed.dicom.objects import Limits
from umed.dicom.read import reader
from umed.dicom.read.scan import scan
from umed.release.anonymize import anonymize

SECONDS = 10.0
SECRETS = (b"Qxzvwy", b"QXZVWY", b"7390215846")
"""What every file says of its patient; no mutation spells it."""
IDENTITY = {"PatientName": "Qxzvwy^Erika", "PatientID": "7390215846", "PatientComments": "Qxzvwy 7390215846"}
SOME_TAGS = [
    *((0x0008, 0x0016), (0x0008, 0x0018), (0x0008, 0x1140), (0x0010, 0x0010), (0x0018, 0x1030), (0x0020, 0x000D)),
    *((0x0028, 0x0008), (0x0028, 0x0010), (0x0028, 0x3010), (0x0040, 0x0275), (0x5200, 0x9230), (0x7FE0, 0x0010)),
    *((0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)),
]
VRS = [b"AE", b"DA", b"DS", b"FD", b"IS", b"LT", b"OB", b"OW", b"PN", b"SQ", b"UI", b"UN", b"US", b"UT"]


def sources(folder: Path) -> list[bytes]:
    """Small sound files of several kinds."""
    pixels = np.arange(160, dtype=np.int16).reshape(10, 16)
    item, nested = Dataset(), Dataset()
    item.CodeValue, item.CodeMeaning = "1", "Head"
    nested.AnatomicRegionSequence, nested.PatientName = Sequence([item]), "Qxzvwy"
    made = {
        "ct": image(pixels, instance=1, RequestAttributesSequence=Sequence([nested]), **IDENTITY),
        "mr": image(np.full((16, 16), 9, np.uint16), "MR", instance=2, series=2, **IDENTITY),
        "colour": image(np.zeros((8, 8, 3), np.uint8), "OT", position=None, instance=3, series=3, **IDENTITY),
        "many": enhanced(np.arange(3 * 64, dtype=np.int16).reshape(3, 8, 8), instance=4, series=4, **IDENTITY),
        "state": dataset("PR", instance=5, series=5, **IDENTITY),
        "rle": image(np.zeros((16, 16), np.uint8), "MR", instance=6, series=6, **IDENTITY),
        "implicit": image(pixels, instance=7, series=7, **IDENTITY),
        "deflated": image(pixels, instance=8, series=8, **IDENTITY),
    }
    block = made["ct"].private_block(0x0029, "MAKER OF THINGS", create=True)
    block.add_new(1, "LO", "Qxzvwy")
    made["rle"].compress(UID("1.2.840.10008.1.2.5"), generate_instance_uid=False)
    made["deflated"].file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
    found = []
    for name, one in made.items():
        if name == "implicit":
            one.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
            one.save_as(folder / name, implicit_vr=True, little_endian=True, enforce_file_format=True)
        else:
            save(one, folder / name)
        found.append((folder / name).read_bytes())
    return found


def elements(raw: bytes) -> list[tuple[int, int, int]]:
    """Start, start of the value, and end of each element at the top level that can be told, implicit ones too."""
    found, at = [], 132 if raw[128:132] == b"DICM" else 0
    while at + 8 <= len(raw):
        vr, value = raw[at + 4 : at + 6], at + 8
        if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC", b"UR"):
            value, length = at + 12, int.from_bytes(raw[at + 8 : at + 12], "little")
        elif vr.isalpha() and vr.isupper():
            length = int.from_bytes(raw[at + 6 : at + 8], "little")
        else:
            length = int.from_bytes(raw[at + 4 : at + 8], "little")
        if value + length > len(raw):
            break
        found.append((at, value, value + length))
        at = value + length
    return found


def mutate(raw: bytes, chance: random.Random) -> bytes:
    """One to three mutations: bits, cuts, lengths, tags, kinds of values, repetition, nesting, noise."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        places = elements(bytes(data))[8:] or [(140, 148, 150)]
        (at, value, end), (other, _, last) = sorted((chance.choice(places), chance.choice(places)))
        kind = chance.choice(
            ("bits", "value", "value", "cut", "length", "tag", "tag", "vr", "copy", "nest", "swap", "noise")
        )
        if kind == "bits":
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(132, len(data))] ^= 1 << chance.randrange(8)
        elif kind == "value" and end > value:
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(value, end)] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del data[chance.choice((at, end, chance.randrange(150, len(data)))) :]
        elif kind == "length":
            struct.pack_into("<H", data, value - 2, chance.choice((0, 1, 7, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF)))
        elif kind == "tag":
            struct.pack_into("<HH", data, at, *chance.choice(SOME_TAGS))
        elif kind == "vr":
            data[at + 4 : at + 6] = chance.choice(VRS)
        elif kind == "copy":
            data[last:last] = bytes(data[at:end]) * chance.choice((1, 2, 40))
        elif kind == "nest":
            depth = chance.choice((1, 2, 5, 30, 33, 500))
            head = struct.pack("<HH2sHIHHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
            tail = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
            data[at:last] = head * depth + bytes(data[at:last]) + tail * depth
        elif kind == "swap":
            data[at : at + 4], data[other : other + 4] = data[other : other + 4], data[at : at + 4]
        else:
            data[value:value] = chance.randbytes(2 * chance.randint(1, 32))
        if len(data) < 160:
            break
    return bytes(data)


def one_of(originals: list[bytes], number: int, chance: random.Random) -> bytes:
    """A mutated file with a SOPInstanceUID and a series of its own, else most would be put aside as doubles."""
    raw = chance.choice(originals)
    begin = 144 + int.from_bytes(raw[140:144], "little") if raw[132:136] == b"\2\0\0\0" else 132
    packed = b"1.2.840.10008.1.2.1.99" in raw[:begin]
    body = zlib.decompress(raw[begin:], -15) if packed else raw[begin:]
    ds = pydicom.dcmread(io.BytesIO(raw), force=True, stop_before_pixels=True)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        old = str(ds.get(keyword) or "").encode()
        if len(old) > 20:
            body = body.replace(old, old[:-6] + b"%06d" % (100_000 + number))
    whole = mutate(raw[:begin] + body, chance)
    if packed:
        packer = zlib.compressobj(wbits=-15)
        whole = whole[:begin] + packer.compress(whole[begin:]) + packer.flush()
    return whole


def mutated(seed: int, count: int, folder: Path) -> Iterator[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    originals = sources(folder)
    for number in range(count):
        yield one_of(originals, number, random.Random(f"{seed}/{number}"))


def check_run(folder: Path, files: list[bytes], seconds: float) -> None:
    """Every file has one end, and the output holds nobody."""
    (folder / "in").mkdir()
    for number, content in enumerate(files):
        (folder / "in" / f"{number:04d}.dcm").write_bytes(content)
    DeidKey.create(folder / "key")
    began = time.process_time()
    options = {"accept_burned_in": True, "report": False, "limits": Limits(seconds=SECONDS)}
    result = anonymize(folder / "in", folder / "out", key_file=folder / "key", **options)
    assert time.process_time() - began < seconds
    aside = {one.name for one in result.quarantine}
    written = list((folder / "out").rglob("*.dcm"))
    assert len(written) == result.written == len(files) - len(aside) and result.written > len(files) / 5
    assert all(one.reason and "\n" not in one.reason for one in result.quarantine)
    identity = Anonymous(DeidKey.load(folder / "key"), load_profile("basic"), True)
    leaks = []
    for instance in (one for series in scan(folder / "in").series for one in series.instances):
        path = folder / "out" / identity.target(instance)
        raw = path.read_bytes() if path.is_file() else b""
        leaks += [(instance.name, word) for word in still_said(folder / "in" / instance.name) if word in raw]
    assert leaks == []


def still_said(path: Path) -> Iterator[bytes]:
    """Secrets that an attribute of the patient still holds: what the mutations made a model's name is nobody's name."""
    ds = reader.read(path, pixels=False)
    name, number = (element_bytes(ds, keyword) for keyword in ("PatientName", "PatientID"))
    yield from (word for word in SECRETS[:2] if SECRETS[0] in name)
    yield from (word for word in SECRETS[2:] if word in number)


def element_bytes(ds: Dataset, keyword: str) -> bytes:
    try:
        return str(ds.get(keyword) or "").encode("utf-8", "replace")
    except Exception:  # a value that pydicom cannot make sense of
        return b""


@pytest.mark.parametrize(
    "count", [60, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore")])]
)
def test_mutated_files_are_released_or_put_aside(count: int, tmp_path: Path) -> None:
    check_run(tmp_path, list(mutated(17, count, tmp_path / "sources")), 0.5 * count)


@pytest.mark.slow
def test_mutated_real_files_are_released_or_put_aside(shared_data: Path, tmp_path: Path) -> None:
    zoo = [path for path in sorted((shared_data / "dicom_zoo").rglob("*")) if path.is_file()]
    small = [path.read_bytes() for path in zoo if 1000 < path.stat().st_size < 100_000]
    chance = random.Random(23)
    files = [one_of(small, number, chance) for number in range(200)]
    check_run(tmp_path, files, 400)
