# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.training.test_patches import make_sample
from umed.core.config import Training
from umed.core.keyfile import Key, Secret
from umed.methods.umed import UMed
from umed.networks.surrogates import make_dynunet, make_nnunet_like, make_strided_unet, make_unet
from umed.plan.planning import Plan
from umed.training.bilevel import BilevelTrainer, normalise, segmentation_loss, surrogate_optimizer

LEARN = Training(
    iterations=6,
    batch_size=2,
    patch_size=(32, 32),
    surrogates=("unet", "dynunet"),
    surrogate_options={"width": 2},
    restart_every=4,
    checkpoint_every=3,
)


LATE = Training(  # everything that moves the outer loss to the end of a training under nnU-Net's pipeline
    iterations=6,
    batch_size=2,
    patch_size=(32, 32),
    surrogates=("unet", "nnunet_like"),
    surrogate_options={"width": 2},
    surrogate_optimizer="own",
    transformations=("flip", "nnunet"),
    restart_every=4,
    warmup=2,
    age="late",
    checkpoint_every=3,
)


SECRET = Secret(Key(bytes(range(32))), "test")


def keyed_umed(**options: object) -> UMed:
    """UMed with a secret."""
    method = UMed(**options)  # type: ignore[arg-type]
    method.secret = SECRET
    return method


def make_plan(**changes: object) -> Plan:
    values: dict[str, object] = {"spatial_dims": 2, "classes": 2, "channels": 1, "training": LEARN, "device": "cpu"}
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def weights_of(method: UMed) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in method.perturber.parameters()])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("make", [make_unet, make_strided_unet, make_dynunet, make_nnunet_like])
def test_loss_takes_every_surrogate(make: object, dims: int) -> None:
    network = partial(make, spatial_dims=dims, in_channels=1, classes=3, width=2)()  # type: ignore[arg-type]
    labels = torch.randint(0, 3, (2, 1, *[32] * dims))
    loss = segmentation_loss(network(torch.rand(2, 1, *[32] * dims)), labels)
    assert loss.ndim == 0 and loss.isfinite() and loss > 0


@pytest.mark.parametrize("training", [LEARN, LATE], ids=["default", "late"])
def test_training_changes_the_generators_and_is_reproducible(tmp_path: Path, training: Training) -> None:
    samples = [make_sample((40, 30), "a"), make_sample((36, 44), "b")]
    methods = [keyed_umed(widths=(4, 8)) for _ in range(2)]
    for index, method in enumerate(methods):
        method.fit(samples, make_plan(training=training), tmp_path / str(index))
    untrained = keyed_umed(widths=(4, 8))
    untrained.make_trainer(samples, make_plan())
    assert torch.equal(weights_of(methods[0]), weights_of(methods[1]))
    assert not torch.equal(weights_of(methods[0]), weights_of(untrained))


@pytest.mark.parametrize("training", [LEARN, LATE], ids=["default", "late"])
def test_a_stopped_training_goes_on_as_if_never_stopped(tmp_path: Path, training: Training) -> None:
    plan = make_plan(training=training)
    samples = [make_sample((40, 30), "a"), make_sample((36, 44), "b")]
    whole = keyed_umed(widths=(4, 8))
    whole.fit(samples, plan, tmp_path / "whole")
    stopped = keyed_umed(widths=(4, 8))

    def stop(stage: str, done: int, total: int) -> None:
        if done == 4:  # one iteration after the checkpoint at 3, which must be done again
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.fit(samples, plan, tmp_path / "stopped", stop)
    resumed = keyed_umed(widths=(4, 8))
    seen: list[int] = []
    resumed.fit(samples, plan, tmp_path / "stopped", lambda stage, done, total: seen.append(done))
    assert seen == [4, 5, 6]
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_surrogates_start_afresh_at_staggered_times() -> None:
    trainer: BilevelTrainer = keyed_umed(widths=(4,)).make_trainer([make_sample((40, 30))], make_plan())
    first = [next(surrogate.parameters()).clone() for surrogate in trainer.surrogates]
    changed: list[list[bool]] = []

    def note() -> None:
        changed.append([])
        for index, surrogate in enumerate(trainer.surrogates):
            now = next(surrogate.parameters())
            fresh = not trainer.surrogate_optimizers[index].state  # Adam has seen nothing yet
            changed[-1].append(fresh and not torch.equal(now, first[index]))

    trainer.add_event_handler("ITERATION_COMPLETED", note)
    trainer.run()
    assert [row[0] for row in changed] == [False, False, False, True, False, False]
    assert [row[1] for row in changed] == [False, True, False, False, False, True]


