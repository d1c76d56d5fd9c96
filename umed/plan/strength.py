# SPDX-License-Identifier: Apache-2.0
"""How large the bound is, which carriers follow, and what a steward may expect: with figures, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from umed.core.config import Settings
from umed.core.errors import ConfigError
from umed.plan.band_spectrum import CORNER, PERIODS, CaseSpectrum, band_name
from umed.plan.placement import (
    CARRIER_RMS,
    LOUD,
    SURE,
    WANTED,
    Placement,
    Scene,
    best_place,
    choose_carriers,
    nature_words,
    place_of,
    place_words,
)

INVISIBLE = 4 / 255
STRONG = {"colour": range(5, 9), "other": range(5, 17)}
"""Bounds of 255 that ``strength: strong`` tries, smallest first. In colour 8 is seen by anybody already."""
MOST_TARGET = 16 / 255
"""Largest bound that a PSNR target may ask for."""
MEASURED = {
    "colour": "Such codes left networks of that kind 70 to 75 % of their DSC in trials, not 0, and plain U-Nets as "
    "much",
    "other": "On grey pictures such a code left a network of that kind 88 % of its DSC in one trial",
}
"""What docs/strength.md has of ``strength: strong``, by kind of image."""
AT_CORNER = 8
"""Bound of 255 of ``strength: strong`` where no place is loud enough, so that the codes at the grid's corner stay:
it held all victims of docs/strength.md that 4/255 held, and the one that 4/255 did not."""
LEARNT = "umed"
"""The method whose carriers are placed."""


@dataclass(frozen=True)
class Strength:
    """What follows from the natural spectrum.

    Args:
        epsilon: bound as a share of the range.
        amplitude: what a PSNR target leaves of it in the median; the bound itself without one.
        carriers: of ``carriers: auto``, ``None`` to leave it to the registry.
        why: sentences.
        placement: figures for the report, plain data; empty where nothing was measured.
    """

    epsilon: float
    amplitude: float
    carriers: tuple[str, ...] | None = None
    why: tuple[str, ...] = ()
    placement: Mapping[str, Any] = field(default_factory=dict)


def decide(
    scene: Scene | None, settings: Settings, *, kind: str, radius: float, outside: float, asked: Sequence[str] | None
) -> Strength:
    """Choose bound and carriers.

    Args:
        scene: of the data; ``None`` where no spectrum could be measured.
        settings: what the user chose.
        kind: ``"colour"`` or ``"other"``.
        radius: of the contour band in px.
        outside: amplitude of the code outside the ROI.
        asked: carriers that were given by name.

    Returns:
        The decision.
    """
    placed = scene is not None and settings.method == LEARNT
    rms = CARRIER_RMS if settings.method == LEARNT else 1.0
    epsilon, words = _bound(scene, settings, kind, radius, outside if placed else 1.0, rms)
    why = [words] if words else []
    if scene is None or not placed:
        return Strength(epsilon, epsilon, why=tuple(why))
    amplitude = epsilon
    if settings.psnr_target is not None:
        amplitude = min(epsilon, _allowed(scene, settings.psnr_target, radius, outside, rms)[1])
    strength = "strong" if settings.strength == "strong" else "invisible"
    best = best_place(scene, epsilon, strength)
    carriers = choose_carriers(scene, epsilon, strength) if asked is None else None
    why += [nature_words(scene), _placing(scene, best, epsilon, carriers)]
    return Strength(epsilon, amplitude, carriers, tuple(why), _figures(scene))


def _bound(
    scene: Scene | None, settings: Settings, kind: str, radius: float, outside: float, rms: float
) -> tuple[float, str]:
    """The bound, and why where it is not simply as asked."""
    if settings.strength == "strong":
        return _strong(scene, kind)
    unasked = settings.strength == "invisible" and settings.epsilon == Settings.epsilon
    if settings.psnr_target is None or scene is None or not unasked:
        return settings.epsilon, ""
    share, wanted = _allowed(scene, settings.psnr_target, radius, outside, rms)
    epsilon = min(max(wanted, INVISIBLE), MOST_TARGET)
    return epsilon, (
        f"epsilon {255 * epsilon:.2g}/255: {settings.psnr_target:g} dB at {share:.2%} of the image (median of "
        f"{len(scene.spectra)} cases) allow {255 * wanted:.2g}/255; a case that would fall short is scaled down"
    )


def _allowed(scene: Scene, target: float, radius: float, outside: float, rms: float) -> tuple[float, float]:
    """Share of an image that may change, and the amplitude that a PSNR target leaves there, as a share of the range."""
    share = float(np.median([energy_share(one, radius, outside) for one in scene.spectra]))
    return share, 10 ** (-target / 20) / (rms * math.sqrt(share))


def _strong(scene: Scene | None, kind: str) -> tuple[float, str]:
    most = STRONG[kind][-1]
    if scene is None:
        return most / 255, f"epsilon {most}/255: strong, and no natural spectrum could be measured"
    found, wanted = needed(scene, WANTED[kind]), f"{WANTED[kind]:g} times as loud as nature"
    if needed(scene) is None:
        return AT_CORNER / 255, (
            f"epsilon {AT_CORNER}/255: strong; up to {most}/255 no code is {LOUD:g} times as loud as nature there, so "
            "those at the grid's corner stay, which plain U-Nets take up at this bound"
        )
    if found is None:
        return most / 255, f"epsilon {most}/255: strong, and the most there is, though no code is {wanted} there"
    return found, f"epsilon {255 * found:.0f}/255: strong, the smallest bound at which a code is {wanted}"


def needed(scene: Scene, loudness: float = LOUD) -> float | None:
    """Smallest bound of ``strength: strong`` at which the best code is so loud; ``None`` where none is."""
    for number in STRONG[scene.kind]:
        best = best_place(scene, number / 255, "strong")
        if best is not None and best[1].loudness >= loudness:
            return number / 255
    return None


def energy_share(one: CaseSpectrum, radius: float, outside: float) -> float:
    """Share of the image that is perturbed, the band outside the ROI weighted by the square of its amplitude.

    Args:
        one: of a case.
        radius: width of that band in px.
        outside: its amplitude.
    """
    return min(1.0, one.share + outside**2 * radius * one.border)


def expectation(scene: Scene | None, carriers: Sequence[str], epsilon: float) -> str:
    """What a steward may expect of carriers, in one sentence; from loudness alone, not from a training.

    Args:
        scene: of the data.
        carriers: by name.
        epsilon: amplitude as a share of the range: the bound, or what a PSNR target leaves of it.

    Returns:
        The sentence.
    """
    against = "against nnU-Net-like training"
    bound = f"{255 * epsilon:.3g}/255"
    if scene is None:
        return f"protection {against}: unknown, since no natural spectrum could be measured"
    places = [place for place in (place_of(scene, name, epsilon) for name in carriers) if place is not None]
    heard = [place for place in places if place.band != CORNER]
    if not heard:
        return (
            f"protection {against}: not to be expected at {bound}; such networks hardly lose by a code at the "
            f"grid's own corner ({', '.join(carriers)}), which works against plain U-Nets at the file's own resolution"
            f"{_remedy(scene, epsilon)}"
        )
    loudest = max(heard, key=lambda place: place.loudness)
    figure = f"at {bound} the code is {loudest.loudness:.1f} times as loud as nature at {loudest.period:.1f} px"
    if loudest.loudness < LOUD:
        return f"protection {against}: not to be expected; {figure}, and {LOUD:g} are needed{_remedy(scene, epsilon)}"
    if loudest.loudness < SURE:
        return f"protection {against}: at the edge; {figure}, where seed and length of the training decided in trials"
    return (
        f"protection {against}: in part; {figure} ({LOUD:g} are needed). {MEASURED[scene.kind]}. "
        "Measure it on your data: umed plan --forecast"
    )


def given_up(kind: str, epsilon: float) -> str:
    """What a steward may expect of ``evidence``, in one sentence.

    Args:
        kind: ``"colour"`` or ``"other"``.
        epsilon: bound as a share of the range.
    """
    found = "umed trace found networks that were trained on some hundred such pictures for long"
    if epsilon < AT_CORNER / 255:
        found = f"at {255 * epsilon:.3g}/255 umed trace found little in trials: add --strength strong"
    if kind != "colour":
        found = "how much umed trace finds on grey images was not tried"
    return (
        "protection: given up for evidence. Half of each object carries the code, and networks learn from the other "
        f"half nearly as well as from unprotected images; {found}"
    )


def check_evidence(carriers: Sequence[str] | None, method: str) -> None:
    """Refuse ``evidence`` with a method that draws no secret code for each case; raises ConfigError."""
    if method != LEARNT or not carriers or not all(name[:1].isalpha() and name != "auto" for name in carriers):
        got = f"method {method}" if method != LEARNT else f"carriers {', '.join(carriers or ())}"
        raise ConfigError(f"evidence: expected method {LEARNT} with secret carriers, got {got}. Leave --evidence out.")


def _remedy(scene: Scene, epsilon: float) -> str:
    enough = needed(scene)
    if enough is None:
        return f"; no bound up to {STRONG[scene.kind][-1]}/255 is enough on these images"
    if enough <= epsilon:
        return "; --strength strong places the code where it is louder"
    return "; --strength strong takes a larger bound, at which it would hold in part"


def _placing(scene: Scene, best: tuple[str, Placement] | None, epsilon: float, carriers: Sequence[str] | None) -> str:
    if best is None:
        return (
            f"spectral placement: no band between the grid and the ROI ({scene.extent:.0f} px) may be used at "
            f"{255 * epsilon:.3g}/255, because nature is unknown there or the code would be seen"
        )
    used = "" if carriers is not None else ", which the carriers of this plan do not use"
    return f"spectral placement: {best[0]}{used}: {place_words(best[1])}"


def _figures(scene: Scene) -> dict[str, Any]:
    """For the report: nature in each band, and the best code of both strengths."""
    codes = []
    for strength, epsilon in (("invisible", INVISIBLE), ("strong", _strong(scene, scene.kind)[0])):
        best = best_place(scene, epsilon, strength)
        if best is not None:
            name, place = best
            codes.append(
                {
                    "strength": strength,
                    "carrier": name,
                    "direction": place.direction,
                    "band": place.band,
                    "epsilon": epsilon,
                    "rms": 255 * place.rms,
                    "loudness": place.loudness,
                    "score": place.score,
                    "visibility": place.visibility,
                }
            )
    zones = {name: scene.rms(signs) for name, signs in scene.directions.items()}
    return {
        "cases": len(scene.spectra),
        "roi_px": scene.extent,
        "bands": [band_name(band) for band in range(len(PERIODS))],
        "inside": {name: _plain(inside) for name, (inside, _) in zones.items()},
        "around": {name: _plain(ring) for name, (_, ring) in zones.items()},
        "codes": codes,
    }


def _plain(rms: Any) -> list[float | None]:
    """Of 255, without the corner; JSON has no NaN."""
    return [float(255 * value) if np.isfinite(value) else None for value in rms[: len(PERIODS)]]
