# SPDX-License-Identifier: Apache-2.0
"""Row 16: the list of what was put aside is always written, also where nothing can be released, and is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.dicom_files import dataset, image, save, write_series
from tests.release_files import make_key, volume
from umed.cli.main import main

SMALL = (3, 12, 14)
WORDS = ("--method", "checkerboard")


def run(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, command: str = "anonymize") -> tuple[int, str]:
    """Exit code, and everything that was said."""
    if not (folder / "project.key").is_file():
        make_key(folder)
    key = ("--key-file", str(folder / "project.key"))
    code = main([command, str(folder / "in"), str(folder / "out"), *key, "--quiet", *options])
    said = capsys.readouterr()
    return code, said.out + said.err


def aside(folder: Path) -> dict[str, str]:
    """Name and category of what was put aside; the list belongs to its owner alone."""
    path = folder / "out-private" / "quarantine.json"
    assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0
    listed = json.loads(path.read_text())["files"]
    assert all(one["reason"] and one["next"] for one in listed)
    return {one["name"]: one["category"] for one in listed}


def unreadable(folder: Path) -> None:
    """A report, a cut file and a text."""
    report = save(dataset("SR", series="sr"), folder / "in" / "report.dcm")
    save(dataset("CT", series="x"), folder / "in" / "cut.dcm")
    (folder / "in" / "cut.dcm").write_bytes(report.read_bytes()[:200])
    (folder / "in" / "notes.txt").write_text("Erika Muster was here")


def test_where_no_file_can_be_read_the_error_names_the_list(tmp_path: Path, capsys) -> None:
    unreadable(tmp_path)
    code, said = run(tmp_path, capsys)
    assert code == 1 and said.count("\n") == 1 and "expected DICOM files, got none that can be released" in said
    assert said.rstrip().endswith(f"What was put aside, by name: {tmp_path / 'out-private' / 'quarantine.json'}")
    assert aside(tmp_path) == {"report.dcm": "file", "cut.dcm": "file", "notes.txt": "no-dicom"}
    assert not (tmp_path / "out").exists()


def test_the_next_run_into_the_same_folders_may_begin(tmp_path: Path, capsys) -> None:
    unreadable(tmp_path)
    assert run(tmp_path, capsys)[0] == run(tmp_path, capsys)[0] == 1
    write_series(tmp_path / "in" / "ct", volume(shape=SMALL))
    code, said = run(tmp_path, capsys)
    assert code == 3 and "3 files written, 3 quarantined" in said and set(aside(tmp_path)) >= {"report.dcm", "cut.dcm"}


@pytest.mark.parametrize("command", ["anonymize", "protect"])
def test_where_no_series_has_a_mask_every_file_is_listed(command: str, tmp_path: Path, capsys) -> None:
    paths = write_series(tmp_path / "in", volume(shape=SMALL))
    save(dataset("PR", series="pr"), tmp_path / "in" / "state.dcm")
    unreadable(tmp_path)
    options = ("--protect", *WORDS) if command == "anonymize" else WORDS
    code, said = run(tmp_path, capsys, *options, command=command)
    assert code == 1 and "with a mask that fits, got none" in said and said.count("\n") == 1
    assert str(tmp_path / "out-private" / "quarantine.json") in said
    expected = {**{path.name: "mask" for path in paths}, "state.dcm": "mask", "report.dcm": "file", "cut.dcm": "file"}
    assert aside(tmp_path) == {**expected, "notes.txt": "no-dicom"}


def test_where_all_pictures_may_hold_text_the_summary_names_the_list(tmp_path: Path, capsys) -> None:
    save(image(np.zeros((6, 8), np.uint8), "US", position=None), tmp_path / "in" / "us.dcm")
    code, said = run(tmp_path, capsys)
    assert code == 1 and f"what was put aside, by name: {tmp_path / 'out-private' / 'quarantine.json'}" in said
    assert aside(tmp_path) == {"us.dcm": "burned-in"}


def test_an_error_leaves_the_list_of_an_earlier_release_as_it_is(tmp_path: Path, capsys) -> None:
    paths = write_series(tmp_path / "in", volume(shape=SMALL))
    assert run(tmp_path, capsys)[0] == 0
    before = (tmp_path / "out-private" / "quarantine.json").read_bytes()
    for path in paths:
        path.write_bytes(path.read_bytes()[:300])
    code, said = run(tmp_path, capsys, "--overwrite")
    assert code == 1 and "What was put aside" not in said
    assert (tmp_path / "out-private" / "quarantine.json").read_bytes() == before


def test_an_empty_input_has_nothing_to_list(tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    assert run(tmp_path, capsys)[0] == 1 and not (tmp_path / "out-private").exists()
