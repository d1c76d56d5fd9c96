# SPDX-License-Identifier: Apache-2.0
"""Whether the public manifest and page of an output, and the private files beside it, say what is there and no more."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from umed.cases.output_folder import OutputFolder
from umed.cases.records import ABOUT, CARD_WHAT, GENERATORS, KEPT, MANIFEST
from umed.core.keyfile import Key
from umed.core.version import __version__
from umed.data.accounting import ENDS, KINDS
from umed.data.files import RECORDS, sha256
from umed.plan.planning import Plan
from umed.protect.card_files import is_card
from umed.protect.manifest import PLAIN, PROTECTED, bound_text
from umed.report.about_page import render_about
from umed.unlock.unlock_folder import WHAT, is_unlock_file

MANIFEST_FILE, ABOUT_FILE = f"{RECORDS}/{MANIFEST}", f"{RECORDS}/{ABOUT}"
OLD = (
    f"{MANIFEST_FILE}: the output was written by umed 0.1, whose code is public: whoever has umed can take it out "
    "again. Protect the originals again, into a new folder"
)
MOST_FILES = 10**9
FIELDS = ("bound", "files", "format", "hmac", "key", "layout", "notice", "umed_version")
SHAPES = {
    "key": r"[0-9a-f]{16}",
    "hmac": r"[0-9a-f]{64}",
    "umed_version": r"[0-9A-Za-z.+]{1,32}",
    "layout": r"[a-z0-9_-]{1,32}",
    "notice": "|".join(map(re.escape, (PROTECTED, PLAIN))),
    "labels": r"None|[0-9]{1,9} of [0-9]{1,9} are proposals by [^\n]{1,300}, not annotation; "
    r"what a proposal misses is not protected",
}
_WEAK = re.compile(r"and by ([0-9.e-]{1,12})(?: \(([0-9]{1,3})/255\))? outside the labels\Z")


def check_manifest(
    manifest: Mapping[str, Any], output: OutputFolder, key: Key | None, record: Mapping[str, Any] | None
) -> Iterator[str]:
    """Check what the public is told against what is there.

    Args:
        manifest: of the output, format 2.
        output: what was written.
        key: of the release, if it is at hand.
        record: private record, if it is at hand.

    Yields:
        A sentence each.
    """
    if key is not None and manifest.get("key") != key.digest():
        yield f"{MANIFEST_FILE}: expected the manifest of the key {key.digest()}, got one of {manifest.get('key')!r}"
    elif key is not None and not key.is_sealed("manifest", manifest):
        yield f"{MANIFEST_FILE}: expected the seal of the key, got a manifest that was edited since"
    for fault in form_faults(manifest, (output.root / MANIFEST_FILE).read_bytes()):
        yield f"{MANIFEST_FILE}: {fault}"
    yield from _check_listed(manifest["files"], output)
    for name in ("files", "labels", "layout", "umed_version") if record is not None else ():
        assert record is not None
        if manifest.get(name) != record.get(name):
            yield f"{MANIFEST_FILE}: expected the {name} of the private record, got others"
    if record is not None and manifest.get("accounting") != record.get("accounting", {}).get("public"):
        yield f"{MANIFEST_FILE}: expected the accounting of the private record, got another"


def form_faults(manifest: Mapping[str, Any], text: bytes) -> Iterator[str]:
    """Check that a manifest says nothing that umed does not write, whatever the release.

    Args:
        manifest: format 2, from anybody.
        text: its file.

    Yields:
        A sentence each, without the name of the file.
    """
    try:
        canonical = (json.dumps(manifest, sort_keys=True, indent=1) + "\n").encode()
    except (ValueError, TypeError, RecursionError):
        canonical = b""
    if text != canonical:
        yield "expected canonical JSON, got other bytes around it"
    unknown = sorted(manifest.keys() ^ {*FIELDS, *({"labels", "accounting"} & manifest.keys())})
    if unknown:
        yield f"expected the fields {', '.join(FIELDS)}, got another set: {', '.join(unknown)}"[:300]
    for name, shape in SHAPES.items():
        value = manifest.get(name)
        if not (isinstance(value, str) or name == "labels") or not re.fullmatch(shape, str(value)):
            yield f"expected a plain value of {name}, got another"
    if any(isinstance(one, dict) and one.keys() != {"sha256", "what"} for one in manifest["files"].values()):
        yield "expected sha256 and what of each file, got others"
    if not is_accounting(manifest.get("accounting", {})):
        yield "expected counts of files by what became of them, got others"
    if manifest.get("bound") != {} and not _told_by(manifest):
        yield "expected a bound as umed writes it, got another"


def is_accounting(content: Any) -> bool:
    """Whether this is nothing but counts, under the names that umed gives them; or nothing at all."""
    if content == {}:
        return True
    if not isinstance(content, dict) or content.keys() != set(ENDS) or not isinstance(content["left out"], dict):
        return False
    numbers = [*(content[end] for end in ENDS if end != "left out"), *content["left out"].values()]
    return content["left out"].keys() <= KINDS.keys() and all(type(n) is int and 0 <= n < MOST_FILES for n in numbers)


def _told_by(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plans, as far as the public page tells of them, that a manifest's bound may come from."""
    bound = manifest.get("bound")
    epsilon, text = (bound.get("epsilon"), bound.get("text")) if isinstance(bound, dict) else (None, None)
    if not isinstance(epsilon, float) or not 0 < epsilon <= 1 or not isinstance(text, str):
        return []
    found: list[dict[str, Any]] = [{"epsilon": epsilon, "support": "roi", "epsilon_background": None}]
    weak: list[float | None] = [None]
    match = _WEAK.search(text)
    if match is not None:
        try:
            value = int(match[2]) / 255 if match[2] else float(match[1])
            weak += [value, float(Fraction(value).limit_denominator(1000))]
        except (ValueError, OverflowError):
            pass
    found += [{"epsilon": epsilon, "support": "full", "epsilon_background": one} for one in weak]
    return [one for one in found if bound == {"epsilon": epsilon, "text": bound_text(one)}]


