# SPDX-License-Identifier: Apache-2.0
"""What lies in an output folder, whether it belongs there, and what the public manifest says of it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from umed.cases.records import CARD_FILES, CARD_WHAT, KEY, PRIVATE, RECORD, TARGETS
from umed.core.keyfile import Key
from umed.core.reasons import printable
from umed.data.files import RECORDS, TEMPORARY
from umed.data.layout_bids import IGNORE, IGNORED
from umed.protect.added_files import take_added
from umed.protect.commitment import COMMITMENT_FILE
from umed.protect.release_findings import ReleaseFinding
from umed.unlock.unlock_folder import WHAT, is_unlock_file

MANIFEST, ABOUT = f"{RECORDS}/manifest.json", f"{RECORDS}/about.html"
FORMAT = 2
PUBLIC = {"format", "umed_version", "notice", "layout", "bound", "key", "files", "labels", "accounting", "hmac"}
"""All that a public manifest says; anything else may be what a code depends on."""
KINDS_OF_FILE = {
    "protected image",
    "unprotected image",
    "label",
    "proposed label",
    "carried",
    "unlock",
    "card",
    "other",
}
OLD = ("generators", "cases", "work", "report.html", "report.json", "plan.json", "targets.json", "left_out.json")
"""What umed 0.1 kept in ``umed/``."""
_HIDDEN = re.compile(
    r"\..+|.*~|#.*#|.*\.(?:bak|orig|swp|swo|tmp|temp|part|crdownload)|Thumbs\.db|ehthumbs\.db|desktop\.ini|__MACOSX",
    re.IGNORECASE | re.DOTALL,
)
_PAGE = re.compile(
    rb"<\s*(?:img|svg|canvas|picture|image|video|object|embed|iframe)\b|url\s*\(|data:[\w/+.-]*(?:;[\w=-]+)*,",
    re.IGNORECASE,
)
"""Pictures in a page; not the ``data:`` of a content security policy."""
_MOST_MANIFEST = 1 << 29


@dataclass
class Published:
    """A walk through an output.

    Args:
        files: plain files by name relative to the output.
        findings: what is wrong so far.
        listed: entries of the manifest by name; empty where there is no sound one.
        manifest: its content; empty likewise.
        broken: files that are known to be damaged.
        added: files that the steward says to have laid there.
    """

    files: dict[str, Path] = field(default_factory=dict)
    findings: list[ReleaseFinding] = field(default_factory=list)
    listed: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    added: frozenset[str] = frozenset()

    def add(self, kind: str, where: str, what: str = "") -> None:
        """Note a finding; of the damages of a file the first says enough."""
        if kind != "damaged" or where not in self.broken:
            self.findings.append(ReleaseFinding(kind, where, what))
        if kind == "damaged":
            self.broken.add(where)

    def is_text(self, name: str) -> bool:
        """Whether a file must be plain text: one that the steward laid there, a card, or what a run carried."""
        own = name in self.added or self.what(name) == CARD_WHAT
        return own or (self.manifest.get("layout") != "dicom" and self.what(name) == "carried")

    @property
    def texts(self) -> frozenset[str]:
        """All files that must be plain text."""
        return self.added | {name for name in self.files if self.is_text(name)}

    def what(self, name: str) -> str:
        """What the manifest says that a file is; empty where it does not list it."""
        return str(self.listed.get(name, {}).get("what", ""))


def walk_output(output: Path) -> Published:
    """Look at the names and kinds of everything in an output; links are not followed, special files not opened."""
    found = Published()

    def failed(error: OSError) -> None:
        found.add("damaged", printable(Path(error.filename or output).name), f"cannot be read ({error.strerror})")

    for folder, folders, names in os.walk(output, followlinks=False, onerror=failed):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = Path(folder, name)
            _look(found, path, path.relative_to(output).as_posix(), path.lstat().st_mode)
    return found


def _look(found: Published, path: Path, name: str, mode: int) -> None:
    shown, own = printable(name), path.name
    if stat.S_ISLNK(mode):
        found.add("link", shown, "a link")
        return
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        found.add("link", shown, "no plain file")
        return
    if mode & stat.S_IWOTH:
        found.add("writable", shown)
    if (
        _HIDDEN.fullmatch(own)
        and name not in CARD_FILES
        and not (name == IGNORE.as_posix() and stat.S_ISREG(mode) and path.read_bytes() == IGNORED)
    ):
        found.add("hidden-file", shown, "half-written" if own.startswith(TEMPORARY) else "")
    if stat.S_ISDIR(mode):
        if own.endswith(PRIVATE) or any((path / one).is_file() for one in (KEY, RECORD, TARGETS)):
            found.add("private-folder", shown)
        if name in {f"{RECORDS}/{one}" for one in OLD}:
            found.add("old", shown)
        return
    found.files[name] = path
    known = name in (MANIFEST, ABOUT, COMMITMENT_FILE) or is_unlock_file(name)
    if PurePosixPath(name).parts[0] == RECORDS and not known:
        old = any(name == f"{RECORDS}/{one}" or name.startswith(f"{RECORDS}/{one}/") for one in OLD)
        kind, what = (
            ("old", "")
            if old
            else ("private", f"expected no more than {MANIFEST}, {ABOUT}, {COMMITMENT_FILE} and unlock files in it")
        )
        found.add(kind, shown, what)


def read_public(found: Published, output: Path, added: Collection[str] = ()) -> None:
    """Read the manifest, and compare its list, and what was added by hand, with the files that are there."""
    path = output / MANIFEST
    if MANIFEST not in found.files:
        found.add("manifest", MANIFEST, "there is none")
    elif path.stat().st_size > _MOST_MANIFEST:
        found.add("manifest", MANIFEST, f"larger than {_MOST_MANIFEST} bytes")
    else:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            found.add("manifest", MANIFEST, f"no JSON ({type(error).__name__})")
        else:
            _take(found, content)
    found.added = take_added(added, output, found.files, found.listed)
    for name in sorted(found.added):
        found.add("added", printable(name))
    for name in sorted(CARD_FILES & found.files.keys()):
        if _HIDDEN.fullmatch(name) and found.what(name) != CARD_WHAT and name not in found.added:
            found.add("hidden-file", name)
    extra = found.files.keys() - found.listed.keys() - found.added - {MANIFEST} if found.manifest else ()
    for name in sorted(extra):
        found.add("unlisted", printable(name))
    for name in sorted(found.listed.keys() - found.files.keys()):
        found.add("missing", printable(name))


def _take(found: Published, content: Any) -> None:
    """Check the form of a manifest, and keep it where it is sound."""
    number = content.get("format") if isinstance(content, dict) else None
    if number == 1:
        found.add("old", MANIFEST, "format 1")
        return
    files = content.get("files") if isinstance(content, dict) else None
    if number != FORMAT or not isinstance(files, dict):
        found.add("manifest", MANIFEST, f"expected format {FORMAT} with files, got format {number!r}")
        return
    found.manifest = content
    for key in sorted(content.keys() - PUBLIC):
        found.add("private", f"{MANIFEST} ({printable(str(key))[:40]})", "expected only what is public in it")
    for name, entry in files.items():
        pure = PurePosixPath(name)
        sound = isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and entry.get("what") in KINDS_OF_FILE
        sound = sound and (entry["what"] == WHAT) == is_unlock_file(name)
        sound = sound and (entry["what"] != CARD_WHAT or name in CARD_FILES)
        if not sound or pure.is_absolute() or ".." in pure.parts or name == MANIFEST:
            found.add("manifest", MANIFEST, f"an entry that is none: {printable(name)[:80]}")
        else:
            found.listed[name] = entry


def check_seal(found: Published, key: Key | None) -> None:
    """Check the seal of the manifest, if the key is at hand."""
    if not found.manifest:
        return
    if key is None:
        found.add("not-sealed", MANIFEST)
    elif found.manifest.get("key") != key.digest():
        got = str(found.manifest.get("key"))[:16]
        found.add("seal", MANIFEST, f"made with the key {printable(got)}, got {key.digest()}")
    elif not key.is_sealed("manifest", found.manifest):
        found.add("seal", MANIFEST, "changed since it was sealed")


def check_page(found: Published, data: bytes) -> None:
    """The public page holds no picture, and refers to none."""
    match = _PAGE.search(data)
    if match is not None:
        found.add("picture", ABOUT, f"holds {match[0].decode('latin-1')!r}")
