# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from umed.core.errors import GeometryError
from umed.data.formats import read
from umed.data.masks import read_labels


def picture(path: Path, values: list[list[int]]) -> Path:
    Image.fromarray(np.array(values, np.uint8)).save(path)
    return path


def test_maps_are_united_and_the_largest_class_counts_where_they_overlap(tmp_path: Path) -> None:
    volume = read(picture(tmp_path / "image.png", [[9, 9, 9, 9]]))
    maps = [picture(tmp_path / "a.png", [[1, 3, 0, 0]]), picture(tmp_path / "b.png", [[2, 2, 2, 0]])]
    for paths in (maps, maps[::-1]):
        assert read_labels(paths, (), volume).tolist() == [[2, 3, 2, 0]]
    assert read_labels(maps[:1], (), volume).tolist() == [[1, 3, 0, 0]]


def test_a_file_that_is_one_class_counts_wherever_it_labels(tmp_path: Path) -> None:
    volume = read(picture(tmp_path / "image.png", [[9, 9, 9, 9]]))
    files = [picture(tmp_path / "liver.png", [[255, 255, 0, 0]]), picture(tmp_path / "spleen.png", [[0, 1, 1, 0]])]
    assert read_labels(files, (7, 3), volume).tolist() == [[7, 7, 3, 0]]
    assert read_labels(files[1:], (300,), volume).tolist() == [[0, 300, 300, 0]]


def test_each_file_must_lie_on_the_grid_of_the_image(tmp_path: Path) -> None:
    volume = read(picture(tmp_path / "image.png", [[9, 9]]))
    good, bad = picture(tmp_path / "a.png", [[1, 0]]), picture(tmp_path / "b.png", [[1, 0, 0]])
    with pytest.raises(GeometryError, match=r"b\.png: expected the grid of image\.png"):
        read_labels([good, bad], (), volume)
