# SPDX-License-Identifier: Apache-2.0
"""Masks in PNG and TIFF: grey values, palette indices or colours, and where in the file the mask seems to be drawn."""

from __future__ import annotations

import io as streams
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from umed.core.errors import InputError
from umed.core.mask_rules import MaskRules
from umed.data import png
from umed.data.mask_values import Drawn, by_colour

_LOSSLESS = {1, 2, 3, 4, 5, 8, 32773, 32946}
"""TIFF's codes of compressions that keep every value; 2 to 4 are those of fax, for one bit."""


def read_picture(path: Path, rules: MaskRules) -> tuple[Drawn, NDArray[Any]]:
    """Read a mask in a PNG or TIFF file.

    Args:
        path: the file.
        rules: of the data set; where they name colours, a palette gives colours and not indices.

    Returns:
        What is drawn, values ``(H, W)``; and the pixels as stored, ``(H, W)`` or ``(H, W, samples)``.

    Raises:
        InputError: if it is no readable mask, or the mask seems to be in its alpha plane.
    """
    try:
        data = path.read_bytes()
        pixels, doubt = _read_tiff(path, data, rules) if data[:2] in (b"II", b"MM") else _read_png(path, data, rules)
    except UnidentifiedImageError as error:  # whose own message names an address in memory
        raise InputError(f"{path}: expected a PNG or TIFF mask, got bytes of another kind. Check the file.") from error
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: expected a PNG or TIFF mask, got: {error}. Check the file.") from error
    return flat(path, pixels, rules, doubt), pixels


def flat(path: Path, pixels: NDArray[Any], rules: MaskRules, doubt: str = "", *, picture: bool = True) -> Drawn:
    """One number a pixel: grey values, or colours where the planes differ.

    Args:
        path: of the mask, for messages.
        pixels: ``(*spatial)``, or ``(*spatial, samples)`` in a picture: grey, grey and alpha, RGB, RGBA.
        rules: of the data set.
        doubt: what speaks against 0 as background.
        picture: whether they are of a picture and not of a volume.

    Raises:
        InputError: if the mask seems to be in the alpha plane.
    """
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind == "f":
        pixels = whole(path, pixels)
    if picture and pixels.ndim == 2:
        return Drawn(pixels, picture=True, doubt=doubt)
    samples = pixels.shape[-1]
    if pixels.ndim < 3 or samples > 4:
        raise InputError(
            f"{path}: expected one class number a pixel, got shape {pixels.shape}. Merge the classes into one map."
        )
    colours = pixels[..., : 1 if samples <= 2 else 3]
    grey = colours[..., 0]
    coloured = bool((colours != colours[..., :1]).any())
    if samples in (2, 4):
        _check_alpha(path, colours, pixels[..., -1], named=bool(rules.values or rules.background))
    if not coloured:
        return Drawn(np.ascontiguousarray(grey), picture=picture, doubt=doubt)
    if colours.dtype.itemsize > 1:
        raise InputError(
            f"{path}: expected one class number a pixel, got colours of {8 * colours.dtype.itemsize} bits. Save the "
            "mask as grey values, or with colours of 8 bits."
        )
    wide = colours.astype(np.int32)
    return Drawn((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2], True, picture, doubt)


def whole(path: Path, values: NDArray[Any]) -> NDArray[np.int32]:
    """Whole numbers of float values that are such.

    Args:
        path: of the mask, for messages.
        values: any shape.

    Raises:
        InputError: for other values, NaN among them, saying what they look like.
    """
    with np.errstate(invalid="ignore"):
        rounded = np.rint(values)
        off = ~(np.abs(values - rounded) <= 1e-3)
    if not off.any() and values.any() and not rounded.any():
        off = values != 0  # a mask of 0 and 0.0005 is not empty
    if off.any():
        first, finite = float(values[off].flat[0]), values[np.isfinite(values)]
        if not np.isfinite(first) or not finite.size:
            step = f"{int((~np.isfinite(values)).sum())} values are NaN or infinite: set them to the background"
        elif 0 <= finite.min() and finite.max() <= 1:
            step = f"Values from {finite.min():g} to {finite.max():g} look like probabilities: threshold them first"
        else:
            step = "Threshold the probabilities or round the map first"
        raise InputError(f"{path}: expected whole class numbers, got {first:g}. {step}.")
    if rounded.size and float(np.abs(rounded).max()) > 2**31 - 2:
        raise InputError(f"{path}: expected classes up to {2**31 - 2}, got {float(rounded.max()):g}. Renumber them.")
    found: NDArray[np.int32] = rounded.astype(np.int32)
    return found


def _check_alpha(path: Path, colours: NDArray[Any], alpha: NDArray[Any], *, named: bool) -> None:
    """An alpha plane says nothing, or the same as the colours: transparent is where they are 0."""
    kinds, counts = np.unique(alpha, return_counts=True)
    if len(kinds) < 2:
        return
    most = list(zip(kinds.tolist(), (100 * counts / alpha.size).tolist(), strict=True))[:6]
    said = ", ".join(f"{kind} ({share:.1f} %)" for kind, share in most)
    if (colours == colours[:1, :1]).all():
        raise InputError(
            f"{path}: expected a mask in grey values, got one colour everywhere and an alpha plane of {said}: the mask "
            "seems to be drawn in the alpha plane. Save that plane as a grey mask (Pillow: "
            "Image.open(mask).getchannel('A').save(mask)), and look whether opaque is foreground."
        )
    if named or np.array_equal(alpha == kinds[0], (colours == 0).all(axis=-1)):
        return
    raise InputError(
        f"{path}: expected an alpha plane that says the same as the colours, got one of {said} that differs from them. "
        "Save the plane that is the mask as grey values, or name the colours that are foreground with --mask-values."
    )


