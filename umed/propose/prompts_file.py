# SPDX-License-Identifier: Apache-2.0
"""The prompts file: what a person marked in each image, checked whole before anything is written.

JSON, by case id (the image's file name without its ending; of DICOM the series id), a list of objects, one a mask::

    {"photo_1": [{"box": [40, 12, 180, 96]},
                 {"points": [[60, 30], [10, 10]], "marks": [1, 0], "label": 2}],
     "ct_7":    [{"box": [30, 41, 77, 90], "slice": 12, "label": 1}]}

``box`` is ``[x0, y0, x1, y1]``, ``points`` are ``[x, y]``, with ``marks`` 1 inside and 0 outside (all 1 if left out).
Both may stand in one object. Coordinates count pixels from 0 and may be fractions. In pictures x is the column from the
left and y the row from the top of the pixels as stored. In NIfTI, MetaImage and NRRD files they are voxel indices: x
along the first axis and y along the second axis of those that are left when the slice axis (the last, unless
``--slice-axis`` says otherwise) is taken out; ``slice`` is the index along that axis, and every object of a volume
needs one. In DICOM x is the column and y the row of the pixels as stored, and ``slice`` the place of the slice in its
series, from 0 in umed's order, which series of one slice go without. ``label`` is 1 to 255. Where masks overlap, the
later one wins.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.core.errors import InputError, did_you_mean
from umed.data.files import sha256

KEYS = ("box", "points", "marks", "label", "slice")
FORM = "See docs/propose-masks.md for the form"
STORED = "Give pixels of the image as it is stored"
MOST_LABEL = 255
MOST = 1e9
"""Pixels; also keeps out infinity, which a large exponent stands for."""


@dataclass(frozen=True)
class Prompt:
    """What is asked for: one mask.

    Args:
        label: class that it gets, 1 to 255.
        slice: index along the slice axis of a volume; ``None`` for flat pictures.
        box: ``x0, y0, x1, y1``, px.
        points: x and y, px.
        marks: 1 inside and 0 outside, one a point.
    """

    label: int
    slice: int | None = None
    box: tuple[float, ...] | None = None
    points: tuple[tuple[float, ...], ...] = ()
    marks: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """``"box"``, ``"points"`` or ``"box and points"``."""
        return " and ".join(name for name, given in (("box", self.box), ("points", self.points)) if given)


@dataclass(frozen=True)
class Extent:
    """Size of an image as prompts see it.

    Args:
        width: x is below it.
        height: y is below it.
        slices: along the slice axis; ``None`` for flat pictures.
    """

    width: int
    height: int
    slices: int | None


@dataclass(frozen=True)
class PromptsFile:
    """A prompts file.

    Args:
        path: where it lies.
        sha256: of its bytes.
        cases: prompts by case id.
    """

    path: Path
    sha256: str
    cases: Mapping[str, tuple[Prompt, ...]]


def read_prompts(path: Path, label: int = 1) -> PromptsFile:
    """Read a prompts file; what depends on the images is left to :func:`check_prompts`.

    Args:
        path: the file.
        label: class of prompts that name none.

    Raises:
        InputError: naming case, entry and key of the first mistake.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected a prompts file or the word grid, got {found}. Check the path.")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        got = "an empty file" if not path.stat().st_size else str(error)
        raise InputError(f"{path}: expected JSON, got: {got}. Repair the file.") from error
    _need(isinstance(content, dict), path, "an object of case ids", type(content).__name__, FORM)
    _need(content, path, "at least one case", "none", "Add prompts, or give --prompts grid")
    cases = {}
    for name, entries in content.items():
        here = f"{path}: case {name!r}"
        got = "an empty one" if entries == [] else type(entries).__name__
        _need(isinstance(entries, list) and entries, here, "a list of prompts", got, "Add one, or remove the case")
        cases[name] = tuple(_prompt(f"{here}, entry {k + 1}", entry, label) for k, entry in enumerate(entries))
    return PromptsFile(path, sha256(path), cases)


def check_ids(
    prompts: PromptsFile,
    known: Sequence[str],
    annotated: Collection[str] = (),
    naming: str = "Name it as its file without ending",
) -> None:
    """Make sure that the prompts are for images that are there and have no mask yet.

    Args:
        prompts: the file.
        known: ids of all images.
        annotated: ids of those that have a mask.
        naming: how a case is to be called, without a full stop.

    Raises:
        InputError: naming the first case that is not.
    """
    for name in prompts.cases:
        here = f"{prompts.path}: case {name!r}"
        step = "Remove the case from the prompts: a mask that is there is never replaced"
        _need(name not in annotated, here, "an image without a mask", "one that has a mask", step)
        if name not in known:
            step = f"{naming}.{did_you_mean(name, known)}".rstrip(".")
            _need(False, here, "the id of an image in the input", "an unknown one", step)


