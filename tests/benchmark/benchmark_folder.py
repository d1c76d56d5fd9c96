# SPDX-License-Identifier: Apache-2.0
"""A benchmark's folder as `umed benchmark` leaves it, with made-up figures; also a script that takes DIR."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from umed.benchmark.results.cells import CHOICES, CLEAN, NONE, Cell, Scores, Spec, label

METHODS = {"random": 0.02, "random distribution=gaussian": 0.03, "checkerboard": 0.15, "error_minimizing": 0.35}
METHODS |= {"umed": 0.55, "linear_separable": 0.45, "autoregressive": 0.3, "targeted_adversarial": 0.4}
METHODS |= {"self_ensemble": 0.42, "stable_error_minimizing": 0.5, "voxshield": 0.48, "unseg": 0.44}
VICTIMS = {"unet": 0.0, "dynunet": 0.02, "swin_unetr": -0.05, "unetr frozen encoder": -0.6, "attention_unet": 0.01}
VICTIMS |= {"unet_plus_plus": 0.0, "segresnet": 0.015, "batchnorm_unet": -0.01}
# Share of the loss that comes back, and the cost on clean data.
STEPS: list[tuple[list[tuple[str, dict[str, Any]]], float, float]] = [
    ([], 0.0, 0.0),
    *[([("jpeg", {"quality": q})], 0.8 - q / 130, 0.06 - q / 2000) for q in (10, 30, 50, 75, 90)],
    *[([("blur", {"sigma": s})], 0.2 * s, 0.02 * s) for s in (0.5, 1.0, 2.0)],
    ([("blur", {"sigma": 1.0}), ("augment", {})], 0.35, 0.0),
    ([("augment", {})], 0.15, -0.01),
    *[([("adversarial_training", {"epsilon": e / 255})], 0.3 + e / 20, 0.03 * e) for e in (1, 2, 4, 8)],
    *[([("mix", {"share": s})], 0.6 + s / 2, 0.25 - s / 3) for s in (0.1, 0.2, 0.5)],
    *[([("bit_depth", {"bits": b})], 0.3 - b / 20, 0.02) for b in (3, 5)],
    *[([("low_pass", {"cutoff": c})], 0.5 - c, 0.02) for c in (0.25, 0.5)],
    *[([(name, {})], 0.25, 0.02) for name in ("median", "total_variation", "non_local_means", "percentile", "cutout")],
    *[([(name, {})], 0.1, 0.01) for name in ("mixup", "cutmix", "ueraser", "gamma_contrast", "ddc_at", "d_vae")],
]
SETS = {"hippocampus": (("anterior", "posterior"), 0.84, "mm"), "isic_600": (("lesion",), 0.8, "px")}


def make_cell(
    data: str,
    method: str,
    victim: str,
    steps: list[tuple[str, dict[str, Any]]],
    seed: int,
    dsc: Sequence[float] = (0.8, 0.7),
    *,
    classes: tuple[str, ...] = ("lesion",),
    protected: bool = False,
    **fields: Any,
) -> Cell:
    """A cell whose cases have these DSC, the same at each choice that there is."""
    settings = {
        "inputs": {"sha256": data},
        "protection": None if method == CLEAN else {"method": method, "epsilon": 4 / 255},
        "victim": {"net": victim, "steps": 1000, "learning_rate": 0.002},
        "countermeasures": [{"name": name, "options": options} for name, options in steps],
        "tolerance": 1.0,
    }
    title = " + ".join(label(name, options) for name, options in steps) or NONE
    table = tuple((float(value),) * len(classes) for value in dsc)
    given: dict[str, Any] = {
        "choices": {name: Scores(1000, table) for name in (CHOICES if protected else CHOICES[:2])},
        "environment": {"umed": "0.1.0", "torch": "2.13.0", "hardware": "Example CPU", "commit": "abc1234",
                        "date": f"2026-07-0{seed % 8 + 1} 10:00"},
        "seconds": {"total": 100.0, "train": 88.0, "predict": 8.0, "score": 2.0},
    }  # fmt: skip
    ids = tuple(f"case_{i:03d}" for i in range(len(dsc)))
    return Cell(Spec(data, method, victim, title, seed, settings), classes, ids, **(given | fields))


def make_folder(
    root: Path, *, data: int = 2, methods: int = 5, victims: int = 4, steps: int = 10, seeds: int = 3, cases: int = 12
) -> Path:
    """Write cells, prices, pictures and grid.json."""
    names: list[str] = []
    for name in list(SETS)[:data]:
        for method in [CLEAN, *list(METHODS)[:methods]]:
            for victim in list(VICTIMS)[:victims]:
                for step in STEPS[:steps]:
                    for seed in range(seeds):
                        cell = _made_up(root, name, method, victim, step, seed, cases)
                        cell.write(root / "cells")
                        names.append(cell.spec.file)
            if method != CLEAN:
                _price(root, name, method)
    order = [CLEAN, *list(METHODS)[:methods]]
    content = {"name": "made_up", "notes": "Made-up figures.", "command": "umed benchmark made_up", "methods": order}
    (root / "grid.json").write_text(json.dumps(content | {"cells": names}))
    return root


def _made_up(
    root: Path, name: str, method: str, victim: str, step: tuple[Any, float, float], seed: int, cases: int
) -> Cell:
    steps, back, cost = step
    classes, best, unit = SETS[name]
    rng = np.random.default_rng([seed, *map(ord, name + method + victim + str(steps))])
    drop = METHODS.get(method, 0.0) * (1 - back) * rng.uniform(0.9, 1.1)
    middle = float(np.clip(best + VICTIMS[victim] - cost - drop, 0.02, 0.95))
    hard = np.random.default_rng(list(map(ord, name))).normal(0, 0.06, (cases, 1))
    values = np.clip(middle + hard + rng.normal(0, 0.02, (cases, len(classes))), 0, 1)
    dsc: list[list[float | None]] = values.round(4).tolist()
    if len(classes) > 1:
        dsc[0][1] = None
    hd95 = [[None if v is None or v < 0.15 else round(12 * (1 - v), 2) for v in row] for row in dsc]
    nsd = [[None if v is None else round(min(1.0, v * 1.08), 4) for v in row] for row in dsc]
    shift = {"last": 0.0, "best_clean": 0.015, "best_protected": 0.005}
    choices = {
        choice: Scores(
            1000,
            tuple(tuple(None if v is None else min(1.0, round(v + more, 4)) for v in row) for row in dsc),
            tuple(map(tuple, hd95)),
            tuple(map(tuple, nsd)),
        )
        for choice, more in shift.items()
        if method != CLEAN or choice != "best_protected"
    }
    times = np.arange(1, 11) / 10
    curve = middle * (1 - np.exp(-4 * times)) + rng.normal(0, 0.01, 10)
    seen = np.clip(best * (1 - np.exp(-6 * times)), 0, 1)
    return make_cell(
        name, method, victim, steps, seed, [0.0] * cases, classes=classes,
        choices=choices,
        unit=unit,
        loss=tuple((0.1 + 0.9 * np.exp(-5 * np.arange(50) / 50) + rng.normal(0, 0.01, 50)).round(4).tolist()),
        flat=bool(rng.uniform() < 0.9),
        validation=tuple(
            (int(1000 * t), round(float(max(0, c)), 4), None if method == CLEAN else round(float(s), 4))
            for t, c, s in zip(times, curve, seen, strict=True)
        ),
        pictures=_pictures(root, name, method, victim, seed, middle) if not steps and seed == 0 else "",
        notes=("shortened to 20 epochs",) if victim == "dynunet" else (),
    )  # fmt: skip


def _pictures(root: Path, name: str, method: str, victim: str, seed: int, quality: float) -> str:
    rng = np.random.default_rng(list(map(ord, name)))
    own = np.random.default_rng([seed, *map(ord, method + victim)])
    arrays: dict[str, Any] = {}
    y, x = np.mgrid[:96, :112]
    for number in range(3):
        cy, cx, r = rng.uniform(35, 60), rng.uniform(40, 70), rng.uniform(15, 25)
        bump = 1 + 0.15 * np.sin(5 * np.arctan2(y - cy, x - cx))
        truth = (np.hypot(y - cy, x - cx) < r * bump).astype(np.uint8)
        if name == "hippocampus":
            truth[(truth > 0) & (x > cx)] = 2
        image = 90 + 70 * (truth > 0) + 12 * np.sin(y / 5) + rng.normal(0, 10, truth.shape)
        if name == "isic_600":
            image = image[..., None] * np.array([1.1, 0.85, 0.75])
        moved = np.hypot(y - cy - own.normal(0, 25 * (1 - quality)), x - cx - own.normal(0, 25 * (1 - quality)))
        prediction = (moved < r * quality**0.5 * bump).astype(np.uint8) * np.where(x > cx, truth.max(), 1)
        arrays |= {
            f"image_{number}": np.clip(image, 0, 255).astype(np.uint8),
            f"truth_{number}": truth,
            f"prediction_{number}": prediction.astype(np.uint8),
            f"id_{number}": np.array(f"case_{4 * number:03d}"),
        }
    path = root / "pictures" / f"{name}-{method.replace(' ', '_')}-{victim.replace(' ', '_')}-{seed}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path.relative_to(root).as_posix()


def _price(root: Path, name: str, method: str) -> None:
    rng = np.random.default_rng(list(map(ord, name + method)))
    frequency = np.linspace(0.01, 0.5, 24)
    original = 1e3 * frequency**-2
    difference = 20 * np.exp(-(((frequency - rng.uniform(0.1, 0.45)) / 0.1) ** 2)) * 1e3 + 50
    names = [f"{kind}_{what}" for kind in ("firstorder", "glcm") for what in ("mean", "energy", "entropy", "contrast")]
    measures = {
        "fidelity": {
            "psnr": round(float(rng.uniform(39, 44)), 3),
            "psnr_roi": round(float(rng.uniform(36, 39)), 3),
            "ssim": round(float(rng.uniform(0.97, 0.995)), 5),
            "ms_ssim": 0.9987,
            "delta_e_roi": 0.412,
            "delta_e_roi_99": 1.31,
            "largest_step": 4.0,
            "voxels_changed": 0.213,
            "roi_share": 0.214,
        },
        "clean_model": {"original": 0.841, "protected": 0.836, "difference": -0.005},
        "features": {n: {"drift": float(rng.normal(0, 0.05)), "ccc": float(rng.uniform(0.8, 1))} for n in names},
        "spectrum": {
            "frequency": frequency.tolist(),
            "original": original.tolist(),
            "protected": (original + difference).tolist(),
            "difference": difference.tolist(),
        },
        "detectability": {"auc": float(rng.uniform(0.6, 1)), "notes": "logistic regression"},
        "leakage": {"auc": float(rng.uniform(0.6, 1)), "dice": None},
    }
    path = root / "price" / f"{name}__{method.replace(' ', '_')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": name, "method": method, "measures": measures}))


if __name__ == "__main__":
    size = dict(zip(("data", "methods", "victims", "steps", "seeds", "cases"), map(int, sys.argv[2:]), strict=False))
    make_folder(Path(sys.argv[1]), **size)
