# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from umed.core.errors import InputError
from umed.core.types import Outcome
from umed.plan.planning import Plan
from umed.protect.manifest import make_manifest, read_manifest, write_manifest


def test_round_trip_and_order(tmp_path):
    outcomes = [Outcome("b", "failed", "b.nii: no"), Outcome("a", "protected", "", {"files": [{"psnr": 50.0}]})]
    manifest = make_manifest(Plan(seed=7), "pairs", outcomes, "1.2")
    path = write_manifest(tmp_path, manifest)
    assert path == tmp_path / "umed" / "manifest.json"
    read = read_manifest(tmp_path)
    assert [case["id"] for case in read["cases"]] == ["a", "b"] and read["seed"] == 7 and read["format"] == 1
    first = path.read_bytes()
    write_manifest(tmp_path, make_manifest(Plan(seed=7), "pairs", outcomes[::-1], "1.2"))
    assert path.read_bytes() == first


def test_cases_left_out_of_training_are_listed_only_where_there_are_any(tmp_path):
    assert "left_out_of_training" not in make_manifest(Plan(), "pairs", [], "1")
    manifest = make_manifest(Plan(), "pairs", [], "1", [("b", "no"), ("a", "not either")])
    assert manifest["left_out_of_training"] == [{"id": "a", "reason": "not either"}, {"id": "b", "reason": "no"}]
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    with pytest.raises(ValueError, match="expected no path"):
        write_manifest(tmp_path, make_manifest(Plan(), "pairs", [], "1", [("a", "/home/jane/scan.nii: bad")]))


@pytest.mark.parametrize("leak", ["/home/jane/scan.nii: bad", "read C:\\data\\scan.nii", "got '/mnt/x/y'"])
def test_no_absolute_path_goes_out(tmp_path, leak):
    manifest = make_manifest(Plan(), "pairs", [Outcome("a", "failed", leak)], "1")
    with pytest.raises(ValueError, match="expected no path"):
        write_manifest(tmp_path, manifest)
    assert not (tmp_path / "umed" / "manifest.json").exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 9}', '{"format": 1}', '{"format": 1, "plan": {}, "cases": [1]}']
)
def test_damaged(tmp_path, content):
    with pytest.raises(InputError, match="got nothing"):
        read_manifest(tmp_path)
    (tmp_path / "umed").mkdir()
    (tmp_path / "umed" / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="expected"):
        read_manifest(tmp_path)
