# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from umed.benchmark.victims.build import EXTERNAL, build_victim, check_victim, divisor, make_optimizer
from umed.benchmark.victims.pretrained import ENCODERS, freeze_encoder, load_pretrained, read_checkpoint
from umed.benchmark.victims.victim_recipe import Pretrained, Recipe, default_recipe
from umed.core import registry
from umed.core.errors import ConfigError, InputError
from umed.training.bilevel import segmentation_loss

NETS = sorted(set(registry.VICTIMS) - EXTERNAL)
SLOW = {"flexible_unet", "swin_unetr", "unet_plus_plus"}
PARAMETERS = [
    pytest.param(net, dims, marks=[pytest.mark.slow] if dims == 3 and net in SLOW else [])
    for net in NETS
    for dims in (2, 3)
]


def small(net: str, dims: int, **changes: Any) -> Recipe:
    return default_recipe(net, dims, {"width": 4, **changes})


def patch_of(net: str, dims: int) -> tuple[int, ...]:
    # transformers and EfficientNet halve five times; norms need more than one voxel left
    return (64,) * dims if net in ("swin_unetr", "flexible_unet") else (32,) * dims


def make(net: str, dims: int, channels: int = 1, seed: int = 0, **changes: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    recipe = small(net, dims, **changes)
    return build_victim(recipe, spatial_dims=dims, in_channels=channels, classes=3, patch=patch_of(net, dims))


@pytest.mark.parametrize(("net", "dims"), PARAMETERS)
def test_every_victim_gives_logits_and_learns_from_them(net: str, dims: int) -> None:
    channels, patch = 3 if dims == 2 else 1, patch_of(net, dims)
    network = make(net, dims, channels)
    image = torch.rand(1, channels, *patch)
    with torch.no_grad():
        assert network.eval()(image).shape == (1, 3, *patch)
    output = network.train()(image)
    assert output.shape[-dims:] == patch and output.shape[-dims - 1] == 3
    loss = segmentation_loss(output, torch.randint(0, 3, (1, 1, *patch)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    learning = [weight.grad is not None for weight in network.parameters() if weight.requires_grad]
    assert sum(learning) > 0.8 * len(learning)  # heads of deep supervision that are not trained may stay


@pytest.mark.parametrize("net", NETS)
def test_the_seed_decides_the_weights(net: str) -> None:
    one, same, other = (make(net, 2, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("net", NETS)
def test_check_takes_the_default_crops_and_leaves_no_trace(net: str) -> None:
    recipe = small(net, 2)
    before = torch.get_rng_state()
    check_victim(recipe, spatial_dims=2, in_channels=1, classes=2, patch=patch_of(net, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(size % divisor(recipe) == 0 for size in patch_of(net, 2))


def test_deep_supervision_gives_heads_while_it_trains() -> None:
    for net, options in (("dynunet", {}), ("nnunet_like", {}), ("unet_plus_plus", {"deep_supervision": True})):
        network = make(net, 2, options=options)
        heads = network.train()(torch.rand(2, 1, 32, 32))
        assert heads.ndim == 5 and heads.shape[2:] == (3, 32, 32)
        assert network.eval()(torch.rand(2, 1, 32, 32)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("recipe", "dims", "patch", "message"),
    [
        (small("unet", 2, options={"norms": "batch"}), 2, (32, 32), "norms.*Did you mean 'norm'"),
        (small("unetr", 2), 2, (40, 40), "unetr"),
        (small("unet", 2), 4, (32, 32), "cannot be built in 4D"),
        (Recipe(net="custom", target="monai.networks.nets.NoNet"), 2, (32, 32), "NoNet"),
        (Recipe(net="custom", target="torch.nn.Identity"), 2, (32, 32), "expected logits of shape .1, 2, 32, 32."),
        (Recipe(net="custom", target="monai.networks.nets.VNet"), 2, (24, 24), "expected to take 2D crops of 24x24"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    recipe: Recipe, dims: int, patch: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_victim(recipe, spatial_dims=dims, in_channels=1, classes=2, patch=patch)
    assert "\n" not in str(caught.value)


def test_any_network_can_be_a_victim_by_its_path() -> None:
    recipe = Recipe(net="custom", target="monai.networks.nets.VNet", options={"dropout_prob_down": None})
    check_victim(recipe, spatial_dims=2, in_channels=1, classes=2, patch=(32, 32))


def test_defaults_are_strict_and_by_dimension() -> None:
    flat, solid = default_recipe("unet", 2), default_recipe("unet", 3)
    assert (flat.patch, flat.batch, flat.steps, flat.learning_rate) == ((256, 256), 2, 700, 3e-3)
    assert (solid.patch, solid.batch, solid.steps, solid.learning_rate) == ((32, 40, 32), 2, 800, 2e-3)
    assert default_recipe("swin_unetr", 2).optimizer == "adamw"
    judge = default_recipe("nnunet_like", 2)
    assert (judge.optimizer, judge.learning_rate, judge.weight_decay, judge.clip) == ("sgd", 1e-2, 3e-5, 12)
    assert (judge.augment, judge.foreground, judge.batch, judge.steps) == ("nnunet", 0.33, 4, 1500)
    assert default_recipe("unet", 2).augment == "none" and default_recipe("nnunet_like", 3).learning_rate == 1e-2
    assert [default_recipe("unet", 2, {"resize": one}).resize for one in (96, "half", None)] == [96, "half", None]
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        default_recipe("unet", 2, {"stepz": 1})
    with pytest.raises(ConfigError, match="Did you mean 'unet'"):
        default_recipe("unett", 2)
    for wrong in (
        {"steps": 0},
        {"learning_rate": 0},
        {"freeze": "encoder"},
        {"pretrained": {}},
        {"optimizer": "sdg"},
        {"clip": 0},
        {"foreground": 1.5},
        {"resize": 8},
        {"resize": "third"},
    ):
        with pytest.raises(ConfigError):
            default_recipe("unet", 2, wrong)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_leave_frozen_weights_out(name: str) -> None:
    network = make("unet", 2)
    frozen = freeze_encoder(network, "unet")
    recipe = small("unet", 2, optimizer=name, weight_decay=0.1)
    optimizer = make_optimizer(network, recipe)
    assert frozen and optimizer.defaults["weight_decay"] == 0.1
    assert sum(len(group["params"]) for group in optimizer.param_groups) < len(list(network.parameters()))


@pytest.mark.parametrize("net", sorted(ENCODERS))
def test_a_frozen_encoder_stays_and_the_rest_moves(net: str) -> None:
    from umed.benchmark.victims.victim_training import train_mode

    network = make(net, 2)
    frozen = freeze_encoder(network, net)
    held = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = make_optimizer(network, small(net, 2))
    patch = patch_of(net, 2)
    for _ in range(2):
        train_mode(network, frozen)
        loss = segmentation_loss(network(torch.rand(2, 1, *patch)), torch.randint(0, 3, (2, 1, *patch)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = network.state_dict()
    parts = {id(part) for part in frozen}
    statistics = {
        f"{name}.{kind}"
        for name, module in network.named_modules()
        if id(module) in parts
        for kind, _ in module.named_buffers(recurse=False)
    }
    assert held and all(torch.equal(before[name], after[name]) for name in held | statistics)
    moved = [name for name in after if name not in held and not torch.equal(before[name], after[name])]
    assert moved


def test_freezing_needs_a_known_encoder() -> None:
    with pytest.raises(ConfigError, match="a network whose encoder is known"):
        freeze_encoder(make("unet", 2), "custom")
    recipe = replace(Recipe(net="custom", target="monai.networks.nets.VNet"), pretrained=Pretrained(checkpoint="x"))
    with pytest.raises(ConfigError, match="a network whose encoder is known"):
        check_victim(replace(recipe, freeze="encoder"), spatial_dims=2, in_channels=1, classes=2, patch=(32, 32))


def test_weights_that_fit_are_taken_and_the_others_named(tmp_path: Path) -> None:
    source, target = make("unet", 2, channels=1, seed=1), make("unet", 2, channels=3, seed=2)
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "a.pt")
    loaded = load_pretrained(target, read_checkpoint(tmp_path / "a.pt"))
    assert loaded.skipped == ("conv_0.conv_0.conv.weight",)
    assert loaded.loaded == len(source.state_dict()) - 1
    name = "down_1.convs.conv_0.conv.weight"
    assert torch.equal(target.state_dict()[name], source.state_dict()[name])
    with pytest.raises(InputError, match="expected weights of this network, got 0 of its"):
        load_pretrained(make("segresnet", 2), source.state_dict())


@pytest.mark.parametrize("content", [b"nothing", [1, 2], {"state_dict": {}}, {"a": "text"}])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "b.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match="expected a state dict of tensors"):
        read_checkpoint(path)
