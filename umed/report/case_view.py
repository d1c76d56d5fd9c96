# SPDX-License-Identifier: Apache-2.0
"""What the viewer of a page gets of each case: a part of a volume as bytes, or word that the case is a picture.

The viewer is ``umed/report/viewer/viewer.js``. A page carries all it shows, so the bytes of volumes are bounded: a box
around what may change, eight bits a value through the display range, and a few cases alone.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.report.pictures import Picture, draw_case

VOXELS = 96**3
"""Most voxels of a volume in a page."""
MOST_CASES = 3
MOST_BYTES = 4_800_000
"""Characters of all volumes in a page, beside its pictures and the 0.9 MB of NiiVue."""
_LEAST_VOXELS = 32**3
_AIR = 1.5  # the box is this much longer than what may change


@dataclass(frozen=True)
class CaseView:
    """One case on a page.

    Args:
        id: case id.
        picture: what is shown without a script, and in print.
        payload: what the viewer gets, as plain data for JSON.
    """

    id: str
    picture: Picture
    payload: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Changed:
    """A case after a protection.

    Args:
        name: of the view.
        values: physical values, ``(C, *spatial)``.
        difference: name of the view of the difference; empty for none.
    """

    name: str
    values: NDArray[Any]
    difference: str = ""


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of a case, and how.

    Args:
        original: physical values before, ``(C, *spatial)``; three channels are drawn in colour, else the first one.
        labels: class of each voxel, ``(*spatial)``.
        support: where the case may have changed, ``(*spatial)``.
        spacing: size of a voxel along each axis, in any unit.
        window: physical values drawn as black and white.
        amplitude: physical difference drawn at full colour.
        axis: axis along which the slices lie.
        rows_first: whether the first of the other two axes runs down, as in DICOM, and not to the right.
        first: number of the first slice within its series, from 0.
        of: slices of the whole series; 0 for those that are here.
    """

    original: NDArray[Any]
    labels: NDArray[Any]
    support: NDArray[np.bool_]
    spacing: Sequence[float]
    window: tuple[float, float]
    amplitude: float
    axis: int
    rows_first: bool = False
    first: int = 0
    of: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        """The axes in the viewer's order: to the right, down, from slice to slice."""
        right, down = (i for i in range(3) if i != self.axis)
        return (down, right, self.axis) if self.rows_first else (right, down, self.axis)


def draw_shown(shown: Shown, after: NDArray[Any]) -> Picture:
    """Draw a case as pictures, at its slice with the largest ROI.

    Args:
        shown: the case before, and how it is shown.
        after: physical values after, ``(C, *spatial)``.

    Returns:
        The pictures.
    """
    return draw_case(
        shown.original,
        after,
        shown.labels,
        shown.support,
        window=shown.window,
        amplitude=shown.amplitude,
        axis=shown.axis,
        rows_first=shown.rows_first,
        first=shown.first,
        of=shown.of,
    )


def view_case(name: str, shown: Shown, after: NDArray[Any], room: ViewRoom) -> CaseView:
    """Draw original, protected and difference of a case, with what the viewer gets where there is room for it.

    Args:
        name: case id.
        shown: the case before, and how it is shown.
        after: physical values after, ``(C, *spatial)``.
        room: of the page.

    Returns:
        The view.
    """
    picture = draw_shown(shown, after)
    names = ("original", "protected", f"difference × {picture.factor:.0f}")
    payload = room.volume(name, shown, [Changed(names[1], after, names[2])]) if shown.labels.ndim == 3 else {}
    return CaseView(name, picture, payload or room.picture(name, names))


class ViewRoom:
    """Makes the payloads of a page as long as there is room.

    Args:
        cases: how many volumes a page shows at most.
        most: characters of all of them together.
    """

    def __init__(self, cases: int = MOST_CASES, most: int = MOST_BYTES) -> None:
        self.cases, self.left = cases, most

    def picture(self, title: str, names: Sequence[str]) -> dict[str, Any]:
        """The payload of a case that the page has as pictures.

        Args:
            title: case id.
            names: of its views.
        """
        return {"kind": "picture", "title": title, "panels": [{"name": name} for name in names]}

    def volume(self, title: str, shown: Shown, changed: Sequence[Changed], twice: str = "") -> dict[str, Any]:
        """The payload of a volume.

        Args:
            title: case id.
            shown: the volume before, and how it is shown.
            changed: the same after each protection.
            twice: name of a second view of the original, with its outlines; empty for none.

        Returns:
            The payload; empty where the page has no room left, so that the case stays a picture.
        """
        if not self.cases:
            return {}
        share, voxels = self.left // self.cases, VOXELS
        while voxels >= _LEAST_VOXELS:
            payload = volume_payload(title, shown, changed, twice, voxels)
            size = sum(len(panel.get("data", "")) for panel in payload["panels"]) + len(payload["regions"])
            if size <= share:
                self.cases, self.left = self.cases - 1, self.left - size
                return payload
            voxels //= 2
        return {}


