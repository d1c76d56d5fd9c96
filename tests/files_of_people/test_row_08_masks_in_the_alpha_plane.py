# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.files_of_people.masked_pictures import SIDE, changed, lesion, pictures, protect, same_labels

INK = lesion()
GOOD = INK.astype(np.uint8) * 255


def planes(*parts):
    return np.stack([np.broadcast_to(np.asarray(part, np.uint8), (SIDE, SIDE)) for part in parts], axis=-1)


@pytest.mark.parametrize(
    "mask",
    [
        planes(0, 0, 0, GOOD),
        planes(255, 255, 255, GOOD),
        planes(200, 10, 10, 255 - GOOD),
        planes(0, GOOD),
        planes(255, GOOD),
    ],
    ids=["rgba black", "rgba white", "rgba red, turned", "la black", "la white"],
)
def test_a_mask_in_the_alpha_plane_is_refused_and_the_place_is_named(tmp_path, capsys, mask):
    root = pictures(tmp_path / "in", bad=mask, good=GOOD)
    code, cases, _ = protect(root, capsys)
    assert code == 3 and cases["good"]["status"] == "protected" and cases["bad"]["status"] == "failed"
    assert "drawn in the alpha plane" in cases["bad"]["reason"] and "getchannel('A')" in cases["bad"]["reason"]
    out = root.with_name("in-out")
    assert not (out / "images/bad.png").exists() and not (out / "masks/bad.png").exists()


def test_planes_that_say_different_things_are_refused(tmp_path, capsys):
    other = lesion(10, 10, 5).astype(np.uint8) * 255
    root = pictures(tmp_path / "in", good=GOOD, other=planes(GOOD, GOOD, GOOD, other), turned=planes(255 - GOOD, GOOD))
    code, cases, _ = protect(root, capsys)
    assert code == 3 and {name: one["status"] for name, one in cases.items()} == {
        "good": "protected",
        "other": "failed",
        "turned": "failed",
    }
    assert all("alpha plane that says the same" in cases[name]["reason"] for name in ("other", "turned"))


def test_an_alpha_plane_that_says_nothing_or_the_same_is_no_matter(tmp_path, capsys):
    root = pictures(
        tmp_path / "in", full=planes(GOOD, GOOD, GOOD, 255), cut=planes(GOOD, GOOD, GOOD, GOOD), grey=planes(GOOD, 255)
    )
    code, cases, said = protect(root, capsys)
    assert code == 0 and {one["status"] for one in cases.values()} == {"protected"}, said
    for name in cases:
        assert changed(root, f"{name}.png")[INK].any() and not changed(root, f"{name}.png")[:5].any()
        assert same_labels(root, f"{name}.png")


def test_a_mask_with_a_transparent_palette_or_colour_is_asked_about(tmp_path, capsys):
    def palette(path):
        image = Image.frombytes("P", (SIDE, SIDE), (~INK).astype(np.uint8).tobytes())
        image.putpalette([255, 0, 0, 90, 90, 90])
        image.save(path, transparency=1)

    root = pictures(tmp_path / "in", good=GOOD, palette=palette)
    code, cases, _ = protect(root, capsys)
    assert code == 3 and "--background 1" in cases["palette"]["reason"]
