# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from umed.benchmark.countermeasures.augmented import Augment, Cutout, UEraser
from umed.benchmark.countermeasures.filters import Blur
from umed.benchmark.countermeasures.interface import Chain, Countermeasure, Moment
from umed.benchmark.countermeasures.resampling import Half
from umed.benchmark.countermeasures.resampling import resize as to_size
from umed.benchmark.victims.build import build_victim
from umed.benchmark.victims.case_tensors import Samples
from umed.benchmark.victims.ready import Batches, Ready, crop, crop_size, make_ready, own_size, z_score
from umed.benchmark.victims.scoring import dsc_table, mean_dsc, predict, score
from umed.benchmark.victims.victim_recipe import Recipe
from umed.benchmark.victims.victim_training import train_mode, train_victim
from umed.training.bilevel import segmentation_loss

CPU = torch.device("cpu")


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


def ready(spatial: tuple[int, ...], cases: int = 6) -> Ready:
    return make_ready(blobs(spatial, cases), Chain())


def network(dims: int, recipe: Recipe) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_victim(recipe, spatial_dims=dims, in_channels=1, classes=2, patch=(32,) * dims)


def network_of(channels: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_victim(Recipe(width=2), spatial_dims=2, in_channels=channels, classes=2, patch=(32, 32))


def pointwise(dims: int) -> torch.nn.Module:
    """Two logits of each pixel's own value, from zero: on bright boxes any step towards less loss tells them apart."""
    made: torch.nn.Module = torch.nn.Conv2d(1, 2, 1) if dims == 2 else torch.nn.Conv3d(1, 2, 1)
    for weight in made.parameters():
        torch.nn.init.zeros_(weight)
    return made


def weights_of(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in net.parameters()])


@pytest.mark.filterwarnings("ignore:.*overflow")
def test_a_training_that_diverges_says_since_when_and_which_weights() -> None:
    recipe = Recipe(width=4, steps=6, batch=2, learning_rate=1e36, checkpoints=3, optimizer="sgd")
    data = ready((32, 32))
    done = train_victim(network(2, recipe), data, recipe=recipe, validation={"clean": data}, divisor=16)
    assert "last" in done.broken and not done.flat
    since = next(i for i in range(1, 7) if not any(map(math.isfinite, done.loss[i - 1 :])))
    assert (
        f"diverged: weights not finite ({', '.join(done.broken)}); the loss was not finite from step {since} of 6"
        in (done.remark())
    )
    calm = train_victim(network(2, recipe), data, recipe=replace(recipe, learning_rate=1e-3), divisor=16)
    assert calm.broken == () and calm.remark() == ""


@pytest.mark.parametrize("spatial", [(32, 40), (17, 20, 12)])
def test_a_victim_learns_and_the_same_seed_gives_the_same_curve(spatial: tuple[int, ...]) -> None:
    data, recipe = ready(spatial), Recipe(width=4, steps=18, batch=2, learning_rate=2e-2, checkpoints=3)
    seen: list[int] = []
    sets = {"clean": data, "protected": data}
    runs = [
        train_victim(
            network(len(spatial), recipe),
            data,
            recipe=recipe,
            validation=sets,
            divisor=16,
            progress=lambda step, steps, loss: seen.append(step),
        )
        for _ in range(2)
    ]
    first, again = runs
    assert seen == 2 * list(range(1, 19)) and len(first.loss) == 18
    assert first.loss == again.loss and first.validation == again.validation
    assert [step for step, _ in first.validation] == [6, 12, 18]
    assert set(first.steps) == {"last", "best_clean", "best_protected"} and first.steps["last"] == 18
    assert first.steps["best_clean"] == first.steps["best_protected"]  # both sets are the same here
    best = max(scores["clean"] or 0 for _, scores in first.validation)
    assert dict(first.validation)[first.steps["best_clean"]]["clean"] == best
    assert len(first.curve(5)) == 5 and first.curve(50) == tuple(round(loss, 4) for loss in first.loss)
    sure = train_victim(pointwise(len(spatial)), data, recipe=recipe, validation=sets, divisor=16)
    assert sure.loss[-1] < sure.loss[0]
    best = max(scores["clean"] or 0 for _, scores in sure.validation)
    assert dict(sure.validation)[sure.steps["best_clean"]]["clean"] == best > (0.6 if len(spatial) == 2 else 0.2)


