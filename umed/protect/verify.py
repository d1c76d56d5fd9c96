# SPDX-License-Identifier: Apache-2.0
"""Proof, from the files alone, that an output folder keeps the promise that its owner names.

Nothing in the output is trusted, least of all what it says about itself. The promise comes from the private record,
which the key authenticates, or from the user. Images and labels are read again, regions and bounds are worked out
again, and every voxel of every written file is compared with its source. The record also vouches for every byte;
without it, what umed writes for the values that were read back is written once more and compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from umed.cases import file_check
from umed.cases.file_source import open_files
from umed.cases.output_folder import CaseFinding, OutputFolder
from umed.cases.proposals import marked, sentence
from umed.cases.records import open_to_others
from umed.cases.source import FATES, Request, Source, given_path
from umed.core.config import Settings
from umed.core.errors import ConfigError, InputError, UmedError, error_line
from umed.core.progress import counted
from umed.core.types import Outcome, Progress
from umed.data.accounting import Accounting
from umed.data.dicom_input import is_dicom, require_dicom
from umed.plan.planning import Plan
from umed.protect.accounted import compare_files
from umed.protect.added_files import MOST_ADDED, SAID, take_added, text_fault
from umed.protect.card_files import card_faults, is_card
from umed.protect.commitment import COMMITMENT_FILE, commitment_fault
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
from umed.protect.unlock_check import unlock_faults
from umed.protect.verification import CaseCheck, Verification
from umed.unlock.unlock_folder import is_unlock_file

RELEASED = ("protected", "unchanged")


def verify(
    input: str | Path,
    output: str | Path,
    *,
    private: str | Path | None = None,
    key_file: str | Path | None = None,
    promise: Settings | Mapping[str, Any] | None = None,
    masks: str | Path | None = None,
    layout: str | Path | None = None,
    profile: str | Path = "basic",
    added: Collection[str] = (),
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
        layout: mapping file that the run was given, see :mod:`umed.data.layout_map`.
        profile: for an anonymized output without its record: the profile of the run.
        added: files that were laid there by hand, relative to the output: small plain texts such as a licence.
        progress: called with ``"verify"``, cases done and cases in all.

    Returns:
        What was checked, what holds and what does not.

    Raises:
        ConfigError: if there is neither a private record nor a promise, the key is another one, or an added file is
            none.
        InputError: if one of the folders cannot be read at all.
    """
    root = Path(output)
    manifest = read_manifest(root)
    old = manifest["format"] == 1
    if old and promise is None:
        raise InputError(f"{root}: {OLD}. To check its bound all the same, {NAME_IT}.")
    folder, file = (None if one is None else Path(one) for one in (private, key_file))
    evidence = find_promise(root, folder, file, promise)
    there = OutputFolder(root)
    there.set_aside(take_added(added, root, there.files, () if old else manifest["files"]))
    mapped = evidence.record is not None and evidence.record["layout"] == "map"
    if mapped and layout is None:
        raise ConfigError("--layout: expected the mapping file that the run was given, got none. Add --layout FILE.")
    request = Request(
        Path(input),
        _as_masked(evidence),
        masks=given_path(masks),
        profile=profile,
        carry=_carries(evidence),
        layout=given_path(layout),
    )
    with _open(request, evidence, there) as (originals, kind):
        cases = _check_cases(originals, kind, evidence, there, progress)
    problems = {*cases.problems, *evidence.problems, *_against_record(evidence, cases, there)}
    moved, told = compare_files(evidence.record, cases.files)
    problems |= set(moved)
    problems |= {*_check_public(manifest, evidence, cases, there), *_check_added(there)}
    bounds = {bound for one in cases.found.values() for bound in one.bounds}
    return Verification(
        tuple(CaseCheck(case, one.status, tuple(one.failures), one.reason) for case, one in cases.found.items()),
        (*([OLD] if old else []), *sorted(problems)),
        (*_notes(manifest, evidence, cases, there, old=old), *told),
        tuple(in_words(cases.plan, bounds, _origin(evidence))),
    )


@dataclass(frozen=True)
class CheckedCases:
    """What came of reading originals and output.

    Args:
        plan: what they were held to; ``None`` where nothing was to be perturbed.
        found: finding of each case.
        problems: what is wrong with files that belong to no case.
        others: names of these files.
        targets: names of all files that a run may write.
        layout: of the data set.
        labels: what must be known about masks that are proposals.
        carried: names of files of no case that go along as they are.
        files: what is to be expected of every file of the input.
    """

    plan: Plan | None
    found: Mapping[str, CaseFinding]
    problems: Sequence[str]
    others: Set[str]
    targets: Sequence[str]
    layout: str
    labels: str
    carried: Set[str]
    files: Accounting


def _carries(evidence: Evidence) -> bool:
    """Whether documents were to go along."""
    plan = evidence.plan()
    return (plan is not None and plan.carry) or (evidence.settings is not None and evidence.settings.carry)


def _check_cases(
    originals: Source, kind: Any, evidence: Evidence, there: OutputFolder, progress: Progress | None
) -> CheckedCases:
    """Every case, then what belongs to none; all that needs the originals."""
    settings = _as_masked(evidence)
    plan = evidence.plan() if settings is None else originals.make_plan(settings)
    found: dict[str, CaseFinding] = {}
    entries = evidence.entries()
    for case in counted(originals.sizes, "verify", progress):
        found[case] = _check_case(originals, kind, case, plan, entries, there)
    released = {case for case, one in found.items() if one.status in RELEASED}
    problems, others = kind.check_folder(originals, released, there)
    labels = _labels(evidence, originals, found)
    fates = {case: (FATES.get(one.status, "left out"), one.reason) for case, one in found.items()}
    files, carried = originals.account(fates), set(originals.carried)
    return CheckedCases(plan, found, problems, others, originals.targets(), originals.layout, labels, carried, files)


