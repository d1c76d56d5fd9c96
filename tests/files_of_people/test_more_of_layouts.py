# SPDX-License-Identifier: Apache-2.0
"""More of the kinds of rows 4, 12 and 16: indexes that were passed over, names of other languages, other suffixes."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.files_of_people.every_command import call
from tests.layout_files import cases_of, lay, write_json
from tests.layout_runs import moved_only_inside, protect_and_prove
from umed.data import formats
from umed.data.case_collector import case_id
from umed.data.layouts import find_dataset

IGNORING = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1, "ignore": 9}, "file_ending": ".nii.gz"}


def _raw(root: Path, cases: int = 2) -> Path:
    """nnU-Net raw whose first columns are to be ignored."""
    for number in range(cases):
        lay(root, f"imagesTr/c{number}_0000.nii.gz", f"labelsTr/c{number}.nii.gz=1")
        path = root / f"labelsTr/c{number}.nii.gz"
        label = nibabel.load(path)
        values = np.asarray(label.dataobj).copy()
        values[19:] = 9
        nibabel.save(nibabel.Nifti1Image(values, label.affine, label.header), path)
    return root


def test_the_ignore_label_of_an_index_with_a_byte_order_mark_is_never_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _raw(tmp_path / "in")
    (root / "dataset.json").write_text(json.dumps({**IGNORING, "numTraining": 2}), encoding="utf-8-sig")
    assert protect_and_prove(root, tmp_path / "out", capsys).code == 0
    for number in range(2):
        name = f"imagesTr/c{number}_0000.nii.gz"
        moved = formats.read(root / name).stored != formats.read(tmp_path / "out" / name).stored
        assert moved.any()
        assert not moved[19:].any()


@pytest.mark.parametrize("folders", [["Task"], ["Dataset001_A", "Dataset002_B"]])
def test_an_index_below_input_is_not_passed_over(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        write_json(_raw(tmp_path / "in" / folder) / "dataset.json", IGNORING)
    for command in ("protect", "inspect"):
        out = [str(tmp_path / "out")] if command == "protect" else []
        said = call([command, str(tmp_path / "in"), *out, "--quiet"])
        assert said.code == 1
        assert f"got {len(folders)} below it" in said.err
        assert all(folder in said.err for folder in folders)
        assert "Give umed such a folder" in said.err
    assert not (tmp_path / "out").exists()
    assert len(find_dataset(tmp_path / "in" / folders[0]).cases) == 2


def test_a_broken_index_below_input_is_not_passed_over_and_a_picture_of_its_name_is_none(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "images/a.png", "masks/a.png=1")
    (root / "masks/dataset.json").write_bytes((root / "images/a.png").read_bytes())
    assert [case.id for case in find_dataset(root).cases] == ["a"]
    (root / "masks/dataset.json").write_text(json.dumps(IGNORING)[:-1] + ",}")
    said = call(["inspect", str(root), "--quiet"])
    assert (said.code, "got 1 below it" in said.err) == (1, True)


def test_an_index_of_another_case_is_named(tmp_path: Path) -> None:
    write_json(_raw(tmp_path / "in") / "Dataset.json", IGNORING)
    said = call(["protect", str(tmp_path / "in"), str(tmp_path / "out"), "--quiet"])
    assert (said.code, "got Dataset.json. Rename it" in said.err) == (1, True)


def test_a_dataset_json_of_another_kind_below_input_is_a_document(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "images/a.png", "masks/a.png=1")
    write_json(root / "more" / "dataset.json", {"title": "skin"})
    assert [case.id for case in find_dataset(root).cases] == ["a"]


@pytest.mark.parametrize("declared", [{"channel_names": {"0": "MRI"}}, {"modality": {"0": "MRI"}}, {"modality": "MRI"}])
def test_a_declared_modality_holds_in_every_layout(tmp_path: Path, declared: dict[str, object]) -> None:
    root = tmp_path / "in"
    draw = np.random.default_rng(0)
    for number in range(2):
        lay(root, f"masks/c{number}.nii.gz=1")
        values = draw.normal(-200, 300, (24, 20, 6)).astype(np.int16)
        (root / "images").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 1, 2, 1])), root / f"images/c{number}.nii.gz")
    assert "ct:" in call(["plan", str(root), "--quiet"]).out
    write_json(root / "dataset.json", {**declared, "labels": {"background": 0, "a": 1}})
    said = call(["plan", str(root), "--quiet"])
    assert said.code == 0
    assert "says MRI" in said.out
    assert "ct:" not in said.out


def test_floats_that_are_whole_numbers_are_hounsfield_units_too(tmp_path: Path) -> None:
    root = tmp_path / "in"
    draw = np.random.default_rng(0)
    for number, broken in enumerate((0.0, 0.5)):
        part = root / str(number)
        lay(part, "masks/a.nii.gz=1")
        values = np.rint(draw.normal(0, 60, (24, 20, 6)))
        values[:2] = -1000
        (part / "images").mkdir()
        nibabel.save(nibabel.Nifti1Image(values + broken, np.diag([1.0, 1, 2, 1])), part / "images/a.nii.gz")
        assert ("ct:soft" in call(["plan", str(part), "--quiet"]).out) == (not broken)


def test_names_of_other_languages_keep_their_cases_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("Müller", "Möller", "患者一", "患者二")
    root = lay(tmp_path / "in", *(f"images/{one}.png" for one in names), *(f"masks/{one}.png=1" for one in names))
    run = protect_and_prove(root, tmp_path / "out", capsys)
    assert run.code == 0
    assert run.files == {f"{folder}/{one}.png" for one in names for folder in ("images", "masks")}
    assert set(moved_only_inside(root, tmp_path / "out")) == set(names)


def test_a_mask_is_found_whose_name_macos_wrote(tmp_path: Path) -> None:
    image, mask = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
    root = lay(tmp_path / "in", f"images/{image}.png", f"masks/{mask}.png=1")
    assert cases_of(find_dataset(root)) == {"Müller": ([f"images/{image}.png"], [f"masks/{mask}.png"], ())}


def test_long_names_make_case_names_that_a_file_can_have() -> None:
    one, other = case_id("patient" * 60 + "a"), case_id("patient" * 60 + "b")
    assert one != other
    assert max(len(one.encode()), len(case_id("患" * 200).encode())) <= 160


@pytest.mark.parametrize("suffix", ["msk", "label-lesion_roi", "label-SC_seg"])
def test_masks_of_bids_under_other_suffixes(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "in"
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.8.0"})
    lay(root, "sub-1/anat/sub-1_T1w.nii.gz", f"derivatives/sub-1/anat/sub-1_{suffix}.nii.gz=1")
    found = cases_of(find_dataset(root))
    assert found["sub-1_T1w"][1] == [f"derivatives/sub-1/anat/sub-1_{suffix}.nii.gz"]
    assert len(found) == 1


def test_an_analyze_pair_is_a_format_that_is_not_read(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "images/a.nii.gz", "masks/a.nii.gz=1")
    for folder in ("images", "masks"):
        pair = nibabel.Nifti1Pair(np.ones((4, 4, 4), np.int16), np.eye(4))
        nibabel.save(pair, root / folder / "p.hdr")
    said = call(["protect", str(root), str(tmp_path / "out"), "--method", "checkerboard", "--quiet"])
    assert said.code == 3
    assert "is a format not read; convert it to .nii.gz" in said.out
    assert "rename" not in said.out


def test_masks_that_no_image_has_are_named_where_nothing_can_be_done(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "images/a.png", "images/b.png", "masks/reader A/a.png=1", "masks/reader A/b.png=1")
    said = call(["protect", str(root), str(tmp_path / "out"), "--quiet"])
    assert said.code == 1
    assert "2 files: is a mask without an image (masks/reader A/a.png, masks/reader A/b.png)" in said.err
    assert "--layout map.yaml" in said.err


def test_channels_of_two_grids_are_not_called_labels(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "s1/ct.nii.gz", "s1/mask.nii.gz=1")
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.int16), np.eye(4)), root / "s1/pet.nii.gz")
    said = call(["inspect", str(root), "--quiet"])
    assert said.code == 1
    assert "The channels of a case share one grid" in said.out
    assert "label onto" not in said.out


def test_cases_of_one_name_in_two_folders_of_an_index_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "in"
    index: dict[str, list[object]] = {"training": [], "validation": [], "test": ["./imagesTs/a.nii.gz"]}
    for section, part in (("training", "Tr"), ("validation", "Va")):
        lay(root, f"images{part}/a.nii.gz", f"labels{part}/a.nii.gz=1", "imagesTs/a.nii.gz")
        index[section] = [{"image": f"./images{part}/a.nii.gz", "label": f"./labels{part}/a.nii.gz"}]
    write_json(root / "dataset.json", {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a"}, **index})
    run = protect_and_prove(root, tmp_path / "out", capsys)
    assert run.code == 0, run.said
    assert moved_only_inside(root, tmp_path / "out") == {"imagesTr_a": True, "imagesVa_a": True}


def test_backslashes_of_an_index_are_named(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz=1")
    entry = {"image": ".\\imagesTr\\a.nii.gz", "label": ".\\labelsTr\\a.nii.gz"}
    write_json(root / "dataset.json", {"labels": {"0": "background", "1": "a"}, "training": [entry]})
    said = call(["protect", str(root), str(tmp_path / "out"), "--quiet"])
    assert said.code == 1
    assert "expected / between folders" in said.err
