# SPDX-License-Identifier: Apache-2.0
"""Stability, suppression, predicted IoU, and masks without prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sam_files import dice, shape_picture, tight_box, two_shapes
from umed.core.errors import ConfigError
from umed.methods.unseg.square_frame import mask_from_square
from umed.networks.sam import PromptedSam, Prompts, make_sam
from umed.networks.sam_weights import load_sam
from umed.propose import segment_anything
from umed.propose.prompts_file import Prompt
from umed.propose.segment_anything import GridSettings, ask, ask_everywhere, see, stability, suppress


@pytest.fixture
def network(tiny_sam: Path) -> PromptedSam:
    network = make_sam("tiny").eval().requires_grad_(False)
    load_sam(network, tiny_sam)
    return network


@pytest.fixture(scope="module")
def untrained() -> PromptedSam:
    torch.manual_seed(0)
    return make_sam("tiny").eval().requires_grad_(False)


def scene(seed: int, height: int = 90, width: int = 120) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    shapes = two_shapes(height, width, rng)
    return np.repeat(shape_picture(shapes, rng)[None], 3, axis=0), shapes


def test_stability_is_the_iou_of_a_strict_and_a_loose_threshold() -> None:
    logits = torch.tensor([[[2.0, 0.0, -2.0, 2.0]], [[9.0, -9.0, -9.0, 9.0]], [[-9.0, -9.0, -9.0, -9.0]]])
    assert stability(logits).tolist() == pytest.approx([2 / 3, 1.0, 0.0])
    assert stability(logits, offset=3.0).tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_suppression_keeps_the_best_of_what_overlaps() -> None:
    masks = torch.zeros(5, 1, 10, dtype=torch.bool)
    masks[0, 0, 0:8] = True  # 8 of 10 shared with row 1: IoU 0.8
    masks[1, 0, 0:10] = True
    masks[2, 0, 0:5] = True  # IoU 0.625 with row 0, 0.5 with row 1
    masks[3, 0, 8:10] = True
    masks[4, 0, 8:10] = True
    scores = torch.tensor([0.9, 0.95, 0.5, 0.7, 0.7])
    assert suppress(masks, scores, 0.7) == [1, 3, 2]
    assert suppress(masks, scores, 0.9) == [1, 0, 3, 2]
    assert suppress(masks[:0], scores[:0], 0.7) == []


def test_predicted_iou_is_what_the_package_gives(untrained: PromptedSam) -> None:
    image, points, marks = torch.rand(1, 3, 64, 64), torch.tensor([[[10.0, 20.0]]]), torch.tensor([[1]])
    decoded = untrained.decode(untrained.embed(image)[0], Prompts(torch.tensor([0]), points=points, marks=marks))
    record = {"image": 255 * image[0], "original_size": (64, 64), "point_coords": points, "point_labels": marks}
    theirs = untrained.sam([record], True)[0]["iou_predictions"]
    assert untrained.predicted_iou(decoded).shape == (1, 4)
    assert torch.allclose(untrained.predicted_iou(decoded)[:, 1:], theirs, atol=1e-4)


def test_masks_come_back_as_the_package_brings_them(untrained: PromptedSam) -> None:
    logits = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    theirs = untrained.sam.postprocess_masks(logits[:, None], (48, 64), (90, 120))[:, 0] > 0
    assert torch.equal(mask_from_square(logits, (90, 120), 64), theirs)
    assert mask_from_square(logits[:0], (90, 120), 64).shape == (0, 90, 120)


def test_each_prompt_gets_the_shape_that_it_marks(network: PromptedSam) -> None:
    picture, shapes = scene(20)
    prompts, wanted = [], []
    for shape in shapes:
        ys, xs = np.nonzero(shape)
        middle, box = (float(xs.mean()), float(ys.mean())), tuple(float(value) for value in tight_box(shape))
        prompts += [Prompt(1, None, box), Prompt(1, None, None, (middle,), (1,)), Prompt(1, None, box, (middle,), (1,))]
        wanted += [shape] * 3
    answers = ask(see(network, picture), prompts)
    scores = [dice(answer.mask, shape) for answer, shape in zip(answers, wanted, strict=True)]
    assert np.mean(scores) > 0.8 and min(scores) > 0.5  # the other shape would give 0
    assert all(0.5 < answer.predicted_iou < 1.2 and 0 < answer.share < 0.5 for answer in answers)


def test_a_single_point_takes_the_best_of_three_and_all_else_the_single_mask(
    untrained: PromptedSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, _ = scene(1, 64, 64)
    logits = torch.full((1, 4, 32, 32), -1.0)
    for option in range(4):
        logits[:, option, option * 8 : option * 8 + 8] = 1.0  # each option is a stripe of its own

    def decided(_seen: object, *given: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        number = next(len(one) for one in given if one is not None)
        return logits.expand(number, -1, -1, -1), torch.tensor([[0.99, 0.2, 0.6, 0.4]]).expand(number, -1)

    monkeypatch.setattr(segment_anything, "decode", decided)
    point, box = ((5.0, 5.0),), (1.0, 1.0, 9.0, 9.0)
    two = Prompt(1, None, None, point * 2, (1, 0))
    answers = ask(see(untrained, picture), [Prompt(1, None, None, point, (1,)), Prompt(1, None, box), two])
    assert [round(answer.predicted_iou, 2) for answer in answers] == [0.6, 0.99, 0.99]
    assert [int(np.nonzero(answer.mask)[0].min()) // 16 for answer in answers] == [2, 0, 0]


def test_chunks_change_no_answer(untrained: PromptedSam, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = see(untrained, scene(3)[0])
    prompts = [Prompt(1, None, (float(k), 5.0, 40.0 + k, 60.0)) for k in range(7)]
    whole = ask(seen, prompts)
    monkeypatch.setattr(segment_anything, "CHUNK", 2)
    parts = ask(seen, prompts)
    assert [one.predicted_iou for one in parts] == pytest.approx([one.predicted_iou for one in whole], abs=1e-5)
    assert min(dice(one.mask, two.mask) for one, two in zip(whole, parts, strict=True)) > 0.99


EASY = GridSettings(8, iou=0.8, stability=0.8, smallest=60)


def test_a_grid_finds_the_shapes_and_nothing_twice(network: PromptedSam) -> None:
    picture, shapes = scene(7)
    answers = ask_everywhere(see(network, picture), EASY)
    assert answers and [a.predicted_iou for a in answers] == sorted((a.predicted_iou for a in answers), reverse=True)
    assert all(answer.predicted_iou >= EASY.iou for answer in answers)
    for shape in shapes:
        assert max(dice(answer.mask, shape) for answer in answers) > 0.7
    masks = [answer.mask for answer in answers]
    overlap = [(a & b).sum() / (a | b).sum() for i, a in enumerate(masks) for b in masks[:i]]
    assert max(overlap, default=0) < EASY.overlap + 0.05  # the decoder's grid is coarser than the picture's
    without = ask_everywhere(see(network, picture), replace(EASY, overlap=1.0))
    assert len(without) > len(answers)


@pytest.mark.parametrize(
    "change", [{"iou": 1.0}, {"stability": 1.0}, {"smallest": 90 * 120}, {"largest": 0.001}], ids=str
)
def test_each_threshold_can_leave_nothing(network: PromptedSam, change: dict[str, float]) -> None:
    assert ask_everywhere(see(network, scene(7)[0]), replace(EASY, **change)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [({"iou": 1.1}, "--iou: expected a number from 0 to 1, got 1.1"), ({"points_per_side": 0}, "--points-per-side: e")],
)
def test_thresholds_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GridSettings(**change)  # type: ignore[arg-type]