class Shout(Countermeasure):
    """Mixes labels, asks for the loss, and stops at the second checkpoint."""

    name = "shout"

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.losses: list[torch.Tensor] = []

    def batch(self, image: torch.Tensor, label: torch.Tensor, moment: Moment) -> tuple[torch.Tensor, torch.Tensor]:
        image = image.clone().requires_grad_()
        loss = moment.loss(image, label)
        assert moment.predict(image).shape == label.shape
        (gradient,) = torch.autograd.grad(loss.sum(), image)
        self.moments.append(moment)
        self.losses.append(loss.detach())
        assert float(gradient.abs().sum()) > 0
        soft = torch.nn.functional.one_hot(label[:, 0], moment.classes).movedim(-1, 1).float()
        return image.detach(), 0.5 * soft + 0.5 * soft.flip(0)

    def stop(self, validation: list[float]) -> bool:  # type: ignore[override]
        return len(validation) == 2


def test_a_countermeasure_sees_the_loss_of_each_case_and_may_stop() -> None:
    data, recipe = ready((32, 32)), Recipe(net="batchnorm_unet", width=4, steps=9, batch=3, checkpoints=3)
    net, shout = network(2, recipe), Shout()
    before = {name: value.clone() for name, value in net.named_buffers()}
    train_victim(
        net, data, recipe=replace(recipe, steps=1, checkpoints=1), chain=Chain([shout]), divisor=16
    )  # one step moves the statistics once, the attack does not
    counts = [value for name, value in net.named_buffers() if name.endswith("num_batches_tracked")]
    assert before and {int(count) for count in counts} == {1}
    done = train_victim(net, data, recipe=recipe, validation={"clean": data}, chain=Chain([Shout()]), divisor=16)
    assert len(done.loss) == done.steps["last"] == 6
    assert shout.losses[0].shape == (3,) and shout.moments[0].scale.shape == (3, 1, 1, 1)
    assert shout.moments[0].progress == 0 and shout.moments[0].classes == 2


def test_nnunets_augmentation_is_applied_once_whoever_brings_it() -> None:
    data = ready((40, 40))
    recipe = Recipe(width=2, steps=4, batch=2, patch=(32, 32), checkpoints=1, augment="nnunet")
    plain = replace(recipe, augment="none")

    def losses(given: Recipe, *parts: Countermeasure) -> list[float]:
        return train_victim(network(2, given), data, recipe=given, chain=Chain(parts), divisor=16).loss

    assert losses(recipe) == losses(recipe, Augment()) == losses(plain, Augment()) != losses(plain)
    assert losses(recipe, UEraser(candidates=1)) == losses(plain, UEraser(candidates=1))
    assert losses(recipe, Cutout()) != losses(plain, Cutout())


def test_the_gradient_is_clipped_as_one() -> None:
    data = ready((32, 32))
    recipe = Recipe(steps=1, batch=2, learning_rate=1.0, optimizer="sgd", checkpoints=1)
    for clip, length in ((None, None), (1e-3, 1e-3), (1e3, None)):
        net = network(2, recipe)
        before = weights_of(net)
        train_victim(net, data, recipe=replace(recipe, clip=clip), divisor=16)
        moved = float((weights_of(net) - before).norm())
        if length is None:
            assert moved > 1e-2
        else:
            assert moved == pytest.approx(1.99 * length, rel=0.02)  # Nesterov's first step is 1 + 0.99 of the gradient


