# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from umed import registry
from umed.augmentation import nnunet_like, turn
from umed.benchmark.countermeasures import blur_image, compress_image, half, halve_image, halve_label, none
from umed.benchmark.data import Samples


def samples(*spatial: int, channels: int = 1, cases: int = 2) -> Samples:
    draw = torch.Generator().manual_seed(0)
    images = tuple(torch.randint(0, 256, (channels, *spatial), generator=draw).float() for _ in range(cases))
    labels = tuple(torch.randint(0, 2, spatial, generator=draw).to(torch.uint8) for _ in range(cases))
    return Samples(tuple(f"c{k}" for k in range(cases)), images, labels, 2)


@pytest.mark.parametrize("name", sorted(registry.COUNTERMEASURES))
@pytest.mark.parametrize(("spatial", "channels"), [((20, 23), 3), ((20, 22), 1), ((12, 11, 9), 1), ((12, 10, 8), 2)])
def test_every_countermeasure_gives_normalised_images(name: str, spatial: tuple[int, ...], channels: int) -> None:
    tried = registry.resolve("countermeasure", name)
    before = samples(*spatial, channels=channels)
    kept = [image.clone() for image in before.images]
    after = tried.prepare(before)
    assert all(torch.equal(a, b) for a, b in zip(before.images, kept, strict=True))
    assert after.truths is not None and after.truths[0].shape == spatial
    assert after.images[0].shape[1:] == after.labels[0].shape
    assert abs(float(after.images[0].mean())) < 1e-4
    if tried.augment is not None:
        image, label = tried.augment(after.images[0][None], after.labels[0][None, None], torch.Generator())
        assert image.shape == after.images[0][None].shape and label.shape == (1, 1, *spatial)


def test_half_resolution_removes_a_checkerboard() -> None:
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    assert torch.equal(halve_image(board[None].float()), torch.full((1, 8, 8), 0.5))
    assert halve_image(torch.zeros(1, 7, 9, 5)).shape[1:] == halve_label(torch.zeros(7, 9, 5)).shape == (4, 5, 3)
    assert half.scale == 0.5 and none.scale == 1.0


def test_blur_has_the_stated_width_and_keeps_the_mean() -> None:
    image = torch.zeros(1, 33, 33)
    image[0, 16, 16] = 1
    blurred = blur_image(image)[0]
    axis = torch.arange(33) - 16
    assert abs(float(blurred.sum()) - 1) < 1e-4
    assert abs(float((blurred.sum(1) * axis**2).sum()) - 1) < 0.01


def test_jpeg_stays_close_and_keeps_the_units() -> None:
    ramp = torch.linspace(-1000, 1000, 64).expand(1, 64, 64)
    assert float((compress_image(ramp) - ramp).abs().mean()) < 20
    colour = samples(32, 32, channels=3).images[0]
    back = compress_image(colour)
    assert float(back.min()) >= 0 and float(back.max()) <= 255 and not torch.equal(back, colour)


def test_turn_by_nothing_changes_nothing_and_by_a_right_angle_is_exact() -> None:
    for size in ((8, 8), (6, 6, 6)):
        image = torch.rand(1, 2, *size)
        label = torch.randint(0, 3, (1, 1, *size))
        angles = [0.0] * (1 if len(size) == 2 else 3)
        same, marks = turn(image, label, angles, 1.0)
        assert torch.allclose(same, image, atol=1e-5) and torch.equal(marks, label)
    image, label = torch.rand(1, 1, 8, 8), torch.randint(0, 3, (1, 1, 8, 8))
    turned, marks = turn(image, label, [torch.pi / 2], 1.0)
    quarter = [k for k in (1, 3) if torch.allclose(turned, torch.rot90(image, k, (2, 3)), atol=1e-4)]
    assert quarter and torch.equal(marks, torch.rot90(label, quarter[0], (2, 3)))


def test_augmentation_depends_on_its_generator_alone_and_keeps_classes() -> None:
    image, label = torch.randn(4, 1, 16, 16), torch.randint(0, 3, (4, 1, 16, 16))
    first = nnunet_like(image, label, torch.Generator().manual_seed(1))
    again = nnunet_like(image, label, torch.Generator().manual_seed(1))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], image)
    assert set(first[1].unique().tolist()) <= {0, 1, 2}
