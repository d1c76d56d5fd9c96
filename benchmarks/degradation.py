# SPDX-License-Identifier: Apache-2.0
"""The main table: what a protection leaves of a fresh victim's DSC, and what the thief's countermeasures give back.

Test cases are never protected. Every cell is resumable, and ``--shard 0/2`` and
``--shard 1/2`` share the work of one ``--out``:

    python benchmarks/degradation.py --data hippocampus=Task04_Hippocampus isic=isic_600 --out results --threads 1
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from umed.benchmark.data import resized_pictures
from umed.benchmark.quick import QUICK_METHODS, dimensions
from umed.benchmark.study import CLEAN, CellResult, Study, default_recipe, pick_device
from umed.benchmark.table import provenance, results_table
from umed.config import make_settings, parse_number
from umed.progress import progress_bar
from umed.registry import COUNTERMEASURES, METHODS, VICTIMS


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, metavar="NAME=FOLDER", help="data sets")
    parser.add_argument("--methods", nargs="+", default=list(QUICK_METHODS), choices=[CLEAN, *METHODS])
    parser.add_argument("--resize", nargs="*", default=[], metavar="NAME=SIZE", help="shrink a set of pictures first")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds of the victims")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--victims", nargs="+", default=["unet"], choices=list(VICTIMS))
    parser.add_argument("--width", type=int, help="width of the victim")
    parser.add_argument("--steps", type=int, help="optimiser steps; default by dimension")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--bfloat16", action="store_true", default=None, help="mixed precision on the CPU")
    parser.add_argument("--patch", type=int, nargs="+", help="training crop; smaller images are padded")
    parser.add_argument("--countermeasures", nargs="*", default=[], choices=list(COUNTERMEASURES), help="besides none")
    parser.add_argument("--countermeasure-methods", nargs="+", default=[CLEAN, "umed"], help="what they are tried on")
    parser.add_argument("--countermeasure-seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--recipe", default="default", help="umed recipe: name or file")
    parser.add_argument("--epsilon", default=None, help="for example 4/255")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--shard", default="0/1", help="this process's part of the cells, I/N")
    parser.add_argument("--out", type=Path, required=True, help="folder for protected copies, cells and table.md")
    return parser.parse_args()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time in, so that two shards do not protect the same cases twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: run one shard only
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_studies(args: argparse.Namespace) -> list[Study]:
    """One study for each data set and victim."""
    settings = make_settings(args.recipe, {} if args.epsilon is None else {"epsilon": parse_number(args.epsilon)})
    sizes = {name: int(size) for name, _, size in (entry.partition("=") for entry in args.resize)}
    studies = []
    for entry in args.data:
        name, _, folder = entry.rpartition("=")
        root = Path(folder)
        if name in sizes:
            with alone(args.out / f"{name}.lock"):
                root = resized_pictures(root, sizes[name], args.out / f"{name}_{sizes[name]}")
        recipe = default_recipe(
            dimensions(root),
            width=args.width,
            steps=args.steps,
            batch=args.batch,
            bfloat16=args.bfloat16,
            learning_rate=args.learning_rate,
            patch=args.patch and tuple(args.patch),
        )
        for victim in args.victims:
            studies.append(
                Study(
                    name or root.name,
                    root,
                    args.out,
                    settings=settings,
                    recipe=replace(recipe, net=victim),
                    split_seed=args.split_seed,
                    device=pick_device(args.device),
                )
            )
    return studies


def list_cells(args: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Method, countermeasure and seed of every cell of one data set."""
    cells = [(method, "none", seed) for method in args.methods for seed in args.seeds]
    return cells + [
        (method, countermeasure, seed)
        for countermeasure in args.countermeasures
        if countermeasure != "none"
        for method in args.countermeasure_methods
        for seed in args.countermeasure_seeds
    ]


def main() -> None:
    """Run what is missing, then print the table of all that is there."""
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    part, parts = (int(number) for number in args.shard.split("/"))
    todo = [(study, *cell) for study in make_studies(args) for cell in list_cells(args)]
    with progress_bar(quiet=False) as progress:
        for study, method, countermeasure, seed in todo[part::parts]:
            if method != CLEAN:
                with alone(study.out / f"{method}.lock"):
                    study.protected(method, progress)
            cell = study.run(method, countermeasure, seed, progress)
            scores = " ".join(f"{100 * score:.1f}" for score in cell.last)
            name = f"{study.name} {study.recipe.net} {method} {countermeasure} seed {seed}"
            print(f"{name}: DSC {scores}, {cell.seconds:.0f} s", flush=True)
    found: list[CellResult] = []
    fidelity = {}
    for study, method, countermeasure, seed in todo:
        if study.cell_path(method, countermeasure, seed).is_file():
            found.append(study.run(method, countermeasure, seed))
            fidelity[study.name, method] = study.fidelity(method)
    text = "\n\n".join([results_table(found, fidelity), describe(args), provenance()])
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\n{len(found)} of {len(todo)} cells")


def describe(args: argparse.Namespace) -> str:
    """Say what the numbers mean."""
    lines = ["DSC in percent, mean over classes and clean test cases, ± standard deviation over the victim's seeds."]
    for study in make_studies(args):
        parts = ", ".join(
            f"{len(ids)} {name}"
            for name, ids in (
                ("training", study.split.train),
                ("clean validation", study.split.validation),
                ("clean test", study.split.test),
            )
        )
        lines.append(f"{study.name}: {parts} cases (split seed {args.split_seed}); victim {study.recipe}")
    epsilon = make_studies(args)[0].settings.epsilon
    lines.append(f"protection: epsilon {epsilon * 255:.3g}/255, recipe {args.recipe}; victim seeds {args.seeds}")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
