# SPDX-License-Identifier: Apache-2.0
"""The secret key of a release, its file, and everything random that follows from it.

Whatever decides a perturbation beyond the published method is drawn from HKDF-SHA256 (RFC 5869) of the key, the release
and the case. So the same key gives the same bytes in any order and process, another key another code, and nobody
without the key can draw either again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from umed.core.errors import InputError

HEADER = "# umed key, version 1. Keep it secret: it opens what umed has hidden in a release."
KEY_BYTES = 32
K = TypeVar("K", bound="Key")


def write_secret(path: Path, text: str) -> None:
    """Write plain ASCII to a new file that only its owner may read.

    Raises:
        InputError: when the file exists or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{path}: exists and is not overwritten. Pick another name, or use it as it is.") from None
    except OSError as error:
        raise InputError(f"{path}: the key cannot be written ({error.strerror}). Pick a folder you own.") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True)
class Key:
    """A secret that only the owner of the originals has.

    Args:
        secret: 32 random bytes; kept out of the representation.

    Raises:
        InputError: when they are not 32.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise InputError(f"key: expected {KEY_BYTES} bytes, got {len(self.secret)}. Make one with 'umed keygen'.")

    @classmethod
    def random(cls: type[K]) -> K:
        """A new random key that is in no file."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def create(cls: type[K], path: Path) -> K:
        """Write a new random key that only its owner may read.

        Args:
            path: file to make; its folder must be there.

        Raises:
            InputError: when the file exists (a lost key cannot be made again) or cannot be written.
        """
        return cls.random().write(path)

    def write(self: K, path: Path) -> K:
        """Write the key to a new file that only its owner may read; gives the key itself.

        Raises:
            InputError: when the file exists or cannot be written.
        """
        write_secret(path, f"{HEADER}\n{self.secret.hex()}\n")
        return self

    @classmethod
    def load(cls: type[K], path: Path) -> K:
        """Read a key file.

        Raises:
            InputError: when it is absent, unreadable, not a key file, or others than its owner may read it. The message
                never quotes the file.
        """
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                raise InputError(f"{path}: expected a key file, got a folder, device or pipe. Check the path.")
            with path.open("rb") as file:
                text = file.read(4096).decode("ascii")
        except FileNotFoundError:
            raise InputError(f"{path}: no such key file. Make one with 'umed keygen {path}'.") from None
        except OSError as error:
            raise InputError(f"{path}: the key file cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            text, mode = "", 0o600
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(lines) != 1 or not re.fullmatch(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", lines[0]):
            raise InputError(
                f"{path}: expected one line of {2 * KEY_BYTES} hexadecimal digits below a '#' line, got something else."
                " Make a key with 'umed keygen'."
            )
        if os.name == "posix" and mode & 0o077:
            raise InputError(
                f"{path}: expected a key that only its owner may read, got one that others may (mode "
                f"{mode & 0o777:03o}). Run 'chmod 600 {path}'; if others have seen it, make a new key."
            )
        return cls(bytes.fromhex(lines[0]))

    def mac(self, purpose: str, value: str) -> bytes:
        """HMAC-SHA256 (RFC 2104), 32 bytes: only the holder of the key can derive them from a value for a purpose."""
        return hmac.digest(self.secret, f"{purpose}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256)

    def digest(self) -> str:
        """Public fingerprint of the key, 16 hex digits: tells two keys apart, and nothing else."""
        return self.mac("fingerprint", "").hex()[:16]

    def seal(self, purpose: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Add ``"hmac"`` to plain data: that of its canonical JSON, for a purpose.

        >>> Key(bytes(32)).is_sealed("plan", Key(bytes(32)).seal("plan", {"epsilon": 1}))
        True
        """
        bare = {name: value for name, value in content.items() if name != "hmac"}
        return {**bare, "hmac": self.mac(f"seal {purpose}", json.dumps(bare, sort_keys=True)).hex()}

    def is_sealed(self, purpose: str, content: Mapping[str, Any]) -> bool:
        """Whether plain data are those that :meth:`seal` saw, unchanged, for the same purpose and key."""
        found = content.get("hmac")
        wanted: str = self.seal(purpose, content)["hmac"]
        return isinstance(found, str) and hmac.compare_digest(found.encode(), wanted.encode())


@dataclass(frozen=True)
class Secret:
    """Everything random of one release.

    Args:
        key: of the owner.
        release: what tells this release from others of the same key; public.
    """

    key: Key
    release: str

    def derive(self, purpose: str, *names: str) -> bytes:
        """HKDF-SHA256 of key, release, purpose and names: 32 bytes.

        >>> one = Secret(Key(bytes(32)), "a").derive("case", "1")
        >>> len(one), one == Secret(Key(bytes(32)), "b").derive("case", "1")
        (32, False)
        """
        info = json.dumps(["umed", 1, self.release, purpose, *names]).encode()  # unambiguous, whatever the names hold
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self.key.secret)

    def draw(self, purpose: str, *names: str) -> np.random.Generator:
        """A random generator of its own for each purpose and names, such as ``("case", id)``."""
        return np.random.default_rng(np.frombuffer(self.derive(purpose, *names), dtype="<u4"))

    def coin(self, purpose: str, *names: str) -> bool:
        """An even coin for each purpose and names."""
        return bool(self.derive(purpose, *names)[0] & 1)

    def seed(self, purpose: str, *names: str) -> int:
        """A seed below 2**63, for torch."""
        return int.from_bytes(self.derive(purpose, *names)[:8], "little") >> 1
