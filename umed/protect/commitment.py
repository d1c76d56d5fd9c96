# SPDX-License-Identifier: Apache-2.0
"""What the owner commits to before a release, so that a later trace cannot be made to fit.

The key gives many draws of the code of each case, as good as each other; one of them is published.
``PRIVATE/trace.json`` says which, by the digests of both copies, and whose copy it is where the owner named somebody.
Its SHA-256 is published as ``umed/commitment.json``; it says nothing about them or the name, since a salt goes
into it, and a time stamp on it (RFC 3161) proves that they were tossed before any network could be asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from umed.cases.records import COMMITMENT, TRACE, Store, write_text
from umed.core.conversion import parse_json
from umed.core.errors import InputError
from umed.core.keyfile import Secret
from umed.core.types import Outcome
from umed.core.version import __version__
from umed.data.files import RECORDS
from umed.protect.recipient_label import recipient_of

COMMITMENT_FILE = f"{RECORDS}/{COMMITMENT}"
FORMAT = 1
ALPHA = 1e-3
"""Above this corrected p-value nothing is called evidence."""
TESTS = (
    "umed trace 2: aligned ranks of the published copy among it and other draws from the key (8 unless said "
    "otherwise). Score: mean, over looks (4 unless said otherwise) and frames, of the log odds, clipped at 0.0001 and "
    "0.9999, of the Dice coefficient averaged over classes, soft for probabilities. p exact, corrected by Holm"
)
"""What is tested and how; committed to with the copies."""
EARLIER = ("umed trace 1: signed ranks of the mean Dice coefficient, published copy against twin, corrected by Holm",)
"""Tests that earlier versions committed to, and that this one does not make."""


def write_commitment(store: Store, secret: Secret, outcomes: Iterable[Outcome]) -> bool:
    """Write both files of a finished run; nothing where no case has a twin.

    Args:
        store: of the output; its records know the digests.
        secret: of the release; gives the salt.
        outcomes: one a case.

    Returns:
        Whether there is something to commit to.
    """
    cases: dict[str, Any] = {}
    for outcome in outcomes:
        record = store.read(outcome.id)
        if record is not None and outcome.status == "protected" and record.twins:
            cases[outcome.id] = record.twins
    if not cases:
        store.path(TRACE).unlink(missing_ok=True)
        store.public(COMMITMENT).unlink(missing_ok=True)
        return False
    content: dict[str, Any] = {
        "format": FORMAT,
        "umed_version": __version__,
        "tests": TESTS,
        "alpha": ALPHA,
        "release": secret.release,
        "salt": secret.derive("trace salt").hex(),
        "cases": dict(sorted(cases.items())),
    }
    if (recipient := recipient_of(store)) is not None:
        content["recipient"] = recipient
    text = json.dumps(content, sort_keys=True, indent=1) + "\n"
    write_text(store.path(TRACE), text)
    write_text(store.public(COMMITMENT), commitment_text(hashlib.sha256(text.encode()).hexdigest()))
    return True


def commitment_text(digest: str, tests: str = TESTS) -> str:
    """Content of ``umed/commitment.json`` for the SHA-256 of ``trace.json``."""
    public = {
        "format": FORMAT,
        "tests": tests,
        "alpha": ALPHA,
        "sha256": digest,
        "about": "The owner's trace.json has this SHA-256. It says which of several copies of each case was published.",
    }
    return json.dumps(public, sort_keys=True, indent=1) + "\n"


def commitment_fault(data: bytes) -> str:
    """Why a public commitment is not what umed writes, in words; ``""`` where it is.

    >>> commitment_fault(commitment_text("0" * 64).encode()), commitment_fault(b"{}")
    ('', 'expected the commitment that umed writes, got something else')
    """
    match = re.search(rb'"sha256": "([0-9a-f]{64})"', data)
    digest = "" if match is None else match[1].decode()
    same = match is not None and any(data == commitment_text(digest, one).encode() for one in (TESTS, *EARLIER))
    return "" if same else "expected the commitment that umed writes, got something else"


def read_trace(private: Path, output: Path | None = None) -> dict[str, Any]:
    """Read what was committed to.

    Args:
        private: private folder of the release.
        output: the release; its commitment is compared where it is there.

    Returns:
        Content of ``trace.json``, and its SHA-256 as ``"sha256"``.

    Raises:
        InputError: when there is none, it is damaged, or the commitment is to another one.
    """
    path = private / TRACE
    try:
        raw = path.read_bytes()
        content: dict[str, Any] = parse_json(raw.decode())
        if content["format"] != FORMAT or not content["cases"]:
            raise ValueError(f"format {content['format']!r}")
    except FileNotFoundError:
        raise InputError(
            f"{path}: expected the copies of a release, got nothing. Only runs of umed 0.2 and newer with secret "
            "carriers have one; check --private."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the copies of a release, got: {error}. Restore it from a copy.") from error
    if content.get("tests") != TESTS:
        raise InputError(
            f"{path}: expected a release that commits to the test of this version ({TESTS.split(':')[0]}), got "
            f"{str(content.get('tests')).split(':')[0]!r}. Use the umed that made it, or make the release again."
        )
    digest = hashlib.sha256(raw).hexdigest()
    public = None if output is None else output / COMMITMENT_FILE
    if public is not None and public.is_file():
        try:
            said = parse_json(public.read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            said = "something else"
        if said != digest:
            raise InputError(f"{public}: expected the commitment {digest}, got {said}. The record was changed since.")
    return {**content, "sha256": digest}
