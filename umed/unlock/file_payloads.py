# SPDX-License-Identifier: Apache-2.0
"""Payloads of image files: made from an original and what was published for it, and turned back into the original."""

from __future__ import annotations

import bz2
from pathlib import Path

from umed.core.errors import InputError, VerificationError
from umed.core.types import Volume
from umed.data import files, formats, raster
from umed.unlock.content import content_digest, without_mark
from umed.unlock.payload import DIFFERENCE, WHOLE, Payload
from umed.unlock.residual import pack_difference, unpack_difference

_PLAIN, _PACKED = b"\0", b"\1"
_FREE = 64 << 20
"""Bytes that a whole original may always have."""
STOP = "Do not use this release."
_BEYOND = 4
"""How many times as large as the published image, unpacked, it may be."""


def make_file_payload(original: Path, published: Path, path: str) -> Payload | None:
    """What gives an image file back from the one that was published for it.

    Args:
        original: the source.
        published: what was written for it.
        path: of that, relative to the output.

    Returns:
        The payload; ``None`` where both are the same bytes under the same ending.

    Raises:
        InputError: when one cannot be read, or the original cannot be brought back exactly.
    """
    before, after = formats.read(original), formats.read(published)
    digest = _digest(after)
    same = formats.ending(original) == formats.ending(published)
    if same and _digest(before) == digest and before.beside == after.beside:
        return None
    found = _difference(before, after, path, digest) if same else None
    if found is None or (not before.beside and original.stat().st_size < len(found.data)):
        if before.beside:
            raise InputError(
                f"{original}: expected an image that its published file and a difference give back, got one that they "
                "do not. Leave --recipients out, and report this."
            )
        return _whole(original, published, path, digest)
    return found


def _difference(before: Volume, after: Volume, path: str, digest: str) -> Payload | None:
    """A difference of values, where everything else of the original is in the published file."""
    fits = before.stored.shape == after.stored.shape and before.stored.dtype.str == after.stored.dtype.str
    if not fits or formats.not_kept(before) or formats.ending(before.source) in raster.JPEG:
        return None
    wanted = content_digest(before)
    if content_digest(without_mark(after), before.stored) != wanted:
        return None
    data = pack_difference(before.stored, after.stored)
    return Payload(DIFFERENCE, path, digest, wanted, path, before.stored.nbytes, data)


def _whole(original: Path, published: Path, path: str, digest: str) -> Payload:
    """The original file as it is: a lossy picture, or one with parts that were not published."""
    content = original.read_bytes()
    ending, own = formats.ending(published), formats.ending(original)
    packed = content if own in raster.JPEG else bz2.compress(content)
    data = _PACKED + packed if len(packed) < len(content) else _PLAIN + content
    name = path if ending == own else path[: len(path) - len(ending)] + original.name[len(original.name) - len(own) :]
    return Payload(WHOLE, path, digest, files.sha256(original), name, len(content), data)


def _digest(volume: Volume) -> str:
    return volume.sha256 or files.sha256(volume.source)


def restore_file(payload: Payload, published: Path, folder: Path) -> list[str]:
    """Write the original of a published image file, and make sure that it is that.

    Args:
        payload: of kind difference or whole.
        published: the file that it belongs to.
        folder: root of the originals; nothing in it is written over.

    Returns:
        Names of the files that were written, relative to ``folder``.

    Raises:
        InputError: when the published file is not the one that the payload is bound to, or the payload is damaged.
        VerificationError: when what was written is not the original.
    """
    target = free_place(folder, payload.name)
    after = formats.read(published)
    if _digest(after) != payload.sha256:
        raise InputError(f"{published}: {CHANGED}")
    if payload.kind == WHOLE:
        if payload.name not in _names(payload):
            raise InputError(
                f"{payload.name}: expected the name of the original of {payload.path}, got another. {STOP}"
            )
        target.write_bytes(_unpacked(payload, after.stored.nbytes + published.stat().st_size))
        if files.sha256(target) != payload.digest:
            raise not_the_original(payload.path)
        return [payload.name]
    if payload.size != after.stored.nbytes or payload.name != payload.path:
        raise InputError(f"{payload.path}: expected a payload for this image, got one for another. Fetch it again.")
    plain = without_mark(after)
    beside = [free_place(folder, target.relative_to(folder).with_name(name).as_posix()) for name, _ in after.beside]
    formats.write(plain, unpack_difference(payload.data, after.stored), target)
    if content_digest(formats.read(target)) != payload.digest:
        raise not_the_original(payload.path)
    return [one.relative_to(folder).as_posix() for one in (target, *beside)]


CHANGED = (
    "expected the published file that its unlock file is bound to, got another one; it was changed. Fetch it again."
)


def not_the_original(path: str) -> VerificationError:
    """What came out is something else; nothing is kept of it."""
    return VerificationError(
        f"{path}: expected the original, got other content: the unlock file is damaged, or of another release. "
        "Nothing was written; fetch the release again."
    )


def free_place(folder: Path, name: str) -> Path:
    """Where a file of a checked name goes; its folder is made.

    Raises:
        InputError: when something is there already: two files of a release would become one.
    """
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() or target.is_symlink():
        raise InputError(f"{name}: expected one original of this name, got two. {STOP}")
    return target


def _names(payload: Payload) -> set[str]:
    """What the original of a published file may be called: the same, or as the lossy picture that it was."""
    ending, own = (formats.ending(Path(name)) for name in (payload.path, payload.name))
    lossy = payload.path[: len(payload.path) - len(ending)] + payload.name[len(payload.name) - len(own) :]
    return {payload.path, *([lossy] if own in raster.JPEG else [])}


def _unpacked(payload: Payload, published: int) -> bytes:
    """A whole original, never unpacked beyond the size that it says, nor beyond measure."""
    most = _FREE + _BEYOND * published
    kind, packed = payload.data[:1], payload.data[1:]
    damaged = InputError(f"{payload.path}: expected a packed original, got a damaged one. Fetch its unlock file again.")
    if payload.size > most:
        raise InputError(
            f"{payload.path}: expected an original of at most {most} bytes, got one of {payload.size} by its unlock "
            f"file. {STOP}"
        )
    if kind == _PLAIN:
        content = packed
    elif kind == _PACKED:
        try:
            unpacker = bz2.BZ2Decompressor()
            content = unpacker.decompress(packed, payload.size + 1)
            if not unpacker.eof or unpacker.unused_data:
                raise damaged
        except (OSError, ValueError, EOFError):
            raise damaged from None
    else:
        raise damaged
    if len(content) != payload.size:
        raise damaged
    return content
