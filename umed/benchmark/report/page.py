# SPDX-License-Identifier: Apache-2.0
"""The page as a whole: the bottom line first, then the figures behind it, then how they were made and how to read them."""

from __future__ import annotations

import math
from html import escape
from importlib import resources

from umed.benchmark.cells import CLEAN, NONE
from umed.benchmark.overview import CHOICE_WORDS, bottom_line, exclusions, overview, worst_cases
from umed.benchmark.report import figures as drawn
from umed.benchmark.report.folder import Found
from umed.benchmark.report.origin import origin, remarks, settings
from umed.benchmark.report.parts import Entry, Line, bare, cards, folded, panel, plain_table, table, tabs
from umed.benchmark.report.predictions import Gallery
from umed.benchmark.summary import EXCLUDING, LEARNT, LEAST_DROP, Row, Summary, figures
from umed.benchmark.tables import EXPLAINED, Grid, difference, general, number, percent, price_grid, spread

LONGEST = 1500
"""Rows of the folded table of everything; a larger benchmark has them in table.csv alone."""
HINTS = {
    "DSC, last": "last checkpoint; mean over cases, then mean ± sd over seeds, %",
    "95 % interval": "bootstrap over cases, each with its mean over the seeds, %",
    "best on clean": "checkpoint that is best on clean validation cases: the thief needs clean data for it",
    "best on protected": "checkpoint that is best on protected validation cases",
    "clean control": "the same victim trained on clean data, last checkpoint, %",
    "difference": "protected minus clean control, paired by case, last checkpoint, points",
    "NSD": "normalized surface dice, %",
    "HD95": "95th percentile Hausdorff distance, mean over the finite values",
    "missing": "distances that do not exist because nothing was found",
    "PSNR": "of the protected images, dB",
    "flat": "trainings whose loss was flat at the end",
}
STEPS = ("How to read it", "How it was made")


def render(found: Found) -> str:
    """Make the page.

    Args:
        found: content of the folder.

    Returns:
        A complete HTML document that refers to nothing outside itself.
    """
    summary = found.summary
    gallery = Gallery(found.folder, summary)
    sections = [("result", "The thief's best result", _result(summary))]
    sections.append(("victims", "Every victim", _victims(summary)))
    sections += [(f"data-{i}", name, _data(found, name, i, gallery)) for i, name in enumerate(summary.data)]
    sections.append(("price", "The price", _price(summary)))
    sections.append(("excluded", "What does not count, and notes", _excluded(found, gallery)))
    sections.append(("made", STEPS[1], f'<div class="panel">{origin(found)}</div>{settings(found.cells)}'))
    sections.append(("read", STEPS[0], _READ))
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{escape(title)}</h2>{html}</section>' for name, title, html in sections)
    lead = "".join(f'<p class="lead">{escape(sentence)}</p>' for sentence in bottom_line(summary))
    warnings = "".join(f'<p class="warning">{escape(note)}</p>' for note in _warnings(summary))
    style = _asset("umed.report", "report.css") + _asset(__package__, "benchmark.css") + gallery.css()
    return "".join(
        [
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
            f"</main><script>{_asset(__package__, 'benchmark.js')}</script></body></html>\n",
        ]
    )


def _warnings(summary: Summary) -> list[str]:
    notes = list(summary.notes)
    flags = exclusions(summary)
    for flag in flags:
        number_ = len(flags[flag])
        effect = "; counted nowhere as protection" if flag in EXCLUDING else ""
        notes.append(f"{number_} setting{'s' if number_ > 1 else ''} with the flag “{flag}”{effect}.")
    for one in worst_cases(summary):
        if one.beyond is not None:
            notes.append(
                f"{one.row.data}, {one.row.method}: a setting that does not count reaches more than the counted ones: "
                f"{percent(one.beyond.dsc.mean)} % ({one.beyond.victim}, {one.beyond.countermeasure})."
            )
    return notes


