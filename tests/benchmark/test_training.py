# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest
import torch

from umed import registry
from umed.benchmark.data import Samples
from umed.benchmark.training import (
    Batches,
    Recipe,
    crop,
    predict,
    score_cases,
    segmentation_loss,
    train_victim,
)
from umed.benchmark.victims import make_victim
from umed.errors import ConfigError


def blobs(spatial: tuple[int, ...], cases: int = 6, channels: int = 1) -> Samples:
    """Bright boxes on noise, which any network learns at once."""
    draw = torch.Generator().manual_seed(0)
    images, labels = [], []
    for _ in range(cases):
        label = torch.zeros(spatial, dtype=torch.uint8)
        label[tuple(slice(n // 4, n // 4 + n // 2) for n in spatial)] = 1
        labels.append(label)
        images.append(torch.randn((channels, *spatial), generator=draw) * 0.3 + 2 * label)
    return Samples(tuple(f"c{k}" for k in range(cases)), tuple(images), tuple(labels), 2)


@pytest.mark.parametrize("name", sorted(registry.VICTIMS))
@pytest.mark.parametrize("dims", [2, 3])
def test_victims_give_logits_of_the_input_size(name: str, dims: int) -> None:
    network = make_victim(name, spatial_dims=dims, in_channels=2, classes=3, width=4)
    image = torch.rand(2, 2, *[32] * dims)
    assert network.eval()(image).shape == (2, 3, *[32] * dims)
    loss = segmentation_loss(network.train()(image), torch.randint(0, 3, (2, 1, *[32] * dims)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert all(weight.grad is not None for weight in network.parameters() if weight.requires_grad)


def test_unknown_victim_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'unet'"):
        make_victim("unett", spatial_dims=2, in_channels=1, classes=2)


@pytest.mark.parametrize("spatial", [(32, 40), (17, 20, 12)])
def test_a_victim_learns_and_the_same_seed_gives_the_same_curve(spatial: tuple[int, ...]) -> None:
    data = blobs(spatial)
    recipe = Recipe(width=4, steps=18, batch=2, learning_rate=2e-2, checkpoints=3)
    seen: list[int] = []
    first = train_victim(data, data, data, recipe=recipe, progress=lambda step, steps, loss: seen.append(step))
    again = train_victim(data, data, data, recipe=recipe)
    assert seen == list(range(1, 19)) and len(first.loss) == 18
    assert first.loss == again.loss and first.last == again.last
    assert first.last[0] > (0.7 if len(spatial) == 2 else 0.2) and first.loss[-1] < first.loss[0]
    assert [step for step, _ in first.validation] == [6, 12, 18]
    assert first.best_step in (6, 12, 18)


def test_batches_do_not_depend_on_the_pixels() -> None:
    clean = blobs((40, 40))
    other = dataclasses.replace(clean, images=tuple(image + 0.5 for image in clean.images))
    recipe = Recipe(batch=3, patch=(32, 32))
    one, two = Batches(clean, recipe, seed=5), Batches(other, recipe, seed=5)
    for _ in range(4):
        (first, label), (second, same) = one.draw(), two.draw()
        assert first.shape == (3, 1, 32, 32) and torch.equal(label, same)
        assert torch.allclose(second - first, torch.full_like(first, 0.5), atol=1e-5)


def test_crop_pads_what_is_smaller_and_cuts_what_is_larger() -> None:
    image = torch.arange(1.0, 1 + 6 * 20).reshape(1, 6, 20)
    window, label = crop(image, (image[0] > 0).to(torch.uint8), (8, 16), torch.Generator().manual_seed(0))
    assert window.shape == (1, 8, 16) and label.shape == (1, 8, 16)
    assert torch.equal(window > 0, label > 0) and int((window > 0).sum()) == 6 * 16


def test_predict_comes_back_on_the_grid_that_is_asked_for() -> None:
    network = make_victim("unet", spatial_dims=2, in_channels=1, classes=2, width=4)
    device = torch.device("cpu")
    assert predict(network, torch.rand(1, 19, 33), device, (32, 32)).shape == (19, 33)
    assert predict(network, torch.rand(1, 19, 33), device, (32, 64), (38, 65)).shape == (38, 65)


def test_score_is_dice_and_leaves_out_absent_classes() -> None:
    class Threshold(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([0.5 - image, image - 0.5, torch.full_like(image, -9)], 1)

    label = torch.zeros(16, 16, dtype=torch.uint8)
    label[:8] = 1
    image = torch.zeros(1, 16, 16)
    image[:, :4] = 1
    data = Samples(("a",), (image,), (label,), 3)
    one, two = score_cases(Threshold(), data, torch.device("cpu"), (16, 16))
    assert one == pytest.approx(2 * 4 / (4 + 8)) and two != two
