# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from umed.benchmark.countermeasures.projection import OrthogonalProjection, centred, join, separating, split
from umed.benchmark.victims.case_tensors import Samples

CPU = torch.device("cpu")


def accuracy(cases: Samples, patch: int) -> float:
    """Balanced accuracy of a linear probe fitted to the blocks of the cases, and tested on them."""
    rows = torch.cat([centred(split(image, patch), len(image))[0] for image in cases.images]).double()
    truth = torch.cat([split(label[None], patch).float().mean(1) > 0.5 for label in cases.labels]).long()
    weights = separating(rows, truth, 2)
    scores = rows @ (weights[:, 1] - weights[:, 0])
    middle = (scores[truth == 1].mean() + scores[truth == 0].mean()) / 2
    return float(((scores > middle)[truth == 1].double().mean() + (scores <= middle)[truth == 0].double().mean()) / 2)


def with_pattern(clean: Samples, size: float) -> Samples:
    """Noise as image, and a checkerboard whose sign is the class."""
    draw = torch.Generator().manual_seed(0)
    grids = torch.meshgrid(*(torch.arange(n) for n in clean.labels[0].shape), indexing="ij")
    board = 1.0 - 2.0 * (torch.stack(grids).sum(0) % 2)
    images = tuple(
        100 + 5 * torch.randn(image.shape, generator=draw) + size * board * (2.0 * label - 1)
        for image, label in zip(clean.images, clean.labels, strict=True)
    )
    return dataclasses.replace(clean, images=images)


@pytest.mark.parametrize(("spatial", "channels"), [((48, 48), 3), ((24, 24, 24), 1)])
def test_a_linear_probe_drops_to_chance(
    spatial: tuple[int, ...], channels: int, samples: Callable[..., Samples]
) -> None:
    published = with_pattern(samples(*spatial, channels=channels, cases=6), 4.0)
    tried = OrthogonalProjection(directions=2, patch=4)
    tried.fit(published, 0, CPU)
    projected = published.map(tried.image, tried.label)
    nothing = with_pattern(samples(*spatial, channels=channels, cases=6), 0.0)
    assert accuracy(published, 4) > 0.9
    assert accuracy(projected, 4) < accuracy(nothing, 4) + 0.05 < 0.85  # the probe is judged on what it saw
    change = torch.stack(projected.images) - torch.stack(published.images)
    assert float(change.square().mean()) < 16 + 25 * 3 / (4 ** len(spatial) * channels), "the pattern and little else"


def test_the_removed_directions_are_gone_from_every_block_and_nothing_else_is(
    samples: Callable[..., Samples],
) -> None:
    published = with_pattern(samples(32, 32, cases=4), 4.0)
    tried = OrthogonalProjection(directions=3, patch=4)
    tried.fit(published, 0, CPU)
    basis = tried.basis
    assert basis is not None and basis.shape == (16, 3)
    assert torch.allclose(basis.T @ basis, torch.eye(3), atol=1e-5)
    before, after = published.images[0], tried.image(published.images[0], 255.0)
    rows, mean = centred(split(after, 4), 1)
    assert float((rows @ basis).abs().max()) < 1e-3
    assert torch.allclose(mean, centred(split(before, 4), 1)[1], atol=1e-4)
    rest = torch.eye(16) - basis @ basis.T
    assert torch.allclose(rows @ rest, centred(split(before, 4), 1)[0] @ rest, atol=1e-3)
    assert torch.allclose(tried.image(after, 255.0), after, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 8, 12), (3, 4, 8, 12)])
def test_blocks_go_back_where_they_came_from(shape: tuple[int, ...]) -> None:
    image = torch.arange(float(torch.tensor(shape).prod())).reshape(shape)
    rows = split(image, 4)
    assert rows.shape == (image[0].numel() // 4 ** (len(shape) - 1), shape[0] * 4 ** (len(shape) - 1))
    assert torch.equal(join(rows, shape, 4), image)
    first = image[(slice(None), *[slice(0, 4)] * (len(shape) - 1))]
    assert torch.equal(rows[0], first.flatten())


def test_without_a_second_class_nothing_is_removed(samples: Callable[..., Samples]) -> None:
    cases = samples(18, 18)
    empty = dataclasses.replace(cases, labels=tuple(torch.zeros_like(label) for label in cases.labels))
    tried = OrthogonalProjection()
    tried.fit(empty, 0, CPU)
    assert torch.equal(tried.image(cases.images[0], 255.0), cases.images[0])
