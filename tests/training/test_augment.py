# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from umed.core.errors import ConfigError
from umed.networks.convolutions import blur
from umed.training import augment
from umed.training.augment import TRANSFORMATIONS, _gamma, compose, contrast, low_resolution, nnunet_like, turn


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


def test_turn_stays_on_the_device_of_the_image() -> None:
    image = torch.empty(1, 1, 8, 8, device="meta")  # as for a GPU, all parts must be there
    turned, marks = turn(image, image.long(), [0.3], 1.2)
    assert turned.device == marks.device == image.device and turned.shape == image.shape


def test_augmentation_depends_on_its_generator_alone_and_keeps_classes() -> None:
    image, label = torch.randn(4, 1, 16, 16), torch.randint(0, 3, (4, 1, 16, 16))
    first = nnunet_like(image, label, torch.Generator().manual_seed(1))
    again = nnunet_like(image, label, torch.Generator().manual_seed(1))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], image)
    assert set(first[1].unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", sorted(TRANSFORMATIONS))
def test_shapes_stay_labels_stay_labels_and_gradients_pass(name: str, dims: int) -> None:
    draw = torch.Generator().manual_seed(3)
    image = torch.rand(4, 2, *[12] * dims, requires_grad=True)
    labels = torch.randint(0, 3, (4, 1, *[12] * dims))
    moved, marks = compose([name])(image, labels, draw)
    assert moved.shape == image.shape and marks.shape == labels.shape and marks.dtype == labels.dtype
    assert set(marks.unique().tolist()) <= {0, 1, 2}
    moved.square().sum().backward()
    assert image.grad is not None and image.grad.isfinite().all() and image.grad.any()


def test_flips_move_image_and_labels_together() -> None:
    labels = torch.randint(0, 3, (8, 1, 6, 6))
    moved, marks = compose(["flip"])(labels.float(), labels, torch.Generator().manual_seed(0))
    assert torch.equal(moved, marks.float()) and not torch.equal(marks, labels)


def test_same_generator_same_result() -> None:
    image, labels = torch.rand(3, 1, 10, 10), torch.zeros(3, 1, 10, 10, dtype=torch.long)
    chain = compose(["flip", "affine", "blur", "noise"])
    first, second = (chain(image, labels, torch.Generator().manual_seed(7))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'blur'"):
        compose(["blurr"])


EACH = {
    "turn": lambda x, draw: turn(x, torch.zeros(1, 1, *x.shape[2:]), [0.4] * (1 if x.ndim == 4 else 3), 1.2)[0],
    "blur": lambda x, draw: blur(x, 0.7),
    "stretch": lambda x, draw: contrast(x, 1.2),
    "flatten": lambda x, draw: contrast(x, 0.8),
    "low_resolution": lambda x, draw: low_resolution(x, 0.6),
    "root": lambda x, draw: _gamma(x, 0.7),
    "power": lambda x, draw: -_gamma(-x, 1.5),
    "nnunet": lambda x, draw: compose(["nnunet"])(x, torch.zeros(1, 1, *x.shape[2:]), draw)[0],
}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", EACH)
def test_gradients_agree_with_finite_differences(name: str, dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        augment, "_happens", lambda draw, probability=0.5: probability != 0.5 or draw.initial_seed() > 0
    )
    image = torch.rand(1, 2, *[6, 5, 4][:dims], dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    image.requires_grad_()
    for seed in (0, 1):  # every transform of the chain is on; channels and ranges are taken one way, then the other
        change = lambda x, seed=seed: EACH[name](x, torch.Generator().manual_seed(seed))  # noqa: E731
        assert torch.autograd.gradcheck(change, image, eps=1e-6, atol=1e-5, fast_mode=dims == 3)
    (slope,) = torch.autograd.grad(change(image).square().sum(), image)
    assert slope.any()


def test_flat_images_have_finite_gradients() -> None:
    for seed in range(8):
        image = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
        moved, _ = compose(["nnunet"])(image, torch.zeros(1, 1, 8, 8), torch.Generator().manual_seed(seed))
        moved.sum().backward()
        assert image.grad is not None and image.grad.isfinite().all()


def test_named_augmentation_is_the_victims_on_normalised_images() -> None:
    image, labels = 100 + 30 * torch.randn(3, 2, 16, 16), torch.randint(0, 3, (3, 1, 16, 16))
    axes = (2, 3)
    spread, mean = torch.std_mean(image, dim=axes, keepdim=True)
    moved, marks = compose(["nnunet"])(image, labels, torch.Generator().manual_seed(5))
    expected, same = nnunet_like((image - mean) / spread, labels, torch.Generator().manual_seed(5))
    assert torch.allclose((moved - mean) / spread, expected, atol=1e-4) and torch.equal(marks, same)
    assert not torch.equal(marks, labels) or not torch.allclose(moved, image)
