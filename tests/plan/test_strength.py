# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.release_files import hospital
from umed.cli.main import main
from umed.core.config import Settings, make_settings, parse_overrides
from umed.core.errors import ConfigError
from umed.plan import placement
from umed.plan.facts import gather
from umed.plan.planning import Plan, make_plan
from umed.plan.strength import LOUD, STRONG, WANTED, energy_share
from umed.protect.preview import inspect, plan
from umed.protect.run import protect


def texture(shape: tuple[int, int], rng: np.random.Generator, rms: float) -> np.ndarray:
    """Noise with this rms in every half octave: 1/f."""
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
    white = rng.standard_normal(shape)
    spread = np.where(frequency > 0, 1 / np.maximum(frequency, 1e-9), 0) / np.sqrt(np.pi * np.log(2))
    return rms * np.fft.ifft2(np.fft.fft2(white) * spread).real


@pytest.fixture
def lesions(tmp_path: Path) -> Callable[..., Path]:
    """Pictures with a texture of known rms in a band, in brightness and in each channel alone."""

    def make(light: float, colour: float | None, *, half: int = 40, size: int = 160, count: int = 3) -> Path:
        root = tmp_path / f"set_{light}_{colour}_{half}"
        rng = np.random.default_rng(0)
        for name in ("images", "masks"):
            (root / name).mkdir(parents=True)
        for number in range(count):
            grey = texture((size, size), rng, light)
            parts = [grey] if colour is None else [grey + texture((size, size), rng, colour) for _ in range(3)]
            image = np.stack([128 + part for part in parts], -1).round().clip(0, 255).astype(np.uint8)
            mask = np.zeros((size, size), np.uint8)
            middle = size // 2
            mask[middle - half : middle + half, middle - half : middle + half] = 255
            Image.fromarray(image if colour is not None else image[..., 0]).save(root / "images" / f"c{number}.png")
            Image.fromarray(mask).save(root / "masks" / f"c{number}.png")
        return root

    return make


def reason(made: Plan, start: str) -> str:
    return next((why for why in made.why if why.startswith(start)), "")


def test_quiet_colours_promise_and_loud_grey_does_not(lesions: Callable[..., Path]) -> None:
    colour = plan(lesions(4, 0.5), overrides={"strength": "strong"})
    assert colour.method_options["carriers"][0].endswith("c") and colour.epsilon * 255 in STRONG["colour"]
    assert "training: in part" in colour.expectation and "70 to 75 %" in colour.expectation
    grey = plan(lesions(10, None), overrides={"strength": "strong"})
    assert grey.epsilon == 8 / 255 and "not to be expected" in grey.expectation
    assert "no bound up to 16/255 is enough" in grey.expectation
    assert grey.method_options["carriers"][0].startswith("corner"), "no place is loud enough: what plain U-Nets take up"
    for made in (colour, grey):
        assert made.expectation in made.why and reason(made, "epsilon ") and reason(made, "natural spectrum of 3 cases")


def test_strong_is_the_smallest_bound_that_is_loud_enough(lesions: Callable[..., Path]) -> None:
    root = lesions(2.2, None)
    made = plan(root, overrides={"strength": "strong"})
    assert "70 %" not in made.expectation, "measured on colour pictures only"
    figures = next(one for one in made.placement["codes"] if one["strength"] == "strong")
    assert 5 / 255 < made.epsilon < 16 / 255 and figures["epsilon"] == made.epsilon
    assert WANTED["other"] <= figures["loudness"] < WANTED["other"] * made.epsilon / (made.epsilon - 1 / 255)


def test_a_psnr_target_that_scales_a_code_down_takes_its_promise_away(lesions: Callable[..., Path]) -> None:
    root = lesions(4, 0.5)
    loud = plan(root, overrides={"strength": "strong"})
    quiet = plan(root, overrides={"strength": "strong", "psnr_target": 60})
    assert loud.epsilon == quiet.epsilon and "in part" in loud.expectation and "not to be expected" in quiet.expectation


