# SPDX-License-Identifier: Apache-2.0
"""Every mistake in a prompts file is named with its place, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from umed.core.errors import InputError
from umed.propose.prompts_file import Extent, Prompt, check_ids, check_prompts, read_prompts

BOX = [1, 2, 5, 6]


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_boxes_points_and_both_are_read_as_they_are_written(tmp_path: Path) -> None:
    entries = [{"box": BOX}, {"points": [[3, 4], [0.5, 0]], "marks": [1, 0], "label": 2, "slice": 0}]
    both = {"box": BOX, "points": [[3, 4]]}
    found = read_prompts(write(tmp_path, {"a": entries, "b": [both]}), label=7)
    assert found.cases["a"] == (
        Prompt(7, None, (1.0, 2.0, 5.0, 6.0)),
        Prompt(2, 0, None, ((3.0, 4.0), (0.5, 0.0)), (1, 0)),
    )
    assert found.cases["b"] == (Prompt(7, None, (1.0, 2.0, 5.0, 6.0), ((3.0, 4.0),), (1,)),)
    assert [prompt.kind for case in found.cases.values() for prompt in case] == ["box", "points", "box and points"]
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected JSON, got: an empty file"),
        ("{", "expected JSON, got: "),
        ('{"a": [{"box": [0, 0, NaN, 1]}]}', "NaN, which is no JSON"),
        ('{"a": [], "a": []}', "the key 'a' twice"),
        ('{"a": [{"box": [1, 2, 5, 6], "box": [1, 2, 5, 6]}]}', "the key 'box' twice"),
        ("[" * 100_000, "expected JSON, got: "),
        ([], "expected an object of case ids, got list"),
        ({}, "expected at least one case, got none"),
        ({"a": {"box": BOX}}, "case 'a': expected a list of prompts, got dict"),
        ({"a": []}, "case 'a': expected a list of prompts, got an empty one"),
        ({"a": [BOX]}, "entry 1: expected an object with box or points, got list"),
        ({"a": [{"box": BOX}, {"bx": BOX}]}, "entry 2: expected keys .*got 'bx'.*Did you mean 'box'"),
        ({"a": [{"label": 1}]}, "expected a box, points or both, got neither"),
        ({"a": [{"box": BOX, "label": 0}]}, "label: expected a whole number from 1 to 255, got 0"),
        ({"a": [{"box": BOX, "label": 256}]}, "from 1 to 255, got 256"),
        ({"a": [{"box": BOX, "label": True}]}, "from 1 to 255, got true"),
        ({"a": [{"box": BOX, "label": 1.5}]}, "from 1 to 255, got 1.5"),
        ({"a": [{"box": BOX, "slice": -1}]}, "slice: expected a whole number from 0 on, got -1"),
        ({"a": [{"box": BOX, "slice": None}]}, "slice: expected a whole number from 0 on, got null"),
        ({"a": [{"box": [1, 2, 3]}]}, "box: expected four numbers"),
        ({"a": [{"box": [1, 2, 3, "4"]}]}, "box: expected four numbers"),
        ('{"a": [{"box": [0, 0, 1e999, 1]}]}', "box: expected four numbers"),
        ({"a": [{"box": [-1, 2, 3, 4]}]}, "corners from 0 on, got \\[-1, 2, 3, 4\\]"),
        ({"a": [{"box": [3, 2, 3, 4]}]}, "x0 < x1 and y0 < y1"),
        ({"a": [{"box": [1, 4, 3, 2]}]}, "x0 < x1 and y0 < y1"),
        ({"a": [{"points": []}]}, "points: expected a list of \\[x, y\\], at least one"),
        ({"a": [{"points": [[1, 2, 3]]}]}, "points: expected a list of \\[x, y\\]"),
        ({"a": [{"points": [[1, -2]]}]}, "points: expected numbers from 0 on, got \\[1, -2\\]"),
        ({"a": [{"points": [[1, 2]], "marks": [1, 0]}]}, "marks: expected 1 of 0 or 1"),
        ({"a": [{"points": [[1, 2]], "marks": [2]}]}, "marks: expected 1 of 0 or 1"),
        ({"a": [{"points": [[1, 2]], "marks": [0]}]}, "marks: expected at least one 1 without a box"),
        ({"a": [{"box": BOX, "marks": [1]}]}, "marks: expected points beside them"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"prompts.json.*{message}"):
        read_prompts(write(tmp_path, content))


def test_no_file_is_told_from_the_word_grid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a prompts file or the word grid, got nothing"):
        read_prompts(tmp_path / "grdi")


FLAT, DEEP = Extent(20, 10, None), Extent(20, 10, 4)


@pytest.mark.parametrize(
    ("entry", "extent", "message"),
    [
        ({"box": [0, 0, 21, 5]}, FLAT, "box: expected one inside 20 x 10 px .*got \\[0, 0, 21, 5\\]"),
        ({"box": [0, 0, 5, 11]}, FLAT, "box: expected one inside 20 x 10 px"),
        ({"points": [[5, 5], [20, 5]]}, FLAT, "points: expected points inside 20 x 10 px .*got \\[20, 5\\]"),
        ({"points": [[5, 10]]}, FLAT, "points: expected points inside 20 x 10 px .*got \\[5, 10\\]"),
        ({"box": BOX, "slice": 0}, FLAT, "slice: expected none for a flat picture, got 0"),
        ({"box": BOX}, DEEP, "slice: expected 0 to 3 for a volume, got none"),
        ({"box": BOX, "slice": 4}, DEEP, "slice: expected 0 to 3, got 4"),
    ],
)
def test_prompts_outside_their_image_are_named(
    tmp_path: Path, entry: dict[str, Any], extent: Extent, message: str
) -> None:
    good = {"box": [0, 0, 20, 10], **({} if extent.slices is None else {"slice": 3})}
    prompts = read_prompts(write(tmp_path, {"a": [good, entry]}))
    with pytest.raises(InputError, match=f"case 'a', entry 2: {message}"):
        check_prompts(prompts, "a", extent)


def test_the_whole_image_may_be_boxed(tmp_path: Path) -> None:
    prompts = read_prompts(write(tmp_path, {"a": [{"box": [0, 0, 20, 10]}, {"points": [[19.9, 9.9]]}]}))
    check_prompts(prompts, "a", FLAT)


def test_ids_must_be_those_of_images_without_masks(tmp_path: Path) -> None:
    prompts = read_prompts(write(tmp_path, {"phto_1": [{"box": BOX}]}))
    with pytest.raises(InputError, match="'phto_1': expected the id of an image .*Did you mean 'photo_1'"):
        check_ids(prompts, ["photo_1"])
    with pytest.raises(InputError, match="expected an image without a mask, got one that has a mask"):
        check_ids(prompts, ["phto_1"], ["phto_1"])
    check_ids(prompts, ["phto_1"])
