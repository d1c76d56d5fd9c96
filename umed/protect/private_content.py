# SPDX-License-Identifier: Apache-2.0
"""Tells by content, whatever the name, what must never be published: keys, generators, umed's private records."""

from __future__ import annotations

import base64
import json
import re
import struct
from pathlib import PurePosixPath

from umed.core.keyfile import Key

_HEX_KEY = re.compile(rb"\A(?:\s*#[^\n]*\n)*\s*[0-9a-fA-F]{64}\s*\Z")
_KEYS = (
    (re.compile(rb"(?m)^# umed key, version \d"), "a key of umed"),
    (re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"), "a private key (PEM)"),
    (re.compile(rb"(?m)^PuTTY-User-Key-File-\d"), "a private key (PuTTY)"),
    (re.compile(rb"AGE-SECRET-KEY-(?:PQ-)?1[02-9AC-HJ-NP-Z]{20,}"), "a private key (age)"),
)
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_WEIGHTS = (
    (_LEGACY_TORCH, "weights of torch"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as weights are kept in"),
    (b"GGUF", "weights (GGUF)"),
)
_RECORDS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"epsilon", "radius", "method", "seed"}), "a plan"),
    (frozenset({"plan", "cases"}), "the full record of a release"),
    (frozenset({"output", "key", "files"}), "the list of files that a run may write"),
    (frozenset({"outcome", "run", "sources", "outputs"}), "the record of a case"),
    (frozenset({"actions", "tags", "files_written"}), "the audit of a run"),
    (frozenset({"verdict", "sentence", "thieves"}), "the forecast of a release"),
    (frozenset({"tests", "salt", "cases"}), "the copies of a release"),
    (frozenset({"release", "commitment", "queries"}), "the list of what each query of a trace is"),
)
_EXACT = {
    frozenset({"files"}): "the list of files that a run may write",
    frozenset({"note", "files"}): "the list of what was quarantined",
    frozenset({"recipient"}): "the note of whose copy a release is",
}
"""Records that have these keys and no others; ``proposals.json``, which is public, has more."""
_SMALL = 1 << 20
_MOST_JSON = 1 << 26
_NAMES = {"release.key", "release.json", "targets.json", "left_out.json", "quarantine.json"}
"""Names of private files that nothing else has."""


def private_kind(name: str, data: bytes) -> str:
    """What kind of private file this is; empty for none.

    Args:
        name: of the file; only names that nothing else has count.
        data: its bytes, unpacked.

    >>> private_kind("notes.txt", Key(bytes(32)).secret.hex().encode())
    'a key of umed'
    """
    head = data[:_SMALL]
    for pattern, what in _KEYS:
        if pattern.search(head):
            return what
    if len(data) < 4096 and _HEX_KEY.match(data):
        return "a key of umed"
    return _weights(data) or _record(data) or ("a private file of umed" if PurePosixPath(name).name in _NAMES else "")


def holds_secret(data: bytes, key: Key) -> bool:
    """Whether bytes hold a key itself: raw, in hexadecimal digits, or in base64."""
    secret = key.secret
    digits = secret.hex().encode()
    return any(one in data for one in (secret, digits, digits.upper(), base64.b64encode(secret)[:42]))


def _weights(data: bytes) -> str:
    for magic, what in _WEIGHTS:
        if data.startswith(magic):
            return what
    if data[:4] == b"PK\x03\x04" and re.search(rb"data\.pkl|constants\.pkl|\.npy|archive/version", data[-_SMALL:]):
        return "weights of torch or arrays of NumPy"
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5") and data.rstrip(b"\0")[-1:] == b".":
        return "a pickle"
    if _is_safetensors(data):
        return "weights (safetensors)"
    return "weights (ONNX)" if _is_onnx(data) else ""


def _is_safetensors(data: bytes) -> bool:
    """Format: length of a JSON header (little-endian, 8 bytes), the header, the tensors."""
    if len(data) < 10 or data[8:9] != b"{":
        return False
    (size,) = struct.unpack_from("<Q", data)
    return size <= len(data) - 8 and (b'"dtype"' in data[8 : 8 + size] or b'"__metadata__"' in data[8 : 8 + size])


def _is_onnx(data: bytes) -> bool:
    """Whether the whole file parses as the protocol buffer ``ModelProto``, with a version and a graph."""
    if data[:1] != b"\x08":
        return False
    place, seen = 0, set[int]()
    while place < len(data):
        tag, place = _varint(data, place)
        field, wire = tag >> 3, tag & 7
        if not 1 <= field <= 25 or wire not in (0, 2) or place < 0:
            return False
        value, place = _varint(data, place)
        place = place + value if wire == 2 and place >= 0 else place
        if place < 0 or place > len(data):
            return False
        seen.add(field)
    return {1, 7} <= seen


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number and where it ends; -1 for a broken one."""
    value = 0
    for shift in range(0, 63, 7):
        if place >= len(data):
            return 0, -1
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    return 0, -1


def _record(data: bytes) -> str:
    """Records of umed, by the keys of their JSON."""
    if data.lstrip()[:1] not in (b"{", b"[") or len(data) > _MOST_JSON:
        return ""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    if isinstance(content, dict):
        keys = content.keys()
        found = next((what for wanted, what in _RECORDS if wanted <= keys), "")
        return found or _EXACT.get(frozenset(keys), "")
    left_out = isinstance(content, list) and all(
        isinstance(one, dict) and one.keys() == {"id", "reason"} for one in content
    )
    return "the list of cases left out of training" if left_out and content else ""
