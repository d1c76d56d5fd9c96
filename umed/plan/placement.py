# SPDX-License-Identifier: Apache-2.0
"""Spectral placement: in which band and colours a code is loudest against nature, at bounded visibility.

A code is learnt where its rms, after what the pipeline leaves of it, is about three times nature's in its band: that
held for all trials with nnU-Net-like networks under nnU-Net's augmentation (docs/experiments.md). Periods follow the
size of the ROI: long ones are a tint that anybody sees, and hold too few waves to be a texture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from umed.core.ranges import Ranges
from umed.plan.band_spectrum import (
    CORNER,
    EDGES,
    PERIODS,
    CaseSpectrum,
    Floats,
    band_name,
    median_extent,
    natural_rms,
)
from umed.plan.transfer import Transfer, transfer
from umed.plan.visibility import visibility

LOUD = 3.0
"""How many times louder than nature a code must be to be taken up."""
SURE = 4.5
"""Below it period, seed and length of the training decided how much of it."""
WANTED: Mapping[str, float] = {"colour": 6.0, "other": 3.0}
"""What ``strength: strong`` looks for, by kind: as loud as the codes that took most in trials."""
CARRIER_RMS = 0.85
"""Rms of a carrier, as a share of the bound, as untrained generators lay it out."""
FLOOR = 0.1 / 255
"""Rms of nature counts as at least this much: rounding to 8 bits alone leaves about as much in a band."""
LIMITS: Mapping[str, float] = {"invisible": 4.0, "strong": 8.0}
"""Most visibility of a code, in thresholds of the eye. By convention: 8/255 in opponent colours at an eighth of a ROI,
which is a tint that anybody sees, is at 4 to 5."""
SIGNS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "colour": {"opponent colours": (1, -1, 1), "brightness": (1, 1, 1)},
    "other": {"grey values": (1,)},
}
"""Colour directions in which carriers exist, by the kind of image."""
LONGEST: Mapping[str, Mapping[str, float]] = {
    "invisible": {"opponent colours": 1 / 8, "brightness": 1 / 4, "grey values": 1 / 4},
    "strong": {"opponent colours": 1 / 4, "brightness": 1 / 4, "grey values": 1 / 4},
}
"""Longest period of a code as a share of the ROI's extent. Shorter ones leave nnU-Net-like networks more of the
anatomy, and less of them is left where a thief shrinks the images."""
SHORTEST = 1 / 16
"""Shortest period, likewise: nature is quietest there, but a code of 1/40 of the ROI is gone once the images shrink."""
OUTSIDE = 0.5
"""Amplitude of a placed code in the band outside the ROI: victims keep to such a code longer (docs/experiments.md)."""
FAMILIES: Mapping[str, str] = {
    "opponent colours": "plaid{:g}c",
    "brightness": "plaid{:g}",
    "grey values": "plaid{:g}",
}
"""Which carrier lies in a direction; a plaid's energy lies at its period over the root of the dimensions."""
PLACED: Mapping[tuple[str, str], bool] = {
    ("colour", "invisible"): False,
    ("other", "invisible"): False,
    ("colour", "strong"): True,
    ("other", "strong"): True,
}
"""Where ``carriers: auto`` follows the placement, by kind of image and strength; else it is the registry's default."""
FILTERS: Mapping[str, str] = {
    "nnunet": "nnU-Net's augmentation",
    "half": "half resolution",
    "quarter": "a quarter of the resolution",
    "blur": "a blur of 1 px",
    "blur2": "a blur of 2 px",
    "jpeg": "JPEG 75",
    "jpeg50": "JPEG 50",
    "512": "shrinking to 512 px",
    "256": "shrinking to 256 px",
}
"""What a thief may do, in words; keys of :data:`umed.plan.transfer.WEIGHTS`."""
_SHORTEST_PLAID = 4
_CARRIER = re.compile(r"(wave|plaid|corner)(\d+(?:\.\d+)?)(c?)(?:\+.*)?")


