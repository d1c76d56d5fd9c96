# SPDX-License-Identifier: Apache-2.0
"""What the commands found, in the words of the page: a verdict first, then figures, then what needs a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from umed.app.errand import Spell
from umed.core.reasons import group_reasons, printable
from umed.data.accounting import KINDS
from umed.data.side_findings import FieldText, text_lines
from umed.protect.release_findings import ReleaseFinding, make_check

Tone = Literal["good", "warn", "bad", "plain"]
MOST_ROWS = 200
"""Cases that a table of the page shows."""
ACTIONS = {
    "protect": "can be protected",
    "copy": "released unchanged: the mask is empty",
    "skip": "left out: no mask",
    "carry": "taken along",
    "refuse": "cannot be used",
}
"""Actions of ``umed inspect`` in plain words."""
KEEPS = {
    "longitudinal": (
        "Time between visits",
        "Dates are moved by a secret number of days, the same for all visits of a patient.",
    ),
    "patient_characteristics": ("Age, sex, size and weight", "Ages from 90 on become 90."),
    "clean_descriptors": ("Medical words in descriptions", "Only words of a list of imaging terms stay; names go."),
    "device_identity": ("Which scanner it was", "Station name, serial numbers and calibration dates stay."),
    "safe_private": ("Technical numbers of the maker", "Such as b-values: those that the standard calls safe."),
    "clean_pixel_data": (
        "Ultrasound pictures, with the frame around them blacked out",
        "Text within the picture stays: look at some pictures of each device first.",
    ),
}
"""Profiles of de-identification: what is kept, and what that means."""


@dataclass(frozen=True)
class Notice:
    """A sentence that stands out.

    Args:
        tone: how it is meant.
        text: what it says.
        more: lines below it.
    """

    tone: Tone
    text: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A number with its name.

    Args:
        name: what it counts.
        value: as text.
        note: below it.
    """

    name: str
    value: str
    note: str = ""


def failure(spell: Spell | None, what: str) -> Notice | None:
    """Why a command did not do its work; ``None`` where it did, or did not begin."""
    if spell is None or spell.end == "done":
        return None
    tone: Tone = "warn" if spell.end == "stopped" else "bad"
    return Notice(tone, f"{what}: {printable(spell.error)}")


def contents(facts: Mapping[str, Any]) -> tuple[Notice, list[Figure], list[Notice]]:
    """What ``umed inspect`` found.

    Args:
        facts: its JSON.

    Returns:
        The verdict, figures, and what needs a look.
    """
    cases, files = facts.get("cases", []), facts.get("files") or {}
    actions = Counter(str(case["action"]) for case in cases)
    ready = actions["protect"]
    figures = [Figure(ACTIONS.get(action, action), str(count)) for action, count in actions.most_common()]
    if files:
        counts = files["counts"]
        gone = counts.get("left out", 0)
        figures.append(Figure("files in the folder", str(files["files"]), f"{gone} would be left out" if gone else ""))
    left = [one for one in files.get("left_out", []) if one["grave"]]
    findings = []
    if left:
        lines = group_reasons((one["name"], one["reason"]) for one in left)
        findings.append(
            Notice("warn", "These are or may be images or masks, and would not be in the release", tuple(lines))
        )
    named = {one["name"] for one in files.get("left_out", [])}
    odd = [*files.get("unmatched", []), *(one for one in facts.get("problems", []) if one[0] not in named)]
    if odd:
        findings.append(
            Notice("warn", "These cannot be a case", tuple(group_reasons((a, b) for a, b in dict(odd).items())))
        )
    weak = [(str(case["id"]), str(case["why"])) for case in cases if case.get("weak")]
    if weak:
        what = "Weak cases: hardly anything of what is labelled could change"
        findings.append(Notice("warn", what, tuple(group_reasons(weak, unit="cases"))))
    texts = [FieldText(**one) for one in facts.get("texts", [])]
    if texts:
        lines = [line.removeprefix("warning: ") for line in text_lines(texts)]
        findings.append(Notice("warn", "Text in the headers of your files would be published as it is", tuple(lines)))
    rest = [one for one in files.get("left_out", []) if not one["grave"]]
    if rest:
        kinds = Counter(str(one["kind"]) for one in rest)
        said = ", ".join(f"{count} {KINDS.get(kind, (kind, kind))[count != 1]}" for kind, count in kinds.items())
        findings.append(Notice("plain", f"Left out as well, and no images: {said}"))
    return _verdict(ready, len(cases) - actions["carry"], findings, empty=actions["copy"]), figures, findings


