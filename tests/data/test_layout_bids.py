# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.layout_files import cases_of, lay, names, write_json
from umed.core.errors import InputError
from umed.data.layouts import carried_files, find_dataset, index_files

DESCRIPTION = Path("dataset_description.json")


def raw(root: Path, *more: str, subjects: str = "12", suffixes: tuple[str, ...] = ("T1w",)) -> Path:
    lay(root, *(f"sub-{n}/anat/sub-{n}_{suffix}.nii.gz" for n in subjects for suffix in suffixes), *more)
    write_json(root / DESCRIPTION, {"Name": "heads", "BIDSVersion": "1.8.0", "License": "CC0", "DatasetDOI": "doi:1"})
    return root


def manual(kind: str, subjects: str = "12") -> list[str]:
    return [f"derivatives/manual/sub-{n}/anat/sub-{n}_{kind}.nii.gz=1" for n in subjects]


@pytest.mark.parametrize("kind", ["dseg", "mask", "desc-lesion_mask", "space-T1w_label-L_mask", "space-orig_dseg"])
def test_masks_of_a_derivative_find_their_image(tmp_path: Path, kind: str) -> None:
    dataset = find_dataset(raw(tmp_path, *manual(kind)))
    assert dataset.layout == "bids" and not dataset.problems and dataset.modality == ("T1w",)
    assert cases_of(dataset) == {
        f"sub-{n}_T1w": (
            [f"sub-{n}/anat/sub-{n}_T1w.nii.gz"],
            [f"derivatives/manual/sub-{n}/anat/sub-{n}_{kind}.nii.gz"],
            (),
        )
        for n in "12"
    }
    assert names(dataset.cases[0].outputs) == ["sub-1/anat/sub-1_desc-protected_T1w.nii.gz"]


def test_sessions_runs_and_masks_beside_images(tmp_path: Path) -> None:
    files = [
        f"sub-1/ses-{s}/anat/sub-1_ses-{s}_run-{r}_{x}"
        for s in "ab"
        for r in "12"
        for x in ("T1w.nii.gz", "dseg.nii.gz=1")
    ]
    dataset = find_dataset(lay(tmp_path, *files))
    assert {case.id: names(case.labels) for case in dataset.cases} == {
        f"sub-1_ses-{s}_run-{r}_T1w": [f"sub-1/ses-{s}/anat/sub-1_ses-{s}_run-{r}_dseg.nii.gz"]
        for s in "ab"
        for r in "12"
    }


def test_a_mask_of_a_session_is_never_given_to_another(tmp_path: Path) -> None:
    files = ["sub-1/ses-a/anat/sub-1_ses-a_T1w.nii.gz", "sub-1/ses-b/anat/sub-1_ses-b_T1w.nii.gz"]
    dataset = find_dataset(
        raw(tmp_path, *files, "derivatives/m/sub-1/ses-a/anat/sub-1_ses-a_dseg.nii.gz=1", subjects="2")
    )
    assert [case.id for case in dataset.cases if case.labels] == ["sub-1_ses-a_T1w"]


def test_images_on_the_grid_of_one_mask_are_channels(tmp_path: Path) -> None:
    dataset = find_dataset(raw(tmp_path, *manual("dseg"), suffixes=("T1w", "FLAIR")))
    assert [case.id for case in dataset.cases] == ["sub-1", "sub-2"] and dataset.modality == ("FLAIR", "T1w")
    assert names(dataset.cases[0].images) == ["sub-1/anat/sub-1_FLAIR.nii.gz", "sub-1/anat/sub-1_T1w.nii.gz"]


def test_a_sidecar_may_name_the_image(tmp_path: Path) -> None:
    root = raw(tmp_path, *manual("dseg"), suffixes=("T1w", "FLAIR"))
    for n in "12":
        sidecar = root / f"derivatives/manual/sub-{n}/anat/sub-{n}_dseg.json"
        write_json(sidecar, {"Sources": [f"bids:raw:sub-{n}/anat/sub-{n}_FLAIR.nii.gz"]})
    labelled = {case.id: len(case.labels) for case in find_dataset(root).cases}
    assert labelled == {"sub-1_FLAIR": 1, "sub-1_T1w": 0, "sub-2_FLAIR": 1, "sub-2_T1w": 0}


