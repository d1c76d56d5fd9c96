# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from umed.benchmark import study as studies
from umed.benchmark.quick import probe, run_quick
from umed.benchmark.study import CLEAN, CellResult, Study, mean_measures
from umed.benchmark.table import markdown, provenance, results_table, spread
from umed.benchmark.training import Recipe
from umed.config import make_settings
from umed.errors import ConfigError, InputError
from umed.protect import protect
from umed.sample import make_phantom

TINY = Recipe(width=4, steps=3, batch=2, patch=(32, 32, 16), checkpoints=1)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("data") / "phantom", cases=8, size=(32, 32, 16))


def study(phantom: Path, out: Path) -> Study:
    return Study("phantom", phantom, out, settings=make_settings(), recipe=TINY)


def test_only_training_cases_are_protected_and_the_data_set_stays(phantom: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in phantom.rglob("*") if path.is_file()}
    made = study(phantom, tmp_path)
    folder = made.protected("checkerboard")
    released = {path.name.removesuffix(".nii.gz") for path in (folder / "imagesTr").iterdir()}
    assert released == set(made.split.train)
    assert not released & set(made.split.test + made.split.validation)
    assert {path: path.read_bytes() for path in phantom.rglob("*") if path.is_file()} == before
    measures = made.fidelity("checkerboard")
    assert 30 < measures["psnr_roi"] < measures["psnr"] and 0 < measures["roi_share"] < 1
    assert made.fidelity(CLEAN) == {}


def test_a_cell_is_computed_once(phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = study(phantom, tmp_path).run("checkerboard", "none", 0)
    assert first.steps == 3 and len(first.last) == 3 and first.method == "checkerboard"

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(studies, "train_victim", never)
    assert study(phantom, tmp_path).run("checkerboard", "none", 0) == first
    with pytest.raises(AssertionError, match="trained again"):
        study(phantom, tmp_path).run("checkerboard", "none", 1)


def test_another_recipe_or_setting_is_another_cell(phantom: Path, tmp_path: Path) -> None:
    one = study(phantom, tmp_path)
    other = Study("phantom", phantom, tmp_path, settings=make_settings(overrides={"epsilon": 0.05}), recipe=TINY)
    assert one.cell_path(CLEAN, "none", 0) == other.cell_path(CLEAN, "none", 0)
    assert one.cell_path("random", "none", 0) != other.cell_path("random", "none", 0)
    longer = make_settings(overrides={"training": {"iterations": 7}})
    trained = Study("phantom", phantom, tmp_path, settings=longer, recipe=TINY)
    assert one.cell_path("random", "none", 0) == trained.cell_path("random", "none", 0)  # a control is not trained
    assert one.cell_path("umed", "none", 0) != trained.cell_path("umed", "none", 0)
    assert one.settings_for("random").method == "random" and one.settings_for("random").method_options == {}


def test_half_resolution_halves_the_crops() -> None:
    assert studies.scaled(TINY, 0.5).patch == (16, 16, 8)
    assert studies.scaled(TINY, 1.0) is TINY


def test_quick_trains_every_method_and_prints_a_table(phantom: Path, tmp_path: Path) -> None:
    stages: set[str] = set()
    found = run_quick(
        phantom,
        methods=("clean", "random"),
        steps=2,
        width=4,
        out=tmp_path,
        progress=lambda stage, done, total: stages.add(stage),
    )
    assert [cell.method for cell in found.cells] == ["clean", "random"]
    assert len({cell.steps for cell in found.cells}) == 1
    assert "| phantom | unet | random | none |" in found.summary() and "commit:" in found.summary()
    assert json.loads(json.dumps(found.to_dict()))["fidelity"]["random"]["psnr"] > 30
    assert any("random" in stage for stage in stages)


@pytest.mark.parametrize(
    "wrong",
    [{"methods": ("cleen",)}, {"countermeasures": ("blurr",)}, {"victim": "unett"}, {"seeds": ()}, {"steps": 0}],
)
def test_quick_refuses_unknown_names(phantom: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        run_quick(phantom, **wrong)  # type: ignore[arg-type]


def test_probe_compares_the_two_folders(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", recipe={"method": "random"}, report=False)
    found = probe(phantom, tmp_path / "out", steps=2, width=4)
    assert found.train + found.test == 8 and len(found.before) == len(found.after) == 3
    assert found.steps == 2 and "probe victim: DSC" in found.summary()


def test_probe_needs_common_cases(phantom: Path, tmp_path: Path) -> None:
    make_phantom(tmp_path / "few", cases=3, size=(24, 24, 16))
    with pytest.raises(InputError, match="at least 4"):
        probe(phantom, tmp_path / "few")


def test_table_has_one_row_for_each_method_and_averages_seeds() -> None:
    def cell(method: str, seed: int, score: float) -> CellResult:
        return CellResult("d", method, "none", seed, (score, 0.5), (score, 0.5), 9, True, 0.1, 9, 1.0, (0.1,), ())

    text = results_table(
        [cell("clean", 0, 0.8), cell("clean", 1, 0.9), cell("umed", 0, 0.1)],
        {("d", "umed"): {"psnr": 48.0, "psnr_roi": 36.0, "roi_share": 0.05}},
        ["liver", "lesion"],
    )
    rows = text.splitlines()
    assert len(rows) == 4
    assert "67.5 ± 3.5" in rows[2] and "liver 85.0 / lesion 50.0" in rows[2]
    assert "48.00 | 36.00 | 5.00" in rows[3]
    assert spread([]) == "-" and markdown(["a"], []).count("\n") == 1


def test_mean_measures_skips_what_is_no_number() -> None:
    files = [{"psnr": 40.0, "sha256_in": "x"}, {"psnr": None, "sha256_in": "y"}, {"psnr": 50.0}]
    cases = [{"status": "protected", "files": [record]} for record in files] + [{"status": "failed"}]
    assert mean_measures({"cases": cases}) == {"psnr": 45.0}


def test_provenance_shows_no_folder(tmp_path: Path) -> None:
    text = provenance(["degradation.py", "--data", f"name={tmp_path}", "--out", str(tmp_path)])
    assert str(tmp_path) not in text and tmp_path.name in text and "date:" in text
