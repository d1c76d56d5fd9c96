# SPDX-License-Identifier: Apache-2.0
"""Documents beside the data: listed, taken along on request, never where they may name somebody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.cli.main import main

Capture = pytest.CaptureFixture[str]
DOCUMENTS = {"README.md": "# A set\n", "metadata.csv": "case,age\n1,70\n", "index.csv": "a\n", "docs/SOURCE.md": "x"}


@pytest.fixture
def root(pictures: Callable[..., Path]) -> Path:
    found = pictures(2)
    (found / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (found / name).write_text(text)
    (found / "LICENSE").write_text("CC BY 4.0")
    (found / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return found


def protect(root: Path, out: Path, *more: str) -> int:
    return main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", *more])


def manifest(out: Path) -> dict[str, dict[str, str]]:
    return json.loads((out / "umed/manifest.json").read_text())


def test_documents_are_listed_and_make_no_exit_code_3(root: Path, tmp_path: Path, capsys: Capture) -> None:
    assert protect(root, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "10 files in INPUT: 2 protected, 2 unchanged (2 labels), 1 carried, 5 left out" in said
    assert "left out: 4 documents: README.md, docs/SOURCE.md, index.csv; and 1 more; --carry takes them along" in said
    assert "left out: 1 hidden or system file: .DS_Store" in said
    public = manifest(tmp_path / "out")
    assert public["accounting"] == {
        "protected": 2,
        "unchanged": 2,
        "carried": 1,
        "left out": {"document": 4, "system": 1},
    }
    assert public["files"]["LICENSE"]["what"] == "carried" and "metadata" not in json.dumps(public)
    left = json.loads((tmp_path / "out-private/release.json").read_text())["accounting"]["left_out"]
    assert {one["name"] for one in left} == {*DOCUMENTS, ".DS_Store"}


def test_carry_takes_them_along_byte_for_byte_and_verify_proves_it(root: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert protect(root, out, "--carry") == 0
    assert "5 carried, 1 left out" in capsys.readouterr().out
    for name in DOCUMENTS:
        assert (out / name).read_bytes() == (root / name).read_bytes()
        assert manifest(out)["files"][name]["what"] == "carried"
    named = ["verify", str(root), str(out), "--quiet", "--epsilon", "4/255"]
    assert main(["verify", str(root), str(out), "--quiet"]) == 0 and main(named) == 0
    assert main(["check-release", str(out), "--original", str(root)]) == 0
    (tmp_path / "out-private").rename(tmp_path / "away")
    assert main([*named, "--carry"]) == 0 and main(named) == 1
    (tmp_path / "away").rename(tmp_path / "out-private")
    capsys.readouterr()
    assert protect(root, out, "--carry", "--resume") == 0
    assert protect(root, out, "--resume") == 2 and "--carry" in capsys.readouterr().err
    (out / "metadata.csv").write_text("case,age\n1,71\n")
    assert main(["verify", str(root), str(out), "--quiet"]) == 1
    assert "metadata.csv: expected identical bytes" in capsys.readouterr().out


REFUSED = {
    "people.csv": (b"case,Patient Name\n1,Jane Roe\n", "say who somebody is (Patient Name)"),
    "dump.json": (b'{"PatientBirthDate": "19700131"}', "say who somebody is (PatientBirthDate)"),
    "notes.txt": (b"scanned Roe^Jane on Monday", "may name a person ('Roe^Jane')"),
    "latin.txt": (b"M\xe9d\xe9cin", "got not UTF-8"),
    "big.csv": (b"1,2\n" * 300_000, "more than 1000000"),
    "empty.md": (b"", "is empty"),
    "LICENSE.png": (b"\x89PNG\r\n\x1a\n", "is called like an image"),
    "COPYING": (b"\x89PNG\r\n\x1a\n", "got an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_name_somebody_or_is_no_text_is_not_carried(
    name: str, root: Path, tmp_path: Path, capsys: Capture
) -> None:
    content, why = REFUSED[name]
    (root / name).write_bytes(content)
    assert protect(root, tmp_path / "out", "--carry") == 3
    said = capsys.readouterr().out
    assert f"left out: {name}: " in said and why in said and not (tmp_path / "out" / name).exists()


def test_a_contact_is_carried_with_a_warning_of_check_release(root: Path, tmp_path: Path, capsys: Capture) -> None:
    (root / "CITATION.cff").write_text("authors:\n  - family-names: Roe\n    email: jane@example.org\n")
    assert protect(root, tmp_path / "out", "--carry") == 0
    assert "CITATION.cff: jane@example.org" in capsys.readouterr().out
    (tmp_path / "out/CITATION.cff").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["check-release", str(tmp_path / "out")]) == 1
    assert "added or carried and are no small plain text" in capsys.readouterr().out


def test_images_archives_and_hidden_files_are_never_carried(root: Path, tmp_path: Path, capsys: Capture) -> None:
    image = (root / "images/case_0.png").read_bytes()
    for name, content in {"thumb.png": image, "old.zip": b"PK\3\4", ".notes.md": b"x", "run.sh": b"#!"}.items():
        (root / name).write_bytes(content)
    (root / "trick.txt").write_bytes(image)
    assert protect(root, tmp_path / "out", "--carry", "--json") == 3
    left = {one["name"]: one for one in json.loads(capsys.readouterr().out)["accounting"]["left_out"]}
    assert {name: one["kind"] for name, one in left.items()} == {
        "thumb.png": "image",
        "old.zip": "archive",
        ".notes.md": "system",
        "run.sh": "other",
        "trick.txt": "document",
        ".DS_Store": "system",
    }
    assert {name for name, one in left.items() if one["grave"]} == {"thumb.png", "old.zip", "trick.txt"}


def test_files_that_come_after_the_run_are_named_by_verify(root: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["verify", str(root), str(tmp_path / "out"), "--quiet"]
    assert protect(root, tmp_path / "out") == 0
    (root / "later.txt").write_text("x")
    (root / "index.csv").unlink()
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "1 file came after the run: later.txt" in said and "no longer there: index.csv" in said
    (root / "images/later.bmp").write_bytes(b"BM")
    assert main(command) == 1 and "are in no release: images/later.bmp" in capsys.readouterr().out
