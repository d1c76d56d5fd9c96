# SPDX-License-Identifier: Apache-2.0
"""What is known of a challenge: which query is what; in the private folder, sealed by the key of the release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umed.cases.records import KEY, write_json
from umed.core.config import from_mapping
from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key

CHALLENGES = "challenges"
"""Folder of challenges in a private folder."""
PURPOSE = "trace challenge"
FORMAT = 1
NOTE = "challenge.json"
"""File of a folder of queries that says which challenge it is, and no more."""
PUBLISHED, TWIN, DECOY = "published", "twin", "decoy"
"""Roles of a query. Further draws that the published copy is compared with are called ``twin2``, ``twin3`` ..."""


def twin_roles(count: int) -> list[str]:
    """Roles of the copies that the published one is compared with; the first was committed to.

    >>> twin_roles(3)
    ['twin', 'twin2', 'twin3']
    """
    return [TWIN, *(f"{TWIN}{number}" for number in range(2, count + 1))]


@dataclass(frozen=True)
class Query:
    """One image that the suspect network is run on.

    Args:
        case: id of the case it is made of.
        role: :data:`PUBLISHED`, :data:`DECOY`, or one of :func:`twin_roles`.
        flips: axes of its grid that are turned round.
        frame: which picture of its series it is; ``None`` where it is all of its case.
    """

    case: str
    role: str
    flips: tuple[int, ...]
    frame: int | None = None


@dataclass(frozen=True)
class Challenge:
    """A challenge as its owner keeps it.

    Args:
        id: of the challenge; random.
        release: whose release is asked about.
        commitment: SHA-256 of what was committed to before the release.
        values: of the classes in the masks, without the background.
        queries: by name of the query.
        left_out: cases that are not asked about, and why.
    """

    id: str
    release: str
    commitment: str
    values: tuple[int, ...]
    queries: dict[str, Any]
    left_out: dict[str, str]

    @property
    def roles(self) -> list[str]:
        """Of all copies that count, the published one first."""
        found = {one["role"] for one in self.queries.values()} - {PUBLISHED, DECOY}
        return [PUBLISHED, *sorted(found)]

    def query(self, name: str) -> Query:
        """What a query is."""
        return from_mapping(Query, self.queries[name], name)

    def write(self, private: Path, key: Key) -> Path:
        """Write it into the private folder, sealed; gives the file."""
        path = folder_of(private, self.id) / "queries.json"
        write_json(path, key.seal(PURPOSE, {"format": FORMAT, **asdict(self)}))
        path.chmod(0o600)
        return path


def folder_of(private: Path, challenge: str) -> Path:
    """Where a challenge lies in a private folder."""
    return private / CHALLENGES / challenge


def key_of(private: Path, key_file: Path | None) -> Key:
    """The key of a release: the one given, else ``release.key`` of its private folder.

    Raises:
        InputError: when there is none; a new one would not help.
    """
    own = private / KEY
    if not private.is_dir():
        raise InputError(f"{private}: expected the private folder of the release, got no folder. Check --private.")
    if key_file is not None and not key_file.exists():
        raise InputError(f"{key_file}: expected the key that the run was given, got no file. A new key would not help.")
    if key_file is None and not own.exists():
        raise InputError(
            f"{own}: expected the key of the release, got none. Give --key-file KEY, the file that the run was given."
        )
    return Key.load(own if key_file is None else key_file)


def read_challenge(queries: Path, private: Path, key: Key) -> Challenge:
    """Read what the queries of a folder are.

    Args:
        queries: folder that ``umed trace challenge`` wrote.
        private: private folder of the release.
        key: of the release.

    Raises:
        InputError: when either is missing, or was changed since.
    """
    note = _content(queries / NOTE, "a folder of queries that umed trace challenge wrote")
    name = note.get("challenge")
    if not isinstance(name, str) or not name.isalnum():
        raise InputError(f"{queries / NOTE}: expected the id of a challenge, got {name!r}. Restore the file.")
    path = folder_of(private, name) / "queries.json"
    content = _content(path, f"what the queries of {queries} are; give the --private folder that made them")
    if content.get("format") != FORMAT or not key.is_sealed(PURPOSE, content):
        raise InputError(f"{path}: expected what the key {key.digest()} has sealed, got something else. Use its key.")
    bare = {name: value for name, value in content.items() if name not in ("format", "hmac")}
    try:
        return from_mapping(Challenge, bare, str(path))
    except ConfigError as error:
        raise InputError(str(error)) from error


def _content(path: Path, wanted: str) -> Mapping[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: expected {wanted}, got nothing.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected {wanted}, got: {error}.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected {wanted}, got no object.")
    return found
