# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import tifffile
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
from umed.core.mask_rules import MaskRules
from umed.data import formats
from umed.data.layouts import find_dataset
from umed.data.masks import read_label

INK = lesion()
GOOD = INK.astype(np.uint8) * 255


def palette(index, *colours):
    image = Image.frombytes("P", (SIDE, SIDE), index.astype(np.uint8).tobytes())
    image.putpalette([part for colour in colours for part in colour])
    return image


@pytest.mark.parametrize(
    ("mask", "settles"),
    [
        (palette(~INK, (200, 0, 0), (0, 0, 0)), "1"),
        (palette(~INK, (0, 0, 0), (255, 255, 255)), "1"),
        (palette(~lesion(2, 20, 9), (200, 0, 0), (0, 0, 0)), "1"),  # it reaches the border: the palette says it
        (255 - GOOD, "255"),
        (Image.fromarray(~INK), "1"),
        (255 - lesion(radius=17).astype(np.uint8) * 255, "255"),  # more than half
        (~lesion(radius=8) * np.uint8(2) + lesion(20, 20, 3), "2"),  # 0 around 1 within 2
    ],
    ids=["palette", "palette, white around", "palette, border", "grey", "1 bit", "big", "three values"],
)
def test_a_mask_that_looks_inverted_is_a_question_that_an_option_answers(tmp_path, capsys, mask, settles):
    root = pictures(tmp_path / "in", bad=mask, good=GOOD)
    code, cases, _ = protect(root, capsys)
    assert code == 3 and cases["good"]["status"] == "protected" and cases["bad"]["status"] == "failed"
    reason = cases["bad"]["reason"]
    assert "expected 0 as background" in reason and f"--background {settles}" in reason and "--background 0" in reason

    both = pictures(tmp_path / "both", bad=mask, more=mask)
    code, cases, said = protect(both, capsys, "--background", settles)
    assert code == 0 and cases["bad"]["status"] == "protected", said
    zero = np.array(mask if isinstance(mask, np.ndarray) else mask.convert("P") if mask.mode == "P" else mask) == 0
    moved = changed(both, "bad.png")
    assert moved[zero].mean() > 0.5 and not moved[-2:, -2:].any() and same_labels(both, "bad.png")
    assert verified(both, capsys)[0] == 0


def test_zero_that_is_named_as_background_is_believed(tmp_path, capsys):
    root = pictures(tmp_path / "in", a=255 - GOOD, b=GOOD)
    code, cases, said = protect(root, capsys, "--background", "0")
    assert code == 0 and {one["status"] for one in cases.values()} == {"protected"}, said
    moved = changed(root, "a.png")
    assert moved[:5].any() and not moved[lesion(radius=3)].any()


def test_masks_of_both_kinds_are_not_settled_by_one_answer(tmp_path, capsys):
    root = pictures(tmp_path / "in", a=255 - GOOD, b=GOOD, c=np.zeros_like(GOOD))
    code, cases, _ = protect(root, capsys, "--background", "255")
    assert code == 3 and cases["a"]["status"] == "protected"
    assert "drawn in two ways" in cases["b"]["reason"]
    assert "all of the image would be foreground" in cases["c"]["reason"]


def test_an_inverted_volume(tmp_path, capsys):
    ball = np.repeat(INK[:, :, None], 12, axis=2)
    ball[..., :3] = ball[..., -3:] = False
    root = volumes(tmp_path / "in", bad=(~ball).astype(np.uint8) * 255, good=ball.astype(np.uint8))
    code, cases, _ = protect(root, capsys)
    assert code == 3 and "0 is surrounded by 255" in cases["bad"]["reason"]


def test_an_image_without_background_is_asked_about(tmp_path, capsys):
    root = pictures(
        tmp_path / "in", full=np.full_like(GOOD, 255), good=GOOD, parts=np.where(INK, 2, 1).astype(np.uint8)
    )
    code, cases, _ = protect(root, capsys)
    assert code == 3 and cases["good"]["status"] == "protected"
    assert all("0 somewhere as background" in cases[name]["reason"] for name in ("full", "parts"))
    named = pictures(tmp_path / "named", full=np.full_like(GOOD, 255), good=GOOD)
    code, cases, said = protect(named, capsys, "--mask-values", "255")
    assert code == 0 and cases["full"]["status"] == "protected", said


def test_big_lesions_and_such_at_the_border_are_no_question(tmp_path):
    corner, most = np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)
    corner[:, 10:] = 255
    most[-1, -1] = 0  # one pixel in the corner, as in a real mask
    for number, mask in enumerate((lesion(radius=19).astype(np.uint8) * 255, corner, most)):
        root = pictures(tmp_path / str(number), a=mask)
        volume = formats.read(root / "images/a.png")
        assert np.array_equal(read_label(root / "masks/a.png", volume), mask)


def test_a_tiff_whose_zero_is_white(tmp_path):
    root = pictures(tmp_path / "in", a=GOOD)
    volume, path = formats.read(root / "images/a.png"), root / "a.tif"
    tifffile.imwrite(path, GOOD, photometric="miniswhite")  # ImageJ's: ink is 255
    assert np.array_equal(read_label(path, volume), GOOD)
    Image.fromarray(~INK).save(path)
    with pytest.raises(Exception, match="0 is surrounded by 1"):
        read_label(path, volume)
    tifffile.imwrite(path, 255 - lesion(2, 20, 18).astype(np.uint8) * 255, photometric="miniswhite")
    with pytest.raises(Exception, match="MinIsWhite"):
        read_label(path, volume)
    assert (read_label(path, volume, MaskRules(background=(255,))) > 0).sum() == lesion(2, 20, 18).sum()


def test_no_real_mask_is_refused(shared_data):
    root = shared_data / "isic_600"
    if not root.is_dir():
        pytest.skip("no real skin pictures beside the repository")
    dataset = find_dataset(root)
    for case in dataset.cases[::6]:
        volume = formats.read(root / case.images[0])
        assert set(np.unique(read_label(root / case.labels[0], volume)).tolist()) == {0, 255}
