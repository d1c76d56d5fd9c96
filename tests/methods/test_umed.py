# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_bilevel import keyed_umed, make_plan
from tests.training.test_patches import make_sample
from umed.core.config import Training
from umed.core.errors import ConfigError, InputError
from umed.methods.umed import UMed
from umed.methods.windows import HALO, tiles
from umed.networks.carriers import carrier_bank
from umed.plan.planning import Plan
from umed.protect.run import protect


def untrained(plan: Plan, **options: object) -> UMed:
    method = keyed_umed(widths=(4, 8), **{"carriers": ("2",), **options})
    method.fit([], replace(plan, training=replace(plan.training, iterations=0)), Path("unused"))
    torch.manual_seed(0)
    for generator in (method.perturber.contour, method.perturber.texture):
        torch.nn.init.normal_(generator.head.weight, std=0.1)
    return method


@pytest.mark.parametrize(
    ("shape", "dims", "axis"), [((40, 30), 2, None), ((30, 24, 20), 3, None), ((30, 24, 20), 2, 1)]
)
def test_direction_fills_the_support_and_nothing_else(shape: tuple[int, ...], dims: int, axis: int | None) -> None:
    sample = make_sample(shape)
    method = untrained(make_plan(spatial_dims=dims, slice_axis=axis))
    with torch.no_grad():
        direction = method.direction(torch.from_numpy(sample.image), sample.regions, np.random.default_rng(0)).numpy()
    assert direction.shape == sample.image.shape and np.abs(direction).max() <= 1
    assert not direction[0][~sample.regions.support].any() and direction[0][sample.regions.support].any()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(
    ("shape", "dims", "axis"), [((40, 30), 2, None), ((30, 24, 20), 3, None), ((30, 24, 20), 2, 1)]
)
def test_two_draws_at_once_are_two_draws_to_the_bit(
    shape: tuple[int, ...], dims: int, axis: int | None, smoothing: float
) -> None:
    sample = make_sample(shape)
    method = untrained(make_plan(spatial_dims=dims, slice_axis=axis), carriers=("corner16",), smoothing=smoothing)
    image = torch.from_numpy(sample.image)
    with torch.no_grad():
        both = method.directions(image, sample.regions, [np.random.default_rng(one) for one in (0, 1)])
        alone = [method.direction(image, sample.regions, np.random.default_rng(one)) for one in (0, 1)]
    assert all(map(torch.equal, both, alone)) and not torch.equal(*both)


def test_slices_are_what_the_generator_gives_for_each_slice() -> None:
    sample = make_sample((30, 24, 20))
    method = untrained(make_plan(spatial_dims=2, slice_axis=2))
    with torch.no_grad():
        whole = method.direction(torch.from_numpy(sample.image), sample.regions, np.random.default_rng(0))
        k = int(np.flatnonzero(sample.regions.support.any((0, 1)))[0])
        r = sample.regions
        maps = [torch.from_numpy(a[None, None, :, :, k]) for a in (r.labels, r.contour, r.interior)]
        alone = method.perturber.perturb(
            torch.from_numpy(sample.image[None, :, :, :, k]),
            *maps,
            carrier_bank(["2"], 1, r.labels.shape[:2], r.origin[:2])[None],
        )[0]
    assert torch.allclose(whole[..., k], alone, atol=1e-5)


@pytest.mark.parametrize(("shape", "axis"), [((61, 20, 130), None), ((17, 30, 50), 2), ((1, 16, 49), None)])
def test_windows_keep_every_voxel_once(shape: tuple[int, ...], axis: int | None) -> None:
    count = np.zeros(shape, int)
    for seen, kept in tiles(shape, 48, axis):
        count[kept] += 1
        assert all(s.start <= k.start and k.stop <= s.stop for s, k in zip(seen, kept, strict=True))
        assert axis is not None or max(s.stop - s.start for s in seen) <= 48
        assert all(s.start % HALO == 0 for s in seen)
    assert (count == 1).all()


@pytest.mark.parametrize("carrier", ["2", "wave6+cells16"])
@pytest.mark.parametrize("shape", [(70, 40, 30), (90, 70)])
def test_windows_hardly_show_in_the_direction(
    shape: tuple[int, ...], carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = make_sample(shape)
    method = untrained(make_plan(spatial_dims=len(shape)), carriers=(carrier,))
    image = torch.from_numpy(sample.image)
    with torch.no_grad():
        method.window = 96
        whole = method.direction(image, sample.regions, np.random.default_rng(0))
        method.window = 32
        monkeypatch.setattr("umed.methods.generators.PICTURE_WINDOW", 32)
        pieces = method.direction(image, sample.regions, np.random.default_rng(0))
    assert (whole - pieces).abs().mean() < 0.01 < whole.abs().mean()
    assert torch.equal(whole == 0, pieces == 0)


def test_saved_and_loaded_generators_do_the_same(tmp_path: Path) -> None:
    sample = make_sample((40, 30))
    method = untrained(make_plan(), carriers=("2", "0x2"), theta=0.5)
    method.save(tmp_path)
    again = UMed()
    again.load(tmp_path)
    assert again.carriers == ("2", "0x2") and again.theta == 0.5
    image = torch.from_numpy(sample.image)
    with torch.no_grad():
        one, two = (m.direction(image, sample.regions, np.random.default_rng(0)) for m in (method, again))
    assert torch.equal(one, two)


def test_loaded_generators_smooth_to_the_bound_of_the_new_plan(tmp_path: Path) -> None:
    plan = make_plan()
    untrained(plan, smoothing=0.5).save(tmp_path)
    alone, planned = UMed(), UMed()
    planned.check(replace(plan, epsilon=plan.epsilon / 2))
    for method in (alone, planned):
        method.load(tmp_path)
    assert alone.perturber.epsilon == plan.epsilon and planned.perturber.epsilon == plan.epsilon / 2


def test_generators_for_other_data_are_refused() -> None:
    method = untrained(make_plan())
    sample = make_sample((40, 30), channels=3)
    with pytest.raises(InputError, match="expected 1 channels"):
        method.direction(torch.from_numpy(sample.image), sample.regions, np.random.default_rng(0))


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Train them"):
        UMed().load(tmp_path)
    (tmp_path / "umed.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="Train them again"):
        UMed().load(tmp_path)
    with pytest.raises(InputError, match="fit"):
        _ = UMed().perturber
    with pytest.raises(ConfigError, match="even period"):
        keyed_umed(carriers=("3",)).fit([], make_plan(training=Training(iterations=0)), tmp_path)


def test_a_wrong_value_is_refused_before_anything_is_written(phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="smoothing in"):
        protect(phantom, tmp_path / "out", method_options={"smoothing": 1.5})
    assert not (tmp_path / "out").exists()
