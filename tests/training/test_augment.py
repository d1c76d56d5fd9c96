# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from umed.training.augment import nnunet_like, turn


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
