# SPDX-License-Identifier: Apache-2.0
"""The difference between original and published values: exact for every type, never larger than it should unpack to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from umed.core.errors import InputError
from umed.unlock import residual
from umed.unlock.residual import pack_difference, unpack_difference

TYPES = ("u1", "i1", "<u2", ">u2", "<i2", ">i2", "<i4", ">u4", "<i8", "<f4", ">f4", "<f8", ">f8")


@st.composite
def pairs(draw):
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=6))
    values = arrays.arrays(dtype, shape)  # of floats also NaN, infinity and both zeros
    return draw(values), draw(values)


@settings(deadline=None, max_examples=150)
@given(pairs())
def test_any_pair_of_values_comes_back_bit_for_bit(pair):
    original, published = pair
    back = unpack_difference(pack_difference(original, published), published)
    assert back.dtype.str == original.dtype.str and back.shape == original.shape
    assert back.tobytes() == original.tobytes()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(1e-6, 1e6), st.integers(-4, 4))
def test_floats_on_a_grid_come_back_bit_for_bit(seed, step, offset):
    draw = np.random.default_rng(seed)
    places = draw.integers(0, 900, (7, 6, 5))
    original = ((places + offset) * step).astype("<f4")
    published = ((places + offset + draw.integers(-3, 4, places.shape)) * step).astype("<f4")
    assert unpack_difference(pack_difference(original, published), published).tobytes() == original.tobytes()


def test_a_payload_nan_stays_the_same_nan():
    original = np.array([0x7FA00001, 0xFFC12345, 0x7F800000, 0x80000000], "<u4").view("<f4")
    published = np.array([1.0, 2.0, 3.0, 4.0], "<f4")
    for order in "<>":
        bits = (original.view("<u4"), published.view("<u4"))
        one, two = (values.astype(f"{order}u4").view(f"{order}f4") for values in bits)
        assert unpack_difference(pack_difference(one, two), two).tobytes() == one.tobytes()


def test_a_code_on_a_grid_of_floats_costs_hardly_more_than_one_of_whole_numbers():
    draw = np.random.default_rng(0)
    places, code = draw.integers(0, 800, (40, 40, 20)), np.zeros((40, 40, 20), int)
    code[10:30, 10:30] = draw.choice([-2, 2], (20, 20, 20))
    whole = len(pack_difference((places + code).astype("<i2"), places.astype("<i2")))
    floats = [(one * 1.3471).astype("<f4") for one in (places + code, places)]
    assert len(pack_difference(*floats)) < 1.4 * whole + 100
    assert whole < 20 * 20 * 20 / 8 * 1.6  # about a bit for each value that moved


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_difference_is_refused_or_says_something_of_the_same_size(data):
    values = np.arange(600, dtype="<i2").reshape(20, 30)
    packed = bytearray(pack_difference(values + (values % 3).astype("<i2"), values))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(packed)))
    for damaged in (bytes(packed), bytes(packed[:cut])):
        try:
            found = unpack_difference(damaged, values)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert found.shape == values.shape and found.dtype == values.dtype


def test_a_plane_that_would_unpack_to_more_is_refused_before_it_does():
    small, zeros, ones = np.zeros(10, "u1"), np.zeros(50_000_000, "u1"), np.ones(50_000_000, "u1")
    with pytest.raises(InputError, match="not of 10 values"):
        unpack_difference(pack_difference(ones, zeros), small)


@pytest.mark.parametrize("dtype", ["<i2", ">f4"])
def test_a_volume_of_many_chunks_comes_back_bit_for_bit(dtype, monkeypatch):
    monkeypatch.setattr(residual, "_CHUNK", 64)
    draw = np.random.default_rng(0)
    published = (draw.integers(0, 500, (20, 11, 9)) * 0.75).astype(dtype)
    original = published.copy()
    original[15:] = (original[15:] + draw.integers(-2, 3, original[15:].shape) * 0.75).astype(dtype)
    packed = pack_difference(original, published)
    assert unpack_difference(packed, published).tobytes() == original.tobytes()
    monkeypatch.undo()
    assert pack_difference(original, published) == packed
