# SPDX-License-Identifier: Apache-2.0
"""Copies of a DICOM series as queries: a NIfTI volume, or a picture for each labelled frame that has no place in space.

Networks read these, and they hold pixels and their geometry only: no UID, no date, no name of the series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.cases.series_source import SeriesSource, open_released
from umed.cases.source import Request
from umed.cases.spans import slice_encoding
from umed.core.errors import InputError
from umed.core.keyfile import Key
from umed.core.types import Encoding
from umed.data import png
from umed.data.dicom_input import require_dicom
from umed.data.nifti import gzip_packer, head_bytes
from umed.deid.burned import blank
from umed.deid.keys import DeidKey
from umed.deid.profile import Rectangle
from umed.dicom.masks.label_files import MOST_SIDE, volume_header
from umed.dicom.masks.labels import RAS
from umed.dicom.objects import Geometry, Series
from umed.trace.drawn_copies import DrawnCopies, QueryImage, turn

RGB24 = 128
"""Code of NIfTI for voxels of three bytes."""


@contextmanager
def open_originals(root: Path, masks: Path | None, record: Mapping[str, Any], key: Key) -> Iterator[SeriesSource]:
    """Scan the series that a release was made of, under the names that its codes were drawn for.

    Args:
        root: folder or zip.
        masks: folder with masks that the run was given.
        record: private record of the release.
        key: of the release.

    Raises:
        InputError: when the libraries are missing, or nothing can be read.
    """
    require_dicom()
    with open_released(Request(root, None, masks=masks), record, DeidKey(key.secret), ()) as source:
        yield source


def series_images(
    source: SeriesSource, record: Mapping[str, Any], case: str, drawn: DrawnCopies
) -> tuple[NDArray[np.int16], list[QueryImage]]:
    """What a series is asked about.

    Args:
        source: where it belongs.
        record: private record of the release, which says what was blanked out.
        case: its id.
        drawn: its copies, ``(slices, rows, columns[, 3])``.

    Returns:
        Labels in the axes of the queries, ``(columns, rows, slices)`` or ``(frames, *picture)``, and the images.

    Raises:
        InputError: when a query cannot hold its values.
    """
    series = source.by_id[case]
    entry: Mapping[str, Any] = next((one for one in record["cases"] if one["id"] == case), {})
    names = [source.identity.target(instance).as_posix() for instance in series.instances]
    if aside := sum(name not in entry.get("sha256", {}) for name in names):  # nobody may see them
        raise InputError(f"{aside} of its files were put aside and not released")
    boxes = _boxes(names, entry.get("rectangles", {}))
    codes = [slice_encoding(series, index) for index in range(len(series.slices))]
    copies = [(role, _blanked(series, stored, boxes)) for role, [stored] in drawn.copies]
    if series.geometry is None:
        return _pictures(series, codes, drawn.labels, copies)
    if max(series.geometry.shape) > MOST_SIDE:
        raise InputError(f"a side is longer than {MOST_SIDE}, which NIfTI cannot say")
    if series.instances[0].samples > 1 and (np.dtype(codes[0].dtype) != np.uint8 or len(set(codes)) > 1):
        raise InputError("NIfTI has no colours of more than 8 bits; ask about other series")
    affine = _affine(series.geometry)
    images = [QueryImage(role, partial(_save_nifti, *_values(stored, codes), affine)) for role, stored in copies]
    return np.ascontiguousarray(drawn.labels.transpose(2, 1, 0)), images


def _pictures(
    series: Series, codes: Sequence[Encoding], labels: NDArray[np.int16], copies: Sequence[tuple[str, NDArray[Any]]]
) -> tuple[NDArray[np.int16], list[QueryImage]]:
    """A query for each frame with a label; PNG where it can hold all values, else NIfTI of two axes."""
    kinds = [np.dtype(one.dtype) for one in codes]
    plain = all(kind.kind == "u" and kind.itemsize <= 2 for kind in kinds)
    plain &= all((one.slope, one.inter) == (1, 0) for one in codes)
    if not plain and series.instances[0].samples > 1:
        raise InputError("its colours fit neither PNG nor NIfTI; ask about other series")
    rows, columns = series.spacing
    affine = np.diag([columns, rows, 1.0, 1.0])
    images = []
    for frame in (index for index, part in enumerate(labels) if part.any()):
        for role, stored in copies:
            save = partial(_save_png, stored[frame])
            if not plain:
                values, code = _values(stored[frame : frame + 1], codes[frame : frame + 1])
                save = partial(_save_nifti, values[:, :, 0], code, affine)
            images.append(QueryImage(role, save, frame))
    return labels if plain else np.ascontiguousarray(labels.transpose(0, 2, 1)), images


def _values(stored: NDArray[Any], codes: Sequence[Encoding]) -> tuple[NDArray[Any], Encoding]:
    """Slices as ``(columns, rows, slices[, 3])`` and what they mean; physical ones where that differs."""
    code = codes[0]
    if len(set(codes)) > 1:  # NIfTI has one slope for all
        pairs = zip(stored, codes, strict=True)
        stored = np.stack([(one * each.slope + each.inter).astype(np.float32) for one, each in pairs])
        code = Encoding("<f4")
    return np.moveaxis(stored, (0, 1, 2), (2, 1, 0)), code


def _save_png(stored: NDArray[Any], axes: Sequence[int], folder: Path, name: str) -> None:
    (folder / f"{name}.png").write_bytes(png.encode(turn(stored, axes)))


def _save_nifti(
    values: NDArray[Any], code: Encoding, affine: NDArray[np.float64], axes: Sequence[int], folder: Path, name: str
) -> None:
    """Write ``(columns, rows[, slices][, 3])``; the same values give the same bytes."""
    colour = values.ndim == 4
    header = volume_header(values.shape[:3], affine, np.uint8 if colour else values.dtype)
    if colour:
        header["datatype"], header["bitpix"] = RGB24, 24
    header["scl_slope"], header["scl_inter"] = code.slope, code.inter
    turned = turn(values, axes)
    body = np.moveaxis(turned, -1, 0) if colour else turned
    packer = gzip_packer()
    content = packer.compress(head_bytes(header))
    content += packer.compress(body.astype(body.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))
    (folder / f"{name}.nii.gz").write_bytes(content + packer.flush())


def _affine(geometry: Geometry) -> NDArray[np.float64]:
    """From column, row and slice to RAS mm; slices at uneven steps get the usual one, those at one place any."""
    lps = geometry.affine.copy()
    if not lps[:3, 0].any():
        lps[:3, 0] = geometry.normal * geometry.step
    return np.asarray(RAS @ lps[:, [2, 1, 0, 3]])


def _boxes(names: Sequence[str], blanked: Mapping[str, Any]) -> dict[int, tuple[Rectangle, ...]]:
    """Rectangles that the release blanked out, by place of the file in its series."""
    found = {}
    for number, name in enumerate(names):
        if boxes := blanked.get(name, ()):
            found[number] = tuple((int(top), int(left), int(height), int(width)) for top, left, height, width in boxes)
    return found


def _blanked(series: Series, stored: NDArray[Any], boxes: Mapping[int, tuple[Rectangle, ...]]) -> NDArray[Any]:
    """A copy without what the release does not show either, such as a name burned into the pixels."""
    if not boxes:
        return stored
    done = stored.copy()
    for file, rectangles in boxes.items():
        mine = [index for index, (number, _) in enumerate(series.slices) if number == file]
        inverted = series.instances[file].photometric == "MONOCHROME1"
        fill = int(stored[mine].max() if inverted else stored[mine].min())
        done[mine] = blank(stored[mine], rectangles, fill)
    return np.asarray(done)
