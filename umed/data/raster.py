# SPDX-License-Identifier: Apache-2.0
"""PNG, TIFF and JPEG images: bit depth, colour type and everything beside the pixels kept, lossless out.

Kept byte for byte: text, EXIF, colour profile, resolution, private fields. Left out and named: what would give the
original back (thumbnails, smaller pages) and what belongs to the old pixels. JPEG is read and written as PNG, because a
lossy file cannot hold a bound.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from umed.core.errors import GeometryError, InputError
from umed.core.types import Encoding, Volume
from umed.data import jpeg_segments, png, png_chunks, tiff
from umed.data.picture_size import check_png, open_picture
from umed.data.thumbnails import exif_orientation
from umed.data.tiff import refused
from umed.data.tiff_pixels import TiffLayout

JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class RasterHeader:
    """What is needed to write a raster image back.

    Args:
        samples: samples a pixel.
        kept: PNG chunks around the pixels as ``(kind, body)``, or TIFF tags as ``(code, type, bytes)``.
        dropped: what is not written again, in words that quote nothing of the file.
        layout: how the pixels of a TIFF lie in it.
        orientation: of the picture as viewers show it, as EXIF counts; 1 is upright.
    """

    samples: int
    kept: tuple[Any, ...] = ()
    dropped: tuple[str, ...] = ()
    layout: TiffLayout | None = None
    orientation: int = 1


def read(path: Path) -> Volume:
    """Read one PNG, TIFF or JPEG file.

    Args:
        path: the file; its ending says which reader is used.

    Returns:
        The volume, stored shape ``(H, W)`` for grey, ``(H, W, 3 or 4)`` for colour, ``(H, W, 2)`` for grey with alpha.

    Raises:
        InputError: for palettes, several pages, below 8 bits, and all else that could not be written back exactly.
    """
    ending = path.suffix.lower()
    try:
        data = path.read_bytes()
        if ending in TIFF:
            stored, header, alpha = _read_tiff(path, data)
        elif ending in JPEG:
            stored, header, alpha = _read_jpeg(path, data)
        else:
            stored, header, alpha = _read_png(path, data)
    except UnidentifiedImageError as error:  # whose own message names an address in memory
        raise InputError(
            f"{path}: expected a readable {ending} image, got bytes of another kind. Check the file."
        ) from error
    except (OSError, ValueError, zlib.error, tifffile.TiffFileError) as error:
        raise InputError(
            f"{path}: expected a readable {ending} image, got: {error}. Check it, or save it again as PNG."
        ) from error
    stored.setflags(write=False)
    return Volume(
        stored=stored,
        encoding=Encoding(dtype=stored.dtype.str),
        spacing=(1.0, 1.0),
        unit="px",
        channels_last=stored.ndim == 3,
        source=path,
        alpha=alpha,
        header=header,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def write(volume: Volume, stored: NDArray[Any], path: Path, *, mark: str = "") -> None:
    """Write new pixels with the bit depth, colour type and kept metadata of ``volume``; same input, same bytes.

    Args:
        volume: from :func:`read`.
        stored: new stored values, same shape and dtype as ``volume.stored``.
        path: target, ``.png`` or ``.tif``/``.tiff``; a JPEG source is written to ``.png``.
        mark: text to carry: ``Comment`` of a PNG, a free text field of a TIFF.

    Raises:
        InputError: if the ending cannot be written exactly, or no field of a TIFF is free for the mark.
    """
    header: RasterHeader = volume.header
    ending = path.suffix.lower()
    if ending == ".png":
        path.write_bytes(png.encode(stored, png_chunks.marked(header.kept, mark) if mark else header.kept))
    elif ending in TIFF and header.layout is not None:
        kept = tiff.marked(header.kept, mark) if mark else header.kept
        path.write_bytes(tiff.encode(header.layout, kept, stored))
    else:
        raise InputError(f"{path}: expected a lossless ending (.png, .tif), got {ending}. JPEG is written as PNG.")


def difference(source: RasterHeader, written: RasterHeader, *, mark: bool) -> str:
    """Say which field of a written file is not as in its source, or ``""``.

    Args:
        source: of the source.
        written: of what was written from it.
        mark: whether the written one must carry the mark, and nothing else that is new.
    """
    if (source.samples, source.layout) != (written.samples, written.layout):
        return "expected the same samples a pixel, byte order, strips or tiles and compression, got other ones"
    if written.dropped:
        return f"expected nothing but the fields of the source, got {', '.join(written.dropped)}"
    before, after = list(source.kept), list(written.kept)
    if mark:
        is_mark = tiff.is_mark_tag if source.layout is not None else png_chunks.is_mark_chunk
        marks = [field for field in after if is_mark(field)]
        if len(marks) != 1:
            return f"expected the mark, once, got it {len(marks)} times"
        before, after = ([field for field in fields if not is_mark(field)] for fields in (before, after))
    if before == after:
        return ""
    new = [_field(field) for field in after if field not in before]
    lost = [_field(field) for field in before if field not in after]
    said = [f"{', '.join(names)} {what}" for names, what in ((lost, "missing or changed"), (new, "new")) if names]
    return f"expected the fields of the source byte for byte, got {'; '.join(said) or 'another order'}"


def _field(field: tuple[Any, ...]) -> str:
    return f"tag {field[0]}" if isinstance(field[0], int) else f"chunk {field[0].decode('latin-1')}"


def check_upright(volume: Volume, shape: tuple[int, ...], path: Path) -> None:
    """Make sure that a mask fits the stored pixels of a picture that viewers turn.

    Args:
        volume: the picture.
        shape: of its mask.
        path: the mask, for messages.

    Raises:
        GeometryError: if the mask was drawn on the turned picture, or nothing tells.
    """
    turned = getattr(volume.header, "orientation", 1)
    if turned == 1 or volume.stored.ndim < 2:
        return
    height, width = volume.spatial_shape[:2]
    step = (
        "Turn the picture itself (mogrify -auto-orient), or clear the field (exiftool -Orientation=) if the mask fits."
    )
    if turned >= 5 and height != width:
        if shape == (width, height):
            raise GeometryError(
                f"{path}: expected a mask of the stored pixels of {volume.source.name}, {height} x {width}, got one of "
                f"the picture as viewers turn it (orientation {turned}), {width} x {height}. {step}"
            )
        return
    raise GeometryError(
        f"{path}: expected an upright picture, got {volume.source.name} with orientation {turned}: nothing tells "
        f"whether the mask was drawn on the stored or on the turned picture. {step}"
    )


def _read_png(path: Path, data: bytes) -> tuple[NDArray[Any], RasterHeader, bool]:
    parts = png.chunks(data)
    names = {kind for kind, _ in parts}
    depth, colour = parts[0][1][8], parts[0][1][9]
    if colour == 3:
        raise refused(path, "grey or RGB pixels", "a palette", "Save it as RGB first.")
    if depth not in (8, 16):
        raise refused(path, "8 or 16 bits a sample", f"{depth}", "Save it with 8 bits first.")
    if names & {b"tRNS", b"acTL"}:
        what = "a transparent colour (tRNS)" if b"tRNS" in names else "an animation (APNG)"
        raise refused(path, "one plain picture", what, "Save it as plain RGB or RGBA first.")
    if depth == 16 and colour != 0:
        check_png(path, parts)
        pixels = png.decode(parts)  # Pillow cuts 16-bit colour down to 8
    else:
        with open_picture(path, data) as image:
            pixels = np.array(image)
    dtype = np.uint8 if depth == 8 else np.uint16
    stored = pixels.astype(dtype).reshape(pixels.shape[0], pixels.shape[1], -1)
    samples = stored.shape[2]
    kept, dropped = png_chunks.kept_chunks(parts)
    if data[len(png.SIGNATURE) + sum(12 + len(body) for _, body in parts) :].strip(b"\0"):
        dropped += ("bytes after IEND",)
    turned = next((exif_orientation(body) for kind, body in parts if kind == b"eXIf"), 1)
    header = RasterHeader(samples, kept, dropped, orientation=turned)
    return stored[..., 0] if samples == 1 else stored, header, samples in (2, 4)


def _read_jpeg(path: Path, data: bytes) -> tuple[NDArray[Any], RasterHeader, bool]:
    with open_picture(path, data) as image:
        if image.format != "JPEG" or image.mode not in ("L", "RGB"):
            raise refused(path, "a grey or RGB JPEG", f"{image.format} {image.mode}", "Save it as RGB PNG first.")
        stored = np.array(image)
        profile = image.info.get("icc_profile")
    segments, tail = jpeg_segments.segments(data)
    kept, dropped = png_chunks.from_jpeg(segments, profile)
    if tail is not None and tail.strip(b"\0"):
        dropped += ("bytes after the end of the JPEG",)
    exif = (body[6:] for marker, body in segments if marker == 0xE1 and body.startswith(b"Exif\0"))
    turned = next((exif_orientation(block) for block in exif), 1)  # also where the block is too damaged to be kept
    header = RasterHeader(1 if stored.ndim == 2 else 3, kept, dropped, orientation=turned)
    return stored, header, False


def _read_tiff(path: Path, data: bytes) -> tuple[NDArray[Any], RasterHeader, bool]:
    stored, page = tiff.read(path, data)
    header = RasterHeader(page.layout.shape[2], page.kept, page.dropped, page.layout, page.orientation)
    return stored, header, page.alpha
