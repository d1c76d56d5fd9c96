# SPDX-License-Identifier: Apache-2.0
"""The computed pictures of skin: the same from the same seed, with a lesion in each that no threshold finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from umed.core.errors import ConfigError, InputError
from umed.data.layouts import find_dataset
from umed.data.skin_phantom import SMALLEST, make_picture, make_skin_phantom


def test_a_picture_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    few, many = (make_skin_phantom(tmp_path / str(n), cases=n, size=32) for n in (2, 3))
    other = make_skin_phantom(tmp_path / "other", cases=2, size=32, seed=1)
    for folder in ("images", "masks"):
        assert [path.name for path in sorted((few / folder).iterdir())] == ["skin_000.png", "skin_001.png"]
        one, same, third = (root / folder / "skin_001.png" for root in (few, many, other))
        assert one.read_bytes() == same.read_bytes() != third.read_bytes()


def test_umed_reads_it_as_pairs_of_pictures(tmp_path: Path) -> None:
    dataset = find_dataset(make_skin_phantom(tmp_path / "skin", cases=3, size=40))
    assert [case.id for case in dataset.cases] == ["skin_000", "skin_001", "skin_002"]
    assert all(len(case.images) == 1 and case.labels for case in dataset.cases)
    assert np.asarray(Image.open(tmp_path / "skin/images/skin_000.png")).shape == (40, 40, 3)


def test_every_lesion_has_a_size_that_counts_and_no_threshold_finds_it() -> None:
    best = []
    for number in range(12):
        image, mask = make_picture(np.random.default_rng((0, number)), 64)
        assert image.dtype == mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
        lesion = mask > 0
        assert 0.03 < lesion.mean() < 0.35
        dark = -image.mean(axis=2)
        assert dark[lesion].mean() > dark[~lesion].mean()
        found = dark > np.quantile(dark, 1 - lesion.mean())  # it even knows how large the lesion is
        best.append(2 * (found & lesion).sum() / (found.sum() + lesion.sum()))
    assert 0.3 < np.mean(best) < 0.8


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    for words in ({"cases": 0}, {"size": SMALLEST - 1}):
        with pytest.raises(ConfigError, match="expected at least 1 case of at least 32 px"):
            make_skin_phantom(tmp_path / "new", **words)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        make_skin_phantom(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
