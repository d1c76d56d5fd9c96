# SPDX-License-Identifier: Apache-2.0
"""What the template of the page shows: the bottom line first, then the figures behind it, and how they were made."""

from __future__ import annotations

from typing import Any

from umed.benchmark.report import result_charts
from umed.benchmark.report.predictions import Gallery
from umed.benchmark.report.provenance import origin, remarks, settings, time_spent
from umed.benchmark.report.report_folder import FoundResults
from umed.benchmark.results import text_tables
from umed.benchmark.results.cells import CLEAN, NONE
from umed.benchmark.results.floor import ABOVE_CHANCE, LEARNT, LEAST_DSC
from umed.benchmark.results.overview import CHOICE_WORDS, bottom_line, exclusions, overview, worst_cases
from umed.benchmark.results.statistics import NAN
from umed.benchmark.results.summary import EXCLUDING, LEAST_DROP, Summary
from umed.benchmark.results.text_tables import percent
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
        protections=len(set(summary.methods) - {CLEAN}),
        tried=len(set(summary.countermeasures) - {NONE}),
        trainings=len(found.cells),
        counting=list({(row.data, row.victim, row.countermeasure): row.counts for row in summary.rows}.values()),
        count=count,
        worst_charts={data: result_charts.worst_chart(summary, data) for data in summary.data},
        worst=sorted(worst_cases(summary), key=lambda one: (summary.data.index(one.row.data), one.row.dsc.mean)),
        others=len(others),
        countered=others if len(others) <= LONGEST else [],
        data=[_data_set(found, data, gallery) for data in summary.data],
        prices=text_tables.price_figures(summary),
        features=text_tables.feature_figures(summary),
        spectra=result_charts.spectra(summary),
        flagged=exclusions(summary),
        remarks=remarks(found.cells),
        left_out=gallery.left_out,
        images=gallery.images,
        origin=origin(found),
        time=time_spent(found.cells),
        settings=settings(found.cells),
        summary=summary,
        texts=text_tables,
        choices=CHOICE_WORDS,
        nan=NAN,
        explained=text_tables.EXPLAINED,
        learnt=LEARNT,
        least_dsc=LEAST_DSC,
        above_chance=ABOVE_CHANCE,
        least_drop=LEAST_DROP,
    )


def _data_set(found: FoundResults, data: str, gallery: Gallery) -> dict[str, Any]:
    """Charts and pictures of a data set."""
    summary, cells = found.summary, found.cells
    first = next(cell for cell in cells if cell.spec.data == data)
    views = [overview(summary, data, method, tried) for tried in summary.countermeasures for method in summary.methods]
    return {
        "name": data,
        "cases": len(first.cases),
        "classes": first.classes,
        "victims": result_charts.victims_chart(summary, data),
        "heats": result_charts.heat_maps(summary, data),
        "overviews": [one for one in views if one.victims],
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


def count(number: int, one: str) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "case"), count(2000, "case")
        ('1 case', '2,000 cases')
    """
    return f"{number:,} {one}{'' if number == 1 else 's'}"
