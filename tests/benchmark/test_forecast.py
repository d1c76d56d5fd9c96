# SPDX-License-Identifier: Apache-2.0
"""Forecasts on small pictures: what is trained on what, what is refused, and that nothing is left behind."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmark.phantom_pictures import write_pictures
from umed.benchmark import forecast as module
from umed.benchmark.forecast import FEWEST, chance_of, forecast, quick_settings, usable_cases
from umed.benchmark.grid.jobs import CellJob
from umed.benchmark.run_job import SHELF
from umed.core.errors import ConfigError, InputError
from umed.data.phantom import make_phantom
from umed.plan.planning import Plan
from umed.protect.preview import plan


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("slices") / "data", 14, size=40, zoom=4)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_trains_on_the_plan_and_judges_on_others_at_a_size_that_thieves_use(
    root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, jobs, said = tree(root), list[CellJob](), list[str]()
    run = module.run_cell

    def watched(job: CellJob, progress: Any = None) -> str:
        jobs.append(job)
        assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in scratch.glob("umed-*"))
        return run(job, progress)

    monkeypatch.setattr(module, "run_cell", watched)
    seen: set[str] = set()
    whole = plan(root, overrides={"epsilon": "8/255", "seed": 3})
    found = forecast(
        root, whole, steps=2, victims=("unet",), progress=lambda stage, *_: seen.add(stage), say=said.append
    )
    assert tree(root) == before and list(scratch.glob("umed-*")) == [] and not SHELF
    assert [(job.spec.method, job.recipe.steps) for job in jobs] == [("clean", 2), ("umed", 2)]
    clean, protected = jobs
    assert clean.data.split == protected.data.split and not set(clean.data.split.test) & set(clean.data.published)
    assert protected.protected is not None and protected.protected.settings.training.iterations == 0
    assert protected.protected.settings == quick_settings(whole, learnt=False)
    assert (protected.protected.settings.epsilon, protected.protected.settings.seed) == (8 / 255, 3)
    assert (found.train, found.test, found.steps, found.trained) == (9, 4, 2, False)
    assert found.thieves[0].cases == 4 and 0 < found.thieves[0].chance < 0.6
    assert "2 trainings of 2 steps on 9 cases, judged on 4 others; about" in said[-1]
    assert {"forecast: unet, unprotected, seed 0", "forecast: unet, protected, seed 0"} < seen
    assert not {stage for stage in seen if not stage.startswith("forecast: ")}


def test_thieves_read_pictures_that_were_protected_at_their_own_size(
    root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, run = list[tuple[int, ...]](), module.run_cell
    from umed.benchmark import run_job

    ready = run_job.make_ready

    def watched(*args: Any) -> Any:
        found = ready(*args)
        shapes.extend(tuple(image.shape) for image in found.images)
        shapes.extend((0, *truth.shape) for truth in found.truths)
        return found

    monkeypatch.setattr(run_job, "make_ready", watched)
    sizes: set[tuple[int, ...]] = set()

    def sized(job: CellJob, progress: Any = None) -> str:
        from PIL import Image

        if job.protected is not None:
            files = sorted((job.protected.folder / "images").iterdir())
            sizes.update(Image.open(path).size for path in files)
            assert {path.stem for path in files} == set(job.data.published)
        return run(job, progress)

    monkeypatch.setattr(module, "run_cell", sized)
    forecast(root, plan(root), steps=1, victims=("unet",))
    assert sizes == {(160, 160)} and {shape[1:] for shape in shapes} == {(128, 128)}


def test_the_same_again_gives_the_same_figures(root: Path, scratch: Path) -> None:
    one, two = (forecast(root, plan(root), steps=2, victims=("unet",)).to_dict() for _ in range(2))
    assert one.pop("seconds") > 0 < two.pop("seconds") and one == two


def test_chance_is_the_best_picture_of_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = torch.zeros(10, 10, dtype=torch.uint8)
    truth[:, :5], truth[:, 5] = 1, 2
    labels = (("a", "b"), (truth, torch.zeros_like(truth)), 3)
    monkeypatch.setattr(module, "held_out_labels", lambda job: labels)
    found = chance_of(None)  # type: ignore[arg-type]
    assert found["a"] == pytest.approx(2 * 50 / 150 / 2, abs=1e-6)  # of two classes one is missed
    assert found["b"] != found["b"]


def test_too_few_cases_and_dicom_files_are_refused_before_anything_is_done(
    root: Path, scratch: Path, tmp_path: Path
) -> None:
    few = write_pictures(tmp_path / "few", FEWEST)
    (few / "images/slice_003.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"expected at least 12 cases with a label .* to train thieves on, got 11"):
        forecast(few, plan(root), steps=1)
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom/a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(InputError, match="expected a data set of files for a trial, got DICOM files"):
        forecast(tmp_path / "dicom", plan(root), steps=1)
    for name in ("steps", "seeds"):
        with pytest.raises(ConfigError, match=f"--forecast-{name}: expected at least 1, got 0"):
            forecast(root, plan(root), **{name: 0})
    assert list(scratch.glob("umed-*")) == []


def test_cases_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "data", 15)
    (root / "images/slice_003.png").write_bytes(b"no picture")
    (root / "masks/slice_004.png").unlink()
    ids = usable_cases(root)
    assert len(ids) == 13 and not {"slice_003", "slice_004"} & set(ids)


@pytest.mark.parametrize("error", [InputError("no"), KeyboardInterrupt()])
def test_nothing_is_left_of_one_that_is_stopped(
    root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(job: CellJob, progress: Any = None) -> str:
        assert job.protected is None and any(scratch.rglob("*.png"))
        raise error

    monkeypatch.setattr(module, "run_cell", stop)
    with pytest.raises(type(error)):
        forecast(root, plan(root), steps=1, victims=("unet",))
    assert list(scratch.glob("umed-*")) == [] and not SHELF


def test_settings_follow_the_plan_to_the_letter(tmp_path: Path) -> None:
    root = make_phantom(tmp_path / "p", cases=2, size=(24, 24, 16))
    whole = plan(root, overrides={"radius": 2.0, "strength": "strong"})
    quick = quick_settings(whole, learnt=False)
    assert isinstance(whole, Plan) and quick.training.iterations == 0 and quick.report_cases == 0
    assert quick_settings(whole, learnt=True).training == whole.training
    for name in ("range", "spatial_dims", "slice_axis", "method_options", "support", "radius", "epsilon"):
        assert getattr(quick, name) == getattr(whole, name)
    before, again = whole.decisive(), plan(root, settings=quick).decisive()
    assert {key for key in before if before[key] != again[key]} <= {"training.iterations", "strength"}


@pytest.mark.slow
def test_a_fixed_checkerboard_is_forecast_to_take_something_from_a_plain_unet(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "data", 40)
    loud = plan(root, overrides={"method": "checkerboard", "epsilon": "16/255"})
    found = forecast(root, loud, steps=120, victims=("unet",))
    (one,) = found.thieves
    assert one.clean.mean > 0.7 > one.protected.mean and one.difference.high < -0.1 and found.verdict != "none"
    quiet = plan(root, overrides={"method": "random", "epsilon": "1/255"})
    assert forecast(root, quiet, steps=120, victims=("unet",)).verdict == "none"


def test_the_umask_does_not_open_the_folder(root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: set[int] = set()
    monkeypatch.setattr(
        module,
        "run_protect",
        lambda *_: modes.update(stat.S_IMODE(one.stat().st_mode) for one in scratch.glob("umed-forecast-*")),
    )
    monkeypatch.setattr(module, "run_cell", lambda *_: (_ for _ in ()).throw(InputError("enough")))
    before = os.umask(0)
    try:
        with pytest.raises(InputError, match="enough"):
            forecast(root, plan(root), steps=1, victims=("unet",))
    finally:
        os.umask(before)
    assert modes == {0o700}
