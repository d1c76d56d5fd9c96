# SPDX-License-Identifier: Apache-2.0
"""The record of a run that goes out with the images: ``OUTPUT/umed/manifest.json``.

Format 1, canonical JSON (sorted keys, no time stamps), the same for every run of the same input, plan and version::

    {"format": 1, "umed_version": "0.1.0", "layout": "decathlon", "seed": 0,
     "plan": {...},                              # Plan.to_json()
     "cases": [{"id": "hippocampus_001",         # sorted by id
                "status": "protected",           # protected | unchanged (empty label) | failed | skipped
                "reason": "",                    # why, for every status but protected
                "label_sha256": "...",           # protected and unchanged cases only, like files
                "files": [{"sha256_in": "...", "sha256_out": "...",   # one a channel file, in channel order
                           "epsilon_steps": 4, "bound_stored": 4.0, "psnr": 50.1, "psnr_roi": 38.2, "ssim": 0.99,
                           "roi_share": 0.05, "voxels_changed": 1234, "largest_step": 4.0}]}],
     "left_out_of_training": [{"id": "hippocampus_007", "reason": "..."}],  # only where there are any
     "labels": "..."}                            # only where masks are proposals, whose cases have "labels": "proposal"

It names no path: which files belong to a case follows from the layout and the case id. Absolute paths are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from umed.core.errors import InputError
from umed.core.types import Outcome
from umed.core.version import __version__
from umed.data import files
from umed.data.paths import refuse_paths
from umed.plan.planning import Plan

VERSION = 1
NAME = "manifest.json"


def make_manifest(
    plan: Plan | None,
    layout: str,
    outcomes: Iterable[Outcome],
    version: str = __version__,
    left_out: Iterable[tuple[str, str]] = (),
    labels: str = "",
) -> dict[str, Any]:
    """Put a manifest together.

    Args:
        plan: the resolved plan, ``None`` where nothing was perturbed.
        layout: ``Dataset.layout``.
        outcomes: one a case; ``measures`` holds ``label_sha256`` and ``files``.
        version: of umed.
        left_out: id and reason of each case that the training had to do without.
        labels: what must be known about the masks, see :mod:`umed.cases.proposals`; left out where empty.

    Returns:
        The manifest as plain data.
    """
    unused = [{"id": case, "reason": reason} for case, reason in sorted(left_out)]
    return {
        "format": VERSION,
        "umed_version": version,
        "layout": layout,
        "seed": 0 if plan is None else plan.seed,
        "plan": {} if plan is None else json.loads(plan.to_json()),
        "cases": [
            {"id": one.id, "status": one.status, "reason": one.reason, **one.measures}
            for one in sorted(outcomes, key=lambda outcome: outcome.id)
        ],
        **({"left_out_of_training": unused} if unused else {}),
        **({"labels": labels} if labels else {}),
    }


def write_manifest(output: Path, manifest: Mapping[str, Any]) -> Path:
    """Write the manifest atomically.

    Args:
        output: root of the output.
        manifest: from :func:`make_manifest`.

    Returns:
        Where it lies.

    Raises:
        ValueError: if it holds an absolute path, which might name a machine or a patient.
    """
    refuse_paths(manifest, "manifest")
    path = output / files.RECORDS / NAME
    with files.atomic(path) as temporary:
        temporary.write_bytes((json.dumps(manifest, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
    return path


def read_manifest(output: Path) -> dict[str, Any]:
    """Read and check the manifest of an output folder.

    Args:
        output: root of the output.

    Returns:
        The manifest as plain data.

    Raises:
        InputError: if there is none, or it is damaged or of another format.
    """
    path = output / files.RECORDS / NAME
    if not output.is_dir():
        raise InputError(f"{output}: expected a folder that umed protect wrote, got none. Check the path.")
    if not path.is_file():
        raise InputError(
            f"{path}: expected the manifest of a finished run, got nothing. Finish the run first: the same command "
            "with --resume."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}. Protect the data again.") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != VERSION:
        raise InputError(f"{path}: expected manifest format {VERSION}, got {found!r}. Use the version that wrote it.")
    cases = manifest.get("cases")
    whole = isinstance(manifest.get("plan"), dict) and isinstance(cases, list) and "layout" in manifest
    if not whole or not all(isinstance(case, dict) and {"id", "status"} <= case.keys() for case in cases):
        raise InputError(
            f"{path}: expected 'layout', 'plan' and 'cases' with id and status, got others. Protect the data again."
        )
    return dict(manifest)