def _cards(found: Found) -> str:
    summary = found.summary
    worst = worst_cases(summary)
    entries = []
    if worst:
        best = min(worst, key=lambda one: one.row.dsc.mean)
        remark = f"{best.row.method} on {best.row.data}; clean control {percent(best.row.control)} %"
        entries.append(("lowest worst case", f"{percent(best.row.dsc.mean)} %", remark))
    protections = [name for name in summary.methods if name != CLEAN]
    tried = [name for name in summary.countermeasures if name != NONE]
    settings_ = {(row.data, row.victim, row.countermeasure): row.counts for row in summary.rows}
    out = len(settings_) - sum(settings_.values())
    entries += [
        ("protections", str(len(protections)), f"on {_count(len(summary.data), 'data set')}"),
        ("victims", str(len(summary.victims)), f"against {_count(len(tried), 'countermeasure')}"),
        ("trainings", f"{len(found.cells):,}", f"seeds {', '.join(map(str, _seeds(found)))}"),
        (
            "settings that count",
            f"{sum(settings_.values())} / {len(settings_)}",
            f"{out} without a control that learnt",
        ),
    ]
    return cards(entries)


def _seeds(found: Found) -> list[int]:
    return sorted({cell.spec.seed for cell in found.cells})


def _result(summary: Summary) -> str:
    parts = []
    for data in summary.data:
        say = (
            "The highest DSC that any counted victim reaches with any countermeasure and any choice of the checkpoint."
        )
        parts.append(panel(data, drawn.worst_chart(summary, data), say if data == summary.data[0] else ""))
    header = ["method", "data", "victim", "countermeasure", "choice", "strongest thief", "its clean control"]
    header += ["kept of the control", "mean of victims, no countermeasure", "settings", "excluded"]
    lines = [
        Line(
            [
                *map(Entry, (one.row.method, one.row.data, one.row.victim, one.row.countermeasure)),
                Entry(CHOICE_WORDS[one.row.choice]),
                Entry(f"{percent(one.row.dsc.mean)} [{percent(one.row.dsc.low)}, {percent(one.row.dsc.high)}]", one.row.dsc.mean),
                Entry(percent(one.row.control), one.row.control),
                _figure(one.row.dsc.mean / one.row.control if one.row.control > 0 else math.nan, "{:.0f} %", 100),
                Entry(f"{percent(one.plain)} of {percent(one.plain_control)}", one.plain),
                Entry(str(one.tried), one.tried),
                Entry(str(one.excluded), one.excluded),
            ]
        )
        for one in sorted(worst_cases(summary), key=lambda one: (summary.data.index(one.row.data), one.row.dsc.mean))
    ]  # fmt: skip
    return "".join(parts) + (bare("In figures, DSC in %", table("worst", header, lines)) if lines else "")


def _victims(summary: Summary) -> str:
    rows = summary.pick(countermeasure=NONE)
    header = ["method", "data", "victim", "DSC, last", "95 % interval", "best on clean", "best on protected"]
    header += ["clean control", "difference", "NSD", "HD95", "missing", "PSNR", "flat", "seeds", "flags"]
    lines = [_victim_line(summary, row) for row in rows]
    content = table("every", header, lines, HINTS) if lines else ""
    every = [row for row in summary.rows if row.countermeasure != NONE]
    more = ""
    if len(every) > LONGEST:
        more = f'<p class="say">The {len(every):,} rows with countermeasures are in table.csv.</p>'
    elif every:
        names = ["method", "data", "victim", "countermeasure", "choice", "DSC", "95 % interval", "clean control"]
        names += ["difference", "brought back", "costs, points", "kept of clean", "seeds", "flags"]
        more = folded(
            f"All {len(every):,} rows with countermeasures", table("all", names, list(map(_full_line, every)))
        )
    say = "No countermeasure, clean test cases, DSC in %. Grey lines do not count: their clean control has not learnt."
    return f'<p class="say">{say}</p>{content}{more}'


