# SPDX-License-Identifier: Apache-2.0
"""OME-TIFF: the description stays byte for byte, nothing of umed or of this machine comes in, the same bytes twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile

from tests.tiff_files import add_mask, pixels, tags, write_tiff
from umed.cli.main import main

METHOD = ("--method", "checkerboard", "--quiet")
OME = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}


def data_set(root: Path, **metadata: object) -> Path:
    for number, dtype in enumerate(("u1", "u2", "f4")):
        stored = pixels(dtype=dtype, seed=number)
        write_tiff(root / f"images/cell_{number}.ome.tif", stored, ome=True, metadata={"axes": "YX", **OME, **metadata})
        add_mask(root, f"cell_{number}.ome")
    return root


def test_description_is_kept_and_two_runs_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data_set(tmp_path / "in")
    assert main(["keygen", str(tmp_path / "key")]) == 0
    for out in ("one", "two"):
        assert main(["protect", str(root), str(tmp_path / out), "--key-file", str(tmp_path / "key"), *METHOD]) == 0
    assert main(["verify", str(root), str(tmp_path / "one"), "--key-file", str(tmp_path / "key")]) == 0
    for path in sorted((root / "images").iterdir()):
        written = tmp_path / "one/images" / path.name
        assert written.read_bytes() == (tmp_path / "two/images" / path.name).read_bytes()
        assert tags(written) == tags(path)
        with tifffile.TiffFile(path) as before, tifffile.TiffFile(written) as after:
            assert (
                after.is_ome
                and after.ome_metadata == before.ome_metadata
                and 'PhysicalSizeX="0.25"' in str(after.ome_metadata)
            )
            new, old = after.asarray(), before.asarray()
        assert new.dtype == old.dtype and (new != old).any() and new[0, 0] == old[0, 0]
        assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(written))), new)
        uuids = re.findall(rb"urn:uuid:[0-9a-f-]{36}", written.read_bytes())
        assert uuids == re.findall(rb"urn:uuid:[0-9a-f-]{36}", path.read_bytes())
    capsys.readouterr()


def test_names_in_ome_xml_are_said_by_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data_set(tmp_path / "in", Name="Roe^Jane biopsy", Description="ward 7")
    field = "tiff.OME-XML.Image.Name"
    assert main(["inspect", str(root)]) == 3
    said = capsys.readouterr().out
    assert f"warning: {field} holds text that may name somebody in 3 files" in said and "Roe^Jane biopsy" in said
    assert "PhysicalSize" not in said
    assert main(["protect", str(root), str(tmp_path / "out"), *METHOD, "--json"]) == 3
    problems = json.loads(capsys.readouterr().out)["release_check"]["problems"]
    assert {one["what"].partition(" = ")[0] for one in problems} == {field, "tiff.OME-XML.Description"}
    check = ["check-release", str(tmp_path / "out"), "--original", str(root)]
    assert main(check) == 1
    assert f"{field} in 3 files" in capsys.readouterr().out
    assert main([*check, "--accept-text", "tiff.OME-XML"]) == 0
    manifest = (tmp_path / "out/umed/manifest.json").read_text()
    assert "Roe" not in manifest and "Roe" not in (tmp_path / "out/umed/about.html").read_text()


def test_a_stack_is_refused_with_the_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data_set(tmp_path / "in")
    stack = np.stack([pixels(), pixels(seed=1), pixels(seed=2)])
    write_tiff(
        root / "images/stack.ome.tif", stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **OME}
    )
    add_mask(root, "stack.ome")
    assert main(["protect", str(root), str(tmp_path / "out"), *METHOD[:2], "--json"]) == 3
    outcomes = {one["id"]: one for one in json.loads(capsys.readouterr().out)["outcomes"]}
    [failed] = [one for one in outcomes.values() if one["status"] == "failed"]
    assert "expected one page, got 3" in failed["reason"] and "NIfTI" in failed["reason"]
    assert not (tmp_path / "out/images/stack.ome.tif").exists()
