# SPDX-License-Identifier: Apache-2.0
r"""The plaintext of an unlock file: a line that says what it is, what it says of itself, the packed data, and padding.

::

    umed unlock 1\n
    {"data": ..., "digest": "...", "kind": "...", "name": "...", "path": "...", "sha256": "...", "size": ...}\n
    <data> <zeros up to the next size of Padmé>

``path`` and ``sha256`` are the published file, to which the payload is bound; ``digest`` is what must come out, see
:mod:`umed.unlock.content`; ``name`` is what it is then called; ``size`` is that of the data unpacked. The sizes of
Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PoPETs 2019) give
away O(log log n) bits of a size n and cost at most 12 %, mostly far less.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from umed.core.errors import InputError

MAGIC_LINE = b"umed unlock 1\n"
DIFFERENCE, WHOLE, PIXELS, INDEX = "difference", "whole", "pixels", "index"
"""What the data are: a difference of stored values, packed files as they were, one of DICOM pixels, the list of all."""
_KINDS = (DIFFERENCE, WHOLE, PIXELS, INDEX)
WINDOWS = os.name == "nt"
_LEAST = 1024
_MOST_HEADER = 1 << 16
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Payload:
    """What gives one original back.

    Args:
        kind: one of :data:`DIFFERENCE`, :data:`WHOLE`, :data:`PIXELS`, :data:`INDEX`.
        path: the published file, relative to the output; empty for the index.
        sha256: of it.
        digest: of what must come out: of a whole file its SHA-256, else that of its content.
        name: the original's, relative to its data set.
        size: of the data unpacked, in bytes.
        data: packed.
    """

    kind: str
    path: str
    sha256: str
    digest: str
    name: str
    size: int
    data: bytes

    def encode(self) -> bytes:
        """The padded plaintext; the same payload gives the same bytes."""
        header = {**asdict(self), "data": len(self.data)}
        text = MAGIC_LINE + json.dumps(header, sort_keys=True).encode() + b"\n" + self.data
        return text + bytes(padded_size(len(text)) - len(text))


def padded_size(size: int) -> int:
    """The next size of Padmé, and no smaller one than 1 KiB.

    >>> padded_size(3), padded_size(1025), padded_size(100_000), padded_size(102_400)
    (1024, 1088, 100352, 102400)
    """
    size = max(size, _LEAST)
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def decode_payload(plain: bytes, where: str) -> Payload:
    """Read what :meth:`Payload.encode` wrote; nothing is unpacked.

    Args:
        plain: decrypted.
        where: the file, for messages.

    Raises:
        InputError: for anything else, and for a version that is not known.
    """
    if not plain.startswith(MAGIC_LINE):
        raise _refused(where, "another kind or version")
    end = plain.find(b"\n", len(MAGIC_LINE), _MOST_HEADER)
    try:
        header = json.loads(plain[len(MAGIC_LINE) : max(end, 0)])
        texts = {name: header[name] for name in ("kind", "path", "sha256", "digest", "name")}
        sizes = {name: header[name] for name in ("size", "data")}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused(where, "a damaged header") from None
    if not all(isinstance(one, str) for one in texts.values()) or texts["kind"] not in _KINDS:
        raise _refused(where, "a header of another kind")
    if not all(type(one) is int and one >= 0 for one in sizes.values()):
        raise _refused(where, "a header with sizes that are none")
    if not all(_DIGEST.fullmatch(texts[name]) for name in ("sha256", "digest")):
        raise _refused(where, "a header without checksums")
    if texts["kind"] != INDEX:
        for name in ("path", "name"):
            check_name(texts[name], where)
    data, rest = plain[end + 1 : end + 1 + sizes["data"]], plain[end + 1 + sizes["data"] :]
    if len(data) != sizes["data"] or rest.strip(b"\0"):
        raise _refused(where, "a payload that is not as long as it says")
    return Payload(**texts, size=sizes["size"], data=data)


def check_name(name: str, where: str) -> PurePosixPath:
    """Make sure that a name is that of a file below a folder.

    Args:
        name: relative, with ``/``.
        where: it stands, for messages.

    Raises:
        InputError: naming no more than its beginning.
    """
    path = PurePosixPath(name)
    parts = name.split("/")
    odd = not name or path.is_absolute() or any(part in ("", ".", "..") for part in parts)
    odd |= WINDOWS and ("\\" in name or ":" in name)  # elsewhere these are letters like others
    if odd or any(ord(one) < 32 for one in name):
        raise InputError(
            f"{where}: expected names of files inside the release, got {name[:60]!r}. Do not use this release."
        )
    return path


def index_payload(files: dict[str, dict[str, Any]]) -> Payload:
    """The list of everything that a release gives back.

    Args:
        files: by published name: its SHA-256 as ``"sha256"``, and whether it has a payload of its own, or is as it was
            (``"payload"``).
    """
    data = json.dumps(files, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    return Payload(INDEX, "", digest, digest, "", len(data), data)


def read_index(payload: Payload, where: str) -> dict[str, tuple[str, bool]]:
    """SHA-256 of each published file, and whether it has a payload.

    Raises:
        InputError: when it is no such list, or names a file outside the release.
    """
    if payload.kind != INDEX or hashlib.sha256(payload.data).hexdigest() != payload.digest:
        raise _refused(where, "another payload")
    try:
        listed = json.loads(payload.data)
        found = {str(name): (entry["sha256"], entry["payload"]) for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _refused(where, "a damaged list") from None
    for name, (digest, has) in found.items():
        check_name(name, where)
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(has, bool):
            raise _refused(where, "a damaged list")
    return found


def _refused(where: str, got: str) -> InputError:
    return InputError(f"{where}: expected an unlock file as umed writes it, got {got}. Fetch it again.")
