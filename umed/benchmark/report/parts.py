# SPDX-License-Identifier: Apache-2.0
"""Pieces of the page: sortable tables, tabs, lists; every text is escaped here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from umed.benchmark.results.tables import TableGrid


@dataclass(frozen=True)
class Datum:
    """One cell of a table.

    Args:
        text: what it shows.
        key: what it is sorted by; its text if ``None``.
        title: what the mouse shows.
        flags: shown behind the text.
    """

    text: str
    key: float | None = None
    title: str = ""
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Args:
        entries: its cells.
        kind: ``"out"`` for what does not count, ``"clean"`` for controls.
    """

    entries: Sequence[Datum]
    kind: str = ""


def table(name: str, header: Sequence[str], lines: Sequence[Line], hints: Mapping[str, str] | None = None) -> str:
    """A table that sorts on a click on its column's name.

    Args:
        name: id in the page.
        header: column names.
        lines: the rows.
        hints: what the mouse shows on a column's name.

    Returns:
        HTML; above a long table stands a field that hides all lines without its words.
    """
    hints = hints or {}
    figures = [any(line.entries[i].key is not None for line in lines) for i in range(len(lines[0].entries))]
    heads = "".join(
        f'<th scope="col" aria-sort="none"{" class=number" if figure else ""} title="{escape(hints.get(title, ""))}">'
        f'<button type="button">{escape(title)}</button></th>'
        for title, figure in zip(header, figures, strict=True)
    )
    body = "".join(map(_line, lines))
    long = len(lines) > 12
    field = (
        f'<input class="find" type="search" data-find="{name}" placeholder="show only lines with ..." '
        'aria-label="show only lines with these words">'
        if long
        else ""
    )
    return (
        f'{field}<div class="panel scroll{" tall" if long else ""}"><table id="{name}" data-sortable>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _line(line: Line) -> str:
    cells = []
    for index, entry in enumerate(line.entries):
        title = f' title="{escape(entry.title)}"' if entry.title else ""
        if index == 0:
            cells.append(f'<th scope="row"{title}>{escape(entry.text)}</th>')
        elif entry.key is None:
            flags = "".join(f' <span class="flag">{escape(flag)}</span>' for flag in entry.flags)
            cells.append(f"<td{title}>{escape(entry.text)}{flags}</td>")
        else:
            key = "NaN" if math.isnan(entry.key) else f"{entry.key:.6g}"
            cells.append(f'<td class="number" data-key="{key}"{title}>{escape(entry.text)}</td>')
    kind = f' class="{line.kind}"' if line.kind else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def plain_table(name: str, grid: TableGrid) -> str:
    """A table of texts, sortable; figures are sorted by the number that they begin with."""
    lines = [
        Line([Datum(cell, None if i < grid.words else leading(cell)) for i, cell in enumerate(row)])
        for row in grid.rows
    ]
    return table(name, grid.header, lines) if lines else ""


def leading(text: str) -> float:
    """The number that a text begins with, NaN for none.

    Example:
        >>> leading("−4.5 [−5.0, −4.0]"), leading("1,250"), leading("–")
        (-4.5, 1250.0, nan)
    """
    word = text.replace("−", "-").replace(",", "").replace("∞", "inf").split(" ")[0].rstrip("†%")
    try:
        return float(word)
    except ValueError:
        return math.nan


def tabs(name: str, panes: Mapping[str, str]) -> str:
    """One of several pieces at a time, without a script; a single one has no tab.

    Args:
        name: unique in the page.
        panes: HTML of each by its title; empty ones are left out.

    Returns:
        HTML.
    """
    shown = {title: pane for title, pane in panes.items() if pane}
    if len(shown) < 2:
        return "".join(shown.values())
    parts = [
        f'<input type="radio" name="{name}" id="{name}-{i}"{" checked" if i == 0 else ""}>'
        f'<label for="{name}-{i}">{escape(title)}</label><div class="pane">{pane}</div>'
        for i, (title, pane) in enumerate(shown.items())
    ]
    return f'<div class="tabs">{"".join(parts)}</div>'


def panel(title: str, content: str, say: str = "") -> str:
    """A titled piece; nothing where there is no content."""
    if not content:
        return ""
    note = f'<p class="say">{escape(say)}</p>' if say else ""
    return f'<h3>{escape(title)}</h3>{note}<div class="panel">{content}</div>'


def bare(title: str, content: str, say: str = "") -> str:
    """The same without a frame, for tables that have their own."""
    if not content:
        return ""
    note = f'<p class="say">{escape(say)}</p>' if say else ""
    return f"<h3>{escape(title)}</h3>{note}{content}"


def folded(title: str, content: str) -> str:
    """A piece that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>" if content else ""


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{lines}</dl>" if lines else ""


def cards(entries: Sequence[tuple[str, str, str]]) -> str:
    """Name, figure and remark of each card."""
    boxes = "".join(
        f'<div class="card"><div class="name">{escape(name)}</div><div class="figure">{escape(figure)}</div>'
        f'<div class="quiet">{escape(remark)}</div></div>'
        for name, figure, remark in entries
    )
    return f'<section class="cards">{boxes}</section>'


def count(number: int, one: str, more: str = "") -> str:
    """A number with its noun.

    Example:
        >>> count(1, "case"), count(2, "class", "classes")
        ('1 case', '2 classes')
    """
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"
