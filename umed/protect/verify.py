# SPDX-License-Identifier: Apache-2.0
"""Proof, from the files alone, that an output folder keeps the promise that its owner names.

Nothing in the output is trusted, least of all what it says about itself. The promise comes from the private record,
which the key authenticates, or from the user. Images and labels are read again, regions and bounds are worked out
again, and every voxel of every written file is compared with its source. The record also vouches for every byte;
without it, what umed writes for the values that were read back is written once more and compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from umed.cases import file_check
from umed.cases.file_source import open_files
from umed.cases.output_folder import CaseFinding, OutputFolder
from umed.cases.proposals import marked, sentence
from umed.cases.source import Request, Source
from umed.core.config import Settings
from umed.core.errors import ConfigError, InputError, UmedError, error_line
from umed.core.types import Outcome, Progress
from umed.data.dicom_input import is_dicom, require_dicom
from umed.plan.planning import Plan
from umed.protect.manifest import read_manifest
from umed.protect.named_promise import NAME_IT, Evidence, find_promise, in_words, looser
from umed.protect.public_check import (
    ABOUT_FILE,
    MANIFEST_FILE,
    OLD,
    check_manifest,
    check_record,
    check_told,
    wrong_digests,
)
from umed.protect.verification import CaseCheck, Verification

RELEASED = ("protected", "unchanged")


def verify(
    input: str | Path,
    output: str | Path,
    *,
    private: str | Path | None = None,
    key_file: str | Path | None = None,
    promise: Settings | Mapping[str, Any] | None = None,
    masks: str | Path | None = None,
    profile: str | Path = "basic",
    progress: Progress | None = None,
) -> Verification:
    """Check an output folder against its input, file by file and voxel by voxel.

    Checked: bound in stored steps, voxels outside the support and outside the range bit-identical, headers, labels and
    sidecars identical, every labelled case there and protected, nothing else in the output, an index that lists exactly
    the released cases, a manifest that says what is there, masks that are proposals called so. With the private record
    also: every file of the output and every private one has the checksum that it had when the run ended. Without: no
    byte beside what umed writes for these values, and no class of a case as good as restored.

    Args:
        input: the data set that was protected.
        output: what was written.
        private: private folder of the run; ``OUTPUT-private`` if ``None``.
        key_file: its key; ``release.key`` of the private folder if ``None``.
        promise: settings, or some of them, that the output must keep; what is not named has umed's default. They win
            over the private plan. Needed where private folder or key are not at hand.
        masks: for DICOM: folder with masks that the run was given.
        profile: for an anonymized output without its record: the profile of the run.
        progress: called with ``"verify"``, cases done and cases in all.

    Returns:
        What was checked, what holds and what does not.

    Raises:
        ConfigError: if there is neither a private record nor a promise, or the key is another one.
        InputError: if one of the folders cannot be read at all.
    """
    root = Path(output)
    manifest = read_manifest(root)
    old = manifest.get("format") == 1
    if old and promise is None:
        raise InputError(f"{root}: {OLD}. To check its bound all the same, {NAME_IT}.")
    folder, file = (None if one is None else Path(one) for one in (private, key_file))
    evidence = find_promise(root, folder, file, promise)
    there = OutputFolder(root)
    wanted = Path(masks) if masks is not None else None
    request = Request(Path(input), evidence.settings, masks=wanted, profile=profile)
    with _open(request, evidence, there) as (originals, kind):
        private_plan = evidence.plan()
        plan = private_plan if evidence.settings is None else originals.make_plan(evidence.settings)
        entries = None if evidence.record is None else {str(one["id"]): one for one in evidence.record["cases"]}
        found: dict[str, CaseFinding] = {}
        for done, case in enumerate(originals.sizes):
            found[case] = _check_case(originals, kind, case, plan, entries, there)
            if progress is not None:
                progress("verify", done + 1, len(originals.sizes))
        released = {case for case, one in found.items() if one.status in RELEASED}
        problems, others = kind.check_folder(originals, released, there)
        problems += evidence.problems
        labels = _labels(evidence, originals, found)
        layout, targets = originals.layout, originals.targets()
    notes = list(evidence.notes)
    if evidence.record is not None:
        problems += _against_record(evidence, entries or {}, found, there)
    problems += there.foreign(_may_be_there(evidence, found, others, old=old), targets)
    if not old:
        problems += check_manifest(manifest, there, evidence.key, evidence.record)
        if evidence.key is None:
            notes.append(f"{MANIFEST_FILE}: its seal was not checked, since there is no key.")
        if evidence.record is None and plan is not None:
            what = {name: text for one in found.values() for name, text in one.files.items()}
            sealed = evidence.key is not None and evidence.key.is_sealed("manifest", manifest)
            problems += check_told(manifest, there, plan, layout, what, labels, sealed=sealed)
    if evidence.settings is not None and private_plan is not None and plan is not None:
        more = looser(plan, private_plan)
        notes += [f"The named promise is looser than the private plan: {'; '.join(more)}."] if more else []
    checks = tuple(CaseCheck(case, one.status, tuple(one.failures), one.reason) for case, one in found.items())
    bounds = {bound for one in found.values() for bound in one.bounds}
    return Verification(
        checks,
        (*([OLD] if old else []), *sorted(set(problems))),
        tuple(filter(None, [labels, *notes])),
        tuple(in_words(plan, bounds, _origin(evidence))),
    )


@contextmanager
def _open(request: Request, evidence: Evidence, there: OutputFolder) -> Iterator[tuple[Source, Any]]:
    """The originals, under the names that the output has, and the module that checks their kind."""
    dicom = evidence.record["layout"] == "dicom" if evidence.record is not None else _holds_dicom(request.path)
    if not dicom:
        if request.masks is not None:
            raise ConfigError("masks: expected a DICOM output for them, got another. Leave them out.")
        with open_files(request) as found:
            yield found, file_check
        return
    require_dicom()
    from umed.cases import series_check
    from umed.cases.series_source import open_released
    from umed.deid.keys import DeidKey

    key = None if evidence.key is None else DeidKey(evidence.key.secret)
    with open_released(request, evidence.record, key, there.files) as series:
        yield series, series_check


def _holds_dicom(path: Path) -> bool:
    try:
        with open_files(Request(path, None)):
            return False
    except InputError:
        return is_dicom(path)


def _check_case(
    originals: Source,
    kind: Any,
    case: str,
    plan: Plan | None,
    entries: Mapping[str, Mapping[str, Any]] | None,
    there: OutputFolder,
) -> CaseFinding:
    """All checks of one case; one that cannot be read is a failure, not an end."""
    if entries is not None and case not in entries:
        return CaseFinding("missing", failures=["is not in the private record: it is no case of this run"])
    entry = None if entries is None else entries[case]
    try:
        found: CaseFinding = kind.check_case(originals, case, plan, entry, there)
        return found
    except (UmedError, OSError) as error:
        failure = error_line(error)
    except Exception as error:  # what surprises the check is not proven
        failure = f"cannot be checked ({type(error).__name__}: {' '.join(str(error).split())})"
    return CaseFinding("unknown" if entry is None else str(entry["status"]), failures=[failure])


def _against_record(
    evidence: Evidence, entries: Mapping[str, Any], found: Mapping[str, CaseFinding], there: OutputFolder
) -> list[str]:
    """What the record vouches for; what belongs to a case is added to its finding."""
    assert evidence.record is not None
    listed = evidence.record["files"]
    wrong = wrong_digests(evidence.record, there, listed)
    for one in found.values():
        one.failures += [wrong.pop(name) for name in sorted(one.files) if name in wrong]
    mine = {name for one in found.values() for name in one.files}
    problems = [*wrong.values()]
    problems += [
        f"{name}: expected a file, got {there.absent(name)}"
        for name in listed
        if name not in there and name not in mine
    ]
    problems += [f"{name}: is in the private record but not in the input" for name in entries.keys() - found.keys()]
    return [*problems, *check_record(evidence.record, evidence.private, there)]


def _may_be_there(evidence: Evidence, found: Mapping[str, CaseFinding], others: set[str], *, old: bool) -> set[str]:
    """Names of all files that the output may hold."""
    own = {MANIFEST_FILE} if old else {MANIFEST_FILE, ABOUT_FILE}
    listed = set() if evidence.record is None else set(evidence.record["files"])
    return own | others | listed | {name for one in found.values() for name in one.files}


def _labels(evidence: Evidence, originals: Source, found: Mapping[str, CaseFinding]) -> str:
    """What must be known about masks that are proposals."""
    if evidence.record is not None:
        return str(evidence.record.get("labels", ""))
    outcomes = [
        Outcome(case, one.status, "", {"label_sha256": one.label_sha256} if one.label_sha256 else {})  # type: ignore[arg-type]
        for case, one in found.items()
    ]
    return sentence(marked(outcomes, originals.proposals), originals.proposals)


def _origin(evidence: Evidence) -> str:
    if evidence.settings is None:
        which = "" if evidence.key is None else f" {evidence.key.digest()}"
        return f"promised by the private record {evidence.private.name}/release.json, which the key{which} has sealed"
    also = "" if evidence.record is None else "; files and states as in the private record, which the key has sealed"
    return f"promised by whoever asked; what was not named has umed's default{also}"
