# SPDX-License-Identifier: Apache-2.0
"""What holds for every registered countermeasure, whatever it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from umed.benchmark.countermeasures.interface import Chain, Countermeasure, Moment, make_countermeasure
from umed.benchmark.victims.case_tensors import Samples
from umed.core import registry
from umed.core.errors import ConfigError

CPU = torch.device("cpu")
QUICK: dict[str, dict[str, Any]] = {"d_vae": {"steps": 2, "width": 4}}
KINDS = [((20, 24), 3), ((12, 16, 9), 1), ((12, 10, 8), 2)]
ALL = sorted(registry.COUNTERMEASURES)


def images_of(name: str, cases: Samples, seed: int = 0) -> tuple[Countermeasure, Samples]:
    tried = make_countermeasure(name, QUICK.get(name))
    chosen = tried.select(cases, cases, seed)
    tried.fit(chosen, seed, CPU)
    return tried, chosen.map(tried.image, tried.label)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("spatial", "channels"), KINDS)
def test_images_keep_their_kind_and_units(
    name: str, spatial: tuple[int, ...], channels: int, samples: Callable[..., Samples]
) -> None:
    before = samples(*spatial, channels=channels)
    kept = [image.clone() for image in before.images]
    tried, after = images_of(name, before)
    _, again = images_of(name, before)
    assert all(torch.equal(a, b) for a, b in zip(before.images, kept, strict=True)), "inputs were changed"
    assert all(torch.equal(a, b) for a, b in zip(after.images, again.images, strict=True)), "not deterministic"
    size = tuple(max(1, math.floor(tried.scale * n + 0.5)) for n in spatial)
    for image, label, name_of in zip(after.images, after.labels, after.ids, strict=True):
        assert image.shape == (channels, *size) and label.shape == size
        assert image.dtype == torch.float32 and label.dtype == torch.uint8
        assert bool(torch.isfinite(image).all())
        drift = abs(float(image.mean() - before.images[before.ids.index(name_of)].mean()))
        assert drift < (60 if name == "d_vae" else 8), "of 255; two steps teach no autoencoder"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("spatial", "channels"), KINDS)
def test_batches_keep_their_kind(
    name: str,
    spatial: tuple[int, ...],
    channels: int,
    samples: Callable[..., Samples],
    moment: Callable[..., Moment],
) -> None:
    cases = samples(*spatial, channels=channels)
    image = (torch.stack(cases.images) - 120) / 60
    label = torch.stack(cases.labels)[:, None].long()
    tried, kept = make_countermeasure(name), (image.clone(), label.clone())
    first = tried.batch(image, label, moment(image))
    again = tried.batch(image, label, moment(image))
    assert torch.equal(image, kept[0]) and torch.equal(label, kept[1])
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert first[0].shape == image.shape and first[0].dtype == torch.float32 and bool(torch.isfinite(first[0]).all())
    if first[1].is_floating_point():
        assert first[1].shape == (3, 2, *spatial) and torch.allclose(first[1].sum(1), torch.ones(3, *spatial))
    else:
        assert first[1].shape == label.shape and first[1].dtype == torch.int64
    soft = torch.cat([1 - label, label], 1).float()
    assert tried.batch(image, soft, moment(image))[1].shape == soft.shape
    assert not first[0].requires_grad


@pytest.mark.parametrize("name", ALL)
def test_labels_round_trip(name: str) -> None:
    made = make_countermeasure(name)
    assert repr(make_countermeasure(name, made.options())) == repr(made)
    assert repr(made).split()[0] == name == made.name
    assert made.strength in (*made.options(), "")
    assert registry.COUNTERMEASURES[name].summary


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("jpeg", {"quality": 30}, "jpeg quality=30"),
        ("jpeg", {}, "jpeg quality=75"),
        ("blur", {"sigma": "1/2"}, "blur sigma=0.5"),
        ("adversarial_training", {"epsilon": "8/255"}, "adversarial_training epsilon=8/255"),
        ("ddc_at", {"steps": 1}, "ddc_at epsilon=4/255 steps=1"),
        ("gamma_contrast", {"gamma": [0.5, 2]}, "gamma_contrast gamma=0.5-2"),
        ("window", {"low": 0, "high": 80, "unit": "value"}, "window low=0 high=80 unit=value"),
        ("none", {}, "none"),
    ],
)
def test_a_label_shows_the_strength_and_what_is_not_usual(name: str, options: dict[str, Any], text: str) -> None:
    assert repr(make_countermeasure(name, options)) == text


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("jpg", {}, r"countermeasure: expected one of .*got 'jpg'. Did you mean 'jpeg'"),
        (
            "jpeg",
            {"qualty": 3},
            r"countermeasure_options.qualty: jpeg takes quality, subsampling. Did you mean 'quality'",
        ),
        ("grey", {"bits": 3}, "countermeasure_options.bits: grey takes no options"),
        ("jpeg", {"quality": 0}, "jpeg.quality: expected a whole number from 1 to 100, got 0"),
        ("jpeg", {"quality": True}, "jpeg.quality: expected a whole number from 1 to 100, got True"),
        ("bit_depth", {"bits": 2.5}, "bit_depth.bits: expected a whole number from 1 to 16, got 2.5"),
        ("blur", {"sigma": 0}, "blur.sigma: expected a number above 0 and at most 100, got 0"),
        ("blur", {"sigma": "wide"}, "blur.sigma: expected a number or a fraction"),
        ("low_pass", {"cutoff": float("nan")}, "low_pass.cutoff: expected a number above 0 and at most 1.5, got nan"),
        ("median", {"size": 4}, "median.size: expected an odd number, got 4"),
        ("non_local_means", {"h": 0}, "non_local_means.h: expected a number above 0"),
        ("total_variation", {"weight": -1}, "total_variation.weight: expected a number above 0"),
        ("resample", {"scale": 0}, "resample.scale: expected a number of at least 0.1 and at most 4, got 0"),
        ("down_up", {"factor": 1}, "down_up.factor: expected a number of at least 0.1 and at most 0.99, got 1"),
        ("window", {"low": 90, "high": 10}, "window.high: expected more than low, 90, got 10"),
        ("window", {"unit": "HU"}, "window.unit: expected percentile or value, got 'HU'"),
        ("percentile", {"high": 101}, "percentile.high: expected a number of at least 0 and at most 100, got 101"),
        ("cutout", {"share": 2}, "cutout.share: expected a number above 0 and at most 1, got 2"),
        ("mixup", {"alpha": 0}, "mixup.alpha: expected a number above 0"),
        ("cutmix", {"alpha": -1}, "cutmix.alpha: expected a number above 0"),
        ("gamma_contrast", {"gamma": 2}, "gamma_contrast.gamma: expected two numbers, got 2"),
        ("gamma_contrast", {"contrast": [2, 1]}, "gamma_contrast.contrast: expected the smaller number first"),
        ("ueraser", {"candidates": 0}, "ueraser.candidates: expected a whole number of at least 1, got 0"),
        (
            "adversarial_training",
            {"epsilon": 4},
            "adversarial_training.epsilon: expected a number above 0 and at most 1",
        ),
        ("ddc_at", {"steps": 0}, "ddc_at.steps: expected a whole number of at least 1, got 0"),
        ("mix", {"share": 20}, "mix.share: expected a number of at least 0 and at most 1, got 20"),
        ("clean_subset", {"share": 0}, "clean_subset.share: expected a number above 0"),
        ("early_stopping", {"patience": 0}, "early_stopping.patience: expected a whole number of at least 1, got 0"),
        ("d_vae", {"rate": 0}, "d_vae.rate: expected a number above 0"),
        ("orthogonal_projection", {"patch": 1}, "orthogonal_projection.patch: expected a whole number from 2 to 32"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_countermeasure(name, options)


def test_a_chain_composes_in_order(samples: Callable[..., Samples]) -> None:
    half, blur = make_countermeasure("resample", {"scale": 0.5}), make_countermeasure("blur", {"sigma": 2})
    chain, cases = Chain([half, blur, make_countermeasure("resample", {"scale": 0.5})]), samples(32, 24)
    assert repr(Chain([half, blur])) == "resample scale=0.5 + blur sigma=2" and repr(Chain()) == "none"
    assert chain.scale == 0.25
    done = cases.map(chain.image, chain.label)
    assert done.images[0].shape == (1, 8, 6) and done.labels[0].shape == (8, 6)
    expected = blur.image(half.image(cases.images[0], 255.0), 255.0)
    assert torch.equal(Chain([half, blur]).image(cases.images[0], 255.0), expected)
    assert done.truths is not None and done.truths[0].shape == (32, 24)


class Watching(Countermeasure):
    """Remembers what it was fitted on."""

    name = "watching"

    def __init__(self) -> None:
        self.seen: list[Samples] = []

    def fit(self, published: Samples, seed: int, device: torch.device) -> None:
        self.seen.append(published)


class Counting(Countermeasure):
    """Counts the images that it changes."""

    name = "counting"

    def __init__(self) -> None:
        self.count = 0

    def image(self, image: torch.Tensor, full_scale: float) -> torch.Tensor:
        self.count += 1
        return image


def test_a_learner_sees_what_the_parts_before_it_leave(samples: Callable[..., Samples]) -> None:
    first, second, counting = Watching(), Watching(), Counting()
    half, cases = make_countermeasure("half"), samples(16, 16)
    chain = Chain([first, Chain([make_countermeasure("clean_subset", {"share": 0.4}), half]), second, counting])
    selected = chain.select(cases, cases, 0)
    chain.fit(selected, 0, CPU)
    assert len(selected.ids) == 1
    assert first.seen[0].images[0].shape == (1, 16, 16)
    assert torch.equal(second.seen[0].images[0], half.image(selected.images[0], 255.0))
    assert second.seen[0].labels[0].shape == (8, 8)
    assert counting.count == 0, "nothing learns after it, so no image needs to pass it yet"


def test_a_chain_stops_and_normalises_when_a_part_does() -> None:
    chain = Chain([make_countermeasure("early_stopping"), make_countermeasure("minmax"), make_countermeasure("blur")])
    assert chain.stop([0.5, 0.4, 0.3]) and not chain.stop([0.3, 0.4, 0.5])
    change = chain.normalise
    assert change is not None and float(change(torch.tensor([[1.0, 3.0]]))[0].max()) == 1
    assert Chain([make_countermeasure("blur")]).normalise is None
