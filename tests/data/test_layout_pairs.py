# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from tests.layout_files import cases_of, lay
from umed.core.errors import InputError
from umed.data.layouts import find_dataset

PAIRS = {
    "capital folders": (["Images/a.png", "Masks/a.png=1"], {"a": (["Images/a.png"], ["Masks/a.png"], ())}),
    "words around": (
        ["TrainImages/a.png", "TrainMasks/a.png=1", "TestImages/a.png", "TestMasks/a.png=1"],
        {
            "test_a": (["TestImages/a.png"], ["TestMasks/a.png"], ()),
            "train_a": (["TrainImages/a.png"], ["TrainMasks/a.png"], ()),
        },
    ),
    "split above": (
        ["train/images/a.png", "train/masks/a.png=1", "val/Images/a.png", "val/Labels/a.png=1"],
        {
            "train_a": (["train/images/a.png"], ["train/masks/a.png"], ()),
            "val_a": (["val/Images/a.png"], ["val/Labels/a.png"], ()),
        },
    ),
    "split below": (
        ["images/train/a.png", "masks/train/a.png=1", "images/test/b.png"],
        {
            "test_b": (["images/test/b.png"], [], ()),
            "train_a": (["images/train/a.png"], ["masks/train/a.png"], ()),
        },
    ),
    "two sites": (
        ["siteA/img/a.png", "siteA/gt/a.png=1", "siteB/imgs/a.png", "siteB/ground_truth/a_gt.png=1"],
        {
            "siteA_a": (["siteA/img/a.png"], ["siteA/gt/a.png"], ()),
            "siteB_a": (["siteB/imgs/a.png"], ["siteB/ground_truth/a_gt.png"], ()),
        },
    ),
    "two image folders": (
        ["images/a.png", "imgs/b.png", "masks/a.png=1", "masks/b.png=1"],
        {"a": (["images/a.png"], ["masks/a.png"], ()), "b": (["imgs/b.png"], ["masks/b.png"], ())},
    ),
    "images above masks": (["a.png", "masks/a.png=1"], {"a": (["a.png"], ["masks/a.png"], ())}),
    "two lesions": (
        ["images/a.png", "masks/a_mask.png=1", "masks/a_mask_1.png=1", "images/b.png", "masks/b_lesion1.png=1"],
        {
            "a": (["images/a.png"], ["masks/a_mask.png", "masks/a_mask_1.png"], ()),
            "b": (["images/b.png"], ["masks/b_lesion1.png"], ()),
        },
    ),
    "numbers alone": (
        ["images/a.png", "masks/a_1.png=1", "masks/a_2.png=1"],
        {"a": (["images/a.png"], ["masks/a_1.png", "masks/a_2.png"], ())},
    ),
    "one folder": (
        [
            "d/benign (1).png",
            "d/benign (1)_mask.png=1",
            "d/benign (1)_mask_1.png=1",
            "d/b.png",
            "d/b-seg.png=1",
            "d/c.png",
        ],
        {
            "d_b": (["d/b.png"], ["d/b-seg.png"], ()),
            "d_benign__1_": (["d/benign (1).png"], ["d/benign (1)_mask.png", "d/benign (1)_mask_1.png"], ()),
            "d_c": (["d/c.png"], [], ()),
        },
    ),
    "words in front": (
        ["volume-0.nii", "segmentation-0.nii=1", "volume-1.nii", "segmentation-1.nii=1"],
        {
            "volume-0": (["volume-0.nii"], ["segmentation-0.nii"], ()),
            "volume-1": (["volume-1.nii"], ["segmentation-1.nii"], ()),
        },
    ),
    "words in front of both": (
        ["images/img_1.png", "masks/mask_1.png=1", "images/img_2.png", "masks/mask_2.png=1"],
        {
            "img_1": (["images/img_1.png"], ["masks/mask_1.png"], ()),
            "img_2": (["images/img_2.png"], ["masks/mask_2.png"], ()),
        },
    ),
    "phases of one patient": (
        ["p1/p1_frame01.nii.gz", "p1/p1_frame01_gt.nii.gz=1", "p1/p1_4d.nii.gz"],
        {
            "p1_p1_4d": (["p1/p1_4d.nii.gz"], [], ()),
            "p1_p1_frame01": (["p1/p1_frame01.nii.gz"], ["p1/p1_frame01_gt.nii.gz"], ()),
        },
    ),
}
PAIRS["a data set called like masks"] = (
    ["Kvasir-SEG/images/x.png", "Kvasir-SEG/masks/x.png=1"],
    {"Kvasir-SEG_x": (["Kvasir-SEG/images/x.png"], ["Kvasir-SEG/masks/x.png"], ())},
)
PAIRS["channels without an index"] = (
    ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz=1"],
    {"a_0000": (["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"], ["labelsTr/a.nii.gz"], ())},
)
PAIRS["images called like masks"] = (
    ["scans/lesion1.png", "scans/lesion1_mask.png=1"],
    {"scans_lesion1": (["scans/lesion1.png"], ["scans/lesion1_mask.png"], ())},
)


