# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from umed.report.pictures import Picture, draw_case, outline


def pixels(uri: str) -> np.ndarray:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def draw(shape: tuple[int, ...], channels: int = 1, **options: object) -> tuple[Picture, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    original = rng.uniform(0, 100, (channels, *shape))
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1
    protected = original + 2.0 * (labels > 0)
    settings: dict[str, object] = {"window": (0.0, 100.0), "amplitude": 2.0} | options
    return draw_case(original, protected, labels, labels > 0, **settings), original, labels  # type: ignore[arg-type]


def test_grey_picture_shows_the_window() -> None:
    picture, original, labels = draw((40, 30))
    assert picture.size == (30, 40)
    assert np.array_equal(pixels(picture.original), np.rint(255 * original[0] / 100).astype(np.uint8))
    moved = pixels(picture.difference)
    assert np.array_equal(moved[labels > 0], np.broadcast_to([255, 122, 24], (int(labels.sum()), 3)))
    assert len(np.unique(moved[labels == 0], axis=0)) == 1
    assert picture.factor == 50


def test_colour_picture_keeps_its_channels() -> None:
    picture, original, labels = draw((20, 24), channels=3)
    assert pixels(picture.original).shape == (20, 24, 3)
    difference = pixels(picture.difference)
    assert (difference[labels > 0] == 255).all() and (difference[labels == 0] == 128).all()
    assert picture.factor == 25  # 2 of 100 are drawn as half the scale


def test_volume_shows_the_slice_with_the_largest_roi() -> None:
    labels = np.zeros((20, 30, 8), np.int16)
    labels[5:9, 5:9, 2] = 1
    labels[4:12, 6:20, 5] = 1
    original = np.zeros((1, *labels.shape))
    original[0, :, :, 5] = 100
    picture = draw_case(original, original, labels, labels > 0, window=(0, 100), amplitude=1)
    assert picture.place.startswith("slice 6 of 8 along axis 2")
    assert picture.size == (20, 30) and (pixels(picture.original) == 255).all()
    assert draw_case(original, original, labels, labels > 0, window=(0, 100), amplitude=1, axis=0).size == (30, 8)


def test_small_roi_in_a_large_picture_is_cropped_and_kept_inside() -> None:
    labels = np.zeros((1200, 900), np.int16)
    labels[1180:1200, 0:15] = 1
    original = np.zeros((1, *labels.shape))
    picture = draw_case(original, original + labels, labels, labels > 0, window=(0, 1), amplitude=1)
    assert "cropped to rows" in picture.place and max(picture.size) <= 64
    assert (pixels(picture.difference)[..., 0] == 255).sum() == labels.sum()


def test_large_roi_in_a_large_picture_is_thinned() -> None:
    picture, _, _ = draw((2000, 1600))
    assert max(picture.size) <= 512


def test_values_that_are_not_finite_are_drawn_black() -> None:
    labels = np.ones((8, 8), np.int16)
    original = np.full((1, 8, 8), np.nan)
    picture = draw_case(original, original, labels, labels > 0, window=(0, 1), amplitude=1)
    assert (pixels(picture.original) == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_outline_has_the_length_of_all_borders(seed: int) -> None:
    regions = np.random.default_rng(seed).integers(0, 3, (9, 13))
    length = 0
    for x, y, direction, end in re.findall(r"M(\d+) (\d+)([HV])(\d+)", outline(regions)):
        length += int(end) - int(x if direction == "H" else y)
    assert length == (regions[1:] != regions[:-1]).sum() + (regions[:, 1:] != regions[:, :-1]).sum()


def test_outline_of_one_region_is_empty() -> None:
    assert outline(np.zeros((4, 4))) == ""