@dataclass(frozen=True, eq=False)
class Scene:
    """What placement must know of the data.

    Args:
        spectra: of some cases.
        kind: ``"colour"`` or ``"other"``.
        channels: of a case.
        dims: 2, also slice by slice, or 3.
        edge: longer side of the images in px.
        jpeg: whether thieves may store the images as JPEG.
        value_range: of the plan.
    """

    spectra: tuple[CaseSpectrum, ...]
    kind: str
    channels: int
    dims: int
    edge: int
    jpeg: bool
    value_range: Ranges

    @cached_property
    def extent(self) -> float:
        """Median extent of the ROI in px."""
        return median_extent(self.spectra, solid=self.dims == 3)

    @cached_property
    def directions(self) -> dict[str, tuple[float, ...]]:
        """Signs of the channels, by name."""
        if self.kind == "colour":
            return dict(SIGNS["colour"])
        return {name: signs * self.channels for name, signs in SIGNS["other"].items()}

    def rms(self, signs: Sequence[float]) -> tuple[Floats, Floats]:
        """Nature's rms inside the ROI and around it, as a share of the range, see :func:`natural_rms`."""
        return natural_rms(self.spectra, signs, self.value_range, solid=self.dims == 3)

    @cached_property
    def nature(self) -> dict[str, Floats]:
        """Rms against which a code stands, by direction: inside the ROI, or around it where the ROI is too small."""
        found = {}
        for name, signs in self.directions.items():
            inside, ring = self.rms(signs)
            found[name] = np.maximum(np.where(np.isfinite(inside), inside, ring), FLOOR)
        return found


@dataclass(frozen=True)
class Placement:
    """A code at a place of the spectrum.

    Args:
        direction: name of the colour direction.
        signs: amplitude in each channel.
        period: in px of the file.
        band: index of the band it lies in.
        epsilon: bound as a share of the range.
        nature: rms of nature there, as a share of the range.
        transfer: what the pipeline leaves of it.
        visibility: in thresholds of the eye.
    """

    direction: str
    signs: tuple[float, ...]
    period: float
    band: int
    epsilon: float
    nature: float
    transfer: Transfer
    visibility: float

    @property
    def rms(self) -> float:
        """Of the code, as a share of the range."""
        return self.epsilon * CARRIER_RMS

    @property
    def loudness(self) -> float:
        """Rms of the code over nature's, after nnU-Net's augmentation: what :data:`LOUD` is for."""
        return self.rms * self.transfer.threats["nnunet"] / self.nature

    @property
    def score(self) -> float:
        """How far it is as loud as :data:`SURE` whatever a thief does: what placement maximises, in [0, 1]."""
        return self.transfer.heard(self.rms / self.nature, SURE)


def place_at(scene: Scene, direction: str, period: float, epsilon: float) -> Placement | None:
    """Look at a code.

    Args:
        scene: the data.
        direction: name of a colour direction of the scene.
        period: in px; below 2 it is the corner of the spectrum.
        epsilon: bound as a share of the range.

    Returns:
        The place; ``None`` where nature is unknown there.
    """
    band = CORNER if period < EDGES[0] else min(int(np.searchsorted(EDGES, period, "right")) - 1, len(PERIODS))
    if period >= EDGES[-1]:
        return None
    signs, nature = scene.directions[direction], scene.nature
    if not np.isfinite(nature[direction][band]):
        return None
    left = transfer(period, signs, dims=scene.dims, edge=scene.edge, jpeg=scene.jpeg, epsilon=epsilon)
    masks = (
        {"brightness": nature["brightness"][band], "colour": nature["opponent colours"][band]}
        if scene.kind == "colour"
        else {"brightness": nature[direction][band]}
    )
    seen = visibility(period, signs, epsilon * CARRIER_RMS, **masks)
    return Placement(direction, signs, period, band, epsilon, float(nature[direction][band]), left, seen)


def carrier_at(direction: str, band: int, dims: int) -> tuple[str, float]:
    """Name of the secret carrier that lies in a band, and the period at which its energy really lies."""
    named = max(_SHORTEST_PLAID, round(PERIODS[band] * math.sqrt(dims)))
    return FAMILIES[direction].format(named), named / math.sqrt(dims)