@pytest.mark.parametrize("kind", PAIRS)
def test_images_find_their_masks(tmp_path: Path, kind: str) -> None:
    files, wanted = PAIRS[kind]
    dataset = find_dataset(lay(tmp_path / "in", *files))
    assert cases_of(dataset) == wanted and dataset.layout == "pairs" and dataset.problems == ()


CASE_FOLDERS = {
    "image and mask": (
        ["p1/image.nii.gz", "p1/mask.nii.gz=1", "p2/image.nii.gz", "p2/mask.nii.gz=1", "p2/mask_2.nii.gz=1"],
        {
            "p1": (["p1/image.nii.gz"], ["p1/mask.nii.gz"], ()),
            "p2": (["p2/image.nii.gz"], ["p2/mask.nii.gz", "p2/mask_2.nii.gz"], ()),
        },
    ),
    "kits": (
        ["case_0/imaging.nii.gz", "case_0/segmentation.nii.gz=1"],
        {"case_0": (["case_0/imaging.nii.gz"], ["case_0/segmentation.nii.gz"], ())},
    ),
    "brats 2020": (
        [f"T/B_{n}/B_{n}_{part}" for n in "12" for part in ("t2.nii", "t1.nii", "t1ce.nii", "flair.nii", "seg.nii=4")],
        {
            f"T_B_{n}": (
                [f"T/B_{n}/B_{n}_{part}.nii" for part in ("flair", "t1", "t1ce", "t2")],
                [f"T/B_{n}/B_{n}_seg.nii"],
                (),
            )
            for n in "12"
        },
    ),
    "brats 2023": (
        [
            f"G-0-{n}/G-0-{n}-{part}.nii.gz" + "=3" * (part == "seg")
            for n in "12"
            for part in ("t1n", "t1c", "t2w", "t2f", "seg")
        ],
        {
            f"G-0-{n}": (
                [f"G-0-{n}/G-0-{n}-{part}.nii.gz" for part in ("t1c", "t1n", "t2f", "t2w")],
                [f"G-0-{n}/G-0-{n}-seg.nii.gz"],
                (),
            )
            for n in "12"
        },
    ),
    "a file a class": (
        [
            *(f"s1/{name}" for name in ("ct.nii.gz", "segmentations/liver.nii.gz=1", "segmentations/spleen.nii.gz=1")),
            *(f"s2/{name}" for name in ("ct.nii.gz", "segmentations/aorta.nii.gz=1", "segmentations/spleen.nii.gz=1")),
        ],
        {
            "s1": (["s1/ct.nii.gz"], ["s1/segmentations/liver.nii.gz", "s1/segmentations/spleen.nii.gz"], (2, 3)),
            "s2": (["s2/ct.nii.gz"], ["s2/segmentations/aorta.nii.gz", "s2/segmentations/spleen.nii.gz"], (1, 3)),
        },
    ),
    "a class beside the image": (
        [f"p{n}/{name}" for n in "12" for name in ("ct.nii.gz", "liver_mask.nii.gz=1", "spleen_mask.nii.gz=1")],
        {f"p{n}": ([f"p{n}/ct.nii.gz"], [f"p{n}/liver_mask.nii.gz", f"p{n}/spleen_mask.nii.gz"], (1, 2)) for n in "12"},
    ),
    "nuclei": (
        ["x1/images/x1.png", "x1/masks/0ab.png=1", "x1/masks/9cd.png=1", "x2/images/x2.png", "x2/masks/7ef.png=1"],
        {
            "x1": (["x1/images/x1.png"], ["x1/masks/0ab.png", "x1/masks/9cd.png"], ()),
            "x2": (["x2/images/x2.png"], ["x2/masks/7ef.png"], ()),
        },
    ),
}


CASE_FOLDERS["times of a patient, a channel called as its folder"] = (
    [f"P1/T{t}/{name}" for t in "12" for name in ("flair.nii.gz", "t1.nii.gz", "lesion.nii.gz=1")],
    {f"P1_T{t}": ([f"P1/T{t}/flair.nii.gz", f"P1/T{t}/t1.nii.gz"], [f"P1/T{t}/lesion.nii.gz"], ()) for t in "12"},
)


@pytest.mark.parametrize("kind", CASE_FOLDERS)
def test_a_folder_is_a_case(tmp_path: Path, kind: str) -> None:
    files, wanted = CASE_FOLDERS[kind]
    dataset = find_dataset(lay(tmp_path / "in", *files))
    assert cases_of(dataset) == wanted and dataset.layout == "case_folders" and dataset.problems == ()