def _read_png(path: Path, data: bytes, rules: MaskRules) -> tuple[NDArray[Any], str]:
    """Pixels of a PNG mask, whatever the bit depth, and what speaks against 0 as background."""
    with Image.open(streams.BytesIO(data)) as image:
        if image.format != "PNG":
            raise InputError(f"{path}: expected a PNG mask, got {image.format}. Save it as PNG.")
        parts = png.chunks(data)
        depth, colour, interlaced = parts[0][1][8], parts[0][1][9], parts[0][1][12]
        found = dict(parts)
        if b"acTL" in found:
            raise InputError(f"{path}: expected one picture, got an animation (APNG). Save one frame.")
        if colour == 3 and by_colour(rules):
            return np.array(image.convert("RGB")), ""
        if depth == 16 and colour != 0:  # Pillow cuts it down to 8
            if interlaced:
                raise InputError(f"{path}: expected 8 bits or grey values, got interlaced colours of 16. Save it anew.")
            return png.decode(parts), ""
        pixels = np.array(image)
    if colour == 0 and depth in (2, 4):  # Pillow spreads low bit depths over 0..255
        pixels = pixels // (255 // (2**depth - 1))
    clear = found.get(b"tRNS", b"")
    if colour == 3:
        table = np.frombuffer(found[b"PLTE"], np.uint8).reshape(-1, 3)
        return pixels, _palette_doubt(pixels, table, clear)
    if colour == 0 and len(clear) == 2 and int.from_bytes(clear, "big") and (pixels == 0).any():
        return pixels, f"{int.from_bytes(clear, 'big')} is transparent and 0 is not"
    return pixels, ""


def _palette_doubt(pixels: NDArray[Any], table: NDArray[np.uint8], clear: bytes) -> str:
    """Whether the palette shows another index as background than 0: black, or transparent."""
    used = [int(index) for index in np.unique(pixels) if index < len(table)]
    if len(used) < 2 or used[0] != 0:
        return ""
    black = next((index for index in used[1:] if not table[index].any()), None)
    if table[0].any() and black is not None:
        return f"the palette shows index 0 as #{bytes(table[0]).hex()} and index {black} as black"
    opacity = clear + b"\xff" * len(table)
    gone = next((index for index in used[1:] if opacity[index] == 0), None)
    return f"the palette shows index {gone} as transparent and index 0 not" if gone and opacity[0] else ""


def _read_tiff(path: Path, data: bytes, rules: MaskRules) -> tuple[NDArray[Any], str]:
    """Pixels of a TIFF mask as stored, and what speaks against 0 as background."""
    with tifffile.TiffFile(streams.BytesIO(data)) as file:
        if len(file.pages) != 1:
            raise InputError(f"{path}: expected one page, got {len(file.pages)}. Save one mask a file.")
        page = file.pages.first
        kind, compression = int(page.photometric), int(page.compression)
        if compression not in _LOSSLESS:
            raise InputError(f"{path}: expected no or lossless compression, got {page.compression!s}. Save it as PNG.")
        if kind not in (0, 1, 2, 3):
            raise InputError(f"{path}: expected grey values, a palette or RGB, got {page.photometric!s}. Save as PNG.")
        if page.dtype is None or np.dtype(page.dtype).kind not in "buif":
            raise InputError(f"{path}: expected whole numbers, got {page.dtype}. Save the mask as 8-bit grey.")
        try:
            pixels = page.asarray()
        except ValueError:  # LZW, predictors and fax need an optional codec there
            pixels = _pillow_tiff(path, data, kind, int(page.bitspersample))
        if int(page.planarconfig) == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        table = page.colormap
    pixels = pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels
    if kind == 3 and table is not None:
        colours = (np.asarray(table).T >> 8).astype(np.uint8)
        if by_colour(rules):
            return colours[pixels], ""
        return pixels, _palette_doubt(pixels, colours, b"")
    if kind == 0 and pixels.ndim == 2:  # programs disagree on whether to turn it round
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        if np.mean(border == 0) < 0.5:
            return pixels, "0 is shown as white (photometric MinIsWhite) and holds less than half of the border"
    return pixels, ""


def _pillow_tiff(path: Path, data: bytes, kind: int, bits: int) -> NDArray[Any]:
    """Decode with Pillow, and only if it keeps every bit."""
    with Image.open(streams.BytesIO(data)) as image:
        pixels = np.array(image)
    if (8 * pixels.dtype.itemsize != bits and not (bits == 1 and pixels.dtype == np.bool_)) or pixels.dtype.kind == "i":
        raise InputError(f"{path}: expected a TIFF of 1, 8 or 16 bits, got {bits}. Save the mask as PNG.")
    if kind != 0:
        return pixels
    turned: NDArray[Any] = ~pixels  # Pillow shows white as the largest value; stored it is 0
    return turned
