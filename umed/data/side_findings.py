# SPDX-License-Identifier: Apache-2.0
"""Text in the header fields of a data set, before anything is protected: what may name somebody goes out as it is."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from umed.core.types import Dataset
from umed.data import formats, itk, itk_layout
from umed.data.known_text import text_kind
from umed.data.nifti_fields import nifti_layout
from umed.data.side_data import side_data
from umed.data.unpacking import GZIP, gunzip

QUOTED = 60
SHOWN = 3
_MOST_HEAD = 1 << 24
CURE = {
    "free": "clear it in INPUT if it names somebody, else accept it: umed check-release OUTPUT --accept-text FIELD",
    "device": "clear it in INPUT if it says where",
    "date": "clear it in INPUT if it says when somebody was seen",
}
"""What to do, by kind of text."""


@dataclass(frozen=True)
class FieldText:
    """Text in a header field.

    Args:
        file: relative to the data set.
        field: such as ``"nifti.descrip"``, as ``umed check-release`` calls it.
        kind: ``"free"``, ``"device"`` or ``"date"``, see :mod:`umed.data.known_text`.
        excerpt: its beginning; for the steward alone, never for what is published.
    """

    file: str
    field: str
    kind: str
    excerpt: str


def field_texts(path: Path, name: str) -> list[FieldText]:
    """What stands in the header fields of a file and is not what programs write.

    Args:
        path: an image or a label; of NIfTI only what precedes the voxels is read.
        name: for the findings.

    Returns:
        One finding a field; none of a file that cannot be read, which is said elsewhere.
    """
    try:
        data, texts = _head(path)
    except (OSError, zlib.error):
        return []
    found = (*texts, *side_data(data).texts)
    kinds = [(field, text_kind(field, text), text[:QUOTED]) for field, text in found]
    return [FieldText(name, field, kind, text) for field, kind, text in kinds if kind != "known"]


def _head(path: Path) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A whole picture; of NIfTI the part before the voxels. And what a gzip header says but for the file's own name."""
    with open(path, "rb") as file:
        start = file.read(1 << 16)
        zipped = start.startswith(GZIP)
        opened = gunzip(start, 1 << 16) if zipped else None
        head = start if opened is None else opened.content
        layout = nifti_layout(head[:540])
        texts = () if opened is None else opened.texts
        own = {path.name.casefold(), path.name.casefold().removesuffix(".gz")}
        texts = tuple(pair for pair in texts if pair[0] != "gzip.name" or pair[1].casefold() not in own)
        if layout is None and itk.is_itk(start):  # header and voxels in one file: the text stands before them
            return start + file.read(itk_layout.MOST_HEAD - len(start)), texts
        if layout is None:
            return (start + file.read(), texts) if not zipped else (head, texts)
        wanted = min(layout.offset, _MOST_HEAD)
        if len(head) < wanted:
            rest = start + file.read(_MOST_HEAD)
            head = gunzip(rest, wanted).content if zipped else rest
        return head[:wanted], texts


def dataset_texts(dataset: Dataset) -> tuple[FieldText, ...]:
    """What the images and labels of a data set say in their header fields; see :func:`field_texts`."""
    images = {path for case in dataset.cases for path in case.images}
    labels = {path for case in dataset.cases for path in case.labels}
    return tuple(
        one
        for path in sorted(images | labels)
        if formats.looks_like_image(path)
        for one in field_texts(dataset.root / path, path.as_posix())
        if path in labels or not one.field.startswith("gzip.")  # an image is packed anew, without a name
    )


def text_lines(found: Iterable[FieldText]) -> list[str]:
    """One line a field: in how many files, three examples, what to do."""
    fields: dict[tuple[str, str], list[FieldText]] = {}
    for one in found:
        fields.setdefault((one.kind, one.field), []).append(one)
    lines = []
    for (kind, field), some in sorted(fields.items(), key=lambda item: (item[0][0] != "free", item[0])):
        what = {"free": "text that may name somebody", "device": "the name of a device", "date": "a date or time"}[kind]
        shown = "; ".join(f"{one.file}: {one.excerpt!r}" for one in some[:SHOWN])
        files = f"{len(some)} file{'' if len(some) == 1 else 's'}"
        lines.append(f"warning: {field} holds {what} in {files} ({shown}); it is kept as it is: {CURE[kind]}")
    return lines
