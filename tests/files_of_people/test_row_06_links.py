# SPDX-License-Identifier: Apache-2.0
"""Links of every kind: listed, and followed only where they stay in the data set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.cli.main import main

Capture = pytest.CaptureFixture[str]


def protect(root: Path, out: Path, *more: str) -> int:
    return main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", *more])


@pytest.mark.parametrize("name", ["images/far.png", "far", "notes"])
def test_a_link_that_leads_outside_is_listed_and_exit_code_3(
    name: str, pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    root, out = pictures(2), tmp_path / "out"
    (tmp_path / "secret").write_bytes((root / "images/case_0.png").read_bytes())
    (root / name).symlink_to(tmp_path / "secret")
    assert protect(root, out) == 3
    said = capsys.readouterr().out
    assert f"left out: {name}: " in said and "leads out of" in said and "NOT in it" in said
    assert "secret" not in (out / "umed/manifest.json").read_text() and not (out / name).exists()
    assert name not in (out / "umed/manifest.json").read_text()
    assert main(["inspect", str(root)]) == 3 and f"left out: {name}: " in capsys.readouterr().out
    assert main(["plan", str(root), "--method", "checkerboard"]) == 3 and name in capsys.readouterr().out
    assert protect(root, tmp_path / "dry", "--dry-run") == 3 and not (tmp_path / "dry").exists()


def test_links_to_nothing_and_special_files_are_listed(
    pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    root = pictures(2)
    (root / "images/gone.png").symlink_to(root / "nowhere.png")
    (root / "README.md").symlink_to(root / "nowhere.md")
    os.mkfifo(root / "images/pipe.png")
    assert protect(root, tmp_path / "out", "--json") == 3
    left = {one["name"]: one for one in json.loads(capsys.readouterr().out)["accounting"]["left_out"]}
    assert left["images/gone.png"]["grave"] and left["images/pipe.png"]["grave"] and not left["README.md"]["grave"]
    assert {one["kind"] for one in left.values()} == {"link", "special"}


def test_links_within_the_data_set_are_protected_once(
    pictures: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    """As git-annex and DataLad lay them: names that are links into a hidden store."""
    root, store = pictures(2), tmp_path / "pictures/.git/annex"
    store.mkdir(parents=True)
    for number, path in enumerate(sorted((root / "images").iterdir())):
        path.rename(store / f"{number}.png")
        path.symlink_to(f"../.git/annex/{number}.png")
    (root / "extra").mkdir()
    (root / "extra/again.png").symlink_to("../images/case_0.png")
    assert protect(root, tmp_path / "out", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accounting"]["counts"] == {"protected": 4, "unchanged": 2, "carried": 0, "left out": 1}
    assert "where it lies" in found["accounting"]["left_out"][0]["reason"]
    assert not (tmp_path / "out/images/case_0.png").is_symlink()
    assert main(["verify", str(root), str(tmp_path / "out"), "--quiet"]) == 0


def test_a_folder_that_is_a_link_is_protected_once(pictures: Callable[..., Path], tmp_path: Path) -> None:
    root = pictures(2)
    (root / "images").rename(root / "store")
    (root / "images").symlink_to("store")
    assert protect(root, tmp_path / "out") == 0
    record = json.loads((tmp_path / "out-private/release.json").read_text())["accounting"]
    protected = [name for names in record["released"]["protected"].values() for name in names]
    assert protected == ["store/case_0.png", "store/case_1.png"] and record["left_out"][0]["name"] == "images"
