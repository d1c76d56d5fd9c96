# SPDX-License-Identifier: Apache-2.0
"""Changes the private record of a run as only the holder of its key could, to see that the files are believed first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from umed.cases.records import private_of
from umed.core.keyfile import Key


def record(output: Path) -> dict[str, Any]:
    """The private record of an output, whoever wrote it."""
    found: dict[str, Any] = json.loads((private_of(output) / "release.json").read_text())
    return found


def edit(output: Path, change: Callable[[dict[str, Any]], None], key_file: Path | None = None) -> None:
    """Change the record and seal it again with its own key."""
    content = record(output)
    change(content)
    key = Key.load(private_of(output) / "release.key" if key_file is None else key_file)
    (private_of(output) / "release.json").write_text(json.dumps(key.seal("release", content)))
