# SPDX-License-Identifier: Apache-2.0
"""The page: text (always escaped), figures, charts and pictures. Style and script are inline; nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources

from umed.report.pictures import Picture

HEADINGS = ("case", "status", "PSNR", "PSNR in ROI", "SSIM", "ROI share", "step / bound", "changed", "reason")
HINTS = {
    "PSNR": "of the whole file against the plan's range, dB",
    "PSNR in ROI": "inside ROI and dilated contour only, dB",
    "ROI share": "share of the voxels that may change: ROI and dilated contour",
    "step / bound": "largest change in the written file and its bound, in stored steps",
    "changed": "number of voxels that changed",
}


@dataclass(frozen=True)
class ReportRow:
    """One line of the table of cases.

    Args:
        id: case id.
        status: ``"protected"``, ``"unchanged"``, ``"failed"`` or ``"skipped"``.
        reason: why, where it is not protected.
        cells: text and sorting key of the six figures in the order of :data:`HEADINGS`.
    """

    id: str
    status: str
    reason: str
    cells: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Page:
    """Everything the page says.

    Args:
        title: its heading.
        lead: one sentence under it.
        cards: name, figure and remark of each summary card.
        facts: name and value of each line about the run.
        why: the reasons for what the plan decided.
        chart: SVG of the histogram.
        rows: the table.
        pictures: case id and its pictures.
        warnings: what a reader must know, first.
        tables: more tables: title, column names and lines.
        footer: command that proves it again.
    """

    title: str
    lead: str
    cards: Sequence[tuple[str, str, str]]
    facts: Sequence[tuple[str, str]]
    why: Sequence[str]
    chart: str
    rows: Sequence[ReportRow]
    pictures: Sequence[tuple[str, Picture]]
    warnings: Sequence[str] = field(default_factory=tuple)
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = field(default_factory=tuple)
    footer: str = "umed verify INPUT OUTPUT"


def render(page: Page) -> str:
    """Make the page.

    Args:
        page: what it says.

    Returns:
        A complete HTML document that refers to nothing outside itself.
    """
    style, script = (_asset(name) for name in ("report.css", "report.js"))
    cards = "".join(
        f'<div class="card"><div class="name">{escape(name)}</div><div class="figure">{escape(figure)}</div>'
        f'<div class="quiet">{escape(remark)}</div></div>'
        for name, figure, remark in page.cards
    )
    warnings = "".join(f'<p class="warning">{escape(text)}</p>' for text in page.warnings)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in page.facts)
    why = "".join(f"<li>{escape(reason)}</li>" for reason in page.why)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        # The browser itself refuses any request that this page might make.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
        f"<title>{escape(page.title)}</title><style>{style}</style></head><body><main>",
        f'<header><h1>{escape(page.title)}</h1><p class="lead">{escape(page.lead)}</p></header>',
        warnings,
        f'<section class="cards">{cards}</section>',
    ]
    if page.pictures:
        figures = "".join(_figure(case, picture) for case, picture in page.pictures)
        parts.append(
            f'<section id="cases"><h2>What it looks like</h2>{_LEGEND}{figures}</section>',
        )
    if page.chart:
        parts.append(f'<section><h2>How far each case moved</h2><div class="panel">{page.chart}</div></section>')
    parts.append(f"<section><h2>Cases</h2>{_table(page.rows)}</section>")
    parts += [
        f"<section><h2>{escape(title)}</h2>{_plain(names, lines)}</section>" for title, names, lines in page.tables
    ]
    reasons = f"<h3>Why</h3><ul>{why}</ul>" if why else ""
    parts.append(f'<section><h2>Plan</h2><div class="panel"><dl>{facts}</dl>{reasons}</div></section>')
    parts.append(
        "<footer>Made by umed. For research; not for diagnosis. "
        f"<code>{escape(page.footer)}</code> proves the bound and the support again from the files alone.</footer>"
    )
    parts.append(f"</main><script>{script}</script></body></html>\n")
    return "".join(parts)


_LEGEND = (
    '<p class="legend"><label><input type="checkbox" id="outlines" checked> outlines</label>'
    '<span><i class="key contour"></i>ROI</span>'
    '<span><i class="key support"></i>dilated contour of the ROI</span>'
    '<span><i class="key warm"></i>brighter</span><span><i class="key cool"></i>darker</span></p>'
)


def _figure(case: str, picture: Picture) -> str:
    width, height = picture.size
    overlay = (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="support" d="{picture.support}"/><path class="contour" d="{picture.contour}"/></svg>'
    )
    views = (
        ("original", picture.original),
        ("protected", picture.protected),
        (f"difference × {picture.factor:.0f}", picture.difference),
    )
    tiles = "".join(
        f'<figure><div class="tile" style="aspect-ratio:{width}/{height}">'
        f'<img src="{uri}" width="{width}" height="{height}" alt="{escape(f"{case}, {name}")}">{overlay}</div>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, uri in views
    )
    return (
        f'<article class="panel case"><h3>{escape(case)} <span class="quiet">{escape(picture.place)}</span></h3>'
        f'<div class="views">{tiles}</div></article>'
    )


def _table(rows: Sequence[ReportRow]) -> str:
    heads = "".join(
        f'<th scope="col" title="{escape(HINTS.get(name, ""))}"><button type="button">{escape(name)}</button></th>'
        for name in HEADINGS
    )
    lines = []
    for row in rows:
        cells = "".join(f'<td class="number" data-key="{key!r}">{escape(text)}</td>' for text, key in row.cells)
        status = f'<td><span class="status {escape(row.status)}">{escape(row.status)}</span></td>'
        reason = f'<td class="reason">{escape(row.reason)}</td>'
        lines.append(f'<tr><th scope="row">{escape(row.id)}</th>{status}{cells}{reason}</tr>')
    head, body = f"<thead><tr>{heads}</tr></thead>", f"<tbody>{''.join(lines)}</tbody>"
    return f'<div class="panel scroll"><table id="table">{head}{body}</table></div>'


def _plain(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of texts; figures stand to the right."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{"number" if cell.isdigit() else "text"}">{escape(cell)}</td>' for cell in line)
        + "</tr>"
        for line in lines
    )
    return f'<div class="panel scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _asset(name: str) -> str:
    return (resources.files("umed.report") / name).read_text(encoding="utf-8")
