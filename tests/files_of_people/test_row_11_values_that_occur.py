# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time

import numpy as np
import pytest
from PIL import Image

from tests.files_of_people.masked_pictures import (
    SIDE,
    changed,
    lesion,
    pictures,
    protect,
    same_labels,
    verified,
    volumes,
)
from umed.cli.main import main

BALL = np.repeat(lesion(side=32, row=16, column=16)[:, :, None], 16, axis=2)
BALL[..., :4] = BALL[..., -4:] = False
PARTS = [BALL & (np.arange(32)[:, None, None] % 3 == k) for k in range(3)]


def plan_of(root, capsys, *options):
    assert main(["plan", str(root), "--method", "checkerboard", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("value", [255, 1000, 2048])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_two_values_are_two_classes_whatever_they_are(tmp_path, capsys, value, dtype):
    root = volumes(tmp_path / "in", a=(BALL * value).astype(dtype), b=(BALL * value).astype(dtype))
    assert plan_of(root, capsys)["classes"] == 2
    begin = time.perf_counter()
    code, cases, said = protect(root, capsys)
    assert code == 0 and cases["a"]["status"] == "protected", said
    assert time.perf_counter() - begin < 5
    assert changed(root, "a_0000.nii.gz", "imagesTr")[BALL].mean() > 0.5 and same_labels(root, "a.nii.gz", "labelsTr")


def test_sparse_values_are_numbered_the_same_way_in_every_case(tmp_path, capsys):
    some = sum(part * value for part, value in zip(PARTS, (3, 17, 2048), strict=True)).astype(np.int32)
    root = volumes(tmp_path / "in", a=some, b=np.where(some == 2048, 2048, 0).astype(np.int32))
    made = plan_of(root, capsys)
    assert made["classes"] == 4 and made["class_values"] == [3, 17, 2048]
    assert any("3, 17, 2048 occur in the masks" in reason for reason in made["why"])
    assert main(["inspect", str(root), "--json"]) == 0
    assert [case["classes"] for case in json.loads(capsys.readouterr().out)["cases"]] == [[0, 3, 17, 2048], [0, 2048]]
    assert protect(root, capsys)[0] == 0 and verified(root, capsys)[0] == 0


def test_declared_values_count_even_where_few_cases_are_looked_at(tmp_path, capsys):
    root = volumes(tmp_path / "in", {"background": 0, "liver": 5, "tumour": [5, 200]}, a=(BALL * 5).astype(np.uint8))
    assert plan_of(root, capsys)["class_values"] == [5, 200]


def test_a_value_that_is_not_declared_is_refused_where_it_is_met(tmp_path, capsys):
    good, odd = BALL.astype(np.uint8), (BALL * 7).astype(np.uint8)
    masks = {f"c{number}": odd if number == 1 else good for number in range(12)}
    root = volumes(tmp_path / "in", {"background": 0, "tumour": 1}, **masks)
    code, cases, _ = protect(root, capsys)
    assert code == 3 and [name for name, one in cases.items() if one["status"] == "failed"] == ["c1"]
    assert "got 7" in cases["c1"]["reason"]


def test_white_is_the_one_class_beside_masks_of_0_and_1(tmp_path, capsys):
    ink = lesion().astype(np.uint8)
    root = pictures(tmp_path / "in", a=ink, b=ink * 255)
    assert plan_of(root, capsys)["classes"] == 2 and protect(root, capsys)[0] == 0
    more = pictures(tmp_path / "more", a=ink, b=ink * 255, c=np.where(lesion(10, 10, 4), 255, ink).astype(np.uint8))
    assert plan_of(more, capsys)["class_values"] == [1, 255]


@pytest.mark.parametrize("named", [["#ff0000", "#00ff00"], ["#00FF00", "#ff0000"]])
def test_colours_are_classes_where_they_are_named(tmp_path, capsys, named):
    drawn = np.zeros((SIDE, SIDE, 3), np.uint8)
    drawn[lesion()] = 255, 0, 0
    drawn[lesion(10, 10, 4)] = 0, 255, 0
    palette = Image.fromarray(drawn).quantize(8)
    empty = np.zeros((SIDE, SIDE), np.uint8)
    root = pictures(tmp_path / "in", a=drawn, b=drawn, grey=empty, palette=palette)
    code, cases, _ = protect(root, capsys)
    reason = cases["a"]["reason"]
    assert (
        code == 1
        and "expected 0 as background" in cases["palette"]["reason"]
        and "#000000 (" in reason
        and "#ff0000 (" in reason
        and "--mask-values" in reason
    )
    root = pictures(tmp_path / "again", a=drawn, b=drawn, grey=empty, palette=palette)
    code, cases, said = protect(root, capsys, "--mask-values", ",".join(named))
    assert code == 0, said
    assert {name: one["status"] for name, one in cases.items()} == dict.fromkeys(("a", "b", "palette"), "protected") | {
        "grey": "unchanged"
    }
    assert changed(root, "a.png")[lesion()].mean() > 0.5 and not changed(root, "a.png")[-4:].any()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.random.default_rng(0).integers(0, 255, (SIDE, SIDE)).astype(np.uint8), "looks like an image"),
        (np.clip(128 * (10 - np.hypot(*np.mgrid[-20:20, -20:20])), 0, 255).astype(np.uint8), "along edges"),
        (np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8), "look like an image"),
        (lesion(side=48).astype(np.uint8)[:, :40], "axes swapped"),
    ],
    ids=["image", "soft edges", "colour image", "transposed"],
)
def test_pictures_that_are_no_masks(tmp_path, capsys, mask, words):
    root = pictures(tmp_path / "in", bad=mask, good=lesion().astype(np.uint8))
    if words == "axes swapped":
        Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(root / "images/bad.png")
    code, cases, _ = protect(root, capsys)
    assert code == 3 and words in cases["bad"]["reason"], cases["bad"]["reason"]


