# SPDX-License-Identifier: Apache-2.0
"""The private list of what was put aside: every file by name, why, and what its owner can do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from umed.cases.records import QUARANTINE, Store, close_private, make_private, write_json
from umed.cases.source import Quarantined
from umed.core.conversion import parse_json
from umed.data.accounting import FileEnd
from umed.data.inventory import is_system, may_be_image
from umed.data.plain_text import is_document
from umed.dicom.objects import Series

AGAIN = "as in the earlier run"
"""Reason of what a resumed run finds in its records, which hold no reason: it might name somebody."""
NEXT: Mapping[str, str] = {
    "no-dicom": "nothing, if it is no image; else convert it to DICOM",
    "file": "repair it, export it again from the archive, or leave it out",
    "burned-in": "look at the picture; blank the text with a burned_in rule of the profile, or leave the file out. "
    "--accept-burned-in lets through what the headers put aside; what --look-for-text read needs a run without it",
    "patients": "correct the patient's attributes at the source, or split the series, and run again",
    "profile": "leave it out, or clean it by hand",
    "pixels": "export it again in a syntax that is decoded, or pick another --transfer-syntax",
    "mask": "give a mask with --masks DIR (umed inspect says what fits), or leave the series out",
    "protection": "change the setting that the reason names, release the series without --protect, or leave it out",
    "write": "check the disk and give --resume; if it stays, leave the file out",
}
"""What can be done about each of :data:`umed.cases.instance_writer.CATEGORIES`."""


def put_aside(one: Quarantined, root: Path, masks: Path | None) -> FileEnd:
    """The end of a file that is not in the output.

    Args:
        one: of those that are no DICOM, what is called like an image makes exit code 3.
        root: of the input.
        masks: folder of masks, which may lie within the input.
    """
    if one.category == "no-dicom" and masks is not None and masks.resolve() in (root / one.name).resolve().parents:
        return FileEnd(one.name, "left out", "label", "is read for its mask; masks of series are not released as files")
    if one.category != "no-dicom":
        return FileEnd(one.name, "left out", "dicom", one.reason, True, "quarantine")
    grave = may_be_image(one.name) and not is_system(one.name)
    kind = "system" if is_system(one.name) else "format" if grave else "document" if is_document(one.name) else "other"
    return FileEnd(one.name, "left out", kind, one.reason, grave)


def put_all_aside(series: Iterable[Series], mixed: Mapping[str, str], refusals: Mapping[str, str]) -> list[Quarantined]:
    """Every file of some series, where none can be protected.

    Args:
        series: all of them.
        mixed: why, of those with several patients, by id.
        refusals: why, of images that have no mask or cannot be perturbed, by id.
    """
    found = []
    for one in series:
        mask = "mask", refusals.get(one.id, "no series of the input can be protected")
        category, reason = ("patients", mixed[one.id]) if one.id in mixed else mask
        found += [Quarantined(instance.name, category, reason) for instance in one.instances]
    return found


def write_quarantine(store: Store, entries: Iterable[Quarantined]) -> None:
    """Write the list; a resumed run keeps the reasons of the earlier one.

    Args:
        store: of the output, with its private folder made.
        entries: what was put aside.
    """
    path = store.path(QUARANTINE)
    try:
        before = {entry["name"]: entry["reason"] for entry in parse_json(path.read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        before = {}
    listed = [
        {
            **asdict(entry),
            "reason": before.get(entry.name, AGAIN) if entry.reason == AGAIN else entry.reason,
            "next": NEXT.get(entry.category, ""),
        }
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
    write_json(path, {"note": "Names files of the source. Do not release.", "files": listed})


def keep_all_aside(store: Store, entries: Iterable[Quarantined]) -> str:
    """Write the list of a run that ends before it has begun, since nothing can be released.

    Args:
        store: of the output; the records of an earlier run there are left as they are.
        entries: every file.

    Returns:
        Where the list is, to be added to the error; empty where none was written.
    """
    found = list(entries)
    if store.begun or not found:
        return ""
    make_private(store.folder)
    write_quarantine(store, found)
    close_private(store.folder)
    return f" What was put aside, by name: {store.path(QUARANTINE)}"


def next_steps(entries: Iterable[Quarantined]) -> list[str]:
    """What can be done, one line for each category among the entries but that of files that are no DICOM."""
    found = sorted({entry.category for entry in entries} - {"no-dicom"})
    return [f"what to do about {category}: {NEXT[category]}" for category in found if category in NEXT]
