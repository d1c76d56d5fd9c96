# SPDX-License-Identifier: Apache-2.0
"""What the strips and tiles of a TIFF hold beyond their pixels: a byte count may say more than a stream takes.

Compression schemes: TIFF 6.0 (Adobe, 1992) sections 9 and 13, and Adobe Photoshop TIFF Technical Notes for deflate.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from umed.data.tiff_tags import Directory

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_LENGTH = 277, 278, 284, 322, 323
_STRIPS, _TILES = (273, 279), (324, 325)
_YCBCR = 6
_CLEAR, _END, _FIRST = 256, 257, 258
_CHUNK = 1 << 16


def surplus(data: bytes, directory: Directory) -> bytes:
    """Bytes in the strips or tiles of an image that its pixels do not take.

    Args:
        data: the whole file.
        directory: of an image in it.

    Returns:
        What stands behind the end of a compressed stream or of the rows, of all strips together; nothing of
        compressions other than none, LZW, deflate and PackBits.
    """
    numbers = {tag.code: tag.numbers for tag in directory.tags}
    scheme = (numbers.get(_COMPRESSION) or (1,))[0]
    ends = _ENDS.get(scheme)
    if ends is None or (scheme == 1 and numbers.get(_PHOTOMETRIC) == (_YCBCR,)):  # its colours have fewer samples
        return b""
    offsets, counts = _TILES if _TILES[0] in numbers else _STRIPS
    places = zip(numbers.get(offsets, ()), numbers.get(counts, ()), strict=False)
    return b"".join(
        ends(data[at : at + count], size) for (at, count), size in zip(places, _sizes(numbers), strict=False)
    )


def _sizes(numbers: dict[int, tuple[int, ...]]) -> Iterator[int]:
    """Bytes of each strip or tile without compression."""

    def one(code: int, default: int) -> int:
        return (numbers.get(code) or (default,))[0]

    width, length, samples = one(_WIDTH, 0), one(_LENGTH, 0), one(_SAMPLES, 1)
    bits = numbers.get(_BITS) or (1,)
    bits = bits if len(bits) >= samples else bits[:1] * samples
    planes = [[one_plane] for one_plane in bits] if one(_PLANAR, 1) == 2 else [list(bits)]
    for plane in planes:
        if _TILES[0] in numbers:
            across, down = max(1, one(_TILE_WIDTH, 1)), max(1, one(_TILE_LENGTH, 1))
            for _ in range(-(-width // across) * -(-length // down)):
                yield (across * sum(plane) + 7) // 8 * down
            continue
        rows = max(1, min(one(_ROWS, length), length))
        for start in range(0, length, rows):
            yield (width * sum(plane) + 7) // 8 * min(rows, length - start)


def _plain(strip: bytes, size: int) -> bytes:
    return strip[size:]


def _deflate(strip: bytes, size: int) -> bytes:
    """What is unpacked beyond the rows, and what stands behind the stream."""
    unpacker, made, left = zlib.decompressobj(), 0, strip
    try:
        while left and not unpacker.eof:
            out = unpacker.decompress(left, _CHUNK)
            made, before = made + len(out), made
            if made > size:
                return out[max(0, size - before) :] + unpacker.unconsumed_tail
            left = unpacker.unconsumed_tail
    except zlib.error:  # for whoever decodes it
        return b""
    return unpacker.unused_data


def _pack_bits(strip: bytes, size: int) -> bytes:
    place = made = 0
    while place < len(strip) and made < size:
        head = strip[place]
        literal = head + 1 if head < 128 else 0
        made += literal or (257 - head if head > 128 else 0)
        place += 1 + (literal or head > 128)
    return strip[place:]


def _lzw(strip: bytes, size: int) -> bytes:
    """Follow the widths of the codes to the end-of-information code, or to the last byte of the rows."""
    if strip[:1] == b"\0" and len(strip) > 1 and strip[1] & 1:  # of before TIFF 6.0, lowest bit first: not followed
        return b""
    lengths = [1] * _FIRST
    bit, width, made, before = 0, 9, 0, 0
    total = 8 * len(strip)
    while bit + width <= total:
        start = bit >> 3
        code = int.from_bytes(strip[start : start + 3].ljust(3, b"\0"), "big") >> (24 - (bit & 7) - width)
        code &= (1 << width) - 1
        if made >= size and code != _END:
            break
        bit += width
        if code == _END:
            break
        if code == _CLEAR:
            lengths, width, before = [1] * _FIRST, 9, 0
            continue
        if before:
            lengths.append(before + 1)
        if code >= len(lengths):
            return b""  # damaged
        before = lengths[code]
        made += before
        width = min(12, max(9, (len(lengths) + 1).bit_length()))
    return strip[(bit + 7) // 8 :]


_ENDS: dict[int, Callable[[bytes, int], bytes]] = {1: _plain, 5: _lzw, 8: _deflate, 32946: _deflate, 32773: _pack_bits}
