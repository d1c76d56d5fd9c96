# SPDX-License-Identifier: Apache-2.0
"""Files that a steward lays into a release by hand: named ones may stay where they are small plain text."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import umed
from tests.release_folder import make_photographs, make_volumes
from umed.cli.main import main
from umed.core.errors import ConfigError
from umed.protect.added_files import MOST_ADDED, text_fault
from umed.protect.check_release import check_release
from umed.protect.verify import verify

SETTINGS = {"method": "random", "epsilon": 8 / 255, "radius": 2.0}
TEXTS = {
    "LICENSE": "CC BY 4.0\r\n",
    "docs/README.md": "\ufeff# Étude\n\tTwo cases.\n",
    "CITATION.cff": "cff-version: 1\n",
}


@pytest.fixture
def protected(tmp_path: Path, make_decathlon: Callable[..., Path]) -> tuple[Path, Path]:
    root, out = make_decathlon(tmp_path / "in"), tmp_path / "out"
    umed.protect(root, out, **SETTINGS)
    (out / "docs").mkdir()
    for name, text in TEXTS.items():
        (out / name).write_bytes(text.encode())
    return root, out


def test_named_texts_pass_both_checks_and_others_do_not(
    protected: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = protected
    assert main(["check-release", str(out), "--original", str(root), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "3 file(s) that the manifest does not list" in said and "name it with --added FILE" in said
    assert main(["verify", str(root), str(out), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "LICENSE: expected no such file, got one; remove it, or if it is a text" in said and "--added" in said
    assert "docs: expected no such folder" in said

    named = ["--added", "LICENSE", "./CITATION.cff", "docs/README.md"]
    assert main(["check-release", str(out), "--original", str(root), "--quiet", *named]) == 0
    said = capsys.readouterr().out
    assert "note: 3 file(s) added by you, not covered by the manifest (CITATION.cff; LICENSE; docs/README.md)" in said
    assert main(["verify", str(root), str(out), "--quiet", *named]) == 0
    assert "added by you, not covered by the manifest: CITATION.cff, LICENSE, docs/README.md" in capsys.readouterr().out
    assert verify(root, out, promise={"epsilon": 8 / 255, "radius": 2.0}, added=list(TEXTS)).ok

    found = verify(root, out, added=["LICENSE", "docs/README.md"])
    assert not found.ok and "CITATION.cff: expected no such file" in found.summary()
    assert "LICENSE: expected no" not in found.summary()


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(stream, "PNG")
    return stream.getvalue()


FORBIDDEN = {
    "an image": png(),
    "not UTF-8": "naïve".encode("latin-1"),
    "control characters": b"a\x1b[2Jb",
    "a picture written as text": b"P2\n# lesion\n20 20\n255\n" + b"12 13 " * 200,
    "data written as text": base64.encodebytes(bytes(range(256)) * 40),
    "more than": b"a \n" * (MOST_ADDED // 3 + 1),
}


@pytest.mark.parametrize(("fault", "content"), FORBIDDEN.items(), ids=FORBIDDEN)
def test_what_is_no_small_plain_text_fails_though_it_is_named(
    tmp_path: Path, make_decathlon: Callable[..., Path], fault: str, content: bytes
) -> None:
    made = make_photographs(tmp_path / "made")
    (made.output / "NOTES").write_bytes(content)
    check = check_release(made.output, original=made.source, added=["NOTES"])
    assert [(one.where, fault in one.what) for one in check.problems if one.kind == "no-text"] == [("NOTES", True)]
    root, out = make_decathlon(tmp_path / "in"), tmp_path / "out"
    umed.protect(root, out, **SETTINGS)
    (out / "NOTES").write_bytes(content)
    assert "NOTES: expected a small plain text" in verify(root, out, added=["NOTES"]).summary()


@pytest.mark.parametrize("text", ["<p><SVG width=1>", "/* XPM */ static", "#define one_width 3\n", "\ue000", "\x85"])
def test_pictures_and_odd_letters_are_told_in_text(text: str) -> None:
    assert text_fault(text.encode())


@pytest.mark.parametrize(
    "text", ["BM and P 2 5", "P2 is a case.", "=" * 9000, "ab" * 32 + "  a\n" + "0" * 64 + "  b\n"]
)
def test_plain_text_that_looks_a_little_like_one_is_none(text: str) -> None:
    assert text_fault(text.encode()) == ""


def test_an_added_text_is_searched_like_all_else(tmp_path: Path) -> None:
    made = make_volumes(tmp_path)
    plan = (made.private / "plan.json").read_bytes()
    original = base64.b64encode(gzip.compress(png())).decode()
    for content, kind in (
        (plan, "private"),
        (made.key.secret.hex().encode(), "private"),
        (f"# Data\n![x](data:image/png;base64,{original})\n".encode(), "picture"),
    ):
        (made.output / "README.md").write_bytes(content)
        check = check_release(made.output, added=["README.md"])
        assert kind in {one.kind for one in check.problems}, check.summary()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("README", "got none there"),
        ("docs", "got none there"),
        ("../in/dataset.json", "got none there"),
        ("dataset.json", "got one of its own"),
        ("imagesTr/case_0.nii.gz", "got one of its own"),
        ("umed/notes.txt", "outside umed/"),
        ("link", "got none there"),
    ],
)
def test_only_a_file_that_is_there_and_is_nobodys_can_be_named(tmp_path: Path, name: str, words: str) -> None:
    made = make_volumes(tmp_path)
    (made.output / "umed/notes.txt").write_text("x")
    (made.output / "docs").mkdir()
    (made.output / "link").symlink_to(made.source / "dataset.json")
    with pytest.raises(ConfigError, match=words):
        check_release(made.output, added=[name])


def test_licences_in_the_input_are_carried_and_listed(tmp_path: Path, make_decathlon: Callable[..., Path]) -> None:
    """The better way for a licence; a README is not carried, as docs/release.md says."""
    root, out = make_decathlon(tmp_path / "in"), tmp_path / "out"
    for name in ("LICENSE", "README.md", "CITATION.cff"):
        (root / name).write_text("x\n")
    umed.protect(root, out, **SETTINGS)
    listed = json.loads((out / "umed/manifest.json").read_text())["files"]
    assert [name for name in ("LICENSE", "README.md", "CITATION.cff") if name in listed and (out / name).is_file()] == [
        "LICENSE"
    ]
    assert verify(root, out).ok and check_release(out, original=root).ok
