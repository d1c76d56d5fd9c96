# SPDX-License-Identifier: Apache-2.0
"""MetaImage (``.mha``, ``.mhd`` with its data file) and NRRD (``.nrrd``, ``.nhdr`` with its data file).

The header is kept as text and written back byte for byte; only ``CompressedDataSize`` of a compressed MetaImage says
how many bytes follow, and so changes. What a header declares is compared with what is there before anything is
unpacked; then SimpleITK reads the file, too, and both must have the same values, so that they are what everybody sees.
Its reading also gives the geometry.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.core.types import Encoding, Volume
from umed.data.files import TEMPORARY
from umed.data.itk_layout import MOST_HEAD, RESAVE, ItkLayout
from umed.data.itk_stream import pack, packing_of, short, unpack
from umed.data.metaimage import is_metaimage, parse_metaimage, with_packed_size
from umed.data.nrrd import is_nrrd, parse_nrrd

_USUAL_HEAD = 1 << 14
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Turns positions of ITK, which count x and y towards left and back, into those of NIfTI, and the other way round."""


@dataclass(frozen=True, eq=False)
class ItkHeader:
    """What is needed to write a MetaImage or NRRD file back.

    Args:
        layout: what the header says, and its bytes.
        tail: bytes behind the voxels, usually none.
        affine: voxel to world, ``(4, 4)``, RAS mm as NIfTI has it; ``None`` where the header does not place the voxels.
        colours: samples a voxel of an RGB (3) or RGBA (4) image of bytes, 1 otherwise.
        notes: what a user should know about this file.
    """

    layout: ItkLayout
    tail: bytes = b""
    affine: NDArray[np.float64] | None = None
    colours: int = 1
    notes: tuple[str, ...] = ()


def is_itk(data: bytes) -> bool:
    """Whether bytes begin like a MetaImage or NRRD file."""
    return is_nrrd(data) or is_metaimage(data)


def parse(path: Path, data: bytes) -> ItkLayout:
    """Read the header of a file; InputError where umed could not write it back exactly."""
    return parse_nrrd(path, data) if data.startswith(b"NRRD") else parse_metaimage(path, data)


def is_attached(data: bytes) -> bool:
    """Whether bytes begin like a file that holds its voxels itself; damaged ones count, so that they are named."""
    try:
        return is_itk(data) and not parse(Path("image"), data).data_file
    except InputError:
        return True


def companions(path: Path) -> tuple[str, ...]:
    """Names of the files beside a header that hold its voxels; none where they follow it, or it cannot be read."""
    try:
        layout = _layout_of(path)
    except (InputError, OSError):
        return ()
    return (layout.data_file,) if layout.data_file else ()


def declared_shape(path: Path) -> tuple[tuple[int, ...], int]:
    """Sizes without components and number of values, as the header of a file says.

    Args:
        path: ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr``.

    Raises:
        InputError: when its header cannot be read.
        OSError: when the file cannot.
    """
    layout = _layout_of(path)
    return layout.grid, math.prod(layout.sizes)


def _layout_of(path: Path) -> ItkLayout:
    """What a header says, of which no more is read than needed."""
    with open(path, "rb") as file:
        start = file.read(_USUAL_HEAD)
        try:
            return parse(path, start)
        except InputError:  # of a header that goes on
            return parse(path, start + file.read(MOST_HEAD - len(start)))


def data_path(path: Path, name: str) -> Path:
    """Where the data file of a header lies; under a temporary name where the header has one."""
    return path.with_name((TEMPORARY if path.name.startswith(TEMPORARY) else "") + name)


def read(path: Path) -> Volume:
    """Read one image; its values stay as stored, in their byte order, and are read-only.

    Components (RGB, vectors, lists) become the last axis. A fourth axis longer than 1 is taken as channels, as NIfTI's.

    Args:
        path: ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr``.

    Returns:
        The volume, stored shape ``(X, Y[, Z][, C])``.

    Raises:
        InputError: for anything that could not be written back exactly, or that SimpleITK reads otherwise.
    """
    content = _bytes(path)
    layout = parse(path, content)
    beside: tuple[tuple[str, str], ...] = ()
    if layout.data_file:
        if len(content) > MOST_HEAD:
            raise InputError(f"{path}: expected a header of at most {MOST_HEAD} bytes, got {len(content)}. {RESAVE}.")
        place = data_path(path, layout.data_file)
        if not place.is_file():
            got = "nothing" if not place.exists() else "something else"
            raise InputError(f"{path}: expected its data file {layout.data_file} beside it, got {got}. Lay it there.")
        data = _bytes(place)
        beside = ((layout.data_file, hashlib.sha256(data).hexdigest()),)
        packed = memoryview(data)
    else:
        packed = memoryview(content)[len(layout.head) :]
    volume, whole = _decode(path, layout, packed)
    geometry, notes = _as_simpleitk_reads(path, layout, whole)
    spatial = len(volume.spatial_shape)
    assert isinstance(volume.header, ItkHeader)
    return replace(
        volume,
        spacing=tuple(size * layout.unit for size in geometry.spacing[:spatial])
        if layout.measured
        else (1.0,) * spatial,
        unit="mm" if layout.measured else "px",
        header=replace(volume.header, affine=geometry.affine if layout.placed else None, notes=notes),
        sha256=hashlib.sha256(content).hexdigest(),
        beside=beside,
    )


