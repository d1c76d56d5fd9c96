# SPDX-License-Identifier: Apache-2.0
"""What stands in each section of the page."""

from __future__ import annotations

import math
from html import escape

from umed.benchmark.report import charts_of_results as drawn
from umed.benchmark.report.origin import remarks
from umed.benchmark.report.parts import Datum, Line, bare, count, folded, panel, plain_table, table, tabs
from umed.benchmark.report.predictions import Gallery
from umed.benchmark.report.report_folder import FoundResults
from umed.benchmark.results.cells import CLEAN, NONE
from umed.benchmark.results.overview import CHOICE_WORDS, exclusions, overview, worst_cases
from umed.benchmark.results.summary import Summary, SummaryRow, figures
from umed.benchmark.results.tables import TableGrid, difference, distance, general, number, percent, price_grid, spread

LONGEST = 1500
"""Rows of the folded table of everything; a larger benchmark has them in table.csv alone."""
HINTS = {
    "DSC, last": "last checkpoint; mean over cases, then mean ± sd over seeds, %",
    "95 % interval": "bootstrap over cases, each with its mean over the seeds, %",
    "best on clean": "checkpoint that is best on clean validation cases: the thief needs clean data for it, %",
    "best on protected": "checkpoint that is best on protected validation cases, %",
    "control": "the same victim trained on clean data, last checkpoint, %",
    "difference": "protected minus clean control, paired by case, last checkpoint, points",
    "NSD": "normalized surface dice, %",
    "HD95 (missing)": "95th percentile Hausdorff distance, mean of the finite ones; how many are missing of how many",
    "PSNR": "of the protected images, dB",
    "flat": "trainings whose loss was flat at the end",
    "kept": "strongest thief as a share of the same thief on clean images",
    "mean, none": "mean DSC of the victims that count, no countermeasure: protected of clean",
    "counted (out)": "victims x countermeasures that count, and those that do not",
    "brought back": "share of the lost DSC that the countermeasure restores",
    "cost": "DSC that the countermeasure costs the thief on clean data, points",
    "kept of clean": "DSC as a share of the clean control without countermeasure",
}
DASH = Datum("–", math.nan)
LEGEND = (
    '<p class="legend"><span><i class="key contour"></i>true outline</span>'
    '<span><i class="key guessed"></i>prediction, one tint a class</span>'
    "<span>DSC of the case, last checkpoint</span></p>"
)


def result_section(summary: Summary) -> str:
    """The worst case of each method."""
    say = "The strongest thief: the highest DSC of any counted victim, countermeasure and choice of the checkpoint."
    parts = [f'<p class="say">{say}</p>']
    parts += [panel(data, drawn.worst_chart(summary, data)) for data in summary.data]
    header = ["method", "data", "victim", "countermeasure", "choice", "strongest thief", "95 % interval", "control"]
    header += ["kept", "mean, none", "counted (out)"]
    lines = []
    worst = worst_cases(summary)
    for one in sorted(worst, key=lambda one: (summary.data.index(one.row.data), one.row.dsc.mean)):
        row = one.row
        entries = [*map(Datum, (row.method, row.data, row.victim, row.countermeasure, CHOICE_WORDS[row.choice]))]
        entries += [Datum(spread(row), row.dsc.mean), Datum(_interval(row), row.dsc.low)]
        entries.append(_figure(row.control, "{:.1f}", 100))
        entries.append(_figure(row.dsc.mean / row.control if row.control > 0 else math.nan, "{:.0f} %", 100))
        entries.append(Datum(f"{percent(one.plain)} of {percent(one.plain_control)}", one.plain))
        entries.append(Datum(f"{one.tried} ({one.excluded})", one.tried))
        lines.append(Line(entries))
    return "".join(parts) + bare("In figures, DSC in %", table("worst", header, lines, HINTS)) if lines else ""


