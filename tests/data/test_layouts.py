# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from umed.core.errors import InputError
from umed.data.layouts import INDEX, find_dataset, index_files, write_index


def edit(root, **changes):
    index = json.loads((root / "dataset.json").read_text())
    index.update(changes)
    (root / "dataset.json").write_text(json.dumps(index))
    return root


def test_decathlon(tmp_path, make_decathlon):
    root = make_decathlon(tmp_path / "Task99")
    (root / "imagesTr" / "._case_000.nii.gz").write_bytes(b"macOS")
    (root / "LICENSE").write_text("CC0")
    dataset = find_dataset(root)
    assert dataset.layout == "decathlon" and dataset.modality == ("MRI",) and not dataset.problems
    assert [case.id for case in dataset.cases] == ["case_000", "case_001", "case_002", "case_900"]
    first, test = dataset.cases[0], dataset.cases[-1]
    assert first.images == first.outputs == (Path("imagesTr/case_000.nii.gz"),)
    assert first.labels == (Path("labelsTr/case_000.nii.gz"),) and test.labels == ()
    assert dataset.split == {"case_900"} and dataset.sidecars == (Path("LICENSE"),)


def test_index_lists_exactly_the_released(tmp_path, make_decathlon):
    root = make_decathlon(tmp_path / "in")
    dataset = find_dataset(root)
    everything = {case.id for case in dataset.cases}
    assert index_files(dataset, everything)[INDEX] == (root / "dataset.json").read_bytes()
    write_index(dataset, {"case_001"}, tmp_path / "out")
    index = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [entry["image"] for entry in index["training"]] == ["./imagesTr/case_001.nii.gz"]
    assert index["test"] == [] and index["numTraining"] == 1 and index["numTest"] == 0
    assert index["labels"] == {"0": "background", "1": "shell", "2": "core"}


@pytest.mark.parametrize("name", ["../outside.nii.gz", "/etc/x.nii.gz", "imagesTr/../../x.nii.gz", "umed/x.nii.gz"])
def test_paths_that_lead_out_are_refused(tmp_path, make_decathlon, name):
    root = make_decathlon(tmp_path / "in", test=False)
    good = {"image": "imagesTr/case_000.nii.gz", "label": "labelsTr/case_000.nii.gz"}
    for bad in ({**good, "image": name}, {"image": "imagesTr/case_001.nii.gz", "label": name}):
        dataset = find_dataset(edit(root, training=[good, bad]))
        assert [case.id for case in dataset.cases] == ["case_000"]
        assert any("expected a" in reason for _, reason in dataset.problems)


def test_links_that_lead_out_are_refused(tmp_path, make_pairs):
    root = make_pairs(tmp_path / "in", cases=2)
    (tmp_path / "secret.png").write_bytes((root / "images" / "photo_0.png").read_bytes())
    (root / "images" / "photo_0.png").unlink()
    (root / "images" / "photo_0.png").symlink_to(tmp_path / "secret.png")
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["photo_1"] and "leads out" in dataset.problems[0][1]


def test_unlisted_and_malformed_entries_are_problems(tmp_path, make_decathlon):
    root = make_decathlon(tmp_path / "in", test=False)
    dataset = find_dataset(edit(root, training=[{"image": "imagesTr/case_000.nii.gz"}, {"label": 3}, 7]))
    assert dataset.cases[0].labels == ()
    names = {name for name, _ in dataset.problems}
    assert {"dataset.json", "imagesTr/case_001.nii.gz", "labelsTr/case_001.nii.gz"} <= names


def test_nnunet(tmp_path, make_nnunet):
    root = make_nnunet(tmp_path / "Dataset001_X", cases=2)
    (root / "labelsTr" / "lost.nii.gz").write_bytes(b"")
    (root / "imagesTr" / "half_0001.nii.gz").write_bytes(b"")
    dataset = find_dataset(root)
    assert dataset.layout == "nnunet" and dataset.modality == ("T1", "T2")
    assert dataset.cases[0].images == (Path("imagesTr/BRATS_000_0000.nii.gz"), Path("imagesTr/BRATS_000_0001.nii.gz"))
    assert dict(dataset.problems)["labelsTr/lost.nii.gz"] == "is a label without an image"
    assert "2 channels" in dict(dataset.problems)["imagesTr/half_0001.nii.gz"]
    index = json.loads(index_files(dataset, {"BRATS_000"})[INDEX])
    assert index["numTraining"] == 1 and index["file_ending"] == ".nii.gz"


def test_pairs(tmp_path, make_pairs):
    root = make_pairs(tmp_path / "in", ending=".jpg")
    dataset = find_dataset(root)
    assert dataset.layout == "pairs" and index_files(dataset, set()) == {}
    assert dataset.cases[0].outputs == (Path("images/photo_0.png"),)
    assert dataset.cases[0].labels == (Path("masks/photo_0_segmentation.png"),)


def test_pairs_collisions_and_orphans(tmp_path, make_pairs):
    root = make_pairs(tmp_path / "in")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / "images" / "photo_0.jpg")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / "masks" / "lost.png")
    (root / "images" / "scan.dcm").write_bytes(b"")
    dataset = find_dataset(root)
    problems = dict(dataset.problems)
    assert "photo_0" not in {case.id for case in dataset.cases}
    assert "photo_0.jpg, images/photo_0.png" in problems["images/photo_0.jpg"]
    assert problems["masks/lost.png"] == "is a mask without an image"


def test_unsafe_names_become_safe_ids(tmp_path, make_pairs):
    root = make_pairs(tmp_path / "in", cases=1)
    for folder, old in (("images", "photo_0.png"), ("masks", "photo_0_segmentation.png")):
        (root / folder / old).rename(root / folder / "a b;ü.png")
    assert find_dataset(root).cases[0].id == "a_b_ü"


def test_nothing_found_lists_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match="nnU-Net.*Decathlon.*images/"):
        find_dataset(tmp_path)
    with pytest.raises(InputError, match="got nothing"):
        find_dataset(tmp_path / "absent")
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        find_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text('{"training": []}')
    with pytest.raises(InputError, match="expected cases"):
        find_dataset(tmp_path)


def test_real_folders(shared_data):
    assert len(find_dataset(shared_data / "Task04_Hippocampus").cases) == 260
    isic = find_dataset(shared_data / "isic_600")
    assert len(isic.cases) == 600 and not isic.problems