def test_a_mask_belongs_to_its_data_type(tmp_path: Path) -> None:
    more = [f"derivatives/m/sub-1/{kind}/sub-1_{mask}.nii.gz=1" for kind, mask in (("anat", "dseg"), ("pet", "mask"))]
    dataset = find_dataset(raw(tmp_path, "sub-1/pet/sub-1_pet.nii.gz", *more, subjects="1"))
    assert {case.id: [path.name for path in case.labels] for case in dataset.cases} == {
        "sub-1_T1w": ["sub-1_dseg.nii.gz"],
        "sub-1_pet": ["sub-1_mask.nii.gz"],
    }


def test_links_that_lead_out_are_not_carried(tmp_path: Path) -> None:
    root = raw(tmp_path / "in", *manual("dseg"))
    secret = write_json(tmp_path / "secret.json", {"Secret": 1})
    (root / DESCRIPTION).unlink()
    for name in (
        "T1w.json",
        "dataset_description.json",
        "derivatives/manual/dataset_description.json",
        "derivatives/manual/sub-1/anat/sub-1_dseg.json",
    ):
        (root / name).symlink_to(secret)
    dataset = find_dataset(root)
    every = {case.id for case in dataset.cases}
    assert carried_files(dataset, every) == {}
    assert not any(b"Secret" in content for content in index_files(dataset, every).values())


def test_labels_are_classes_over_the_whole_data_set(tmp_path: Path) -> None:
    dataset = find_dataset(raw(tmp_path, *manual("label-WM_mask"), *manual("label-GM_mask", "2")))
    assert {case.id: case.classes for case in dataset.cases} == {"sub-1_T1w": (2,), "sub-2_T1w": (1, 2)}


def test_masks_of_two_kinds_and_of_two_pipelines_are_refused(tmp_path: Path) -> None:
    root = raw(tmp_path, *manual("dseg"), *manual("desc-brain_mask", "1"))
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["sub-2_T1w"]
    assert "expected one kind of mask, got sub-1_desc-brain_mask.nii.gz, sub-1_dseg.nii.gz" in dataset.problems[0][1]
    lay(root, "derivatives/auto/sub-2/anat/sub-2_dseg.nii.gz=1")
    with pytest.raises(InputError, match=r"got two for sub-2/anat/.*auto/sub-2.*manual/sub-2.*--layout"):
        find_dataset(root)


def test_what_is_no_case_is_a_problem(tmp_path: Path) -> None:
    root = raw(
        tmp_path, *manual("dseg"), "sub-1/anat/sub-1_probseg.nii.gz=1", "derivatives/m/sub-9/anat/sub-9_mask.nii.gz=1"
    )
    found = dict(find_dataset(lay(root, "sourcedata/x.nii.gz")).problems)
    assert found.keys() == {
        *("sub-1/anat/sub-1_probseg.nii.gz", "derivatives/m/sub-9/anat/sub-9_mask.nii.gz", "sourcedata/x.nii.gz")
    }
    assert "got probabilities" in found["sub-1/anat/sub-1_probseg.nii.gz"]


def test_the_output_is_described_as_a_derivative(tmp_path: Path) -> None:
    root = raw(tmp_path, *manual("dseg"))
    write_json(root / "T1w.json", {"RepetitionTime": 2, "PatientName": "Doe^Jane", "EchoTime": 1})
    write_json(root / "sub-1/anat/sub-1_T1w.json", {"EchoTime": 3, "AcquisitionDateTime": "2020-01-01T00:00:00"})
    write_json(root / "derivatives/manual/dataset_description.json", {"Name": "manual"})
    write_json(root / "derivatives/manual/sub-1/anat/sub-1_dseg.json", {"Manual": True})
    dataset = find_dataset(root)
    contents = {name.as_posix(): content for name, content in index_files(dataset, {"sub-1_T1w"}).items()}
    assert contents.keys() == {"dataset_description.json", ".bidsignore", "sub-1/anat/sub-1_desc-protected_T1w.json"}
    described = json.loads(contents["dataset_description.json"])
    assert described["DatasetType"] == "derivative" and described["GeneratedBy"][-1]["Name"] == "umed"
    assert described["License"] == "CC0" and described["SourceDatasets"] == [{"DOI": "doi:1"}]
    assert json.loads(contents["sub-1/anat/sub-1_desc-protected_T1w.json"]) == {
        "RepetitionTime": 2,
        "EchoTime": 3,
        "SkullStripped": False,
    }
    assert names(carried_files(dataset, {"sub-1_T1w"})) == [
        "derivatives/manual/dataset_description.json",
        "derivatives/manual/sub-1/anat/sub-1_dseg.json",
    ]
