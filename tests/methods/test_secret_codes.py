# SPDX-License-Identifier: Apache-2.0
"""What a case's perturbation depends on: published values, the key, the release and the case; nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.test_patches import make_sample
from umed.core.config import Training
from umed.core.errors import InputError
from umed.core.keyfile import Key, Secret
from umed.core.registry import METHODS
from umed.core.types import Encoding, Volume
from umed.methods.base import Method, make_method
from umed.plan.planning import Plan
from umed.plan.regions import make_regions
from umed.training.patches import Sample

SMALL = Training(
    iterations=2,
    batch_size=1,
    patch_size=(32, 32),
    surrogates=("unet",),
    surrogate_options={"width": 2},
    checkpoint_every=1,
)
DRAWS = ["umed", "random", "linear_separable", "autoregressive"]
"""Methods that draw for each case."""
TRAINED = ["umed", "error_minimizing", "targeted_adversarial", "self_ensemble", "stable_error_minimizing", "unseg"]
OPTIONS: dict[str, dict[str, Any]] = {
    "umed": {"widths": [4, 8]},
    "error_minimizing": {"steps": 2, "inner_steps": 1},
    "targeted_adversarial": {"steps": 2},
    "self_ensemble": {"steps": 2, "checkpoints": 2},
    "stable_error_minimizing": {"steps": 2, "inner_steps": 1, "samples": 1, "attack_steps": 1},
    "unseg": {"encoder": "tiny", "epochs": 1},
}


def secret_of(number: int, release: str = "test") -> Secret:
    return Secret(Key(bytes([number] * 32)), release)


def ready(name: str, secret: Secret, folder: Path, plan: Plan | None = None) -> tuple[Method, Plan]:
    """A method, trained where it is learnt."""
    plan = plan or Plan(
        method=name, method_options=OPTIONS.get(name, {}), spatial_dims=2, classes=2, channels=1, training=SMALL
    )
    method = make_method(plan, secret)
    if method.requires_training:
        method.fit([make_sample((40, 36))], plan, folder)
    return method, plan


def picture(seed: int = 0) -> Volume:
    stored = np.random.default_rng(seed).integers(0, 255, (40, 36), np.uint8)
    return Volume(stored, Encoding("|u1"), (1.0, 1.0), "px", False, Path("a"))


def regions_of(shape: tuple[int, ...]):
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1
    return make_regions(labels, radius=2)


@pytest.mark.parametrize("name", DRAWS)
def test_one_secret_gives_the_same_bytes_in_any_order_and_each_case_its_own(name: str, tmp_path: Path) -> None:
    regions, volume = regions_of((40, 36)), picture()
    made: list[dict[str, bytes]] = []
    for number, order in enumerate(("abc", "cab")):
        method, plan = ready(name, secret_of(1), tmp_path / str(number))
        made.append({case: method([volume], regions, plan=plan, case_id=case)[0].tobytes() for case in order})
    assert made[0] == made[1] and len(set(made[0].values())) == 3


@pytest.mark.parametrize("name", DRAWS)
def test_the_plan_s_public_seed_decides_nothing(name: str, tmp_path: Path) -> None:
    regions, volume, made = regions_of((40, 36)), picture(), []
    for seed in (0, 7):
        base = Plan(method=name, method_options=OPTIONS.get(name, {}), classes=2, channels=1, training=SMALL, seed=seed)
        method, plan = ready(name, secret_of(1), tmp_path / str(seed), base)
        made.append(method([volume], regions, plan=plan, case_id="a")[0])
    assert np.array_equal(made[0], made[1])


@pytest.mark.parametrize("name", sorted({*DRAWS, *TRAINED}))
@pytest.mark.parametrize("other", [secret_of(2), secret_of(1, "another release")], ids=["key", "release"])
def test_another_key_or_release_gives_other_directions(name: str, other: Secret, tmp_path: Path) -> None:
    sample = make_sample((40, 36))
    found = []
    for number, secret in enumerate((secret_of(1), other)):
        method, _ = ready(name, secret, tmp_path / str(number))
        with torch.no_grad():
            found.append(
                method.direction(torch.from_numpy(sample.image), sample.regions, secret.draw("case", "a")).numpy()
            )
    assert np.abs(found[0]).max() > 0 and not np.array_equal(found[0], found[1])


def test_generators_hold_no_code_of_the_release(tmp_path: Path) -> None:
    """The same weights under another key propose another code: what they have learnt is for codes never seen."""
    sample = make_sample((240, 240))
    method, plan = ready("umed", secret_of(1), tmp_path)
    method.save(tmp_path)
    thief = make_method(plan, secret_of(2))
    thief.load(tmp_path)
    image = torch.from_numpy(sample.image)
    with torch.no_grad():
        own, guessed = (
            one.direction(image, sample.regions, one.require_secret().draw("case", "a")) for one in (method, thief)
        )
    inside = torch.from_numpy(sample.regions.support)
    assert correlation(own[0][inside].numpy(), guessed[0][inside].numpy()) < 0.2


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    return float(abs(np.vdot(one, two)) / np.sqrt(np.vdot(one, one) * np.vdot(two, two)))


@pytest.mark.parametrize(
    ("kind", "shape", "channels"), [("colour", (256, 256), 3), ("other", (256, 256), 1), ("other", (64, 64, 64), 1)]
)
def test_codes_of_two_keys_are_uncorrelated_in_a_large_roi(kind: str, shape: tuple[int, ...], channels: int) -> None:
    """Below 0.05 for at least 95 % of the cases; a narrow band holds few degrees of freedom in a small ROI (docs)."""
    defaults = METHODS["umed"].defaults[kind]
    plan = Plan(method="umed", method_options=dict(defaults), spatial_dims=len(shape), classes=2, channels=channels)
    plan = replace(plan, training=replace(plan.training, iterations=0))
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(4, -4) for _ in shape)] = 1
    regions = make_regions(labels, radius=2)
    image = torch.full((channels, *regions.labels.shape), 0.5)
    codes: list[list[np.ndarray]] = []
    for number in (1, 2):
        method = make_method(plan, secret_of(number))
        method.fit([], plan, Path("unused"))
        with torch.no_grad():
            codes.append(
                [method.direction(image, regions, secret_of(number).draw("case", f"{k}")).numpy() for k in range(6)]
            )
    found = [correlation(one, two) for one in codes[0] for two in codes[1]]
    found += [correlation(codes[0][i], codes[0][j]) for i in range(6) for j in range(i)]
    assert np.median(found) < 0.02 and np.percentile(found, 95) < 0.05


@given(keys=st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)), case=st.text())
@settings(max_examples=25, deadline=None)
def test_equal_keys_give_equal_noise_and_others_do_not(keys: tuple[bytes, bytes], case: str) -> None:
    plan, regions, volume = Plan(method="random", classes=2, channels=1), regions_of((40, 36)), picture()

    def protect(key: bytes) -> np.ndarray:
        return make_method(plan, Secret(Key(key), "test"))([volume], regions, plan=plan, case_id=case)[0]

    assert np.array_equal(protect(keys[0]), protect(keys[0]))
    assert (keys[0] == keys[1]) == np.array_equal(protect(keys[0]), protect(keys[1]))


@pytest.mark.parametrize("axis", [0, 2])
def test_each_slice_has_a_code_of_its_own_which_follows_from_the_case(axis: int) -> None:
    shape = (30, 28, 26)
    sample = make_sample(shape)
    plan = Plan(method="umed", spatial_dims=2, slice_axis=axis, classes=2, channels=1)
    plan = replace(plan, training=replace(plan.training, iterations=0), method_options={"carriers": ["wave6"]})
    method = make_method(plan, secret_of(1))
    method.fit([], plan, Path("unused"))
    image = torch.from_numpy(sample.image)

    def direction(case: str) -> np.ndarray:
        with torch.no_grad():
            return method.direction(image, sample.regions, secret_of(1).draw("case", case)).numpy()[0]

    one, again, other = (np.moveaxis(direction(case), axis, 0) for case in "aab")
    rows = np.flatnonzero(np.abs(one).max((1, 2)) > 0)
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert all(not np.array_equal(one[i] > 0, one[j] > 0) for i, j in zip(rows[:-1], rows[1:], strict=True))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_without_a_secret_nothing_is_perturbed_or_trained(name: str, tmp_path: Path) -> None:
    dims = 3 if name == "voxshield" else 2
    plan = Plan(method=name, method_options=OPTIONS.get(name, {}), spatial_dims=dims, classes=2, channels=1)
    plan = replace(plan, training=replace(SMALL, patch_size=(16,) * dims))
    method = make_method(plan)
    with pytest.raises(InputError, match="expected the secret of a release"):
        if method.requires_training:
            samples: list[Sample] = [make_sample((40, 36, 30)[:dims])]
            method.fit(samples, plan, tmp_path)
        else:
            method([picture()], regions_of((40, 36)), plan=plan, case_id="a")
