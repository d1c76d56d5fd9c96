# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from umed.benchmark.grid.case_split import (
    class_names,
    labelled_ids,
    resized_pictures,
    subset_dataset,
)
from umed.benchmark.victims.case_tensors import load_samples, window_of
from umed.core.errors import InputError
from umed.data.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("data") / "phantom", cases=8, size=(24, 24, 16))


def test_samples_hold_physical_values_and_labels(phantom: Path) -> None:
    samples = load_samples(phantom)
    assert len(samples.ids) == 8 and samples.classes == 4
    assert samples.images[0].shape == (1, 24, 24, 16) and samples.images[0].dtype == torch.float32
    assert samples.images[0].min() == -1024 and samples.images[0].max() > 400  # HU
    soft = samples.clip(window_of(samples))
    assert (soft.images[0].min(), soft.images[0].max()) == (-160, 240) and soft.scales == (400.0,) * 8
    assert soft.clip(None) is soft and window_of(soft) is None
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


def test_samples_know_their_scale_their_spacing_and_their_classes(phantom: Path) -> None:
    samples = load_samples(phantom)
    assert len(set(samples.scales)) > 1 and samples.unit == "mm"  # each image's own percentiles
    assert len(samples.spacings) == 8 and all(len(spacing) == 3 for spacing in samples.spacings)
    assert class_names(phantom, 4) == ("liver", "kidney", "lesion")
    assert class_names(phantom / "imagesTr", 3) == ("1", "2")
    doubled = samples.map(lambda image, scale: image * 2 + scale, lambda label: label[::2])
    assert torch.equal(doubled.images[3], samples.images[3] * 2 + samples.scales[3])
    assert doubled.labels[0].shape[0] == 12 and doubled.truths is samples.labels
    again = doubled.pick(samples.ids[:2]).map(lambda image, scale: image, lambda label: label)
    assert again.truths is not None and torch.equal(again.truths[1], samples.labels[1]) and len(again.scales) == 2


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
    assert samples.scales == (255.0,) * 4 and samples.unit == "px"
    small = load_samples(resized_pictures(tmp_path, 12, tmp_path.with_name("small")))
    assert small.ids == samples.ids and small.images[0].shape == (3, 12, 12)
    assert set(small.labels[0].unique().tolist()) == {0, 1}
