# SPDX-License-Identifier: Apache-2.0
"""What the template of the page shows: the bottom line first, then the figures behind it, and how they were made."""

from __future__ import annotations

from typing import Any

from umed.benchmark.report import page_tables, result_charts
from umed.benchmark.report.predictions import Gallery
from umed.benchmark.report.provenance import origin, remarks, settings, time_spent
from umed.benchmark.report.report_folder import FoundResults
from umed.benchmark.results.cells import CLEAN, NONE
from umed.benchmark.results.overview import bottom_line, exclusions, worst_cases
from umed.benchmark.results.summary import EXCLUDING, LEARNT, LEAST_DROP, Summary
from umed.benchmark.results.text_tables import EXPLAINED, percent
from umed.report.template import render

LONGEST = 1500
"""Rows of the folded table of everything; a larger benchmark has them in table.csv alone."""


def render_benchmark(found: FoundResults) -> str:
    """Make the page.

    Args:
        found: content of the folder.

    Returns:
        A complete HTML document that refers to nothing outside itself.
    """
    summary = found.summary
    gallery = Gallery(found.folder, summary)
    others = [row for row in summary.rows if row.countermeasure != NONE]
    return render(
        "benchmark.html.j2",
        package="umed.benchmark.report",
        title=found.title,
        bottom_line=bottom_line(summary),
        warnings=_warnings(summary),
        cards=_cards(found),
        worst_charts={data: result_charts.worst_chart(summary, data) for data in summary.data},
        worst=page_tables.worst_table(summary),
        victims=page_tables.victims_table(summary),
        others=len(others),
        countered=page_tables.countered_table(others) if others and len(others) <= LONGEST else None,
        data=[_data_set(found, data, gallery) for data in summary.data],
        prices=page_tables.price_table(summary),
        features=page_tables.features_table(summary),
        spectra=result_charts.spectra(summary),
        flagged=exclusions(summary),
        remarks=remarks(found.cells),
        left_out=gallery.left_out,
        images=gallery.images,
        origin=origin(found),
        time=time_spent(found.cells),
        settings=settings(found.cells),
        explained=EXPLAINED,
        learnt=LEARNT,
        least_drop=LEAST_DROP,
    )


def _data_set(found: FoundResults, data: str, gallery: Gallery) -> dict[str, Any]:
    """Charts and pictures of a data set."""
    summary, cells = found.summary, found.cells
    first = next(cell for cell in cells if cell.spec.data == data)
    return {
        "name": data,
        "cases": len(first.cases),
        "classes": first.classes,
        "victims": result_charts.victims_chart(summary, data),
        "heats": result_charts.heat_maps(summary, data),
        "countermeasures": page_tables.countermeasures_table(summary, data, f"counter{summary.data.index(data)}"),
        "sweeps": result_charts.sweeps(summary, cells, data),
        "tradeoff": result_charts.tradeoff(summary, data),
        "curves": result_charts.curve_panels(summary, cells, data),
        "pictures": gallery.draw(cells, data),
    }


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


def _cards(found: FoundResults) -> list[tuple[str, str, str]]:
    """Name, figure and remark of each card."""
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
    return [
        *entries,
        ("protections", str(len(protections)), f"on {count(len(summary.data), 'data set')}"),
        ("victims", str(len(summary.victims)), f"against {count(len(tried), 'countermeasure')}"),
        ("trainings", f"{len(found.cells):,}", f"seeds {seeds}"),
        ("settings that count", f"{len(counts) - out} / {len(counts)}", f"{out} without a control that learnt"),
    ]


def count(number: int, one: str) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "case"), count(2000, "case")
        ('1 case', '2,000 cases')
    """
    return f"{number:,} {one}{'' if number == 1 else 's'}"