def test_a_share_of_the_crops_holds_foreground() -> None:
    data = ready((90, 70), 2)
    labels = [torch.zeros(90, 70, dtype=torch.uint8) for _ in range(2)]
    labels[0][3, 66], labels[1][40, 30] = 1, 1
    data = replace(data, labels=(*labels,))
    recipe = Recipe(batch=4, patch=(32, 32), foreground=0.33, flips=False)
    drawn = Batches(data, recipe, seed=0)
    found = torch.stack([drawn.draw()[1].flatten(1).any(1) for _ in range(20)])
    assert found[:, 3].all() and not found[:, :3].all(0).any()  # nnU-Net: the last of four
    everywhere = Batches(data, replace(recipe, foreground=1.0), seed=0)
    assert all(everywhere.draw()[1].flatten(1).any(1).all() for _ in range(5))
    two = labels[0].clone()
    two[20:60, 20:60] = 2  # a large class beside a single voxel: each is drawn as often
    both = replace(data, labels=(two, two), classes=3)
    crops = Batches(both, replace(recipe, foreground=1.0), seed=0)
    small = [bool((crops.draw()[1] == 1).any()) for _ in range(20)]
    assert 12 <= sum(small)
    empty = replace(data, labels=tuple(torch.zeros_like(one) for one in labels))
    assert not Batches(empty, recipe, seed=0).draw()[1].any()


def test_crop_about_a_voxel_is_moved_to_stay_inside() -> None:
    image, draw = torch.arange(1.0, 1 + 20 * 20).reshape(1, 20, 20), torch.Generator().manual_seed(0)
    label = torch.zeros(20, 20, dtype=torch.uint8)
    for centre, corner in (((10, 10), (6, 6)), ((0, 19), (0, 12)), ((19, 3), (12, 0))):
        window, _ = crop(image, label, (8, 8), draw, centre)
        assert float(window[0, 0, 0]) == float(image[0, corner[0], corner[1]])


def test_loss_of_each_case_averages_to_that_of_soft_and_hard_labels_alike() -> None:
    logits, label = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 1, 8, 8))
    soft = torch.nn.functional.one_hot(label[:, 0], 3).movedim(-1, 1).float()
    assert torch.allclose(segmentation_loss(logits, label), segmentation_loss(logits, soft))


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.BatchNorm2d(1))
    train_mode(net.eval(), [net[0]])
    assert not net[0].training and net[1].training


def test_z_score_gives_the_factor_and_ready_the_full_scale() -> None:
    image = torch.rand(2, 9, 9) * torch.tensor([1.0, 200.0]).reshape(2, 1, 1)
    done, factor = z_score(image)
    assert torch.allclose(done.std((1, 2), correction=0), torch.ones(2)) and done.mean().abs() < 1e-5
    assert torch.allclose((image * factor).std((1, 2), correction=0), torch.ones(2))
    samples = Samples(("a",), (image,), (torch.zeros(9, 9, dtype=torch.uint8),), 2, scales=(255.0,))
    assert torch.allclose(make_ready(samples, Chain()).scales[0], 255 * factor.flatten())


class Watch(Countermeasure):
    """Notes the sizes that it is given, and doubles images."""

    name = "watch"

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def image(self, image: torch.Tensor, full_scale: float) -> torch.Tensor:
        self.seen.append(tuple(image.shape[1:]))
        return 2 * image


