# SPDX-License-Identifier: Apache-2.0
"""Every format and layout of docs/formats.md through the command line, and the page itself."""

from __future__ import annotations

import ast
import json
import os
import signal
from pathlib import Path
from types import FrameType

import pytest

from tests.files_of_people.mistakes import MISTAKES
from tests.files_of_people.outcomes import (
    ENDINGS,
    LAYOUTS,
    ONE_ENDING,
    PAGE,
    READ,
    REFUSED,
    Layout,
    Read,
    Refused,
    Writer,
    page,
)
from tests.layout_runs import moved_only_inside, protect_and_prove
from tests.outcome_files import DEPTH, ITK, VOLUMES, as_text, lay, lesion, save_volume, segments
from umed.cli.main import main
from umed.data import formats

Capture = pytest.CaptureFixture[str]
TESTS = Path(__file__).resolve().parents[1]


def data_set(root: Path, name: str, writer: Writer, mask: str = "") -> Path:
    """``images/`` with one image, ``masks/`` with its mask."""
    (root / "images").mkdir(parents=True)
    writer(root / "images" / name)
    stem = name.removesuffix(formats.ending(Path(name))).partition(".")[0]
    ending = mask or (".nii.gz" if name.endswith(VOLUMES) else ".png")
    if ending == ".seg.nrrd":
        (root / "masks").mkdir()
        segments(root / "masks" / f"{stem}{ending}")
    elif ending in ITK:
        save_volume(root / "masks" / f"{stem}{ending}", lesion(1, DEPTH))
    else:
        lay(root, f"masks/{stem}{ending}=1")
    return root


@pytest.mark.parametrize("one", READ, ids=lambda one: one.what)
def test_a_format_that_is_read(one: Read, tmp_path: Path, capsys: Capture) -> None:
    root, out = data_set(tmp_path / "in", one.name, one.writer, one.mask), tmp_path / "out"
    written = {f"images/{name}" for name in one.written or (one.name,)}
    masks = {f"masks/{path.name}" for path in (root / "masks").iterdir()}
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and run.files == written | masks
    assert all(moved_only_inside(root, out).values())
    before, after = formats.read(root / "images" / one.name), formats.read(out / min(written))
    assert after.stored.dtype == before.stored.dtype and after.stored.shape == before.stored.shape
    assert formats.header_difference(before, after) == ""
    for mask in masks:
        assert (out / mask).read_bytes() == (root / mask).read_bytes()


@pytest.mark.parametrize("one", REFUSED, ids=lambda one: one.what)
def test_a_format_that_is_not_read(one: Refused, tmp_path: Path, capsys: Capture) -> None:
    root = data_set(tmp_path / "in", one.name, one.writer, ".nii.gz" if one.writer is as_text else "")
    lay(root, "images/good.png", "masks/good.png=1")
    left = {f"images/{path.name}" for path in (root / "images").iterdir() if path.stem != "good"}
    left |= {f"masks/{path.name}" for path in (root / "masks").iterdir() if path.stem != "good"}
    code = main(["protect", str(root), str(tmp_path / "out"), "--method", "checkerboard", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 3 and {one["name"] for one in found["accounting"]["left_out"]} == left
    reasons = {one["name"]: one["reason"] for one in found["accounting"]["left_out"]}
    assert one.says in reasons[f"images/{one.name}"]
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert {name for name in written if not name.startswith("umed")} == {"images/good.png", "masks/good.png"}
    assert main(["verify", str(root), str(tmp_path / "out"), "--quiet"]) == 0
    assert main(["check-release", str(tmp_path / "out"), "--original", str(root), "--quiet"]) == 0


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.what)
def test_a_layout(layout: Layout, ending: str, tmp_path: Path, capsys: Capture) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    options = layout.plant(root, ending)
    there = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    if ending == ".jpg" and layout.what in ONE_ENDING:
        assert main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet"]) == 1
        assert "2 cases: no label" in capsys.readouterr().err and not out.exists()
        return
    run = protect_and_prove(root, out, capsys, *options)
    assert run.code == 0
    moved = moved_only_inside(root, out, Path(options[1]) if options else None)
    assert len(moved) == 2 and all(moved.values())
    expected = {name.replace(".jpg", ".png") for name in there}
    if layout.bids:
        images = {name for name in expected if "/anat/" in name and not name.startswith("derivatives/")}
        named = {name.replace("_T1w", "_desc-protected_T1w") for name in images}
        headers = {name for name in named if name.endswith(ending.replace(".jpg", ".png"))}
        sidecars = {name.removesuffix(ending.replace(".jpg", ".png")) + ".json" for name in headers}
        data = {name for name in images if name not in {one.replace("_desc-protected", "") for one in headers}}
        expected = (expected - images) | headers | data | sidecars | {".bidsignore"}
    assert run.files == expected
    masks = [name for name in there if any(word in name for word in ("label", "ask", "dseg", "seg", "rois"))]
    assert masks and all((out / name).read_bytes() == there[name] for name in masks)


PIPES = (
    "dataset.json",
    "images/dataset.json",
    "dataset_description.json",
    "derivatives/manual/dataset_description.json",
    "sub-c1/anat/sub-c1_T1w.json",
    "imagesTr/c3_0000.nii.gz",
    "c1/c1_t2.nii.gz",
    "x.zip",
    "x.dcm",
    "LICENSE",
    "README.md",
)
"""Names that are looked into."""


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.what)
def test_pipes_are_left_out_and_never_waited_for(layout: Layout, tmp_path: Path, capsys: Capture) -> None:
    def waited(number: int, frame: FrameType | None) -> None:
        raise RuntimeError("waited for a pipe")

    root, out = tmp_path / "in", tmp_path / "out"
    options = layout.plant(root, ".nii.gz")
    pipes = {name for name in PIPES if not (root / name).exists() and not (root / name).parent.is_file()}
    for name in pipes:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(root / name)
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    try:
        assert main(["inspect", str(root), *options]) == 3
        assert main(["inspect", str(root), "--suggest"]) == 0
        capsys.readouterr()
        words = ["--method", "checkerboard", "--carry", *options]
        assert main(["protect", str(root), str(out), *words, "--json", "--quiet"]) == 3
        found = json.loads(capsys.readouterr().out)
        assert main(["verify", str(root), str(out), *options]) == 0
        assert main(["check-release", str(out), "--original", str(root), *options]) == 0
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert found["counts"]["protected"] == 2
    assert pipes <= {one["name"] for one in found["accounting"]["left_out"]}


def test_the_page_is_what_these_outcomes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.files_of_people.outcomes"


def test_every_row_names_a_test_that_exists() -> None:
    assert {one.row for one in MISTAKES} == set(range(1, 28))
    for one in MISTAKES:
        file, _, name = one.test.partition("::")
        body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
        assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}, one.test
