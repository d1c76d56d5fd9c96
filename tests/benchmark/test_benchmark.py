# SPDX-License-Identifier: Apache-2.0
"""Whole benchmarks on the phantom, with trainings of two steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unseg_files import loud_generator
from umed.benchmark.benchmark import Ended, benchmark, make_tasks, preview
from umed.benchmark.grid.assemble import assemble, check_grid
from umed.benchmark.grid.grid_reading import load_grid
from umed.benchmark.results.cells import CLEAN, read_cells
from umed.cases.records import private_of
from umed.cli.main import main
from umed.core.errors import ConfigError
from umed.data.phantom import make_phantom
from umed.protect.verify import verify

GRID = """
data:
  volumes: {path: phantom, validation: 0.3}
training: {width: 4, batch: 1, steps: 2, patch: [32, 32, 16], checkpoints: 2}
methods: [checkerboard]
victims: [unet]
countermeasures: [none, blur: {sigma: 1}]
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    make_phantom(root / "phantom", cases=10, size=(24, 24, 16))
    (root / "grid.yaml").write_text(GRID)
    return root


@pytest.fixture(scope="module")
def ended(folder: Path) -> Ended:
    return benchmark(folder / "grid.yaml", folder / "out", command="umed benchmark grid.yaml")


def test_every_cell_has_its_control_and_its_file(ended: Ended, folder: Path) -> None:
    assert (ended.cells, ended.done, ended.failures, ended.exit_code) == (8, 8, (), 0)
    cells = read_cells(folder / "out" / "cells")
    found = {(one.spec.method, one.spec.countermeasure, one.spec.seed) for one in cells}
    assert found == {(m, c, s) for m in (CLEAN, "checkerboard") for c in ("none", "blur sigma=1") for s in (0, 1)}
    grid = json.loads((folder / "out" / "grid.json").read_text())
    assert sorted(grid["cells"]) == sorted(one.spec.file for one in cells) and grid["methods"] == [
        CLEAN,
        "checkerboard",
    ]
    assert ended.report is not None and "checkerboard" in ended.report.read_text()