def page_fault(manifest: Mapping[str, Any], page: bytes, *, sealed: bool = False) -> str:
    """Compare the public page with the one that umed writes for a manifest.

    Args:
        manifest: format 2, of sound form.
        page: bytes of ``about.html``.
        sealed: whether the key vouches for the manifest, and so for the bytes of a page of another version.

    Returns:
        A sentence, or ``""``.
    """
    if manifest.get("umed_version") != __version__:
        told = f"the manifest says it is of umed {manifest.get('umed_version')!r}"[:80]
        return (
            "" if sealed else f"cannot be compared: {told}, this is {__version__}. Check with that version, or the key"
        )
    listed = {name: entry for name, entry in manifest["files"].items() if name != ABOUT_FILE}
    facts = {"files": listed, "umed_version": __version__, "labels": manifest.get("labels", "")}
    plans = [{}] if manifest.get("bound") == {} else _told_by(manifest)
    same = any(render_about({**facts, "plan": plan}).encode() == page for plan in plans)
    return "" if same else "expected the page that umed writes, got another"


def _check_listed(listed: Mapping[str, Any], output: OutputFolder) -> Iterator[str]:
    """Its list of files is that of the folder."""
    there = output.files - {MANIFEST_FILE}
    for name in sorted(there - listed.keys()):
        yield f"{name}: expected in the manifest, got no entry"
    for name in sorted(listed.keys() - there):
        yield f"{name}: is in the manifest but not in the output"
    for name in sorted(there & listed.keys()):
        if set(listed[name]) != {"sha256", "what"}:
            yield f"{name}: expected sha256 and what in the manifest, got others"
        elif listed[name]["sha256"] != output.sha256(name):
            yield f"{name}: expected the checksum in the manifest, got another; it was changed since"


def check_told(
    manifest: Mapping[str, Any],
    output: OutputFolder,
    plan: Plan,
    layout: str,
    what: Mapping[str, str],
    labels: str,
    *,
    sealed: bool = False,
) -> list[str]:
    """Check what the public is told where no record says what it should be.

    Args:
        manifest: of the output, format 2.
        output: what was written.
        plan: the promise.
        layout: of the data set.
        what: what each file of a case is, by name.
        labels: sentence about masks that are proposals, or ``""``.
        sealed: whether the key vouches for the manifest.

    Returns:
        A sentence for each broken promise.
    """
    found: list[str] = []
    bound = manifest.get("bound")
    epsilon = bound.get("epsilon") if isinstance(bound, dict) else None
    wanted = {"layout": layout, "notice": PROTECTED, "labels": labels or None}
    found += [
        f"{MANIFEST_FILE}: expected another {n}, got {manifest.get(n)!r}"
        for n, v in wanted.items()
        if manifest.get(n) != v
    ]
    told = _told_by(manifest)
    weak = [one["epsilon_background"] for one in told]
    usable = isinstance(epsilon, float) and epsilon <= plan.epsilon * (1 + 1e-9)
    if not usable or not any(one is None or one == plan.epsilon_background for one in weak):
        found.append(f"{MANIFEST_FILE}: expected a bound of at most {plan.epsilon:.4g}, got {bound!r}"[:300])
        return found
    for name, entry in manifest["files"].items():
        usual = CARD_WHAT if is_card(name, entry) else "other"
        wanted_kind = WHAT if is_unlock_file(name) else what.get(name, usual)
        if name in output and entry.get("what") != wanted_kind:
            found.append(f"{name}: expected {wanted_kind!r} in the manifest, got {entry.get('what')!r}"[:300])
    if ABOUT_FILE not in output:
        found.append(f"{ABOUT_FILE}: expected the page that umed writes, got {output.absent(ABOUT_FILE)}")
    else:
        fault = page_fault(manifest, (output.root / ABOUT_FILE).read_bytes(), sealed=sealed)
        found += [f"{ABOUT_FILE}: {fault}"] if fault else []
    return found


def check_record(record: Mapping[str, Any], private: Path, output: OutputFolder) -> Iterator[str]:
    """Check what the private record vouches for, but the files of cases.

    Args:
        record: private record, authentic.
        private: its folder.
        output: what was written.

    Yields:
        A sentence each.
    """
    ids = Counter(str(entry["id"]) for entry in record["cases"])
    yield from (f"{name}: is in the record {count} times" for name, count in sorted(ids.items()) if count > 1)
    kept: Mapping[str, str] = record["private"]
    for name, digest in sorted(kept.items()):
        path = private / name
        if path.is_symlink() or not path.is_file():
            yield f"{private.name}/{name}: expected the file that the record vouches for, got none"
        elif sha256(path) != digest:
            yield f"{private.name}/{name}: expected the file that the record vouches for, got an edited one"
    there = {name for name in KEPT if (private / name).exists()}
    there |= {p.relative_to(private).as_posix() for p in (private / GENERATORS).rglob("*") if not p.is_dir()}
    for name in sorted(there - kept.keys()):
        yield f"{private.name}/{name}: expected no such file, got one that the record does not know"


def wrong_digests(record: Mapping[str, Any], output: OutputFolder, names: Iterable[str]) -> dict[str, str]:
    """Of some files of the output: those that are not as the record has them, with a sentence each."""
    found, listed = {}, record["files"]
    for name in names:
        if name in output and name in listed and output.sha256(name) != listed[name]["sha256"]:
            found[name] = f"{name}: expected the checksum in the private record, got another; it was changed since"
    return found
