# SPDX-License-Identifier: Apache-2.0
"""Protects, verifies and checks a folder through the command line, as a steward would."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from umed.cli.main import main
from umed.data import formats
from umed.data.layouts import find_dataset
from umed.data.masks import read_labels


class LayoutRun(NamedTuple):
    """What came of it.

    Args:
        code: exit code of ``umed protect``.
        said: what it printed.
        files: names below OUTPUT, without those of ``umed/``.
    """

    code: int
    said: str
    files: set[str]


def protect_and_prove(root: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> LayoutRun:
    """Protect with a method that trains nothing; verify and check-release must hold.

    Args:
        root: the data set.
        out: where to.
        capsys: pytest's.
        more: further options of all three commands, such as ``--layout``.
    """
    capsys.readouterr()
    code = main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", *more])
    said = "".join(capsys.readouterr())
    assert code in (0, 3), said
    assert main(["verify", str(root), str(out), "--quiet", *more]) == 0, capsys.readouterr().out
    assert main(["check-release", str(out), "--original", str(root), "--quiet", *more]) == 0, capsys.readouterr().out
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    return LayoutRun(code, said, {name for name in found if not name.startswith("umed/")})


def moved_only_inside(root: Path, out: Path, layout: Path | None = None, dilation: int = 3) -> dict[str, bool]:
    """For each labelled case: whether its images moved, and nowhere beyond the union of its masks and their contour."""
    from scipy import ndimage

    found = {}
    for case in find_dataset(root, layout).cases:
        if not case.labels:
            continue
        volumes = [formats.read(root / path) for path in case.images]
        labels = read_labels([root / path for path in case.labels], case.classes, volumes[0]) > 0
        near = ndimage.binary_dilation(labels, np.ones((3,) * labels.ndim), dilation + 1)
        good = True
        for volume, path in zip(volumes, case.outputs, strict=True):
            moved = (formats.read(out / path).channels != volume.channels).any(axis=0)
            good &= bool((moved & labels).sum() > 0.5 * labels.sum()) and not (moved & ~near).any()
        found[case.id] = good
    return found