def decode(path: Path, data: bytes) -> Volume:
    """Read an image whose voxels follow its header from bytes in memory, without its geometry.

    Args:
        path: what they are called in errors.
        data: the file.

    Raises:
        InputError: as :func:`read` does, and where the voxels are in another file.
    """
    layout = parse(path, data)
    if layout.data_file:
        raise InputError(
            f"{path}: expected voxels behind the header, got the name of another file. Read it from there."
        )
    return _decode(path, layout, memoryview(data)[len(layout.head) :])[0]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error


def _decode(path: Path, layout: ItkLayout, data: memoryview) -> tuple[Volume, NDArray[Any]]:
    """The volume, and all values with the components last, as SimpleITK gives them but for the order of the axes."""
    layout = replace(layout, packing=packing_of(layout.packing, data))
    if layout.packed is not None and len(data) < layout.packed:
        raise short(path, layout.packed, len(data))
    raw, used = unpack(path, layout.packing, data[: layout.packed], layout.needed)
    if layout.packed is not None and used != layout.packed:
        raise InputError(
            f"{path}: expected {layout.packed} packed bytes by its header, got {used} and others behind them. {RESAVE}."
        )
    tail = bytes(data[used:])
    if tail and layout.exact:
        raise InputError(f"{path}: expected voxels at the start of the data, got other bytes before them. {RESAVE}.")
    values = np.frombuffer(raw, layout.dtype).reshape(layout.sizes, order="F")
    whole = values if layout.vector is None else np.moveaxis(values, layout.vector, -1)
    components = 1 if layout.vector is None else layout.sizes[layout.vector]
    grid, stored = layout.grid, whole
    if layout.vector is not None and components == 1:
        stored = stored[..., 0]
    if len(grid) == 4:
        if grid[3] > 1 and components > 1:
            raise InputError(f"{path}: expected at most one axis beyond the third, got sizes {layout.sizes}. Split it.")
        stored = stored[:, :, :, 0] if grid[3] == 1 else stored
    last = components > 1 or len(grid) == 4 and grid[3] > 1
    stored.flags.writeable = False
    spatial = stored.ndim - last
    colours = components if components in (3, 4) and layout.dtype == np.uint8 else 1
    volume = Volume(
        stored=stored,
        encoding=Encoding(layout.dtype.str),
        spacing=(1.0,) * spatial,
        unit="px",
        channels_last=bool(last),
        source=path,
        alpha=layout.alpha and components == 4,
        header=ItkHeader(layout, tail, colours=colours),
    )
    return volume, whole


@dataclass(frozen=True, eq=False)
class _Geometry:
    spacing: tuple[float, ...]
    affine: NDArray[np.float64]


def _as_simpleitk_reads(path: Path, layout: ItkLayout, whole: NDArray[Any]) -> tuple[_Geometry, tuple[str, ...]]:
    """Make sure that SimpleITK reads the same values; what it says of the geometry."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if layout.kind == "NRRD" else "MetaImageIO")
    notes: tuple[str, ...] = ()
    warned = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _under_its_name(path, layout) as place:
            reader.SetFileName(str(place))
            if layout.packing == "bzip2":  # which it knows, but cannot unpack
                reader.ReadImageInformation()
                size, image = reader.GetSize(), reader
                notes = ("is packed by bzip2, which SimpleITK and 3D Slicer cannot read; it is kept so",)
            else:
                image = reader.Execute()
                size = image.GetSize()
                _compare(path, layout, whole, SimpleITK.GetArrayViewFromImage(image))
    except RuntimeError as error:
        raise InputError(
            f"{path}: expected a file that SimpleITK reads, got its error: {_short(error)}. Repair it."
        ) from None
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(warned)
    if tuple(size) != layout.grid:
        raise _other(path, f"size {tuple(size)}")
    dims = len(size)
    affine = np.eye(4)
    spatial = min(dims, 3)
    direction = np.array(image.GetDirection()).reshape(dims, dims)[:spatial, :spatial]
    affine[:spatial, :spatial] = direction * np.array(image.GetSpacing()[:spatial])
    affine[:spatial, 3] = image.GetOrigin()[:spatial]
    return _Geometry(tuple(image.GetSpacing()), LPS @ affine), notes


def _compare(path: Path, layout: ItkLayout, whole: NDArray[Any], other: NDArray[Any]) -> None:
    """Both must hold the same bits."""
    axes = len(layout.grid)
    turned = whole.transpose(*range(axes)[::-1], *range(axes, whole.ndim))
    if layout.vector is not None and other.ndim < turned.ndim:
        turned = turned[..., 0]
    if turned.shape != other.shape or turned.dtype.newbyteorder("=") != other.dtype:
        raise _other(path, f"shape {other.shape[:axes][::-1]} of {other.dtype}")
    bits = np.dtype(f"u{other.dtype.itemsize}")
    for ours, theirs in zip(turned, other, strict=True):
        native = np.ascontiguousarray(ours, ours.dtype.newbyteorder("="))
        if not np.array_equal(native.view(bits), np.ascontiguousarray(theirs).view(bits)):
            raise _other(path, "other values")


def _other(path: Path, got: str) -> InputError:
    return InputError(f"{path}: expected what its header declares, got {got} from SimpleITK. {RESAVE}.")


def _short(error: Exception) -> str:
    """What SimpleITK says, without addresses and folders."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = re.sub(
        r"^.*?ERROR: |^\[nrrd\] \w+: |\w+\(0x[0-9a-f]+\): ?|(?:[A-Za-z]:)?[\\/][^\s\"':]*[\\/]",
        "",
        lines[-1] if lines else "",
    )
    return text.replace(TEMPORARY, "")[:200].rstrip(" .") or type(error).__name__


