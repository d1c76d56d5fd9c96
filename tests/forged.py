# SPDX-License-Identifier: Apache-2.0
"""What a forger does to a finished release. He has the originals, umed and its code, but not the key."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import tifffile
from numpy.typing import NDArray

from umed.data import files, formats, png, tiff

Change = Callable[[NDArray[Any], NDArray[Any], NDArray[np.bool_]], None]
MANIFEST = "umed/manifest.json"


def state(output: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Make the public manifest fit what lies in the output, as far as it goes without the key."""
    path = output / MANIFEST
    content = json.loads(path.read_text())
    there = {p.relative_to(output).as_posix(): p for p in output.rglob("*") if p.is_file()}
    del there[MANIFEST]
    known = content["files"]
    content["files"] = {
        name: {"what": known.get(name, {"what": "other"})["what"], "sha256": files.sha256(p)}
        for name, p in sorted(there.items())
    }
    if change is not None:
        change(content)
    path.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")


def values(root: Path, output: Path, name: str, label: str, change: Change) -> None:
    """Write other values into an image; ``change`` gets new and old values, and where they are labelled."""
    old, new = formats.read(root / name), formats.read(output / name)
    stored = np.array(new.stored)
    labelled = np.asarray(formats.read(root / label).stored) > 0
    change(stored, np.asarray(old.stored), labelled)
    formats.write(new, stored, output / name)


def blank(new: NDArray[Any], old: NDArray[Any], labelled: NDArray[np.bool_]) -> None:
    """The lesion is gone."""
    new[labelled] = 0


def restore(new: NDArray[Any], old: NDArray[Any], labelled: NDArray[np.bool_]) -> None:
    """The original, but for one voxel."""
    place = tuple(np.argwhere(new != old)[0])
    kept = new[place]
    new[...] = old
    new[place] = kept


def restore_all(new: NDArray[Any], old: NDArray[Any], labelled: NDArray[np.bool_]) -> None:
    """The original."""
    new[...] = old


def restore_class(new: NDArray[Any], old: NDArray[Any], labelled: NDArray[np.bool_]) -> None:
    """The original where it is labelled; only the band around is protected."""
    new[labelled] = old[labelled]


def swap(one: Path, other: Path) -> None:
    """Two files change names."""
    aside = one.with_name("aside")
    shutil.move(one, aside)
    shutil.move(other, one)
    shutil.move(aside, other)


def link(path: Path, away: Path) -> None:
    """A link to the very same bytes instead of a file or folder."""
    shutil.move(path, away)
    path.symlink_to(away)


def gzip_name(path: Path) -> None:
    """The same content; a name in the gzip header (RFC 1952, FNAME)."""
    raw = path.read_bytes()
    path.write_bytes(raw[:3] + bytes([raw[3] | 8]) + raw[4:10] + b"Erika_Muster.nii\0" + raw[10:])


def gzip_time(path: Path) -> None:
    """The same content, and when it was packed."""
    raw = path.read_bytes()
    path.write_bytes(raw[:4] + struct.pack("<I", 1_700_000_000) + raw[8:])


def gzip_member(path: Path, content: bytes) -> None:
    """Another gzip member behind the first."""
    path.write_bytes(path.read_bytes() + gzip.compress(content))


def append(path: Path, content: bytes) -> None:
    """Bytes behind the end."""
    path.write_bytes(path.read_bytes() + content)


def gzip_loose(path: Path) -> None:
    """The same content in stored blocks, between which anything fits."""
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    path.write_bytes(packer.compress(gzip.decompress(path.read_bytes())) + packer.flush())


def png_chunk(path: Path, kind: bytes, body: bytes) -> None:
    """Another chunk before the last."""
    raw = path.read_bytes()
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(raw[:-12] + chunk + raw[-12:])


def repack(path: Path, change: Callable[[bytes, bytes], bytes]) -> None:
    """Other bodies of the chunks of a PNG."""
    parts = [(kind, change(kind, body)) for kind, body in png.chunks(path.read_bytes())]
    chunks = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    path.write_bytes(png.SIGNATURE + b"".join(chunks))


def png_idat(path: Path, content: bytes) -> None:
    """Bytes behind the packed pixels, within their chunk."""
    repack(path, lambda kind, body: body + content if kind == b"IDAT" else body)


def tiff_page(path: Path, pixels: NDArray[Any]) -> None:
    """A second page."""
    tifffile.imwrite(path, pixels, append=True, metadata=None)


def tiff_text(path: Path, text: str) -> None:
    """The same pixels and fields, written as umed writes them, and a description."""
    found = formats.read(path)
    entry = (270, 2, text.encode() + b"\0")
    kept = tuple(sorted((*(one for one in found.header.kept if one[0] != 270), entry), key=lambda one: one[0]))
    path.write_bytes(tiff.encode(found.header.layout, kept, found.stored))


def dicom(path: Path, change: Callable[[pydicom.FileDataset], None]) -> None:
    """Change elements of a DICOM file."""
    found = pydicom.dcmread(path)
    change(found)
    found.save_as(path, enforce_file_format=True)


def dicom_values(original: Path, path: Path, change: Change) -> None:
    """Write other pixels into a DICOM file."""
    old, new = pydicom.dcmread(original), pydicom.dcmread(path)
    pixels = new.pixel_array.copy()
    labelled = np.zeros(pixels.shape, bool)
    labelled[10:26, 12:30] = True  # as tests.release_files.labels has it
    change(pixels, old.pixel_array, labelled)
    new.PixelData = pixels.tobytes()
    new.save_as(path, enforce_file_format=True)


def tiff_strip(data: bytes, content: bytes) -> bytes:
    """Bytes behind the packed pixels of the last strip, and counted with them; a strip elsewhere moves to the end."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, order = file.pages[0], file.byteorder
        assert isinstance(page, tifffile.TiffPage)
        where, count = page.dataoffsets[-1], page.databytecounts[-1]
        tags = {tag.name.removeprefix("Strip").removeprefix("Tile"): tag for tag in page.tags.values()}
    strip, last = data[where : where + count], where + count == len(data)
    found = bytearray(data if last else data[:where] + bytes(count) + data[where + count :] + strip) + content
    for name, value in {"Offsets": len(found) - count - len(content), "ByteCounts": count + len(content)}.items():
        form = {3: "H", 4: "I", 16: "Q"}[int(tags[name].dtype)]
        place = tags[name].valueoffset + (tags[name].count - 1) * struct.calcsize(form)
        struct.pack_into(order + form, found, place, value)
    return bytes(found)
