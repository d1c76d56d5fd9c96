# SPDX-License-Identifier: Apache-2.0
"""The secret key of a project, and everything that is derived from it: UIDs, pseudonyms, date shifts.

All of them are HMAC-SHA256 (RFC 2104) of the value and a purpose, so the same key gives the same result in every run,
worker and year without a table that would have to be kept, and nobody without the key can go back or try out values.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from umed.core.errors import InputError

HEADER = "# umed de-identification key, version 1. Keep it secret: it links the output to the patients."
KEY_BYTES = 32
SHIFT_DAYS = 3650  # at most ten years, always into the past, so that no date lies in the future

# UIDs that the standard itself registers have short components (PS3.6 Annex A); long ones under the same root are
# instances that somebody minted there by mistake, and those are as identifying as any other.
_STANDARD_UID = re.compile(r"1\.2\.840\.10008(?:\.(?:0|[1-9]\d{0,3})){1,10}\Z", re.ASCII)


def is_standard_uid(text: str) -> bool:
    """Whether a UID is one that DICOM registers (SOP classes, transfer syntaxes, well-known frames of reference).

    >>> is_standard_uid("1.2.840.10008.5.1.4.1.1.2"), is_standard_uid("1.2.840.10008.20210317.4711")
    (True, False)
    """
    return _STANDARD_UID.match(text) is not None


@dataclass(frozen=True)
class Key:
    """A project's secret.

    Args:
        secret: 32 random bytes; kept out of the representation.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise InputError(f"key: expected {KEY_BYTES} bytes, got {len(self.secret)}. Make one with 'umed keygen'.")

    @classmethod
    def create(cls, path: Path) -> Key:
        """Write a new random key that only its owner may read.

        Args:
            path: file to make; its folder must be there.

        Raises:
            InputError: when the file exists (a lost key cannot be made again) or cannot be written.
        """
        secret = secrets.token_bytes(KEY_BYTES)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise InputError(f"{path}: exists and is not overwritten. Pick another name, or use it as it is.") from None
        except OSError as error:
            raise InputError(f"{path}: the key cannot be written ({error.strerror}). Pick a folder you own.") from None
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{HEADER}\n{secret.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        return cls(secret)

    @classmethod
    def load(cls, path: Path) -> Key:
        """Read a key file; warns when others than the owner may read it.

        Raises:
            InputError: when it is absent, unreadable, or not a key file. The message never quotes the file.
        """
        try:
            text = path.read_bytes()[:4096].decode("ascii")
            mode = path.stat().st_mode
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
            warnings.warn(f"{path}: others may read this key. Run 'chmod 600 {path}'.", UserWarning, stacklevel=2)
        return cls(bytes.fromhex(lines[0]))

    def mac(self, purpose: str, value: str) -> bytes:
        """32 bytes that only the holder of the key can derive from ``value`` for ``purpose``."""
        return hmac.digest(self.secret, f"{purpose}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256)

    def uid(self, text: str) -> str:
        """The UID that stands for another one: ``2.25.`` and 128 bits (PS3.5 B.2).

        Empty ones and those of the standard stay as they are. Blanks and NULs around a UID are padding, not part of it.

        >>> Key(bytes(32)).uid("1.2.3") == Key(bytes(32)).uid("1.2.3 "), Key(bytes(32)).uid("1.2.840.10008.1.2.1")
        (True, '1.2.840.10008.1.2.1')
        """
        bare = text.strip("\0 \t\r\n")
        if not bare or is_standard_uid(bare):
            return bare
        return f"2.25.{int.from_bytes(self.mac('uid', bare)[:16], 'big')}"

    def pseudonym(self, patient_key: str) -> str:
        """Sixteen characters that stand for a patient; fit for PatientID (LO), PatientName (PN) and folder names."""
        return "UM" + base64.b32encode(self.mac("patient", patient_key)[:10]).decode("ascii")[:14]

    def shift(self, patient_key: str) -> int:
        """Days that every date of a patient is moved by: the same for all studies, from -3650 to -1."""
        return -1 - int.from_bytes(self.mac("shift", patient_key)[:8], "big") % SHIFT_DAYS

    def digest(self) -> str:
        """Public fingerprint of the key: tells two keys apart, and nothing else."""
        return self.mac("fingerprint", "").hex()[:16]
