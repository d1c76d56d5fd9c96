# SPDX-License-Identifier: Apache-2.0
"""Turns the audit of a DICOM release into a page: what was written, quarantined, removed and changed; never a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from umed.core.types import Outcome
from umed.plan.planning import Plan
from umed.report import content
from umed.report.html import Page
from umed.report.pictures import Picture


def make_page(
    audit: Mapping[str, Any],
    plan: Plan | None,
    outcomes: Sequence[Outcome],
    pictures: Sequence[tuple[str, Picture]],
    warnings: Sequence[str] = (),
) -> Page:
    """Say what a release did.

    Args:
        audit: content of ``umed/report.json``.
        plan: ``None`` when nothing was to be protected.
        outcomes: one a series.
        pictures: series id and pictures.
        warnings: what went wrong while drawing.

    Returns:
        The page.
    """
    cases = [{"id": one.id, "status": one.status, "reason": one.reason, **one.measures} for one in outcomes]
    counts = {name: sum(one.status == name for one in outcomes) for name in STATUSES}
    done = [case for case in cases if case["status"] == "protected"]
    refused = audit["files_quarantined"]
    held_back = sum(entry["count"] for entry in refused.values())
    what = ["anonymized"] if "profile" in audit else []
    what += ["protected"] if plan is not None else []
    cards = [
        (
            "files released",
            str(audit["files_written"]),
            ", ".join(f"{n} series {name}" for name, n in counts.items() if n),
        ),
        ("files quarantined", str(held_back), "not in the output; the table says why"),
    ]
    if plan is not None:
        cards += content.figure_cards(done, plan)
    facts = [("umed", str(audit["umed_version"]))]
    facts += [(name, str(version)) for name, version in audit["tools"].items()]
    if "profile" in audit:
        facts += [(str(name), str(value)) for name, value in audit["profile"].items()]
        facts.append(("fingerprint of the key", str(audit["key"])))
    tables: list[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = [
        (
            "Quarantined",
            ("files", "why"),
            [(str(entry["count"]), str(entry["why"])) for entry in refused.values()] or [("0", "nothing")],
        )
    ]
    if audit["actions"]:
        tables.append(
            (
                "Attributes by action",
                ("action", "meaning", "times"),
                [(name, str(entry["meaning"]), str(entry["count"])) for name, entry in audit["actions"].items()],
            )
        )
        tables.append(("Attributes by tag", ("tag", "attribute", "actions, times"), _tags(audit["tags"])))
    footer = "umed verify INPUT OUTPUT"
    return Page(
        title=" and ".join(what).capitalize() + " DICOM release" if what else "DICOM release",
        lead=f"{audit['files_written']} files in {len(outcomes) - counts['failed']} series were written, "
        f"{held_back} held back. Nothing unprocessed was copied.",
        cards=cards,
        facts=facts + (content.plan_facts(plan) if plan is not None else []),
        why=plan.why if plan is not None else (),
        chart=content.psnr_chart(done) if done else "",
        rows=[content.case_row(case) for case in cases],
        pictures=pictures,
        warnings=[*([f"Masks: {audit['labels']}."] if audit.get("labels") else []), *warnings],
        tables=tables,
        footer=footer + (" --key-file KEY" if "profile" in audit else ""),
    )


STATUSES = ("protected", "unchanged", "carried", "failed")


def _tags(tags: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            tag,
            str(entry["keyword"]) or "private or unknown",
            ", ".join(f"{a} {n}" for a, n in sorted(entry["actions"].items())),
        )
        for tag, entry in tags.items()
    ]
