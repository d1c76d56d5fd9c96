# SPDX-License-Identifier: Apache-2.0
"""What dciodvfy and dcmtk complain about in outputs, and did not in the originals.

    apt-get install dicom3tools dcmtk
    python benchmarks/dicom_validators.py ZOO --series SERIES [--own] [--list]

``ZOO`` holds single files, each run on its own; ``SERIES`` holds folders, each run as a whole; ``--own`` adds pydicom's
own test files. With --protect every image of the zoo gets a rectangle as its mask. Every output of ``umed anonymize``
is put beside its original: complaints of dciodvfy (errors and warnings), of dcmdump and of dcmtk's renderer, without
values and numbers. Those that are new are printed, by kind. What a program could not read in the original is no measure
for it: such files are compared by the other programs alone ("in part only"). The exit code is 1 when there is a new
complaint that :data:`INHERENT` does not explain.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
from dicom_outcomes import draw_masks
from tables import markdown

from umed import __version__
from umed.core.errors import UmedError
from umed.deid.keys import DeidKey
from umed.deid.table import edition
from umed.release.anonymize import anonymize

PROGRAMS = ("dciodvfy", "dcmdump", "dcmj2pnm")
QUIET: dict[str, Any] = {"accept_burned_in": True, "report": False, "check": False}
TASKS: dict[str, dict[str, Any]] = {
    "basic": {},
    "clean_descriptors": {"profile": "clean_descriptors"},
    "longitudinal": {"profile": "longitudinal"},
    "research": {"profile": "research"},
    "with --protect": {"protect": True, "method": "checkerboard"},
}
INHERENT: dict[str, str] = {
    r"Study(Date|Time|ID)\(.*needed to build DICOMDIR": "Table E.1-1 has Z: they are empty, as type 2 allows",
    "Retired Person Name form": "pseudonyms and REMOVED are names of one part, without a caret",
    "dciodvfy: killed by signal 6": "an assertion of dciodvfy on uncompressed pixels of 32 bits, in originals too",
    "processing MR image ": "the class stood in the file meta information only, and now in the data set too",
}
"""Patterns of complaints that are new by their nature, and why."""
PROTECTED: dict[str, str] = {
    r"Derivation(CodeSequence|Description)\(.*not present in standard": "says that pixels changed; some objects keep it"
    " in functional groups, where more attributes make a Standard Extended SOP Class",
    r"\(0018,.*present when condition unsatisfied": "ImageType is DERIVED, since pixels changed; how the original was"
    " taken stays",
}
"""The same, of outputs whose pixels changed."""
# Where a program gave up on the original, nobody knows what it would have said of the rest.
GAVE_UP = re.compile(
    r"dciodvfy: .*(read failed|Information Object Not found|Tags out of order|killed by)|dcmdump: [EF]:|dcmj2pnm: [EF]:"
)


def complaints(path: Path) -> Counter[str]:
    """What all programs say of a file, each line without values, numbers and names of files."""
    found: Counter[str] = Counter()
    for program, options in (("dciodvfy", ["-new"]), ("dcmdump", []), ("dcmj2pnm", ["-o", "+Fa"])):
        done = subprocess.run([program, *options, path], capture_output=True, text=True, errors="replace")
        if program == "dcmj2pnm" and "PixelData" not in _read(path):
            continue
        if done.returncode < 0:
            found[f"{program}: killed by signal {-done.returncode}"] += 1
        lines = done.stderr.splitlines()
        found.update(f"{program}: {_kind(line)}" for line in lines if re.match(r"Error|Warning|[EWF]:", line))
    return found


def _kind(line: str) -> str:
    line = re.sub(r"\[\d+\]", "", line)  # items of a sequence
    line = re.sub(r"= ?<[^>]*>|'[^']*'|\"[^\"]*\"", "= #", line)
    line = re.sub(r"/\S*/\S*", lambda found: found[0] if found[0].startswith("</") or "(" in found[0] else "#", line)
    return re.sub(r"(?<![(,\dA-Fa-f])(?<!Type )\b(?:0x)?\d[\d.]*\b(?![,)])", "#", line).strip()


def _why(kind: str, task: str) -> str:
    patterns = {**INHERENT, **(PROTECTED if TASKS[task].get("protect") else {})}
    return next((text for pattern, text in patterns.items() if re.search(pattern, kind)), "")


def _read(path: Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.dcmread(path, force=True)
        except Exception:  # noqa: BLE001 - files of the zoos are broken in every way
            return pydicom.Dataset()


def compare(source: Path, scratch: Path, single: bool) -> dict[str, dict[str, Any]]:
    """For each task: files written, and complaints of outputs that their originals did not have."""
    key = scratch / "project.key"
    DeidKey.create(key)
    secret = DeidKey.load(key)
    paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
    names = {} if single else {secret.uid(str(_read(path).get("SOPInstanceUID", ""))): path for path in paths}
    before: dict[Path, Counter[str]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for task, options in TASKS.items():
        row: dict[str, Any] = {"files": 0, "lost": 0, "new": defaultdict(list)}
        rows[task] = row
        masks: dict[str, Any] = {}
        if options.get("protect") and single:
            masks = {"masks": scratch / "masks"}
            with contextlib.suppress(UmedError):
                draw_masks(source, scratch / "masks")
            if not (scratch / "masks").is_dir():
                continue
        elif options.get("protect") and any(source.rglob("*.nii.gz")):
            masks = {"masks": source}
        out = scratch / f"out-{len(rows)}"
        with contextlib.suppress(UmedError):
            anonymize(source, out, key_file=key, **QUIET, **options, **masks)
        for path in sorted(out.rglob("*.dcm")):
            original = paths[0] if single else names.get(path.stem)
            if original is None:  # its UID is in the file meta only
                continue
            if original not in before:
                before[original] = complaints(original)
            row["files"] += 1
            lost = {said.split(":")[0] for said in before[original] if GAVE_UP.match(said)}
            row["lost"] += bool(lost)
            for kind in complaints(path) - before[original]:
                if kind.split(":")[0] not in lost:
                    row["new"][kind].append(original.name)
        shutil.rmtree(out, ignore_errors=True)
    return rows


def _one(task: tuple[Path, bool]) -> dict[str, dict[str, Any]]:
    path, single = task
    with tempfile.TemporaryDirectory(prefix="umed-validators-") as folder:
        scratch = Path(folder)
        source = path
        if single:
            source = scratch / "in"
            source.mkdir()
            shutil.copyfile(path, source / path.name)
        return compare(source, scratch, single)


def run(tasks: list[tuple[Path, bool]], workers: int, everything: bool) -> int:
    """Print the tables; 1 when something is new without an explanation."""
    new: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    files: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    with ProcessPoolExecutor(workers) as pool:
        for rows in pool.map(_one, tasks):
            for task, row in rows.items():
                files[task] += row["files"]
                lost[task] += row["lost"]
                for kind, names in row["new"].items():
                    new[kind][task] += names
    counts = {task: sum(len(new[kind][task]) for kind in new if not _why(kind, task)) for task in TASKS}
    print(markdown(["", *TASKS], [["files compared", *(str(files[task]) for task in TASKS)],
                                  ["in part only", *(str(lost[task]) for task in TASKS)],
                                  ["new complaints", *(str(counts[task]) for task in TASKS)]]))  # fmt: skip
    print()
    header = ["new complaint, in so many files", *TASKS, "why"]
    why = {kind: next(filter(None, (_why(kind, task) for task in TASKS if new[kind][task])), "") for kind in new}
    lines = [[kind.replace("|", "/"), *(str(len(new[kind][task]) or "") for task in TASKS), why[kind]]
             for kind in sorted(new)]  # fmt: skip
    print(markdown(header, lines) if lines else "No new complaint.")
    print(f"\numed {__version__}; {edition()}")
    if everything:
        for kind in sorted(new):
            print(f"{kind}\n    {' '.join(sorted({name for names in new[kind].values() for name in names}))}")
    return 1 if any(counts.values()) else 0


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path, nargs="*", help="folders of files; each file is run on its own")
    parser.add_argument("--series", type=Path, help="folder of folders; each is run as a whole")
    parser.add_argument("--own", action="store_true", help="pydicom's own test files, too")
    parser.add_argument("--list", action="store_true", help="name the files of each complaint")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        parser.error(f"{', '.join(missing)}: not installed (apt-get install dicom3tools dcmtk)")
    folders = list(args.zoo)
    if args.own:
        data = Path(pydicom.__file__).parent / "data"
        folders += [data / "test_files", data / "charset_files"]
    tasks = [(path, True) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    if args.series is not None:
        tasks += [(path, False) for path in sorted(args.series.iterdir()) if path.is_dir()]
    return run(tasks, args.workers, args.list)


if __name__ == "__main__":
    sys.exit(main())
