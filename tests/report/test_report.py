# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import umed
from umed.cases.records import private_of
from umed.data.phantom import make_phantom
from umed.report.protect_page import sample_cases, write_report
from umed.report.viewer_files import NIIVUE, viewer_file

VOID = {"meta", "input", "img", "line", "rect", "path", "br"}
SEVEN = [{"id": f"case_{i}", "status": "protected"} for i in range(7)]


class Checker(HTMLParser):
    """Balances tags and collects what a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:  # an SVG element that closes itself
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("report")
    data = make_phantom(root / "in", cases=3, size=(32, 32, 24))
    umed.protect(data, root / "out", method="checkerboard", report_cases=2)
    return data, root / "out", json.loads((root / "out-private" / "release.json").read_text())


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def test_is_self_contained_and_well_formed(run: tuple[Path, Path, dict[str, Any]]) -> None:
    page = (private_of(run[1]) / "report.html").read_text(encoding="utf-8")
    checker = check(page)
    assert len(checker.loads) == 6 and all(uri.startswith("data:image/png;base64,") for uri in checker.loads)
    assert page.count(viewer_file(NIIVUE)) == 1
    page = page.replace(viewer_file(NIIVUE), "")  # its comments name papers and pages
    assert "http:" not in page and "https:" not in page and "@import" not in page and "url(" not in page
    assert "default-src 'none'" in page


def test_names_no_folder_of_the_machine(run: tuple[Path, Path, dict[str, Any]]) -> None:
    page = (private_of(run[1]) / "report.html").read_text(encoding="utf-8")
    assert str(run[1].parent) not in page and str(Path.home()) not in page


def test_says_the_figures_of_the_manifest(run: tuple[Path, Path, dict[str, Any]]) -> None:
    page = (private_of(run[1]) / "report.html").read_text(encoding="utf-8")
    for case in run[2]["cases"]:
        figures = case["files"][0]
        assert case["id"] in page and f"{figures['psnr']:.2f}" in page
        assert f'data-key="{figures["delta_e_roi"]}"' in page and f'data-key="{figures["delta_e_roi_99"]}"' in page
        assert 0 < figures["delta_e"] < figures["delta_e_roi"] < figures["delta_e_roi_99"]
    assert "3 / 3" in page and "4/255" in page and "checkerboard" in page and "6 / 6" in page
    assert all(reason.split(":")[0] in page for reason in run[2]["plan"]["why"])


def test_same_run_same_bytes(run: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    again = write_report(run[2], run[0], run[1], tmp_path / "report.html")
    assert again.read_bytes() == (private_of(run[1]) / "report.html").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_escapes_and_shows_what_failed(run: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    manifest = copy.deepcopy(run[2])
    evil = "<script>alert('x')</script>"
    manifest["cases"].append({"id": evil, "status": "failed", "reason": f'{evil}"&'})
    manifest["cases"].append({"id": "empty", "status": "unchanged", "reason": "the label is empty", "files": [{}]})
    page = write_report(manifest, run[0], run[1], tmp_path / "r.html", probe={"clean": 0.8123, "protected": 0.05})
    text = page.read_text(encoding="utf-8")
    assert evil not in text and "&lt;script&gt;" in text and check(text).tags.count("script") == 6
    assert "3 / 5" in text and "1 unchanged, 1 failed" in text and "Failed: 1 case" in text
    assert "0.81 → 0.05" in text


def test_names_a_few_of_the_cases_that_were_left_out_of_training(
    run: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    unused = [{"id": f"case_{i}", "reason": "expected <a>, got b. Fetch it."} for i in range(7)]
    page = write_report({**run[2], "left_out_of_training": unused}, run[0], run[1], tmp_path / "r.html")
    text = page.read_text(encoding="utf-8")
    first = "; ".join(f"case_{i}: expected &lt;a&gt;, got b. Fetch it" for i in range(5))
    assert f"Left out of training: 7 cases. {first}; and 2 more, see release.json." in text


def test_a_picture_that_cannot_be_drawn_does_not_cost_the_report(
    run: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    text = write_report(run[2], run[0], tmp_path / "gone", tmp_path / "r.html").read_text(encoding="utf-8")
    assert "could not be drawn" in text and not re.search(r"<img ", text)


def test_sample_depends_on_seed_and_ids_only() -> None:
    assert sample_cases(SEVEN, 0, 3) == sample_cases(SEVEN[::-1], 0, 3)
    assert len({tuple(sample_cases(SEVEN, seed, 3)) for seed in range(10)}) > 3
    assert sample_cases(SEVEN, 0, 99) == [case["id"] for case in SEVEN] and sample_cases(SEVEN, 0, 0) == []
    assert sample_cases([{"id": "x", "status": "failed"}], 0, 3) == []
