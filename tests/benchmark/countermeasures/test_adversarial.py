# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from umed.benchmark.countermeasures.adversarial import AdversarialTraining, DdcAt
from umed.benchmark.countermeasures.interface import Moment


def batch(cases: int = 4, *spatial: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    size = spatial or (12, 10)
    return torch.randn((cases, 2, *size), generator=draw) * 0.1, torch.randint(0, 2, (cases, 1, *size), generator=draw)


@pytest.mark.parametrize("spatial", [(12, 10), (6, 8, 5)])
@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255])
def test_the_attack_raises_every_loss_and_stays_in_its_ball(
    spatial: tuple[int, ...], epsilon: float, moment: Callable[..., Moment]
) -> None:
    image, label = batch(3, *spatial)
    now = moment(image)
    now.scale[:, 1] *= 10  # each channel has its own
    attacked, same = AdversarialTraining(epsilon=epsilon, steps=5).batch(image, label, now)
    assert torch.equal(same, label) and not attacked.requires_grad
    assert bool((now.loss(attacked, label) > now.loss(image, label)).all())
    ratio = (attacked - image).abs() / now.scale
    assert float(ratio.max()) <= epsilon * (1 + 1e-3)
    # the fake victim's loss is monotone in the first channel, so the attack ends at the border of the ball
    assert float(ratio[:, 0].min()) >= epsilon * (1 - 1e-3)


def test_the_published_setting_can_be_asked_for(moment: Callable[..., Moment]) -> None:
    image, label = batch()
    tried = AdversarialTraining(epsilon="8/255", steps=10, step_size="2/255")
    assert tried.options() == {"epsilon": "8/255", "steps": 10, "step_size": "2/255"}
    assert not torch.equal(tried.batch(image, label, moment(image))[0], image)


def test_one_short_step_moves_less_than_epsilon(moment: Callable[..., Moment]) -> None:
    image, label = batch()
    now = moment(image, scale=1.0)
    tried = AdversarialTraining(epsilon=0.5, steps=1, step_size=0.1)
    start = AdversarialTraining(epsilon=0.5, steps=1, step_size=1e-6).batch(image, label, moment(image, scale=1.0))[0]
    moved = (tried.batch(image, label, now)[0] - start)[:, 0]
    assert float(moved.abs().max()) <= 0.1 + 1e-4


def test_ddc_at_attacks_half_of_the_cases_and_elsewhere_the_pixels_that_flip(moment: Callable[..., Moment]) -> None:
    image, label = batch(4)
    tried = DdcAt(epsilon=4 / 255)
    done, same = tried.batch(image, label, moment(image))
    attacked = tried.attack(image, label, moment(image))
    changed = (done != image).any(1, keepdim=True)
    whole = [k for k in range(4) if bool(changed[k].all())]
    assert len(whole) == 2 and torch.equal(same, label)
    flips = (attacked[:, :1] > 0) != (image[:, :1] > 0)
    for k in set(range(4)) - set(whole):
        assert torch.equal(changed[k], flips[k]) and 0 < float(flips[k].float().mean()) < 1
    assert torch.equal(torch.where(changed, attacked, image), done)


def test_ddc_at_attacks_a_single_case_now_and_then(moment: Callable[..., Moment]) -> None:
    image, label = batch(1)
    done = [DdcAt(steps=1).batch(image, label, moment(image, seed=seed))[0] for seed in range(12)]
    everywhere = [bool((one != image).any(1).all()) for one in done]
    assert 0 < sum(everywhere) < 12
