# SPDX-License-Identifier: Apache-2.0
"""Whether two checkouts of umed write the same bytes: the same input, settings, seed and key, through the command line.

    python benchmarks/same_bytes.py OLD NEW --hippocampus FOLDER --isic FOLDER --series FOLDER --out WORK

OLD and NEW are checkouts. Every run is done by both, one after the other, each in processes of its own. All files are
compared but the pages in umed/ (.html); of JSON files there, which hold no time and no path, the keys that differ are
named. The exit code is 1 when anything differs.

Data: a folder in Decathlon layout, one with images/ and masks/, and a folder of DICOM series with SEG. What is left out
is not compared. Settings are short on purpose: the bytes of a release hang on the code, not on how long it trains.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

LEARNT = ("--set", "training.iterations=2", "--set", "training.batch_size=1", "--set", "training.surrogate_steps=1")
METHODS = {
    "umed": ("--method", "umed", *LEARNT),
    "checkerboard": ("--method", "checkerboard"),
    "random": ("--method", "random"),
    "linear_separable": ("--method", "linear_separable"),
    "autoregressive": ("--method", "autoregressive"),
    "error_minimizing": ("--method", "error_minimizing", *LEARNT, "--set", "method_options={steps: 2, inner_steps: 1}"),
}
CASES = 12


@dataclass
class Comparison:
    """What came of one run in both checkouts.

    Args:
        name: data set and method.
        codes: exit codes, old and new.
        seconds: wall time, old and new.
        files: how many files were compared byte by byte.
        differences: what differs, in words.
    """

    name: str
    codes: tuple[int, int]
    seconds: tuple[float, float]
    files: int = 0
    differences: list[str] = field(default_factory=list)


PLACES = {"out-private/targets.json"}
"""Files that know where their run wrote."""


def make_inputs(args: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Copy the first cases of each data set, so that both checkouts read the same small inputs."""
    made = {}
    if args.hippocampus:
        made["hippocampus"] = first_volumes(args.hippocampus, folder / "hippocampus", args.cases)
        made["two channels"] = two_channels(made["hippocampus"], folder / "two_channels")
    if args.isic:
        made["isic"] = first_pictures(args.isic, folder / "isic", args.cases)
    if args.series:
        made["series"] = Path(shutil.copytree(args.series, folder / "series"))
    return made


def first_volumes(source: Path, target: Path, cases: int) -> Path:
    """The first cases of a data set in Decathlon layout."""
    index = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    index["training"], index["test"] = index["training"][:cases], []
    index["numTraining"], index["numTest"] = len(index["training"]), 0
    for entry in index["training"]:
        for key in ("image", "label"):
            (target / entry[key]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / entry[key], target / entry[key])
    (target / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    return target


def first_pictures(source: Path, target: Path, cases: int) -> Path:
    """The first pictures of a folder with images/ and masks/."""
    masks = {path.stem: path for path in sorted((source / "masks").iterdir())}
    pictures = [path for path in sorted((source / "images").iterdir()) if path.stem in masks][:cases]
    for name in ("images", "masks"):
        (target / name).mkdir(parents=True)
    for path in pictures:
        shutil.copy(path, target / "images" / path.name)
        shutil.copy(masks[path.stem], target / "masks" / masks[path.stem].name)
    return target


def two_channels(source: Path, target: Path) -> Path:
    """Raw nnU-Net layout: each volume as channel 0000, the square root of it as channel 0001."""
    index = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    for name in ("imagesTr", "labelsTr"):
        (target / name).mkdir(parents=True)
    for entry in index["training"]:
        name = Path(entry["image"]).name.removesuffix(".nii.gz")
        shutil.copy(source / entry["image"], target / "imagesTr" / f"{name}_0000.nii.gz")
        shutil.copy(source / entry["label"], target / "labelsTr" / f"{name}.nii.gz")
        image = nib.load(source / entry["image"])
        values = np.sqrt(np.clip(image.get_fdata(), 0, None)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, image.affine), target / "imagesTr" / f"{name}_0001.nii.gz")
    content = {
        "channel_names": {"0": "MRI", "1": "root"},
        "labels": {"background" if number == "0" else name: int(number) for number, name in index["labels"].items()},
        "numTraining": len(index["training"]),
        "file_ending": ".nii.gz",
    }
    (target / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return target


def list_runs(inputs: dict[str, Path], methods: list[str], key: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and arguments of every run; ``OUT`` stands for its output."""
    for data, folder in inputs.items():
        for method in methods:
            yield (
                f"{data}, {method}",
                ["protect", str(folder), "OUT", "--key-file", str(key), "--seed", "7", *METHODS[method]],
            )
        if data == "series":
            words = ["anonymize", str(folder), "OUT", "--key-file", str(key)]
            yield "series, de-identified", words
            for method in methods:
                yield f"series, de-identified, {method}", [*words, "--protect", "--seed", "7", *METHODS[method]]


def umed(checkout: Path, words: list[str], log: Path) -> tuple[int, float]:
    """Run the command line of a checkout; returns exit code and seconds, all that it says goes into the log."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    begin = time.perf_counter()
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "umed", *words],
            env=environment,
            cwd=log.parent,
            stdout=file,
            stderr=file,
            check=False,
        )
    return done.returncode, time.perf_counter() - begin


