# SPDX-License-Identifier: Apache-2.0
"""The folder of proposals: checked before a run, filled beside itself, and changed only when everything is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from umed.cases.proposals import NAME, read_proposals, write_proposals
from umed.core.errors import InputError
from umed.data.files import TEMPORARY, check_apart, sha256

STAGE = TEMPORARY + "proposing"
"""Hidden folder in the output that a run works in; no data set is found in it, whatever stops the run."""


def check_source(source: Path) -> None:
    """Make sure that the masks beside the images are no proposals.

    Args:
        source: the images.

    Raises:
        InputError: if they are.
    """
    if read_proposals(source) is not None:
        raise InputError(
            f"{source}: expected images, got masks that are proposals already ({NAME}). Give it to umed protect, or "
            "the images without masks to this command."
        )


def check_target(source: Path, output: Path, *, overwrite: bool) -> None:
    """Make sure that proposals may be written to a folder; changes nothing.

    Args:
        source: the images.
        output: the folder.
        overwrite: replace what an earlier run has written there, and only that.

    Raises:
        InputError: when it lies in the input, holds other files, or holds a mask that was changed since.
    """
    check_apart(source, output)
    there = _files(output)
    if not there:
        return
    earlier = read_proposals(output)
    if earlier is None:
        raise InputError(f"{output}: expected an empty folder, got one with other files. Pick another output folder.")
    if not overwrite:
        raise InputError(
            f"{output}: expected an empty folder, got proposals of an earlier run. Give --overwrite to replace them."
        )
    for name in there:
        if name == NAME:
            continue
        if name not in earlier.files:
            raise InputError(f"{output / name}: expected files of umed only, got another one. Move it away first.")
        if sha256(output / name) != earlier.files[name]:
            raise InputError(
                f"{output / name}: expected the file that umed wrote, got a changed one, which may be somebody's work. "
                "Move it away first, or pick another output folder."
            )


@contextmanager
def stage(output: Path) -> Iterator[Path]:
    """Give a folder to work in; what is left of it is removed whatever happens.

    Args:
        output: the folder of proposals, which is made.

    Yields:
        An empty hidden folder inside.
    """
    made = not output.exists()
    work = output / STAGE
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if made and not any(output.iterdir()):
            output.rmdir()


def publish(source: Path, output: Path, work: Path, written: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Put what was made in its place: a mask is never there without a record that calls it a proposal.

    Args:
        source: the images.
        output: the folder of proposals.
        work: from :func:`stage`.
        written: SHA-256 of each file in it, by relative name.
        content: of ``proposals.json``, but for ``files``.

    Raises:
        InputError: when the output was changed while the run was going on.
    """
    check_target(source, output, overwrite=True)
    old = [name for name in _files(output) if name != NAME]
    for name in old:
        (output / name).unlink()
    write_proposals(output / NAME, {**content, "files": dict(written)})
    for name in sorted(written):
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / name, target)
    for folder in {(output / name).parent for name in old} - {output}:
        if not any(folder.iterdir()):
            folder.rmdir()


def _files(output: Path) -> list[str]:
    """Names of all files in the output, relative to it, without those that a run is working on."""
    if not output.is_dir():
        return []
    found = (path.relative_to(output) for path in output.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(path.as_posix() for path in found if not path.parts[0].startswith(TEMPORARY))
