# SPDX-License-Identifier: Apache-2.0
"""Whether a DICOM file is, byte for byte, what umed writes for its pixels: file meta, private elements, marks, the end.

Everything but the pixels is a function of the source file, the identity and the version of umed. So the file is written
once more with the pixels that were read back, and the bytes are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset

from umed.cases.instance_writer import write_instance
from umed.core.errors import UmedError
from umed.data.container import SLACK
from umed.deid.identity import Anonymous, Derived, Names
from umed.dicom.objects import Instance, Limits
from umed.dicom.pixels import pixel_data, writing
from umed.dicom.read import reader


def blanked(there: Mapping[str, Instance], identity: Names, limits: Limits) -> dict[str, Any]:
    """Rectangles that the profile blanks out in some files, by name."""
    found: dict[str, Any] = {}
    if isinstance(identity, Anonymous):
        for name, instance in there.items():
            try:
                boxes = identity.rectangles(reader.read(instance.path, limits, pixels=False))
            except UmedError:
                continue
            if boxes:
                found[name] = boxes
    return found


def bytes_difference(instance: Instance, path: Path, identity: Names, limits: Limits, *, perturbed: bool) -> str:
    """Say what a written file holds beside what umed writes for its pixels, or ``""``.

    Args:
        instance: the original.
        path: the written file; its pixels are known to be as they should.
        identity: who it was said to be; of one that is only renamed nothing can be said.
        limits: bounds against hostile files.
        perturbed: whether it belongs to a series that was perturbed.

    Returns:
        A sentence.
    """
    if not isinstance(identity, Anonymous | Derived):
        return ""
    theirs = reader.read(path, limits, pixels=True)
    named = theirs.file_meta.get("TransferSyntaxUID")
    syntax = next((name for name, uid in pixel_data.SYNTAXES.items() if uid == named), "explicit-le")
    values, changed = None, False
    if perturbed:
        values = pixel_data.decode(theirs, limits)
        changed = bool((values != pixel_data.decode(reader.read(instance.path, limits, pixels=True), limits)).any())
    with tempfile.TemporaryDirectory(prefix="umed-") as folder:
        again = Path(folder)
        write_instance(instance, values, identity, again, syntax=syntax, protected=changed, limits=limits)
        ours = again / identity.target(instance)
        if ours.read_bytes() == path.read_bytes():
            return ""
        small = path.stat().st_size <= SLACK * ours.stat().st_size
        if small and syntax not in ("explicit-le", "deflated"):  # another version of the codec may have packed them
            same = _around(theirs) == _around(reader.read(ours, limits, pixels=True))
            return "" if same else _sentence(identity)
    return _sentence(identity)


def _around(dataset: FileDataset) -> bytes:
    """Bytes of a file but for its pixels."""
    del dataset.PixelData
    return b"".join(writing.chunks(dataset))


def _sentence(identity: Names) -> str:
    profile = f" under the profile {identity.profile.name!r}" if isinstance(identity, Anonymous) else ""
    return f"expected the header, file meta and end that this version of umed writes{profile}, got other bytes"