def check_prompts(prompts: PromptsFile, case_id: str, extent: Extent) -> None:
    """Make sure that the prompts of a case lie in its image.

    Args:
        prompts: the file.
        case_id: one of its cases.
        extent: size of that image.

    Raises:
        InputError: naming entry and key of the first mistake.
    """
    size = f"{extent.width} x {extent.height} px (width x height)"
    for k, prompt in enumerate(prompts.cases[case_id]):
        here = f"{prompts.path}: case {case_id!r}, entry {k + 1}"
        place = f"{here}: slice"
        if extent.slices is None:
            _need(prompt.slice is None, place, "none for a flat picture", str(prompt.slice), "Leave it out")
        else:
            last, step = extent.slices - 1, "Say in which slice the prompt lies"
            _need(prompt.slice is not None, place, f"0 to {last} for a volume", "none", step)
            step = "Count from 0, in files along --slice-axis, in DICOM as the slices of the series lie"
            _need((prompt.slice or 0) <= last, place, f"0 to {last}", str(prompt.slice), step)
        if prompt.box is not None:
            fits = prompt.box[2] <= extent.width and prompt.box[3] <= extent.height
            _need(fits, f"{here}: box", f"one inside {size}", _plain(prompt.box), STORED)
        for point in prompt.points:
            fits = point[0] < extent.width and point[1] < extent.height
            _need(fits, f"{here}: points", f"points inside {size}", _plain(point), STORED)


def _prompt(here: str, entry: Any, label: int) -> Prompt:
    """One object of the file."""
    _need(isinstance(entry, dict), here, "an object with box or points", type(entry).__name__, FORM)
    for key in entry:
        step = f"Remove or rename it.{did_you_mean(key, KEYS)}".rstrip(".")
        _need(key in KEYS, here, f"keys {', '.join(KEYS)}", repr(key), step)
    either = "box" in entry or "points" in entry
    _need(either, here, "a box, points or both", "neither", "Add one, or remove the entry")
    value, place = entry.get("label", label), entry.get("slice")
    fits = _whole(value) and 1 <= value <= MOST_LABEL
    _need(fits, f"{here}: label", f"a whole number from 1 to {MOST_LABEL}", json.dumps(value), "Renumber it")
    fits = "slice" not in entry or (_whole(place) and place >= 0)
    _need(fits, f"{here}: slice", "a whole number from 0 on", json.dumps(place), "Correct it")
    box = _box(f"{here}: box", entry["box"]) if "box" in entry else None
    points, marks = _points(here, entry) if "points" in entry else ((), ())
    alone = "marks" in entry and "points" not in entry
    _need(not alone, f"{here}: marks", "points beside them", "none", "Add points, or remove the marks")
    return Prompt(value, place, box, points, marks)


def _box(here: str, box: Any) -> tuple[float, ...]:
    fits = isinstance(box, list) and len(box) == 4 and all(_number(one) for one in box)
    _need(fits, here, "four numbers x0, y0, x1, y1", json.dumps(box)[:80], "Correct it")
    x0, y0, x1, y1 = box
    _need(min(x0, y0) >= 0, here, "corners from 0 on", _plain(box), STORED)
    step = "Give the upper left corner first, and some area"
    _need(x0 < x1 and y0 < y1, here, "x0 < x1 and y0 < y1", _plain(box), step)
    return tuple(float(one) for one in box)


def _points(here: str, entry: Mapping[str, Any]) -> tuple[tuple[tuple[float, ...], ...], tuple[int, ...]]:
    points, where = entry["points"], f"{here}: points"
    pairs = isinstance(points, list) and all(isinstance(one, list) and len(one) == 2 for one in points)
    fits = pairs and points and all(_number(value) for one in points for value in one)
    _need(fits, where, "a list of [x, y], at least one", json.dumps(points)[:80], "Correct it")
    for one in points:
        _need(min(one) >= 0, where, "numbers from 0 on", _plain(one), STORED)
    marks, where = entry.get("marks", [1] * len(points)), f"{here}: marks"
    got, step = json.dumps(marks)[:80], "Give 1 for inside and 0 for outside"
    fits = isinstance(marks, list) and len(marks) == len(points) and all(_whole(m) and m in (0, 1) for m in marks)
    _need(fits, where, f"{len(points)} of 0 or 1, one a point", got, step)
    _need(any(marks) or "box" in entry, where, "at least one 1 without a box", got, "Mark a point inside")
    return tuple(tuple(float(value) for value in one) for one in points), tuple(marks)


def _need(fits: object, where: str | Path, expected: str, got: str, step: str) -> None:
    """Raise InputError unless something holds."""
    if not fits:
        raise InputError(f"{where}: expected {expected}, got {got}. {step}{'' if step.endswith('?') else '.'}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different; JSON itself would keep the last of two silently."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")