def check_checkout(checkout: Path) -> None:
    """Stop unless a process with this path imports the umed of this checkout."""
    where = subprocess.run(
        [sys.executable, "-c", "import umed; print(umed.__file__)"],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not where or not Path(where).is_relative_to(checkout):
        sys.exit(f"{checkout}: expected a checkout of umed, but Python imports {where or 'none'}.")


def compare(old: Path, new: Path) -> tuple[int, list[str]]:
    """Number of files compared byte by byte, and what differs between two outputs."""
    files = [
        {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} - PLACES
        for root in (old, new)
    ]
    differences = [f"{name}: only in the old one" for name in sorted(files[0] - files[1])]
    differences += [f"{name}: only in the new one" for name in sorted(files[1] - files[0])]
    count = 0
    for name in sorted(files[0] & files[1]):
        first, second = (root / name for root in (old, new))
        inside = "umed" in name.split("/")[:-1]
        if inside and name.endswith(".json"):
            pair = (json.loads(path.read_text(encoding="utf-8")) for path in (first, second))
            differences += [f"{name}: {place}" for place in differing(*pair)]
        elif not (inside and name.endswith(".html")):
            count += 1
            if first.read_bytes() != second.read_bytes():
                differences.append(f"{name}: other bytes")
    return count, differences


def differing(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Dotted places in which two JSON values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differing(old.get(key), new.get(key), f"{place}.{key}" if place else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differing(*pair, f"{place}[{number}]")
    elif old != new:
        yield f"{place}: {json.dumps(old):.80} became {json.dumps(new):.80}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="checkout")
    parser.add_argument("new", type=Path, help="checkout")
    parser.add_argument("--hippocampus", type=Path, help="data set in Decathlon layout")
    parser.add_argument("--isic", type=Path, help="data set of images/ and masks/")
    parser.add_argument("--series", type=Path, help="folder of DICOM series with SEG")
    parser.add_argument("--methods", nargs="+", default=["umed", "checkerboard"], choices=list(METHODS))
    parser.add_argument("--cases", type=int, default=CASES, help="of hippocampus and ISIC")
    parser.add_argument("--out", type=Path, required=True, help="new folder for inputs and outputs")
    args = parser.parse_args()
    checkouts = {"old": args.old.resolve(), "new": args.new.resolve()}
    for checkout in checkouts.values():
        check_checkout(checkout)
    work = args.out.resolve()
    work.mkdir(parents=True)
    inputs = make_inputs(args, work / "in")
    umed(checkouts["old"], ["keygen", str(work / "key")], work / "keygen.txt")
    found = []
    for number, (name, words) in enumerate(list_runs(inputs, args.methods, work / "key")):
        outputs = {side: work / side / f"{number:02d}" / "out" for side in checkouts}
        done = {}
        for side, checkout in checkouts.items():
            outputs[side].parent.mkdir(parents=True)
            filled = [str(outputs[side]) if word == "OUT" else word for word in words]
            done[side] = umed(checkout, [*filled, "--quiet"], outputs[side].parent.parent / f"{number:02d}.txt")
        (old_code, old_time), (new_code, new_time) = done["old"], done["new"]
        result = Comparison(name, (old_code, new_code), (old_time, new_time))
        result.files, result.differences = compare(outputs["old"].parent, outputs["new"].parent)
        if old_code != new_code:
            result.differences.append(f"exit code {old_code} became {new_code}")
        if not result.files:
            result.differences.append("nothing was written")
        print(f"{name}: {'same' if not result.differences else 'DIFFERENT'}", flush=True)
        found.append(result)
    print(f"\n{table(found)}\n")
    for result in found:
        for line in result.differences[:20]:
            print(f"{result.name}: {line}")
    sys.exit(any(result.differences for result in found))


def table(found: list[Comparison]) -> str:
    """The results in Markdown."""
    lines = ["| run | files compared | exit codes | seconds | |", "|---|---|---|---|---|"]
    for result in found:
        verdict = f"{len(result.differences)} differences" if result.differences else "same bytes"
        codes, seconds = (" / ".join(f"{number:.0f}" for number in pair) for pair in (result.codes, result.seconds))
        lines.append(f"| {result.name} | {result.files} | {codes} | {seconds} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
