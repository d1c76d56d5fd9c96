# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.plan.noise_ratio import psnr
from umed.core.errors import BudgetError, ConfigError
from umed.core.types import Encoding, Volume
from umed.data import formats, png
from umed.plan.budget import (
    Budget,
    apply,
    insert,
    make_budget,
    resolve_range,
    scale_for_psnr,
    straight_through,
    to_unit,
)
from umed.plan.metrics import different


def volume(stored, slope=1.0, inter=0.0, unit="mm", channels_last=False, alpha=False):
    stored = np.asarray(stored)
    encoding = Encoding(stored.dtype.str, slope, inter)
    spacing = (1.0,) * (stored.ndim - channels_last)
    return Volume(stored, encoding, spacing, unit, channels_last, Path("scan.nii"), alpha)


def promises(before, after, support, budget):
    """What must hold for stored values ``(C, *spatial)``, written without umed's own checks."""
    old, new = before.astype(np.float64), after.astype(np.float64)
    moved = different(before, after)
    assert not (moved & ~support).any()
    assert np.isfinite(old[moved]).all()
    assert (np.abs(new[moved] - old[moved]) <= budget.bound_stored).all()
    for values in (old[moved], new[moved]):
        assert (values >= budget.low).all() and (values <= budget.high).all()
    if budget.steps is not None:
        assert (new == np.rint(new)).all() and budget.bound_stored == budget.steps >= 1


def attempt(source, epsilon, value_range):
    try:
        return make_budget(source, epsilon=epsilon, range=value_range)
    except BudgetError as error:
        assert "expected" in str(error) and "got" in str(error)
        return None


DTYPES = ["|u1", "|i1", "<i2", ">i2", "<u2", "<i4", ">u4", "<f4", ">f4", "<f8", "<i8", "<u8"]
RANGES = st.one_of(
    st.sampled_from(["auto", "percentile", "dtype", "ct:soft", "ct:full"]),
    st.tuples(st.floats(-1e4, 0), st.floats(1, 1e5)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), dtype=st.sampled_from(DTYPES), epsilon=st.floats(1e-4, 1), value_range=RANGES)
def test_bound_holds_after_nifti_round_trip(data, dtype, epsilon, value_range):
    slope = data.draw(st.sampled_from([1.0, 0.5, -2.0, 1e-3, 37.7]))
    inter = data.draw(st.sampled_from([0.0, -1024.0, 0.3]))
    shape = data.draw(st.sampled_from([(4, 3, 2), (3, 3, 2, 2)]))
    array = data.draw(hnp.arrays(np.dtype(dtype), shape))
    direction = data.draw(
        hnp.arrays(np.float32, (shape[3] if len(shape) == 4 else 1, *shape[:3]), elements=st.floats(-2, 2, width=32))
    )
    support = data.draw(hnp.arrays(bool, shape[:3]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nii"
        with np.errstate(all="ignore"):
            image = nibabel.Nifti1Image(array, np.eye(4), dtype=array.dtype)
            nibabel.save(image, path)
        raw = bytearray(path.read_bytes())
        order = ">" if dtype[0] == ">" else "<"
        header = nibabel.Nifti1Header(endianness=order)
        header.set_data_dtype(np.dtype(dtype))
        header.set_data_shape(shape)
        header["scl_slope"], header["scl_inter"], header["vox_offset"], header["magic"] = slope, inter, 352, b"n+1"
        raw = header.binaryblock + bytes(4) + array.tobytes(order="F")
        path.write_bytes(raw)
        source = formats.read(path)
        budget = attempt(source, epsilon, value_range)
        if budget is None:
            return
        box = (slice(None),) * 3
        changed = apply(source.channels, direction, support, budget, source.encoding)
        formats.write(source, insert(source, box, changed), Path(folder) / "b.nii")
        written = formats.read(Path(folder) / "b.nii")
        assert (Path(folder) / "b.nii").read_bytes()[:352] == raw[:352]
        promises(source.channels, written.channels, support, budget)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["u1", "u2"]), samples=st.integers(1, 4), epsilon=st.floats(1e-4, 1))
