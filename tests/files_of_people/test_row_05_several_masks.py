# SPDX-License-Identifier: Apache-2.0
"""Row 5: several masks of one picture protect it together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.layout_files import lay
from tests.layout_runs import moved_only_inside, protect_and_prove
from umed.cli.main import main

NAMES = [
    ("_mask", "_mask_1"),
    ("_seg1", "_seg2"),
    ("_lesion1", "_lesion2"),
    ("_1", "_2"),
    ("", "_1"),
    ("_gt (1)", "_gt (2)"),
]


def test_the_union_of_numbered_masks_is_protected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    for case, ends in enumerate(NAMES):
        lay(root, f"images/p{case}x.png")
        for end, corner in zip(ends, (2, 14), strict=True):
            mask = np.zeros((24, 20), np.uint8)
            mask[corner : corner + 6, 4:12] = 255
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(root / "masks" / f"p{case}x{end}.png")
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and moved_only_inside(root, out) == {f"p{case}x": True for case in range(len(NAMES))}
    for case in range(len(NAMES)):
        before, after = (np.array(Image.open(one / "images" / f"p{case}x.png")) for one in (root, out))
        assert (before != after)[2:8, 4:12].any() and (before != after)[14:20, 4:12].any()
    for path in (root / "masks").iterdir():
        assert (out / "masks" / path.name).read_bytes() == path.read_bytes()


def test_verify_asks_for_every_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = (
        lay(tmp_path / "in", "a.png", "a_mask.png=1", "a_mask_1.png=1", "b.png", "b_mask.png=1"),
        tmp_path / "out",
    )
    protect_and_prove(root, out, capsys)
    (out / "a_mask_1.png").write_bytes((out / "a_mask.png").read_bytes())
    assert main(["verify", str(root), str(out), "--quiet"]) == 1
    assert "a_mask_1.png: expected identical bytes, got others" in capsys.readouterr().out
    (out / "a_mask_1.png").unlink()
    assert main(["verify", str(root), str(out), "--quiet"]) == 1
    assert "a_mask_1.png: expected the label, got nothing" in capsys.readouterr().out


def test_a_mask_that_comes_later_is_not_forgotten_by_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = lay(tmp_path / "in", "a.png", "a_mask.png=1", "b.png", "b_mask.png=1"), tmp_path / "out"
    command = ["protect", str(root), str(out), "--method", "checkerboard", "--quiet", "--resume"]
    assert main(command[:-1]) == main(command) == 0
    lay(root, "a_mask_2.png=1")
    assert main(command) == 2
    assert "got one that differs in a_mask_2.png" in capsys.readouterr().err


def test_masks_of_two_kinds_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lay(tmp_path / "in", "a.png", "a_mask.png=1", "a_seg.png=1", "b.png", "b_mask.png=1")
    run = protect_and_prove(root, tmp_path / "out", capsys)
    assert run.files == {"b.png", "b_mask.png"}
    assert main(["inspect", str(root)]) in (0, 3)
    assert "got masks a_mask.png, a_seg.png" in capsys.readouterr().out
