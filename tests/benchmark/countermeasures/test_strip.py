# SPDX-License-Identifier: Apache-2.0
"""A thief who takes codes off: each attack where the right answer is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from umed.benchmark.countermeasures.interface import make_countermeasure
from umed.benchmark.countermeasures.strip import ATTACKS, Strip
from umed.benchmark.countermeasures.stripping.known_families import may_be
from umed.benchmark.countermeasures.stripping.regeneration import regenerated
from umed.benchmark.victims.case_tensors import Samples
from umed.core.errors import ConfigError
from umed.networks.secret_carriers import draw_carrier, parse_family
from umed.plan.regions import make_regions

BOUND = 4.0  # 4/255 of 255
OPPONENT = torch.tensor([1.0, -1.0, 1.0])
ESTIMATES = sorted(set(ATTACKS) - {"regenerate", "noise"})


def texture(shape: tuple[int, ...], channels: int, rng: np.random.Generator) -> Tensor:
    """Noise with the spectrum of nature, 1/f, mostly the same in all channels; standard deviation about 12 of 255."""
    radius = np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    slope = 1 / np.maximum(radius, 0.02) ** (len(shape) / 2)

    def draw() -> np.ndarray:
        field = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * slope).real
        return field / field.std()

    grey = draw()
    return torch.from_numpy(np.stack([120 + 12 * grey + 1.5 * draw() for _ in range(channels)]).astype(np.float32))


def grating(shape: tuple[int, ...], frequency: tuple[float, ...], phase: float) -> Tensor:
    """A full wave, +1 and -1."""
    axes = torch.meshgrid(*(torch.arange(float(size)) for size in shape), indexing="ij")
    angle = 2 * math.pi * sum(f * axis for f, axis in zip(frequency, axes, strict=True)) + phase
    return torch.tanh(6 * torch.sin(torch.as_tensor(angle)))


def cases(shape: tuple[int, ...], channels: int, count: int, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    label = torch.zeros(shape, dtype=torch.uint8)
    label[tuple(slice(size // 4, size - size // 4) for size in shape)] = 1
    images = tuple(texture(shape, channels, rng) for _ in range(count))
    ids = tuple(f"case {number}" for number in range(count))
    return Samples(ids, images, (label,) * count, 2, scales=(255.0,) * count)


def planted(clean: Samples, frequencies: list[tuple[float, ...]]) -> Samples:
    """A grating of full bound in ROI and contour band, opposite in green; another one for every case."""
    images = []
    for number, (image, label) in enumerate(zip(clean.images, clean.labels, strict=True)):
        wave = grating(tuple(label.shape), frequencies[number], float(number))
        colours = OPPONENT if len(image) == 3 else torch.ones(len(image))
        code = colours.reshape(-1, *[1] * label.ndim) * wave * where(label)
        images.append(image + BOUND * code)
    return dataclasses.replace(clean, images=tuple(images))


def where(label: Tensor, radius: float = 3) -> Tensor:
    regions = make_regions(label.numpy(), radius=radius)
    mask = np.zeros(label.shape, bool)
    mask[regions.box] = regions.roi
    return torch.from_numpy(mask)


def gain(clean: Samples, published: Samples, stripped: Samples) -> float:
    """Mean gain in dB in the ROI and its band."""
    found = []
    for before, after, tried, label in zip(clean.images, published.images, stripped.images, clean.labels, strict=True):
        mask = where(label)
        errors = [float((one - before)[:, mask].square().mean()) for one in (after, tried)]
        found.append(10 * math.log10(errors[0] / errors[1]))
    return float(np.mean(found))


def run(attack: str, published: Samples, **options: object) -> Samples:
    return Strip(attack=attack, **options).select(published, dataclasses.replace(published, images=()), 0)


def test_noise_moves_every_pixel_of_the_support_by_the_bound_and_no_other() -> None:
    published = cases((24, 24), 3, 2)
    changed = run("noise", published)
    for before, after, label in zip(published.images, changed.images, published.labels, strict=True):
        size = (after - before).abs()
        inside = where(label).expand_as(size) & (after > before.min()) & (after < before.max())
        assert torch.allclose(size[inside], torch.tensor(BOUND), atol=1e-3)
        assert not size[:, ~where(label)].any()
    signs = [(after - before).sign() for before, after in zip(published.images, changed.images, strict=True)]
    assert not torch.equal(signs[0], signs[1])
    again = run("noise", published)
    assert all(map(torch.equal, changed.images, again.images))


TILTED = [(0.13, 0.1), (-0.05, 0.16), (0.17, 0.02), (0.11, -0.12)]
CUBES = [(0.45, 0.47, 0.46), (0.47, -0.44, 0.46)]


@pytest.mark.parametrize(
    ("attack", "shape", "channels", "frequencies", "least"),
    [
        ("matched", (72, 64), 3, TILTED, 10),
        ("matched", (72, 64), 1, [(0.4, 0.3), (0.35, -0.4)], 10),
        ("matched", (32, 30, 28), 1, CUBES, 10),
        ("wiener", (72, 64), 3, TILTED, 8),
        ("wiener", (32, 30, 28), 1, CUBES, 6),
        ("unmix", (72, 64), 3, TILTED, 6),
        ("notch", (72, 64), 3, [(0.45, 0.46), (0.47, 0.44), (0.46, -0.46), (0.5, 0.45)], 2),
    ],
)
def test_a_planted_grating_is_found_and_taken_off(
    attack: str, shape: tuple[int, ...], channels: int, frequencies: list[tuple[float, ...]], least: float
) -> None:
    clean = cases(shape, channels, len(frequencies))
    published = planted(clean, frequencies)
    stripped = run(attack, published)
    assert gain(clean, published, stripped) > least
    for image, before, label in zip(stripped.images, published.images, clean.labels, strict=True):
        change = image - before
        assert float(change.abs().max()) <= BOUND + 1e-3
        assert bool((change[:, ~where(label)] == 0).all())


def test_cells_cost_a_thief_more_and_knowing_the_family_helps_him() -> None:
    clean = cases((72, 64), 3, 3)
    gains = {}
    for name in ("corner8c", "corner8c+cells16"):
        images = []
        for number, (image, label) in enumerate(zip(clean.images, clean.labels, strict=True)):
            box = tuple(slice(0, size) for size in label.shape)
            drawn = draw_carrier(parse_family(name), 3, box, np.random.default_rng(number))
            images.append(image + BOUND * drawn.at(box) * where(label))
        published = dataclasses.replace(clean, images=tuple(images))
        known = gain(clean, published, run("matched", published, carriers=[name]))
        gains[name] = known, gain(clean, published, run("matched", published))
        gains[f"{name} capon"] = gain(clean, published, run("capon", published, carriers=[name])), 0.0
    assert gains["corner8c+cells16 capon"][0] > 5, "the colours of a family are public, and one filter removes its band"
    assert gains["corner8c"][0] > gains["corner8c+cells16"][0] + 2 > 3
    assert gains["corner8c+cells16"][0] > gains["corner8c+cells16"][1]


@pytest.mark.parametrize("attack", ["public_carrier", "average", "wiener", "capon", "matched", "notch", "unmix"])
@pytest.mark.parametrize(("shape", "channels"), [((72, 64), 3), ((32, 30, 28), 1)])
def test_where_nothing_was_added_hardly_anything_is_taken(attack: str, shape: tuple[int, ...], channels: int) -> None:
    clean = cases(shape, channels, 4, seed=1)
    stripped = run(attack, clean)
    for image, before, label in zip(stripped.images, clean.images, clean.labels, strict=True):
        harm = float((image - before)[:, where(label)].square().mean()) ** 0.5
        assert harm < 0.25 * BOUND


def test_a_code_that_all_cases_share_adds_up_and_one_of_each_case_does_not() -> None:
    clean = cases((72, 64), 1, 12)
    shared = dataclasses.replace(
        clean,
        images=tuple(
            image + BOUND * grating((72, 64), (0.21, 0.14), 0.4) * where(label)
            for image, label in zip(clean.images, clean.labels, strict=True)
        ),
    )
    assert gain(clean, shared, run("average", shared)) > 8
    apart = planted(clean, [(0.2 + 0.01 * number, 0.15 - 0.02 * number) for number in range(12)])
    assert abs(gain(clean, apart, run("average", apart))) < 1


def test_the_public_checkerboard_is_known_to_everybody() -> None:
    clean = cases((48, 44), 3, 2)
    board = 1 - 2 * (torch.arange(48)[:, None] + torch.arange(44)[None]).remainder(2).float()
    images = [
        image + BOUND * OPPONENT.reshape(3, 1, 1) * board * where(label, 3) * (label > 0)
        for image, label in zip(clean.images, clean.labels, strict=True)
    ]
    published = dataclasses.replace(clean, images=tuple(images))
    assert gain(clean, published, run("public_carrier", published)) > 15


@pytest.mark.parametrize(("shape", "channels"), [((48, 44), 3), ((24, 22, 20), 2)])
def test_umed_itself_does_not_take_off_what_another_key_drew(shape: tuple[int, ...], channels: int) -> None:
    clean = cases(shape, channels, 3)
    twice = regenerated(clean, epsilon=4 / 255, iterations=0)
    published = dataclasses.replace(clean, images=tuple(2 * a - b for a, b in zip(clean.images, twice, strict=True)))
    moved = torch.stack([(a - b).abs().amax() for a, b in zip(published.images, clean.images, strict=True)])
    assert bool((moved > 0.5).all()), "the thief's umed draws a code"
    assert gain(clean, published, run("regenerate", published, iterations=0)) < 1


@pytest.mark.parametrize("attack", ["blur", "median"])
def test_filters_keep_to_the_roi(attack: str) -> None:
    clean = cases((40, 36), 1, 2)
    stripped = run(attack, clean)
    for image, before, label in zip(stripped.images, clean.images, clean.labels, strict=True):
        moved = (image - before)[0] != 0
        assert float(moved[where(label)].float().mean()) > 0.5 and not bool(moved[~where(label)].any())


@pytest.mark.parametrize("attack", ESTIMATES)
def test_it_is_deterministic_changes_no_input_and_leaves_test_images(attack: str) -> None:
    clean = cases((40, 36), 3, 3)
    empty = dataclasses.replace(clean, labels=(*clean.labels[:2], torch.zeros_like(clean.labels[2])))
    kept = [image.clone() for image in empty.images]
    first, again = run(attack, empty), run(attack, empty)
    assert all(torch.equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(empty.images, kept, strict=True))
    assert torch.equal(first.images[2], empty.images[2]), "without a mask nothing was added"
    tried = Strip(attack=attack)
    assert torch.equal(tried.image(kept[0], 255.0), kept[0]) and tried.seeded


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "estimate"}, "strip.attack: expected one of regenerate, .*, got 'estimate'"),
        ({"epsilon": 0}, "strip.epsilon: expected a number above 0 and at most 1, got 0"),
        ({"radius": -1}, "strip.radius: expected a number of at least 0"),
        ({"attack": "matched", "generators": "here"}, "strip.generators: expected a folder, and attack regenerate"),
        (
            {"attck": "matched"},
            "countermeasure_options.attck: strip takes attack, epsilon, radius, generators, iterations, carriers",
        ),
    ],
)
def test_bad_options_of_strip_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_countermeasure("strip", options)


@pytest.mark.parametrize("name", ["wave6", "wave10+drift48", "plaid6", "plaid10", "corner16", "corner8+cells16"])
@pytest.mark.parametrize("shape", [(128, 128), (48, 48, 48)])
def test_a_thief_who_knows_the_family_looks_where_it_lies(name: str, shape: tuple[int, ...]) -> None:
    family, box = parse_family(name), tuple(slice(0, size) for size in shape)
    grid = np.stack(np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"), -1)
    allowed = may_be(grid, [family])
    for seed in range(3):
        drawn = draw_carrier(family, 1, box, np.random.default_rng(seed)).at(box)[0].numpy()
        power = np.square(np.abs(np.fft.fftn(drawn)))
        assert power[allowed].sum() > 0.6 * power.sum(), "the rest are harmonics"
    assert allowed.mean() < 0.6