def _verdict(ready: int, count: int, findings: Iterable[Notice], *, empty: int) -> Notice:
    if not ready:
        return Notice("bad", "Nothing here can be protected yet. The reasons stand below.")
    head = f"{ready} of {count} cases can be protected."
    if empty > ready:
        return Notice("warn", f"{head} Most masks are empty: they may have been read otherwise than you mean.")
    if any(one.tone == "warn" for one in findings):
        return Notice("warn", f"{head} Some things need a look before you go on.")
    return Notice("good", f"{head} Nothing needs your attention.")


def rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first cases, for a table."""
    return [
        {
            "id": printable(str(case["id"])),
            "kind": str(case.get("modality", "")),
            "size": " × ".join(map(str, case["shape"])) or "–",
            "classes": ", ".join(str(value) for value in case["classes"] if value > 0) or "–",
            "action": ACTIONS.get(str(case["action"]), str(case["action"])),
            "tone": {"protect": "good", "refuse": "bad"}.get(str(case["action"]), "plain"),
            "why": printable(str(case["why"])),
        }
        for case in facts.get("cases", [])[:MOST_ROWS]
    ]


def outcome(result: Mapping[str, Any]) -> tuple[Notice, list[Figure], list[Notice]]:
    """What came of a run.

    Args:
        result: JSON of ``umed protect`` or ``umed anonymize``.

    Returns:
        The verdict, figures, and what needs a look.
    """
    outcomes = result.get("outcomes", [])
    counts = Counter(str(one["status"]) for one in outcomes)
    words = {"protected": "protected", "unchanged": "released unchanged", "carried": "taken along", "failed": "failed"}
    figures = [Figure(words.get(status, status), str(count)) for status, count in counts.most_common()]
    figures += _means(outcomes)
    if "files_written" in result:
        figures.append(Figure("files written", str(result["files_written"])))
    findings: list[Notice] = []
    aside = [
        (one[0], one[1]) if isinstance(one, list) else (one["name"], one["reason"])
        for one in result.get("quarantine", [])
    ]
    if aside:
        findings.append(Notice("warn", f"Put aside, not in the release: {len(aside)}", tuple(group_reasons(aside))))
    told = {reason for _, reason in aside}
    tones: tuple[tuple[str, Tone], ...] = (("failed", "bad"), ("skipped", "warn"), ("unchanged", "plain"))
    for status, tone in tones:
        found = [(str(one["id"]), str(one["reason"])) for one in outcomes if one["status"] == status]
        told |= {reason for _, reason in found}
        if found:
            lines = tuple(group_reasons(found, unit="cases"))
            findings.append(Notice(tone, f"{words.get(status, status).capitalize()}: {len(found)}", lines))
    weak = [(str(one["id"]), str(one["measures"]["weak"])) for one in outcomes if one.get("measures", {}).get("weak")]
    if weak:
        lines = tuple(group_reasons(weak, unit="cases"))
        findings.append(Notice("warn", "Weak cases: hardly anything of what is labelled changed", lines))
    left = [one for one in result.get("accounting", {}).get("left_out", []) if one["grave"]]
    left = [one for one in left if one["reason"] not in told]
    if left:
        lines = tuple(group_reasons((one["name"], one["reason"]) for one in left))
        findings.append(Notice("warn", f"Not in the release, and is or may be an image or mask: {len(left)}", lines))
    findings += [Notice("warn", printable(str(one))) for one in result.get("warnings", [])]
    findings += [Notice("warn", str(result["mostly_empty"]))] if result.get("mostly_empty") else []
    if result.get("expectation"):
        findings.append(Notice("plain", f"What to expect: {result['expectation']}."))
    if result.get("forecast"):
        findings.append(Notice("plain", f"Forecast: {result['forecast']}"))
    if result.get("forecast_unfit"):
        findings.append(Notice("warn", printable(str(result["forecast_unfit"]))))
    return _done(result), figures, findings


def _done(result: Mapping[str, Any]) -> Notice:
    code, check = result.get("exit_code"), result.get("release_check")
    if code == 1:
        return Notice("bad", "Nothing was released. Do not publish the output folder; the reasons stand below.")
    if check is not None and not check["ok"]:
        return Notice("bad", "Done, but not fit to publish yet: see what the check found.", tuple(check_lines(check)))
    if code == 3:
        return Notice("warn", "Done. Something is not in the release, or needs a look: it stands below.")
    return Notice("good", "Done. Everything is in the release, and nothing speaks against publishing it.")


def _means(outcomes: Iterable[Mapping[str, Any]]) -> list[Figure]:
    """How much people can see of it."""
    records = [record for one in outcomes for record in one.get("measures", {}).get("files", ())]
    figures = []
    for name, title, note in (
        ("psnr", "PSNR, mean", "dB; higher is closer to the original"),
        ("delta_e_roi", "ΔE in the labelled part, mean", "half of all observers see 0.8 between two flat patches"),
    ):
        values = [float(record[name]) for record in records if record.get(name) is not None]
        if values:
            figures.append(Figure(title, f"{sum(values) / len(values):.3g}", note))
    return figures


def check_lines(check: Mapping[str, Any]) -> list[str]:
    """Problems and warnings of ``umed check-release``, one line a kind."""
    kinds = ("problems", "warnings", "notes")
    found = make_check("", 0, (ReleaseFinding(**one) for kind in kinds for one in check.get(kind, [])))
    return [printable(line) for line in (*found.lines("problem"), *found.lines("warning"))]


def checked(spells: Mapping[str, Spell | None]) -> list[Notice]:
    """What the checks before a publication found, one notice a check.

    Args:
        spells: of ``verify``, ``check-release`` and ``search``; ``None`` where it did not run.
    """
    names = {
        "verify": "Proof of the bound",
        "check-release": "Look over the release",
        "search": "Search for anything that identifies",
    }
    notices = []
    for key, name in names.items():
        spell = spells.get(key)
        if spell is None:
            continue
        bad = failure(spell, name)
        if bad is not None:
            notices.append(bad)
            continue
        result = spell.result
        if key == "verify":
            lines = [*map(str, result.get("problems", []))]
            lines += [f"{one['id']}: {text}" for one in result.get("cases", []) for text in one["failures"]]
            good = tuple(map(str, result.get("promise", [])))
        elif key == "check-release":
            lines, good = check_lines(result), ()
        else:
            lines = [f"{one.get('file')}: {one.get('tag')}: {one.get('kind')}" for one in result.get("findings", [])]
            unsearched = result.get("not_searched", [])
            good = tuple(f"not searched: {one['what']} ({one['count']})" for one in unsearched)
        fine = bool(result.get("ok"))
        said = "in order" if fine else "something was found; do not publish before it is mended"
        notices.append(Notice("good" if fine else "bad", f"{name}: {said}.", tuple(map(printable, lines[:20] or good))))
    return notices


def never(result: Mapping[str, Any], key_file: Path | None) -> list[str]:
    """Places that must never be published."""
    return [str(result["private"]), *([str(key_file)] if key_file is not None else [])]
