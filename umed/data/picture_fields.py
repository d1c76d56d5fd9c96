# SPDX-License-Identifier: Apache-2.0
"""What PNG, JPEG and TIFF files hold beside their pixels; see :mod:`umed.data.side_data`.

Formats: PNG third edition (W3C), JPEG ITU-T T.81 with JFIF 1.02, TIFF 6.0, Exif 3.0 (CIPA DC-008).
"""

from __future__ import annotations

import struct
import zlib

from umed.data import png as png_format
from umed.data import tiff_strips, tiff_tags
from umed.data.icc_text import icc_texts
from umed.data.jpeg_segments import segments
from umed.data.ome_text import ome_texts
from umed.data.side_parts import SideData, SidePart, holds_text, text_of

_SHOWN = {b"IHDR", b"IDAT", b"IEND", b"tRNS", *png_format.KNOWN}
"""Chunks that are needed to show the picture."""
_WORDED = {b"pCAL", b"sCAL", b"sPLT"}
_MOST_KNOWN = 4096
"""Bytes of a chunk that says how to show the picture, beyond which it may say more; a colour profile may be larger."""
_ANIMATED = {b"acTL", b"fcTL", b"fdAT"}
_MOST_CHUNKS = 1_000_000
_MOST_TEXT = 1 << 20
_TAGS = {
    **{269: "DocumentName", 270: "ImageDescription", 271: "Make", 272: "Model", 285: "PageName", 305: "Software"},
    **{306: "DateTime", 315: "Artist", 316: "HostComputer", 700: "XMP", 33432: "Copyright", 33723: "IPTC"},
    **{34377: "Photoshop", 36867: "DateTimeOriginal", 36868: "DateTimeDigitized", 37510: "UserComment"},
    **{36880: "OffsetTime", 36881: "OffsetTimeOriginal", 36882: "OffsetTimeDigitized", 37500: "MakerNote"},
    **{37520: "SubSecTime", 37521: "SubSecTimeOriginal", 37522: "SubSecTimeDigitized", 40091: "XPTitle"},
    **{40092: "XPComment", 40093: "XPAuthor", 40094: "XPKeywords", 40095: "XPSubject", 42016: "ImageUniqueID"},
    **{42032: "CameraOwnerName", 42033: "BodySerialNumber", 42035: "LensMake", 42036: "LensModel"},
    **{42037: "LensSerialNumber", 50708: "UniqueCameraModel", 11: "ProcessingSoftware", 50735: "CameraSerialNumber"},
    **{50838: "IJMetadataByteCounts", 50839: "IJMetadata", 51123: "MicroManagerMetadata", 42112: "GDALMetadata"},
}
_NO_TEXT = {1, 2, 347, 34675, 36864, 37121, 40960, 41728, 41729, 41730, 41995, 50341, 34856, 50706, 50707}
"""Tags of bytes that say how to read the picture: versions, JPEG tables, colour profile, colour filter, components."""
_PLACES = {273, 279, 324, 325, 330}
_MOST_NUMBERS = 4096
"""Bytes of numbers in a tag beyond which they may be anything."""
_WIDE = {40091, 40092, 40093, 40094, 40095}  # UTF-16, little-endian


