# SPDX-License-Identifier: Apache-2.0
"""Whether `umed trace` accuses networks that never saw the release: small U-Nets, trained and asked one after another.

    python benchmarks/innocents.py OUT --data shared/isic_600 --cases 300
    python benchmarks/innocents.py OUT                                       # on made pictures

A release is made of some cases. Three kinds of networks never saw it: those trained on other pictures, those trained on
the unprotected originals of the very cases that are asked about, and those trained on another release of these cases
under another key. Beside them stand some that were trained on the release. OUT/innocents.json holds every figure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest
from suspects import make_pictures, part_of, recipe_of, train_suspect
from tables import markdown, provenance

import umed
from umed.benchmark.grid.case_split import labelled_ids
from umed.benchmark.victims.case_tensors import load_samples
from umed.protect.commitment import ALPHA
from umed.trace.challenge import challenge
from umed.trace.judge import judge

KINDS = {
    "other": "innocent: other pictures",
    "originals": "innocent: the originals of the same cases",
    "sibling": "innocent: another release of the same cases",
    "release": "trained on the release",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    parser.add_argument("--data", type=Path, help="pictures with masks (default: made ones)")
    parser.add_argument("--cases", type=int, default=300, help="cases of the release; as many others train innocents")
    parser.add_argument("--size", type=int, default=48, help="side in pixels")
    parser.add_argument("--flips", type=int, default=4, choices=(1, 2, 4), help="times that each copy is asked about")
    parser.add_argument("--steps", type=int, default=400, help="of each training")
    parser.add_argument("--networks", type=int, nargs=4, default=(8, 6, 6, 2), metavar="N", help=", ".join(KINDS))
    parser.add_argument("--evidence", action="store_true", help="half of each object carries the code")
    parser.add_argument("--strength", default="strong", choices=("invisible", "strong"))
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    torch.set_num_threads(1)
    begin = time.process_time()
    data = args.data or make_pictures(args.out / "made", 2 * args.cases, args.size)
    order = np.random.default_rng(0).permutation(labelled_ids(data))
    if len(order) < 2 * args.cases:
        parser.error(f"{data}: expected {2 * args.cases} labelled cases, got {len(order)}. Lower --cases.")
    folders = {
        "originals": part_of(data, args.out / "originals", sorted(order[: args.cases]), args.size),
        "other": part_of(data, args.out / "other", sorted(order[args.cases : 2 * args.cases]), args.size),
        "release": args.out / "release",
        "sibling": args.out / "sibling",
    }
    for name in ("release", "sibling"):
        settings: dict[str, Any] = {
            "strength": args.strength,
            "evidence": args.evidence,
            "training": {"iterations": 0},
        }
        umed.protect(folders["originals"], folders[name], report=False, check=False, **settings)
    private, queries = args.out / "release-private", args.out / "queries"
    challenge(folders["originals"], queries, private=private, output=folders["release"], flips=args.flips)
    clean = load_samples(folders["other"])
    recipe = recipe_of("unet", folders["originals"], {"steps": args.steps, "batch": 4})
    found = []
    for seed, kind in enumerate(kind for kind, count in zip(KINDS, args.networks, strict=True) for _ in range(count)):
        suspect = train_suspect(folders[kind], recipe, seed, values=clean.values)
        answers = args.out / "answers"
        suspect.answer(queries, answers)
        said = judge(queries, answers, private=private, output=folders["release"]).releases[0].result
        shutil.rmtree(answers)
        found.append({"kind": kind, "seed": seed, "p": said.p, "won": said.won, "cases": said.cases,
                      "dsc": suspect.dsc(clean)})  # fmt: skip
        print(f"{kind:10} seed {seed:2}  won {said.won} of {said.cases}  p {said.p:.3g}  "
              f"DSC on other pictures {found[-1]['dsc']:.3f}", flush=True)  # fmt: skip
    (args.out / "innocents.json").write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    innocent = [float(one["p"]) for one in found if one["kind"] != "release"]
    if innocent:
        even = kstest(innocent, "uniform").pvalue
        print(f"\n{len(innocent)} innocents: {sum(p <= ALPHA for p in innocent)} at or below {ALPHA:g}, smallest "
              f"{min(innocent):.3g}; against even p-values Kolmogorov-Smirnov {even:.2g}")  # fmt: skip
    print(f"{time.process_time() - begin:.0f} CPU s; {provenance()}")


def table(found: list[dict[str, Any]]) -> str:
    """A row for each kind of network."""
    rows = []
    for kind, name in KINDS.items():
        p = [float(one["p"]) for one in found if one["kind"] == kind]
        if p:
            dsc = float(np.mean([one["dsc"] for one in found if one["kind"] == kind]))
            counts = [str(sum(one <= level for one in p)) for level in (0.05, ALPHA)]
            rows.append([name, str(len(p)), f"{100 * dsc:.1f}", f"{min(p):.2g}", *counts])
    return markdown(["network", "number", "DSC on other pictures", "smallest p", "p <= 0.05", f"p <= {ALPHA:g}"], rows)


if __name__ == "__main__":
    main()
