# SPDX-License-Identifier: Apache-2.0
"""NIfTI-1 and NIfTI-2 single files, plain or gzipped, read and written without touching a byte of the header.

Everything before the voxels (header, magic, extensions) and everything after them is kept as bytes and written back
as it was. The voxels are taken as stored integers or floats in their own byte order and never rescaled, so what is
written differs from the source in the changed voxels only. Format: https://nifti.nimh.nih.gov/nifti-1 and
.../nifti-2.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.core.types import Encoding, Volume
from umed.data.declared_size import FREE, check_bytes, gunzip_within

LEVEL = 1
"""zlib level of written ``.nii.gz``: nibabel's own default, several times faster than 6 for a few per cent of size."""
_BLOCK = 1 << 24
_START = 1 << 17  # of a file: its header lies there, packed or not
_COLOURS = {128: 3, 2304: 4}  # NIfTI datatype codes RGB24 and RGBA32: bytes a voxel
_SIZES = [size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big")]  # how a header begins
_PLACE = (
    *("xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
"""Fields of a header that say where the voxels lie, beside the shape and ``pixdim``."""
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What is needed to write a NIfTI file back.

    Args:
        head: all bytes before the voxels.
        tail: all bytes after them, usually none.
        zipped: whether the file is gzipped.
        colours: samples a voxel of an RGB (3) or RGBA (4) file, 1 otherwise.
        grid: shape as the header has it, with axes of size 1 that :class:`umed.core.types.Volume` leaves out.
        affine: voxel to world, ``(4, 4)``, mm; ``None`` where neither qform nor sform is set.
        notes: what a user should know about this header.
    """

    head: bytes
    tail: bytes
    zipped: bool
    colours: int
    grid: tuple[int, ...]
    affine: NDArray[np.float64] | None
    notes: tuple[str, ...] = ()


def read(path: Path) -> Volume:
    """Read one NIfTI file; its voxels stay as stored and are read-only.

    A fourth axis longer than 1 is taken as channels (Decathlon modalities, or the frames of a series, which then share
    one 3-D label). RGB and RGBA voxels become a last axis of 3 or 4 bytes. Axes of size 1 beyond the third are left
    out.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.

    Returns:
        The volume, stored shape ``(X, Y[, Z][, C])``.

    Raises:
        InputError: for anything that could not be written back exactly.
    """
    return decode(path, *_load(path))


def declared_shape(path: Path) -> tuple[tuple[int, ...], int]:
    """Shape and number of values of a file as its header says, from its first bytes.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.

    Raises:
        InputError: as :func:`read` does, of the header.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
    if start[:2] == b"\x1f\x8b":
        start = bytes(_unpacked(path, start, 539))
    header = _parse(path, start)
    grid = tuple(int(n) for n in header.get_data_shape())
    return grid, math.prod(grid) * _COLOURS.get(int(header["datatype"]), 1)


def decode(path: Path, raw: bytes | bytearray, zipped: bool, digest: str) -> Volume:
    """Like :func:`read`, of bytes in memory.

    Args:
        path: what they are called in errors.
        raw: the file, unpacked.
        zipped: whether it was gzipped.
        digest: SHA-256 of the file as it lay.

    Raises:
        InputError: as :func:`read` does.
    """
    header = _parse(path, bytes(raw[:540]))
    code = int(header["datatype"])
    colours = _COLOURS.get(code, 1)
    dtype = np.dtype(np.uint8) if colours > 1 else _voxel_type(path, header)
    grid = tuple(int(n) for n in header.get_data_shape())
    if len(grid) < 2 or min(grid) < 1:
        raise InputError(f"{path}: expected a 2-D to 4-D image, got shape {grid}. Remove it or repair its header.")
    offset = int(header.get_data_offset())
    needed = offset + math.prod(grid) * colours * dtype.itemsize
    if offset < int(header["sizeof_hdr"]) + 4 or needed > len(raw):
        raise InputError(
            f"{path}: expected {needed} bytes for shape {grid} of {dtype} from offset {offset}, got {len(raw)}. "
            "The file is cut short or its header is damaged: fetch it again."
        )
    flat = np.frombuffer(memoryview(raw).toreadonly(), dtype, count=math.prod(grid) * colours, offset=offset)
    stored, channels_last = _arrange(path, flat, grid, colours)
    slope, inter = _scaling(path, header) if colours == 1 else (1.0, 0.0)
    spatial = stored.ndim - channels_last
    spacing, unit = _spacing(header, spatial)
    affine, notes = _orientation(header)
    return Volume(
        stored=stored,
        encoding=Encoding(dtype=dtype.str, slope=slope, inter=inter),
        spacing=spacing,
        unit=unit,
        channels_last=channels_last,
        source=path,
        alpha=colours == 4,
        header=NiftiHeader(bytes(raw[:offset]), bytes(raw[needed:]), zipped, colours, grid, affine, notes),
        sha256=digest,
    )


def write(volume: Volume, stored: NDArray[Any], path: Path) -> None:
    """Write new voxels under the header bytes of ``volume``; the same input gives the same bytes.

    Args:
        volume: where the header comes from; must have been read by :func:`read`.
        stored: new stored values, same shape and dtype (byte order included) as ``volume.stored``.
        path: target; whether it is gzipped follows the source, not this name.
    """
    with open(path, "wb") as file:
        file.writelines(pieces(volume, stored))


def pieces(volume: Volume, stored: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """What :func:`write` writes, piece by piece."""
    header: NiftiHeader = volume.header
    if header.colours > 1:
        stored = np.moveaxis(stored, -1, 0)
    voxels = memoryview(
        np.ascontiguousarray(stored.T).reshape(-1).view(np.uint8).data
    )  # Fortran order on disk: no copy when kept that way
    if not header.zipped:
        yield from (header.head, voxels, header.tail)
        return
    packer = gzip_packer()
    yield packer.compress(header.head)
    for start in range(0, len(voxels), _BLOCK):
        yield packer.compress(voxels[start : start + _BLOCK])
    yield packer.compress(header.tail) + packer.flush()


def write_labels(volume: Volume, labels: NDArray[np.uint8], path: Path) -> None:
    """Write a label map ``volume.spatial_shape`` on the grid of an image: its geometry and no more of its header.

    NIfTI-1 or -2, byte order and gzip are those of the image.
    """
    source: NiftiHeader = volume.header
    kind = Nifti2Header if len(source.head) >= 540 and source.head[4:8] == b"n+2\0" else Nifti1Header
    old = kind(source.head[: kind.sizeof_hdr], check=False)
    header = kind(endianness=old.endianness)
    header.set_data_shape(labels.shape)
    header.set_data_dtype(np.uint8)
    header["pixdim"][: labels.ndim + 1] = old["pixdim"][: labels.ndim + 1]
    for name in _PLACE:
        header[name] = old[name]
    content = head_bytes(header) + np.asfortranarray(labels).tobytes(order="F")
    if source.zipped:
        packer = gzip_packer()
        content = packer.compress(content) + packer.flush()
    path.write_bytes(content)


def head_bytes(header: Nifti1Header) -> bytes:
    """What stands before the voxels of a single file without extensions."""
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    return bytes(header.binaryblock) + bytes(header.single_vox_offset - header.sizeof_hdr)


def gzip_packer() -> Any:
    """A compressor that makes gzip without time stamp and file name, so that the same input gives the same bytes."""
    return zlib.compressobj(LEVEL, zlib.DEFLATED, 31)


def _load(path: Path) -> tuple[bytes | bytearray, bool, str]:
    """All bytes of the file, unpacked as far as its header says, whether they were, and its checksum as it lies."""
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
    digest = hashlib.sha256(packed).hexdigest()
    zipped = packed[:2] == b"\x1f\x8b"
    named = path.name.lower().endswith(".gz")
    if named and not zipped and packed[:4] not in _SIZES:
        raise InputError(
            f"{path}: expected gzipped data, got {'other bytes' if packed else 'an empty file'}. Fetch it again."
        )
    if zipped != named:
        raise InputError(
            f"{path}: expected {'a plain' if zipped else 'a gzipped'} file from its name, got "
            f"{'gzipped' if zipped else 'plain'} bytes. Rename it so that it ends in {'.nii.gz' if zipped else '.nii'}."
        )
    if not zipped:
        return packed, False, digest
    needed = _size(_parse(path, bytes(_unpacked(path, packed[:_START], 539))))
    check_bytes(path, needed, len(packed))
    raw = _unpacked(path, packed, needed + FREE)
    if len(raw) > needed + FREE:
        raise InputError(
            f"{path}: expected {needed} bytes by its header and at most {FREE} behind them, got more in the gzip "
            "stream. Repair its header, or fetch it again."
        )
    return raw, True, digest


def _unpacked(path: Path, packed: bytes, most: int) -> bytes | bytearray:
    """What was gzipped, and no more than one byte beyond a bound."""
    try:
        return gunzip_within(packed, most)
    except EOFError as error:
        raise InputError(f"{path}: expected a whole gzip stream, got one cut short. Fetch the file again.") from error
    except zlib.error as error:
        raise InputError(f"{path}: expected gzipped data, got a damaged stream ({error}). Fetch it again.") from error


def _size(header: Nifti1Header) -> int:
    """Bytes that a file has by its header; those before the voxels where the type of these is not known."""
    try:
        itemsize = int(np.dtype(header.get_data_dtype()).itemsize)
        offset = int(header.get_data_offset())
    except (HeaderDataError, KeyError, ValueError, OverflowError):
        return 0
    return max(offset, 0) + math.prod(max(int(n), 0) for n in header.get_data_shape()) * itemsize


def _parse(path: Path, raw: bytes) -> Nifti1Header:
    """The header as nibabel reads it, once it is clear that it is a single-file NIfTI image."""
    sizes = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    kind = 540 if 540 in sizes else 348
    magic = raw[4:8] if kind == 540 else raw[344:348]
    found = {b"n+1\0": "", b"n+2\0": "", b"ni1\0": "a NIfTI header/image pair", b"ni2\0": "a NIfTI header/image pair"}
    what = found.get(magic, "an Analyze 7.5 file" if sizes & {348} else "something else")
    if what or not sizes & {348, 540}:
        raise InputError(
            f"{path}: expected a single-file NIfTI-1 or NIfTI-2 image, got {what}. Convert it to .nii.gz first, "
            "for example with nibabel.save(nibabel.load(old), new)."
        )
    try:
        header = (Nifti2Header if kind == 540 else Nifti1Header)(raw[:kind], check=False)
        header.get_data_shape()
    except (HeaderDataError, WrapStructError, ValueError) as error:
        raise InputError(f"{path}: expected a valid NIfTI header, got: {error}. Repair or remove the file.") from error
    if 3000 <= int(header["intent_code"]) <= 3099:
        raise InputError(f"{path}: expected an image, got CIFTI-2 data (surfaces). Protect the volumes it came from.")
    return header


def _voxel_type(path: Path, header: Nifti1Header) -> np.dtype[Any]:
    """Dtype of the stored values with the byte order of the file."""
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError, ValueError) as error:
        raise InputError(f"{path}: expected a known NIfTI datatype, got {error}. Repair or remove the file.") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.fields:
        raise InputError(
            f"{path}: expected integers or 32- or 64-bit floats, got {dtype}. Convert it first (for complex data, "
            "release magnitude and phase as separate files)."
        )
    return dtype.newbyteorder(header.endianness) if dtype.itemsize > 1 else dtype


def _arrange(path: Path, flat: NDArray[Any], grid: tuple[int, ...], colours: int) -> tuple[NDArray[Any], bool]:
    """View the voxels as ``(*spatial)`` or ``(*spatial, C)``."""
    spatial, rest = grid[:3], tuple(n for n in grid[3:] if n > 1)
    if len(rest) > 1 or (rest and colours > 1):
        raise InputError(
            f"{path}: expected at most one axis beyond the third, got shape {grid} with {colours} samples a voxel. "
            "Split it into 4-D files."
        )
    if colours > 1:
        return np.moveaxis(flat.reshape((colours, *spatial), order="F"), 0, -1), True
    return flat.reshape(spatial + rest, order="F"), bool(rest)


def _scaling(path: Path, header: Nifti1Header) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN means that the file has none."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise InputError(f"{path}: expected a finite scl_inter beside slope {slope}, got {inter}. Repair it.")
    return slope, inter


def _spacing(header: Nifti1Header, dimensions: int) -> tuple[tuple[float, ...], Literal["mm", "px"]]:
    """Voxel size in mm, or ones where the header has no usable size."""
    try:
        factor = _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    except KeyError:
        factor = 1.0
    sizes = tuple(abs(float(size)) * factor for size in header["pixdim"][1 : dimensions + 1])
    if all(math.isfinite(size) and size > 0 for size in sizes):
        return sizes, "mm"
    return (1.0,) * dimensions, "px"


def _orientation(header: Nifti1Header) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Best affine (sform before qform), and a note where the two disagree; both stay in the file."""
    if not header["qform_code"] and not header["sform_code"]:
        return None, ()
    try:
        best = np.asarray(header.get_best_affine(), np.float64)
        if header["qform_code"] and header["sform_code"]:
            other = np.asarray(header.get_qform(), np.float64)
            if not np.allclose(best, other, atol=1e-2):
                return best, ("qform and sform differ; both are kept as they are, and the sform is the one compared",)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        return None, (f"orientation cannot be read ({error}); it is kept as it is and not compared",)
    return best, ()