def png(data: bytes) -> SideData:
    """Look at a PNG; damaged chunks end the look."""
    texts: list[tuple[str, str]] = []
    parts: list[SidePart] = []
    problems, packed, place = [], [], 8
    for _ in range(_MOST_CHUNKS):
        if place + 12 > len(data):
            problems.append("no IEND chunk")
            break
        (size,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        if place + 12 + size > len(data):
            problems.append("a chunk that is cut short")
            break
        place += 12 + size
        if kind == b"IDAT":
            packed.append(body)
        elif kind == b"iCCP":
            texts += [("icc.name", text_of(body.partition(b"\0")[0])), *icc_texts(_profile(body))]
        elif kind in _WORDED and holds_text(body):
            texts.append((f"png.{kind.decode()}", text_of(body)))
        elif kind in png_format.KNOWN and len(body) > _MOST_KNOWN:
            parts.append(SidePart(f"chunk {kind.decode()}", body))
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text = _png_text(kind, body)
            texts.append((f"png.{kind.decode()}.{keyword}", text))
        elif kind == b"eXIf":
            found = _exif(body)
            texts, parts = [*texts, *found.texts], [*parts, *found.parts]
        elif kind == b"tIME" and size == 7:
            texts.append(("png.tIME", "{}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}".format(*struct.unpack(">H5B", body))))
        elif kind in _ANIMATED:
            parts.append(SidePart(f"frames of an animation ({kind.decode()})", body))
        elif kind not in _SHOWN and body.strip(b"\0"):
            name = kind.decode("latin-1")
            parts.append(SidePart(f"chunk {name if name.isalpha() else '?'}", body))
        if kind == b"IEND":
            break
    if data[place:].strip(b"\0"):
        parts.append(SidePart("bytes after IEND", data[place:]))
    extra = _png_excess(data, packed)
    if extra:
        parts.append(SidePart("bytes after the pixels in IDAT", extra))
    return SideData("PNG", _filled(texts), tuple(parts), tuple(problems))


def _profile(body: bytes) -> bytes:
    """The colour profile in an ``iCCP`` chunk; nothing of a damaged one."""
    try:
        return zlib.decompressobj().decompress(body.partition(b"\0")[2][1:], _MOST_TEXT)
    except zlib.error:
        return b""


def _png_text(kind: bytes, body: bytes) -> tuple[str, str]:
    """Keyword and text of a text chunk; of damaged ones what can be told."""
    keyword, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:]
        for _ in range(2):  # language, and the keyword in it
            note, _, rest = rest.partition(b"\0")
            keyword += b" " + note if note else b""
    elif packed:
        rest = rest[1:]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MOST_TEXT)
        except zlib.error:
            rest = rest or b"(damaged)"
    return text_of(keyword) or "(no keyword)", text_of(rest) or "(empty)"


