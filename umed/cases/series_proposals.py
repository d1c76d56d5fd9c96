# SPDX-License-Identifier: Apache-2.0
"""Masks of series, and which of them are proposals of a network: for protecting, checking and looking alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from umed.cases.proposals import Proposals, read_proposals
from umed.data.files import PROPOSALS, sha256
from umed.dicom.masks.series_masks import Mask, find
from umed.dicom.objects import Limits, Scan


def find_masks(
    scan: Scan, folder: Path | None, limits: Limits
) -> tuple[dict[str, Mask], list[tuple[str, str]], Proposals | None]:
    """Find the masks of all series as :func:`umed.dicom.masks.series_masks.find`, and mark the proposals.

    Series ids count the series of a folder and move when others come or go. A mask from ``umed propose-masks`` that no
    longer has a slice that it was made for is a problem of its series, never the mask of another one.

    Args:
        scan: the images; ``proposals.json`` in its root counts, too.
        folder: further masks (``--masks``).
        limits: bounds.

    Returns:
        Masks and problems as there, and what is known about proposals, ``None`` where there are none.

    Raises:
        InputError: if ``folder`` does not exist, or a ``proposals.json`` is damaged.
    """
    masks, problems = find(scan, folder, limits=limits)
    known = _read([root for root in (folder, scan.root) if root is not None and root.is_dir()])
    if not known:
        return masks, problems, None
    by_id = {series.id: series for series in scan.series}
    made_for = {root / name: slice_ for root, one in known.items() for name, slice_ in one.slices.items()}
    for name, mask in list(masks.items()):
        wanted = {made_for[path] for path in map(Path.resolve, mask.files) if path in made_for}
        if not wanted <= {slice_name(instance.sop_uid) for instance in by_id[name].instances}:
            del masks[name]
            reason = (
                f"{mask.source}: expected the series that this mask was proposed for, got another one as {name}: "
                "series ids have changed since, or the file was renamed. Run umed propose-masks again; put a mask that "
                "you have corrected into another folder, named by its SeriesInstanceUID."
            )
            problems.append((name, reason))
    by = "; ".join(dict.fromkeys(one.by for one in known.values()))
    digests = frozenset(digest for one in known.values() for digest in one.masks)
    # of a mask in several files, one that nobody has changed is enough: what it misses is not protected
    made = frozenset(name for name, mask in masks.items() if any(sha256(path) in digests for path in mask.files))
    return masks, sorted(problems), Proposals(by, digests, series=made)


def slice_name(sop_uid: str) -> str:
    """What ``proposals.json`` calls a slice: it names no UID, and still tells one slice from another."""
    return hashlib.sha256(sop_uid.encode()).hexdigest()


def _read(roots: Iterable[Path]) -> dict[Path, Proposals]:
    """What each ``proposals.json`` in or below some folders says, by its folder."""
    folders = {path.parent for root in roots for path in root.resolve().rglob(PROPOSALS)}
    read = {folder: read_proposals(folder) for folder in sorted(folders)}
    return {folder: one for folder, one in read.items() if one is not None}
