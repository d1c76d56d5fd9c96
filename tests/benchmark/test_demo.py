# SPDX-License-Identifier: Apache-2.0
"""The demonstration: who is trained on what, what is claimed and when, and what is left alone."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.benchmark.phantom_pictures import write_pictures
from umed.benchmark.demo import MARK, MARKED, PAGE, demo
from umed.benchmark.report.demo_page import ANSWERS, Demonstration
from umed.benchmark.results.verdict import judge
from umed.benchmark.victims.case_tensors import Samples
from umed.benchmark.victims.ready import Ready
from umed.core.config import make_settings
from umed.core.errors import ConfigError, InputError, UmedError
from umed.data.phantom import make_phantom
from umed.protect.verify import verify

QUICK = make_settings("default", {"training": {"iterations": 0}, "report_cases": 0})
CASES = tuple(f"case{number}" for number in range(8))


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("images/*.png")}


@pytest.fixture(scope="module")
def stages() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory, stages: list[tuple[str, int, int]], said: list[str]
) -> Demonstration:
    out, before = tmp_path_factory.mktemp("demo") / "out", torch.get_num_threads()
    done = demo(
        *(out, None),
        **{"steps": 2, "cases": 16, "settings": QUICK, "say": said.append},
        progress=lambda *report: stages.append(report),
    )
    assert torch.get_num_threads() == before
    return done


def test_the_cases_that_judge_are_neither_protected_nor_trained_on(found: Demonstration) -> None:
    out = found.result.output.parent
    everything, given = names(out / "originals"), names(found.input)
    assert len(everything) == 16 and given == names(found.result.output) and given < everything
    assert (found.train, found.test) == (len(given), len(everything - given)) == (12, 4)
    for name in given:
        pictures = [
            np.asarray(Image.open(root / "images" / f"{name}.png"), int) for root in (found.input, out / "release")
        ]
        assert 0 < abs(pictures[0] - pictures[1]).max() <= 4, "the default bound, 4/255"


def test_the_bound_is_proved_and_can_be_proved_again(found: Demonstration) -> None:
    assert found.exit_code == 0 and found.proof.exit_code == 0
    again = verify(found.input, found.result.output)
    assert again.exit_code == 0, again.summary()
    assert found.proof_command.startswith("umed verify ")


def test_all_that_a_network_sees_of_ct_is_cut_to_one_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, tuple[float, float]] = {}

    def look(sources: Mapping[str, Samples], test: Ready, *rest: Any) -> Any:
        for name, one in sources.items():
            seen[name] = min(float(i.min()) for i in one.images), max(float(i.max()) for i in one.images)
            assert set(one.scales) == {400.0}, name
        raise UmedError("enough")

    monkeypatch.setattr("umed.benchmark.demo._train_both", look)
    data = make_phantom(tmp_path / "ct", cases=12, size=(24, 24, 16))
    with pytest.raises(UmedError, match="enough"):
        demo(tmp_path / "out", data, steps=1, settings=replace(QUICK, method="random", method_options={}))
    assert seen == {"unprotected": (-160.0, 240.0), "protected": (-160.0, 240.0)}


def test_originals_and_page_lie_where_nobody_publishes_them(found: Demonstration) -> None:
    page = found.page.read_text()
    assert found.page == found.result.private / PAGE and not list(found.result.output.rglob("*.html.j2"))
    assert {path.name for path in found.result.output.iterdir()} == {"images", "masks", "umed"}
    assert stat.S_IMODE(found.result.output.parent.stat().st_mode) == 0o700
    assert "never publish it" in page and page.count("<figure>") == 2 * 4
    assert page.count("data:image/png") == 4, "one background for both thieves"
    assert f"publish: {found.result.output} (umed check-release: nothing speaks against it)" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_control_that_learnt_nothing_is_no_claim(found: Demonstration) -> None:
    assert found.thief.verdict == "unknown" and found.steps == 2
    assert found.answer.startswith("no verdict: the control learnt nothing (DSC ")
    assert "--steps 6" in found.answer and not any(words in found.summary() for words in ANSWERS.values())
    assert found.to_dict()["thief"]["verdict"] == "unknown"


def test_what_takes_time_is_said_before_and_counted(
    found: Demonstration, stages: list[tuple[str, int, int]], said: list[str]
) -> None:
    assert "16 small pictures" in said[0] and "nothing is downloaded" in said[0]
    assert f"demo: {found.train} cases are protected, 4 others stay clean and judge" in said[1]
    assert "two trainings of 2 steps side by side, about " in said[1]
    order = list(dict.fromkeys(stage for stage, _, _ in stages))
    assert order[0] == "look" and order[-1].startswith("train two thieves")
    steps = [report[1:] for report in stages if report[0] == order[-1]]
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert "prove the bound" in " ".join(order)


def test_the_same_seed_trains_the_same_control_whatever_the_key_draws(found: Demonstration, tmp_path: Path) -> None:
    again = demo(tmp_path / "out", steps=2, cases=16, settings=QUICK)
    assert again.thief.clean == found.thief.clean
    name = f"images/{min(names(found.input))}.png"
    assert (again.result.output / name).read_bytes() != (found.result.output / name).read_bytes()


@pytest.mark.parametrize(
    ("after", "verdict"), [(0.1, "holds"), (0.55, "weakens"), (0.88, "none")], ids=["holds", "weakens", "none"]
)
def test_what_is_claimed_follows_the_figures(found: Demonstration, after: float, verdict: str) -> None:
    spread = np.linspace(-0.05, 0.05, len(CASES))
    tables = [{0: (CASES, tuple((float(level + one),) for one in spread))} for level in (0.88, after)]
    thief = judge("batchnorm_unet", *tables, dict.fromkeys(CASES, 0.05))
    claimed = replace(found, thief=thief)
    assert claimed.thief.verdict == verdict
    assert claimed.answer.startswith(ANSWERS[claimed.thief.verdict])
    assert "DSC of 88 %" in claimed.answer and f"with {100 * after:.0f} %" in claimed.answer


def test_a_release_that_is_not_fit_is_never_said_to_be(found: Demonstration) -> None:
    assert found.result.check is not None
    (found.result.output / "images" / "stray.txt").write_text("x")
    try:
        broken = replace(found, proof=verify(found.input, found.result.output))
    finally:
        (found.result.output / "images" / "stray.txt").unlink()
    assert broken.exit_code == 1 and f"do not publish {found.result.output}" in broken.summary()
    assert "proved from the files" not in broken.summary()


def test_own_data_are_shown_as_they_are(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data", 13)
    before = {path: path.read_bytes() for path in data.rglob("*.png")}
    done = demo(tmp_path / "out", data, steps=1, settings=QUICK)
    assert (done.phantom, done.train, done.test) == (False, 10, 3)
    assert {path: path.read_bytes() for path in data.rglob("*.png")} == before
    assert "it lacks all cases but these 10" in done.published
    assert not (tmp_path / "out/originals").exists() and "computed" not in " ".join(done.limits)


def test_volumes_are_shown_by_the_slice_with_most_of_the_labels(tmp_path: Path) -> None:
    data = make_phantom(tmp_path / "data", cases=12, size=(24, 24, 16))
    done = demo(tmp_path / "out", data, steps=1, settings=QUICK)
    assert (done.train, done.test, done.side) == (9, 3, 24) and done.exit_code == 0
    page = done.page.read_text()
    assert page.count("<figure>") == 2 * 3 and 'viewBox="0 0 24 24"' in page


def test_only_an_earlier_demonstration_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "release").mkdir(parents=True)
    (out / "release/old.png").write_bytes(b"old")
    (out / MARK).write_text(MARKED)
    with pytest.raises(InputError, match="got an earlier demonstration. Add --overwrite"):
        demo(out)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"got 'thesis.txt'. Name another: --out"):
        demo(out, overwrite=True)
    assert (out / "release/old.png").is_file()
    (out / "thesis.txt").unlink()
    assert demo(out, steps=1, cases=13, settings=QUICK, overwrite=True).train == 10
    assert not (out / "release/old.png").exists()
    mine = tmp_path / "mine"
    (mine / "originals").mkdir(parents=True)
    (mine / "originals/scan.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="expected a new folder or an earlier demonstration"):
        demo(mine, overwrite=True)
    assert (mine / "originals/scan.png").read_bytes() == b"mine" and not (mine / MARK).exists()


def test_bad_words_and_folders_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    data, out = write_pictures(tmp_path / "data", 5), tmp_path / "out"
    for options, words in (
        ({"steps": 0}, "--steps: expected at least 1"),
        ({"cases": 11}, "--cases: expected at least 12"),
    ):
        with pytest.raises(ConfigError, match=words):
            demo(out, **options)
    for place in (data, data / "demo", tmp_path):
        with pytest.raises(InputError, match="expected a folder apart from the data"):
            demo(place, data)
    assert not out.exists() and not (data / "demo").exists()
    with pytest.raises(InputError, match="expected at least 12 cases with a label"):
        demo(out, data)
    assert not out.exists()


def test_who_stops_it_stops_both_trainings(tmp_path: Path) -> None:
    def stop(stage: str, done: int, _total: int) -> None:
        if stage.startswith("train two") and done >= 2:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path / "out", steps=100_000, cases=12, settings=QUICK, progress=stop)
    assert threading.active_count() == before


@pytest.mark.skipif("UMED_STUDIES" not in os.environ, reason="most of a minute: set UMED_STUDIES=1 to run it")
@pytest.mark.slow
def test_the_control_learns_and_the_thief_does_not(tmp_path: Path) -> None:
    """The whole demonstration but for the training of generators, which adds little; key and code are fresh ones."""
    done = demo(tmp_path / "out", steps=160, settings=QUICK)
    assert done.thief.clean.mean >= 0.8
    assert done.thief.protected.mean < done.thief.clean.mean - 0.15, "the default strength shows"
    assert done.exit_code == 0


def test_a_project_that_is_built_like_a_demonstration_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "scan.png").write_bytes(b"mine")
    (tmp_path / MARK).write_text("My project.\n")
    with pytest.raises(InputError, match="expected a new folder or an earlier demonstration, got 'another one'"):
        demo(tmp_path, overwrite=True)
    assert (tmp_path / "input" / "scan.png").read_bytes() == b"mine"