def test_defaults_stay_until_the_table_says_otherwise(
    lesions: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lesions(4, 0.5)
    monkeypatch.setattr(placement, "LOUD", 1.0)  # at 4/255 no place of these pictures is three times nature
    for flag, expected in ((False, "corner8c+cells16"), (True, "plaid")):
        monkeypatch.setattr(placement, "PLACED", {("colour", "invisible"): flag})
        made = plan(root)
        assert made.epsilon == 4 / 255 and made.method_options["carriers"][0].startswith(expected)
        assert ("do not use" in reason(made, "spectral placement")) != flag
    assert plan(root, overrides={"method_options": {"carriers": ["wave7"]}}).method_options["carriers"] == ["wave7"]


def test_a_code_at_the_corner_is_said_not_to_hold(lesions: Callable[..., Path]) -> None:
    made = plan(lesions(4, 0.5), overrides={"method_options": {"carriers": ["corner8c+cells16"]}})
    assert "hardly lose by a code at the grid's own corner (corner8c+cells16)" in made.expectation
    fixed = plan(lesions(5, None), overrides={"method_options": {"carriers": ["2"]}})
    assert "not to be expected" in fixed.expectation


def test_other_methods_get_a_bound_and_no_promise(lesions: Callable[..., Path]) -> None:
    made = plan(lesions(4, 0.5), overrides={"method": "random", "strength": "strong"})
    assert made.epsilon > 4 / 255 and made.expectation == "" and made.placement == {} and made.method_options == {}


@pytest.mark.parametrize("half", [4, 8, 40])
def test_a_psnr_target_sets_the_bound_from_the_roi(lesions: Callable[..., Path], half: int) -> None:
    root = lesions(4, 0.5, half=half)
    made = plan(root, overrides={"psnr_target": 50})
    share = (2 * half) ** 2 / 160**2  # the band outside is left alone in colour pictures
    wanted = 10 ** (-50 / 20) / (placement.CARRIER_RMS * share**0.5)
    assert made.epsilon == pytest.approx(min(max(wanted, 4 / 255), 16 / 255))
    assert "50 dB" in reason(made, "epsilon ")
    for given in ({"epsilon": "4/255"}, {"epsilon": 5 / 255}):
        kept = plan(root, overrides={"psnr_target": 50, **given})
        assert kept.epsilon == make_settings(overrides=given).epsilon, "an epsilon of one's own is never exceeded"


def test_the_share_counts_the_band_by_its_energy(lesions: Callable[..., Path]) -> None:
    one = gather(lesions(4, 0.5, half=8)).spectra[0]
    assert energy_share(one, 3, 0.0) == one.share == 16**2 / 160**2
    assert energy_share(one, 3, 0.5) == pytest.approx((16**2 + 0.25 * 3 * 64) / 160**2)


def test_epsilon_or_strength(lesions: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = str(lesions(4, 0.5))
    assert main(["plan", root, "--epsilon", "8/255", "--strength", "strong"]) == 2
    assert "expected strength or epsilon, got strength strong and epsilon 8/255" in capsys.readouterr().err
    assert main(["plan", root, "--strength", "strong"]) == 0
    shown = capsys.readouterr().out
    assert "spectral placement: plaid" in shown and "protection against nnU-Net-like training" in shown
    assert "'inside'" not in shown, "figures are for the report, sentences for people"
    with pytest.raises(ConfigError, match="Leave one of them out"):
        make_settings(overrides={"epsilon": "8/255", "strength": "invisible"})
    own = make_settings({"epsilon": "8/255"}, {"strength": "strong"})
    assert own.strength == "strong" and own.epsilon == Settings.epsilon, "the command line wins over the recipe"
    back = make_settings({"strength": "strong"}, {"epsilon": "6/255"})
    assert (back.strength, back.epsilon) == ("epsilon", 6 / 255)


def test_the_same_data_gives_the_same_plan_and_figures_do_not_change_the_run(lesions: Callable[..., Path]) -> None:
    root = lesions(4, 0.5)
    first, again = plan(root), plan(root)
    assert first.to_json() == again.to_json() and Plan.from_json(first.to_json()) == first
    assert not {"placement", "expectation", "strength", "why"} & first.decisive().keys()
    settings = make_settings()
    bare = make_plan(gather(root, spectrum=False), settings)
    assert bare.fingerprint == first.fingerprint, "an invisible run of today stays what it was"
    assert "unknown" in bare.expectation and bare.placement == {}
    strong = make_plan(gather(root, spectrum=False), make_settings(overrides={"strength": "strong"}))
    assert strong.epsilon == STRONG["colour"][-1] / 255 and "no natural spectrum" in reason(strong, "epsilon ")


def test_facts_measure_an_even_sample(lesions: Callable[..., Path], phantom: Path) -> None:
    facts = inspect(lesions(4, 0.5, count=30, size=96, half=20))
    assert len(facts.spectra) == 24 and all(one.solid is None for one in facts.spectra)
    assert '"roi_px": 40.0' in facts.to_json()
    volumes = gather(phantom)
    assert 0 < len(volumes.spectra) <= 3 and all(one.solid is not None for one in volumes.spectra)


def test_volumes_are_placed_in_3d_and_slice_by_slice(phantom: Path) -> None:
    for dims in (2, 3):
        given: dict[str, Any] = {"spatial_dims": dims, "strength": "strong"}
        made = plan(phantom, overrides=given)
        assert made.spatial_dims == dims and reason(made, "natural spectrum") and made.expectation
        loud = [one for one in made.placement["codes"] if one["strength"] == "strong"]
        assert not loud or loud[0]["loudness"] >= LOUD or made.epsilon == 8 / 255


def test_series_are_measured_about_their_mask(tmp_path: Path) -> None:
    made = plan(hospital(tmp_path / "in", shape=(20, 48, 40)), overrides={"strength": "strong"})
    assert reason(made, "natural spectrum of 1 case, ROI") and made.placement["cases"] == 1
    known = [value for value in made.placement["inside"]["grey values"] if value]
    assert known and all(np.isfinite(known)) and made.expectation


def test_a_run_repeats_it_in_summary_and_report(lesions: Callable[..., Path], tmp_path: Path) -> None:
    given = {"training.iterations": 0, "method_options.widths": [4], "strength": "strong"}
    nested = parse_overrides(f"{key}={value}" for key, value in given.items())
    settings = make_settings(overrides=nested)
    done = protect(lesions(4, 0.5, count=2, size=96, half=24), tmp_path / "out", settings=settings)
    assert done.exit_code == 0 and done.plan.expectation in done.summary()
    assert done.to_dict()["expectation"] == done.plan.expectation
    report = done.report.read_text()
    assert "Where a code can lie" in report and "natural spectrum of 2 cases" in report
    moved = [np.asarray(Image.open(path)).astype(int) for path in sorted((tmp_path / "out" / "images").iterdir())]
    sources = [np.asarray(Image.open(path)).astype(int) for path in sorted(done_sources(tmp_path))]
    steps = [np.abs(a - b) for a, b in zip(moved, sources, strict=True)]
    bound = round(255 * done.plan.epsilon)
    assert bound > 4 and max(step.max() for step in steps) == bound
    inside = np.concatenate([step[30:66, 30:66].ravel() for step in steps])
    assert np.sqrt(np.square(inside).mean()) == pytest.approx(bound * placement.CARRIER_RMS, rel=0.1)


def done_sources(folder: Path) -> list[Path]:
    """The pictures of the one data set in a folder."""
    return list(next(folder.glob("set_*")).joinpath("images").iterdir())
