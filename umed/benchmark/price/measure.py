# SPDX-License-Identifier: Apache-2.0
"""Everything that is measured about a protection but whether it protects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from umed.benchmark.price.detector import detectability
from umed.benchmark.price.features import drift
from umed.benchmark.price.fidelity import fidelity
from umed.benchmark.price.leakage import leakage
from umed.benchmark.price.pairs import read_pairs
from umed.benchmark.price.spectrum import spectra
from umed.benchmark.victims.case_tensors import load_samples
from umed.benchmark.victims.scoring import dsc_table, mean_dsc
from umed.core.errors import InputError
from umed.core.mask_rules import MaskRules
from umed.core.progress import counted
from umed.core.types import Progress

WITHIN = 0.01
"""DSC that an authorised, clean-trained model may lose on protected images: one point."""


@dataclass(frozen=True)
class Price:
    """What a protection costs.

    Args:
        cases: how many cases were looked at.
        fidelity: see :func:`umed.benchmark.price.fidelity.fidelity`.
        clean_model: DSC in [0, 1] of a clean-trained victim on ``original`` and on ``protected`` images that it did not
            train on, the ``difference``, whether it is ``within`` one point, and how many ``cases``; all ``None``
            without such a victim.
        features: see :func:`umed.benchmark.price.features.drift`.
        spectrum: see :func:`umed.benchmark.price.spectrum.spectra`.
        detectability: see :func:`umed.benchmark.price.detector.detectability`.
        leakage: see :func:`umed.benchmark.price.leakage.leakage`.
    """

    cases: int
    fidelity: dict[str, Any] = field(default_factory=dict)
    clean_model: dict[str, Any] = field(default_factory=dict)
    features: dict[str, dict[str, float | None]] = field(default_factory=dict)
    spectrum: dict[str, list[float]] = field(default_factory=dict)
    detectability: dict[str, Any] = field(default_factory=dict)
    leakage: dict[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure_price(
    original: Path,
    protected: Path,
    ids: Sequence[str],
    *,
    unseen: Sequence[str] = (),
    predict: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    limit: int = 48,
    rules: MaskRules | None = None,
    values: tuple[int, ...] | None = None,
    progress: Progress | None = None,
) -> Price:
    """Measure what a protection costs people and authorised users.

    Args:
        original: folder of the originals.
        protected: folder that ``umed protect`` wrote.
        ids: published cases; at most ``limit`` of them are looked at, evenly spaced.
        unseen: those that the clean-trained victim did not train on; it is judged on them alone, on all if empty.
        predict: a clean-trained victim: of an image ``(C, *spatial)`` float32 in physical units, the class of each
            voxel; ``None`` leaves its figures out.
        seed: of halves and bootstraps.
        limit: how many cases at most.
        rules: how masks are read, ``None`` for what the data set itself says.
        values: of the classes that the victim knows, in the order of their numbers; ``None`` for those of these cases.
        progress: called with a stage, the parts done and the parts in all.

    Returns:
        The price.

    Raises:
        InputError: when there is no case, or one cannot be read.
    """
    if not ids:
        raise InputError(f"{protected}: expected at least one published case, got none.")
    names = sorted(ids)
    chosen = [names[k] for k in np.unique(np.linspace(0, len(names) - 1, min(limit, len(names))).astype(int))]
    pairs = read_pairs(original, protected, chosen)
    parts: dict[str, Callable[[], Any]] = {
        "fidelity": lambda: fidelity(pairs),
        "clean_model": lambda: _clean_model(original, protected, list(unseen) or chosen, predict, rules, values),
        "features": lambda: drift(pairs),
        "spectrum": lambda: spectra(pairs),
        "detectability": lambda: detectability(pairs, seed),
        "leakage": lambda: leakage(pairs, seed),
    }
    found: dict[str, Any] = {}
    for name, part in counted(parts.items(), "price", progress):
        found[name] = part()
    return Price(cases=len(pairs), **found)


def _clean_model(
    original: Path,
    protected: Path,
    ids: Sequence[str],
    predict: Callable[[Tensor], Tensor] | None,
    rules: MaskRules | None,
    values: tuple[int, ...] | None,
) -> dict[str, Any]:
    """DSC of a clean-trained victim on both forms of the same cases."""
    if predict is None:
        return dict.fromkeys(("original", "protected", "difference", "within", "cases"))
    scores = []
    clean = load_samples(original, ids, rules=rules, values=values)
    for samples in (clean, load_samples(protected, ids, rules=rules, values=clean.values)):
        answers = [predict(image) for image in samples.images]
        scores.append(mean_dsc(dsc_table(answers, clean.labels, clean.classes)) or 0.0)
    return {
        "original": round(scores[0], 4),
        "protected": round(scores[1], 4),
        "difference": round(scores[1] - scores[0], 4),
        "within": scores[1] >= scores[0] - WITHIN,
        "cases": len(ids),
    }
