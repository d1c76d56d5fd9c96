# SPDX-License-Identifier: Apache-2.0
"""Keys and files of age (https://age-encryption.org/v1, X25519), by pyrage; nothing of the cryptography is our own.

Whatever is written here, the public program ``age`` reads, and the other way round.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import write_secret

MAGIC = b"age-encryption.org/v1\n"
_MOST_LIST = 1 << 20
"""Bytes of a list of recipients or of a key file."""
_MOST_HEADER = 1 << 20
_SECRET = re.compile(r"AGE-SECRET-KEY|PRIVATE KEY|umed key, version", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_MAC = re.compile(rb"--- [A-Za-z0-9+/]{43}\n")
_STANZA = re.compile(rb"^-> X25519 ", re.MULTILINE)


def require_pyrage() -> ModuleType:
    """The library.

    Raises:
        ConfigError: where it is not installed.
    """
    try:
        import pyrage
    except ImportError as error:
        raise ConfigError(
            "recipients: expected the package pyrage, which encrypts in the format of age, got none. "
            "Install it with: pip install 'umed[unlock]'"
        ) from error
    module: ModuleType = pyrage
    return module


def new_identity() -> str:
    """A new random secret key of age, ``AGE-SECRET-KEY-1...``."""
    return str(require_pyrage().x25519.Identity.generate())


def public_of(identity: str) -> str:
    """The public key ``age1...`` of a secret one.

    Raises:
        InputError: when it is none; it is not quoted.
    """
    return str(_identity(identity, "the key").to_public())


def write_identity(path: Path, identity: str) -> str:
    """Write a secret key to a new file that only its owner may read, as ``age-keygen`` does.

    Args:
        path: file to make; its folder must be there.
        identity: from :func:`new_identity`.

    Returns:
        The public key.

    Raises:
        InputError: when the file exists or cannot be written.
    """
    public = public_of(identity)
    write_secret(path, f"# public key: {public}\n{identity}\n")
    return public


def read_identities(path: Path) -> list[str]:
    """Secret keys of a file, as ``age -i`` reads it: one a line, comments with ``#``.

    Raises:
        InputError: when the file is absent, unreadable or holds something else, or others than its owner may read it.
            The message quotes nothing of it.
    """
    text, mode = _read_small(path, "key file", f"Make one with 'umed keygen --recipient {path}'.")
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not lines or not all(line.startswith("AGE-SECRET-KEY-1") for line in lines):
        got = "an empty file" if not text.strip() else "something else"
        if len(lines) == 1 and _HEX.fullmatch(lines[0]):
            got = "a key from which umed draws codes (umed keygen KEY)"
        elif lines and all(line.startswith("age1") for line in lines):
            got = "public keys"
        raise InputError(
            f"{path}: expected a secret key of a recipient, AGE-SECRET-KEY-1..., got {got}. "
            "Give the file that 'umed keygen --recipient' or age-keygen made."
        )
    if os.name == "posix" and mode & 0o077:
        raise InputError(
            f"{path}: expected a key that only its owner may read, got one that others may (mode {mode & 0o777:03o}). "
            f"Run 'chmod 600 {path}'; if others have seen it, make a new key."
        )
    for line in lines:
        _identity(line, str(path))
    return lines


def read_recipients(path: Path) -> list[str]:
    """Public keys of a file, as ``age -R`` reads it: one ``age1...`` a line, comments with ``#``; each once, in order.

    Raises:
        InputError: when the file is absent, unreadable or empty, or a line is no public key, least of all a secret one.
            Such lines are named by their number and never quoted.
    """
    pyrage = require_pyrage()
    text, _ = _read_small(path, "list of recipients", "Write one public key age1... a line.")
    found: dict[str, None] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if _SECRET.search(line) or _HEX.fullmatch(line):
            raise InputError(
                f"{path}: line {number}: expected a public key age1..., got a secret key. Take it out: whoever has "
                "read this file can open what it opens; ask its owner for the public key."
            )
        if not line or line.startswith("#"):
            continue
        try:
            found[str(pyrage.x25519.Recipient.from_str(line))] = None
        except pyrage.RecipientError:
            raise InputError(
                f"{path}: line {number}: expected a public key age1... of X25519, got something else. "
                "Give the line that 'umed keygen --recipient' or age-keygen -y prints."
            ) from None
    if not found:
        raise InputError(f"{path}: expected at least one public key age1..., got none. Write one a line.")
    return list(found)


def encrypt(data: bytes, recipients: Sequence[str]) -> bytes:
    """An age file for public keys; each alone opens it. The bytes differ from call to call."""
    pyrage = require_pyrage()
    return bytes(pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(one) for one in recipients]))


def decrypt(data: bytes, identities: Sequence[str], where: str, *, key: str = "") -> bytes:
    """Open an age file.

    Args:
        data: the file.
        identities: secret keys, of which one is enough.
        where: the file, for messages.
        key: file of the keys, for messages.

    Raises:
        InputError: when it is damaged, or for other keys; nothing of it is given away then.
    """
    pyrage = require_pyrage()
    if not data:
        raise InputError(f"{where}: expected an age file, got an empty one. Fetch it again.")
    if not data.startswith(MAGIC):
        raise InputError(f"{where}: expected an age file, got other bytes. Fetch it again.")
    try:
        return bytes(pyrage.decrypt(data, [_identity(one, key or "the key") for one in identities]))
    except pyrage.DecryptError as error:
        if "no matching keys" in str(error).lower():
            raise InputError(
                f"{where}: expected a file for {key or 'this key'}, got one for other keys. Give the key whose public "
                "half the owner of the release has, or ask for access: umed unlock grant."
            ) from None
        raise InputError(
            f"{where}: expected an age file as it was written, got one that was changed or cut short. Fetch it again."
        ) from None


def form_fault(data: bytes) -> str:
    """What keeps bytes from being an age file for X25519 keys, as far as anybody can tell; ``""`` for nothing."""
    if not data.startswith(MAGIC):
        return "no age file"
    match = _MAC.search(data, 0, _MOST_HEADER)
    if match is None or not data[match.end() :]:
        return "an age file that is cut short"
    return "" if _STANZA.search(data, 0, match.start()) else "an age file that is for no X25519 key"


def body_size(data: bytes) -> int:
    """Bytes of an age file behind its header, which differs in length by chance alone."""
    match = _MAC.search(data, 0, _MOST_HEADER)
    return len(data) if match is None else len(data) - match.end()


def _identity(text: str, where: str) -> Any:
    pyrage = require_pyrage()
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise InputError(
            f"{where}: expected a secret key of age, got a damaged one. Use the file as it was made, or a copy of it."
        ) from None


def _read_small(path: Path, what: str, step: str) -> tuple[str, int]:
    """Text and mode of a small plain file; nothing of it is ever quoted."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: expected a {what}, got a folder, device or pipe. Check the path.")
        with path.open("rb") as file:
            data = file.read(_MOST_LIST + 1)
        if len(data) > _MOST_LIST:
            raise InputError(f"{path}: expected a {what} of at most {_MOST_LIST} bytes, got more. Check the path.")
        return data.decode("utf-8"), mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}. {step}") from None
    except OSError as error:
        raise InputError(f"{path}: the {what} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a {what} of plain text, got other bytes. Check the path.") from None
