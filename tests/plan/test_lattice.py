# SPDX-License-Identifier: Apache-2.0
"""Noise must not tell itself apart by arithmetic: a file that uses a coarse grid of values keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from umed.plan.budget import make_budget
from umed.plan.lattice import find_lattice
from umed.protect.run import protect
from umed.protect.verify import verify


def grid(step: float, origin: float, count: int, dtype: str) -> np.ndarray:
    return (origin + step * np.arange(count)).astype(dtype)


@given(
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
    st.integers(3, 400),
    st.integers(1, 9),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_floats_stay_on_their_grid_within_the_bound(
    step: float, origin: float, count: int, most: int, seed: int, weak: bool
) -> None:
    levels = grid(step, origin, count, "f4")
    if len(np.unique(levels)) < count or np.spacing(np.abs(levels).max()) > 1e-4 * step:
        return
    rng = np.random.default_rng(seed)
    old = rng.choice(levels, 500)
    found = find_lattice(levels, most * step * 1.01)
    assert found is not None and found.step == pytest.approx(step, rel=1e-3)
    bounds = np.where(rng.random(500) < 0.5, most * step * 1.01, step * 1.01) if weak else None
    ends = (float(levels[0]), float(levels[-1]))
    new = found.move(old, rng.uniform(-1, 1, 500), most * step * 1.01, bounds, ends)
    assert set(new.tolist()) <= set(levels.tolist())
    assert (np.abs(new.astype(np.float64) - old) <= (most * step * 1.01 if bounds is None else bounds)).all()


def test_what_has_no_grid_of_its_own_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    assert find_lattice(rng.normal(size=1000).astype("f4"), 1.0) is None
    assert find_lattice(np.arange(256, dtype="u1"), 4) is None
    assert find_lattice(np.full(9, 3, "i2"), 4) is None
    assert find_lattice(np.array([np.nan, np.inf, 1.0], "f4"), 4) is None
    assert find_lattice(grid(1, 0, 50, "f4"), 0.45) is None  # coarser than the bound
    assert find_lattice(np.array([0, 2**62, 2**63 - 1], "i8"), 4) is None


@pytest.mark.parametrize(("bound", "moved"), [(1.6, 1.5), (2.2, 2), (0.7, 0.5), (2.6, 2.5)])
def test_floats_move_by_half_steps_where_a_whole_one_would_break_the_bound(bound: float, moved: float) -> None:
    levels = grid(0.37, 11, 200, "f4")
    old = np.tile(levels[50:150], 2)
    found = find_lattice(levels, bound * 0.37)
    assert found is not None
    up, down = np.split(found.move(old, np.repeat([1.0, -1.0], 100), bound * 0.37, None, (11, 84)), 2)
    np.testing.assert_allclose((up - old[:100]) / 0.37, moved, rtol=1e-4)
    np.testing.assert_allclose((down - old[100:]) / 0.37, -moved, rtol=1e-4)
    shift = round(2 * moved)  # the same values come from above and from below, bit for bit: no sign can be read off
    np.testing.assert_array_equal(up[:-shift], down[shift:])


def test_one_odd_value_does_not_hide_the_grid_and_stays_as_it_is() -> None:
    old = np.random.default_rng(0).integers(0, 200, 4000).astype("f4")
    old[7] = 3.123
    found = find_lattice(old, 3.0)
    assert found is not None and found.step == 1
    new = found.move(old, np.ones(4000), 3.0, None, (0, 199))
    assert new[7] == old[7] and not (new[:7] % 1).any() and (new[:7] != old[:7]).any()
    assert find_lattice(np.random.default_rng(1).normal(size=4000).astype("f4"), 3.0) is None


def test_a_grid_coarser_than_the_bound_is_refused_and_the_epsilon_that_is_named_works(pictures, tmp_path) -> None:
    root = pictures(count=2)
    for path in (root / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 17 * 17).save(path)
    result = protect(root, tmp_path / "out", method="random")
    reasons = [case.reason for case in result.outcomes if case.status == "failed"]
    assert len(reasons) == 2 and "steps of 17" in reasons[0] and result.exit_code != 0
    epsilon = reasons[0].split("epsilon >= ")[1].split(",")[0]
    assert protect(root, tmp_path / "again", method="random", epsilon=float(epsilon)).exit_code == 0


@pytest.mark.parametrize("method", ["random", "umed"])
def test_a_float_volume_of_few_values_is_released_with_the_same_values(
    phantom: Path, tmp_path: Path, method: str
) -> None:
    for path in (phantom / "imagesTr").iterdir():
        image = nib.load(path)
        values = (np.asarray(image.dataobj) * 0.37 + 11).astype(np.float32)
        nib.save(nib.Nifti1Image(values, image.affine), path)
    options = {"training": {"iterations": 1, "batch_size": 1}} if method == "umed" else {}
    assert protect(phantom, tmp_path / "out", method=method, **options).exit_code == 0
    assert verify(phantom, tmp_path / "out").ok and verify(phantom, tmp_path / "out", promise={"radius": 3}).ok
    for path in (phantom / "imagesTr").iterdir():
        old, new = (np.asarray(nib.load(root / path.name).dataobj) for root in (path.parent, tmp_path / "out/imagesTr"))
        steps = 2 * (new.astype(np.float64) - old) / 0.37
        assert np.abs(steps - np.rint(steps)).max() < 1e-3 and (old != new).any()
        whole = np.rint(steps) % 2 == 0
        assert np.isin(new[whole], old).mean() > 0.98  # bit for bit what the file had


def test_an_8_bit_picture_of_16_bits_moves_by_whole_grey_values(pictures: Callable[..., Path], tmp_path: Path) -> None:
    root = pictures(count=2)
    for path in (root / "images").iterdir():
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path)
    assert protect(root, tmp_path / "out", method="random").exit_code == 0 and verify(root, tmp_path / "out").ok
    for path in (root / "images").iterdir():
        new = np.asarray(Image.open(tmp_path / "out/images" / path.name))
        assert not (new % 257).any() and (new != np.asarray(Image.open(path))).any()


def test_the_budget_knows_the_grid(phantom: Path) -> None:
    from umed.data import formats

    volume = formats.read(next((phantom / "imagesTr").iterdir()))
    assert make_budget(volume, epsilon=4 / 255, range=(-160, 240)).lattice is None  # whole numbers, as its type holds
