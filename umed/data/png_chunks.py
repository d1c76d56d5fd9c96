# SPDX-License-Identifier: Apache-2.0
"""Which chunks of a PNG go with new pixels: all of them byte for byte, but for what belongs to the old pixels.

The format says itself which unknown chunks those are (PNG third edition, section 5.4: unsafe to copy). Pictures in
EXIF, XMP and text would give the original back. What a JPEG says goes into the chunks that PNG has for it.
"""

from __future__ import annotations

import struct
import zlib

from umed.data import png
from umed.data.mark import KEYWORD, is_mark
from umed.data.thumbnails import exif_without_pictures, holds_picture, xmp_without_pictures

Chunk = tuple[bytes, bytes]
PIXELS: Chunk = (b"IDAT", b"")
"""Stands for the pixels in a list of chunks."""
_MOST_TEXT = 1 << 24
_XMP = b"XML:com.adobe.xmp"


def kept_chunks(parts: list[Chunk]) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """Chunks to be written again around new pixels.

    Args:
        parts: of a PNG, from :func:`umed.data.png.chunks`.

    Returns:
        Chunks in their order without ``IHDR`` and ``IEND``, :data:`PIXELS` among them, and what is left out, in words.

    Raises:
        ValueError: for a chunk without which nobody can read the picture, and that nobody knows.
    """
    kept: list[Chunk] = []
    dropped: list[str] = []
    for kind, body in parts:
        if kind == b"IDAT":
            kept += [] if PIXELS in kept else [PIXELS]
        elif kind not in (b"IHDR", b"IEND"):
            new, without = _keep(kind, body)
            kept += [] if new is None else [(kind, new)]
            dropped += without
    if parts[0][1][12:13] == b"\1":
        dropped.append("interlacing")
    return tuple(kept), tuple(dict.fromkeys(dropped))


def _keep(kind: bytes, body: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """The body to be written, ``None`` for none, and what is left out."""
    name = kind.decode("latin-1")
    if kind == b"eXIf":
        block, dropped = exif_without_pictures(body)
        return block or None, dropped
    if kind in png.TEXT:
        return _text(kind, body)
    if kind in png.KNOWN or kind == b"tIME":
        return (None, (f"picture in chunk {name}",)) if holds_picture(_unpacked(kind, body)) else (body, ())
    if not kind.isalpha() or not kind[0] & 0x20:
        raise ValueError(f"an unknown critical chunk {name!r}")
    if not kind[3] & 0x20:
        return None, (f"chunk {name}, which belongs to the old pixels",)
    return (None, (f"picture in chunk {name}",)) if holds_picture(body) else (body, ())


def _text(kind: bytes, body: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    keyword = body.partition(b"\0")[0]
    if keyword == _XMP and kind == b"iTXt" and body[18:20] == b"\0\0":
        head, packet = _split_itxt(body)
        packet, dropped = xmp_without_pictures(packet)
        return (head + packet if packet else None), dropped
    if holds_picture(_unpacked(kind, body)):
        return None, (f"picture in text {keyword.decode('latin-1')!r}",)
    return body, ()


def _split_itxt(body: bytes) -> tuple[bytes, bytes]:
    """What stands before the text of an uncompressed ``iTXt``, and the text."""
    place = body.index(b"\0") + 3
    for _ in range(2):
        end = body.find(b"\0", place)
        place = len(body) if end < 0 else end + 1
    return body[:place], body[place:]


def _unpacked(kind: bytes, body: bytes) -> bytes:
    """All that a chunk says, unpacked; of damaged ones what can be told."""
    place = body.find(b"\0")
    packed = place >= 0 and (kind in (b"zTXt", b"iCCP") or (kind == b"iTXt" and body[place + 1 : place + 2] == b"\1"))
    if not packed:
        return body
    head, rest = (body, body[place + 2 :]) if kind != b"iTXt" else _split_itxt(body)
    try:
        return head + zlib.decompressobj().decompress(rest, _MOST_TEXT)
    except zlib.error:
        return body


def is_mark_chunk(chunk: Chunk) -> bool:
    """Whether a chunk holds the mark of :mod:`umed.data.mark` and nothing else."""
    keyword, _, text = chunk[1].partition(b"\0")
    return chunk[0] == b"tEXt" and keyword == KEYWORD.encode() and is_mark(text.decode("latin-1"))


def marked(kept: tuple[Chunk, ...], mark: str) -> tuple[Chunk, ...]:
    """Chunks with the mark before the pixels, and no earlier mark."""
    plain = [chunk for chunk in kept if not is_mark_chunk(chunk)]
    plain.insert(plain.index(PIXELS), (b"tEXt", KEYWORD.encode() + b"\0" + mark.encode("latin-1")))
    return tuple(plain)


def from_jpeg(segments: list[tuple[int, bytes]], profile: bytes | None) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """What a JPEG says beside its pixels, as chunks of a PNG.

    Args:
        segments: marker and body of each segment before the picture.
        profile: colour profile, put together.

    Returns:
        As :func:`kept_chunks` does.
    """
    kept: list[Chunk] = [(b"iCCP", b"icc\0\0" + zlib.compress(profile))] if profile else []
    dropped: list[str] = []
    for marker, body in segments:
        if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, across, down = struct.unpack_from(">BHH", body, 7)
            if (unit, across, down) != (0, 1, 1) and across and down and unit in (0, 1, 2):
                scale = {0: 1.0, 1: 1 / 0.0254, 2: 100.0}[unit]
                kept.append((b"pHYs", struct.pack(">IIB", round(across * scale), round(down * scale), unit > 0)))
            dropped += ["JFIF thumbnail"] if len(body) > 14 else []
        elif marker == 0xE1 and body.startswith(b"Exif\0") and not any(kind == b"eXIf" for kind, _ in kept):
            block, without = exif_without_pictures(body[6:])
            kept += [(b"eXIf", block)] if block else []
            dropped += without
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            packet, without = xmp_without_pictures(body[29:])
            kept += [(b"iTXt", _XMP + b"\0\0\0\0\0" + packet)] if packet else []
            dropped += without
        elif marker == 0xFE:
            kept += [_comment(body)] if body.strip(b"\0") and not holds_picture(body) else []
            dropped += ["picture in the comment"] if holds_picture(body) else []
        elif marker == 0xE0:
            dropped.append("JFIF thumbnail")
        elif 0xE1 <= marker <= 0xEF and not body.startswith((b"ICC_PROFILE\0", b"Adobe")):
            dropped.append(f"APP{marker - 0xE0} segment")
    return (*kept, PIXELS), tuple(dict.fromkeys(dropped))


def _comment(body: bytes) -> Chunk:
    """A comment: Latin-1 as ``tEXt``, UTF-8 as ``iTXt``, other bytes as ``tEXt``, which shows them as Latin-1."""
    text = body.rstrip(b"\0").replace(b"\0", b" ")
    key = KEYWORD.encode() + b"\0"
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return b"iTXt", key + b"\0\0\0\0" + text
    return b"tEXt", key + text
