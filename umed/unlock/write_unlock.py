# SPDX-License-Identifier: Apache-2.0
"""At the end of a run: for every published file that is not as it was, what gives the original back.

Made from the originals and the written files, pair by pair, so that neither worker nor resume changes a plaintext; only
one pair is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from umed.cases.records import Store
from umed.cases.source import Source
from umed.core.errors import InputError
from umed.core.progress import counted
from umed.core.types import Outcome, Progress
from umed.data import files
from umed.unlock.file_payloads import make_file_payload
from umed.unlock.payload import Payload, index_payload
from umed.unlock.unlock_folder import (
    INDEX_FILE,
    KEY_FILE,
    folder_of,
    keep_recipients,
    put_sealed,
    release_identity,
    seal_key,
    tidy,
    unlock_name,
)

if TYPE_CHECKING:
    from umed.cases.file_source import FileSource
    from umed.cases.series_source import SeriesSource


def write_unlock(
    source: Source,
    store: Store,
    outcomes: Iterable[Outcome],
    listed: Mapping[str, Mapping[str, Any]],
    folder: Path,
    recipients: list[str],
    progress: Progress | None = None,
) -> list[str]:
    """Write the unlock files of a run.

    Args:
        source: of the run.
        store: of the output.
        outcomes: one a case.
        listed: every published file outside ``umed/`` with its ``"sha256"``.
        folder: for the unlock files.
        recipients: public keys of those who may open them.
        progress: called with ``"unlock"``, cases done and cases in all.

    Returns:
        Names of the files in ``folder``.

    Raises:
        InputError: when an original or a published file is not the one of the run, or cannot be brought back.
    """
    identity = release_identity(store)
    keep_recipients(store, recipients, inside=folder == folder_of(store.output, None))
    folder.mkdir(parents=True, exist_ok=True)
    has = set[str]()
    released = [one for one in outcomes if one.status in ("protected", "unchanged")]
    for outcome in counted(released, "unlock", progress):
        for payload in _payloads(source, store, outcome):
            if listed[payload.path]["sha256"] != payload.sha256:
                raise InputError(
                    f"{store.output / payload.path}: expected the file that the run wrote, got another. "
                    "Give --resume to write it again."
                )
            put_sealed(folder / unlock_name(payload.path), payload.encode(), identity)
            has.add(payload.path)
    index = {name: {"sha256": str(entry["sha256"]), "payload": name in has} for name, entry in listed.items()}
    put_sealed(folder / INDEX_FILE, index_payload(index).encode(), identity)
    seal_key(folder, identity, recipients)
    names = {KEY_FILE, INDEX_FILE, *map(unlock_name, has)}
    tidy(folder, names)
    return sorted(names)


def _payloads(source: Source, store: Store, outcome: Outcome) -> Iterator[Payload]:
    """Of one case."""
    if source.layout == "dicom":
        yield from _of_series(cast("SeriesSource", source), store.output, outcome)
    else:
        yield from _of_files(cast("FileSource", source), store, outcome)


def _of_files(source: FileSource, store: Store, outcome: Outcome) -> Iterator[Payload]:
    case, record = source.by_id[outcome.id], store.read(outcome.id)
    known = {} if record is None else record.sources
    for image, output in zip(case.images, case.outputs, strict=True):
        original = source.root / image
        if files.sha256(original) != known.get(image.as_posix()):
            raise InputError(
                f"{original}: expected the original of the run, got another one. Give --resume to protect it again."
            )
        payload = make_file_payload(original, store.output / output, output.as_posix())
        if payload is not None:
            yield payload


def _of_series(source: SeriesSource, output: Path, outcome: Outcome) -> Iterator[Payload]:
    """A series that is not perturbed has the pixels of the original, or blanked ones that stay so."""
    if outcome.status != "protected":
        return
    from umed.unlock.series_payloads import make_series_payload

    boxes = outcome.measures.get("rectangles", {})
    for instance in source.by_id[outcome.id].instances:
        name = source.identity.target(instance).as_posix()
        if name in outcome.measures["sha256"]:
            payload = make_series_payload(instance.path, output / name, name, boxes.get(name, ()), source.limits)
            if payload is not None:
                yield payload
