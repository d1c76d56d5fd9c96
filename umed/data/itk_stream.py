# SPDX-License-Identifier: Apache-2.0
"""Voxels of MetaImage and NRRD files, unpacked within bounds and packed again; the same input gives the same bytes."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from umed.core.errors import InputError
from umed.data.itk_layout import Packing
from umed.data.nifti import LEVEL

_CHUNK = 1 << 16
_BLOCK = 1 << 24
_RATIO = 1040
"""Nothing that zlib or gzip has packed becomes more than this many times as large."""
_MOST = 1 << 31
_GZIP = b"\x1f\x8b"


def unpack(path: Path, packing: Packing, data: memoryview, needed: int) -> tuple[memoryview, int]:
    """Unpack just as many bytes as the header declares; never more memory than that.

    Args:
        path: for errors.
        packing: how they are packed.
        data: the packed bytes, and perhaps others behind them.
        needed: bytes of all voxels.

    Returns:
        The voxels, and how many bytes of ``data`` they took.

    Raises:
        InputError: when there are fewer, or more in the packed stream.
    """
    if packing == "raw":
        if len(data) < needed:
            raise short(path, needed, len(data))
        return data[:needed], needed
    if packing == "bzip2" and needed > _MOST:
        raise InputError(
            f"{path}: expected at most {_MOST} bytes of voxels packed by bzip2, whose size tells nothing about what it "
            f"unpacks to, got {needed} by its header. Save it again with encoding gzip."
        )
    if packing != "bzip2" and needed > _RATIO * len(data):  # before anything is allocated
        raise InputError(
            f"{path}: expected {needed} bytes of voxels by its header, got {len(data)} packed bytes, which cannot hold "
            "as many. The file is cut short or its header is damaged: fetch it again."
        )
    out, place = bytearray(), 0
    try:
        while True:
            unpacker = _unpacker(packing)
            while not unpacker.eof and place < len(data) and len(out) <= needed:
                chunk = data[place : place + _CHUNK]
                place += len(chunk)
                out += unpacker.decompress(chunk, needed + 1 - len(out))
                while not unpacker.eof and len(out) <= needed and _more(unpacker):
                    out += unpacker.decompress(_rest(unpacker), needed + 1 - len(out))
            if len(out) > needed:
                raise InputError(
                    f"{path}: expected {needed} bytes of voxels by its header, got more in the packed data. Repair its "
                    "header or fetch the file again."
                )
            if not unpacker.eof:
                raise short(path, needed, len(out))
            place -= len(unpacker.unused_data)
            if len(out) == needed:
                return memoryview(out).toreadonly(), place
            if packing == "zlib" or place >= len(data):  # the others may be packed in several runs
                raise short(path, needed, len(out))
    except (zlib.error, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: expected {packing} data, got a damaged stream ({error}). Fetch it again.") from error


def short(path: Path, needed: int, got: int) -> InputError:
    """The error for too few voxels."""
    return InputError(
        f"{path}: expected {needed} bytes of voxels by its header, got {got}. The file is cut short or its header is "
        "damaged: fetch it again."
    )


def _unpacker(packing: Packing) -> Any:
    return bz2.BZ2Decompressor() if packing == "bzip2" else zlib.decompressobj(31 if packing == "gzip" else 15)


def _more(unpacker: Any) -> bool:
    """Whether an unpacker that was stopped by its bound holds more."""
    if hasattr(unpacker, "unconsumed_tail"):
        return bool(unpacker.unconsumed_tail)
    return not unpacker.needs_input


def _rest(unpacker: Any) -> bytes:
    return unpacker.unconsumed_tail if hasattr(unpacker, "unconsumed_tail") else b""


def pack(packing: Packing, voxels: memoryview) -> Iterator[bytes | memoryview]:
    """Pack voxels, without time stamp and file name."""
    if packing == "raw":
        yield voxels
        return
    packer: Any = bz2.BZ2Compressor(9)
    if packing != "bzip2":
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31 if packing == "gzip" else 15)
    for start in range(0, len(voxels), _BLOCK):
        yield packer.compress(voxels[start : start + _BLOCK])
    yield packer.flush()


def packing_of(packing: Packing, data: memoryview) -> Packing:
    """What really packed the data of a MetaImage, whose header only says that they are: zlib, or gzip."""
    return "gzip" if packing == "zlib" and bytes(data[:2]) == _GZIP else packing
