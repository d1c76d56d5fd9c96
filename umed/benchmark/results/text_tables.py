# SPDX-License-Identifier: Apache-2.0
"""The figures of a benchmark as CSV (raw numbers), Markdown and LaTeX; the same summary gives the same bytes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from umed.benchmark.results.cells import CHOICES, CLEAN, NONE
from umed.benchmark.results.overview import CHOICE_WORDS, bottom_line, exclusions, overview, worst_cases
from umed.benchmark.results.summary import Summary, SummaryRow, figures
from umed.report.template import number

DAGGER, STAR = " †", " *"
EXPLAINED = (
    "DSC in % on clean test cases: mean over cases, then mean ± sd over seeds. [ ] is the 95 % bootstrap interval over "
    "cases. The difference is protected minus clean control on the same cases, in points. † marks settings whose clean "
    "control has not learnt (below 50 %, below 70 % of the best one, or less than 5 points above a picture of one "
    "class) or is missing, or that diverged; they count as protection nowhere. * marks means over fewer victims than "
    "without countermeasure; what is brought back compares the same victims."
)


COLUMNS = {
    "data": "data", "method": "method", "victim": "victim", "countermeasure": "countermeasure", "choice": "choice",
    "seeds": "seeds", "cases": "cases",
    "dsc": "dsc.mean", "dsc_sd": "dsc.sd", "dsc_low": "dsc.low", "dsc_high": "dsc.high", "clean_dsc": "control",
    "difference": "difference.mean", "difference_low": "difference.low", "difference_high": "difference.high",
    "difference_cases": "pairs", "net": "net", "brought_back": "brought_back", "cost": "cost",
    "nsd": "nsd.mean", "nsd_sd": "nsd.sd",
    "hd95": "hd95.mean", "hd95_missing": "hd95.missing", "hd95_values": "hd95.values", "hd95_unit": "unit",
    "class_dsc": "classes", "psnr": "psnr", "psnr_roi": "psnr_roi",
    "flat": "flat", "counts": "counts", "flags": "flags",
}  # fmt: skip
"""Columns of table.csv, and what of a row stands in them."""


class TableGrid(NamedTuple):
    """A table for people, or the figures of one.

    Args:
        caption: what it shows.
        header: column names.
        rows: texts; of :func:`price_figures` and :func:`feature_figures` numbers behind the words, NaN for none.
        words: leading columns that hold words; the others hold figures.
    """

    caption: str
    header: list[str]
    rows: list[list[Any]]
    words: int


def record(row: SummaryRow) -> dict[str, Any]:
    """A row as plain values: DSC and NSD in [0, 1], ``None`` for no figure; the same columns for every row."""
    values = {name: attrgetter(path)(row) for name, path in COLUMNS.items()}
    values["seeds"] = len(row.seeds)
    values["class_dsc"] = "; ".join(f"{name}={_raw(value)}" for name, value in row.classes.items())
    values["flags"] = "; ".join(row.flags)
    return {name: _plain(value) for name, value in values.items()}


def csv_table(summary: Summary) -> str:
    """CSV with a header: one line for each row, raw numbers, empty where there is no figure."""
    buffer = io.StringIO()
    lines = [record(row) for row in summary.rows]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(lines[0] if lines else [])
    for line in lines:
        writer.writerow([_raw(value) for value in line.values()])
    return buffer.getvalue()


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Draw a Markdown table of column names and cells.

    Example:
        >>> print(markdown(["a", "b"], [["1", "2|3"]]))
        | a | b |
        | --- | --- |
        | 1 | 2\|3 |
    """
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def markdown_report(summary: Summary, title: str = "Benchmark") -> str:
    """All tables in Markdown, the bottom line first."""
    parts = [f"# {title}", *bottom_line(summary)]
    for caption, header, rows, _ in grids(summary):
        parts += [f"## {caption}", markdown(header, rows)]
    notes = [EXPLAINED, *summary.notes]
    notes += [f"{flag}: {'; '.join(settings)}." for flag, settings in exclusions(summary).items()]
    return "\n\n".join([*parts, "## Notes", "\n".join(f"- {note}" for note in notes)]) + "\n"