def test_published_images_keep_bound_range_and_steps() -> None:
    trainer = keyed_umed(widths=(4,)).make_trainer([make_sample((40, 30))], make_plan(epsilon=4 / 255))
    batch = trainer.loader.batches[0]
    published = trainer.protect(batch)
    change = (published - batch.image) * 255
    inside = (published > 0) & (published < 1)
    assert published.min() >= 0 and published.max() <= 1 and change.abs().max() <= 4 + 1e-4
    assert torch.allclose(change[inside], change[inside].round(), atol=1e-3) and change.any()


def test_a_warm_up_trains_fresh_surrogates_and_not_the_generators() -> None:
    plan = make_plan(training=replace(LATE, iterations=5, restart_every=2, surrogates=("unet",), warmup=3))
    trainer: BilevelTrainer = keyed_umed(widths=(4,)).make_trainer([make_sample((40, 30))], plan)
    steps: list[tuple[int, str]] = []
    old = trainer.step

    def step(loss: torch.Tensor, optimizer: torch.optim.Optimizer, clip: float | None = None) -> None:
        steps.append((trainer.state.iteration, "generator" if optimizer is trainer.optimizer else "surrogate"))
        old(loss, optimizer, clip)

    trainer.step = step  # type: ignore[method-assign]
    trainer.run()
    found = [[kind for number, kind in steps if number == iteration] for iteration in range(1, 6)]
    usual = ["surrogate", "generator"]
    assert found == [["surrogate"] * 3 + usual, usual + ["surrogate"] * 3, usual, usual + ["surrogate"] * 3, usual]


def test_late_surrogates_count_more_and_sgd_ends_slowly() -> None:
    alone = replace(LATE, iterations=8, restart_every=4, warmup=0, surrogates=("nnunet_like",))
    seen: dict[str, list[tuple[float, float]]] = {}
    for age in ("late", "all"):
        plan = make_plan(training=replace(alone, age=age))
        trainer: BilevelTrainer = keyed_umed(widths=(4,)).make_trainer([make_sample((40, 30))], plan)
        rates: list[tuple[float, float]] = []
        old = trainer.step

        def step(
            loss: torch.Tensor,
            optimizer: torch.optim.Optimizer,
            clip: float | None = None,
            trainer: BilevelTrainer = trainer,
            rates: list[tuple[float, float]] = rates,
            old: Callable[..., None] = old,
        ) -> None:
            if optimizer is not trainer.optimizer:
                assert clip == 12
                rates.append((trainer._weight(0), optimizer.param_groups[0]["lr"]))
            old(loss, optimizer, clip)

        trainer.step = step  # type: ignore[method-assign]
        trainer.run()
        seen[age] = rates
    assert [weight for weight, _ in seen["late"]] == [0, 0.5, 1, 1.5] * 2
    assert [weight for weight, _ in seen["all"]] == [1.0] * 8
    assert [rate for _, rate in seen["all"]] == pytest.approx([1e-2 * (1 - k / 4) ** 0.9 for k in range(4)] * 2)


def test_each_surrogate_gets_the_optimizer_that_is_asked_for() -> None:
    network = torch.nn.Conv2d(1, 1, 3)
    made = {
        (how, name): surrogate_optimizer(network, name, replace(LEARN, surrogate_optimizer=how))
        for how in ("adam", "sgd", "own")
        for name in ("unet", "nnunet_like")
    }
    sgd = {key for key, one in made.items() if isinstance(one, torch.optim.SGD)}
    assert sgd == {("sgd", "unet"), ("sgd", "nnunet_like"), ("own", "nnunet_like")}
    assert made["own", "nnunet_like"].defaults["lr"] == 1e-2 and made["sgd", "unet"].defaults["lr"] == 1e-3
    assert all(made[key].defaults["momentum"] == 0.99 and made[key].defaults["nesterov"] for key in sgd)


def test_images_are_normalised_before_nnunets_augmentation_and_after_any_other() -> None:
    image = torch.rand(2, 3, 8, 8) * 40 + 7
    assert torch.allclose(
        normalise(2 * image, image),
        2 * normalise(image) + (image.mean((2, 3)) / image.std((2, 3)))[..., None, None],
        atol=1e-4,
    )
    made = [
        keyed_umed(widths=(4,)).make_trainer([make_sample((40, 30))], make_plan(training=one)) for one in (LEARN, LATE)
    ]
    assert [trainer.normalises_first for trainer in made] == [False, True]


def test_gradients_reach_the_generators_through_nnunets_augmentation() -> None:
    trainer = keyed_umed(widths=(4,)).make_trainer([make_sample((40, 30))], make_plan(training=LATE))
    for seed in range(12):
        loss = trainer._surrogate_loss(
            1,
            trainer.protect(trainer.loader.batches[0]),
            trainer.loader.batches[0].labels,
            torch.Generator().manual_seed(seed),
        )
        weights = list(trainer.generator.parameters())
        found = [one for one in torch.autograd.grad(loss, weights, allow_unused=True) if one is not None]
        assert all(one.isfinite().all() for one in found) and any(one.any() for one in found)