@contextmanager
def _under_its_name(path: Path, layout: ItkLayout) -> Iterator[Path]:
    """A path under which a header finds its data file, also while both have temporary names."""
    if not layout.data_file or not path.name.startswith(TEMPORARY):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="umed-") as folder:
        header = Path(folder, path.name.removeprefix(TEMPORARY))
        for source, target in ((path, header), (data_path(path, layout.data_file), Path(folder, layout.data_file))):
            try:
                os.symlink(source.absolute(), target)
            except OSError:  # a system that lets only some people make links
                shutil.copyfile(source, target)
        yield header


def encode(volume: Volume, stored: NDArray[Any]) -> tuple[bytes, list[bytes | memoryview]]:
    """What :func:`write` writes: the header, and the data, which follow it or lie in the file beside it."""
    header: ItkHeader = volume.header
    layout = header.layout
    if layout.vector is not None and layout.sizes[layout.vector] > 1:
        values = stored if len(layout.grid) < 4 else stored[:, :, :, None]
        stored = np.moveaxis(values, -1, layout.vector)
    voxels = np.ascontiguousarray(stored.T).reshape(-1)  # the first axis is the fastest: no copy when kept that way
    parts = list(pack(layout.packing, memoryview(voxels.view(np.uint8).data)))
    head = layout.head
    if layout.packed is not None:
        head = with_packed_size(head, sum(len(part) for part in parts))
    return head, [*parts, header.tail]


def write(volume: Volume, stored: NDArray[Any], path: Path) -> None:
    """Write new values under the header of ``volume``; the same input gives the same bytes.

    Args:
        volume: where the header comes from; must have been read by :func:`read`.
        stored: new stored values, same shape and dtype (byte order included) as ``volume.stored``.
        path: target; a data file beside it gets the name that the header says.
    """
    head, parts = encode(volume, stored)
    name = volume.header.layout.data_file
    with open(path, "wb") as file:
        file.write(head)
        if not name:
            file.writelines(parts)
    if name:
        with open(data_path(path, name), "wb") as file:
            file.writelines(parts)


def write_labels(volume: Volume, labels: NDArray[np.uint8], path: Path) -> None:
    """Write a label map ``volume.spatial_shape`` on the grid of an image, compressed.

    It has the geometry of the image and no more of its header.
    """
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(labels.T))
    header: ItkHeader = volume.header
    affine = np.diag([*volume.spacing, 1.0, 1.0][:3] + [1.0]) if header.affine is None else LPS @ header.affine
    dims = labels.ndim
    spacing = np.linalg.norm(affine[:dims, :dims], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:dims, :dims] / spacing).reshape(-1).tolist())
    image.SetOrigin(affine[:dims, 3].tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def header_difference(before: ItkHeader, after: ItkHeader) -> str:
    """Say how two files differ in anything but their values and how many bytes those take, or ``""``."""
    one, other = before.layout, after.layout
    if (one.kind, one.packing) != (other.kind, other.packing):
        return f"expected {one.kind} with {one.packing} data, got {other.kind} with {other.packing} data"
    heads = [with_packed_size(layout.head, 0) if layout.packed is not None else layout.head for layout in (one, other)]
    if heads[0] != heads[1]:
        place = next((i for i, (a, b) in enumerate(zip(*heads, strict=False)) if a != b), min(map(len, heads)))
        return f"expected identical header bytes, got a difference at byte {place}"
    return "" if before.tail == after.tail else "expected identical bytes after the voxels, got other ones"
