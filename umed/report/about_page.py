# SPDX-License-Identifier: Apache-2.0
"""The page that is published with the images: what they are, and how to tell that they are whole.

It has no picture, no figure of a case, and nothing that a code depends on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from umed.report.template import render

NAMES = {
    "protected image": "protected images",
    "unprotected image": "images without protection: nothing is labelled in them",
    "label": "masks",
    "proposed label": "masks that a network proposed; nobody has corrected them",
    "carried": "DICOM objects that refer to images",
    "unlock": "files that give the originals back to those for whom the owner has encrypted them",
    "card": "files that describe the data set",
    "other": "other files",
}
"""What files are, in words, by what the manifest calls them."""


def render_about(record: Mapping[str, Any]) -> str:
    """Say to whoever gets a release what it is.

    Args:
        record: of the run; its plan, files, version and what must be known about the masks are used.

    Returns:
        The page.
    """
    counts = Counter(one["what"] for one in record["files"].values())
    return render(
        "about.html.j2",
        plan=record["plan"],
        counts=[(words, counts[name]) for name, words in NAMES.items() if counts[name]],
        version=record["umed_version"],
        warnings=[f"Masks: {record['labels']}."] if record.get("labels") else [],
    )
