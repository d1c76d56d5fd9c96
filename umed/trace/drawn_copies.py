# SPDX-License-Identifier: Apache-2.0
"""Draws the copies of a case again, from key and originals: what was published, its twins, and a decoy."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.source import Source, Unit
from umed.core.errors import InputError
from umed.core.types import Volume
from umed.plan.planning import Plan
from umed.protect.loop import stored_digest
from umed.trace.queries import DECOY, PUBLISHED, twin_roles

if TYPE_CHECKING:
    from umed.methods.base import Method

Arrays = list[NDArray[Any]]
"""Stored values of a case, one array an image file; of a series one for all its slices."""


@dataclass(frozen=True, eq=False)
class DrawnCopies:
    """What a case is asked about.

    Args:
        labels: class of each voxel ``(*spatial)``, 0 to K - 1, int16, on the grid that its source reads.
        copies: role and stored values of each copy.
        volumes: the images as they were read; of a series those of its last span.
    """

    labels: NDArray[np.int16]
    copies: tuple[tuple[str, Arrays], ...]
    volumes: tuple[Volume, ...]


@dataclass(frozen=True, eq=False)
class QueryImage:
    """An image to be asked about, before it is turned round and gets its name.

    Args:
        role: of the copy that it belongs to.
        save: writes it: axes to turn round, folder, and name without an ending.
        frame: which picture of its series it is; ``None`` where it is all of its case.
    """

    role: str
    save: Callable[[Sequence[int], Path, str], None]
    frame: int | None = None


def draw_copies(
    source: Source,
    case: str,
    plan: Plan,
    method: Method,
    committed: Mapping[str, Any],
    folder: Path,
    *,
    twins: int,
    decoy: bool,
) -> DrawnCopies:
    """Draw all copies of a case, and make sure that they are those that were committed to.

    A series is drawn span by span. Its copy of all published draws is asked about, and twins of other draws throughout,
    never a mixture. All draws are independent and alike, so that a network that does not know the release takes any of
    these copies for the published one as likely.

    Args:
        source: of the originals.
        case: one of its cases.
        plan: of the release.
        method: with the secret of the release.
        committed: digests of both sides of each unit, by the name that its code was drawn for.
        folder: that a writer of the source may be opened for; nothing is written.
        twins: copies that the published one is compared with, at least 1.
        decoy: draw a copy that does not count, too.

    Raises:
        InputError: when the originals are other ones, cannot be read, or the copies cannot be drawn again here.
    """
    reader, writer = source.open(case, plan), source.writer(case, plan, folder)
    parts: dict[str, list[Arrays]] = {role: [] for role in (PUBLISHED, *twin_roles(twins))}
    if decoy:
        parts[DECOY] = []
    labels, names, volumes = list[NDArray[np.int16]](), set[str](), tuple[Volume, ...]()
    for index in range(len(reader)):
        unit = reader.unit(index)
        volumes = unit.volumes
        labels.append(_labels(unit))
        drawn = dict.fromkeys(parts, [volume.stored for volume in volumes])
        if unit.touched:
            name = writer.seed(unit)
            names.add(name)
            drawn = _draw(unit, plan, method, name, committed.get(name), twins, decoy)
        for role, stored in drawn.items():
            parts[role].append([one[unit.kept] for one in stored])
    if broken := reader.broken:
        raise InputError(f"{len(broken)} of its files cannot be read")
    if names != set(committed):
        raise InputError("the original is not the one that was protected")
    copies = tuple((role, [_joined(spans) for spans in zip(*found, strict=True)]) for role, found in parts.items())
    return DrawnCopies(_joined(labels), copies, volumes)


def _draw(
    unit: Unit, plan: Plan, method: Method, name: str, wanted: Sequence[str] | None, twins: int, decoy: bool
) -> dict[str, Arrays]:
    if wanted is None:
        raise InputError("the original is not the one that was protected")
    seen = unit.volumes, unit.regions
    published, twin = method.pair(*seen, plan=plan, case_id=name, limits=unit.limits)
    assert twin is not None
    if [stored_digest(one, unit.kept) for one in (published, twin)] != list(wanted):
        raise InputError(
            "the copies that were committed to cannot be drawn again here; use the masks of the run, its machine and "
            "its version of umed"
        )
    more = method.further(*seen, plan=plan, case_id=name, limits=unit.limits, count=twins - 1)
    found = dict(zip((PUBLISHED, *twin_roles(twins)), (published, twin, *more), strict=True))
    if decoy:
        never = f"{name}/{secrets.token_hex(8)}"
        found[DECOY] = method(*seen, plan=plan, case_id=never, limits=unit.limits)
    return found


def _labels(unit: Unit) -> NDArray[np.int16]:
    whole = np.zeros(unit.regions.shape, np.int16)
    whole[unit.regions.box] = np.maximum(unit.regions.labels, 0)
    return whole[unit.kept]


def _joined(spans: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return spans[0] if len(spans) == 1 else np.concatenate(spans)


def turn(stored: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    """Values ``(*spatial)`` or ``(*spatial, C)``, turned round along spatial axes."""
    return np.ascontiguousarray(np.flip(stored, tuple(axes)))
