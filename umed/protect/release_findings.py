# SPDX-License-Identifier: Apache-2.0
"""What :func:`umed.protect.check_release.check_release` can find, and how it is said: one line a kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from umed.cases.output_folder import ADD_IT
from umed.protect.added_files import SAID

Severity = Literal["problem", "warning", "note"]
SHOWN = 3
"""Examples of each kind in the summary."""
MOST_FIELDS = 20
"""Header fields that the summary names."""


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Args:
        severity: a problem makes the check fail; a warning and a note do not.
        said: what is there, what was expected; after the number of findings.
        step: what to do next.
    """

    severity: Severity
    said: str
    step: str


AGAIN = "Protect the data again into a new folder"
KINDS: dict[str, FindingKind] = {
    "not-checked": FindingKind(
        "problem", "release(s) that could not be checked", "See the message; then umed check-release OUTPUT."
    ),
    "manifest": FindingKind(
        "problem", "fault(s) in umed/manifest.json, expected the sealed one of format 2", f"{AGAIN}."
    ),
    "page": FindingKind(
        "problem",
        "public page(s) that cannot be told from an edited one, expected umed/about.html as umed writes it",
        f"Read it; {AGAIN}.",
    ),
    "old": FindingKind(
        "problem",
        "sign(s) of an output of umed 0.1, expected one of today's: its code is public and its generators lie in it",
        f"{AGAIN}; replace what was published.",
    ),
    "seal": FindingKind(
        "problem",
        "seal(s) that do not fit the key, expected that of the run",
        f"Give the key of this release with --key-file; if it is, somebody changed the manifest: {AGAIN}.",
    ),
    "key-file": FindingKind(
        "problem", "key file(s) that cannot be used", "Do what the message says, or give --key-file."
    ),
    "private": FindingKind(
        "problem",
        "place(s) that hold what must never be published, expected none in OUTPUT",
        f"Remove it; if it was published already: {AGAIN} with a new key.",
    ),
    "original": FindingKind(
        "problem",
        "place(s) that hold an original or slices of one, expected only protected images",
        "Remove it; what was published cannot be called back.",
    ),
    "unchanged": FindingKind(
        "problem",
        "image(s) that the manifest calls protected and whose labelled slices equal the original's",
        f"{AGAIN}, or with a larger epsilon.",
    ),
    "restored": FindingKind(
        "problem",
        "image(s) that the manifest calls protected and that are the original but for a few values",
        f"{AGAIN}, or with a larger epsilon; umed verify says which bound holds.",
    ),
    "unlock": FindingKind(
        "problem",
        "unlock file(s) that are damaged or do not belong to this release",
        f"{AGAIN}, or with --resume; then umed unlock OUTPUT ORIGINALS --key KEY as a recipient.",
    ),
    "commitment": FindingKind(
        "problem",
        "commitment(s) to a trace that are not what umed writes",
        f"{AGAIN}, or with --resume; restore the file from the copy that was time-stamped.",
    ),
    "no-image": FindingKind(
        "problem", "release(s) without a single image", "See what umed protect says of each case, then protect again."
    ),
    "no-original": FindingKind(
        "problem",
        "protected image(s) without a counterpart in the originals that were given, so nothing was compared",
        "Give the folder that was protected with --original.",
    ),
    "unprotected": FindingKind(
        "problem",
        "image(s) with a label that are released unprotected, expected protected ones",
        f"{AGAIN}; umed inspect INPUT says what it makes of each case.",
    ),
    "picture": FindingKind(
        "problem",
        "picture(s) within a page or text file, expected none",
        "Remove the file, or write it without pictures.",
    ),
    "hidden-data": FindingKind(
        "problem",
        "place(s) with data beside the pixels that no viewer shows (thumbnail, further page, bytes after the end)",
        "Save the source again without it, then protect it again.",
    ),
    "text": FindingKind(
        "problem",
        "field(s) with free text, which may name somebody; expected none, or what programs write",
        "Look at each; clear it in the source (pictures: exiftool -all= FILE) and protect again, or accept it: umed "
        "check-release OUTPUT --accept-text FIELD.",
    ),
    "gzip-header": FindingKind(
        "problem",
        "gzip header(s) that name something else than the file itself, expected none",
        "Pack the source again with gzip -n, then protect it again.",
    ),
    "unlisted": FindingKind(
        "problem",
        "file(s) that the manifest does not list, expected only what umed wrote",
        f"Move them out of OUTPUT; {ADD_IT} FILE.",
    ),
    "no-text": FindingKind(
        "problem",
        "file(s) that were added or carried and are no small plain text, expected UTF-8 of at most 1 MB",
        "Move them out of OUTPUT; images and labels belong into INPUT.",
    ),
    "missing": FindingKind("problem", "file(s) of the manifest that are not there", f"{AGAIN}, or with --resume."),
    "changed": FindingKind(
        "problem", "file(s) with other bytes than the manifest says", f"{AGAIN}, or with --resume; then copy it again."
    ),
    "damaged": FindingKind(
        "problem", "file(s) that are empty, cut short, damaged, or larger than declared", f"{AGAIN}, or with --resume."
    ),
    "hidden-file": FindingKind(
        "problem", "hidden, temporary or backup file(s), expected none", "Remove them; finish the run with --resume."
    ),
    "link": FindingKind(
        "problem",
        "link(s) or special file(s), expected plain files and folders",
        "Put the file itself there, or remove it.",
    ),
    "private-folder": FindingKind(
        "problem", "private folder(s) inside OUTPUT, expected it elsewhere", "Move it out of OUTPUT; see --private."
    ),
    "partly-unchanged": FindingKind(
        "warning",
        "protected image(s) some of whose labelled slices equal the original's",
        "umed verify says which bound holds.",
    ),
    "unreadable-original": FindingKind(
        "warning", "original(s) that cannot be read, so that only their bytes were looked for", "umed inspect says why."
    ),
    "small-data": FindingKind(
        "warning", "place(s) with a few bytes beside the pixels", "Look at them if you want to be sure."
    ),
    "identity": FindingKind(
        "warning",
        "DICOM file(s) that say of no patient that the identity was removed",
        "umed protect de-identifies nothing; umed anonymize does. umed anonymize --check OUTPUT lists what is there.",
    ),
    "person-name": FindingKind(
        "warning",
        "name(s) of files or folders that may tell of a person (e-mail address, caret, date, long number)",
        "If so, rename them in INPUT and protect again.",
    ),
    "person-text": FindingKind(
        "warning",
        "place(s) in dataset.json or a text that was added or carried with an e-mail address, or a name or field of a "
        "person",
        "Look at each; those of authors and of a contact are no patient's.",
    ),
    "date": FindingKind(
        "warning", "field(s) with a date or time", "Clear it in the source if it says when somebody was seen."
    ),
    "device": FindingKind("warning", "field(s) that name a device", "Clear it in the source if it says where."),
    "not-looked-into": FindingKind("warning", "file(s) too large to be looked into", "Look at them yourself."),
    "open-private": FindingKind(
        "warning",
        "private folder(s) that others than the owner may look into",
        "Close it as shown; if others have seen the key, they can draw the code again.",
    ),
    "writable": FindingKind("warning", "file(s) or folder(s) that anybody may change", "Run chmod -R o-w OUTPUT."),
    "not-sealed": FindingKind("note", "manifest whose seal was not checked, for want of the key", "Give --key-file."),
    "not-compared": FindingKind("note", "output not compared with its originals", "Give --original INPUT."),
    "unprotected-note": FindingKind("note", "image(s) released unprotected, as the manifest says", "Nothing to do."),
    "known-text": FindingKind("note", "field(s) with what programs write", "Nothing to do."),
    "accepted-text": FindingKind("note", "field(s) with free text that you accepted", "Nothing to do."),
    "added": FindingKind("note", f"file(s) {SAID}", "Whoever gets the release cannot tell whether they were changed."),
    "own-name": FindingKind("note", "gzip header(s) with the file's own name", "Nothing to do."),
}
"""Every kind, in the order in which they are said."""


