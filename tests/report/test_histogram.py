# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from umed.report.histogram import histogram

NAMESPACE = "{http://www.w3.org/2000/svg}"


def bars(svg: str) -> list[int]:
    """Cases in each bar, read from its tooltip."""
    return [int(number) for number in re.findall(r": (\d+) cases?</title>", svg)]


@pytest.mark.parametrize("values", [[50.0], [50.0] * 7, [40.0, 50.0, 60.0], [float(i) for i in range(300)]])
def test_counts_every_value_once(values: list[float]) -> None:
    svg = histogram(values, label="PSNR", unit="dB")
    assert sum(bars(svg)) == len(values)
    ElementTree.fromstring(svg)  # well-formed


def test_bars_stay_inside_the_chart() -> None:
    root = ElementTree.fromstring(histogram([40, 41, 41, 41, 45, 60], label="PSNR"))
    for bar in root.iter("rect"):
        x, y, width, height = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x and x + width <= 640 and 0 <= y and y + height <= 220


def test_leaves_out_what_is_not_finite_and_says_so() -> None:
    svg = histogram([50.0, float("inf"), float("nan")], label="PSNR")
    assert bars(svg) == [1] and "2 without a finite figure" in svg


def test_escapes_its_label() -> None:
    assert "<b>" not in histogram([1.0], label="<b>") and "<b>" not in histogram([], label="<b>")
