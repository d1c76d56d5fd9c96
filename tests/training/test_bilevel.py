# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

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
from umed.training.bilevel import BilevelTrainer, segmentation_loss

LEARN = Training(
    iterations=6,
    batch_size=2,
    patch_size=(32, 32),
    surrogates=("unet", "dynunet"),
    surrogate_options={"width": 2},
    restart_every=4,
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


def test_training_changes_the_generators_and_is_reproducible(tmp_path: Path) -> None:
    samples = [make_sample((40, 30), "a"), make_sample((36, 44), "b")]
    methods = [keyed_umed(widths=(4, 8)) for _ in range(2)]
    for index, method in enumerate(methods):
        method.fit(samples, make_plan(), tmp_path / str(index))
    untrained = keyed_umed(widths=(4, 8))
    untrained.make_trainer(samples, make_plan())
    assert torch.equal(weights_of(methods[0]), weights_of(methods[1]))
    assert not torch.equal(weights_of(methods[0]), weights_of(untrained))


def test_a_stopped_training_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    samples = [make_sample((40, 30), "a"), make_sample((36, 44), "b")]
    whole = keyed_umed(widths=(4, 8))
    whole.fit(samples, make_plan(), tmp_path / "whole")
    stopped = keyed_umed(widths=(4, 8))

    def stop(stage: str, done: int, total: int) -> None:
        if done == 4:  # one iteration after the checkpoint at 3, which must be done again
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.fit(samples, make_plan(), tmp_path / "stopped", stop)
    resumed = keyed_umed(widths=(4, 8))
    seen: list[int] = []
    resumed.fit(samples, make_plan(), tmp_path / "stopped", lambda stage, done, total: seen.append(done))
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
