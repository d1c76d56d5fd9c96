# SPDX-License-Identifier: Apache-2.0
"""EM, TAP, SEP, SEM and REM: each against its paper's own formula, then through files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import umed
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key, Secret
from umed.methods.base import make_method
from umed.methods.descent import descend, loss_gradient
from umed.methods.error_minimizing import ErrorMinimizing
from umed.methods.self_ensemble import SelfEnsemble
from umed.methods.stable_error_minimizing import StableErrorMinimizing
from umed.methods.surrogate_noise import SurrogateNoise
from umed.methods.targeted_adversarial import TargetedAdversarial
from umed.plan.planning import Plan
from umed.plan.regions import make_regions
from umed.training.augment import compose
from umed.training.bilevel import normalise, segmentation_loss
from umed.training.patches import Batch, Patches, Sample

EPSILON = 4 / 255
SECRET = Secret(Key(bytes(range(32))), "test")
NAMES = ("error_minimizing", "targeted_adversarial", "self_ensemble", "stable_error_minimizing")


def tiny(seed: int = 0, classes: int = 3) -> nn.Module:
    """A network of two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, classes, 3, padding=1)).eval()


def case(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.rand(1, 1, 16, 16, generator=draw), torch.randint(0, classes, (1, 1, 16, 16), generator=draw)


def by_hand(network: nn.Module, image: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    x = image.clone().requires_grad_()
    segmentation_loss(network(normalise(x)), labels).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return x.grad


def options(method: SurrogateNoise, classes: int = 3, transformations: tuple[str, ...] = ()) -> SurrogateNoise:
    method._shape, method._epsilon = {"classes": classes, "transformations": transformations}, EPSILON
    return method


def test_one_step_is_the_sign_of_the_gradient_within_bound_and_support() -> None:
    network, (image, labels) = tiny(), case()
    support = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    support[..., 4:12, 4:12] = True
    step = 0.3 * EPSILON
    noise = descend(image, support, loss_gradient([network], labels), epsilon=EPSILON, steps=1, size=step)
    expected = -step * by_hand(network, image, labels).sign() * support
    expected = (image + expected).clamp(0, 1) - image
    assert torch.allclose(noise, expected, atol=1e-7) and float(noise[~support].abs().max()) == 0
    many = descend(image, support, loss_gradient([network], labels), epsilon=EPSILON, steps=9, size=EPSILON)
    assert float(many.abs().max()) <= EPSILON + 1e-7 and float((image + many).min()) >= 0


def test_em_descends_the_loss_itself() -> None:
    network, (image, labels) = tiny(), case()
    found = options(ErrorMinimizing()).gradient([network], labels, torch.Generator())(image)
    assert torch.allclose(found, by_hand(network, image, labels))


@pytest.mark.parametrize("targeted", [True, False])
def test_tap_goes_to_the_next_class_or_away_from_the_right_one(targeted: bool) -> None:
    network, (image, labels) = tiny(), case()
    found = options(TargetedAdversarial(targeted=targeted)).gradient([network], labels, torch.Generator())(image)
    wrong = torch.where(labels == 2, 0, labels + 1)
    expected = by_hand(network, image, wrong) if targeted else -by_hand(network, image, labels)
    assert torch.allclose(found, expected)


def test_sep_averages_the_gradients_of_all_checkpoints() -> None:
    networks, (image, labels) = [tiny(seed) for seed in range(3)], case()
    method = options(SelfEnsemble(targeted=False))
    found = method.gradient(networks, labels, torch.Generator())(image)
    expected = -torch.stack([by_hand(network, image, labels) for network in networks]).mean(0)
    assert torch.allclose(found, expected)
    assert SelfEnsemble(checkpoints=4).snapshots(10) == (2, 5, 8, 10) and SelfEnsemble().snapshots(2) == (1, 2)


def test_sep_sends_a_class_half_way_round() -> None:
    network, (image, labels) = tiny(classes=5), case(classes=5)
    found = options(SelfEnsemble(), classes=5).gradient([network], labels, torch.Generator())(image)
    assert torch.allclose(found, by_hand(network, image, (labels + 2) % 5))


def test_a_variance_reduced_step_follows_the_sum_along_a_walk() -> None:
    networks, (image, labels) = [tiny(seed) for seed in range(3)], case()
    support = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    support[..., 2:, :] = True
    method = options(SelfEnsemble(targeted=False, variance_reduction=True, steps=2, step_size=0.4))
    method._networks = networks
    found = method.make_noise(image, labels, support, torch.Generator().manual_seed(3))
    draw, size, noise = torch.Generator().manual_seed(3), 0.4 * EPSILON, torch.zeros_like(image)

    def away(k: int, x: torch.Tensor) -> torch.Tensor:
        return -by_hand(networks[k], x, labels)

    def legal(noise: torch.Tensor) -> torch.Tensor:
        return (image + noise.clamp(-EPSILON, EPSILON) * support).clamp(0, 1) - image

    for _ in range(2):
        mean = sum(away(k, image + noise) for k in range(3)) / 3
        walk, total = noise.clone(), torch.zeros_like(image)
        for k in torch.randint(3, (3,), generator=draw).tolist():
            total = total + away(k, image + walk) - away(k, image + noise) + mean
            walk = legal(walk - size * total.sign())
        noise = legal(noise - size * total.sign())
    assert torch.allclose(found, noise, atol=1e-6)
    plain = options(SelfEnsemble(targeted=False, steps=2, step_size=0.4))
    plain._networks = networks
    assert not torch.allclose(found, plain.make_noise(image, labels, support, torch.Generator()), atol=1e-3)


def test_sem_averages_over_transformations_and_uniform_noise() -> None:
    network, (image, labels) = tiny(), case()
    reach, draw = 0.5 * EPSILON, torch.Generator().manual_seed(7)
    expected = torch.zeros_like(image)
    for _ in range(3):
        x = image.clone().requires_grad_()
        moved, marks = compose(("flip", "blur"))(x, labels, draw)
        r = reach * (2 * torch.rand(image.shape, generator=draw) - 1)
        r = (moved.detach() + r).clamp(0, 1) - moved.detach()
        segmentation_loss(network(normalise(moved + r)), marks).backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        expected += x.grad / 3
    sem = options(StableErrorMinimizing(radius=0.5, samples=3), transformations=("flip", "blur"))
    found = sem.gradient([network], labels, torch.Generator().manual_seed(7))(image)
    assert torch.allclose(found, expected, atol=1e-7)
    assert not torch.allclose(found, by_hand(network, image, labels), atol=1e-4)


def test_rem_takes_the_gradient_at_the_worst_disturbance_and_both_train_on_it() -> None:
    network, (image, labels) = tiny(), case()
    reach = 0.5 * EPSILON
    rem = options(StableErrorMinimizing(robust="adversarial", radius=0.5, samples=1, attack_steps=5))
    sem = options(StableErrorMinimizing(radius=0.5, attack_steps=5))
    assert isinstance(rem, StableErrorMinimizing)
    start = reach * (2 * torch.rand(image.shape, generator=torch.Generator().manual_seed(7)) - 1)
    worst = start.clone()
    for _ in range(5):  # ascent in steps of 2/5 of the radius
        worst = (worst + 0.4 * reach * by_hand(network, image + worst, labels).sign()).clamp(-reach, reach)
        worst = (image + worst).clamp(0, 1) - image

    def loss(noise: torch.Tensor) -> float:
        with torch.no_grad():
            return float(segmentation_loss(network(normalise(image + noise)), labels))

    assert torch.allclose(rem.disturbance([network], image, labels, torch.Generator().manual_seed(7)), worst, atol=1e-6)
    assert float(worst.abs().max()) <= reach + 1e-7 and loss(worst) > max(loss(start), loss(torch.zeros_like(image)))
    found = rem.gradient([network], labels, torch.Generator().manual_seed(7))(image)
    assert torch.allclose(found, by_hand(network, image + worst, labels), atol=1e-5)
    for method in (rem, sem):
        trained = method.disturb(network, image, labels, torch.Generator().manual_seed(7))
        assert torch.allclose(trained, image + worst, atol=1e-6)
    plain = options(ErrorMinimizing()).disturb(network, image, labels, torch.Generator())
    assert torch.equal(plain, image)


def sample(shape: tuple[int, ...], classes: int = 3, channels: int = 1, **more: Any) -> Sample:
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(n // 4, n // 2) for n in shape)] = 1
    labels[tuple(slice(n // 2, 3 * n // 4) for n in shape)] = classes - 1
    regions = make_regions(labels, radius=2, margin=4, **more)
    image = rng.random((channels, *(b.stop - b.start for b in regions.box)), np.float32)
    return Sample(image, regions, "case", (4,) * channels)


def plan_of(dims: int, **more: Any) -> Plan:
    training = {"iterations": 3, "batch_size": 2, "patch_size": (32,) * dims, "checkpoint_every": 2}
    training["surrogate_options"] = {"width": 2}
    content = {
        "spatial_dims": dims,
        "classes": 3,
        "channels": 1,
        "training": umed.core.config.Training(**training),
        **more,
    }
    return Plan(**content)


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_on_where_it_stopped_and_survives_its_file(name: str, tmp_path: Path) -> None:
    plan = plan_of(2, method=name, method_options={"steps": 2, "step_size": 0.5})
    samples = [sample((40, 40))]
    whole, part, again = (make_method(plan, SECRET) for _ in range(3))
    whole.fit(samples, plan, tmp_path / "a")

    def stop(_stage: str, done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part.fit(samples, plan, tmp_path / "b", stop)
    again.fit(samples, plan, tmp_path / "b")
    directions = []
    for number, method in enumerate((whole, again)):
        folder = tmp_path / f"saved{number}"
        folder.mkdir()
        method.save(folder)
        fresh = make_method(plan, SECRET)
        fresh.load(folder)
        regions = samples[0].regions
        directions += [
            one.direction(torch.from_numpy(samples[0].image), regions, SECRET.draw("case", "case"))
            for one in (method, fresh)
        ]
    assert all(torch.equal(directions[0], other) for other in directions[1:])
    assert 0.9 < float(directions[0].abs().max()) <= 1
    assert float(directions[0][:, ~torch.from_numpy(samples[0].regions.support)].abs().max()) == 0


def test_em_lowers_and_untargeted_tap_raises_the_loss_of_their_surrogates(tmp_path: Path) -> None:
    one = sample((48, 48))
    losses: dict[str, list[float]] = {}
    for name, more in (("error_minimizing", {}), ("targeted_adversarial", {"targeted": False})):
        plan = plan_of(2, method=name, method_options=more)
        method = make_method(plan, SECRET)
        assert isinstance(method, SurrogateNoise)
        method.fit([one], plan, tmp_path / name)
        image = torch.from_numpy(one.image)
        noise = EPSILON * method.direction(image, one.regions, SECRET.draw("case", "case"))
        labels = torch.from_numpy(one.regions.labels.astype(np.int64))[None, None]
        size = (32, 32)
        parts = [part[..., : size[0], : size[1]] for part in (image[None], (image + noise)[None], labels)]
        with torch.no_grad():
            losses[name] = [
                float(segmentation_loss(method.networks[0](normalise(x)), parts[2])) for x in (parts[0], parts[1])
            ]
    assert losses["error_minimizing"][1] < losses["error_minimizing"][0]
    assert losses["targeted_adversarial"][1] > losses["targeted_adversarial"][0]


@pytest.mark.parametrize(
    ("dims", "shape", "channels", "axis"), [(2, (40, 36), 3, None), (2, (33, 34, 9), 1, 2), (3, (33, 20, 36), 1, None)]
)
def test_pictures_slices_and_volumes(
    dims: int, shape: tuple[int, ...], channels: int, axis: int | None, tmp_path: Path
) -> None:
    one = sample(shape, channels=channels, slice_axis=axis)
    plan = plan_of(
        dims,
        method="error_minimizing",
        channels=channels,
        slice_axis=axis,
        method_options={"steps": 2, "inner_steps": 2},
    )
    method = make_method(plan, SECRET)
    method.fit([one], plan, tmp_path)
    found = method.direction(torch.from_numpy(one.image), one.regions, SECRET.draw("case", "case"))
    assert found.shape == one.image.shape and 0 < float(found.abs().max()) <= 1
    with pytest.raises(InputError, match="expected . channels and classes 0 to 2"):
        method.direction(torch.rand(channels + 1, *found.shape[1:]), one.regions, SECRET.draw("case", "case"))


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("error_minimizing", {"steps": 0}, "steps: expected a whole number of at least 1"),
        ("error_minimizing", {"steps": 2.5}, "steps: expected a whole number of at least 1, got 2.5"),
        ("error_minimizing", {"steps": "20"}, "steps: expected a whole number of at least 1, got '20'"),
        ("error_minimizing", {"inner_steps": 0}, "inner_steps: expected a whole number of at least 1"),
        ("error_minimizing", {"step_size": 3}, "step_size: expected a share of epsilon"),
        ("targeted_adversarial", {"surrogate_iterations": 0}, "surrogate_iterations: expected a whole number"),
        ("targeted_adversarial", {"targetted": True}, "Did you mean 'targeted'"),
        ("targeted_adversarial", {"targeted": "no"}, "targeted: expected true or false, got 'no'"),
        ("self_ensemble", {"variance_reduction": 1}, "variance_reduction: expected true or false"),
        ("self_ensemble", {"checkpoints": 1}, "checkpoints: expected a whole number of at least 2"),
        ("stable_error_minimizing", {"robust": "randon"}, "Did you mean 'random'"),
        ("stable_error_minimizing", {"radius": 2}, "radius: expected a share of epsilon"),
        ("stable_error_minimizing", {"samples": 0}, "samples: expected a whole number of at least 1"),
    ],
)
def test_wrong_options_are_refused(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(plan_of(2, method=name, method_options=wrong))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"surrogate_options": {"widht": 4}}, "training.surrogate_options: .*widht"),
        ({"surrogates": ()}, "training.surrogates: expected at least one name"),
        ({"transformations": ("flap",)}, "Did you mean 'flip'"),
    ],
)
def test_surrogates_that_cannot_be_trained_are_refused_before_anything_is_written(
    training: dict[str, Any], message: str, phantom: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        umed.protect(phantom, tmp_path / "out", method="error_minimizing", training=training)
    assert not (tmp_path / "out").exists()


def test_a_state_of_other_options_is_of_no_use(tmp_path: Path) -> None:
    samples, found = [sample((40, 40))], []
    for folder, steps in (("a", 1), ("a", 3), ("b", 3)):  # the second finds the state of the first
        plan = plan_of(2, method="error_minimizing", method_options={"inner_steps": steps})
        method = make_method(plan, SECRET)
        assert isinstance(method, SurrogateNoise)
        method.fit(samples, plan, tmp_path / folder)
        found.append(torch.cat([weight.flatten() for weight in method.networks[0].parameters()]))
    assert torch.equal(found[1], found[2]) and not torch.equal(found[0], found[1])


def test_surrogates_of_another_method_are_refused(tmp_path: Path) -> None:
    plan = plan_of(2, method="error_minimizing")
    method = make_method(plan, SECRET)
    method.fit([sample((40, 40))], plan, tmp_path / "work")
    method.save(tmp_path)
    with pytest.raises(InputError, match="surrogates of targeted_adversarial, got those of error_minimizing"):
        TargetedAdversarial().load(tmp_path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("error_minimizing", {"inner_steps": 2}),
        ("targeted_adversarial", {}),
        ("self_ensemble", {"variance_reduction": True}),
        ("stable_error_minimizing", {"inner_steps": 2, "attack_steps": 1}),
        ("stable_error_minimizing", {"robust": "adversarial", "samples": 1, "attack_steps": 1, "inner_steps": 2}),
    ],
)
def test_a_data_set_is_protected_and_verifies(
    name: str, options: dict[str, Any], phantom: Path, tmp_path: Path
) -> None:
    training = {"iterations": 2, "batch_size": 1, "surrogate_options": {"width": 2}}
    result = umed.protect(
        phantom,
        tmp_path / "out",
        method=name,
        method_options={"steps": 2, "step_size": 0.5, **options},
        training=training,
        report=False,
    )
    assert result.counts["protected"] == 5 and result.counts["failed"] == 0
    assert umed.verify(phantom, tmp_path / "out").ok
    record = result.outcomes[0].measures["files"][0]
    assert 0 < record["largest_step"] <= record["epsilon_steps"]
    assert [path.name for path in (tmp_path / "out-private" / "generators").iterdir()] == ["surrogates.pt"]


def test_a_folder_without_surrogates_is_refused(tmp_path: Path) -> None:
    method = ErrorMinimizing()
    with pytest.raises(InputError, match="expected trained surrogates"):
        method.networks  # noqa: B018
    with pytest.raises(InputError, match="surrogates.pt"):
        method.load(tmp_path)
    (tmp_path / "surrogates.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="expected surrogates saved by umed"):
        method.load(tmp_path)
    for content in ("nothing", {"method": "error_minimizing"}, ["nothing"]):
        torch.save(content, tmp_path / "surrogates.pt")
        with pytest.raises(InputError, match="expected surrogates saved by umed"):
            method.load(tmp_path)


def test_the_noise_of_a_batch_is_where_it_may_be() -> None:
    plan = plan_of(2, method="error_minimizing")
    method, network = make_method(plan, SECRET), tiny()
    assert isinstance(method, ErrorMinimizing)
    batch: Batch = Patches([sample((40, 40))], plan, iterations=1)[0]
    noise = method.training_noise(network, batch, plan, torch.Generator())
    assert float(noise.abs().max()) == pytest.approx(EPSILON, rel=1e-3)
    assert float((noise * ~batch.support).abs().max()) == 0
