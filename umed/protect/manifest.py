# SPDX-License-Identifier: Apache-2.0
"""The two records of a finished run: one that goes out with the images, and one that never does.

``OUTPUT/umed/manifest.json``, format 2, is public. It says what the files are and how to tell that they are whole, and
nothing that a code depends on::

    {"format": 2, "umed_version": "0.2.0", "layout": "decathlon", "key": "<fingerprint of the key>",
     "notice": "...",                                   # protected, for research, not for diagnosis
     "bound": {"epsilon": 0.0157, "text": "..."},       # {} where nothing was perturbed
     "files": {"imagesTr/a.nii.gz": {"sha256": "...",   # every file of OUTPUT but this one
                                     "what": "protected image"}},  # or unprotected image, label, proposed label, ...
     "labels": "...",                                   # only where masks are proposals
     "accounting": {"protected": 3, "unchanged": 3, "carried": 1,  # files of the input; never a name
                    "left out": {"document": 2}},
     "hmac": "..."}                                     # by the key of the release

``PRIVATE/release.json``, format 2, is the whole story, sealed by the same key::

    {"format": 2, "umed_version": "0.2.0", "layout": "decathlon", "key": "...", "release": "<id>",
     "method": "UMed(...)",
     "plan": {...},                                     # Plan.to_json(); {} where nothing was perturbed
     "cases": [{"id": "hippocampus_001",                # sorted by id
                "status": "protected",                  # protected | unchanged | carried | failed | skipped
                "reason": "",                           # why, for every status but protected
                "weak": "...",                         # only where hardly anything of a protected case could change
                "label_sha256": "...", "files": [...]}],  # measures, see umed.plan.metrics; DICOM: "sha256" and more
     "files": {...},                                    # as above
     "accounting": {"files": 27, "counts": {...},       # every file of the input: umed.data.accounting
                    "left_out": [{"name": "...", "kind": "document", "reason": "...", "grave": false}],
                    "unmatched": [], "released": {"protected": {"": ["..."]}, ...},  # not where names are patients'
                    "public": {...}},                   # what the manifest says of it
     "private": {"plan.json": "<sha256>", ...},         # files of PRIVATE that the record vouches for
     "left_out_of_training": [{"id": "...", "reason": "..."}], "labels": "...",   # only where there are any
     "hmac": "..."}

Neither holds an absolute path. Format 1 is that of umed 0.1, whose code was public.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from umed.cases.proposals import is_proposal
from umed.cases.records import GENERATORS, KEPT, KEY, MANIFEST, RECORD, Store, write_json
from umed.cases.source import Source
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.core.types import Outcome
from umed.core.version import __version__
from umed.data import files
from umed.data.paths import refuse_paths
from umed.plan.planning import Plan

VERSION = 2
PROTECTED = (
    "These images are protected: inside and around what is labelled they carry a small perturbation against training "
    "without permission. They are for research, not for diagnosis."
)
PLAIN = "These files were not perturbed. They are for research, not for diagnosis."


def make_record(
    plan: Plan | None,
    layout: str,
    outcomes: Iterable[Outcome],
    version: str = __version__,
    left_out: Iterable[tuple[str, str]] = (),
    labels: str = "",
) -> dict[str, Any]:
    """Put together what a run did with each case; see the module for the rest.

    Args:
        plan: the resolved plan, ``None`` where nothing was perturbed.
        layout: ``Dataset.layout``.
        outcomes: one a case; ``measures`` holds ``label_sha256`` and ``files``.
        version: of umed.
        left_out: id and reason of each case that the training had to do without.
        labels: what must be known about the masks, see :mod:`umed.cases.proposals`; left out where empty.

    Returns:
        Plain data.
    """
    unused = [{"id": case, "reason": reason} for case, reason in sorted(left_out)]
    return {
        "format": VERSION,
        "umed_version": version,
        "layout": layout,
        "plan": {} if plan is None else json.loads(plan.to_json()),
        "cases": [
            {"id": one.id, "status": one.status, "reason": one.reason, **one.measures}
            for one in sorted(outcomes, key=lambda outcome: outcome.id)
        ],
        **({"left_out_of_training": unused} if unused else {}),
        **({"labels": labels} if labels else {}),
    }


def list_files(source: Source, store: Store, outcomes: Iterable[Outcome], others: Mapping[str, str]) -> dict[str, Any]:
    """Every file of the output but the manifest: its SHA-256, and what it is.

    Args:
        source: of the run.
        store: of the output; its records know what was written.
        outcomes: one a case.
        others: files that belong to no case, with what each is.
    """
    found: dict[str, Any] = {}
    for outcome in outcomes:
        record = store.read(outcome.id)
        for name, digest in (record.outputs if record is not None else {}).items():
            found[name] = {"sha256": digest, "what": _what(source.role(outcome.id, name), outcome)}
    for name, what in others.items():
        found[name] = {"sha256": files.sha256(store.output / name), "what": what}
    return dict(sorted(found.items()))


def _what(role: str, outcome: Outcome) -> str:
    """What a file is to the public."""
    if role == "image":
        return "protected image" if outcome.status == "protected" else "unprotected image"
    return "proposed label" if role == "label" and is_proposal(outcome.measures) else role


def write_record(store: Store, key: Key, record: Mapping[str, Any]) -> None:
    """Write ``release.json``, sealed, with the hashes of the private files beside it.

    Args:
        store: of the output.
        key: of the release.
        record: from :func:`make_record`, with ``"files"``, ``"release"`` and all else.

    Raises:
        ValueError: if it holds an absolute path.
    """
    _refuse_paths({name: value for name, value in record.items() if name != "accounting"}, "record")
    kept = {name: files.sha256(store.path(name)) for name in KEPT if store.path(name).is_file()}
    kept |= {f"{GENERATORS}/{name}": digest for name, digest in files.hashes(store.path(GENERATORS)).items()}
    write_json(store.path(RECORD), key.seal("release", {**record, "key": key.digest(), "private": kept}))


def write_manifest(store: Store, key: Key, record: Mapping[str, Any]) -> Path:
    """Write what the public may know of a record, atomically; the last step of a run.

    Args:
        store: of the output.
        key: of the release.
        record: as in :func:`write_record`.

    Returns:
        Where it lies.

    Raises:
        ValueError: if it holds an absolute path, which might name a machine or a patient.
    """
    plan = record["plan"]
    manifest = {
        **{name: record[name] for name in ("format", "umed_version", "layout", "files")},
        "key": key.digest(),
        "notice": PROTECTED if plan else PLAIN,
        "bound": {"epsilon": plan["epsilon"], "text": bound_text(plan)} if plan else {},
        **({"labels": record["labels"]} if record.get("labels") else {}),
        **({"accounting": record["accounting"]["public"]} if "accounting" in record else {}),
    }
    _refuse_paths(manifest, "manifest")
    path = store.public(MANIFEST)
    write_json(path, key.seal("manifest", manifest))
    return path


def _refuse_paths(content: Mapping[str, Any], what: str) -> None:
    """Refuse absolute paths anywhere but in names of files, which are relative whatever they look like."""
    refuse_paths({**content, "files": list(content["files"].values())}, what)


def bound_text(plan: Mapping[str, Any]) -> str:
    """The bound in words.

    >>> bound_text({"epsilon": 4 / 255, "epsilon_background": None, "support": "roi"})
    'no value moves by more than 0.01569 (4/255) of its range, and none outside ROI and dilated contour'
    """
    weak, whole = plan.get("epsilon_background"), plan.get("support") == "full"
    text = f"no value moves by more than {_share(plan['epsilon'])} of its range"
    if not whole:
        return f"{text}, and none outside ROI and dilated contour"
    return text if weak is None else f"{text}, and by {_share(weak)} outside the labels"


def _share(epsilon: float) -> str:
    of_255 = epsilon * 255
    return f"{epsilon:.4g}" + (f" ({of_255:.0f}/255)" if abs(of_255 - round(of_255)) < 1e-9 else "")


def read_manifest(output: Path) -> dict[str, Any]:
    """Read the public manifest of an output folder. Anybody may have edited it: nothing in it is proof.

    Args:
        output: root of the output.

    Returns:
        The manifest as plain data; of an output of umed 0.1 as it is, with ``"format": 1``.

    Raises:
        InputError: if there is none, or it is damaged or of an unknown format.
    """
    path = output / files.RECORDS / MANIFEST
    if not output.is_dir():
        raise InputError(f"{output}: expected a folder that umed protect wrote, got none. Check the path.")
    if not path.is_file():
        raise InputError(
            f"{path}: expected the manifest of a finished run, got nothing. Finish the run first: the same command "
            "with --resume."
        )
    manifest = _read(path, "Protect the data again.")
    if manifest.get("format") == 1:
        return manifest
    if manifest.get("format") != VERSION:
        raise InputError(
            f"{path}: expected manifest format {VERSION}, got {manifest.get('format')!r}. "
            "Use the version that wrote it."
        )
    listed = manifest.get("files")
    whole = isinstance(listed, dict) and all(_is_entry(name, one) for name, one in listed.items())
    if not whole or "layout" not in manifest:
        raise InputError(
            f"{path}: expected 'layout' and 'files' with sha256 and what, got others. Protect the data again."
        )
    return manifest


def _is_entry(name: str, one: Any) -> bool:
    """Whether this names a file, in text that can be written anywhere."""
    texts = [name, *(one.get(part) for part in ("sha256", "what"))] if isinstance(one, dict) else [None]
    return all(isinstance(text, str) and text.isprintable() for text in texts)


def read_record(private: Path, key: Key) -> dict[str, Any]:
    """Read the private record of a release, and make sure that its key has sealed it as it is.

    Args:
        private: private folder.
        key: of the release.

    Returns:
        The record as plain data.

    Raises:
        InputError: if there is none, or it is damaged or was edited.
        ConfigError: if the key is that of another release.
    """
    path = private / RECORD
    if not path.is_file():
        raise InputError(
            f"{path}: expected the record of a finished run, got nothing. Finish the run with --resume, or give its "
            "folder with --private."
        )
    record = _read(path, "Without it, name the promise with --epsilon and --radius.")
    if record.get("format") != VERSION:
        raise InputError(
            f"{path}: expected record format {VERSION}, got {record.get('format')!r}. Use the version that wrote it."
        )
    if record.get("key") != key.digest():
        raise ConfigError(
            f"{path}: expected a record of the key {key.digest()}, got one of {record.get('key')!r}. "
            "Give the key of this release with --key-file."
        )
    if not key.is_sealed("release", record):
        raise InputError(
            f"{path}: expected the record as umed wrote it, got one that was edited since: its seal is broken. "
            "Nothing in it can be trusted; name the promise with --epsilon and --radius."
        )
    return record


def record_of(output: Path, private: Path | None = None, key_file: Path | None = None) -> dict[str, Any]:
    """The private record of an output whose private folder and key are at hand; see :func:`read_record`."""
    folder = Store(output, private).folder
    return read_record(folder, Key.load(folder / KEY if key_file is None else key_file))


def _read(path: Path, then: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}. {then}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(found).__name__}. {then}")
    return found