@dataclass(frozen=True)
class ReleaseFinding:
    """One finding.

    Args:
        kind: key of :data:`KINDS`.
        where: path below the output, with the place in the file where it is not the whole; or a field.
        what: what is there.
    """

    kind: str
    where: str
    what: str = ""

    @property
    def severity(self) -> Severity:
        """Of its kind."""
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.what else self.where


@dataclass(frozen=True)
class ReleaseCheck:
    """What came of the check of a release.

    Args:
        output: that was checked, as it was given.
        files: how many there are.
        findings: in the order of :data:`KINDS`, then by name.
    """

    output: str
    files: int
    findings: tuple[ReleaseFinding, ...]

    def _of(self, severity: Severity) -> tuple[ReleaseFinding, ...]:
        return tuple(one for one in self.findings if one.severity == severity)

    @property
    def problems(self) -> tuple[ReleaseFinding, ...]:
        """What must not be published like this."""
        return self._of("problem")

    @property
    def warnings(self) -> tuple[ReleaseFinding, ...]:
        """What the steward should know; it does not fail the check."""
        return self._of("warning")

    @property
    def notes(self) -> tuple[ReleaseFinding, ...]:
        """What was found and is as it should be, and what could not be checked."""
        return self._of("note")

    @property
    def ok(self) -> bool:
        """True without problems."""
        return not self.problems

    @property
    def exit_code(self) -> int:
        """0 without problems, else 1."""
        return 0 if self.ok else 1

    def lines(self, severity: Severity) -> list[str]:
        """One line for each kind of this severity: how many, three examples, what to do next."""
        found: dict[str, list[ReleaseFinding]] = {}
        for one in self._of(severity):
            found.setdefault(one.kind, []).append(one)
        return [_line(kind, some) for kind, some in found.items()]

    def summary(self) -> str:
        """A few lines for people, the answer first."""
        verdict = (
            "nothing speaks against publishing it."
            if self.ok
            else f"do not publish it: {len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}."
        )
        return "\n".join(
            [
                f"{self.output}: {self.files} files, {verdict}",
                *(f"  {line}" for line in self.lines("problem")),
                *(f"  warning: {line}" for line in self.lines("warning")),
                *(f"  note: {line}" for line in self.lines("note")),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``, every finding."""

        def plain(some: Iterable[ReleaseFinding]) -> list[dict[str, str]]:
            return [{"kind": one.kind, "where": one.where, "what": one.what} for one in some]

        return {
            "ok": self.ok,
            "exit_code": self.exit_code,
            "files": self.files,
            "problems": plain(self.problems),
            "warnings": plain(self.warnings),
            "notes": plain(self.notes),
        }


def make_check(output: str, files: int, findings: Iterable[ReleaseFinding]) -> ReleaseCheck:
    """Sort findings, each once."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    return ReleaseCheck(
        output, files, tuple(sorted(set(findings), key=lambda one: (order[one.kind], one.where, one.what)))
    )


def _line(kind: str, some: list[ReleaseFinding]) -> str:
    """How many, examples, what to do; text fields are counted by field, since each is accepted or cleared as one."""
    groups: dict[str, list[ReleaseFinding]] = {}
    for one in some:
        groups.setdefault(one.what.partition(" = ")[0] if " = " in one.what else "", []).append(one)
    if "" in groups:
        shown = [str(one) for one in some[:SHOWN]]
        more = len(some) - len(shown)
    else:  # fields
        shown = [
            f"{field} in {len(members)} file{'' if len(members) == 1 else 's'}, such as "
            + ", ".join(f"{one.where}: {one.what.partition(' = ')[2]}" for one in members[:SHOWN])
            for field, members in list(groups.items())[:MOST_FIELDS]
        ]
        more = sum(len(members) for members in list(groups.values())[MOST_FIELDS:])
    said = KINDS[kind]
    return f"{len(some)} {said.said} ({'; '.join(shown)}{f'; and {more} more' if more else ''}). {said.step}"
