# SPDX-License-Identifier: Apache-2.0
"""What a thief gains who tries to take a protection off: ROI PSNR against the originals before and after, in dB.

    python benchmarks/strip.py ORIGINALS RELEASE
    python benchmarks/strip.py ORIGINALS RELEASE --second OTHER_RELEASE --attacks two_releases matched --json gains.json

The attacks are those of the benchmark's countermeasure `strip`; `regenerate` trains generators on the release, and
where the release is of umed 0.1 and holds its generators, `released_generators` uses those. `two_releases` averages two
releases of the same data under two keys. A gain above 0 brings the thief nearer to the originals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umed.benchmark.countermeasures.strip import ATTACKS, Strip
from umed.benchmark.grid.case_split import labelled_ids
from umed.benchmark.victims.case_tensors import Samples, load_samples
from umed.core.config import parse_number
from umed.plan.regions import make_regions

RELEASED, TWO = "released_generators", "two_releases"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path)
    parser.add_argument("release", type=Path)
    parser.add_argument("--second", type=Path, help="the same data released under another key")
    parser.add_argument(
        "--generators", type=Path, help="trained generators; those that an old release holds if left out"
    )
    parser.add_argument("--attacks", nargs="+", choices=[*ATTACKS, RELEASED, TWO])
    parser.add_argument(
        "--carriers", nargs="+", default=[], help="families of codes that the thief knows, such as wave6c"
    )
    parser.add_argument("--cases", type=int, help="only the first N cases of the release")
    parser.add_argument("--epsilon", default="4/255", help="bound of the release, which it tells")
    parser.add_argument("--radius", type=float, default=3.0, help="half width of the contour band in pixels")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    epsilon = float(parse_number(args.epsilon, "--epsilon"))
    generators = args.generators or args.release / "umed" / "generators"
    attacks = args.attacks or [*ATTACKS, *([RELEASED] if generators.is_dir() else []), *([TWO] if args.second else [])]
    if RELEASED in attacks and not generators.exists():
        parser.error(
            f"{generators}: expected trained generators, found none. Give --generators or leave {RELEASED} out."
        )
    if TWO in attacks and args.second is None:
        parser.error(f"{TWO}: expected a second release, found none. Give --second.")
    ids = labelled_ids(args.release)[: args.cases]
    clean = load_samples(args.originals, ids)
    release = replace(load_samples(args.release, ids), scales=clean.scales)
    judge = Judge(clean, release, args.radius)
    print(f"{len(judge.rows)} cases, bound {args.epsilon} of the range, ROI PSNR of the release "
          f"{np.mean(judge.release['roi']):.2f} dB (contour {np.mean(judge.release['contour']):.2f})")  # fmt: skip
    print(f"{'attack':20} {'ROI dB':>8} {'gain':>7} {'least':>7} {'most':>7} {'contour':>8} {'gain':>7} {'seconds':>8}")
    figures = {}
    for attack in attacks:
        begin = time.perf_counter()
        if attack == TWO:
            images: Sequence[Tensor] = averaged(release, args.second, ids)
        else:
            given = str(generators) if attack == RELEASED else None
            name = "regenerate" if attack == RELEASED else attack
            tried = Strip(attack=name, epsilon=epsilon, radius=args.radius, generators=given, carriers=args.carriers)
            images = tried.select(release, release, 0).images
        figures[attack] = judge(images) | {"seconds": round(time.perf_counter() - begin, 1)}
        one = figures[attack]
        print(f"{attack:20} {one['roi']:8.2f} {one['roi_gain']:+7.2f} {one['roi_least']:+7.2f} {one['roi_most']:+7.2f} "
              f"{one['contour']:8.2f} {one['contour_gain']:+7.2f} {one['seconds']:8.1f}", flush=True)  # fmt: skip
    if args.json:
        content = {"cases": len(judge.rows), "epsilon": args.epsilon, "release": judge.means, "attacks": figures}
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def averaged(release: Samples, second: Path, ids: Sequence[str]) -> list[Tensor]:
    """Mean of two releases of the same data."""
    other = load_samples(second, ids)
    return [(a + b) / 2 for a, b in zip(release.images, other.images, strict=True)]


class Judge:
    """PSNR against the originals, in the ROI with its contour band and in the band alone, of changed cases.

    Args:
        clean: the originals.
        release: what was published.
        radius: half width of the band in pixels.
    """

    def __init__(self, clean: Samples, release: Samples, radius: float) -> None:
        self.clean = clean
        self.parts: list[dict[str, Callable[[Tensor], Tensor]]] = []
        self.rows: list[int] = []
        for row, label in enumerate(clean.labels):
            regions = make_regions(label.numpy(), radius=radius)
            if regions.empty or torch.equal(clean.images[row], release.images[row]):
                continue
            self.rows.append(row)
            self.parts.append(
                {"roi": _picker(regions.box, regions.roi), "contour": _picker(regions.box, regions.contour)}
            )
        self.release = self._psnr(release.images)

    @property
    def means(self) -> dict[str, float]:
        """Mean PSNR of the release by region."""
        return {name: round(float(np.mean(values)), 3) for name, values in self.release.items()}

    def _psnr(self, images: Sequence[Tensor]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {"roi": [], "contour": []}
        for row, parts in zip(self.rows, self.parts, strict=True):
            for name, pick in parts.items():
                error = (pick(images[row]).double() - pick(self.clean.images[row]).double()).square().mean()
                found[name].append(10 * float(torch.log10(self.clean.scales[row] ** 2 / error.clamp(min=1e-20))))
        return found

    def __call__(self, images: Sequence[Tensor]) -> dict[str, float]:
        """Mean PSNR, and mean, least and most gain in dB over the release, by region."""
        done: dict[str, float] = {}
        for name, values in self._psnr(images).items():
            gains = np.array(values) - self.release[name]
            done |= {name: float(np.mean(values)), f"{name}_gain": float(gains.mean())}
            done |= {f"{name}_least": float(gains.min()), f"{name}_most": float(gains.max())}
        return {name: round(value, 3) for name, value in done.items()}


def _picker(box: tuple[slice, ...], mask: np.ndarray) -> Callable[[Tensor], Tensor]:
    chosen = torch.from_numpy(mask)
    return lambda image: image[(slice(None), *box)][:, chosen]


if __name__ == "__main__":
    main()
