# SPDX-License-Identifier: Apache-2.0
"""What becomes of odd and real DICOM files: the tables of docs/dicom-outcomes.md.

    python benchmarks/dicom_outcomes.py FOLDER_OF_FILES --series FOLDER_OF_SERIES_FOLDERS

Each file is run on its own (files of such collections often share UIDs), each series folder as a whole; then resumed,
searched for anything that identifies, and verified. The exit code is 1 when a file was neither released nor put aside
with a reason in one line, when anything was left, or when a promise was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import UID
from tables import markdown

from umed import __version__
from umed.core.errors import InputError, UmedError
from umed.deid.check import check
from umed.deid.keys import Key
from umed.dicom.read import reader
from umed.dicom.read.scan import scan
from umed.protect.verify import verify
from umed.release.anonymize import Released, anonymize

LIBRARIES = ("pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm", "highdicom")
TASKS: dict[str, dict[str, Any]] = {
    "anonymized": {},
    "with --accept-burned-in": {"accept_burned_in": True},
    "with --protect too": {"accept_burned_in": True, "protect": True, "method": "checkerboard"},
}
ACCEPTED = "PatientIdentityRemoved is not YES"
"""What the check rightly says about a picture that claims burned-in text and was released by --accept-burned-in."""


def outcomes(zoo: Path, series: Path | None, workers: int = 1) -> int:
    """Print what becomes of every file of a folder, each on its own, and of every folder of another one."""
    with tempfile.TemporaryDirectory(prefix="umed-zoo-") as scratch:
        key = Path(scratch) / "project.key"
        Key.create(key)
        single = [path for path in sorted(zoo.iterdir()) if path.is_file()]
        folders = sorted(path for path in series.iterdir() if path.is_dir()) if series is not None else []
        with ProcessPoolExecutor(workers) as pool:
            doing = [pool.submit(_one, path, key, Path(scratch) / f"{n}") for n, path in enumerate(single)]
            more = [pool.submit(_folder, path, key, Path(scratch) / f"s{n}") for n, path in enumerate(folders)]
            rows, sets = [done.result() for done in doing], [done.result() for done in more]
    bad = [f"{row['name']}: {problem}" for row in [*rows, *sets] for problem in row["problems"]]
    print(_by_syntax(rows))
    print(_by_reason(rows))
    if sets:
        print(_by_folder(sets))
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    print(f"{len(rows)} files and {len(sets)} series folders; {len(bad)} problems.")
    print(f"umed {__version__}, Python {sys.version.split()[0]}, {libraries}.")
    print("\n".join(bad), file=sys.stderr)
    return 1 if bad else 0


def _one(path: Path, key: Path, scratch: Path) -> dict[str, Any]:
    """One file in all three ways."""
    source = scratch / "in"
    source.mkdir(parents=True)
    shutil.copyfile(path, source / path.name)
    row: dict[str, Any] = {"name": path.name, "problems": [], "kind": "no image", **_describe(source / path.name)}
    with contextlib.suppress(UmedError):
        found = scan(source).series
        row["kind"] = found[0].kind if found else row["kind"]
        draw_masks(source, scratch / "masks")
    for task, options in TASKS.items():
        if options.get("protect") and row["kind"] != "image":
            row[task] = "", ""
            continue
        more = {"masks": scratch / "masks"} if options.get("protect") else {}
        row[task] = _try(source, scratch / f"out-{len(row)}", key, row["problems"], **options, **more)
    shutil.rmtree(scratch)
    return row


def _folder(path: Path, key: Path, scratch: Path) -> dict[str, Any]:
    """One folder: anonymized, and protected where it brings its masks along."""
    row: dict[str, Any] = {"name": path.name, "problems": []}
    scratch.mkdir()
    labels = {"masks": path} if any(path.rglob("*.nii.gz")) else {}
    for task, options in TASKS.items():
        more = labels if options.get("protect") else {}
        row[task] = _try(path, scratch / f"out-{len(row)}", key, row["problems"], **options, **more)
    shutil.rmtree(scratch)
    return row


def _try(source: Path, output: Path, key: Path, problems: list[str], **options: Any) -> tuple[str, str]:
    """What happened (a word, and the reason), after every check that there is."""
    try:
        done = anonymize(source, output, key_file=key, **options)
    except InputError as error:
        return "put aside", _words(str(error), problems)
    except Exception as error:  # noqa: BLE001 - this is what must never happen
        problems.append(f"crashed: {type(error).__name__}: {error}")
        return "crashed", ""
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    anonymize(source, output, key_file=key, resume=True, **options)
    after = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    problems += [f"another content after --resume: {path.name}" for path in before if before[path] != after.get(path)]
    problems += [f"left behind: {path.name}" for path in after if path.name.startswith(".")]
    found = [one for one in check(output, source) if not (options.get("accept_burned_in") and one.kind == ACCEPTED)]
    problems += [f"left over: {one.file}: {one.tag} {one.kind} {one.hint}" for one in found]
    proof = verify(source, output, key_file=key, masks=options.get("masks"))
    problems += [] if proof.ok else [proof.summary()]
    accounted = done.written + len(done.quarantine)
    total = sum(path.is_file() for path in source.rglob("*"))
    problems += [f"{accounted} files accounted for, {total} in the input"] if accounted != total else []
    for entry in done.quarantine:
        _words(entry.reason, problems)
    return _summary(done)


def _words(reason: str, problems: list[str]) -> str:
    if not reason.strip() or "\n" in reason or "Traceback" in reason:
        problems.append(f"not a reason in one line: {reason!r}")
    return reason


def _summary(done: Released) -> tuple[str, str]:
    if done.written:
        statuses = {one.status for one in done.outcomes if one.measures}
        return ("protected" if "protected" in statuses else "released"), f"{done.written} of {_total(done)} files"
    entry = done.quarantine[0]
    return ("burned in" if entry.category == "burned-in" else "put aside"), entry.reason


def _total(done: Released) -> int:
    return done.written + len(done.quarantine)


def _describe(path: Path) -> dict[str, str]:
    """Transfer syntax as the file states it."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        meta = pydicom.dcmread(path, force=True, stop_before_pixels=True).file_meta
        if "TransferSyntaxUID" in meta:
            return {"syntax": UID(meta.TransferSyntaxUID).name}
        with contextlib.suppress(InputError):
            return {"syntax": f"{reader.read(path, pixels=False).file_meta.TransferSyntaxUID.name}, not stated"}
    return {"syntax": "not a readable DICOM file"}