def test_row_26_victims_that_learnt_nothing_give_no_verdict_on_console_page_table_and_json(
    ended: Ended, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = read_cells(folder / "out" / "cells")
    assert all(cell.chance is not None and 0 < cell.chance < 0.5 for cell in cells)
    (sentence,) = ended.verdict
    assert sentence.startswith("volumes: no verdict: the control learnt nothing (DSC ") and "floor 50.0 %" in sentence
    assert sentence in ended.summary() and ended.to_dict()["verdict"] == [sentence]
    assert ended.report is not None
    page, table = ended.report.read_text(), (folder / "out" / "table.md").read_text()
    assert sentence in page and sentence in table and "0 / " in page
    assert main(["report", str(folder / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bottom_line"] == [sentence] and not any(row["counts"] for row in said["rows"])
    for text in (page, table, ended.summary(), json.dumps(said)):
        assert "none of" not in text and "holds best" not in text


def test_row_27_every_training_is_a_stage(folder: Path, ended: Ended) -> None:
    seen: list[tuple[str, int, int]] = []
    grid = load_grid(folder / "grid.yaml")
    jobs = assemble(check_grid(grid), folder / "again", "cpu")
    for task in make_tasks(jobs, (0, 9), lambda *one: seen.append(one)):
        task.function(*task.arguments)
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert "volumes: clean, unet, none, seed 0" in stages
    assert [(done, total) for stage, done, total in seen if stage == stages[0]] == [(1, 2), (2, 2)]


def test_a_cell_says_everything_about_itself(ended: Ended, folder: Path) -> None:
    for cell in read_cells(folder / "out" / "cells"):
        assert len(cell.classes) == 3 and len(cell.cases) == 2 and cell.unit == "mm"
        choices = {"last", "best_clean"} | ({"best_protected"} if cell.spec.method != CLEAN else set())
        assert set(cell.choices) == choices
        for scores in cell.choices.values():
            for table in (scores.dsc, scores.hd95, scores.nsd):
                assert len(table) == 2 and all(len(row) == 3 for row in table)
        assert len(cell.loss) == 2 and [step for step, _, _ in cell.validation] == [1, 2]
        assert cell.seconds["total"] >= cell.seconds["train"] > 0
        assert {"umed", "torch", "monai", "hardware", "commit", "date"} <= set(cell.environment)
        settings = cell.spec.settings
        assert settings["inputs"]["files"] and settings["victim"]["steps"] == 2
        assert (settings["protection"] is None) == (cell.spec.method == CLEAN)
        with np.load(folder / "out" / cell.pictures) as arrays:
            assert arrays["image_0"].shape == arrays["truth_0"].shape == arrays["prediction_0"].shape == (24, 24)
            assert str(arrays["id_0"]) in cell.cases


def test_no_test_case_is_protected_or_used_for_a_choice(ended: Ended, folder: Path) -> None:
    jobs = assemble(check_grid(load_grid(folder / "grid.yaml")), folder / "out", "cpu")
    (protected,) = jobs.protect
    split = protected.data.split
    names = {path.name.removesuffix(".nii.gz") for path in (protected.folder / "imagesTr").iterdir()}
    assert names == {*split.train, *split.validation} and not names & set(split.test)
    assert not set(split.validation) & {*split.train, *split.test}
    assert {tuple(cell.cases) for cell in read_cells(folder / "out" / "cells")} == {split.test}
    (published,) = (folder / "out" / "data").glob("volumes-published-*")
    assert verify(published, protected.folder).ok


def test_a_second_run_does_nothing_and_a_changed_setting_only_what_it_touches(ended: Ended, folder: Path) -> None:
    grid, out = folder / "grid.yaml", folder / "out"
    times = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert make_tasks(assemble(check_grid(load_grid(grid)), out, "cpu")) == []
    lines: list[str] = []
    assert benchmark(grid, out, say=lines.append).done == 8 and lines == []
    assert {path: path.stat().st_mtime_ns for path in times} == times

    def missing(**changes: object) -> set[str]:
        jobs = assemble(check_grid(load_grid(grid, changes=changes)), out, "cpu")
        return {job.spec.method for job in jobs.cells if not job.done}

    assert missing(training={"steps": 3}) == {CLEAN, "checkerboard"}
    assert missing(protection={"epsilon": "8/255"}) == {"checkerboard"}
    assert missing(protection={"training": {"iterations": 7}}) == set()  # a control is not trained
    assert missing(seeds=[0, 1, 2]) == {CLEAN, "checkerboard"}
    assert missing(tolerance=2.0) == {CLEAN, "checkerboard"}


def test_a_thief_with_a_size_of_his_own_is_another_cell_and_judged_on_the_files_grid(
    ended: Ended, folder: Path
) -> None:
    before = {one.spec.file for one in read_cells(folder / "out" / "cells")}
    changes = {"training": {"resize": 32, "patch": [32, 32, 32]}, "seeds": [0], "price": True}
    assert benchmark(folder / "grid.yaml", folder / "sized", changes=changes).exit_code == 0
    cells = read_cells(folder / "sized" / "cells")
    assert len(cells) == 4 and not before & {one.spec.file for one in cells}
    for cell in cells:
        assert cell.spec.settings["victim"]["resize"] == 32
        with np.load(folder / "sized" / cell.pictures) as arrays:
            assert arrays["truth_0"].shape == arrays["prediction_0"].shape == (24, 24)


def test_a_lost_cell_comes_back_the_same(ended: Ended, folder: Path) -> None:
    path = next((folder / "out" / "cells").glob("*checkerboard*blur*seed1*"))
    before = json.loads(path.read_text())
    path.unlink()
    lines: list[str] = []
    assert benchmark(folder / "grid.yaml", folder / "out", say=lines.append).done == 8
    after = json.loads(path.read_text())
    same = ("spec", "choices", "loss", "validation", "cases")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert len(lines) == 1 and lines[0].startswith("[8/8] volumes: checkerboard, unet, blur sigma=1, seed 1: DSC")


def test_shards_add_up(ended: Ended, folder: Path) -> None:
    jobs = assemble(check_grid(load_grid(folder / "grid.yaml")), folder / "other", "cpu")
    parts = [{task.name for task in make_tasks(jobs, (k, 3)) if task.name.startswith("cell")} for k in range(3)]
    judge = {job.judge.name for job in jobs.price if job.judge}
    assert set.union(*parts) == {job.name for job in jobs.cells}
    assert not (parts[0] & parts[1]) - judge and not (parts[1] & parts[2]) - judge
    for task in make_tasks(jobs, (1, 3)):
        names = {one.name for one in make_tasks(jobs, (1, 3))}
        assert set(task.needs) <= names
    with pytest.raises(ConfigError, match="expected K/N"):
        benchmark(folder / "grid.yaml", folder / "out", shard=(3, 3))


def test_preview_writes_nothing_and_knows_what_is_done(ended: Ended, folder: Path) -> None:
    seen = preview(folder / "grid.yaml", folder / "nowhere")
    assert not (folder / "nowhere").exists()
    assert len(seen.rows) == 8 and all(seconds > 0 for _, seconds in seen.rows) and len(seen.protect) == 1
    assert "8 of 8 cells are left" in seen.summary() and "to protect first" in seen.summary()
    assert len(preview(folder / "grid.yaml", folder / "new", shard=(1, 2)).rows) == 4
    with pytest.raises(ConfigError, match="shard: expected K/N"):
        preview(folder / "grid.yaml", folder / "new", shard=(2, 2))
    again = preview(folder / "grid.yaml", folder / "out")
    assert again.seconds == 0 and again.protect == () and "0 of 8 cells are left" in again.summary()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path: phantom", "path: nothing", "grid.yaml:3: data.volumes: .*--data volumes=FOLDER"),
        ("path: phantom", "path: phantom, cases: 50", "grid.yaml:3: .*expected 50 labelled cases, got 10"),
        ("sigma: 1", "sigma: -1", "grid.yaml:7: .*sigma"),
        ("sigma: 1", "sigmaa: 1", "grid.yaml:7: .*Did you mean 'sigma'"),
        ("[checkerboard]", "[umed: {thetaa: 1}]", "grid.yaml:5: .*Did you mean 'theta'"),
        ("[checkerboard]", "[checkerboard: {settings: {epsilonn: 1}}]", "grid.yaml:5: .*Did you mean 'epsilon'"),
        ("[unet]", "[unet: {stepz: 3}]", "grid.yaml:6: .*Did you mean 'steps'"),
        ("[unet]", "[unet: {pretrained: {data: other}}]", "grid.yaml:6: .*expected a data set of the grid"),
        ("[unet]", "[unet: {pretrained: {checkpoint: no.pt}}]", "grid.yaml:6: .*does not exist"),
        ("[unet]", "[unet: {pretrained: {checkpoint: 5}}]", "grid.yaml:6: .*checkpoint"),
        (
            "[unet]",
            "[{_target_: monai.networks.nets.NoNet}]",
            "grid.yaml:6: .*monai.networks.nets.NoNet.*Check its path",
        ),
        ("path: phantom,", "path: phantom, test: 0.95,", "grid.yaml:3: .*expected cases to train on"),
        ("path: phantom,", "phantom: {sizes: 3},", "grid.yaml:3: .*phantom: .*sizes"),
        ("path: phantom,", "phantom: {cases: 8, size: [24, 24, 16]}, cases: 30,", "grid.yaml:3: .*expected 30 cases"),
        ("patch: [32, 32, 16]", "patch: [32, 32]", "grid.yaml:6: .*patch: expected 3 sizes.*training.3d"),
    ],
)
def test_bad_grids_fail_before_any_training(folder: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = folder / "bad" / "grid.yaml"
    path.parent.mkdir(exist_ok=True)
    assert old in GRID
    path.write_text(GRID.replace(old, new).replace("path: phantom", "path: ../phantom"))
    with pytest.raises(ConfigError, match=message):
        benchmark(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_setting_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    changes = {"countermeasures": ["blur", {"blur": {"sigma": 1}}]}
    with pytest.raises(
        ConfigError, match="'volumes: clean, unet, blur sigma=1, seed 0' and 'volumes: clean, unet, blur,"
    ):
        benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes)


def test_pretraining_on_cases_of_the_data_set_is_refused(folder: Path, tmp_path: Path) -> None:
    changes = {"data": {"other": {"path": "phantom", "seed": 1}}, "methods": ["checkerboard"]}
    changes |= {"victims": [{"unet": {"pretrained": {"data": "other"}}}], "blocks": [{"data": ["volumes"]}]}
    with pytest.raises(
        ConfigError, match=r"grid.yaml:6: .*expected to be pretrained on other cases, but other trains on"
    ):
        benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes)
    changes["data"] = {"volumes": {"part": [0, 2]}, "other": {"path": "phantom", "part": [1, 2]}}
    checked = check_grid(load_grid(folder / "grid.yaml", changes=changes))
    assert len(assemble(checked, tmp_path / "out", "cpu").pretrain) == 2


def test_nothing_mixed_in_needs_no_control(folder: Path) -> None:
    grid = load_grid(folder / "grid.yaml", changes={"countermeasures": [{"mix": {"share": 0}}]})
    assert {one[3] for one in check_grid(grid).combinations()} == {"mix share=0"}


def test_another_split_in_the_same_process_is_another_cell(folder: Path, tmp_path: Path) -> None:
    changes: dict[str, object] = {"countermeasures": ["none"], "seeds": [0]}
    for number, test in enumerate((0.2, 0.5)):
        changes |= {"data": {"volumes": {"test": test}}}
        benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes)
        cells = read_cells(tmp_path / "out" / "cells")
        assert len(cells) == 2 * (number + 1)
    by_size = {len(cell.cases): {c.spec.method for c in cells if len(c.cases) == len(cell.cases)} for cell in cells}
    assert by_size == {2: {CLEAN, "checkerboard"}, 5: {CLEAN, "checkerboard"}}


def test_a_source_that_changes_is_another_data_set(tmp_path: Path) -> None:
    make_phantom(tmp_path / "phantom", cases=8, size=(24, 24, 16))
    (tmp_path / "grid.yaml").write_text(GRID)

    def keys() -> set[str]:
        jobs = assemble(check_grid(load_grid(tmp_path / "grid.yaml")), tmp_path / "out", "cpu")
        return {job.spec.key for job in jobs.cells}

    first = keys()
    assert keys() == first
    index = tmp_path / "phantom" / "dataset.json"
    index.write_text(index.read_text().replace('"CT"', '"MRI"'))
    second = keys()
    assert not second & first
    label = next((tmp_path / "phantom" / "labelsTr").iterdir())
    content = label.read_bytes()
    label.unlink()
    label.write_bytes(content)
    assert keys() == second  # touched, with the same content
    make_phantom(tmp_path / "new", cases=8, size=(24, 24, 16), seed=5)
    for name in ("imagesTr", "labelsTr"):
        for path in (tmp_path / "new" / name).iterdir():
            path.replace(tmp_path / "phantom" / name / path.name)
    assert not keys() & second


def test_a_mixture_gets_the_control_that_has_its_clean_cases_alone(folder: Path) -> None:
    grid = load_grid(folder / "grid.yaml", changes={"countermeasures": ["none", {"mix": {"share": 0.5}}]})
    checked = check_grid(grid)
    controls = [one for one in checked.combinations() if one[3] == "clean_subset share=0.5"]
    assert controls and {one[1] for one in controls} == {CLEAN}


def test_a_job_that_fails_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import umed.benchmark.benchmark as module

    def broken(job: object) -> str:
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "run_protect", broken)
    lines: list[str] = []
    changes = {"countermeasures": ["none"], "seeds": [0]}
    ended = benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes, say=lines.append)
    assert ended.done == 1 and ended.exit_code == 3
    reasons = dict(ended.failures)
    assert any("the disk is full" in reason for reason in reasons.values())
    assert any("this failed: protect volumes: checkerboard" in reason for reason in reasons.values())
    assert any(line.startswith("FAILED protect") for line in lines) and "failed: " in ended.summary()


