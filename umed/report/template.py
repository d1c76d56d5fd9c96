# SPDX-License-Identifier: Apache-2.0
"""Fills the Jinja2 templates of all pages; a page is one HTML file that loads nothing."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from umed.core.ranges import range_words
from umed.report.viewer_files import viewer_file

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, *, package: str = "umed.report", **content: Any) -> str:
    """Make a page.

    Args:
        template: name of a file in the package's folder ``templates``.
        package: where it lies; what it extends or imports may also lie in ``umed.report``.
        content: what it shows; every text is escaped.

    Returns:
        A complete HTML document that refers to nothing outside itself.
    """
    return _environment(package).get_template(template).render(content)


def render_text(text: str, *, package: str = "umed.report", **content: Any) -> str:
    """Fill a template that is given as text, with the same escaping; it may import the pieces of pages.

    Args:
        text: the template.
        package: as for :func:`render`.
        content: what it shows; every text is escaped.

    Returns:
        The filled text.
    """
    return _environment(package).from_string(text).render(content)


@lru_cache
def _environment(package: str) -> Environment:
    import jinja2  # only where a page is written: all other commands start faster without
    from markupsafe import Markup  # jinja2's own

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in dict.fromkeys((package, "umed.report"))]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cases": cases, "number": number, "fraction": fraction, "range_words": range_words}
    environment.globals["viewer_file"] = lambda name: Markup(viewer_file(name))
    return environment


def number(value: float, pattern: str) -> str:
    """A number as text, with a real minus sign; a dash for none.

    Example:
        >>> number(float("nan"), "{:.1f}"), number(-42, "{:.1f} dB")
        ('–', '−42.0 dB')
    """
    if math.isnan(value):
        return "–"
    return "∞" if value == math.inf else pattern.format(value).replace("-", "−")


def cases(count: int) -> str:
    """A number with its noun."""
    return f"{count} case{'' if count == 1 else 's'}"


def fraction(epsilon: float) -> str:
    """4/255 as it is usually written, other values as a decimal.

    Example:
        >>> fraction(4 / 255), fraction(0.013)
        ('4/255', '13/1000')
    """
    of_255 = epsilon * 255
    if abs(of_255 - round(of_255)) < 1e-9:
        return f"{round(of_255)}/255"
    simple = Fraction(epsilon).limit_denominator(1000)
    return str(simple) if abs(float(simple) - epsilon) < 1e-12 else f"{epsilon:.4g}"
