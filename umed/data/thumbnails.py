# SPDX-License-Identifier: Apache-2.0
"""Small copies of a picture in its own side data, which would give the original back: found, and taken out.

Everything else stays as it is, byte for byte: an EXIF block keeps its offsets, so that maker notes still fit. Formats:
Exif 3.0 (CIPA DC-008), XMP part 2 (Adobe, 2016), Photoshop image resources (Adobe Photoshop File Formats, 2019).
"""

from __future__ import annotations

import re
import struct

from umed.data import tiff_tags

_PICTURES = re.compile(
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|RIFF[\s\S]{4}WEBP|GIF8[79]a|\0\0\0\x0cjP  |ftyp(?:hei|avif|mif1)"
    rb"|/9j/[A-Za-z0-9+/\s]{60}|iVBORw0KGgo|(?i:ffd8ff[c-f][0-9a-f\s]{60}|89504e470d0a1a0a)"
)
"""How JPEG, PNG, WebP, GIF, JPEG 2000, HEIC and AVIF begin; JPEG and PNG in base64 and in hexadecimal, too."""
_XMP_PART = re.compile(rb"<([\w.-]{1,40}:Thumbnails)\b")
_IMAGE = ("image", "sub-image")


def holds_picture(raw: bytes | bytearray) -> bool:
    r"""Whether bytes hold a compressed picture, as it is or written as text.

    >>> holds_picture(b"preview: \xff\xd8\xff\xe0"), holds_picture(b"EXIF says nothing")
    (True, False)
    """
    return _PICTURES.search(raw) is not None


def exif_without_pictures(block: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Take thumbnails, previews and what nothing refers to out of an EXIF block; all that stays keeps its place.

    Args:
        block: from its byte-order mark on, or from ``Exif``.

    Returns:
        The block, empty where it is too damaged to be looked through, and what was taken out.
    """
    head = b"Exif\0\0" if block.startswith(b"Exif\0\0") else b""
    data = block[len(head) :]
    walk = tiff_tags.walk(data)
    if walk.problems or not walk.directories:
        return b"", ("a damaged EXIF block",)
    out, dropped, end = bytearray(data), list[str](), 8
    for number, directory in enumerate(walk.directories):
        extra = directory.kind in _IMAGE and number > 0
        if any(image.strip(b"\0") for image in directory.images) or (extra and directory.tags):
            dropped.append("EXIF thumbnail")
        for start, stop in _image_places(directory):
            out[start:stop] = bytes(len(out[start:stop]))
        for tag in directory.tags:
            stop = tag.place + len(tag.raw)
            if not extra and holds_picture(tag.raw):
                dropped.append(f"picture in EXIF tag {tag.code}")
            if extra or holds_picture(tag.raw):
                out[tag.place : stop] = bytes(len(tag.raw))
            end = end if extra else max(end, stop)
        if directory.kind != "image" or not extra:
            end = max(end, directory.span[1])
        if extra:
            out[slice(*directory.span)] = bytes(directory.span[1] - directory.span[0])
        elif directory.kind in _IMAGE:
            room = 8 if data[2:4] in (b"+\0", b"\0+") else 4
            out[directory.span[1] - room : directory.span[1]] = bytes(room)
    for start, stop in walk.gaps:
        dropped.append("bytes that no EXIF tag refers to")
        out[start:stop] = bytes(stop - start)
    kept = bytes(out).rstrip(b"\0")
    kept = bytes(out[: max(end, len(kept))])
    if holds_picture(kept):  # across two fields: nothing is left that could be told apart
        return b"", (*dict.fromkeys(dropped), "an EXIF block with a picture in it")
    return head + kept, tuple(dict.fromkeys(dropped))


def exif_orientation(block: bytes) -> int:
    """How viewers turn a picture with this EXIF block, as EXIF counts; 1, upright, where it does not say."""
    walk = tiff_tags.walk(block.removeprefix(b"Exif\0\0"))
    for tag in walk.directories[0].tags if walk.directories else ():
        if tag.code == 274 and tag.numbers and 1 <= tag.numbers[0] <= 8:
            return tag.numbers[0]
    return 1


def _image_places(directory: tiff_tags.Directory) -> list[tuple[int, int]]:
    numbers = {tag.code: tag.numbers for tag in directory.tags}
    return [
        (place, place + size)
        for offsets, counts in tiff_tags.DATA
        for place, size in zip(numbers.get(offsets, ()), numbers.get(counts, ()), strict=False)
    ]


def xmp_without_pictures(packet: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Take thumbnails out of an XMP packet.

    Args:
        packet: the XML.

    Returns:
        The packet, empty where a picture stands elsewhere in it, and what was taken out.
    """
    if not holds_picture(packet):
        return packet, ()
    kept, place = bytearray(), 0
    while start := _XMP_PART.search(packet, place):
        end = packet.find(b"</" + start[1] + b">", start.end())
        if end < 0:
            break
        kept += packet[place : start.start()]
        place = end + len(start[1]) + 3
    kept += packet[place:]
    return (b"", ("XMP with a picture in it",)) if holds_picture(kept) else (bytes(kept), ("XMP thumbnail",))


def photoshop_without_pictures(block: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Take thumbnails out of Photoshop's image resources.

    Args:
        block: value of TIFF tag 34377.

    Returns:
        The resources, none where they are damaged and hold a picture, and what was taken out.
    """
    place, kept, dropped = 0, bytearray(), list[str]()
    while place + 12 <= len(block) and block[place : place + 4] in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"):
        (number,) = struct.unpack_from(">H", block, place + 4)
        name = block[place + 6] + 1
        at = place + 6 + name + name % 2
        if at + 4 > len(block):
            break
        (size,) = struct.unpack_from(">I", block, at)
        stop = min(at + 4 + size + size % 2, len(block))
        if number in (1033, 1036) or holds_picture(block[at + 4 : stop]):
            dropped.append("Photoshop thumbnail")
        else:
            kept += block[place:stop]
        place = stop
    rest = block[place:]
    if holds_picture(rest):
        return b"", ("Photoshop resources with a picture in them",)
    return bytes(kept) + rest, tuple(dict.fromkeys(dropped))