def volume_payload(
    title: str, shown: Shown, changed: Sequence[Changed], twice: str = "", voxels: int = VOXELS
) -> dict[str, Any]:
    """A box of a volume as the viewer reads it.

    Args:
        title: case id.
        shown: the volume before, and how it is shown.
        changed: the same after each protection.
        twice: name of a second view of the original, with its outlines; empty for none.
        voxels: most voxels of the box.

    Returns:
        Plain data: ``size``, ``spacing``, ``axes``, ``whole`` and ``first`` of the box along each axis in the viewer's
        order, ``start`` the slice of the largest ROI, ``focus`` the middle of what may change, and ``panels``. The
        ``data`` of a panel are gzip in base64 of one byte a value, first axis fastest: the display range, or for a
        ``difference`` 128 for none and 1 or 255 for the amplitude. A panel with ``base`` holds what is to be added to
        that panel modulo 256; one with ``same`` shows that panel again. ``regions`` is 0 outside, 1 where only the
        band is, and 1 plus the class inside.

    Example:
        >>> cube, roi = np.zeros((1, 8, 8, 8)), np.ones((8, 8, 8), bool)
        >>> shown = Shown(cube, roi.astype(int), roi, (1, 1, 2), (0, 1), 1, axis=2)
        >>> made = volume_payload("a", shown, [Changed("protected", cube, "difference")])
        >>> made["size"], made["start"], [panel["name"] for panel in made["panels"]]
        ([8, 8, 8], 0, ['original', 'protected', 'difference'])
    """
    order = shown.order
    labels, support = shown.labels.transpose(order), shown.support.transpose(order)
    start = int(np.argmax((labels > 0).sum(axis=(0, 1))))
    box, focus = _box(support, start, voxels)
    low, high = shown.window

    def cut(values: NDArray[Any]) -> NDArray[np.float64]:
        chosen = values if len(values) == 3 else values[:1]
        turned = chosen.transpose([0, *(i + 1 for i in order)])
        return np.nan_to_num(np.asarray(turned[:, box[0], box[1], box[2]], np.float64))

    before = cut(shown.original)
    base = _byte(255 * (before - low) / (high - low))
    panels: list[dict[str, Any]] = [{"name": "original", "kind": "image", "data": packed(base)}]
    if twice:
        panels.append({"name": twice, "kind": "image", "same": 0, "outlined": True})
    for one in changed:
        after = cut(one.values)
        moved = _byte(255 * (after - low) / (high - low)) - base  # wraps, as the viewer's sum does
        panels.append({"name": one.name, "kind": "image", "base": 0, "data": packed(moved)})
        if one.difference:
            share = _byte(128 + 127 * np.clip((after - before) / (shown.amplitude or 1.0), -1, 1))
            panels.append({"name": one.difference, "kind": "difference", "data": packed(share)})
    inside = np.where(labels[box] > 0, 1 + np.minimum(labels[box], 254), support[box])
    whole = list(labels.shape[:2]) + [shown.of or labels.shape[2]]
    return {
        "kind": "volume",
        "title": title,
        "size": [part.stop - part.start for part in box],
        "spacing": [float(shown.spacing[i]) for i in order],
        "axes": list(order),
        "whole": whole,
        "first": [box[0].start, box[1].start, box[2].start + shown.first],
        "start": start - box[2].start,
        "focus": [middle - part.start for middle, part in zip(focus, box, strict=True)],
        "channels": len(before),
        "panels": panels,
        "regions": packed(inside.astype(np.uint8)[None]),
    }


def packed(values: NDArray[np.uint8]) -> str:
    """Bytes of ``(C, right, down, slices)`` as base64 of gzip, channels fastest; the same values give the same text."""
    return base64.b64encode(gzip.compress(values.tobytes(order="F"), 9, mtime=0)).decode("ascii")


def _byte(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _box(
    support: NDArray[np.bool_], start: int, voxels: int
) -> tuple[tuple[slice, slice, slice], tuple[int, int, int]]:
    """A box around what may change, with some air, and the middle of what may change."""
    found = [np.flatnonzero(support.any(axis=tuple(i for i in range(3) if i != axis))) for axis in range(3)]
    ends = [
        (int(one[0]), int(one[-1]) + 1) if len(one) else (0, n) for one, n in zip(found, support.shape, strict=True)
    ]
    middles = [(a + b) // 2 for a, b in ends]
    wanted = [min(n, max(24, round(_AIR * (b - a)))) for (a, b), n in zip(ends, support.shape, strict=True)]
    left, allowed = voxels, [0, 0, 0]
    for place, axis in enumerate(sorted(range(3), key=lambda i: wanted[i])):  # short axes stay whole
        allowed[axis] = min(wanted[axis], max(1, int(left ** (1 / (3 - place)) + 1e-6)))
        left //= allowed[axis]
    parts = []
    for axis, side in enumerate(allowed):
        aim = start if axis == 2 and side < wanted[2] else middles[axis]
        low = min(max(0, aim - side // 2), support.shape[axis] - side)
        if axis == 2:
            low = min(max(low, start - side + 1), start)
        parts.append(slice(low, low + side))
    x, y, z = (min(max(m, p.start), p.stop - 1) for m, p in zip(middles, parts, strict=True))
    return (parts[0], parts[1], parts[2]), (x, y, z)