def test_masks_of_two_kinds_in_a_case_folder_are_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", *(f"p{n}/{name}" for n in "12" for name in ("t1.nii.gz", "mask.nii.gz=1")))
    lay(root, "p2/brain_mask.nii.gz=1")
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["p1"]
    assert {name for name, _ in dataset.problems} == {"p2/t1.nii.gz", "p2/mask.nii.gz", "p2/brain_mask.nii.gz"}
    assert "expected one mask of a case, got mask.nii.gz, brain_mask.nii.gz" in dataset.problems[0][1]


def test_a_case_that_lacks_a_channel_is_a_problem(tmp_path: Path) -> None:
    files = [f"b{n}/b{n}_{part}" for n in "123" for part in ("t1.nii.gz", "t2.nii.gz", "seg.nii.gz=1")]
    root = lay(tmp_path / "in", *files)
    (root / "b2" / "b2_t1.nii.gz").unlink()
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["b1", "b3"]
    reason = "expected the channels of most cases, t1, t2, got t2"
    assert dict(dataset.problems) == {"b2/b2_t2.nii.gz": reason, "b2/b2_seg.nii.gz": reason}


AMBIGUOUS = {
    "two folders of masks": ["images/a.png", "masks/a.png=1", "labels/a.png=1"],
    "beside and in a folder": ["images/a.png", "images/a_mask.png=1", "masks/a.png=1"],
    "two of one word": ["images/a.png", "masks_liver/a.png=1", "masks_tumour/a.png=1"],
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_two_ways_to_read_a_folder_are_refused(tmp_path: Path, kind: str) -> None:
    files = AMBIGUOUS[kind]
    with pytest.raises(InputError, match=r"got two for images/a\.png: .+ and .+--layout map\.yaml") as caught:
        find_dataset(lay(tmp_path / "in", *files))
    assert all(name.removesuffix("=1") in str(caught.value) for name in files[1:])


def test_what_is_in_no_case_is_a_problem_with_a_reason(tmp_path: Path) -> None:
    root = lay(
        tmp_path / "in",
        *(
            "images/a.png",
            "masks/a.png=1",
            "masks/lost_mask.png=1",
            "masks/a_gt.png=1",
            "more/overview.png",
            "images/b.png",
        ),
        *("masks/b.png=1", "other/x_mask.png=1"),
    )
    for name in ("images/._b.png", "__MACOSX/images/c.png", "images/Thumbs.db", ".hidden/images/d.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    dataset = find_dataset(root)
    assert cases_of(dataset) == {"b": (["images/b.png"], ["masks/b.png"], ())}
    found = dict(dataset.problems)
    assert found.keys() == {
        *(
            "images/a.png",
            "masks/a.png",
            "masks/a_gt.png",
            "masks/lost_mask.png",
            "more/overview.png",
            "other/x_mask.png",
        )
    }
    assert "got masks masks/a.png, masks/a_gt.png" in found["images/a.png"]
    assert found["masks/lost_mask.png"] == "is a mask without an image"
    assert found["other/x_mask.png"] == "by its name is a mask without an image"
    assert "is in no case of the layout pairs" in found["more/overview.png"]


@pytest.mark.parametrize("front", ["images/", ""])
def test_a_mask_of_another_name_is_not_given_to_what_lies_there_by_chance(tmp_path: Path, front: str) -> None:
    root = lay(tmp_path, f"{front}a.png", f"{front}b.png", "masks/x.png=1", "c/d.png", "c/d_mask.png=1")
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases if case.labels] == ["c_d"]
    assert dict(dataset.problems)["masks/x.png"] == "is a mask without an image"


def test_a_numbered_image_keeps_its_own_mask(tmp_path: Path) -> None:
    """A mask a_2 without an image a_2 is no second mask of a where images are numbered, too."""
    dataset = find_dataset(
        lay(tmp_path / "in", "images/a.png", "images/a_1.png", "masks/a.png=1", "masks/a_1.png=1", "masks/a_2.png=1")
    )
    assert {case.id: [path.name for path in case.labels] for case in dataset.cases} == {
        "a": ["a.png"],
        "a_1": ["a_1.png"],
    }
    assert dataset.problems == (("masks/a_2.png", "is a mask without an image"),)


def test_an_image_and_a_mask_that_would_be_written_under_one_name_are_problems(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "b.png", "b_mask.png=1", "a.jpg", "a_mask.png=1", "a.png")
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["b"]
    assert dict(dataset.problems).keys() == {"a.jpg", "a.png", "a_mask.png"}


def test_links_that_lead_out_are_no_case(tmp_path: Path) -> None:
    root = lay(tmp_path / "in", "images/a.png", "masks/a.png=1", "images/b.png", "masks/b.png=1")
    lay(tmp_path / "other", "secret.png=1")
    (root / "masks" / "a.png").unlink()
    (root / "masks" / "a.png").symlink_to(tmp_path / "other" / "secret.png")
    dataset = find_dataset(root)
    assert [case.id for case in dataset.cases] == ["b"]
    assert all("a link that leads out of it" in reason for _, reason in dataset.problems)
    assert dict(dataset.problems).keys() == {"images/a.png", "masks/a.png"}