def _victim_line(summary: Summary, row: Row) -> Line:
    same = summary.pick(None, data=row.data, method=row.method, victim=row.victim, countermeasure=row.countermeasure)
    every = {one.choice: one for one in same}
    clean = row.method == CLEAN
    classes = ", ".join(f"{name} {percent(value)} %" for name, value in row.classes.items())
    entries = [Entry(row.method), Entry(row.data), Entry(row.victim)]
    entries.append(Entry(spread(row), row.dsc.mean, classes))
    entries.append(Entry(_interval(row), row.dsc.low))
    for choice in ("best_clean", "best_protected"):
        entries.append(
            Entry(spread(every[choice]), every[choice].dsc.mean) if choice in every else Entry("–", math.nan)
        )
    entries.append(Entry("–", math.nan) if clean else _figure(row.control, "{:.1f}", 100))
    entries.append(Entry("–", math.nan) if clean else Entry(difference(row), row.difference.mean))
    entries.append(_figure(row.nsd.mean, "{:.1f}", 100))
    entries.append(Entry(number(row.hd95.mean, f"{{:.1f}} {row.unit}"), row.hd95.mean))
    missing = f"{row.hd95.missing}/{row.hd95.values}" if row.hd95.values else "–"
    entries.append(Entry(missing, row.hd95.missing if row.hd95.values else math.nan))
    entries.append(_figure(row.psnr, "{:.2f}"))
    entries.append(Entry(f"{row.flat}/{len(row.seeds)}", row.flat))
    entries.append(Entry(str(len(row.seeds)), len(row.seeds), ", ".join(map(str, row.seeds))))
    return Line(entries, _kind(row), row.flags)


def _full_line(row: Row) -> Line:
    clean = row.method == CLEAN
    entries = [*map(Entry, (row.method, row.data, row.victim, row.countermeasure, row.choice.replace("_", " ")))]
    entries += [Entry(spread(row), row.dsc.mean), Entry(_interval(row), row.dsc.low)]
    entries.append(Entry("–", math.nan) if clean else _figure(row.control, "{:.1f}", 100))
    entries.append(Entry("–", math.nan) if clean else Entry(difference(row), row.difference.mean))
    entries += [_figure(row.brought_back, "{:.0f} %", 100), _figure(row.cost, "{:.1f}", 100)]
    entries += [_figure(row.net, "{:.0f} %", 100), Entry(str(len(row.seeds)), len(row.seeds))]
    return Line(entries, _kind(row), row.flags)


def _data(found: Found, data: str, index: int, gallery: Gallery) -> str:
    summary, cells = found.summary, found.cells
    here = [cell for cell in cells if cell.spec.data == data]
    first = here[0]
    classes = f"{_count(len(first.classes), 'class', 'classes')} ({', '.join(first.classes)})"
    parts = [f'<p class="say">{len(first.cases)} clean test cases, {escape(classes)}.</p>']
    say = "Last checkpoint, no countermeasure. Hatched bars with † do not count: their clean control has not learnt."
    parts.append(
        panel("DSC of each victim, trained on clean and on protected data", drawn.victims_chart(summary, data), say)
    )
    say = (
        "Last checkpoint, %. The clean column says what the countermeasure leaves the thief on unprotected data. Grey "
        "tiles with † do not count; * means that fewer victims count than without countermeasure."
    )
    heats = tabs(f"heat{index}", drawn.heat_maps(summary, data))
    parts.append(panel("What each countermeasure brings back", heats, say if heats else ""))
    parts.append(folded("The same in figures", _countermeasures(summary, data, index)) if heats else "")
    say = "Mean of the victims that count; the strength rises or falls along the axis, “none” stands apart."
    parts.append(panel("Strength of the countermeasures", drawn.sweeps(summary, cells, data), say))
    parts.append(panel("Protection against visibility", drawn.tradeoff(summary, data)))
    curves = tabs(f"curve{index}", drawn.curve_panels(summary, cells, data))
    parts.append(panel("Over the training", curves, "Mean over the seeds, no countermeasure."))
    pictures = tabs(f"pictures{index}", gallery.draw(cells, data))
    parts.append(panel("Predictions on clean test cases", _LEGEND + pictures if pictures else ""))
    return "".join(parts)


