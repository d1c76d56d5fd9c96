# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from umed.benchmark.countermeasures.augmented import (
    Augment,
    CutMix,
    Cutout,
    GammaContrast,
    MixUp,
    UEraser,
    class_shares,
)
from umed.benchmark.countermeasures.interface import Moment
from umed.training.augment import nnunet_like


def batch(cases: int = 4, *spatial: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    size = spatial or (20, 16)
    return torch.randn((cases, 1, *size), generator=draw), torch.randint(0, 3, (cases, 1, *size), generator=draw)


def test_augment_is_nnunets(moment: Callable[..., Moment]) -> None:
    image, label = batch()
    expected = nnunet_like(image, label, torch.Generator().manual_seed(0))
    done = Augment().batch(image, label, moment(image))
    assert torch.equal(done[0], expected[0]) and torch.equal(done[1], expected[1])


@pytest.mark.parametrize("spatial", [(40, 40), (16, 16, 16)])
def test_cutout_hides_a_box_of_at_most_that_side_behind_the_mean(
    spatial: tuple[int, ...], moment: Callable[..., Moment]
) -> None:
    image, label = batch(20, *spatial)
    done, same = Cutout(share=0.5).batch(image, label, moment(image))
    assert torch.equal(same, label)
    sides = []
    for old, new in zip(image, done, strict=True):
        hidden = (old != new)[0].nonzero()
        extent = hidden.max(0).values - hidden.min(0).values + 1
        assert int(extent.prod()) == len(hidden), "one box"
        assert torch.allclose(new[old != new], old.mean())
        sides.append(int(extent.max()))
    assert max(sides) == spatial[0] // 2


def test_mixup_is_linear_in_image_and_label(moment: Callable[..., Moment]) -> None:
    image, label = batch(6)
    done, shares = MixUp(alpha=1).batch(image, label, moment(image, classes=3))
    hot = class_shares(label, 3)
    assert shares.shape == (6, 3, 20, 16) and torch.allclose(shares.sum(1), torch.ones(6, 20, 16))
    mixed = 0
    for k in range(6):
        fits = []
        for other in range(6):
            gap = image[k] - image[other]
            weight = ((done[k] - image[other]) * gap).sum() / gap.square().sum().clamp(min=1e-9)
            weight = weight if other != k else torch.tensor(1.0)
            good = torch.allclose(done[k], weight * image[k] + (1 - weight) * image[other], atol=1e-4)
            if good and torch.allclose(shares[k], weight * hot[k] + (1 - weight) * hot[other], atol=1e-4):
                fits.append(float(weight))
        assert fits and 0 <= fits[0] <= 1
        mixed += not torch.equal(done[k], image[k])
    assert mixed >= 3


def test_mixup_of_shares_is_mixup_of_classes_and_one_case_stays(moment: Callable[..., Moment]) -> None:
    image, label = batch(4)
    classes = MixUp().batch(image, label, moment(image, classes=3))[1]
    assert torch.equal(MixUp().batch(image, class_shares(label, 3), moment(image, classes=3))[1], classes)
    alone = MixUp().batch(image[:1], label[:1], moment(image[:1], classes=3))
    assert torch.equal(alone[0], image[:1]) and torch.equal(alone[1], class_shares(label[:1], 3))


@pytest.mark.parametrize("spatial", [(40, 40), (12, 12, 12)])
def test_cutmix_pastes_one_box_of_image_and_label(spatial: tuple[int, ...], moment: Callable[..., Moment]) -> None:
    cases = 30
    image = torch.arange(float(cases)).reshape(-1, 1, *[1] * len(spatial)).expand(cases, 1, *spatial)
    label = image.long().contiguous()
    done, marks = CutMix(alpha=1).batch(image, label, moment(image, classes=cases))
    assert marks.dtype == torch.int64 and torch.equal(done.long(), marks)
    shares = []
    for k in range(cases):
        pasted = (done[k, 0] != k).nonzero()
        if len(pasted):
            extent = pasted.max(0).values - pasted.min(0).values + 1
            assert int(extent.prod()) == len(pasted) and len(done[k].unique()) <= 2
        shares.append(len(pasted) / image[0].numel())
    # 1 - w is uniform on [0, 1]; the parts that stick out of the image are lost
    assert 0.1 < sum(shares) / cases < 0.5 and max(shares) > 0.4


def test_gamma_and_contrast_follow_their_formula(moment: Callable[..., Moment]) -> None:
    ramp = torch.linspace(0, 1, 101).reshape(1, 1, 1, 101)
    done = GammaContrast(gamma=(2, 2), contrast=(1, 1)).batch(ramp, ramp.long(), moment(ramp))[0]
    assert torch.allclose(done, ramp**2, atol=1e-6)
    done = GammaContrast(gamma=(1, 1), contrast=(0.5, 0.5)).batch(ramp, ramp.long(), moment(ramp))[0]
    assert torch.allclose(done, 0.5 + (ramp - 0.5) / 2, atol=1e-6)
    image, label = batch(4)
    first, same = GammaContrast().batch(image, label, moment(image))
    assert torch.equal(same, label) and not torch.allclose(first, image)


def test_ueraser_trains_on_the_worst_candidate_of_each_case(moment: Callable[..., Moment]) -> None:
    image, label = batch(5)
    label = label.clamp(max=1)
    tried, now = UEraser(candidates=4), moment(image)
    done, marks = tried.batch(image, label, now)
    draw = torch.Generator().manual_seed(0)
    made = [tried.candidate(image, label, draw) for _ in range(4)]
    losses = torch.stack([now.loss(*one) for one in made])
    worst = losses.argmax(0)
    assert len(worst.unique()) > 1
    for row, k in enumerate(worst.tolist()):
        assert torch.equal(done[row], made[k][0][row]) and torch.equal(marks[row], made[k][1][row])
    assert torch.allclose(now.loss(done, marks), losses.max(0).values)


def test_ueraser_stops_looking_at_the_loss(moment: Callable[..., Moment]) -> None:
    image, label = batch(3)
    asked: list[int] = []
    late = dataclasses.replace(moment(image, progress=0.4), loss=lambda x, y: asked.append(1) or torch.zeros(len(x)))
    tried = UEraser(candidates=3, until=0.3)
    done = tried.batch(image, label, late)
    expected = tried.candidate(image, label, torch.Generator().manual_seed(0))
    assert not asked and torch.equal(done[0], expected[0])
    UEraser(candidates=3, until=0.5).batch(image, label, dataclasses.replace(late, generator=torch.Generator()))
    assert len(asked) == 3
