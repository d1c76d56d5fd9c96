# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from umed.core.config import Training
from umed.plan.planning import Plan
from umed.plan.regions import make_regions
from umed.training.patches import Patches, Sample


def make_sample(shape: tuple[int, ...], case_id: str = "a", channels: int = 1) -> Sample:
    rng = np.random.default_rng(len(shape))
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(n // 3, n // 2) for n in shape)] = 1
    regions = make_regions(labels, radius=2, radius_unit="px", spacing=(1.0,) * len(shape))
    box = regions.labels.shape
    return Sample(rng.random((channels, *box), dtype=np.float32), regions, case_id, (4,) * channels)


def draw_patches(
    samples: list[Sample],
    patch: tuple[int, ...],
    batch_size: int,
    iterations: int,
    axis: int | None = None,
    seed: int = 0,
    rank: int = 0,
    carriers: tuple[str, ...] = (),
) -> Patches:
    training = Training(patch_size=patch, batch_size=batch_size)
    plan = Plan(spatial_dims=len(patch), slice_axis=axis, seed=seed, training=training)
    return Patches(samples, plan, iterations, rank, carriers)


@pytest.mark.parametrize(
    ("shape", "patch", "axis"),
    [((40, 30), (16, 16), None), ((30, 24, 20), (16, 8, 40), None), ((30, 24, 20), (16, 24), 1)],
)
def test_patches_have_the_asked_size_and_hold_foreground(
    shape: tuple[int, ...], patch: tuple[int, ...], axis: int | None
) -> None:
    patches = draw_patches([make_sample(shape, channels=2)], patch, batch_size=3, iterations=5, axis=axis)
    for batch in patches:
        assert batch.image.shape == (3, 2, *patch) and batch.labels.shape == (3, 1, *patch)
        assert (batch.labels > 0).flatten(1).any(1).all()
        assert batch.carriers.shape == (3, 0, 2, *patch)
        assert batch.steps.shape == (3, 2, *[1] * len(patch)) and (batch.steps == 4).all()


def test_a_batch_depends_on_seed_iteration_and_rank_alone() -> None:
    sample = make_sample((40, 30))

    def draw(seed: int, rank: int) -> Patches:
        return draw_patches([sample], (16, 16), batch_size=4, iterations=9, seed=seed, rank=rank, carriers=("wave6",))

    first, again = draw(1, 0), draw(1, 0)
    list(again)  # drawing others in between changes nothing
    assert torch.equal(first[5].image, again[5].image) and torch.equal(first[5].carriers, again[5].carriers)
    for other in (draw(2, 0)[5], draw(1, 1)[5], first[6]):
        assert not torch.equal(first[5].image, other.image)


def test_fixed_carriers_keep_the_phase_of_the_file_and_secret_ones_are_new_in_every_patch() -> None:
    sample = make_sample((64, 48))
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in sample.regions.box), indexing="ij"))
    known = Sample(grid.astype(np.float32), sample.regions, "a", (None, None))
    batch = draw_patches([known], (8, 8), batch_size=6, iterations=1, carriers=("2", "wave4"))[0]
    assert torch.equal(batch.carriers[:, 0, 0], 1 - 2 * (batch.image.sum(1) % 2))
    secret = batch.carriers[:, 1]
    assert not any(torch.equal(secret[i], secret[j]) for i in range(6) for j in range(i))
    assert (batch.steps == 0).all()


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_patches([], (8, 8), batch_size=1, iterations=1)