def latex_report(summary: Summary, title: str = "Benchmark") -> str:
    """All tables in LaTeX to include in a document with the packages ``booktabs`` and ``graphicx``."""
    lines = [f"% {title}: \\usepackage{{booktabs,graphicx}}"]
    for caption, header, rows, words in grids(summary):
        columns = "l" * words + "r" * (len(header) - words)
        lines += ["\\begin{table}", f"\\caption{{{escape(caption)}}}", "\\resizebox{\\linewidth}{!}{%"]
        lines += [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", _tex_line(header), "\\midrule"]
        lines += [_tex_line(row) for row in rows]
        lines += ["\\bottomrule", "\\end{tabular}}", "\\end{table}", ""]
    return "\n".join([*lines, f"% {EXPLAINED}"]) + "\n"


def escape(text: str) -> str:
    r"""Text for LaTeX: the same with every special character written out.

    Example:
        >>> print(escape("50 % of a_b & ± 1"))
        50 \% of a\_b \& $\pm$ 1
    """
    special = {char: f"\\{char}" for char in "%&#_{}$"}
    special |= {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$"}
    special |= {"†": "$\\dagger$", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$"}
    return "".join(special.get(char, char) for char in text)


def grids(summary: Summary) -> list[TableGrid]:
    """The tables for people, as texts: worst cases, victims, countermeasures, prices; none without lines."""
    made = [_worst(summary)]
    for data in summary.data:
        made += [_victims(summary, data), _countermeasures(summary, data)]
    prices = price_figures(summary)
    made.append(prices._replace(rows=[[*row[:2], *map(general, row[2:])] for row in prices.rows]))
    return [grid for grid in made if grid.rows]


def _worst(summary: Summary) -> TableGrid:
    header = ["data", "method", "victim", "countermeasure", "choice"]
    header += ["DSC %", "clean control %", "settings", "excluded"]
    rows = [
        [one.row.data, one.row.method, one.row.victim, one.row.countermeasure, CHOICE_WORDS[one.row.choice]]
        + [percent(one.row.dsc.mean), percent(one.row.control), str(one.tried), str(one.excluded)]
        for one in worst_cases(summary)
    ]
    return TableGrid("The thief's best result against each method", header, rows, 5)


def _victims(summary: Summary, data: str) -> TableGrid:
    header = ["method", "victim", *(f"DSC {CHOICE_WORDS[choice]}" for choice in CHOICES), "difference, last"]
    header += ["NSD %", "HD95 (missing)", "PSNR dB", "flat", "seeds"]
    rows = []
    for row in summary.pick(data=data, countermeasure=NONE):
        same = summary.pick(None, data=data, method=row.method, victim=row.victim, countermeasure=NONE)
        every = {one.choice: one for one in same}
        mark = "" if row.counts else DAGGER
        scores = [spread(every[choice]) if choice in every else "–" for choice in CHOICES]
        rows.append(
            [row.method, row.victim + mark, *scores, "–" if row.method == CLEAN else difference(row)]
            + [percent(row.nsd.mean), distance(row), number(row.psnr, "{:.2f}")]
            + [f"{row.flat}/{len(row.seeds)}", str(len(row.seeds))]
        )
    return TableGrid(f"{data}: DSC % of each victim, no countermeasure", header, rows, 2)


def _countermeasures(summary: Summary, data: str) -> TableGrid:
    tried, methods = summary.tried(data)
    rows = []
    for name in tried if len(tried) > 1 else []:
        line = [name]
        for method in methods:
            one = overview(summary, data, method, name)
            back = f" ({number(100 * one.brought_back, '{:.0f}')} %)" if math.isfinite(one.brought_back) else ""
            usual = overview(summary, data, method, NONE).counted
            mark = DAGGER if not one.counted else STAR if usual and one.counted != usual else ""
            line.append("" if not one.victims else f"{percent(one.mean)}{back}{mark}")
        costs = [row.cost for row in summary.pick(data=data, method=CLEAN, countermeasure=name) if row.counts]
        line.append(number(100 * float(np.mean(costs)), "{:.1f}") if costs else "–")
        rows.append(line)
    caption = f"{data}: DSC % with each countermeasure, mean of the victims that count (share of the loss brought back)"
    return TableGrid(caption, ["countermeasure", *methods, "cost on clean data, points"], rows, 1)


def price_figures(summary: Summary) -> TableGrid:
    """What each protection costs, one line a data set and method, one column a number that was measured."""
    lines = [(_protection(price), figures(price)) for price in summary.prices]
    wanted = [(words, {name: one[name] for name in one if not name.startswith("features.")}) for words, one in lines]
    grid = _pivot("The price of each protection", ["data", "method"], wanted)
    return grid._replace(header=[*grid.header[:2], *map(_title, grid.header[2:])])


def feature_figures(summary: Summary) -> TableGrid:
    """How far each feature in the ROI moved."""
    lines = []
    for price in summary.prices:
        found: dict[str, dict[str, float]] = {}
        for place, value in figures(price).items():
            kind, _, rest = place.partition(".")
            name, _, what = rest.rpartition(".")
            if kind == "features" and name:
                found.setdefault(name, {})[what] = value
        lines += [([*_protection(price), name], one) for name, one in found.items()]
    return _pivot("Features in the ROI", ["data", "method", "feature"], lines)


def _protection(price: Mapping[str, Any]) -> list[str]:
    return [str(price.get("data")), str(price.get("method"))]


def _pivot(caption: str, words: list[str], lines: Sequence[tuple[list[str], dict[str, float]]]) -> TableGrid:
    """A column for each name that any line has; NaN where a line lacks it."""
    names = list(dict.fromkeys(name for _, one in lines for name in one))
    rows = [[*labels, *(one.get(name, math.nan) for name in names)] for labels, one in lines]
    return TableGrid(caption, [*words, *names], rows, len(words))


def _title(place: str) -> str:
    """A dotted name as a heading: ``fidelity.psnr_roi`` becomes ``PSNR ROI``."""
    words = place.removeprefix("fidelity.").replace("_", " ").replace(".", " ").split()
    return " ".join(
        word.upper() if word in ("psnr", "ssim", "ms", "roi", "auc", "ccc", "dsc", "e") else word for word in words
    )


def spread(row: SummaryRow) -> str:
    """DSC in percent with the deviation over seeds, such as ``"81.2 ± 0.4"``."""
    deviation = f" ± {100 * row.dsc.sd:.1f}" if math.isfinite(row.dsc.sd) else ""
    return f"{percent(row.dsc.mean)}{deviation}"


def difference(row: SummaryRow) -> str:
    """Paired difference in points with its interval, such as ``"−41.0 [−44.1, −38.2]"``."""
    low, high = (number(100 * value, "{:+.1f}") for value in (row.difference.low, row.difference.high))
    ends = f" [{low}, {high}]" if math.isfinite(row.difference.low) else ""
    return number(100 * row.difference.mean, "{:+.1f}") + ends


def distance(row: SummaryRow) -> str:
    """Mean HD95 with its unit and how many are missing, such as ``"3.2 mm (4/36)"``."""
    if not row.hd95.values:
        return "–"
    text = "–" if math.isnan(row.hd95.mean) else f"{row.hd95.mean:.1f} {row.unit}"
    return f"{text} ({row.hd95.missing}/{row.hd95.values})"


def percent(share: float) -> str:
    """A share in percent with one digit, a dash for none."""
    return number(100 * share, "{:.1f}")


def general(value: float) -> str:
    """A number of unknown size: whole numbers in full, others with four digits that matter."""
    if math.isfinite(value) and value == round(value) and abs(value) < 1e15:
        return number(value, "{:,.0f}") if abs(value) >= 1e4 else number(value, "{:.0f}")
    return number(value, "{:.4g}")


def _tex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + " \\\\"


def _raw(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