def _png_excess(data: bytes, packed: list[bytes]) -> bytes:
    """What is left of the pixel data once all lines are there; only of pictures without interlacing."""
    if len(data) < 33 or data[12:16] != b"IHDR" or data[28]:
        return b""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    lines = height * (1 + (width * depth * png_format.SAMPLES.get(colour, 1) + 7) // 8)
    unpacker, made = zlib.decompressobj(), 0
    try:
        for body in packed:
            left = body
            while left and not unpacker.eof:
                out = unpacker.decompress(left, 1 << 20)
                made, before = made + len(out), made
                if made > lines:
                    return out[max(0, lines - before) :].strip(b"\0")
                left = unpacker.unconsumed_tail
            if unpacker.eof and left:  # nothing, or what stands behind the stream
                return (unpacker.unused_data or left).strip(b"\0")
    except zlib.error:
        return b""
    return unpacker.unused_data.strip(b"\0")


def jpeg(data: bytes) -> SideData:
    """Look at a JPEG: its segments up to the first scan, and what follows the end of the picture."""
    texts: list[tuple[str, str]] = []
    parts: list[SidePart] = []
    found, tail = segments(data)
    for marker, body in found:
        if marker == 0xFE:
            texts.append(("jpeg.comment", text_of(body)))
        elif marker == 0xE1 and body.startswith(b"Exif\0"):
            block = _exif(body[6:])
            texts, parts = [*texts, *block.texts], [*parts, *block.parts]
        elif marker == 0xE0 and (body.startswith(b"JFXX\0") or len(body) > 14):
            parts.append(SidePart("JFIF thumbnail", body))
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and body[12:13] == b"\1":
            texts += icc_texts(b"".join(part[14:] for kind, part in found if kind == 0xE2 and part[:12] == body[:12]))
        elif 0xE1 <= marker <= 0xEF and not body.startswith((b"ICC_PROFILE\0", b"Adobe\0")) and holds_text(body):
            texts.append((f"jpeg.APP{marker - 0xE0}", text_of(body)))
    problems = ["no end of the picture"] if tail is None else []
    if tail is not None and tail.strip(b"\0"):
        parts.append(SidePart("bytes after the end of the JPEG", tail))
    return SideData("JPEG", _filled(texts), tuple(parts), tuple(problems))


def _exif(block: bytes) -> SideData:
    """Fields and thumbnail of an EXIF block."""
    walk = tiff_tags.walk(block.removeprefix(b"Exif\0\0"))
    if not walk.directories:
        return SideData("TIFF", (("exif.damaged", text_of(block)),) if holds_text(block) else ())
    texts = [pair for one in walk.directories for pair in _fields(one, "exif")]
    thumbnails = [
        SidePart("EXIF thumbnail", image) for one in walk.directories for image in one.images if image.strip(b"\0")
    ]
    return SideData("TIFF", _filled(texts), tuple(thumbnails))


def tiff(data: bytes) -> SideData:
    """Look at a TIFF: the fields of all directories, pages beyond the first, sub-images, and what nothing refers to."""
    walk = tiff_tags.walk(data)
    texts, parts, pages = [], [], 0
    for directory in walk.directories:
        texts += _fields(directory, "exif" if directory.kind in ("exif", "gps", "interoperability") else "tiff")
        pages += directory.kind == "image"
        if directory.kind == "sub-image" or (directory.kind == "image" and pages > 1):
            what = "sub-image" if directory.kind == "sub-image" else f"page {pages}"
            parts.append(SidePart(f"TIFF {what}", b"".join(directory.images)))
        elif directory.kind != "image":
            parts += [SidePart("EXIF thumbnail", image) for image in directory.images if image]
        else:
            parts += _beside(data, directory)
    if walk.unreferenced:
        parts.append(SidePart("bytes that no TIFF tag refers to", walk.unreferenced))
    return SideData("TIFF", _filled(texts), tuple(parts), tuple(walk.problems))


def _beside(data: bytes, directory: tiff_tags.Directory) -> list[SidePart]:
    """What an image holds beside its pixels: bytes behind them in a strip, a thumbnail, space that is called free."""
    numbers = {tag.code: tag.numbers for tag in directory.tags}
    old_jpeg = numbers.get(259) == (6,)  # there the thumbnail's tags refer to the picture itself
    found = [("bytes after the pixels in TIFF strips", tiff_strips.surplus(data, directory))]
    for name, offsets, counts in (("TIFF free space", 288, 289), ("EXIF thumbnail", 513, 514)):
        if not (old_jpeg and offsets == 513):
            places = zip(numbers.get(offsets, ()), numbers.get(counts, ()), strict=False)
            found.append((name, b"".join(data[at : at + size] for at, size in places)))
    return [SidePart(name, part) for name, part in found if part.strip(b"\0")]


def _fields(directory: tiff_tags.Directory, where: str) -> list[tuple[str, str]]:
    """Texts of a directory; a position counts as one."""
    if directory.kind == "gps":
        return [("exif.GPS", "a position")] if any(tag.code for tag in directory.tags) else []  # 0: version
    found = []
    for tag in directory.tags:
        name = _TAGS.get(
            tag.code, "InteroperabilityIndex" if directory.kind == "interoperability" else f"tag{tag.code}"
        )
        if tag.code == 270 and b"<OME" in tag.raw and where == "tiff":
            found += ome_texts(tag.raw)
        elif tag.code == 34675:
            found += icc_texts(tag.raw)
        elif tag.code in _WIDE:
            found.append((f"{where}.{name}", text_of(tag.raw.decode("utf-16-le", "replace").encode())))
        elif tag.kind == tiff_tags.ASCII:
            found.append((f"{where}.{name}", text_of(tag.raw)))
        elif tag.code in _TAGS or (tag.kind in (tiff_tags.BYTE, tiff_tags.UNDEFINED) and tag.code not in _NO_TEXT):
            raw = tag.raw[8:] if tag.code == 37510 else tag.raw  # UserComment begins with its character code
            if holds_text(raw):
                found.append((f"{where}.{name}", text_of(raw)))
        elif len(tag.raw) > _MOST_NUMBERS and tag.code not in _PLACES:
            found.append((f"{where}.{name}", f"{len(tag.raw)} bytes of numbers"))
    return found


def _filled(texts: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(pair for pair in texts if pair[1]))
