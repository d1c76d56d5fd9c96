# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from umed.core.errors import BudgetError, ConfigError, GeometryError
from umed.core.keyfile import Key
from umed.data.files import sha256
from umed.monai.transforms import Protect, ProtectD, Protectd, ProtectDict
from umed.protect.run import protect

MAKERS: list[Callable[[Any], Any]] = [
    np.asarray,
    torch.as_tensor,
    lambda x: MetaTensor(torch.as_tensor(x), meta={"a": 1}),
]


def case(dims: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (24,) * dims
    label = np.zeros(shape, np.uint8)
    label[(slice(8, 16),) * dims] = 1
    return rng.integers(0, 200, (2, *shape)).astype(dtype), label


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_type_dtype_and_bound(make: Callable[[Any], Any], dims: int, dtype: str) -> None:
    image, label = case(dims, dtype)
    given = make(image.copy())
    done = Protect(method="random", range=(0, 255))(given, make(label[None]))
    assert type(done) is type(given) and done.dtype == given.dtype and done.shape == given.shape
    if isinstance(done, MetaTensor):
        assert done.meta["a"] == 1
    moved = np.asarray(done, dtype=np.float64) - image
    assert np.array_equal(np.asarray(given), image), "the input must not change"
    assert 0 < np.abs(moved).max() <= 4
    far = np.ones(label.shape, bool)
    far[(slice(4, 20),) * dims] = False
    assert not moved[:, far].any()


def test_key_and_case_id_decide_alone(tmp_path: Path) -> None:
    image, label = case(2, "uint8")
    keys = [tmp_path / "a.key", tmp_path / "b.key"]
    for key in keys:
        Key.create(key)
    transform = Protect(method="random", range="dtype", key=keys[0])
    first = transform(image, label, case_id="a")
    assert np.array_equal(first, Protect(method="random", range="dtype", key=keys[0])(image, label, case_id="a"))
    assert not np.array_equal(first, transform(image, label, case_id="b"))
    for key in (keys[1], None):  # without a key file: a random key
        other = Protect(method="random", range="dtype", key=key)
        assert not np.array_equal(first, other(image, label, case_id="a"))
        assert np.array_equal(other(image, label, case_id="a"), other(image, label, case_id="a"))


def test_same_bytes_as_protect(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", method="random", range=[-160, 240], report=False)
    name = "phantom_002"
    image, written = (
        np.asarray(nib.load(root / f"imagesTr/{name}.nii.gz").dataobj) for root in (phantom, tmp_path / "out")
    )
    label = np.asarray(nib.load(phantom / f"labelsTr/{name}.nii.gz").dataobj)
    private = tmp_path / "out-private"
    release = json.loads((private / "release.json").read_text())["release"]
    same = Protect(method="random", range=(-160, 240), key=private / "release.key", release_id=release)
    case_id = f"{name}/{sha256(phantom / f'imagesTr/{name}.nii.gz')}"
    assert np.array_equal(same(image[None], label, case_id=case_id)[0], written)


def test_empty_label_changes_nothing() -> None:
    image, label = case(2, "uint8")
    assert np.array_equal(Protect(method="random", range="dtype")(image, np.zeros_like(label)), image)


def test_dictionary(tmp_path: Path) -> None:
    image, label = case(2, "uint8")
    data = {"image": image, "label": label, "name": "a", "other": 1}
    key = tmp_path / "a.key"
    Key.create(key)
    transform = Protectd(
        ["image", "absent"], case_id_key="name", allow_missing_keys=True, method="random", range="dtype", key=key
    )
    done = transform(data)
    assert done["other"] == 1 and done["label"] is label and data["image"] is image
    assert np.array_equal(done["image"], Protect(method="random", range="dtype", key=key)(image, label, case_id="a"))
    assert ProtectD is ProtectDict is Protectd


def test_exceptions() -> None:
    image, label = case(2, "uint8")
    with pytest.raises(GeometryError, match=r"got \(2, 24, 24\) and \(23, 24\)"):
        Protect(method="random", range="dtype")(image, label[1:])
    with pytest.raises(ConfigError, match="umed learns; expected a folder"):
        Protect()
    with pytest.raises(ConfigError, match="'auto'"):
        Protect(method="random", range="auto")
    with pytest.raises(ConfigError, match="Did you mean 'method_options'"):
        Protect(method="random", method_option={})
    with pytest.raises(BudgetError, match="epsilon"):
        Protect(method="random", range=(0, 1))(image, label)