def _countermeasures(summary: Summary, data: str, index: int) -> str:
    header = ["countermeasure", "method", "DSC, mean of victims", "lowest to highest", "clean control", "brought back"]
    header += ["costs the thief, points", "kept of clean", "victims that count"]
    lines = []
    for name in summary.countermeasures:
        for method in summary.methods:
            one = overview(summary, data, method, name)
            if not one.victims:
                continue
            ends = f"{percent(one.lowest)} to {percent(one.highest)}" if one.counted else "–"
            entries = [Entry(name), Entry(method), _figure(one.mean, "{:.1f}", 100), Entry(ends, one.highest)]
            entries += [_figure(one.control, "{:.1f}", 100), _figure(one.brought_back, "{:.0f} %", 100)]
            entries += [_figure(one.cost, "{:.1f}", 100), _figure(one.net, "{:.0f} %", 100)]
            entries.append(Entry(f"{len(one.counted)}/{one.victims}", len(one.counted)))
            lines.append(Line(entries, "clean" if method == CLEAN else "" if one.counted else "out"))
    return table(f"counter{index}", header, lines) if lines else ""


def _price(summary: Summary) -> str:
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
        grid = Grid("", ["data", "method", "feature", *names], rows, 3)
        parts.append(
            folded(f"Features in the ROI, protected against original ({len(rows)} rows)", plain_table("features", grid))
        )
    say = "Mean over the protected images; the radially averaged power of the original, the protected and their difference."
    parts.append(panel("Spectra", drawn.spectra(summary), say))
    return "".join(parts)


def _excluded(found: Found, gallery: Gallery) -> str:
    parts = []
    for flag, settings_ in exclusions(found.summary).items():
        items = "".join(f"<li>{escape(setting)}</li>" for setting in settings_)
        parts.append(folded(f"{flag} ({len(settings_)})", f"<ul>{items}</ul>"))
    notes = remarks(found.cells)
    if gallery.left_out:
        notes.append(f"Pictures of {_count(gallery.left_out, 'victim')} left out, so that the page stays small.")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return "".join(parts) + (f'<div class="panel"><ul>{items}</ul></div>' if notes else "")


def _interval(row: Row) -> str:
    return "–" if math.isnan(row.dsc.low) else f"{percent(row.dsc.low)} to {percent(row.dsc.high)}"


def _figure(value: float, pattern: str, factor: float = 1.0) -> Entry:
    return Entry(number(factor * value, pattern), value)


def _kind(row: Row) -> str:
    return "out" if not row.counts else "clean" if row.method == CLEAN else ""


def _count(number_: int, one: str, more: str = "") -> str:
    return f"{number_} {one if number_ == 1 else more or f'{one}s'}"


def _asset(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


_HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="5" '
    'height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V5" style="stroke:var(--panel);'
    'stroke-width:2.4;stroke-opacity:.75"/></pattern></defs></svg>'
)
_LEGEND = (
    '<p class="legend"><span><i class="key contour"></i>true outline</span>'
    '<span><i class="key guessed"></i>prediction, one tint a class</span><span>DSC of the case, last checkpoint</span></p>'
)
_READ = f"""<div class="panel"><ul>
<li>{escape(EXPLAINED)}</li>
<li>The clean control is the same victim with the same countermeasure, trained on unprotected data. Test cases are never
protected and never used for a choice.</li>
<li>Did not learn: the clean control of a data set, victim and countermeasure reaches less than {LEARNT:.0%} of the best clean
control of that data set without countermeasure (last checkpoint). A low DSC there says nothing about the protection.</li>
<li>Brought back = (protected with the countermeasure − protected without) / (clean without − protected without); not given
where the protection takes less than {100 * LEAST_DROP:.0f} points. Of several victims it is the ratio of their means.</li>
<li>Cost = clean without − clean with the countermeasure. Kept of clean = protected with the countermeasure / clean without.</li>
<li>A clean control has no protected validation cases; beside “best on protected” stands its checkpoint that is best on clean.</li>
<li>A class that a case lacks is no figure, not zero. HD95 is the mean of the finite distances; those that do not exist because
nothing was found are counted beside it, so a short distance with many missing is a bad result.</li>
</ul></div>"""
