# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from umed.benchmark.countermeasures.purification import Disentangler, DVae
from umed.benchmark.victims.case_tensors import Samples

CPU = torch.device("cpu")


def energy(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> float:
    return float((torch.stack(one) - torch.stack(other)).square().mean())


def known(dims: int, pattern: torch.Tensor | None = None) -> Disentangler:
    """A stage that blurs where it draws the picture, and gives a pattern of class 1 to the perturbation.

    GELU(x) - GELU(-x) is x, so a value goes through a GELU in two channels of opposite sign.
    """
    stage = Disentangler(dims, 1, 2, 4).eval()
    signs, both = torch.tensor([1.0, -1.0]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    middle, ramp = (..., *[1] * dims), torch.tensor([0.25, 0.75, 0.75, 0.25])
    upsampled = ramp[:, None] * ramp if dims == 2 else ramp[:, None, None] * ramp[:, None] * ramp
    with torch.no_grad():
        for weight in stage.parameters():
            weight.zero_()
        stage.encoder[0].weight[:2, 0] = signs.reshape(2, *[1] * dims) / 4**dims  # means of 4 x 4 (x 4) pixels
        stage.encoder[2].weight[middle][:2, :2] = both
        stage.encoder[4].weight[0, :2] = signs.reshape(2, *[1] * dims)
        stage.decoder[0].weight[middle][:2, 0] = signs
        stage.decoder[2].weight[:2, :2] = both.reshape(2, 2, *[1] * dims) * upsampled
        stage.decoder[4].weight[middle][0, :2] = signs
        if pattern is not None:
            stage.tiles[1, 0] = pattern
    return stage


@pytest.mark.parametrize(("spatial", "channels"), [((48, 48), 1), ((16, 16, 16), 1)])
def test_it_takes_off_more_noise_than_image(
    spatial: tuple[int, ...], channels: int, samples: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = samples(*spatial, channels=channels, cases=8)
    clean = dataclasses.replace(clean, images=tuple(image * 0.4 for image in clean.images))
    draw = torch.Generator().manual_seed(0)
    noise = tuple(16 * torch.sign(torch.randn(image.shape, generator=draw)) for image in clean.images)
    published = dataclasses.replace(clean, images=tuple(a + b for a, b in zip(clean.images, noise, strict=True)))
    monkeypatch.setattr(DVae, "_train", lambda *_: known(len(spatial)))
    tried = DVae(steps=200)
    tried.fit(published, 0, CPU)
    purified = published.map(tried.image, tried.label).images
    assert energy(purified, clean.images) < 0.5 * energy(published.images, clean.images)


def test_a_class_wise_pattern_goes_to_the_perturbation(
    samples: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = samples(48, 48, cases=8)
    grid = torch.arange(48)
    board = 1.0 - 2.0 * ((grid[:, None] + grid) % 2)
    pattern = [8 * board * label for label in clean.labels]
    published = dataclasses.replace(clean, images=tuple(a + b for a, b in zip(clean.images, pattern, strict=True)))
    monkeypatch.setattr(DVae, "_train", lambda *_: known(2, 8 / 255 * board[:8, :8]))
    tried = DVae(steps=200)
    tried.fit(published, 0, CPU)
    unit = (published.images[0] - published.images[0].mean()) / 255
    first = tried._stages[0].without(unit, published.labels[0], CPU)
    left = float(((first - unit) * 255 * pattern[0]).sum() / pattern[0].square().sum())
    assert left < -0.3, "share of the pattern that the first stage takes off"


def test_training_moves_every_part_and_what_it_learns_depends_on_what_it_sees(samples: Callable[..., Samples]) -> None:
    cases = samples(16, 16, cases=3)
    brighter = dataclasses.replace(cases, images=tuple(1.1 * image for image in cases.images))
    stages = []
    for seen in (cases, cases, brighter):
        tried = DVae(steps=2, width=4)
        tried.fit(seen, 0, CPU)
        stages.append(tried._stages[0].state_dict())
    torch.manual_seed(0)
    fresh = Disentangler(2, 1, 2, 4).state_dict()
    for name, value in stages[0].items():
        assert torch.equal(value, stages[1][name]) and not torch.equal(value, fresh[name]), name
    assert any(not torch.equal(value, stages[2][name]) for name, value in stages[0].items())


def test_only_images_of_the_training_set_have_a_label(samples: Callable[..., Samples]) -> None:
    cases = samples(16, 16, cases=3)
    tried = DVae(steps=2, width=4)
    assert torch.allclose(tried.image(cases.images[0], 255.0), cases.images[0], atol=1e-3), "nothing learnt yet"
    tried.fit(cases, 0, CPU)
    known = tried.image(cases.images[0], 255.0)
    tried._labels.clear()
    assert not torch.equal(tried.image(cases.images[0], 255.0), known)


def test_it_depends_on_the_seed_and_leaves_the_global_generator(samples: Callable[..., Samples]) -> None:
    cases = samples(17, 23, channels=3)
    state = torch.get_rng_state()
    done = []
    for seed in (0, 0, 1):
        tried = DVae(steps=2, width=4)
        tried.fit(cases, seed, CPU)
        done.append(tried.image(cases.images[0], 255.0))
    assert torch.equal(done[0], done[1]) and not torch.equal(done[0], done[2])
    assert torch.equal(torch.get_rng_state(), state)