def _as_masked(evidence: Evidence) -> Settings | None:
    """The named promise; masks are read as in the run where it does not say how."""
    named, plan = evidence.settings, evidence.plan()
    if named is None or plan is None or named.mask_values or named.mask_background or named.mask_ignore is not None:
        return named
    said = {name: getattr(plan, name) for name in ("mask_values", "mask_background", "mask_ignore")}
    return replace(named, **said)


@contextmanager
def _open(request: Request, evidence: Evidence, there: OutputFolder) -> Iterator[tuple[Source, Any]]:
    """The originals, under the names that the output has, and the module that checks their kind."""
    dicom = evidence.record["layout"] == "dicom" if evidence.record is not None else _holds_dicom(request)
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


def _holds_dicom(request: Request) -> bool:
    try:
        with open_files(request):
            return False
    except InputError:
        if request.layout is not None:
            raise
        return is_dicom(request.path)


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


def _against_record(evidence: Evidence, cases: CheckedCases, there: OutputFolder) -> Iterator[str]:
    """What the record vouches for; what belongs to a case is added to its finding."""
    if evidence.record is None:
        return
    listed = evidence.record["files"]
    wrong = wrong_digests(evidence.record, there, listed)
    for one in cases.found.values():
        one.failures += [wrong.pop(name) for name in sorted(one.files) if name in wrong]
    mine = {name for one in cases.found.values() for name in one.files}
    yield from wrong.values()
    for name in listed:
        if name not in there and name not in mine:
            yield f"{name}: expected a file, got {there.absent(name)}"
    for name in (evidence.entries() or {}).keys() - cases.found.keys():
        yield f"{name}: is in the private record but not in the input"
    yield from check_record(evidence.record, evidence.private, there)


def _check_public(
    manifest: Mapping[str, Any], evidence: Evidence, cases: CheckedCases, there: OutputFolder
) -> Iterator[str]:
    """Nothing is there that should not be, and what the public is told is so."""
    old = manifest["format"] == 1
    listed = set() if evidence.record is None else set(evidence.record["files"])
    what = dict.fromkeys(cases.carried, "carried")
    what |= {name: text for one in cases.found.values() for name, text in one.files.items()}
    own = {MANIFEST_FILE} if old else {MANIFEST_FILE, ABOUT_FILE, *({COMMITMENT_FILE} & there.files)}
    if not old and evidence.record is None:  # nobody vouches for what is in them, which the notes say
        listed = {name for name, one in manifest["files"].items() if is_unlock_file(name) or is_card(name, one)}
    yield from there.foreign(own | cases.others | listed | what.keys(), cases.targets)
    if old:
        return
    faults = card_faults(there.root, manifest["files"])
    yield from (f"{name}: expected a small plain text of umed card, got {what}" for name, what in faults)
    yield from check_manifest(manifest, there, evidence.key, evidence.record)
    if COMMITMENT_FILE in there and (fault := commitment_fault((there.root / COMMITMENT_FILE).read_bytes())):
        yield f"{COMMITMENT_FILE}: {fault}"
    files = {name: entry for name, entry in manifest["files"].items() if name in there}
    faults = unlock_faults(there.root, files, evidence.private if evidence.record is not None else None)
    yield from (f"{name}: expected an unlock file of this release, got: {what}" for name, what in faults)
    if evidence.record is None and cases.plan is not None:
        sealed = evidence.key is not None and evidence.key.is_sealed("manifest", manifest)
        yield from check_told(manifest, there, cases.plan, cases.layout, what, cases.labels, sealed=sealed)


def _check_added(there: OutputFolder) -> Iterator[str]:
    """What somebody laid there by hand is plain text: whatever it says, it is no image."""
    for name in sorted(there.aside):
        path = there.root / name
        fault = "too large" if path.stat().st_size > MOST_ADDED else text_fault(path.read_bytes())
        if fault:
            yield f"{name}: expected a small plain text of those that you added, got {fault}; remove it"


def _notes(
    manifest: Mapping[str, Any], evidence: Evidence, cases: CheckedCases, there: OutputFolder, *, old: bool
) -> Iterator[str]:
    """What a reader must know though no promise is broken."""
    if cases.labels:
        yield cases.labels
    yield from evidence.notes
    if mode := open_to_others(evidence.private):
        yield f"warning: {evidence.private}: expected a folder that only its owner may look into, got {mode}"
    closed = sum(map(is_unlock_file, there.files))
    if closed and evidence.record is None:
        yield f"{closed} unlock files were not opened: without the private record nobody vouches for what is in them."
    cards = sorted(name for name in there.files if not old and is_card(name, manifest["files"].get(name, {})))
    if cards and evidence.record is None:
        yield f"{', '.join(cards)}: of umed card; without the private record nobody vouches for what is in them."
    if there.aside:
        yield f"{SAID}: {', '.join(sorted(there.aside))}."
    if evidence.key is None and not old:
        yield f"{MANIFEST_FILE}: its seal was not checked, since there is no key."
    private_plan = evidence.plan()
    if evidence.settings is not None and private_plan is not None and cases.plan is not None:
        more = looser(cases.plan, private_plan)
        if more:
            yield f"The named promise is looser than the private plan: {'; '.join(more)}."


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
        return f"promised by the private record {evidence.private}/release.json, which the key{which} has sealed"
    also = "" if evidence.record is None else "; files and states as in the private record, which the key has sealed"
    return f"promised by whoever asked; what was not named has umed's default{also}"
