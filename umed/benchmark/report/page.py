# SPDX-License-Identifier: Apache-2.0
"""The page: the bottom line first, then the figures behind it, then how they were made and how to read them."""

from __future__ import annotations

from html import escape
from importlib import resources

from umed.benchmark.report.origin import origin, settings
from umed.benchmark.report.parts import cards, count
from umed.benchmark.report.predictions import Gallery
from umed.benchmark.report.report_folder import FoundResults
from umed.benchmark.report.sections import data_section, notes_section, price_section, result_section, victims_section
from umed.benchmark.results.cells import CLEAN, NONE
from umed.benchmark.results.overview import bottom_line, exclusions, worst_cases
from umed.benchmark.results.summary import EXCLUDING, LEARNT, LEAST_DROP, Summary
from umed.benchmark.results.tables import EXPLAINED, percent


def render(found: FoundResults) -> str:
    """Make the page.

    Args:
        found: content of the folder.

    Returns:
        A complete HTML document that refers to nothing outside itself.
    """
    summary = found.summary
    gallery = Gallery(found.folder, summary)
    sections = [("result", "The thief's best result", result_section(summary))]
    sections.append(("victims", "Every victim", victims_section(summary)))
    sections += [(f"data{i}", name, data_section(found, name, i, gallery)) for i, name in enumerate(summary.data)]
    sections.append(("price", "The price", price_section(summary)))
    sections.append(("notes", "What does not count, and notes", notes_section(found, gallery)))
    made = f'<div class="panel">{origin(found)}</div>{settings(found.cells)}'
    sections += [("made", "How it was made", made), ("read", "How to read it", _READ)]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>' for name, title, content in sections
    )
    lead = "".join(f'<p class="lead">{escape(sentence)}</p>' for sentence in bottom_line(summary))
    warnings = "".join(f'<p class="warning">{escape(note)}</p>' for note in _warnings(summary))
    style = _asset("umed.report", "report.css") + _asset("umed.benchmark.report", "benchmark.css") + gallery.css()
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        # The browser itself refuses any request that this page might make.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
        f"<title>{escape(found.title)}</title><style>{style}</style></head><body>{_HATCH}<main>",
        f"<header><h1>{escape(found.title)}</h1>{lead}</header>{warnings}<nav>{links}</nav>",
        _cards(found),
        body,
        "<footer>Made by umed from the cells in this folder; table.csv holds every figure. For research; not for "
        "diagnosis.</footer>",
        f"</main><script>{_asset('umed.benchmark.report', 'benchmark.js')}</script></body></html>\n",
    ]
    return "".join(parts)


def _warnings(summary: Summary) -> list[str]:
    notes = list(summary.notes)
    for flag, flagged in exclusions(summary).items():
        effect = "; counted nowhere as protection" if flag in EXCLUDING else ""
        notes.append(f"{count(len(flagged), 'setting')} with the flag “{flag}”{effect}.")
    for one in worst_cases(summary):
        if one.beyond is not None:
            notes.append(
                f"{one.row.data}, {one.row.method}: a setting that does not count reaches more than the counted ones: "
                f"{percent(one.beyond.dsc.mean)} % ({one.beyond.victim}, {one.beyond.countermeasure})."
            )
    return notes


def _cards(found: FoundResults) -> str:
    summary = found.summary
    worst = worst_cases(summary)
    entries = []
    if worst:
        best = min(worst, key=lambda one: one.row.dsc.mean)
        remark = f"{best.row.method} on {best.row.data}; clean control {percent(best.row.control)} %"
        entries.append(("lowest worst case", f"{percent(best.row.dsc.mean)} %", remark))
    protections = [name for name in summary.methods if name != CLEAN]
    tried = [name for name in summary.countermeasures if name != NONE]
    counts = {(row.data, row.victim, row.countermeasure): row.counts for row in summary.rows}
    seeds = ", ".join(str(seed) for seed in sorted({cell.spec.seed for cell in found.cells}))
    out = len(counts) - sum(counts.values())
    entries += [
        ("protections", str(len(protections)), f"on {count(len(summary.data), 'data set')}"),
        ("victims", str(len(summary.victims)), f"against {count(len(tried), 'countermeasure')}"),
        ("trainings", f"{len(found.cells):,}", f"seeds {seeds}"),
        ("settings that count", f"{len(counts) - out} / {len(counts)}", f"{out} without a control that learnt"),
    ]
    return cards(entries)


def _asset(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


_HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="5" '
    'height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V5" '
    'style="stroke:var(--panel);stroke-width:2.4;stroke-opacity:.75"/></pattern></defs></svg>'
)
_RULES = (
    EXPLAINED,
    "The clean control is the same victim with the same countermeasure, trained on unprotected data. Test cases are "
    "never protected and never used for a choice.",
    f"Did not learn: the clean control of a data set, victim and countermeasure reaches less than {LEARNT:.0%} of the "
    "best clean control of that data set without countermeasure (last checkpoint). A low DSC there says nothing about "
    "the protection.",
    "Brought back = (protected with the countermeasure − protected without) / (clean without − protected without); not "
    f"given where the protection takes less than {100 * LEAST_DROP:.0f} points. Of several victims it is the ratio of "
    "their means.",
    "Cost = clean without − clean with the countermeasure. Kept of clean = protected with the countermeasure / clean "
    "without.",
    "A clean control has no protected validation cases; beside “best on protected” stands its checkpoint that is best "
    "on clean ones.",
    "A class that a case lacks is no figure, not zero. HD95 is the mean of the finite distances; those that do not "
    "exist because nothing was found are counted beside it, so a short distance with many missing is a bad result.",
)
_READ = f'<div class="panel"><ul>{"".join(f"<li>{escape(rule)}</li>" for rule in _RULES)}</ul></div>'