def test_bound_holds_after_png_round_trip(data, dtype, samples, epsilon):
    shape = (5, 4) if samples == 1 else (5, 4, samples)
    array = data.draw(hnp.arrays(np.dtype(dtype), shape))
    value_range = data.draw(st.sampled_from(["auto", "percentile", "dtype", (10.0, 200.0)]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(png.encode(array))
        source = formats.read(path)
        budget = attempt(source, epsilon, value_range)
        if budget is None:
            return
        shape = source.channels.shape
        direction = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
        support = data.draw(hnp.arrays(bool, shape[1:]))
        changed = apply(source.channels, direction, support, budget, source.encoding)
        formats.write(source, insert(source, (slice(None), slice(None)), changed), Path(folder) / "b.png")
        written = formats.read(Path(folder) / "b.png")
        promises(source.channels, written.channels, support, budget)
        if source.alpha:
            assert np.array_equal(source.stored[..., -1], written.stored[..., -1])


def test_four_of_255_is_four_steps():
    budget = make_budget(volume(np.zeros((4, 4), np.uint8), unit="px"), epsilon=4 / 255)
    assert budget == Budget(4, 4.0, 0.0, 255.0, (0.0, 255.0)) and budget.peak == 255


@pytest.mark.parametrize(("slope", "steps"), [(1.0, 6), (0.5, 12), (-0.25, 25), (2.0, 3)])
def test_steps_follow_the_slope(slope, steps):
    source = volume(np.zeros((4, 4, 4), np.int16), slope=slope, inter=-1024)
    budget = make_budget(source, epsilon=4 / 255, range="ct:soft")
    assert budget.steps == steps
    ends = sorted(end * slope - 1024 for end in (budget.low, budget.high))
    assert ends == [-160, 240]


def test_below_one_step_says_what_works():
    source = volume(np.zeros((4, 4), np.int16))
    with pytest.raises(BudgetError) as caught:
        make_budget(source, epsilon=4 / 255, range=(0, 50))
    words = str(caught.value)
    assert "scan.nii" in words and "epsilon >= 0.02" in words and "at least 63.75 wide" in words
    assert make_budget(source, epsilon=0.02, range=(0, 50)).steps == 1
    assert make_budget(source, epsilon=4 / 255, range=(0, 63.75)).steps == 1


def test_float_below_precision_is_refused():
    with pytest.raises(BudgetError, match="float precision"):
        make_budget(volume(np.full((3, 3), 1e7, np.float32)), epsilon=0.001, range=(1e7, 1e7 + 2))


@pytest.mark.parametrize(
    ("epsilon", "value_range"), [(0, "auto"), (2, "auto"), (0.1, "ct:softt"), (0.1, (5, 1)), (0.1, "window")]
)
def test_bad_settings(epsilon, value_range):
    with pytest.raises(ConfigError, match="expected"):
        make_budget(volume(np.arange(16, dtype=np.uint8).reshape(4, 4)), epsilon=epsilon, range=value_range)


def test_percentiles_ignore_nan_and_constant_images_are_refused():
    stored = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    stored[0, 0, :5] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    low, high = resolve_range(volume(stored), "percentile", (0, 100))
    assert (low, high) == (5, 999)
    with pytest.raises(BudgetError, match="values that differ"):
        resolve_range(volume(np.ones((3, 3), np.float32)), "percentile")
    with pytest.raises(BudgetError, match="finite"):
        resolve_range(volume(np.full((3, 3), np.nan)), "percentile")


def test_percentiles_of_a_large_volume_are_sampled():
    stored = np.random.default_rng(0).normal(0, 1, (256, 256, 80)).astype(np.float32)
    low, high = resolve_range(volume(stored), "percentile", (0.5, 99.5))
    assert abs(low + 2.576) < 0.02 and abs(high - 2.576) < 0.02


def test_bits_stored_limit_the_range():
    source = Volume(np.full((2, 2), 4095, np.uint16), Encoding("<u2", bits=12), (1.0, 1.0), "px", False, Path("a.dcm"))
    budget = make_budget(source, epsilon=0.01, range="dtype")
    assert budget.high == 4095
    up = apply(source.channels, np.ones((1, 2, 2), np.float32), np.ones((2, 2), bool), budget, source.encoding)
    assert up.max() == 4095


def test_to_unit():
    source = volume(np.array([[-2000, -160, 40, 240, 3000]], np.int16))
    budget = make_budget(source, epsilon=0.1, range="ct:soft")
    assert np.allclose(to_unit(source.channels, source.encoding, budget), [[[0, 0, 0.5, 1, 1]]], atol=1e-6)
    odd = volume(np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32))
    unit = to_unit(odd.channels, odd.encoding, make_budget(odd, epsilon=0.1, range=(0, 2)))
    assert unit.dtype == np.float32 and unit.tolist() == [[[0, 1, 0, 0.5]]]


def test_apply_rejects_what_a_broken_method_returns():
    source = volume(np.zeros((3, 3), np.uint8))
    budget = make_budget(source, epsilon=0.1, range="dtype")
    support = np.ones((3, 3), bool)
    with pytest.raises(BudgetError, match="finite"):
        apply(source.channels, np.full((1, 3, 3), np.nan, np.float32), support, budget, source.encoding)
    with pytest.raises(BudgetError, match="shape"):
        apply(source.channels, np.zeros((2, 3, 3), np.float32), support, budget, source.encoding)


def test_insert_keeps_memory_order_and_alpha():
    stored = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    source = volume(stored, channels_last=True, alpha=True)
    box = (slice(1, 3), slice(2, 4))
    new = insert(source, box, np.zeros((3, 2, 2), np.uint8))
    assert np.array_equal(new[..., 3], stored[..., 3]) and not new[1:3, 2:4, :3].any()
    fortran = volume(np.asfortranarray(np.ones((3, 4, 5), np.int16)))
    assert insert(fortran, (slice(0, 1),) * 3, np.zeros((1, 1, 1, 1), np.int16)).flags.f_contiguous


def test_straight_through_rounds_with_gradient():
    torch = pytest.importorskip("torch")
    direction = torch.tensor([0.1, 0.4, -0.9], requires_grad=True)
    rounded = straight_through(direction, 4)
    rounded.sum().backward()
    assert (rounded * 4).tolist() == [0, 2, -4] and direction.grad.tolist() == [1, 1, 1]
    assert straight_through(direction, None) is direction


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), target=st.floats(30, 60), dtype=st.sampled_from(["<i2", "<f4"]))
def test_psnr_target_is_reached_with_the_largest_factor(seed, target, dtype):
    rng = np.random.default_rng(seed)
    source = volume(rng.integers(0, 1000, (12, 12)).astype(dtype))
    budget = make_budget(source, epsilon=0.05, range=(0, 1000))
    direction = rng.uniform(-1, 1, (1, 12, 12)).astype(np.float32)
    support = rng.random((12, 12)) < 0.5
    args = (source.channels, direction, support, budget, source.encoding)
    factor, reached = scale_for_psnr(*args, target=target, values=144)

    def quality(scale):
        changed = apply(source.channels, direction * np.float32(scale), *args[2:])
        return psnr(source.channels, changed, peak=budget.peak)

    assert math.isclose(quality(factor), reached) and reached >= target
    assert factor == 1 or quality(min(1, factor * 1.001)) < target


def test_psnr_target_out_of_reach_is_an_error():
    source = volume(np.full((4, 4), 100, np.uint8))
    budget = make_budget(source, epsilon=0.05, range="dtype")
    with pytest.raises(BudgetError, match="Lower psnr_target"):
        scale_for_psnr(
            source.channels,
            np.ones((1, 4, 4), np.float32),
            np.ones((4, 4), bool),
            budget,
            source.encoding,
            target=90,
            values=16,
        )


def test_values_whose_range_no_float_can_hold_are_refused(tmp_path):
    """Stored values near the largest float times a slope: the bound would be infinite, and 0 times it no number."""
    stored = np.zeros((4, 3, 2))
    stored[0, 0, 0] = 4.8e306
    volume = Volume(stored, Encoding("<f8", 37.7, 0.0), (1.0, 1.0, 1.0), "mm", False, tmp_path / "a.nii")
    with pytest.raises(BudgetError, match="expected a range that the file can hold, got .*inf"):
        make_budget(volume, epsilon=1.0, range="percentile", percentiles=(0.0, 100.0))