@pytest.mark.parametrize(("seconds", "said"), [(9.0, True), (0.1, False)])
def test_a_long_run_says_first_how_long_it_will_take_and_a_short_one_does_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, said: bool
) -> None:
    monkeypatch.setattr("umed.benchmark.benchmark.TimeEstimate.cell", lambda self, job: seconds)
    lines: list[str] = []
    changes = {"countermeasures": ["none"], "seeds": [0]}
    assert benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes, say=lines.append).done == 2
    begun = "2 of 2 cells to train: about 18 s on this machine, beside 2 other jobs, such as protecting"
    assert (lines[0] == begun) is said and not any("cells to train" in line for line in lines[1:])
    lines.clear()
    assert benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes, say=lines.append).done == 2
    assert not lines  # nothing is left


@pytest.mark.slow
def test_a_victim_that_diverged_is_said_and_not_counted(folder: Path, tmp_path: Path) -> None:
    text = GRID.replace("steps: 2", "steps: 3, optimizer: sgd, learning_rate: 1.0e+36").replace("[0, 1]", "[0]")
    grid = tmp_path / "grid.yaml"
    grid.write_text(text.replace(", blur: {sigma: 1}", "").replace("path: phantom", f"path: {folder / 'phantom'}"))
    lines: list[str] = []
    done = benchmark(grid, tmp_path / "out", say=lines.append)
    assert (done.done, done.exit_code, len(done.diverged)) == (2, 0, 2)
    assert "not counted: volumes: clean, unet, none, seed 0: diverged: weights not finite (last" in done.summary()
    assert done.to_dict()["diverged"][0]["note"].startswith("diverged")
    assert sum("DSC none (diverged, not counted)" in line for line in lines) == 2
    for cell in read_cells(tmp_path / "out" / "cells"):
        assert "last" in cell.broken and cell.notes[-1].startswith("diverged: weights not finite")
    assert done.report is not None
    page = done.report.read_text()
    assert "2 training(s) that diverged count nowhere" in page and "diverged: weights not finite" in page


