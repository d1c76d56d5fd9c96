# SPDX-License-Identifier: Apache-2.0
"""Countermeasure of a thief who wants the protection off: he regenerates or estimates the code and takes it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from umed.benchmark.countermeasures.interface import Countermeasure, number, whole
from umed.benchmark.countermeasures.stripping.averaging import averages, public_carrier
from umed.benchmark.countermeasures.stripping.grating_pursuit import pursue
from umed.benchmark.countermeasures.stripping.local_gratings import LOCAL_SIDES, pursue_locally
from umed.benchmark.countermeasures.stripping.nature_spectrum import Nature, learn_nature
from umed.benchmark.countermeasures.stripping.regeneration import regenerated
from umed.benchmark.countermeasures.stripping.shaping import Likelihood, shape_code
from umed.benchmark.countermeasures.stripping.unmixing import blurred, medianed, notch, unmix
from umed.benchmark.countermeasures.stripping.wiener import capon, wiener
from umed.benchmark.countermeasures.stripping.zones import Floats, Zone, make_zone
from umed.benchmark.victims.case_tensors import Samples
from umed.core.config import require
from umed.core.errors import ConfigError
from umed.core.registry import METHODS
from umed.networks.secret_carriers import CarrierFamily, parse_family


class Strip(Countermeasure):
    """Take the code off the published training cases.

    The thief has the release with its masks, all of umed and its documentation, and no key. He knows masks of training
    cases only, so test images stay as they are. He knows the bound, so no pixel moves by more than it, and none outside
    the ROI and its contour band. Attacks:

    * ``regenerate``: umed itself on the release, with a key and generators of his own (or those that the release
      holds): ``2 * OUT - TWICE``.
    * ``noise``: random signs of the size of the bound, pixel by pixel: no attack but the control of ``regenerate``,
      which tells what any other change of that size does.
    * ``public_carrier``: the fixed checkerboards of the documentation, fitted to each case.
    * ``average``: whitened cases averaged on the index grid, class by class: finds a code that all cases share.
    * ``wiener``: local Wiener filter, nature's spectrum learnt outside the ROI.
    * ``capon``: what lies in the bands and colours of the families, nature's colours cancelled; where no families are
      given, those of umed's defaults.
    * ``matched``: gratings of any frequency, phase and colour, for the whole ROI and in windows of two sizes.
    * ``unmix``: blind source separation over colours, band by band (images of several channels only).
    * ``notch``: the loudest band goes as a whole, inside the ROI.
    * ``blur``, ``median``: the simple filters, inside the ROI only.

    Estimates of ``public_carrier``, ``average``, ``wiener``, ``capon`` and ``matched`` are pushed towards the bound
    where that leaves a more natural texture, as codes of umed use their bound to the full.

    Source: umed's own threat model (Kerckhoffs: everything but the key is known); the tools are textbook: Wiener 1949,
    matching pursuit (Mallat and Zhang 1993), spectral subtraction (Boll 1979), Capon 1969.

    Args:
        attack: one of :data:`ATTACKS`.
        epsilon: bound of the release as a share of the full scale, public.
        radius: half width of the contour band in pixels, public.
        generators: for ``regenerate``: folder of trained generators, where the release holds them.
        carriers: names of the families that the thief knows (:func:`umed.networks.secret_carriers.parse_family`), of
            all classes together; ``matched``, ``wiener`` and ``capon`` then look in their bands only. Without any,
            ``matched`` and ``wiener`` look everywhere.
        iterations: for ``regenerate``: of the thief's training; those of umed's default recipe if ``None``.
    """

    name = "strip"
    strength = "attack"

    def __init__(
        self,
        *,
        attack: str = "matched",
        epsilon: float = 4 / 255,
        radius: float = 3.0,
        generators: str | None = None,
        iterations: int | None = None,
        carriers: Sequence[str] = (),
    ) -> None:
        require(attack in ATTACKS, "strip.attack", f"one of {', '.join(ATTACKS)}", attack)
        self.attack = attack
        self.epsilon = number("strip.epsilon", epsilon, 0, 1, above=True)
        self.radius = number("strip.radius", radius, 0, 1000)
        path = generators is None or (isinstance(generators, str) and attack == "regenerate")
        require(path, "strip.generators", "a folder, and attack regenerate", generators)
        self.generators = generators
        require(iterations is None or attack == "regenerate", "strip.iterations", "attack regenerate", iterations)
        self.iterations = None if iterations is None else whole("strip.iterations", iterations, 0)

        names = isinstance(carriers, Sequence) and not isinstance(carriers, str)
        require(names and all(isinstance(one, str) for one in carriers), "strip.carriers", "a list of names", carriers)
        self.carriers = tuple(carriers)
        try:
            self._families = [parse_family(one) for one in self.carriers]
        except ValueError as error:
            raise ConfigError(f"strip.carriers: {error}") from error

    def select(self, published: Samples, clean: Samples, seed: int) -> Samples:
        """Take the code off; ``clean`` is never looked at, and the seed decides the key of ``regenerate`` alone."""
        pairs = zip(published.images, published.labels, published.scales, strict=True)
        bounds = [self.epsilon * max(scale, 1e-12) for scale in published.scales]
        found = [
            make_zone(image.numpy(), label.numpy(), self.epsilon * max(scale, 1e-12), self.radius)
            for image, label, scale in pairs
        ]
        if self.attack == "regenerate":
            changed = regenerated(
                published,
                epsilon=self.epsilon,
                seed=seed,
                generators=self.generators,
                iterations=self.iterations,
            )
            codes: list[Floats | None] = [
                None if zone is None else _cut(image - new, zone) / bound
                for image, new, zone, bound in zip(published.images, changed, found, bounds, strict=True)
            ]
        elif self.attack == "noise":
            codes = [
                None if zone is None else np.random.default_rng((seed, place)).choice((-1.0, 1.0), zone.image.shape)
                for place, zone in enumerate(found)
            ]
        else:
            zones = [zone for zone in found if zone is not None]
            estimated = iter(ATTACKS[self.attack](zones, self._families) if zones else ())
            codes = [None if zone is None else next(estimated) for zone in found]
        images = tuple(
            image if zone is None or code is None else _without(image, zone, code, bound)
            for image, zone, code, bound in zip(published.images, found, codes, bounds, strict=True)
        )
        return replace(published, images=images)


def _cut(image: Tensor, zone: Zone) -> Floats:
    here = (slice(None), *zone.box)
    part: Floats = image[here].numpy().astype(np.float64)
    return part


def _without(image: Tensor, zone: Zone, code: Floats, bound: float) -> Tensor:
    """Take a code off within the bound, the support and the range of the image."""
    change = torch.from_numpy((np.clip(code, -1, 1) * zone.inside * bound).astype(np.float32))
    here, done = (slice(None), *zone.box), image.clone()
    done[here] = (image[here] - change).clamp(float(image.min()), float(image.max()))
    return done


Estimate = Callable[[Zone, Nature, Likelihood, Sequence[CarrierFamily]], Floats]
Attack = Callable[[Sequence[Zone], Sequence[CarrierFamily]], list[Floats]]


def _by_pursuit(zone: Zone, nature: Nature, likelihood: Likelihood, families: Sequence[CarrierFamily]) -> Floats:
    nothing = np.zeros_like(zone.image)
    known = shape_code(pursue(zone, likelihood, families), likelihood)

    def explained(code: Floats) -> float:
        left = likelihood.strangeness(nothing) - likelihood.strangeness(code)
        return 0.5 * len(code) * float(left[zone.inside].sum())

    best, most = known, explained(known)
    for start in (nothing, known) if known.any() else (nothing,):
        left = likelihood.published - likelihood.white(start)
        for side in LOCAL_SIDES[zone.dims]:
            local, price = pursue_locally(zone, nature, left, side, families)
            code = shape_code(start + local, likelihood)
            worth = explained(code) - price
            best, most = (code, worth) if worth > most else (best, most)
    return best


def _by_wiener(zone: Zone, nature: Nature, likelihood: Likelihood, families: Sequence[CarrierFamily]) -> Floats:
    return shape_code(wiener(zone, nature, families), likelihood)


def _by_capon(zone: Zone, nature: Nature, likelihood: Likelihood, families: Sequence[CarrierFamily]) -> Floats:
    kind = "colour" if len(zone.image) == 3 else "other"
    names = METHODS["umed"].defaults[kind]["carriers"]
    return shape_code(capon(zone, nature, families or [parse_family(name) for name in names]), likelihood)


def _by_public_carrier(zone: Zone, nature: Nature, likelihood: Likelihood, families: Sequence[CarrierFamily]) -> Floats:
    return shape_code(public_carrier(zone, likelihood), likelihood)


def _each(estimate: Estimate) -> Attack:
    def attack(zones: Sequence[Zone], families: Sequence[CarrierFamily]) -> list[Floats]:
        pairs = zip(zones, learn_nature(zones), strict=True)
        return [estimate(zone, nature, Likelihood(zone, nature), families) for zone, nature in pairs]

    return attack


def _by_average(zones: Sequence[Zone], families: Sequence[CarrierFamily]) -> list[Floats]:
    natures = learn_nature(zones)
    likelihoods = [Likelihood(zone, nature) for zone, nature in zip(zones, natures, strict=True)]
    found = averages(zones, natures, likelihoods)
    return [shape_code(code, likelihood) for code, likelihood in zip(found, likelihoods, strict=True)]


ATTACKS: dict[str, Attack] = {
    "regenerate": lambda zones, families: [],  # needs whole images; see Strip.select
    "noise": lambda zones, families: [],  # needs the seed; see Strip.select
    "public_carrier": _each(_by_public_carrier),
    "average": _by_average,
    "wiener": _each(_by_wiener),
    "capon": _each(_by_capon),
    "matched": _each(_by_pursuit),
    "unmix": lambda zones, families: [unmix(zone) for zone in zones],
    "notch": lambda zones, families: notch(zones),
    "blur": lambda zones, families: [blurred(zone) for zone in zones],
    "median": lambda zones, families: [medianed(zone) for zone in zones],
}
"""Code of each case in units of the bound, ``(C, *zone)``."""
