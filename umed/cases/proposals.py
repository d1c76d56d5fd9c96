# SPDX-License-Identifier: Apache-2.0
"""Masks that were proposed by a network and not drawn by a person: how a data set says so, and who reads it.

``umed propose-masks`` writes ``proposals.json`` beside ``images/`` and ``masks/``. ``umed protect`` calls a mask a
proposal as long as its file has the checksum that stands there; a mask that a person has corrected is annotation.
Format 1, canonical JSON (sorted keys, no time stamps, no absolute paths)::

    {"kind": "umed mask proposals", "format": 1, "umed_version": "0.1.0", "note": "...",
     "sam": {"encoder": "vit_b", "weights": "Meta's vit_b (SHA-256 ec2df62732614e57...)", "sha256": "..."},
     "prompts": {"kind": "file", "sha256": "..."},   # or {"kind": "grid", "points_per_side": 16, "iou": 0.88, ...}
     "label": 1, "slice_axis": 2,
     "cases": [{"id": "a", "status": "proposed",     # or nothing found, annotated, no prompts, failed
                "reason": "",
                "image": "images/a.png", "image_sha256": "...", "mask": "masks/a.png", "mask_sha256": "...",
                "masks": [{"label": 1, "slice": null, "prompt": "box", "predicted_iou": 0.93, "share": 0.12}]}],
     "problems": [{"name": "b.webp", "reason": "..."}],
     "files": {"images/a.png": "...", ...}}          # SHA-256 of every file that was written beside this one

Of DICOM series it names neither files nor UIDs: there is no ``slice_axis``, reasons are general ones, and a proposed
case has, instead of ``image`` to ``mask_sha256``::

     "mask_files": {"series_0001.nii.gz": "..."},    # or a PNG a slice: {"series_0001/slice_3.png": "...", ...}
     "slice_sha256": "..."                           # of the SOPInstanceUID of the first slice with a mask
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from umed.core.errors import InputError
from umed.core.types import Outcome
from umed.data.files import PROPOSALS, atomic
from umed.data.paths import refuse_paths

NAME = PROPOSALS
KIND = "umed mask proposals"
VERSION = 1
MARK = "proposal"
NOTE = (
    "These masks were proposed by Segment Anything and are not annotation. What they miss is not protected. A mask "
    "that a person corrects is annotation from then on: its checksum is no longer the one below."
)


@dataclass(frozen=True)
class Proposals:
    """What ``proposals.json`` says.

    Args:
        by: the network, in words.
        masks: SHA-256 of each mask file that is a proposal.
        files: SHA-256 of each file that was written beside it, by relative name.
        slices: of masks of DICOM series, by relative name: SHA-256 of the SOPInstanceUID of a slice that it was made
            for.
        series: ids of DICOM series whose mask is a proposal as it was made, if only in part.
    """

    by: str
    masks: frozenset[str]
    files: Mapping[str, str] = field(default_factory=dict)
    slices: Mapping[str, str] = field(default_factory=dict)
    series: frozenset[str] = frozenset()

    def hold(self, case_id: str, status: str, digest: str | None = None) -> bool:
        """Whether the mask of a case is a proposal as it was made.

        Args:
            case_id: of the case.
            status: what came of it; of series only those that were protected count.
            digest: SHA-256 of the mask files in the release, a space between; no series has one.
        """
        return not self.masks.isdisjoint((digest or "").split()) or (case_id in self.series and status == "protected")


def read_proposals(root: Path) -> Proposals | None:
    """Read ``proposals.json`` of a data set.

    Args:
        root: its folder.

    Returns:
        The content; ``None`` where there is no such file, or one that is JSON of somebody else.

    Raises:
        InputError: when the file is damaged or of another format, since proposals would then pass for annotation.
    """
    path = root / NAME
    if not path.is_file():
        return None
    step = "Get it back from umed propose-masks, or remove it if you have drawn or checked every mask yourself."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, got: {error}. {step}") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        return None
    if content.get("format") != VERSION:
        raise InputError(
            f"{path}: expected format {VERSION}, got {content.get('format')!r}. Use the version that wrote it."
        )
    try:
        sam, cases, written = content["sam"], content["cases"], content["files"]
        proposed = [case for case in cases if case["status"] == "proposed"]
        masks = {str(case["mask_sha256"]) for case in proposed if "mask_files" not in case}
        series = [case for case in proposed if "mask_files" in case]
        masks |= {str(digest) for case in series for digest in case["mask_files"].values()}
        slices = {str(name): str(case["slice_sha256"]) for case in series for name in case["mask_files"]}
        files = {str(name): str(digest) for name, digest in written.items()}
        by = f"Segment Anything {sam['encoder']}, {sam['weights']}"
        return Proposals(by, frozenset(masks), files, slices)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected what umed propose-masks wrote, got: {error!r}. {step}") from error


def write_proposals(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``proposals.json`` atomically.

    Args:
        path: the file.
        content: all but ``kind``, ``format`` and ``note``.

    Raises:
        ValueError: if it holds an absolute path.
    """
    whole = {"kind": KIND, "format": VERSION, "note": NOTE, **content}
    refuse_paths(whole, NAME)
    with atomic(path) as temporary:
        temporary.write_bytes((json.dumps(whole, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def marked(outcomes: Iterable[Outcome], proposals: Proposals | None) -> list[Outcome]:
    """Mark the outcomes whose mask is a proposal as it was made.

    Args:
        outcomes: one a case.
        proposals: of the data set, ``None`` where there are none.

    Returns:
        The same, with ``"labels": "proposal"`` among the measures of those.
    """
    if proposals is None:
        return list(outcomes)
    return [
        replace(one, measures={**one.measures, "labels": MARK})
        if proposals.hold(one.id, one.status, one.measures.get("label_sha256"))
        else one
        for one in outcomes
    ]


def is_proposal(entry: Mapping[str, Any]) -> bool:
    """Whether the measures of an outcome, or a case of a manifest, carry the mark."""
    return entry.get("labels") == MARK


def sentence(outcomes: Iterable[Outcome], proposals: Proposals | None) -> str:
    """What a manifest says about the masks.

    Args:
        outcomes: from :func:`marked`.
        proposals: of the data set.

    Returns:
        A sentence without a full stop, ``""`` where no mask is a proposal.
    """
    # masks of DICOM series are not released and have no checksum here: there, those that protected something count
    released = [one for one in outcomes if "label_sha256" in one.measures or one.status == "protected"]
    count = sum(is_proposal(one.measures) for one in released)
    if proposals is None or not count:
        return ""
    return (
        f"{count} of {len(released)} are proposals by {proposals.by}, not annotation; what a proposal misses is not "
        "protected"
    )
