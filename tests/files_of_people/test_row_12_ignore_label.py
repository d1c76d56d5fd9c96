# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from tests.files_of_people.masked_pictures import changed, lesion, protect, same_labels, verified, volumes
from umed.cli.main import main
from umed.data.declared import Declared, read_declared
from umed.plan.regions import make_regions

BALL = np.repeat(lesion(side=32, row=16, column=12, radius=6)[:, :, None], 16, axis=2)
BALL[..., :4] = BALL[..., -4:] = False
BESIDE = np.zeros_like(BALL)
BESIDE[8:24, 17:24, 2:14] = True  # touches the tumour
LABEL = np.where(BESIDE & ~BALL, 2, BALL).astype(np.uint8)
IGNORED = LABEL == 2
NNUNET = {"background": 0, "tumour": 1, "ignore": 2}


@pytest.mark.parametrize("labels", [NNUNET, {"0": "background", "1": "tumour", "2": "Ignore"}])
@pytest.mark.parametrize("options", [[], ["--set", "support=full"]], ids=["roi", "full"])
def test_what_is_to_be_ignored_is_no_class_and_never_changed(tmp_path, capsys, labels, options):
    root = volumes(tmp_path / "in", labels, a=LABEL, b=LABEL)
    code, cases, said = protect(root, capsys, *options)
    assert code == 0 and cases["a"]["status"] == "protected", said
    moved = changed(root, "a_0000.nii.gz", "imagesTr")
    assert moved[BALL].mean() > 0.5 and not moved[IGNORED].any()
    assert same_labels(root, "a.nii.gz", "labelsTr")
    plan = json.loads((tmp_path / "in-out-private/plan.json").read_text())
    assert plan["classes"] == 2 and verified(root, capsys)[0] == 0


def test_verify_sees_one_changed_voxel_in_it(tmp_path, capsys):
    root = volumes(tmp_path / "in", NNUNET, a=LABEL, b=LABEL)
    assert protect(root, capsys)[0] == 0
    path = tmp_path / "in-out/imagesTr/a_0000.nii.gz"
    image = nibabel.load(path)
    values = np.asarray(image.dataobj).copy()
    values[tuple(np.argwhere(IGNORED)[0])] += 1
    nibabel.save(nibabel.Nifti1Image(values, None, image.header), path)
    code, said = verified(root, capsys)
    assert code == 1 and "a" in said and "outside ROI" in said


def test_a_mask_of_nothing_but_ignored_is_empty(tmp_path, capsys):
    root = volumes(tmp_path / "in", NNUNET, a=LABEL, b=np.where(IGNORED, 2, 0).astype(np.uint8))
    code, cases, said = protect(root, capsys)
    assert code == 0 and cases["b"]["status"] == "unchanged", said


def test_it_may_be_named_without_an_index(tmp_path, capsys):
    root = volumes(tmp_path / "in", a=np.where(IGNORED, -1, BALL).astype(np.int16), b=BALL.astype(np.int16))
    code, cases, said = protect(root, capsys, "--ignore", "-1")
    assert code == 0 and cases["a"]["status"] == "protected", said
    assert not changed(root, "a_0000.nii.gz", "imagesTr")[IGNORED].any()
    assert main(["inspect", str(root), "--ignore", "-1"]) == 0
    assert "a part is labelled ignore" in capsys.readouterr().out


def test_regions_leave_it_out_of_the_band_of_their_neighbours():
    regions = make_regions(np.where(IGNORED, -1, BALL).astype(np.int16), radius=3)
    whole = np.zeros(BALL.shape, bool)
    whole[regions.box] = regions.support
    assert not whole[IGNORED].any() and whole[BALL].all() and regions.labels.max() == 1
    band = make_regions(BALL.astype(np.int16), radius=3)
    other = np.zeros(BALL.shape, bool)
    other[band.box] = band.support
    assert (other & IGNORED).any() and np.array_equal(other & ~IGNORED, whole)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}, Declared((1, 2, 3), 4, 0)),
        ({"0": "background", "1": "a", "2": "b"}, Declared((1, 2), None, 0)),
        ({"a": 1, "b": 2}, Declared((1, 2))),
        ({"lesion": 0, "background": 1}, Declared((0,), None, 1)),
        ({}, None),
        ({"a": "one"}, None),
        (["a"], None),
    ],
)
def test_what_an_index_declares(tmp_path, labels, found):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert read_declared(tmp_path) == found
    assert read_declared(tmp_path / "nothing") is None
