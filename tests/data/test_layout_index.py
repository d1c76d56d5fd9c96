# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.layout_files import cases_of, lay, names, write_json
from umed.core.errors import InputError
from umed.data.layouts import INDEX, find_dataset, index_files

V2: dict[str, Any] = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}


def colour(path: Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (24, 20) if mode == "L" else (24, 20, len(mode))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)).save(path)


def test_one_picture_may_hold_several_channels(tmp_path: Path) -> None:
    root = lay(tmp_path, "labelsTr/a.png=1", "labelsTr/b.png=1", "labelsTr/c.png=1")
    for name, mode in (("a_0000", "RGB"), ("b_0000", "L"), ("c_0000", "L"), ("c_0001", "L"), ("c_0002", "L")):
        colour(root / "imagesTr" / f"{name}.png", mode)
    index = {**V2, "channel_names": {"0": "R", "1": "G", "2": "B"}, "file_ending": ".png"}
    write_json(root / INDEX, {**index, "overwrite_image_reader_writer": "NaturalImage2DIO"})
    dataset = find_dataset(root)
    assert {case.id: len(case.images) for case in dataset.cases} == {"a": 1, "c": 3}
    assert dict(dataset.problems) == {
        name: "expected 3 channels from _0000 on, got _0000" for name in ("imagesTr/b_0000.png", "labelsTr/b.png")
    }


def test_regions_and_an_ignore_label_are_read_and_kept(tmp_path: Path) -> None:
    root = lay(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz=2", "imagesTs/t_0000.nii.gz")
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    write_json(root / INDEX, {**V2, "labels": labels, "regions_class_order": [1, 2]})
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["a", "t"] and dataset.split == {"t"} and not dataset.problems
    assert json.loads(index_files(dataset, {"a"})[INDEX])["labels"] == labels


@pytest.mark.parametrize("absolute", [False, True])
def test_a_dataset_entry_says_where_files_lie(tmp_path: Path, absolute: bool) -> None:
    root = lay(tmp_path / "in", "x/a.nii.gz", "y/a.nii.gz=1", "x/b.nii.gz", "y/b.nii.gz=1", "x/c.nii.gz")
    front = f"{root}/" if absolute else ""
    entries = {n: {"images": [f"{front}x/{n}.nii.gz"], "label": f"{front}y/{n}.nii.gz"} for n in "ab"}
    write_json(root / INDEX, {**V2, "dataset": entries})
    dataset = find_dataset(root)
    assert cases_of(dataset)["a"] == (["x/a.nii.gz"], ["y/a.nii.gz"], ())
    assert [name for name, _ in dataset.problems] == ["x/c.nii.gz"]
    text = index_files(dataset, {"a"})[INDEX].decode()
    assert json.loads(text)["dataset"] == {"a": {"images": ["x/a.nii.gz"], "label": "y/a.nii.gz"}}
    assert str(tmp_path) not in text


def test_version_1_names_files_without_the_channel(tmp_path: Path) -> None:
    files = [f"imagesTr/{n}_000{k}.nii.gz" for n in "ab" for k in (0, 1)]
    root = lay(
        tmp_path, *files, "imagesTr/c_0000.nii.gz", *(f"labelsTr/{n}.nii.gz=1" for n in "abc"), "imagesTs/t_0000.nii.gz"
    )
    lay(root, "imagesTs/t_0001.nii.gz")
    training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "abc"]
    index = {
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "background", "1": "a"},
        "numTraining": 3,
        "numTest": 1,
    }
    write_json(root / INDEX, {**index, "training": training, "test": ["./imagesTs/t.nii.gz"]})
    dataset = find_dataset(root)
    assert dataset.layout == "nnunet_v1" and dataset.modality == ("T1", "T2") and dataset.split == {"t"}
    assert cases_of(dataset)["a"] == (files[:2], ["labelsTr/a.nii.gz"], ())
    assert "expected 2 channels from _0000 on, got c_0000.nii.gz" in dict(dataset.problems)["imagesTr/c_0000.nii.gz"]
    assert "labelsTr/c.nii.gz" in dict(dataset.problems)
    after = json.loads(index_files(dataset, {"a"})[INDEX])
    assert after["training"] == training[:1] and after["numTraining"] == 1 and after["test"] == []


def test_absolute_paths_into_the_data_set_are_accepted_and_not_released(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz=1")
    entry = {"image": f"{root}/imagesTr/a.nii.gz", "label": f"{root}/labelsTr/a.nii.gz"}
    outside = {"image": f"{tmp_path}/a.nii.gz", "label": f"{root}/labelsTr/a.nii.gz"}
    write_json(root / INDEX, {"training": [entry, outside]})
    dataset = find_dataset(root)
    assert cases_of(dataset) == {"a": (["imagesTr/a.nii.gz"], ["labelsTr/a.nii.gz"], ())}
    assert any("leads out of it" in reason for _, reason in dataset.problems)
    after = json.loads(index_files(dataset, {"a"})[INDEX])["training"]
    assert after == [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]


def test_a_link_as_root_does_not_make_absolute_paths_lead_out(tmp_path: Path) -> None:
    root = lay(tmp_path / "real", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz=1")
    (tmp_path / "link").symlink_to(root)
    for name in ("real", "link"):
        entry = {part: f"{tmp_path}/{name}/{part}sTr/a.nii.gz" for part in ("image", "label")}
        write_json(root / INDEX, {"training": [entry]})
        for folder in ("real", "link") if name == "real" else ("link",):
            assert names(find_dataset(tmp_path / folder).cases[0].images) == ["imagesTr/a.nii.gz"]


def test_an_index_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    root = lay(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz=1", "other/a.nii.gz=1")
    entry = {"image": "imagesTr/a_0000.nii.gz", "label": "other/a.nii.gz"}
    write_json(root / INDEX, {**V2, "training": [entry]})
    with pytest.raises(InputError, match=r"got labelsTr/a\.nii\.gz \(nnunet\) and other/a\.nii\.gz \(decathlon\)"):
        find_dataset(root)
