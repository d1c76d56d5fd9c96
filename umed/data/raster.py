# SPDX-License-Identifier: Apache-2.0
"""PNG, TIFF and JPEG images: bit depth and colour type kept, lossless out.

Kept: bit depth, colour type, ICC profile, gamma and resolution. Dropped: text, EXIF and time, which may name a
patient. JPEG is read and written as PNG, because a lossy file cannot hold a bound.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from umed.core.errors import InputError
from umed.core.types import Encoding, Volume
from umed.data import png
from umed.data.mark import KEYWORD

JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
_NO_RESOLUTION = (((1, 1), (1, 1)), 1)
"""What is written for a TIFF that has none: one pixel a unit that is none, which says nothing."""
_LOSSLESS = {1: "none", 5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate"}


@dataclass(frozen=True)
class RasterHeader:
    """What is needed to write a raster image back.

    Args:
        samples: samples a pixel.
        kept: PNG chunks carried over, or TIFF tags as ``(name, value)``.
        compressed: whether the TIFF was compressed; a written one then is too, with deflate.
        comments: texts of PNG, and the description of TIFF; never carried over.
    """

    samples: int
    kept: tuple[tuple[Any, Any], ...] = ()
    compressed: bool = True
    comments: tuple[str, ...] = ()


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
        mark: text to carry: ``Comment`` of a PNG, ``ImageDescription`` of a TIFF; nothing else is written there.

    Raises:
        InputError: if the ending cannot be written exactly.
    """
    header: RasterHeader = volume.header
    ending = path.suffix.lower()
    if ending == ".png":
        comment = ((b"tEXt", KEYWORD.encode() + b"\0" + mark.encode("latin-1")),) if mark else ()
        path.write_bytes(png.encode(stored, header.kept + comment))
    elif ending in TIFF:
        _write_tiff(header, stored, path, mark)
    else:
        raise InputError(f"{path}: expected a lossless ending (.png, .tif), got {ending}. JPEG is written as PNG.")


def _refuse(path: Path, expected: str, got: str, step: str) -> InputError:
    return InputError(f"{path}: expected {expected}, got {got}. {step}")


def _read_png(path: Path, data: bytes) -> tuple[NDArray[Any], RasterHeader, bool]:
    parts = png.chunks(data)
    names = {kind for kind, _ in parts}
    depth, colour = parts[0][1][8], parts[0][1][9]
    if colour == 3:
        raise _refuse(path, "grey or RGB pixels", "a palette", "Save it as RGB first.")
    if depth not in (8, 16):
        raise _refuse(path, "8 or 16 bits a sample", f"{depth}", "Save it with 8 bits first.")
    if names & {b"tRNS", b"acTL"}:
        what = "a transparent colour (tRNS)" if b"tRNS" in names else "an animation (APNG)"
        raise _refuse(path, "one plain picture", what, "Save it as plain RGB or RGBA first.")
    if depth == 16 and colour != 0:
        pixels = png.decode(parts)  # Pillow cuts 16-bit colour down to 8
    else:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image)
    dtype = np.uint8 if depth == 8 else np.uint16
    stored = pixels.astype(dtype).reshape(pixels.shape[0], pixels.shape[1], -1)
    samples = stored.shape[2]
    kept = tuple((kind, body) for kind, body in parts if kind in png.KEPT)
    comments = tuple(body.partition(b"\0")[2].decode("latin-1") for kind, body in parts if kind in png.TEXT)
    return stored[..., 0] if samples == 1 else stored, RasterHeader(samples, kept, True, comments), samples in (2, 4)