@pytest.mark.parametrize(
    ("resize", "size"), [(32, (32, 24)), ("half", (32, 24)), ("quarter", (16, 12)), (96, (96, 72))]
)
def test_the_thief_resizes_after_the_countermeasures_and_is_judged_on_the_files_grid(
    resize: int | str, size: tuple[int, int]
) -> None:
    samples, watch = blobs((64, 48), 2, channels=3), Watch()
    done = make_ready(samples, Chain([watch, Blur(sigma=2), Half()]), resize)  # type: ignore[arg-type]
    quarter = resize in ("half", "quarter")  # of what half left
    size = (size[0] // 2, size[1] // 2) if quarter else size
    assert watch.seen == [(64, 48)] * 2  # countermeasures see the files' own resolution
    half = Half().image(Blur(sigma=2).image(2 * samples.images[0], 1.0), 1.0)
    assert torch.allclose(done.images[0], z_score(to_size(half, list(size)))[0], atol=1e-5)
    assert done.images[0].shape[1:] == done.labels[0].shape == size and done.labels[0].any()
    assert all(torch.equal(one, label) for one, label in zip(done.truths, samples.labels, strict=True))
    assert own_size((64, 48), None) == [64, 48]
    net = network_of(3)
    answers = predict(net, done.images, CPU, crop_size([size], None, 16), [one.shape for one in done.truths])
    assert [one.shape for one in answers] == [(64, 48)] * 2 and score(answers, done, 1, 1.0).dsc


def test_batches_do_not_depend_on_the_pixels() -> None:
    clean = ready((40, 40))
    other = replace(clean, images=tuple(image + 0.5 for image in clean.images))
    recipe = Recipe(batch=3, patch=(32, 32))
    one, two = Batches(clean, recipe, seed=5), Batches(other, recipe, seed=5)
    for _ in range(4):
        (first, label, scale), (second, same, _) = one.draw(), two.draw()
        assert first.shape == (3, 1, 32, 32) and torch.equal(label, same) and scale.shape == (3, 1, 1, 1)
        assert torch.allclose(second - first, torch.full_like(first, 0.5), atol=1e-5)


def test_crops_are_multiples_and_never_too_small() -> None:
    assert crop_size([(100, 90)], (64, 64), 16) == (64, 64)
    assert crop_size([(20, 90), (50, 10)], (64, 64), 32) == (64, 64)
    assert crop_size([(5, 5, 5)], None, 8) == (8, 8, 32)


def test_crop_pads_what_is_smaller_and_cuts_what_is_larger() -> None:
    image = torch.arange(1.0, 1 + 6 * 20).reshape(1, 6, 20)
    window, label = crop(image, (image[0] > 0).to(torch.uint8), (8, 16), torch.Generator().manual_seed(0))
    assert window.shape == (1, 8, 16) and label.shape == (1, 8, 16)
    assert torch.equal(window > 0, label > 0) and int((window > 0).sum()) == 6 * 16


def test_predictions_come_back_on_the_grid_that_is_asked_for() -> None:
    net = network(2, Recipe(width=4))
    images = [torch.rand(1, 19, 33), torch.rand(1, 19, 33), torch.rand(1, 40, 33)]
    answers = predict(net, images, CPU, (32, 32), [(19, 33), (38, 65), (40, 33)])
    assert [answer.shape for answer in answers] == [(19, 33), (38, 65), (40, 33)]
    alone = predict(net, images[1:2], CPU, (32, 32), [(38, 65)])
    assert torch.equal(alone[0], answers[1])  # pictures of one size go together, and do not see each other


def test_dsc_by_hand_and_absent_classes_do_not_count() -> None:
    truth = torch.zeros(16, 16, dtype=torch.uint8)
    truth[:8] = 1
    answer = torch.zeros(16, 16, dtype=torch.uint8)
    answer[:4] = 1
    assert dsc_table([answer], [truth], 3) == ((round(2 * 4 / (4 + 8), 6), None),)
    assert mean_dsc(((0.5, None), (0.7, None))) == pytest.approx(0.6)
    assert mean_dsc(((None,),)) is None
    assert dsc_table([truth * 0], [truth], 2) == ((0.0,),)


def test_surface_figures_by_hand() -> None:
    truth, answer = (torch.zeros(32, 32, dtype=torch.uint8) for _ in range(2))
    truth[8:24, 8:24] = 1
    answer[8:24, 10:26] = 1  # moved by two pixels of 1.5 mm
    data = Ready(("a",), (), (), (truth,), (), 2, ((1.0, 1.5),), "mm")
    moved = score([answer], data, 7, 1.0)
    assert moved.step == 7 and moved.hd95 == ((3.0,),)
    assert 0.2 < (moved.nsd[0][0] or 0) < 0.9  # two of four sides lie off
    assert score([answer], data, 7, 3.0).nsd == ((1.0,),) and score([truth], data, 7, 0.1).hd95 == ((0.0,),)
    nothing = score([truth * 0], data, 7, 1.0)
    assert nothing.hd95 == ((None,),) and nothing.nsd == ((0.0,),) and nothing.dsc == ((0.0,),)
    assert score([answer], replace(data, classes=3), 7, 1.0).nsd[0][1] is None
