# SPDX-License-Identifier: Apache-2.0
"""Pictures, prompts, losses and the alternation of both networks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from umed.core.errors import ConfigError
from umed.methods.unseg.colour_pictures import ColourPicture, Instances, as_colour, draw_target
from umed.methods.unseg.losses import point_loss, sample, unsure_points
from umed.methods.unseg.method import UnSeg
from umed.methods.unseg.prompts import LOGIT, boxes_of, draw_prompts, mask_prompts, noisy, subsets
from umed.methods.unseg.square_batches import SquareBatches
from umed.methods.unseg.square_frame import from_square, mask_to_square, to_square
from umed.methods.unseg.trainer import UnSegTrainer, add_noise
from umed.networks.noise_head import UnSegGenerator
from umed.networks.sam import make_sam
from umed.training.alternating import BatchLoader


def pictures(count: int = 6, channels: int = 3) -> list[ColourPicture]:
    rng = np.random.default_rng(0)
    made = []
    for k in range(count):
        labels = np.zeros((40, 60), np.int16)
        labels[5:20, 10 + k : 30 + k] = 1
        labels[25:35, 40:50] = 2
        image = rng.random((channels, 40, 60), dtype=np.float32) * 0.3
        image[:, labels > 0] += 0.5
        made.append(ColourPicture(str(k), image, labels, (4,) * channels))
    return made


def test_instances_are_connected_parts_of_each_label() -> None:
    labels = np.zeros((20, 20), np.int16)
    labels[1:6, 1:6] = 1
    labels[10:16, 1:6] = 1
    labels[1:6, 6:12] = 2  # touches label 1, and is another instance
    labels[19, 19] = 3
    assert [int(one.sum()) for one in Instances(labels)] == [30, 30, 25]
    assert [int(one.sum()) for one in Instances(np.where(labels == 3, 3, 0).astype(np.int16))] == [1]
    assert len(Instances(np.zeros((4, 4), np.int16))) == 0
    crowded = np.random.default_rng(0).random((600, 600)) < 0.3  # some 20 000 specks: a mask for each would be 7 GB
    found = Instances(crowded.astype(np.int16), most=3)
    assert len(found) == 3 and found[0].sum() >= found[1].sum() >= found[2].sum() >= 16
    assert found.union().sum() == sum(one.sum() for one in found)
    assert len(Instances(-crowded.astype(np.int16))) == 0  # classes are positive
    drawn = [draw_target(labels, np.random.default_rng(k), 0.5).sum() for k in range(20)]
    assert 86 in drawn and 25 in drawn  # everything, or one of them


def test_grey_becomes_three_equal_channels() -> None:
    image = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    assert as_colour(image[:3]) is not None and np.array_equal(as_colour(image[:3]), image[:3])
    for part in (image[:1], image):
        assert np.allclose(as_colour(part), part.mean(0)[None].repeat(3, 0))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (64, 64), (200, 130), (7, 3)])
def test_a_picture_comes_back_from_the_square_where_it_was(shape: tuple[int, int]) -> None:
    ramp = torch.linspace(0, 1, shape[0]).reshape(1, 1, -1, 1).expand(1, 1, *shape)
    back = from_square(to_square(ramp, 64), shape)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert back.shape == ramp.shape and (back - ramp)[inner].abs().max() < 0.12


def test_no_mask_is_lost_in_the_square() -> None:
    mask = torch.zeros(2, 1, 500, 400, dtype=torch.bool)
    mask[0, 0, 333, 222] = True
    found = mask_to_square(mask, 64)
    assert found[0].sum() == 1 and found[1].sum() == 0
    assert abs(float(torch.nonzero(found[0, 0])[0, 0]) - 333 * 64 / 500) < 1


def test_prompts_lie_on_their_target() -> None:
    mask = torch.zeros(3, 1, 64, 64, dtype=torch.bool)
    for k in range(3):
        mask[k, 0, 10 : 30 + k, 20:40] = True
    assert boxes_of(mask).tolist() == [[20, 10, 39, 29 + k] for k in range(3)]
    draw = torch.Generator().manual_seed(0)
    prompts = draw_prompts(mask, ("box", "points", "mask"), 32, draw)
    assert prompts.boxes is not None and (prompts.boxes - boxes_of(mask)).abs().max() <= 0.1 * 21
    assert prompts.points is not None and prompts.masks is not None
    for k, points in enumerate(prompts.points.long()):
        assert all(bool(mask[k, 0, y, x]) for x, y in points.tolist())
    assert prompts.masks.shape == (3, 1, 32, 32) and prompts.masks.abs().max() <= LOGIT
    overlap = [(noisy(mask, draw) & mask).sum() / mask.sum() for _ in range(10)]
    assert all(0.5 < float(share) <= 1 for share in overlap) and len(set(map(float, overlap))) > 5
    single = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    single[0, 0, 5, 5] = True
    assert noisy(single, draw).any()


def test_the_released_weights_get_their_scale() -> None:
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., :32] = True
    assert mask_prompts(mask, 32, released=True).masks.unique().tolist() == [0, 255]
    assert mask_prompts(mask, 32).masks.unique().tolist() == [-LOGIT, LOGIT]


def test_kinds_of_prompts() -> None:
    assert UnSeg(prompts=["mask", "box"]).prompts == ("box", "mask")
    assert len(subsets(("box", "points", "mask"))) == 7
    for wrong in (["text"], []):
        with pytest.raises(ConfigError, match="prompts: expected a list of some of box, points, mask"):
            UnSeg(prompts=wrong)
    with pytest.raises(ConfigError, match="prompts: expected a list of some of"):
        UnSeg(prompts=["none"])  # of the surrogate alone


def test_points_are_where_the_network_is_unsure_and_the_loss_is_theirs() -> None:
    logits = torch.full((1, 32, 32), 9.0)
    logits[0, :, 15:17] = 0.0
    draw = torch.Generator().manual_seed(0)
    places = unsure_points(logits, 400, draw)
    near = ((places[..., 0] - 0.5).abs() < 0.06).float().mean()
    assert 0.3 < float(near) < 0.5 and places.shape == (1, 400, 2)  # all that were drawn there; 0.12 by chance
    ramp = torch.linspace(0.5 / 32, 1 - 0.5 / 32, 32).reshape(1, 1, 1, 32).expand(1, 1, 32, 32)
    inside = places.clamp(0.1, 0.9)
    assert torch.allclose(sample(ramp, inside), inside[..., 0], atol=1e-5)
    target = torch.zeros(1, 64, 64)
    found = float(point_loss(torch.full((1, 32, 32), 2.0), target, 100, draw))
    entropy = float(functional.softplus(torch.tensor(2.0)))
    dice = 1 - 1 / (100 * float(torch.sigmoid(torch.tensor(2.0))) + 1)
    assert found == pytest.approx(entropy + dice, rel=1e-4)


def test_batches_depend_on_seed_iteration_and_rank_alone() -> None:
    make = {"size": 64, "batch_size": 5, "iterations": 8, "jitter": (0.3, 2.0)}
    batches = SquareBatches(pictures(), seed=1, **make)
    again, other = SquareBatches(pictures(), seed=1, **make), SquareBatches(pictures(), seed=1, rank=1, **make)
    for k in (7, 3):
        assert torch.equal(batches[k].image, again[k].image) and not torch.equal(batches[k].image, other[k].image)
    for k in range(8):
        assert batches[k].image.shape == (5, 3, 64, 64) and batches[k].mask.flatten(1).any(1).all()
        assert not batches[k].grey.any()
    assert SquareBatches(pictures(channels=1), **make)[0].grey.all()
    with pytest.raises(IndexError):
        batches[8]
    with pytest.raises(ValueError, match="at least one picture"):
        SquareBatches([], **make)


def test_noise_is_weaker_outside_and_grey_on_grey() -> None:
    image, noise = torch.full((2, 3, 8, 8), 0.5), torch.ones(2, 3, 4, 4)
    noise[:, 1] = -0.5
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[..., 2:6, 2:6] = True
    grey = torch.tensor([True, False]).reshape(2, 1, 1, 1)
    moved = add_noise(image, noise, mask, grey, 0.1, 0.25) - image
    assert torch.allclose(moved[1, 0, 3, 3], torch.tensor(0.1)) and torch.allclose(
        moved[1, 0, 0, 0], torch.tensor(0.025)
    )
    assert torch.allclose(moved[0, :, 3, 3], torch.tensor(0.1)) and torch.allclose(
        moved[1, 1, 3, 3], torch.tensor(-0.05)
    )


def trainer(iterations: int = 16, epochs: int = 8, **options: object) -> UnSegTrainer:
    torch.manual_seed(0)
    generator, surrogate = UnSegGenerator(make_sam("tiny"), frozen=False), make_sam("tiny")
    batches = SquareBatches(pictures(), size=64, batch_size=2, iterations=iterations)
    return UnSegTrainer(
        device=torch.device("cpu"),
        epochs=epochs,
        loader=BatchLoader(batches, iterations // epochs),
        generator=generator,
        surrogate=surrogate,
        learning_rate=1e-3,
        epsilon=4 / 255,
        **options,  # type: ignore[arg-type]
    )


def test_networks_learn_in_turn_one_epoch_to_three() -> None:
    one = trainer()
    seen: list[tuple[bool, bool]] = []
    weights = [one.generator.head.token.weight, one.surrogate.sam.mask_decoder.mask_tokens.weight]
    states = [[weight.detach().clone() for weight in weights]]

    def note() -> None:
        states.append([weight.detach().clone() for weight in weights])

    from ignite.engine import Events

    one.add_event_handler(Events.ITERATION_COMPLETED, note)
    one.run()
    for before, after in pairwise(states):
        seen.append((torch.equal(before[0], after[0]), torch.equal(before[1], after[1])))
    surrogate, generator = (True, False), (False, True)
    assert seen == ([surrogate] * 2 + [generator] * 6) * 2
    assert [group["lr"] for group in one.optimizer.param_groups] == [pytest.approx(1e-4)]  # dropped at 20 / 27


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = trainer()
    whole.run()
    first = trainer()
    from ignite.engine import Events

    first.add_event_handler(Events.ITERATION_COMPLETED(once=9), first.terminate)
    first.run()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = trainer()
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    second.run()
    pairs = zip(whole.generator.state_dict().values(), second.generator.state_dict().values(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_the_surrogate_may_have_a_learning_rate_of_its_own() -> None:
    from ignite.engine import Events

    one = trainer(surrogate_learning_rate=3e-3)
    seen: list[tuple[bool, float, float]] = []
    one.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: seen.append(
            (one.surrogates_turn(engine.state.iteration - 1), one.optimizer.param_groups[0]["lr"],
             one.surrogate_optimizer.param_groups[0]["lr"])
        ),
    )  # fmt: skip
    one.run()
    assert len(seen) == 16 and {round(rate, 6) for learns, _, rate in seen if learns} == {3e-3}
    assert {round(rate, 6) for learns, rate, _ in seen if not learns} == {1e-3, 1e-4}


def test_small_pictures_keep_their_size_in_training_too() -> None:
    make = {"size": 128, "batch_size": 4, "iterations": 2, "jitter": (1.0, 1.0), "whole": 1.0}
    own, large = SquareBatches(pictures(), enlarge=False, **make)[0], SquareBatches(pictures(), **make)[0]
    assert set(own.mask.sum((1, 2, 3)).tolist()) == {400}  # 15 x 20 and 10 x 10 px
    assert large.mask.sum((1, 2, 3)).min() > 3.5 * 400
    assert not own.image[:, :, 40:].any() and not own.image[..., 60:].any()


def test_a_surrogate_without_prompts_looks_for_everything() -> None:
    """Its trainer runs, the generator is prompted all the same, and targets are all that is labelled."""
    one = trainer(iterations=8, surrogate_kinds=("none",), label_modification=False)
    asked: list[bool] = []
    one.surrogate.register_forward_pre_hook(
        lambda _, given: asked.append(
            any(part is not None for part in (given[1].boxes, given[1].points, given[1].masks))
        )
    )
    one.run()
    assert asked == [False] * 8 and 0 < one.last["surrogate"] < 5
    whole = SquareBatches(pictures(), size=64, batch_size=4, iterations=4, jitter=(1.0, 1.0), whole=1.0)
    sizes = {int(mask.sum()) for k in range(4) for mask in whole[k].mask}
    assert min(sizes) > 0.9 * (300 + 100) * (64 / 60) ** 2  # both instances, never one alone


def test_label_modification_pulls_the_surrogate_towards_all_ones() -> None:
    """With it the generator's loss is that of an all-ones target; without, of the true mask."""
    losses = {}
    for modified in (True, False):
        one = trainer(label_modification=modified, kinds=("mask",), surrogate_kinds=("mask",))
        with torch.no_grad():
            mlp = one.surrogate.sam.mask_decoder.output_hypernetworks_mlps[0]
            for weight in mlp.parameters():
                weight.zero_()  # logits 0 everywhere
        one.state.iteration = len(one.loader) + 1  # a generator epoch
        losses[modified] = one._iteration(one, one.loader.batches[0])["generator"]
    ones = float(np.log(2)) + 1 - (2 * 0.5 + 1 / 196) / (1.5 + 1 / 196)
    assert losses[True] == pytest.approx(ones, abs=2e-3) and losses[False] > losses[True] + 0.1