def test_the_image_itself_in_the_place_of_its_mask(tmp_path, capsys):
    root = pictures(tmp_path / "in", bad=lesion().astype(np.uint8), good=lesion().astype(np.uint8))
    (root / "images/bad.png").write_bytes((root / "masks/bad.png").read_bytes())
    code, cases, _ = protect(root, capsys)
    assert code == 3 and "the image itself" in cases["bad"]["reason"]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (BALL * np.float32(0.4), "look like probabilities"),
        (np.where(BALL, np.nan, 0).astype(np.float32), "NaN"),
        (np.random.default_rng(0).normal(500, 90, BALL.shape).astype(np.int16), "as in an image"),
        (np.random.default_rng(0).integers(0, 200, BALL.shape).astype(np.uint8), "as in an image"),
        (np.stack([~BALL, BALL], axis=-1).astype(np.uint8), "one-hot classes with the background"),
        (np.stack([PARTS[0], PARTS[1]], axis=-1).astype(np.uint8), "do not overlap"),
        (np.stack([BALL, PARTS[1]], axis=-1).astype(np.uint8), "overlap: regions"),
        (BALL.astype(np.complex64), "complex"),
    ],
    ids=["probabilities", "NaN", "CT", "MR", "one-hot", "disjoint", "regions", "complex"],
)
def test_volumes_that_are_no_masks(tmp_path, capsys, mask, words):
    root = volumes(tmp_path / "in", bad=mask, good=BALL.astype(np.uint8))
    code, cases, _ = protect(root, capsys)
    assert code == 3 and cases["good"]["status"] == "protected" and words in cases["bad"]["reason"], cases["bad"]


def test_masks_that_are_mostly_empty_are_said_loudly(tmp_path, capsys):
    ink, nothing = lesion().astype(np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    code, _, said = protect(pictures(tmp_path / "most", a=ink, b=nothing, c=nothing), capsys)
    assert code == 3 and "2 of 3 masks are empty" in said
    code, _, said = protect(pictures(tmp_path / "all", a=nothing, b=nothing), capsys)
    assert code == 1 and "2 of 2 masks are empty" in said
    code, _, said = protect(pictures(tmp_path / "some", a=ink, b=nothing), capsys)
    assert code == 0 and "masks are empty" not in said
