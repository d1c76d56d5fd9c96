# SPDX-License-Identifier: Apache-2.0
"""What the text header of a file says, as :mod:`umed.data.metaimage` and :mod:`umed.data.nrrd` read it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from umed.core.errors import InputError

MOST_HEAD = 1 << 22
"""Bytes of a text header, at most; that of a segmentation of 3D Slicer has some thousand."""
MOST_FIELDS = 20_000
Packing = Literal["raw", "zlib", "gzip", "bzip2"]
RESAVE = "Save it again with SimpleITK.WriteImage(SimpleITK.ReadImage(old), new, useCompression=True)"
_NO_DATA = re.compile(
    r".*\.(?:mha|mhd|nrrd|nhdr|nii|gii|png|tiff?|jpe?g|dcm|json|ya?ml|html?|txt|md|csv|tsv)|.*\.nii\.gz|licen[cs]e.*|copying.*",
    re.IGNORECASE,
)
"""Names that mean something else than bare voxels."""


@dataclass(frozen=True)
class ItkLayout:
    """How the voxels of a file are laid out.

    Args:
        kind: ``"MetaImage"`` or ``"NRRD"``.
        head: the header text as bytes: up to the first voxel, or all of a file whose voxels lie in another.
        end: where the text ends that counts; what stands behind it in ``head`` nobody reads.
        sizes: length of each axis, fastest first, that of the components included.
        vector: which axis counts components (RGB, vectors, lists); ``None`` for scalars.
        dtype: of a stored value, with byte order.
        packing: how the voxels are packed.
        data_file: name of the file beside this one that holds the voxels; empty where they follow the header.
        packed: packed bytes as the header counts them (MetaImage), ``None`` where it does not.
        exact: whether nothing may stand before or behind the voxels, since they are counted from the end of the file.
        measured: whether the header knows the size of a voxel.
        placed: whether it says where the voxels lie.
        unit: millimetres in its unit of length.
        alpha: whether the last component is an alpha plane.
        fields: every field, key and comment with its value, in order.
    """

    kind: str
    head: bytes
    end: int
    sizes: tuple[int, ...]
    vector: int | None
    dtype: np.dtype[Any]
    packing: Packing
    data_file: str
    packed: int | None = None
    exact: bool = False
    measured: bool = True
    placed: bool = True
    unit: float = 1.0
    alpha: bool = False
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        """Sizes without the axis of components."""
        return tuple(n for axis, n in enumerate(self.sizes) if axis != self.vector)

    @property
    def needed(self) -> int:
        """Unpacked bytes of all voxels."""
        return math.prod(self.sizes) * self.dtype.itemsize


def whole_numbers(path: Path, field: str, text: str, count: int | None = None) -> tuple[int, ...]:
    """Positive whole numbers of a field; ``count`` of them where that is known."""
    words = text.split()
    good = all(word.isascii() and word.isdigit() and len(word) < 19 and int(word) > 0 for word in words)
    if not words or not good or (count is not None and len(words) != count):
        wanted = "positive whole numbers" if count is None else f"{count} positive whole number(s)"
        raise InputError(f"{path}: expected {wanted} in {field}, got {text[:60]!r}. Repair its header.")
    return tuple(int(word) for word in words)


def data_name(path: Path, field: str, text: str) -> str:
    """Name of a data file that lies beside its header; anything else is refused.

    Args:
        path: the header.
        field: where the name stands.
        text: as it stands there.
    """
    words, name = text.split(), text.removeprefix("./")
    if words[:1] in (["LIST"], ["list"], ["List"]) or "%" in text:
        raise InputError(f"{path}: expected one data file, got several ({field}: {text[:60]}). {RESAVE}.")
    if not name or "/" in name or "\\" in name or ":" in name or name.startswith(".") or not name.isprintable():
        raise InputError(
            f"{path}: expected a data file in the folder of its header, got {field}: {text[:120]!r}, which may lead "
            "elsewhere. Lay the data file beside the header, and write its bare name there."
        )
    if name == path.name or _NO_DATA.fullmatch(name):
        raise InputError(
            f"{path}: expected a file of bare voxels such as {path.stem}.raw, got {field}: {name}, which is a file of "
            f"another kind. {RESAVE}."
        )
    return name
