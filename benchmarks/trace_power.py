# SPDX-License-Identifier: Apache-2.0
"""A row of the table of docs/trace.md: how surely `umed trace` finds a network that was trained on a release.

    python benchmarks/trace_power.py OUT --data isic_600 --cases 400 --size 96 --strength strong
    python benchmarks/trace_power.py OUT --data isic_600 --cases 400 --size 96 --strength strong --treatment blur

The release holds carriers alone (`training.iterations=0`). A treatment is what the thief does before he trains, and
what his pipeline then does to the queries as well: a 1 px blur, JPEG 75, half resolution; `mixed` puts the originals of
20 % of the cases in their place.
OUT keeps release, queries and figures: run it again with another victim, seed or treatment, and the release is reused.
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
from suspects import make_pictures, part_of, recipe_of, train_suspect
from tables import markdown, provenance

import umed
from umed.benchmark.grid.case_split import labelled_ids
from umed.benchmark.victims.case_tensors import load_samples
from umed.cases.records import private_of
from umed.protect.commitment import ALPHA
from umed.trace.challenge import challenge
from umed.trace.judge import judge

TREATMENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "none": [],
    "blur": [("blur", {"sigma": 1.0})],
    "jpeg": [("jpeg", {"quality": 75})],
    "half": [("half", {})],
    "mixed": [("mix", {"share": 0.2})],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the release and the figures")
    parser.add_argument("--data", type=Path, help="data set with masks (default: made pictures)")
    parser.add_argument("--cases", type=int, default=400, help="cases of the release; the others judge the network")
    parser.add_argument("--size", type=int, help="side in pixels, for pictures (default: as they are)")
    parser.add_argument("--victim", default="nnunet_like", help="of umed benchmark")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, help="channels of its first level")
    parser.add_argument("--seed", type=int, default=0, help="of its training")
    parser.add_argument("--strength", default="invisible", choices=("invisible", "strong"))
    parser.add_argument("--epsilon", help="another bound, such as 6/255")
    parser.add_argument("--carriers", nargs="+", help="other ones than the plan's")
    parser.add_argument("--outside", type=float, help="amplitude around the objects, from 0 on")
    parser.add_argument("--radius", type=float, help="of the band around the contour, in pixels")
    parser.add_argument("--evidence", action="store_true", help="half of each object carries the code")
    parser.add_argument("--resize", type=int, help="longest side in pixels that the thief trains at")
    parser.add_argument("--twins", type=int, default=8, help="draws that each published copy is compared with")
    parser.add_argument("--treatment", default="none", choices=TREATMENTS)
    parser.add_argument("--flips", type=int, default=4, choices=(1, 2, 4))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begin = time.process_time()
    data = args.data or args.out / "made"
    if not data.exists():
        make_pictures(data, 2 * args.cases, args.size or 64)
    order = np.random.default_rng(0).permutation(labelled_ids(data))
    if len(order) <= args.cases:
        parser.error(f"{data}: expected more than {args.cases} labelled cases, got {len(order)}. Lower --cases.")
    originals = part_of(data, args.out / "originals", sorted(order[: args.cases]), args.size)
    unseen = part_of(data, args.out / "unseen", sorted(order[args.cases :]), args.size)
    settings: dict[str, Any] = {"strength": args.strength, "training": {"iterations": 0}}
    if args.epsilon:
        settings["epsilon"] = args.epsilon
    if args.evidence:
        settings["evidence"] = True
    name = f"release-{args.cases}-{args.size}-{(args.epsilon or args.strength).replace('/', 'of')}"
    given = {key: getattr(args, key) for key in ("carriers", "outside")}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    settings |= {"method_options": options} if options else {}
    if args.radius is not None:
        settings["radius"] = args.radius
        name += f"-{args.radius:g}px"
    name += "-evidence" if args.evidence else ""
    name += "".join(f"-{one}" for value in options.values() for one in (value if isinstance(value, list) else [value]))
    release, queries = args.out / name, args.out / f"{name}-queries{args.flips}x{args.twins}"
    if not release.exists():
        umed.protect(originals, release, report=False, check=False, **settings)
    if not queries.exists():
        challenge(originals, queries, private=private_of(release), output=release, flips=args.flips, twins=args.twins)
    changes: dict[str, Any] = {"steps": args.steps, "batch": args.batch}
    changes |= {name: getattr(args, name) for name in ("width", "resize") if getattr(args, name) is not None}
    recipe, clean = recipe_of(args.victim, originals, changes), load_samples(originals)
    suspect = train_suspect(release, recipe, args.seed, TREATMENTS[args.treatment], clean)
    dsc = suspect.dsc(load_samples(unseen, values=clean.values))
    answers = args.out / f"answers-{time.time_ns()}"
    suspect.answer(queries, answers)
    said = judge(queries, answers, private=private_of(release), output=release).releases[0]
    shutil.rmtree(answers)
    plan = json.loads((private_of(release) / "plan.json").read_text())
    figures = {"victim": args.victim, "seed": args.seed, "steps": args.steps, "treatment": args.treatment,
               "epsilon": plan["epsilon"], "carriers": plan["method_options"].get("carriers"), "cases": said.cases,
               "won": said.result.won, "counted": said.result.cases, "copies": said.result.copies, "p": said.result.p,
               "evidence": args.evidence, "resize": args.resize, "flips": args.flips, "dsc": dsc}  # fmt: skip
    with (args.out / "power.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")
    half = ", half" if args.evidence else ""
    bound = f"{255 * plan['epsilon']:g}/255, {', '.join(map(str, figures['carriers'] or ()))}{half}"
    row = [f"`{args.victim}`, seed {args.seed}, treatment {args.treatment}", str(args.steps), bound,
           f"{said.result.won} of {said.result.cases}", f"{said.result.p:.2g}", f"{100 * dsc:.1f}"]  # fmt: skip
    print(markdown(["network", "steps", "bound, carriers", "won", "p", "DSC on clean unseen cases"], [row]))
    print(f"evidence: {'yes' if said.result.p <= ALPHA else 'no'}; {time.process_time() - begin:.0f} CPU s, "
          f"{torch.get_num_threads()} threads; {provenance()}")  # fmt: skip


if __name__ == "__main__":
    main()
