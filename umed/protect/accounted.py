# SPDX-License-Identifier: Apache-2.0
"""Whether the input still holds the files that a run has accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from umed.core.reasons import examples
from umed.data.accounting import Accounting


def compare_files(record: Mapping[str, Any] | None, now: Accounting) -> tuple[list[str], list[str]]:
    """Compare what a run accounted for with the input as it is now.

    Args:
        record: private record of the run, authentic; ``None`` where there is none, or one of an earlier version: then
            nothing can be said.
        now: all files of the input.

    Returns:
        A sentence for each broken promise: an image, a label, or what may be one that is there and was not; a released
        file that is gone; counts that do not add up. And notes: other files that have come or gone.
    """
    then = None if record is None else record.get("accounting")
    if not isinstance(then, Mapping):
        return [], []
    if "released" not in then:  # files that no record names: those of patients
        if then["files"] == len(now.files):
            return [], []
        return [f"INPUT: expected the {then['files']} files of the run, got {len(now.files)}"], []
    released = [name for ends in then["released"].values() for names in ends.values() for name in names]
    out = [str(one["name"]) for one in then["left_out"]]
    before, there = {*released, *out}, {one.name for one in now.files}
    problems, notes = [], []
    if len(released) + len(out) != then["files"] or len(before) != then["files"]:
        problems.append(f"INPUT: expected one end for each of {then['files']} files in the record, got others")
    new = [one for one in now.files if one.name not in before]
    weighty = [one.name for one in new if one.grave or one.end in ("protected", "unchanged")]
    light = [one.name for one in new if one.name not in set(weighty)]
    if weighty:
        problems.append(f"INPUT: {_files(weighty)} came after the run and are in no release: {_some(weighty)}")
    if light:
        notes.append(f"INPUT: {_files(light)} came after the run: {_some(light)}")
    gone = sorted(set(released) - there)
    if gone:
        problems.append(f"INPUT: {_files(gone)} of the release are no longer there: {_some(gone)}")
    gone = sorted(set(out) - there)
    if gone:
        notes.append(f"INPUT: {_files(gone)} that the run left out are no longer there: {_some(gone)}")
    return problems, notes


def _files(names: list[str]) -> str:
    return f"{len(names)} file{'' if len(names) == 1 else 's'}"


def _some(names: list[str]) -> str:
    return examples(names, len(names))
