# SPDX-License-Identifier: Apache-2.0
"""``umed inspect`` and ``--dry-run`` end with the code that a run ends with."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.files_of_people.every_command import call
from tests.layout_files import lay


def _image(path: Path, values: np.ndarray, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([1.0, 1, 2, 1]))
    image.header["descrip"] = text.encode()
    nibabel.save(image, path)


def _empty(root: Path, *names: str) -> None:
    for name in names:
        lay(root, f"images/{name}.nii.gz")
        _image(root / f"masks/{name}.nii.gz", np.zeros((24, 20, 6), np.uint8))


def _constant(root: Path) -> None:
    lay(root, "masks/flat.nii.gz=1")
    _image(root / "images/flat.nii.gz", np.full((24, 20, 6), 7, np.int16))


def _not_a_number(root: Path) -> None:
    lay(root, "masks/nan.nii.gz=1")
    _image(root / "images/nan.nii.gz", np.full((24, 20, 6), np.nan, np.float32))


def _weak(root: Path) -> None:
    """A hot spot that fills the mask of one case, far above percentile 99.5."""
    mask = np.zeros((24, 20, 6), np.uint8)
    mask[3:5, 3:5, 2] = 1
    values = np.random.default_rng(0).normal(5, 1, mask.shape).astype(np.float32)
    values[mask > 0] += 500
    _image(root / "images/hot.nii.gz", values)
    _image(root / "masks/hot.nii.gz", mask)


def _named(root: Path) -> None:
    lay(root, "masks/n.nii.gz=1")
    _image(root / "images/n.nii.gz", np.random.default_rng(0).integers(0, 99, (24, 20, 6)).astype(np.int16), "Roe^Jane")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (lambda root: _empty(root, "d"), 0),
        (lambda root: _empty(root, "d", "e", "f"), 3),
        (_constant, 3),
        (_not_a_number, 3),
        (_weak, 3),
        (_named, 3),
    ],
    ids=["an empty mask", "most masks empty", "a constant image", "an image of NaN", "a weak case", "a name"],
)
def test_both_end_as_the_run_does(tmp_path: Path, kind: object, code: int) -> None:
    root = lay(tmp_path / "in", *(f"images/{one}.nii.gz" for one in "ab"), *(f"masks/{one}.nii.gz=1" for one in "ab"))
    kind(root)  # type: ignore[operator]
    words = ["protect", str(root), str(tmp_path / "out"), "--method", "checkerboard", "--quiet"]
    codes = [call(["inspect", str(root), "--quiet"]).code, call([*words, "--dry-run"]).code, call(words).code]
    assert codes == [code] * 3


def test_all_end_with_1_where_nothing_would_be_protected(tmp_path: Path) -> None:
    _empty(tmp_path / "in", "a", "b")
    root = tmp_path / "in"
    words = ["protect", str(root), str(tmp_path / "out"), "--method", "checkerboard", "--quiet"]
    codes = [call(["inspect", str(root), "--quiet"]).code, call([*words, "--dry-run"]).code, call(words).code]
    assert codes == [1] * 3


def test_slices_of_nan_are_no_originals(tmp_path: Path) -> None:
    """Padding of NaN in two images is no slice of one in the other."""
    root = lay(tmp_path / "in", "masks/a.nii.gz=1", "masks/b.nii.gz=1")
    mask = np.zeros((24, 20, 6), np.uint8)
    mask[2:12, 3:11] = 1
    for number, name in enumerate("ab"):
        values = np.random.default_rng(number).normal(100, 20, mask.shape).astype(np.float32)
        values[3] = np.nan
        _image(root / f"images/{name}.nii.gz", values)
        _image(root / f"masks/{name}.nii.gz", mask)
    said = call(["protect", str(root), str(tmp_path / "out"), "--method", "checkerboard", "--quiet"])
    assert said.code == 0, said.out
    assert call(["check-release", str(tmp_path / "out"), "--original", str(root), "--quiet"]).code == 0
