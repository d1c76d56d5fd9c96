# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import inspect as inspection
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from umed.core import registry
from umed.core.config import CT_WINDOWS, Settings, make_settings
from umed.core.errors import ConfigError, InputError
from umed.core.registry import METHODS
from umed.networks.secret_carriers import is_secret
from umed.plan.facts import Facts, gather
from umed.plan.planning import Plan, differences, make_plan
from umed.protect.preview import inspect, plan

MR = Facts(name="mr", layout="decathlon", modality=("MRI",), shape=(35, 51, 35), spacing=(1.0, 1.0, 1.0), classes=3)


def test_plan_of_the_phantom_is_a_ct_window_in_3d(phantom: Path) -> None:
    made = plan(phantom)
    assert made.range == CT_WINDOWS["soft"]
    assert made.spatial_dims == 3 and made.slice_axis is None
    assert made.training.patch_size == (32, 32, 32)
    assert made.classes == 5 or made.classes > 2
    assert any("HU" in reason for reason in made.why)


def test_plan_of_pictures_is_2d_and_dtype(pictures: Callable[..., Path]) -> None:
    made = plan(pictures())
    assert (made.range, made.spatial_dims, made.channels, made.classes) == ("dtype", 2, 3, 2)


def test_options_of_umed_follow_the_kind_of_image(pictures: Callable[..., Path], phantom: Path) -> None:
    root = pictures()
    colour, grey = plan(root), plan(phantom)
    for made, kind in ((colour, "colour"), (grey, "other")):
        defaults = METHODS["umed"].defaults[kind]
        assert {key: made.method_options[key] for key in defaults} == defaults
        assert all(is_secret(name) for name in defaults["carriers"])
    assert any("colour pictures" in reason for reason in colour.why)
    asked = plan(root, overrides={"method_options": {"outside": 0.25}}).method_options
    assert (asked["outside"], asked["amplitude_floor"]) == (0.25, 0.9)
    assert asked["carriers"] == colour.method_options["carriers"]
    assert plan(root, overrides={"method": "checkerboard"}).method_options == {}


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("umed", {"outsid": 0.3}, "method_options.outsid: umed takes carriers, .* Did you mean 'outside'?"),
        ("umed", {"outsid": "auto"}, "Did you mean 'outside'?"),
        ("random", {"distribuion": "sign"}, "random takes distribution. Did you mean 'distribution'?"),
        ("checkerboard", {"period": 2}, "checkerboard takes no options"),
    ],
)
def test_unknown_options_are_refused_by_the_plan(method: str, options: dict[str, Any], message: str) -> None:
    settings = make_settings(overrides={"method": method, "method_options": options})
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        make_plan(MR, settings)


@pytest.mark.parametrize("name", sorted(registry.METHODS))
def test_the_table_of_options_is_that_of_the_signatures(name: str) -> None:
    parameters = inspection.signature(registry.resolve("method", name).__init__).parameters.values()
    assert registry.METHODS[name].options == tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def test_json_round_trip_is_canonical(phantom: Path) -> None:
    made = plan(phantom, overrides={"method": "random", "psnr_target": 50})
    again = Plan.from_json(made.to_json())
    assert again == made
    assert again.to_json() == made.to_json()
    assert str(phantom) not in made.to_json()
    with pytest.raises(ConfigError, match="expected JSON"):
        Plan.from_json("{")


def test_fingerprint_ignores_how_but_not_what() -> None:
    made = make_plan(MR, Settings())
    how = dataclasses.replace(
        made, device="cuda:0", training=dataclasses.replace(made.training, cache_mb=1, checkpoint_every=3)
    )
    what = dataclasses.replace(made, epsilon=0.5)
    assert how.fingerprint == made.fingerprint != what.fingerprint
    assert differences(made.decisive(), what.decisive()) == [f"epsilon was {made.epsilon!r}, now 0.5"]


@pytest.mark.parametrize(
    ("facts", "settings", "dims", "axis", "words"),
    [
        (MR, Settings(), 3, None, "3D: spacing ratio 1.0"),
        (dataclasses.replace(MR, spacing=(1.0, 1.0, 5.0)), Settings(), 2, 2, "slices are thick, spacing ratio 5.0"),
        (dataclasses.replace(MR, shape=(64, 64, 9)), Settings(), 2, 2, "only 9 slices"),
        (dataclasses.replace(MR, shape=(512, 512, 400)), Settings(), 2, 0, "bigger than 64 million voxels"),
        (MR, Settings(spatial_dims=2, slice_axis=1), 2, 1, "as asked"),
        (MR, Settings(slice_axis=1), 2, 1, "slice_axis was given"),
        (dataclasses.replace(MR, spacing=(1.0, 1.0, 5.0)), Settings(spatial_dims=3), 3, None, "3D: as asked"),
    ],
)
def test_native_or_slicewise(facts: Facts, settings: Settings, dims: int, axis: int | None, words: str) -> None:
    made = make_plan(facts, settings)
    assert (made.spatial_dims, made.slice_axis) == (dims, axis)
    assert any(words in reason for reason in made.why)
    assert made.training.patch_size is not None and len(made.training.patch_size) == dims


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (MR, "percentile"),
        (dataclasses.replace(MR, modality=("CT",), foreground=60.0), CT_WINDOWS["soft"]),
        (dataclasses.replace(MR, modality=("CT",), foreground=-700.0), CT_WINDOWS["lung"]),
        (dataclasses.replace(MR, hounsfield=True, foreground=600.0), "percentile"),
        (dataclasses.replace(MR, modality=(), hounsfield=True, foreground=600.0), CT_WINDOWS["bone"]),
    ],
)
def test_range_auto(facts: Facts, expected: object) -> None:
    assert make_plan(facts, Settings()).range == expected


def test_settings_that_do_not_fit(pictures: Callable[..., Path]) -> None:
    facts = gather(pictures())
    with pytest.raises(ConfigError, match="expected 2 for flat pictures, got 3"):
        make_plan(facts, Settings(spatial_dims=3))
    with pytest.raises(ConfigError, match="training.patch_size: expected 2 multiples of 16"):
        make_plan(
            facts, dataclasses.replace(Settings(), training=dataclasses.replace(Settings().training, patch_size=(64,)))
        )
    with pytest.raises(InputError, match="at least one readable case"):
        make_plan(dataclasses.replace(MR, shape=()), Settings())


def test_inspect_says_what_would_happen(pictures: Callable[..., Path], write_nifti: Callable[..., None]) -> None:
    root = pictures(count=4, empty=(1,))
    (root / "images" / "case_2.png").write_bytes(b"no picture")
    actions = {case.id: case.action for case in inspect(root).cases}
    assert sorted(actions.values()) == ["copy", "protect", "protect", "refuse"]


def test_inspect_of_a_label_on_another_grid(tmp_path: Path, write_nifti: Callable[..., None]) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("a", (12, 12, 12)), ("b", (12, 12, 11))):
        write_nifti(tmp_path / "images" / f"{name}.nii.gz", rng.integers(0, 99, (12, 12, 12)).astype(np.int16))
        write_nifti(tmp_path / "labels" / f"{name}.nii.gz", np.eye(12, dtype=np.uint8)[:, :, None].repeat(shape[2], 2))
    facts = inspect(tmp_path)
    assert [case.action for case in facts.cases] == ["protect", "refuse"]
    assert "(12, 12, 11)" in facts.cases[1].why
