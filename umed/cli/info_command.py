# SPDX-License-Identifier: Apache-2.0
"""Show versions and everything that can be chosen by name."""

from __future__ import annotations

import argparse
import os
from typing import Any

from umed.cli.output import print_json, table
from umed.cli.parsing import add_shared
from umed.core.version import __version__

PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-image", "nibabel", "pillow", "tifffile", "pydicom", "highdicom")

REPORTS = {"html": "one self-contained HTML file"}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_shared(parser, "--json")


def collect() -> dict[str, Any]:
    """Gather versions and names without importing torch.

    Returns:
        Plain data for JSON.
    """
    import platform
    from importlib import metadata

    from umed.core.config import recipe_names
    from umed.core.ranges import CT_WINDOWS
    from umed.core.registry import KINDS

    def version(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "not installed"

    return {
        "umed": __version__,
        "python": platform.python_version(),
        "platform": platform.system(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
        "recipes": recipe_names(),
        "ct_windows": {name: list(window) for name, window in CT_WINDOWS.items()},
        **{f"{kind}s": {name: entry.summary for name, entry in entries.items()} for kind, entries in KINDS.items()},
        "reports": REPORTS,
    }


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from umed.core.registry import KINDS

    found = collect()
    if args.json:
        print_json(found)
        return 0
    rows = [[key, str(found[key])] for key in ("umed", "python", "platform", "cpus")]
    rows += [[name, version] for name, version in found["packages"].items()]
    rows.append(["recipes", ", ".join(found["recipes"])])
    rows += [[kind, f"{name}: {entry.summary}"] for kind, entries in KINDS.items() for name, entry in entries.items()]
    rows += [["report", f"{name}: {summary}"] for name, summary in REPORTS.items()]
    print(table(["what", "value"], rows))
    return 0
