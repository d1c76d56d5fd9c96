# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from umed.benchmark.data import (
    Split,
    labelled_ids,
    load_samples,
    normalise,
    resized_pictures,
    split_cases,
    subset_dataset,
)
from umed.errors import InputError
from umed.sample import make_phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("data") / "phantom", cases=8, size=(24, 24, 16))


def test_split_is_disjoint_complete_and_depends_on_the_set_alone() -> None:
    ids = [f"case_{k}" for k in range(40)]
    split = split_cases(ids, seed=3)
    assert sorted(split.train + split.validation + split.test) == sorted(ids)
    assert (len(split.train), len(split.validation), len(split.test)) == (27, 3, 10)
    assert split_cases(ids[::-1], seed=3) == split
    assert split_cases(ids, seed=4) != split


def test_split_refuses_a_case_in_two_parts() -> None:
    with pytest.raises(InputError, match="two parts"):
        Split(("a", "b"), ("c",), ("a",))
    with pytest.raises(InputError, match="at least 4"):
        split_cases(["a", "b", "c"])


def test_samples_hold_physical_values_and_labels(phantom: Path) -> None:
    samples = load_samples(phantom)
    assert len(samples.ids) == 8 and samples.classes == 4
    assert samples.images[0].shape == (1, 24, 24, 16) and samples.images[0].dtype == torch.float32
    assert (samples.images[0].min(), samples.images[0].max()) == (-160, 240)  # HU, the window of soft tissue
    assert samples.labels[0].shape == (24, 24, 16)
    with pytest.raises(InputError, match="nobody"):
        load_samples(phantom, ["nobody"])


def test_pick_keeps_pairs_together(phantom: Path) -> None:
    samples = load_samples(phantom)
    wanted = (samples.ids[5], samples.ids[2])
    picked = samples.pick(wanted)
    assert picked.ids == (samples.ids[2], samples.ids[5])
    assert picked.images[1] is samples.images[5] and picked.labels[1] is samples.labels[5]
    with pytest.raises(InputError, match="missing"):
        samples.pick(["nobody"])


def test_normalised_images_have_mean_0_and_spread_1(phantom: Path) -> None:
    for image in normalise(load_samples(phantom)).images:
        assert abs(float(image.mean())) < 1e-4 and abs(float(image.std()) - 1) < 1e-3


def test_subset_holds_the_wanted_cases_and_nothing_else(phantom: Path, tmp_path: Path) -> None:
    ids = labelled_ids(phantom)[:3]
    out = subset_dataset(phantom, ids, tmp_path / "subset")
    assert labelled_ids(out) == ids
    assert len(list((out / "imagesTr").iterdir())) == 3
    before, after = load_samples(phantom, ids), load_samples(out)
    assert all(torch.equal(a, b) for a, b in zip(before.images, after.images, strict=True))


def test_pairs_of_pictures_are_read_as_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for k in range(4):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), np.uint8)).save(tmp_path / "images" / f"p{k}.png")
        Image.fromarray((rng.random((20, 24)) > 0.5).astype(np.uint8) * 255).save(tmp_path / "masks" / f"p{k}.png")
    samples = load_samples(tmp_path)
    assert samples.images[0].shape == (3, 20, 24) and samples.classes == 2
    small = load_samples(resized_pictures(tmp_path, 12, tmp_path.with_name("small")))
    assert small.ids == samples.ids and small.images[0].shape == (3, 12, 12)
    assert set(small.labels[0].unique().tolist()) == {0, 1}