@pytest.mark.slow
@pytest.mark.usefixtures("quick_workers")
def test_workers_give_the_same_cells(ended: Ended, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert benchmark(folder / "grid.yaml", out, changes={"seeds": [0]}, workers=2).done == 4
    mine = {cell.spec.file: cell.choices for cell in read_cells(out / "cells")}
    theirs = {cell.spec.file: cell.choices for cell in read_cells(folder / "out" / "cells")}
    assert mine and all(theirs[name] == choices for name, choices in mine.items())


def test_generators_that_were_trained_before_are_used_as_they_are(folder: Path, tmp_path: Path) -> None:
    generator = loud_generator(tmp_path)
    entry = {"unseg": {"generators": str(generator)}}
    changes: dict[str, Any] = {"methods": [entry], "countermeasures": ["none"], "seeds": [0]}
    grid = load_grid(folder / "grid.yaml", changes=changes)
    (job,) = assemble(check_grid(grid), tmp_path / "out", "cpu").protect
    assert "training" not in job.mark and job.mark["generators"]
    ended = benchmark(folder / "grid.yaml", tmp_path / "out", changes=changes)
    assert ended.done == 2 and ended.failures == ()
    used = private_of(job.folder) / "generators" / "unseg.pt"
    assert used.read_bytes() == (generator / "unseg.pt").read_bytes()
    for wrong, message in (({"generators": "none"}, "expected trained generators"), ({"generators": 3}, "got 3")):
        with pytest.raises(ConfigError, match=f"grid.yaml:5: .*{message}"):
            check_grid(load_grid(folder / "grid.yaml", changes={**changes, "methods": [{"unseg": wrong}]}))


def test_strengths_are_protections_of_their_own(folder: Path, tmp_path: Path) -> None:
    both = [{"umed": {"settings": {"strength": one}, "name": one}} for one in ("invisible", "strong")]
    grid = load_grid(folder / "grid.yaml", changes={"methods": both, "countermeasures": ["none"], "seeds": [0]})
    jobs = assemble(check_grid(grid), tmp_path / "out", "cpu")
    assert len({job.folder for job in jobs.protect}) == 2 and len({job.spec.key for job in jobs.cells}) == 3
