# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tests.files_of_people.masked_pictures import changed, lesion, protect, same_labels, verified, volumes

BALL = np.repeat(lesion(side=32, row=16, column=16)[:, :, None], 16, axis=2)
BALL[..., :4] = BALL[..., -4:] = False
GOOD = BALL.astype(np.int16)


@pytest.mark.parametrize(
    "mask",
    [
        GOOD - 1,
        GOOD * 2 - 1,
        np.where(BALL, 0, -1000).astype(np.int16),
        (-GOOD).astype(np.float32),
        (-GOOD).astype(np.int8),
    ],
    ids=["-1 and 0", "-1 and 1", "-1000 and 0", "0 and -1 as floats", "0 and -1"],
)
def test_negative_values_are_refused_with_the_options_that_settle_them(tmp_path, capsys, mask):
    root = volumes(tmp_path / "in", bad=mask, good=GOOD)
    code, cases, _ = protect(root, capsys)
    assert code == 3 and cases["good"]["status"] == "protected" and cases["bad"]["status"] == "failed"
    reason = cases["bad"]["reason"]
    assert all(word in reason for word in ("from 0 on", "--background -", "--ignore -", "--mask-values")), reason


def test_a_named_background_settles_them_and_verify_knows_it(tmp_path, capsys):
    root = volumes(tmp_path / "in", a=GOOD - 1, b=GOOD - 1)
    code, cases, said = protect(root, capsys, "--background", "-1")
    assert code == 0 and {one["status"] for one in cases.values()} == {"protected"}, said
    moved = changed(root, "a_0000.nii.gz", "imagesTr")
    assert moved[BALL].mean() > 0.5 and not moved[:4].any() and same_labels(root, "a.nii.gz", "labelsTr")
    assert verified(root, capsys)[0] == 0
    named = ["--epsilon", "4/255", "--range", "-160,240"]
    assert verified(root, capsys, *named)[0] == 0  # the private plan says how masks are read
    (tmp_path / "in-out-private").rename(tmp_path / "safe")
    assert verified(root, capsys, *named)[0] == 1
    assert verified(root, capsys, *named, "--background", "-1")[0] == 0


def test_named_foreground_settles_them_and_another_choice_cannot_be_resumed(tmp_path, capsys):
    three = np.where(BALL, 1, -1000).astype(np.int16)
    three[14:18, 14:18, 6:10] = 0
    root = volumes(tmp_path / "in", a=three, b=three)
    code, cases, said = protect(root, capsys, "--mask-values", "1")
    assert code == 0 and cases["a"]["status"] == "protected", said
    code, _, said = protect(root, capsys, "--mask-values", "0,1", "--resume")
    assert code == 2 and "mask_values was" in said
    assert protect(root, capsys, "--mask-values", "1", "--resume")[0] == 0


def test_foreground_that_does_not_occur_is_no_empty_mask(tmp_path, capsys):
    root = volumes(tmp_path / "in", a=GOOD, b=GOOD * 3)
    code, cases, _ = protect(root, capsys, "--mask-values", "1")
    assert code == 3 and cases["b"]["status"] == "failed" and "of which 3 is no class" in cases["b"]["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask-values", "1,x"], "values such as 1,2"),
        (["--mask-values", "1,1"], "each value once"),
        (["--mask-values", "1", "--background", "#000000"], "numbers or colours"),
        (["--mask-values", "1", "--background", "1"], "each value once"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(tmp_path, capsys, words, message):
    code, _, said = protect(volumes(tmp_path / "in", a=GOOD), capsys, *words)
    assert code == 2 and message in said
