# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from umed.core.errors import ConfigError, InputError
from umed.data.phantom import LABELS, make_case, make_phantom

SIZE = (32, 32, 24)


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    assert digests(make_phantom(tmp_path / "a", cases=2, size=SIZE)) == digests(
        make_phantom(tmp_path / "b", cases=2, size=SIZE)
    )


def test_other_seed_other_images(tmp_path: Path) -> None:
    first, second = (digests(make_phantom(tmp_path / str(seed), cases=1, seed=seed, size=SIZE)) for seed in (0, 1))
    assert first["imagesTr/phantom_000.nii.gz"] != second["imagesTr/phantom_000.nii.gz"]


def test_first_cases_do_not_depend_on_how_many_follow(tmp_path: Path) -> None:
    few, many = (digests(make_phantom(tmp_path / str(n), cases=n, size=SIZE)) for n in (1, 3))
    assert few["imagesTr/phantom_000.nii.gz"] == many["imagesTr/phantom_000.nii.gz"]


def test_an_earlier_phantom_is_replaced_as_a_whole(tmp_path: Path) -> None:
    make_phantom(tmp_path / "a", cases=3, size=SIZE)
    assert digests(make_phantom(tmp_path / "a", cases=1, size=SIZE)) == digests(
        make_phantom(tmp_path / "b", cases=1, size=SIZE)
    )
    (tmp_path / "a" / "dataset.json").unlink()  # as a killed run leaves it
    assert digests(make_phantom(tmp_path / "a", cases=1, size=SIZE)) == digests(tmp_path / "b")


@pytest.mark.parametrize("name", ["dataset.json", "imagesTr/mine.nii.gz", "notes.txt"])
def test_other_data_are_never_written_over(name: str, tmp_path: Path) -> None:
    make_phantom(tmp_path, cases=1, size=SIZE)
    (tmp_path / name).write_text('{"name": "Task04_Hippocampus"}')
    before = digests(tmp_path)
    with pytest.raises(InputError, match=rf"got '{Path(name).name}'. Pick another folder"):
        make_phantom(tmp_path, cases=1, seed=1, size=SIZE)
    assert digests(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(InputError, match="expected a new folder"):
        make_phantom(tmp_path / "a", cases=1, size=SIZE)


def test_is_a_decathlon_data_set_of_ct(tmp_path: Path) -> None:
    root = make_phantom(tmp_path / "new" / "folder", cases=3, size=SIZE)
    index = json.loads((root / "dataset.json").read_text())
    assert index["modality"] == {"0": "CT"} and index["labels"] == LABELS
    assert index["numTraining"] == len(index["training"]) == 3
    for entry in index["training"]:
        image, label = (nib.load(root / entry[key]) for key in ("image", "label"))
        assert image.shape == label.shape == SIZE
        assert image.get_data_dtype() == np.int16 and label.get_data_dtype() == np.uint8
        assert np.array_equal(image.affine, label.affine)
        assert all(1.5 <= spacing <= 2 for spacing in image.header.get_zooms())
        assert image.header.get_xyzt_units()[0] == "mm"


def test_every_class_is_there_and_values_are_hounsfield() -> None:
    for seed in range(4):
        image, label, _ = make_case(np.random.default_rng(seed), (48, 48, 32))
        assert set(np.unique(label)) == {0, 1, 2, 3}
        assert image.min() == -1024 and 200 < image.max() <= 3071
        assert 40 < image[label == 1].mean() < 130
        assert image[label == 2].mean() > image[label == 1].mean() > image[label == 3].mean()


def test_no_threshold_segments_it() -> None:
    """The best window of intensities, found with the labels at hand, stays far from what a network reaches."""
    drawn = [make_case(np.random.default_rng(seed), (48, 48, 32))[:2] for seed in range(4)]
    image, label = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
    for value, most in ((1, 0.7), (2, 0.7), (3, 0.3)):
        organ = label == value
        scores = [
            2 * ((chosen := (image > low) & (image < low + width)) & organ).sum() / (chosen.sum() + organ.sum())
            for low in range(-20, 200, 10)
            for width in (20, 40, 80, 120, 200)
        ]
        assert max(scores) < most


@pytest.mark.parametrize("wrong", [{"cases": 0}, {"size": (8, 48, 48)}, {"size": (48, 48)}])
def test_refuses(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="make_phantom: expected"):
        make_phantom(tmp_path, **wrong)  # type: ignore[arg-type]
