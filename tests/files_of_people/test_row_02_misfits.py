# SPDX-License-Identifier: Apache-2.0
"""Row 2: a case whose values do not fit the range of the others is refused, with what was seen; the rest is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.range_files import Array, ct, decathlon, protect, record, run


def rescaled(low: float, high: float, dtype: type) -> Array:
    """A CT brought from -1024..3071 to another scale."""
    return np.rint(ct(9) * 1.0) * 0 + ((ct(9) + 1024.0) / 4095 * (high - low) + low).astype(dtype)


MISFITS: dict[str, Callable[[], Array]] = {
    "0 to 1": lambda: rescaled(0, 1, np.float32).astype(np.float32),
    "-1 to 1": lambda: rescaled(-1, 1, np.float32).astype(np.float32),
    "z-scores": lambda: ((ct(9) - ct(9).mean()) / ct(9).std()).astype(np.float32),
    "8 bits": lambda: np.clip((ct(9) + 160) * 255 / 400, 0, 255).astype(np.uint8),
    "no intercept": lambda: (ct(9) + 1100).astype(np.int16),
    "16 bits": lambda: ((ct(9) + 1100.0) * 12 + 3000).astype(np.uint16),
}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("kind", MISFITS)
def test_a_misfit_among_ct_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, declared: bool
) -> None:
    cases = {"a": ct(0), "b": ct(1), "c": ct(2), "x": MISFITS[kind]()}
    root, out = decathlon(tmp_path / "in", {"0": "CT"} if declared else {}, cases), tmp_path / "out"
    code, said = protect(capsys, root, out)
    assert code == 3, said
    assert "3 protected, 1 failed" in said and "failed: x:" in said
    assert "where the other cases reach from -10" in said, said
    assert sorted(path.name for path in (out / "imagesTr").iterdir()) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    assert run(capsys, "verify", root, out)[0] == 0
    code, said = run(capsys, "inspect", root)
    assert [line.split()[0] for line in said.splitlines() if " refuse " in line] == ["x"]


def test_a_misfit_that_the_plan_did_not_look_at_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {f"c{number:02d}": ct(number) for number in range(12)} | {"c01": MISFITS["0 to 1"]()}
    root = decathlon(tmp_path / "in", {"0": "CT"}, cases)
    code, said = protect(capsys, root, tmp_path / "out")
    assert code == 3 and "11 protected, 1 failed" in said and "failed: c01:" in said


def test_a_ct_that_fits_without_air_or_as_floats_is_protected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {"a": ct(0), "b": ct(1), "crop": np.clip(ct(2), -150, 300), "floats": ct(3).astype(np.float32) + 0.25}
    root = decathlon(tmp_path / "in", {}, cases)
    assert protect(capsys, root, tmp_path / "out")[0] == 0
    assert record(tmp_path / "out")["plan"]["range"] == [-160.0, 240.0]


def test_a_set_that_is_half_ct_is_not_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = decathlon(tmp_path / "in", {}, {"a": ct(0), "b": MISFITS["0 to 1"]()})
    code, said = protect(capsys, root, tmp_path / "out")
    assert code == 2 and "1 of 2 cases look like CT, 1 do not" in said and "--range" in said
    assert not (tmp_path / "out").exists()
    assert "mixed data set" in run(capsys, "inspect", root)[1]
    assert protect(capsys, root, tmp_path / "each", "--range", "percentile")[0] == 0
    code, said = protect(capsys, root, tmp_path / "soft", "--range", "ct:soft")
    assert code == 3 and "failed: b:" in said


def test_a_declared_ct_that_is_never_in_hu_takes_percentiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = decathlon(tmp_path / "in", {"0": "CT"}, {"a": MISFITS["0 to 1"](), "b": MISFITS["0 to 1"]() / 2})
    code, said = run(capsys, "plan", root, "--method", "checkerboard")
    assert code == 0 and "dataset.json says CT, but values from" in said and "are no Hounsfield units" in said
    assert protect(capsys, root, tmp_path / "out")[0] == 0
    assert record(tmp_path / "out")["plan"]["range"] == "percentile"


def test_pet_of_any_scale_takes_its_own_percentiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.range_files import pet

    cases = {"a": pet(0), "b": pet(1, 1e4), "c": pet(2, 1e-3)}
    assert protect(capsys, decathlon(tmp_path / "in", {"0": "PET"}, cases), tmp_path / "out")[0] == 0


@pytest.mark.parametrize("pixels", ["floats", "levels"])
def test_a_picture_on_another_scale_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], pixels: str) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 24), np.uint8)
    mask[6:18, 6:18] = 255
    for number in range(4):
        values = rng.integers(20, 230, (24, 24)).astype(np.uint8)
        ending = "png"
        if number == 3:
            values = (values / 255).astype(np.float32) if pixels == "floats" else values // 128
            ending = "tif"
        for folder, array, name in (("images", values, f"p{number}.{ending}"), ("masks", mask, f"p{number}.png")):
            (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "in" / folder / name)
    code, said = protect(capsys, tmp_path / "in", tmp_path / "out")
    assert code == 3 and "3 protected, 1 failed" in said and "failed: p3:" in said, said
    assert record(tmp_path / "out")["plan"]["range"] == "dtype"


def test_twelve_bits_in_sixteen_are_not_full_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 24), np.uint8)
    mask[6:18, 6:18] = 255
    for folder, array in (("images", rng.integers(0, 4096, (24, 24)).astype(np.uint16)), ("masks", mask)):
        (tmp_path / "in" / folder).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "in" / folder / "p.png")
    assert protect(capsys, tmp_path / "in", tmp_path / "out")[0] == 0
    assert record(tmp_path / "out")["plan"]["range"] == "percentile"
    before, after = (np.asarray(Image.open(one / "images/p.png"), float) for one in (tmp_path / "in", tmp_path / "out"))
    assert 0 < np.abs(after - before).max() <= 4 / 255 * 4096
