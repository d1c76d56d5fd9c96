# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from umed.report.spectrum_chart import HEIGHT, WIDTH, spectrum_chart

BANDS = ["2-3 px", "3-4 px", "4-6 px", "6-8 px", "8-12 px", "12-16 px", "16-24 px", "24-32 px"]


def placement(**changed: Any) -> dict[str, Any]:
    code = {"carrier": "plaid10c", "direction": "opponent colours", "band": 3, "loudness": 3.4}
    made = {
        "cases": 24,
        "roi_px": 51.2,
        "bands": BANDS,
        "inside": {
            "opponent colours": [0.3, 0.4, 0.6, 0.7, None, None, None, None],
            "brightness": [2.0] * 5 + [None] * 3,
        },
        "around": {
            "opponent colours": [0.2, 0.3, 0.5, 0.6, None, None, None, None],
            "brightness": [1.5] * 5 + [None] * 3,
        },
        "codes": [
            {**code, "strength": "invisible", "epsilon": 4 / 255, "rms": 3.4},
            {**code, "strength": "strong", "epsilon": 7 / 255, "rms": 5.95},
        ],
    }
    return {**made, **changed}


def test_curves_and_codes_lie_where_their_figures_are() -> None:
    root = ElementTree.fromstring(spectrum_chart(placement()))
    curves = {line.attrib["class"]: line for line in root.iter("polyline")}
    assert set(curves) == {f"curve {kind} {zone}" for kind in ("colour", "light") for zone in ("inside", "around")}
    heights = [float(point.split(",")[1]) for point in curves["curve colour inside"].attrib["points"].split()]
    assert len(heights) == 4 and sorted(heights, reverse=True) == heights, "louder is higher"
    weak, strong = [dot for dot in root.iter("circle") if dot.find("title") is not None]
    assert float(strong.attrib["cy"]) < float(weak.attrib["cy"]) < min(heights)
    assert weak.attrib["cx"] == curves["curve colour inside"].attrib["points"].split()[3].split(",")[0]
    assert "plaid10c, opponent colours, 6-8 px: rms 3.4, 3.4 times" in (weak.findtext("title") or "")
    text = " ".join(root.itertext())
    assert "invisible 4/255" in text and "strong 7/255" in text and "8-12" in text and "12-16" not in text


def test_everything_stays_inside_the_chart() -> None:
    loud = placement(inside={"grey values": [0.001, 400.0] + [3.0] * 6}, around={"grey values": [None] * 8})
    root = ElementTree.fromstring(spectrum_chart(loud))
    for line in root.iter("polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT


def test_nothing_known_draws_nothing() -> None:
    assert spectrum_chart({}) == ""
    assert spectrum_chart(placement(inside={"grey values": [None] * 8}, around={}, codes=[])) == ""
    assert "<circle" not in spectrum_chart(placement(codes=[]))
