# SPDX-License-Identifier: Apache-2.0
"""The files of the viewer, which ship with umed: NiiVue with its licences, and what umed adds to it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

NIIVUE, SCRIPT, STYLE = "niivue.min.js", "viewer.js", "viewer.css"
VIEWER_FILES = (NIIVUE, SCRIPT, STYLE, "NIIVUE-LICENSES.txt", "niivue.json")
"""All of them, in the order in which a page loads its scripts."""


@lru_cache
def viewer_file(name: str) -> str:
    """Content of a file of the viewer, for a page or to be served.

    Args:
        name: one of :data:`VIEWER_FILES`.

    Returns:
        Its text.

    Raises:
        KeyError: for any other name, so that an address cannot reach another file.
    """
    if name not in VIEWER_FILES:
        raise KeyError(f"viewer: expected one of {', '.join(VIEWER_FILES)}, got {name!r}.")
    return (files("umed.report") / "viewer" / name).read_text(encoding="utf-8")
