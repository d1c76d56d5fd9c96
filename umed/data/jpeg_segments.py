# SPDX-License-Identifier: Apache-2.0
"""The segments of a JPEG before its picture, and what follows the end of the picture. Format: ITU-T T.81, annex B."""

from __future__ import annotations

import struct

_SCAN = 0xDA


def segments(data: bytes) -> tuple[list[tuple[int, bytes]], bytes | None]:
    """Take a JPEG apart.

    Args:
        data: the file.

    Returns:
        Marker and body of each segment before the first scan, and the bytes after the end of the picture; ``None``
        where it has no end.
    """
    found, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == _SCAN:
            break
        (size,) = struct.unpack_from(">H", data, place + 2)
        found.append((marker, data[place + 4 : place + 2 + size]))
        place += 2 + max(size, 2)
    end = data.find(b"\xff\xd9", place)
    while 0 <= end and data[end + 2 : end + 3] == b"\xff" and data[end + 3 : end + 4] not in (b"\xd8", b""):
        end = data.find(b"\xff\xd9", end + 2)  # not seen in sound files: another segment behind the end
    return found, None if end < 0 else data[end + 2 :]