def draw_masks(source: Path, target: Path) -> None:
    """A rectangle in the middle of every slice, as pictures named by series, slice and frame."""
    for series in scan(source).series:
        if series.kind != "image":
            continue
        folder = target / series.id
        folder.mkdir(parents=True, exist_ok=True)
        _, rows, columns = series.instances[0].shape
        mask = np.zeros((rows, columns), np.uint8)
        mask[rows // 4 : rows // 2 + 1, columns // 4 : columns // 2 + 1] = 255
        for file, frame in series.slices:
            name = series.instances[file].sop_uid if len(series.instances) > 1 else f"frame_{frame + 1}"
            Image.fromarray(mask).save(folder / f"{name}.png")


def _by_syntax(rows: list[dict[str, Any]]) -> str:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["syntax"], row["kind"]].append(row)
    header = ["transfer syntax of the source", "kind", "files"]
    header += [f"{task}: {word}" for task in TASKS for word in ("released", "put aside")]
    lines = []
    for (syntax, kind), members in sorted(groups.items()):
        cells = [syntax, kind, str(len(members))]
        for task in TASKS:
            found = Counter(row[task][0] for row in members)
            asked = sum(found.values()) - found[""]
            good = found["released"] + found["protected"]
            cells += [str(good), str(asked - good)] if asked else ["", ""]
        lines.append(cells)
    total = ["all", "", str(len(rows))]
    total += [str(sum(int(line[place] or 0) for line in lines)) for place in range(3, len(header))]
    return f"## Files, each on its own, by transfer syntax\n\n{markdown(header, [*lines, total])}\n"


def _by_reason(rows: list[dict[str, Any]]) -> str:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for task in TASKS:
            if row[task][0] in ("put aside", "burned in", "crashed"):
                counts[_general(row[task][1], row["name"])][task] += 1
    header = ["reason", *TASKS]
    lines = [[reason, *(str(found[task] or "") for task in TASKS)] for reason, found in sorted(counts.items())]
    return f"## Why files were put aside\n\n{markdown(header, lines)}\n"


def _general(reason: str, name: str) -> str:
    """A reason without names and paths, so that equal ones meet."""
    if "expected DICOM files, got none that can be released (" in reason:
        reason = reason.split(" (", 1)[1].split("). If pictures", 1)[0].removesuffix(").")
    if "with a mask that fits, got none (" in reason:
        reason = reason.split("got none (", 1)[1].rsplit("). Give", 1)[0]
    words = reason.replace(f"{name}: ", "").split(": ", 1)
    text = words[1] if words[0].startswith(("series_", "/")) and len(words) > 1 else ": ".join(words)
    return text.replace("|", "/")


def _by_folder(rows: list[dict[str, Any]]) -> str:
    header = ["folder", *TASKS]
    lines = [[row["name"], *(_cell(*row[task]) for task in TASKS)] for row in rows]
    return f"## Series folders\n\n{markdown(header, lines)}\n"


def _cell(word: str, detail: str) -> str:
    if "got none (" in detail:
        return "nothing to protect: no mask"
    return f"{word}: {detail}" if detail else word


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path, help="folder of files; each is run on its own")
    parser.add_argument("--series", type=Path, help="folder of folders; each is run as a whole")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the files")
    args = parser.parse_args()
    return outcomes(args.zoo, args.series, args.workers)


if __name__ == "__main__":
    sys.exit(main())