def victims_section(summary: Summary) -> str:
    """Every victim without countermeasure, and all rows with one, folded."""
    lines = [_victim_line(summary, row) for row in summary.pick(countermeasure=NONE)]
    header = ["method", "data", "victim", "DSC, last", "95 % interval", "best on clean", "best on protected"]
    header += ["control", "difference", "NSD", "HD95 (missing)", "PSNR", "flat", "seeds"]
    content = table("every", header, lines, HINTS) if lines else ""
    others = [row for row in summary.rows if row.countermeasure != NONE]
    more = ""
    if len(others) > LONGEST:
        more = f'<p class="say">The {len(others):,} rows with countermeasures are in table.csv.</p>'
    elif others:
        names = ["method", "data", "victim", "countermeasure", "choice", "DSC", "95 % interval", "control"]
        names += ["difference", "brought back", "cost", "kept of clean", "seeds"]
        every = table("all", names, [_full_line(row) for row in others], HINTS)
        more = folded(f"All {len(others):,} rows with countermeasures", every)
    say = "No countermeasure, clean test cases, DSC in %. Grey lines do not count: their clean control has not learnt."
    return f'<p class="say">{say}</p>{content}{more}'


def _victim_line(summary: Summary, row: SummaryRow) -> Line:
    same = summary.pick(None, data=row.data, method=row.method, victim=row.victim, countermeasure=row.countermeasure)
    every = {one.choice: one for one in same}
    clean = row.method == CLEAN
    classes = ", ".join(f"{name} {percent(value)} %" for name, value in row.classes.items())
    entries = [Datum(row.method), Datum(row.data), Datum(row.victim, flags=row.flags)]
    entries.append(Datum(spread(row), row.dsc.mean, classes))
    entries.append(Datum(_interval(row), row.dsc.low))
    for choice in ("best_clean", "best_protected"):
        one = every.get(choice)
        entries.append(DASH if one is None else Datum(spread(one), one.dsc.mean))
    entries.append(DASH if clean else _figure(row.control, "{:.1f}", 100))
    entries.append(DASH if clean else Datum(difference(row), row.difference.mean))
    entries += [
        _figure(row.nsd.mean, "{:.1f}", 100),
        Datum(distance(row), row.hd95.mean),
        _figure(row.psnr, "{:.2f}"),
    ]
    entries.append(Datum(f"{row.flat}/{len(row.seeds)}", row.flat))
    entries.append(Datum(str(len(row.seeds)), len(row.seeds), ", ".join(map(str, row.seeds))))
    return Line(entries, _kind(row))


def _full_line(row: SummaryRow) -> Line:
    clean = row.method == CLEAN
    entries = [Datum(row.method), Datum(row.data), Datum(row.victim, flags=row.flags)]
    entries += [Datum(row.countermeasure), Datum(row.choice.replace("_", " "))]
    entries += [Datum(spread(row), row.dsc.mean), Datum(_interval(row), row.dsc.low)]
    entries.append(DASH if clean else _figure(row.control, "{:.1f}", 100))
    entries.append(DASH if clean else Datum(difference(row), row.difference.mean))
    entries += [_figure(row.brought_back, "{:.0f} %", 100), _figure(row.cost, "{:.1f}", 100)]
    entries += [_figure(row.net, "{:.0f} %", 100), Datum(str(len(row.seeds)), len(row.seeds))]
    return Line(entries, _kind(row))


def data_section(found: FoundResults, data: str, index: int, gallery: Gallery) -> str:
    """Charts and pictures of a data set."""
    summary, cells = found.summary, found.cells
    first = next(cell for cell in cells if cell.spec.data == data)
    classes = f"{count(len(first.classes), 'class', 'classes')} ({', '.join(first.classes)})"
    parts = [f'<p class="say">{count(len(first.cases), "clean test case")}, {escape(classes)}.</p>']
    say = "Last checkpoint, no countermeasure. Hatched bars with † do not count: their clean control has not learnt."
    chart = drawn.victims_chart(summary, data)
    parts.append(panel("DSC of each victim, trained on clean and on protected data", chart, say))
    say = (
        "Last checkpoint, %. The clean column says what the countermeasure leaves the thief on unprotected data. Grey "
        "tiles with † do not count; * means that fewer victims count than without countermeasure."
    )
    heats = tabs(f"heat{index}", drawn.heat_maps(summary, data))
    parts.append(panel("What each countermeasure brings back", heats, say))
    parts.append(folded("The same in figures", _countermeasures(summary, data, index)) if heats else "")
    say = "Last checkpoint, mean of the victims that count, over the option that varies; “none” is no countermeasure."
    parts.append(panel("Strength of the countermeasures", drawn.sweeps(summary, cells, data), say))
    say = (
        "Last checkpoint, no countermeasure; bars reach from the victim that learns least to the one that learns most."
    )
    parts.append(panel("Protection against visibility", drawn.tradeoff(summary, data), say))
    curves = tabs(f"curve{index}", drawn.curve_panels(summary, cells, data))
    parts.append(panel("Over the training", curves, "Mean over the seeds, no countermeasure, one chart a victim."))
    pictures = tabs(f"pictures{index}", gallery.draw(cells, data))
    parts.append(panel("Predictions on clean test cases", LEGEND + pictures if pictures else ""))
    return "".join(parts)