def best_place(scene: Scene, epsilon: float, strength: str = "invisible") -> tuple[str, Placement] | None:
    """Choose the carrier that is loudest whatever a thief does, of those that are fine enough and hardly seen.

    Args:
        scene: the data.
        epsilon: bound as a share of the range.
        strength: key of :data:`LIMITS`.

    Returns:
        Its name and place; ``None`` where no band may be used, or nothing could be measured.
    """
    found = []
    for direction in scene.directions:
        for band in range(len(PERIODS)):
            name, period = carrier_at(direction, band, scene.dims)
            if period > max(LONGEST[strength][direction] * scene.extent, EDGES[1]) or EDGES[band] > scene.extent / 3:
                continue
            if period < SHORTEST * scene.extent:
                continue
            place = place_at(scene, direction, period, epsilon)
            if place is not None and place.visibility <= LIMITS[strength]:
                found.append((name, place))
    # Where filters leave as much (to a hundredth), the louder.
    return max(found, key=lambda one: (round(one[1].score, 2), one[1].loudness), default=None)


def place_of(scene: Scene, carrier: str, epsilon: float) -> Placement | None:
    """Where a carrier lies that was named by hand or by default.

    Args:
        scene: the data.
        carrier: its name; a fixed one has no place.
        epsilon: bound as a share of the range.
    """
    match = _CARRIER.fullmatch(carrier)
    if match is None:
        return None
    kind, number, colour = match.group(1), float(match.group(2)), bool(match.group(3))
    root = math.sqrt(scene.dims)
    period = {"wave": number, "plaid": number / root, "corner": 2 / root}[kind]
    names = list(scene.directions)
    return place_at(scene, names[0] if colour or len(names) == 1 else names[1], period, epsilon)


def choose_carriers(scene: Scene, epsilon: float, strength: str = "invisible") -> tuple[str, ...] | None:
    """Carriers that ``carriers: auto`` takes from the placement.

    Args:
        scene: the data.
        epsilon: bound as a share of the range.
        strength: ``"invisible"`` or ``"strong"``.

    Returns:
        Their names; ``None`` where :data:`PLACED` leaves it to the registry, or no place is loud enough: a placed code
        below :data:`LOUD` is taken up by nobody, while plain U-Nets take up that at the corner of the grid.
    """
    best = best_place(scene, epsilon, strength) if PLACED[scene.kind, strength] else None
    return None if best is None or best[1].loudness < LOUD else (best[0],)


def place_words(place: Placement) -> str:
    """A place with its figures, as a part of a sentence."""
    where = "the grid's own corner" if place.band == CORNER else f"{place.period:.1f} px"
    return (
        f"{place.direction} at {where}: rms {255 * place.rms:.1f} of 255 against nature's {255 * place.nature:.2f}, "
        f"{place.transfer.threats['nnunet']:.0%} left by nnU-Net's augmentation, so {place.loudness:.1f} times as "
        f"loud; what hurts most, {FILTERS[place.transfer.worst]}, leaves {place.transfer.least:.0%}; "
        f"visibility {place.visibility:.1f} thresholds"
    )


def nature_words(scene: Scene) -> str:
    """One sentence about the natural spectrum."""
    parts = []
    for name, signs in scene.directions.items():
        inside, ring = (255 * part for part in scene.rms(signs))
        known = [b for b in range(len(PERIODS)) if np.isfinite(inside[b]) or np.isfinite(ring[b])]
        figures = ", ".join(f"{_figure(inside[b])}/{_figure(ring[b])} ({band_name(b)})" for b in known)
        parts.append(f"{name} {figures}" if known else f"{name} unknown")
    count = len(scene.spectra)
    return (
        f"natural spectrum of {count} case{'s' if count > 1 else ''}, ROI {scene.extent:.0f} px across; rms of 255 "
        f"inside/around the ROI: {'; '.join(parts)}"
    )


def _figure(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "?"
