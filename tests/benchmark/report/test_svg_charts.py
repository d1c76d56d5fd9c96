# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from umed.benchmark.report.svg_charts import bars, panel, ranges, scatter, spaced
from umed.benchmark.report.svg_heatmap import Tile, cividis, heatmap
from umed.benchmark.report.svg_marks import CHARACTER, COLOURS, ChartLine, Point, legend, style, ticks, wrap

NAN = float("nan")


def methods(count: int, groups: int) -> list[ChartLine]:
    return [ChartLine(f"method_{i}", [Point(g, 10.0 * i % 100, 5, 95) for g in range(groups)], i) for i in range(count)]


def test_many_bars_stay_apart_and_inside() -> None:
    groups = [f"a long victim name {i}" for i in range(8)]
    root = ElementTree.fromstring(bars(groups, methods(13, 8), "DSC"))
    wide, high = (float(value) for value in root.attrib["viewBox"].split()[2:])
    boxes = sorted(
        (float(one.attrib["x"]), float(one.attrib["width"]))
        for one in root.iter("rect")
        if "fill" in one.attrib["class"].split()
    )
    assert len(boxes) == 13 * 8
    assert all(x + width <= after for (x, width), (after, _) in zip(boxes, boxes[1:], strict=False))
    assert min(width for _, width in boxes) >= 5 and boxes[-1][0] < wide
    step = (wide - 56) / 8
    names = [one for one in root.iter("text") if one.attrib.get("class") == "name"]
    assert all(len(one.text or "") * CHARACTER <= step and float(one.attrib["y"]) <= high for one in names)


def test_grey_bar_has_a_dagger() -> None:
    svg = bars(["a"], [ChartLine("x", [Point(0, 50, grey=True)])], "DSC")
    assert "†" in svg and 'class="fill grey"' in svg and 'class="hatch"' in svg


def test_scattered_names_do_not_overlap() -> None:
    series = [ChartLine(f"m{i}", [Point(40 + i / 10, 50.0)], i) for i in range(12)]
    root = ElementTree.fromstring(scatter(series, "PSNR", "DSC"))
    heights = sorted(float(one.attrib["y"]) for one in root.iter("text") if one.attrib.get("class") == "name")
    high = float(root.attrib["viewBox"].split()[3])
    assert len(heights) == 12 and min(b - a for a, b in zip(heights, heights[1:], strict=False)) >= 14
    assert 0 < heights[0] and heights[-1] < high


def test_line_breaks_where_a_point_is_missing() -> None:
    svg = panel(
        [ChartLine("x", [Point(0, 1), Point(1, 2), Point(2, NAN), Point(3, 1), Point(4, 3)])], "t", "step", "DSC"
    )
    (path,) = re.findall(r'<path class="line c0" d="([^"]+)"', svg)
    assert path.count("M") == 2 and path.count("L") == 2


def test_logarithmic_axis_leaves_out_what_has_no_logarithm() -> None:
    svg = panel([ChartLine("x", [Point(0, 0), Point(1, 10), Point(2, 1000)])], "t", "f", "power", logarithmic=True)
    assert "1e2" in svg and svg.count('class="mark') == 2
    assert panel([ChartLine("x", [Point(0, NAN)])], "t", "f", "power") == ""


def test_every_row_of_ranges_has_its_marks() -> None:
    rows = [(name, [[ChartLine("a", [Point(80, 0)], -1), ChartLine("b", [Point(NAN, 0)], 0)]]) for name in ("x", "y")]
    svg = ranges(rows, "DSC")
    assert svg.count('class="mark ink"') == 2 and 'class="mark c0"' not in svg


def test_heat_map_shows_figures_missing_and_excluded_ones() -> None:
    tiles = [[Tile(0.81, "a"), Tile(0.2, "b", grey=True)], [Tile(), Tile(0.5, "c", mark="*")]]
    svg = heatmap(["none", "jpeg <1>"], ["clean", "umed"], tiles, "DSC", apart=1)
    ElementTree.fromstring(svg)
    assert ">81.0<" in svg and ">20.0†<" in svg and ">50.0*<" in svg and "jpeg &lt;1&gt;" in svg
    assert svg.count('class="none"') == 1


def test_text_on_every_colour_has_contrast() -> None:
    def luminance(colour: tuple[int, ...]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for i in range(101):
        svg = heatmap(["r"], ["c"], [[Tile(i / 100, "x")]], "DSC")
        (ink,) = re.findall(r'style="fill:#(\w{6})"', svg)
        light = sorted([luminance(cividis(i / 100)), luminance(tuple(bytes.fromhex(ink)))])
        assert (light[1] + 0.05) / (light[0] + 0.05) >= 4.0


def test_no_two_of_a_dozen_methods_look_the_same() -> None:
    assert len({style(i) for i in range(2 * COLOURS)} | {style(-1)}) == 2 * COLOURS + 1
    assert legend([("<x>", 0)]).count("&lt;x&gt;") == 1


@pytest.mark.parametrize(("low", "high"), [(0, 100), (38.2, 44.1), (0.001, 0.5), (0, 20000), (5, 5)])
def test_ticks_lie_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 8 and all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_long_words_are_cut_not_lost() -> None:
    lines = wrap("averyveryverylongvictimname with more words than fit in three lines of text", 60)
    assert len(lines) == 3 and lines[0].endswith("…") and lines[-1].endswith("…")


def test_moved_places_keep_their_order_and_distance() -> None:
    found = spaced([5.0, 5.0, 6.0, 99.0, 99.5], 10.0, 0.0, 100.0)
    assert all(b - a >= 10 - 1e-9 for a, b in zip(found, found[1:], strict=False)) and found[-1] <= 100
