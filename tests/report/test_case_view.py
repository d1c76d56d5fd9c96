# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

import numpy as np
import pytest

from umed.report.case_view import VOXELS, Changed, Shown, ViewRoom, draw_shown, volume_payload
from umed.report.template import render_text


def unpack(data: str, payload: dict[str, Any], channels: int = 1) -> np.ndarray:
    values = np.frombuffer(gzip.decompress(base64.b64decode(data)), np.uint8)
    return values.reshape((channels, *payload["size"]), order="F")


def make(shape: tuple[int, int, int] = (20, 16, 12), channels: int = 1, **more: Any) -> tuple[Shown, np.ndarray]:
    rng = np.random.default_rng(0)
    original = rng.uniform(0, 100, (channels, *shape))
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 2
    labels[:, :, shape[2] // 2] = 1
    given = {"spacing": (1.0, 2.0, 3.0), "window": (0.0, 100.0), "amplitude": 2.0, "axis": 2} | more
    shown = Shown(original, labels, labels > 0, **given)
    return shown, original + 2.0 * (labels == 2) - 1.0 * (labels == 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_panels_hold_what_was_written(channels: int) -> None:
    shown, after = make(channels=channels)
    payload = volume_payload("a", shown, [Changed("protected", after, "difference")], "where")
    assert [panel["name"] for panel in payload["panels"]] == ["original", "where", "protected", "difference"]
    assert payload["size"] == [20, 16, 12] and payload["start"] == 6 and payload["channels"] == channels
    original, where, protected, difference = payload["panels"]
    before = unpack(original["data"], payload, channels)
    assert np.array_equal(before, np.rint(255 * shown.original / 100).astype(np.uint8))
    assert where["same"] == 0 and where["outlined"] and "data" not in where
    moved = before + unpack(protected["data"], payload, channels)  # modulo 256, as in the browser
    assert np.array_equal(moved, np.rint(255 * np.clip(after, 0, 100) / 100).astype(np.uint8))
    share = unpack(difference["data"], payload, channels)
    assert {int(v) for v in np.unique(share)} == {64, 128, 255}
    assert (share[:, shown.labels == 2] == 255).all() and (share[:, shown.labels == 0] == 128).all()
    assert np.array_equal(unpack(payload["regions"], payload)[0], np.where(shown.labels > 0, shown.labels + 1, 0))


def test_slices_of_dicom_come_with_their_columns_to_the_right() -> None:
    shown, after = make(axis=0, rows_first=True, first=30, of=90)
    payload = volume_payload("a", shown, [Changed("protected", after)])
    assert payload["size"] == [12, 16, 20] and payload["spacing"] == [3.0, 2.0, 1.0] and payload["axes"] == [2, 1, 0]
    assert payload["first"] == [0, 0, 30] and payload["whole"] == [12, 16, 90]
    seen = unpack(payload["panels"][0]["data"], payload)[0]
    assert np.array_equal(seen, np.rint(255 * shown.original[0].transpose(2, 1, 0) / 100).astype(np.uint8))
    picture = draw_shown(shown, after)
    assert picture.size == (12, 16) and picture.place.startswith(f"slice {31 + payload['start']} of 90 along axis 0")


@pytest.mark.parametrize("shape", [(300, 200, 150), (600, 600, 4), (40, 500, 500)])
def test_large_volumes_are_cut_to_a_box_around_the_slice_with_the_largest_roi(shape: tuple[int, int, int]) -> None:
    labels = np.zeros(shape, np.uint8)
    labels[10:-10, 10:-10, 1:-1] = 1
    labels[:, :, -1] = 1
    zeros = np.zeros((1, *shape), np.uint8)
    shown = Shown(zeros, labels, labels > 0, (1, 1, 1), (0, 255), 4, axis=2)
    payload = volume_payload("a", shown, [Changed("protected", zeros)])
    assert np.prod(payload["size"]) <= VOXELS and min(payload["size"]) >= min(4, *shape)
    assert payload["first"][2] + payload["start"] == shape[2] - 1
    assert all(
        first + size <= whole
        for first, size, whole in zip(*(payload[k] for k in ("first", "size", "whole")), strict=True)
    )


def test_a_page_has_room_for_a_few_volumes() -> None:
    shown, after = make((40, 40, 40))
    room = ViewRoom(cases=2, most=150_000)
    changed = [Changed("protected", after, "difference")]
    first = room.volume("a", shown, changed)
    assert first["size"] != [40, 40, 40]  # noise takes more than half of the room: a smaller box does
    assert 150_000 - room.left == len(first["regions"]) + sum(len(panel["data"]) for panel in first["panels"]) <= 75_000
    assert room.volume("b", shown, changed)["kind"] == "volume" and room.volume("c", shown, changed) == {}
    assert ViewRoom(cases=1, most=1000).volume("a", shown, changed) == {}


def test_the_same_case_gives_the_same_text() -> None:
    shown, after = make()
    one, two = (json.dumps(volume_payload("a", shown, [Changed("b", after, "c")])) for _ in range(2))
    assert one == two


def test_a_hostile_name_stays_data() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    text = render_text('{% from "parts.html.j2" import payload %}{{ payload("v", content) }}', content={"title": evil})
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 1 and "<img" not in text
    assert json.loads(re.search(r">(.*)<", text, re.S).group(1))["title"] == evil  # type: ignore[union-attr]