def _read_jpeg(path: Path, data: bytes) -> tuple[NDArray[Any], RasterHeader, bool]:
    with Image.open(io.BytesIO(data)) as image:
        if image.format != "JPEG" or image.mode not in ("L", "RGB"):
            raise _refuse(path, "a grey or RGB JPEG", f"{image.format} {image.mode}", "Save it as RGB PNG first.")
        turned = image.getexif().get(0x0112, 1)
        if turned not in (0, 1):
            raise _refuse(path, "upright pixels (EXIF orientation 1)", f"{turned}", "Turn the picture first.")
        stored = np.array(image)
        profile = image.info.get("icc_profile")
    kept = ((b"iCCP", b"icc\0\0" + zlib.compress(profile)),) if profile else ()
    return stored, RasterHeader(1 if stored.ndim == 2 else 3, kept), False


def _read_tiff(path: Path, data: bytes) -> tuple[NDArray[Any], RasterHeader, bool]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if len(file.pages) != 1:
            raise _refuse(path, "one page", f"{len(file.pages)}", "Save one file a page, or the stack as NIfTI.")
        page = file.pages.first
        photometric = int(page.photometric)
        compression = int(page.compression)
        if photometric not in (0, 1, 2):
            raise _refuse(path, "grey or RGB pixels", f"photometric {page.photometric!s}", "Save it as RGB first.")
        if compression not in _LOSSLESS:
            raise _refuse(path, "no or lossless compression", f"{page.compression!s}", "Save it with deflate first.")
        dtype = np.dtype(page.dtype) if page.dtype is not None else np.dtype("V1")
        whole = page.bitspersample == 8 * dtype.itemsize and dtype.kind in "uf" and dtype.itemsize <= 4
        if not whole or dtype.itemsize == 4 and dtype.kind == "u":
            raise _refuse(path, "8 or 16 bits or float32", f"{page.bitspersample} bits {dtype}", "Convert it first.")
        extra = tuple(int(sample) for sample in page.extrasamples)
        samples = int(page.samplesperpixel)
        if samples - len(extra) not in (1, 3) or len(extra) > 1:
            raise _refuse(path, "1 or 3 samples and at most one alpha", f"{samples}", "Split the channels first.")
        try:
            stored = page.asarray()
        except ValueError:  # LZW and predictors need an optional codec there; Pillow has them for common types
            stored = _pillow_tiff(path, data, dtype)
        if int(page.planarconfig) == 2 and samples > 1:
            stored = np.moveaxis(stored, 0, -1)
        kept: list[tuple[str, Any]] = [("photometric", photometric), ("extrasamples", extra)]
        kept.append(("byteorder", file.byteorder))
        resolution = page.tags.get("XResolution"), page.tags.get("YResolution"), page.tags.get("ResolutionUnit")
        if resolution[0] is not None and resolution[1] is not None:
            scale = resolution[0].value, resolution[1].value
            unit = int(resolution[2].value) if resolution[2] is not None else 2
            if (scale, unit) != _NO_RESOLUTION:
                kept += [("resolution", scale), ("resolutionunit", unit)]
        profile = page.tags.get("InterColorProfile")
        if profile is not None:
            kept.append(("iccprofile", bytes(profile.value)))
        said = page.tags.get("ImageDescription")
        comments = () if said is None else (str(said.value),)
    stored = np.ascontiguousarray(stored, dtype=dtype.newbyteorder("="))
    return stored, RasterHeader(samples, tuple(kept), compression != 1, comments), bool(extra)


def _pillow_tiff(path: Path, data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode with Pillow, and only if it keeps every bit."""
    with Image.open(io.BytesIO(data)) as image:
        stored = np.array(image)
    if stored.dtype.itemsize != dtype.itemsize or stored.dtype.kind != dtype.kind:
        raise _refuse(path, "an exactly decodable TIFF", f"{dtype} by Pillow as {stored.dtype}", "Use deflate.")
    return stored


def _write_tiff(header: RasterHeader, stored: NDArray[Any], path: Path, mark: str) -> None:
    options = dict(header.kept)
    if not options["extrasamples"]:
        del options["extrasamples"]
    tifffile.imwrite(
        path,
        stored,
        compression="deflate" if header.compressed else None,
        planarconfig="contig" if stored.ndim == 3 else None,
        metadata=None,
        software=False,
        description=mark or None,
        **options,
    )
