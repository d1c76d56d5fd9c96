# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from umed.core.errors import InputError
from umed.dicom.masks import layers

SHAPE = (5, 6, 7)


def some(seed, source, classes):
    rng = np.random.default_rng(seed)
    volume = rng.choice([0, 0, 0, *classes], SHAPE).astype(np.int16)
    volume[[0, 4]] = 0
    return volume, layers.build(source, {n: f"{source}{n}" for n in classes}, SHAPE, enumerate(volume))


def test_what_goes_in_comes_out():
    volume, mask = some(0, "a", (3, 9))
    assert np.array_equal(mask.slices(0, 5), volume) and mask.slices(0, 5).dtype == np.int16
    assert np.array_equal(mask.slices(2, 4), volume[2:4]) and mask.slices(3, 3).shape == (0, 6, 7)
    assert mask.extent == (1, 4) and mask.packed[0] == b"" and dict(mask.classes) == {3: "a3", 9: "a9"}
    assert layers.build("e", {1: "x"}, SHAPE, []).extent == (0, 0)


def test_a_slice_that_comes_twice_keeps_the_higher_class():
    first, second = np.zeros(SHAPE[1:], np.int16), np.zeros(SHAPE[1:], np.int16)
    first[:3], second[2:5] = 2, 1
    mask = layers.build("a", {1: "x", 2: "y"}, SHAPE, [(1, first), (1, second)])
    assert np.array_equal(mask.slices(1, 2)[0], np.maximum(first, second))


def test_merge_renumbers_in_order_and_keeps_the_union():
    (one, a), (two, b) = some(1, "a", (4, 7)), some(2, "b", (1,))
    merged = layers.merge([a, b])
    assert dict(merged.classes) == {1: "a4", 2: "a7", 3: "b1"} and merged.source == "a, b"
    expected = np.maximum(np.select([one == 4, one == 7], [1, 2], 0), np.where(two == 1, 3, 0))
    assert np.array_equal(merged.slices(0, 5), expected)
    assert layers.merge([a]) is a


def test_too_many_classes():
    wide = layers.Mask("w", {n: "" for n in range(1, 20000)}, SHAPE, (b"",) * 5)
    with pytest.raises(InputError, match="at most 32767 classes for one series, got 39998"):
        layers.merge([wide, wide])


def test_a_thousand_slices_stay_small():
    plane = np.zeros((512, 512), np.int16)
    plane[100:300, 150:400] = 5
    mask = layers.build("a", {5: "x"}, (100, 512, 512), ((k, plane) for k in range(100)))
    assert sum(map(len, mask.packed)) < 100 * 8192
