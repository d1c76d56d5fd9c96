# SPDX-License-Identifier: Apache-2.0
"""Row 23: whatever an earlier run has left damaged ends in one line with a way on, never in a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.benchmark.benchmark_folder import make_cell
from tests.files_of_people.every_command import Places, Said, call, places
from umed.benchmark.results.broken_results import set_broken_aside
from umed.benchmark.results.cells import read_cell
from umed.cases.records import TARGETS

SPOIL: dict[str, Callable[[Path], object]] = {
    "0 bytes": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a page of a proxy": lambda path: path.write_text("<html>"),
    "null": lambda path: path.write_text("null"),
    "a list": lambda path: path.write_text("[1]"),
    "an empty object": lambda path: path.write_text("{}"),
    "another coding": lambda path: path.write_bytes("{}".encode("utf-16")),
    "deep": lambda path: path.write_text("[" * 100_000),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
STEPS = ("Give ", "Pick ", "pick ", "Make ", "Delete", "Without it", "new folder", "Use ", "Protect ", "Finish ")
FILES = ("plan.json", "targets.json", "release.json", "release.key", "cases/0.json", "left_out.json", "forecast.json")


@pytest.fixture(scope="module")
def there() -> Iterator[Places]:
    with places() as made:
        yield made


def copied(there: Places, target: Path) -> Places:
    """The finished run once more, to be spoilt."""
    for folder, name in ((there.protected, "o"), (there.private, "o-private")):
        shutil.copytree(folder, target / name)
    (target / "o-private").chmod(0o700)
    key = target / "o-private" / "release.key"
    key.chmod(0o600)
    targets = target / "o-private" / TARGETS
    content = json.loads(targets.read_text())
    targets.write_text(json.dumps({**content, "output": str(target / "o")}))
    return there._replace(protected=target / "o", private=target / "o-private", out=target / "o")


def sound(said: Said) -> None:
    """Nothing but what people can use."""
    assert said.code in (0, 1, 2, 3)
    assert "Traceback" not in said.err and "as a bug" not in said.err, said
    if said.code and not said.out:
        *_, line = said.err.splitlines()
        assert line.startswith("umed: ")
        assert any(step in line for step in STEPS), line


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", SPOIL)
def test_a_private_record(name: str, kind: str, there: Places, tmp_path: Path) -> None:
    one = copied(there, tmp_path)
    path = one.private / name
    if not path.exists():
        path.write_text("{}")
    SPOIL[kind](path)
    before = {p.name: p.read_bytes() for p in (one.protected / "images").iterdir()}
    for words in ([*one.words("protect"), "--resume"], one.words("verify"), one.words("check-release")):
        sound(call(words))
    if name == "cases/0.json" and kind != "a folder":  # that case is simply done again
        assert call([*one.words("protect"), "--resume"]).code == 0
        assert {p.name: p.read_bytes() for p in (one.protected / "images").iterdir()} == before
    sound(call([*one.words("protect"), "--overwrite"]))


@pytest.mark.parametrize("kind", SPOIL)
def test_a_damaged_plan_names_the_way_on_and_it_works(kind: str, there: Places, tmp_path: Path) -> None:
    if kind in ("an empty object", "a folder"):
        pytest.skip("a plan of other settings, and no plan")
    one = copied(there, tmp_path)
    path = one.private / "plan.json"
    SPOIL[kind](path)
    said = call([*one.words("protect"), "--resume"])
    assert said.code == 1 and f"{path}: expected the plan of the earlier run, got a damaged one" in said.err
    assert "--overwrite" in said.err and said.err.count("\n") == 1
    assert call([*one.words("protect"), "--overwrite"]).code == 0
    assert call(one.words("verify")).code == 0


@pytest.mark.parametrize("kind", SPOIL)
def test_the_manifest(kind: str, there: Places, tmp_path: Path) -> None:
    one = copied(there, tmp_path)
    SPOIL[kind](one.protected / "umed" / "manifest.json")
    for words in (one.words("verify"), one.words("check-release")):
        said = call(words)
        sound(said)
        assert said.code == 1


@pytest.mark.parametrize("kind", SPOIL)
def test_results_of_a_benchmark_are_set_aside_and_made_again(kind: str, tmp_path: Path) -> None:
    cell = make_cell("set", "clean", "unet", [], 0, (0.8, 0.7)).write(tmp_path / "cells")
    whole = make_cell("set", "clean", "unet", [], 1, (0.8, 0.7)).write(tmp_path / "cells")
    archive = tmp_path / "weights.pt"
    archive.write_bytes(b"PK\x03\x04 and nothing more")
    SPOIL[kind](cell)
    with pytest.warns(UserWarning, match=r"set aside as .*\.broken. It is made again") as warned:
        assert set_broken_aside([cell, whole, tmp_path / "none.json"], (), [archive]) == [cell, archive]
    assert len(warned) == 2 and all("\n" not in str(one.message) for one in warned)
    assert not cell.exists() and cell.with_name(f"{cell.name}.broken").exists() and read_cell(whole).cases


@pytest.mark.parametrize("kind", SPOIL)
@pytest.mark.parametrize("name", ["grid.json", "cells", "price/a.json"])
def test_a_report_of_what_is_damaged(kind: str, name: str, tmp_path: Path) -> None:
    cell = make_cell("set", "clean", "unet", [], 0, (0.8, 0.7)).write(tmp_path / "cells")
    path = cell if name == "cells" else tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path != cell:
        path.write_text("{}")
    SPOIL[kind](path)
    said = call(["report", str(tmp_path)])
    sound(said)
    if said.code == 0:
        assert name != "cells" and kind in ("an empty object", "a folder")
