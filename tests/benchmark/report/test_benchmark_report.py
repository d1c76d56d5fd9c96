# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.benchmark.benchmark_folder import make_cell, make_folder
from umed.benchmark.report import read_folder, write_benchmark_report
from umed.benchmark.report.predictions import runs
from umed.benchmark.report.result_charts import find_sweeps
from umed.cli.main import main
from umed.core.errors import InputError

VOID = {"meta", "input", "img"}
FILES = ("report.html", "table.csv", "table.md", "table.tex")


class Checker(HTMLParser):
    """Balances tags and collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.sortable = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [given[name] or "" for name in ("src", "href", "data", "action") if name in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        self.sortable += tag == "table" and "data-sortable" in given
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == [] and len(checker.ids) == len(set(checker.ids))
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
    return checker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_folder(tmp_path_factory.mktemp("benchmark"), methods=2, victims=4, steps=5, seeds=2, cases=6)
    write_benchmark_report(root)
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_page_is_whole_and_loads_nothing(page: str) -> None:
    checker = check(page)
    assert all(load.startswith("#") and load[1:] in checker.ids for load in checker.loads)
    assert "http:" not in page and "https:" not in page and "@import" not in page
    assert {target[:10] for target in re.findall(r"url\(([^)]*)", page)} == {"#hatch", "data:image"}
    assert "default-src 'none'" in page and len(page) < 5_000_000


def test_tables_sort_and_controls_that_did_not_learn_are_grey(page: str) -> None:
    assert check(page).sortable >= 5 and 'aria-sort="none"' in page
    grey = re.findall(r'<tr class="out">.*?</tr>', page)
    frozen = [row for row in grey if "unetr frozen encoder" in row]
    assert len(frozen) > 8 and frozen == [row for row in grey if "did not learn" in row]
    assert 'data-key="NaN"' in page and "10 settings with the flag “did not learn”; counted nowhere" in page


def test_page_says_the_figures_of_the_summary(folder: Path, page: str) -> None:
    for row in read_folder(folder).summary.pick(countermeasure="none"):
        assert f"{100 * row.dsc.mean:.1f}" in page
    for words in ("brings back", "Strength of the countermeasures", "Protection against visibility", "Spectra"):
        assert words in page
    for words in ("umed benchmark made_up", "abc1234", "Example CPU", "2026-07-01 10:00 to 2026-07-02 10:00"):
        assert words in page
    assert "benchmark&#x27;s own share" in page and "4.0 % (all but training and prediction)" in page
    assert page.count("background-image:url(data:image/png;base64,") == 6  # 2 data sets x 3 cases, shared by the tiles


def test_same_cells_same_bytes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "again")
    write_benchmark_report(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_names_no_folder_of_the_machine(folder: Path) -> None:
    for name in FILES:
        text = (folder / name).read_text(encoding="utf-8")
        assert str(folder) not in text and str(folder.parent) not in text


def test_grid_leaves_out_earlier_cells_and_counts_missing_ones(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "next")
    grid = json.loads((tmp_path / "next" / "grid.json").read_text())
    dropped = grid["cells"].pop()
    grid["cells"] += ["a.json", "b.json"]
    (tmp_path / "next" / "grid.json").write_text(json.dumps(grid))
    (tmp_path / "next" / "cells" / dropped).write_text('{"format": 0}')  # of long ago
    (tmp_path / "next" / "cells" / ".umed-tmp-a.json").write_text("{")  # of a run that was killed, or goes on
    found = read_folder(tmp_path / "next")
    assert dropped not in {cell.spec.file for cell in found.cells}
    assert found.summary.notes == (
        "1 cell of earlier settings left out: the present grid does not name it.",
        "2 cells of the grid not there yet: run the same command again.",
    )


def test_empty_folder_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected cells/\*\.json of a benchmark, found none\. Run: umed benchmark"):
        write_benchmark_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_cell_without_anything_else_works(tmp_path: Path) -> None:
    make_cell("<b>set", "umed", "unet", [], 0, (0.5,), protected=True).write(tmp_path / "cells")
    page = write_benchmark_report(tmp_path).read_text(encoding="utf-8")
    check(page)
    assert "nothing can be said" in page and "no control" in page and "<b>set" not in page
    assert "&lt;b&gt;set" in page
    shown = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\b(nan|None|inf)\b", shown)


def test_missing_price_and_pictures_are_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "price")
    shutil.rmtree(tmp_path / "bare" / "pictures")
    page = write_benchmark_report(tmp_path / "bare").read_text(encoding="utf-8")
    check(page)
    assert "Spectra" not in page and "Predictions on clean" not in page and "data:image" not in page


@pytest.mark.parametrize(("name", "content"), [("price/x.json", "{"), ("grid.json", "[1]")])
def test_broken_file_is_named(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: expected"):
        write_benchmark_report(tmp_path / "broken")


def test_command_prints_rows_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["report"] == str(folder / "report.html") and len(content["bottom_line"]) == 2
    assert len(content["rows"]) == len(read_folder(folder).summary.rows)
    assert main(["report", str(folder)]) == 0
    assert "none of 2 protections holds" in capsys.readouterr().out
    assert main(["report", str(folder / "cells")]) == 1
    assert "Run: umed benchmark" in capsys.readouterr().err


def test_sweep_is_one_option_that_varies() -> None:
    def cell(*steps: tuple[str, dict[str, object]]) -> object:
        return make_cell("set", "umed", "unet", list(steps), 0)

    made = [cell(("jpeg", {"quality": q, "chroma": True})) for q in (90, 10)]
    made += [cell(("adversarial_training", {"epsilon": value})) for value in ("4/255", 1 / 255)]
    made += [cell(("mix", {"share": 0.1})), cell(("cut", {"a": 1, "b": 1})), cell(("cut", {"a": 2, "b": 2}))]
    made += [cell(("jpeg", {"quality": 50, "chroma": True}), ("augment", {}))]
    found = find_sweeps(made)  # type: ignore[arg-type]
    assert set(found) == {"jpeg", "adversarial_training"}
    assert found["jpeg"] == ("quality", {"jpeg quality=10 chroma=True": "10", "jpeg quality=90 chroma=True": "90"})
    assert list(found["adversarial_training"][1].values()) == ["1/255", "4/255"]


def test_filled_path_has_the_area_of_the_mask() -> None:
    mask = np.random.default_rng(0).uniform(size=(9, 11)) > 0.5
    lengths = [int(length) for length in re.findall(r"h(\d+)v1", runs(mask))]
    assert sum(lengths) == mask.sum()
