# SPDX-License-Identifier: Apache-2.0
"""What each file is that belongs to no case."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from umed.cases.file_source import FileSource
from umed.data.accounting import KINDS, FileEnd, make_accounting
from umed.data.inventory import is_system, may_be_image, settle, walk
from umed.data.layouts import find_dataset
from umed.data.plain_text import person_columns
from umed.protect.public_check import is_accounting

PNG = b"\x89PNG\r\n\x1a\n"
LOOSE = {
    "extra/a.png": (PNG, "image", True),
    "seg/Masks/a.png": (PNG, "label", True),
    "extra/a_mask.png": (PNG, "label", True),
    "extra/a.mnc": (b"x", "format", True),
    "volume.zarr/0/0": (b"x", "format", True),
    "array.npz": (b"PK\3\4", "format", True),
    "picture": (PNG, "format", True),
    "report.txt": (b"\0" * 128 + b"DICM", "format", True),
    "header.txt": (b"NRRD0004\n", "format", True),
    "all.tar.gz": (b"\x1f\x8b", "archive", True),
    "noname": (b"PK\3\4", "archive", True),
    "sheet.xlsx": (b"PK\3\4", "other", False),
    "code.py": (b"import umed", "other", False),
    "README": (b"hello", "document", False),
    "a/b/c.TSV": (b"a\tb", "document", False),
    "images/._case_0.png": (b"\0\5\x16\7", "system", False),
    "__MACOSX/images/._case_0.png": (b"\0\5\x16\7", "system", False),
    "images/._real.png": (PNG, "image", True),
    ".hidden/case.png": (PNG, "image", True),
    ".git/objects/ab": (PNG, "system", False),
    "Thumbs.db": (b"\xd0\xcf", "system", False),
    "umed/manifest.json": (b"{}", "other", False),
    "umed/images/a.png": (PNG, "image", True),
}


@pytest.fixture
def loose(pictures: Callable[..., Path]) -> dict[str, FileEnd]:
    root = pictures(2)
    for name, (content, _, _) in LOOSE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return {one.name: one for one in FileSource(find_dataset(root)).account({}).files}


@pytest.mark.parametrize("name", LOOSE)
def test_what_a_file_is_follows_from_name_and_first_bytes(name: str, loose: dict[str, FileEnd]) -> None:
    _, kind, grave = LOOSE[name]
    assert (loose[name].end, loose[name].kind, loose[name].grave) == ("left out", kind, grave), loose[name]
    assert loose[name].why and kind in KINDS


def test_a_walk_is_in_order_and_follows_no_link(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/x/1", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert [(one.name, one.kind) for one in walk(tmp_path)] == [
        ("c", "file"),
        ("a/loop", "link"),
        ("a/x/1", "file"),
        ("b/1", "file"),
        ("b/2", "file"),
    ]
    assert [one.kind for one in walk(tmp_path / "c")] == ["unreadable"]


def test_names_that_no_record_can_hold_are_no_cases(pictures: Callable[..., Path]) -> None:
    root = pictures(2)
    for folder in ("images", "masks"):
        (root / folder / "case_1.png").rename(root / folder / "bad\udcff\n.png")
    dataset = settle(find_dataset(root))
    assert [case.id for case in dataset.cases] == ["case_0"] and "printable" in dict(dataset.problems)[
        "images/bad\udcff\n.png"
    ]
    found = FileSource(find_dataset(root)).account({})
    assert found.grave and found.counts["left out"] == 2
    json.dumps(found.to_record()).encode()


def test_values_beside_a_header_have_its_end(tmp_path: Path) -> None:
    for folder, name, value in (("images", "x", 90), ("masks", "x", 1), ("images", "alone", 90)):
        (tmp_path / folder).mkdir(exist_ok=True)
        grid = np.zeros((12, 12, 4), np.int16)
        grid[3:8, 2:9] = value
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(grid), str(tmp_path / folder / f"{name}.mhd"))
    (tmp_path / "images/stray.raw").write_bytes(b"x")
    found = FileSource(find_dataset(tmp_path)).account({})
    assert {one.name: (one.end, one.kind) for one in found.files} == {
        "images/alone.mhd": ("left out", "image"),
        "images/alone.raw": ("left out", "image"),
        "images/stray.raw": ("left out", "format"),
        "images/x.mhd": ("protected", "image"),
        "images/x.raw": ("protected", "image"),
        "masks/x.mhd": ("unchanged", "label"),
        "masks/x.raw": ("unchanged", "label"),
    }


def test_the_nearest_end_counts_and_counts_add_up() -> None:
    ends = [FileEnd("a", "left out", "label", "?", True), FileEnd("a", "unchanged", "label", "as it is")]
    found = make_accounting([*ends, FileEnd("b", "protected", "image")], [("c", "is not there")])
    assert found.counts == {"protected": 1, "unchanged": 1, "carried": 0, "left out": 0} and found.grave
    assert found.lines() == [
        "2 files in INPUT: 1 protected, 1 unchanged (1 label)",
        "not there: c: is not there",
    ]


def test_a_public_accounting_is_counts_and_nothing_else() -> None:
    good = make_accounting([FileEnd("a", "left out", "document", "?")]).public()
    assert is_accounting(good) and is_accounting({})
    for key, value in {"left out": {"Jane": 1}, "protected": True, "carried": -1, "unchanged": "7"}.items():
        assert not is_accounting({**good, key: value})
    assert not is_accounting({**good, "more": 1}) and not is_accounting([]) and not is_accounting({"protected": 1})


def test_forks_and_columns() -> None:
    assert is_system("a/.DS_Store") and is_system("._a.png", b"\0\5\x16\7") and not is_system("._a.png", PNG)
    assert not is_system(".") and not may_be_image(".")
    assert may_be_image("a.NRRD") and not may_be_image("a.md")
    assert person_columns("id;last name;dx\n") == ["last name"] and person_columns("a sentence, Name of it") == []
    assert person_columns("name: A set\nlicense: CC\n") == [] and person_columns("- MRN: 17\n") == ["MRN"]


def test_values_are_plain_data(pictures: Callable[..., Path]) -> None:
    found = FileSource(find_dataset(pictures(2, empty=(0,)))).account({"case_0": ("unchanged", "the label is empty")})
    record = found.to_record()
    assert record["released"]["unchanged"] == {
        "a label, byte for byte": ["masks/case_0.png", "masks/case_1.png"],
        "the label is empty": ["images/case_0.png"],
    }
    assert record["counts"] == {"protected": 1, "unchanged": 3, "carried": 0, "left out": 0}
    assert np.sum(list(record["counts"].values())) == record["files"] == 4