def _countermeasures(summary: Summary, data: str, index: int) -> str:
    header = ["countermeasure", "method", "DSC, mean of victims", "lowest to highest", "control", "brought back"]
    header += ["cost", "kept of clean", "victims that count"]
    lines = []
    for name in summary.countermeasures:
        for method in summary.methods:
            one = overview(summary, data, method, name)
            if not one.victims:
                continue
            ends = f"{percent(one.lowest)} to {percent(one.highest)}" if one.counted else "–"
            entries = [
                Datum(name),
                Datum(method),
                _figure(one.mean, "{:.1f}", 100),
                Datum(ends, one.highest),
            ]
            entries += [_figure(one.control, "{:.1f}", 100), _figure(one.brought_back, "{:.0f} %", 100)]
            entries += [_figure(one.cost, "{:.1f}", 100), _figure(one.net, "{:.0f} %", 100)]
            entries.append(Datum(f"{len(one.counted)}/{one.victims}", len(one.counted)))
            lines.append(Line(entries, "clean" if method == CLEAN else "" if one.counted else "out"))
    return table(f"counter{index}", header, lines, HINTS) if lines else ""


def price_section(summary: Summary) -> str:
    """All that was measured about the protected images."""
    parts = [plain_table("prices", price_grid(summary))]
    features = []
    for price in summary.prices:
        found: dict[str, dict[str, float]] = {}
        for place, value in figures(price).items():
            kind, _, rest = place.partition(".")
            name, _, what = rest.rpartition(".")
            if kind == "features" and name:
                found.setdefault(name, {})[what] = value
        features += [(str(price.get("data")), str(price.get("method")), name, one) for name, one in found.items()]
    if features:
        names = list(dict.fromkeys(what for *_, one in features for what in one))
        rows = [
            [data, method, name, *(general(one.get(what, math.nan)) for what in names)]
            for data, method, name, one in features
        ]
        grid = TableGrid("", ["data", "method", "feature", *names], rows, 3)
        title = f"Features in the ROI, protected against original ({len(rows)} rows)"
        parts.append(folded(title, plain_table("features", grid)))
    say = "Mean over the protected images: radially averaged power of the original, the protected and their difference."
    parts.append(panel("Spectra", tabs("spectra", drawn.spectra(summary)), say))
    return "".join(parts)


def notes_section(found: FoundResults, gallery: Gallery) -> str:
    """Settings with flags, and notes of the cells."""
    parts = []
    for flag, flagged in exclusions(found.summary).items():
        items = "".join(f"<li>{escape(setting)}</li>" for setting in flagged)
        parts.append(folded(f"{flag} ({len(flagged)})", f"<ul>{items}</ul>"))
    notes = remarks(found.cells)
    if gallery.left_out:
        notes.append(f"Pictures of {count(gallery.left_out, 'victim')} left out, so that the page stays small.")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return "".join(parts) + (f'<div class="panel"><ul>{items}</ul></div>' if notes else "")


def _interval(row: SummaryRow) -> str:
    return "–" if math.isnan(row.dsc.low) else f"{percent(row.dsc.low)} to {percent(row.dsc.high)}"


def _figure(value: float, pattern: str, factor: float = 1.0) -> Datum:
    return Datum(number(factor * value, pattern), value)


def _kind(row: SummaryRow) -> str:
    return "out" if not row.counts else "clean" if row.method == CLEAN else ""
