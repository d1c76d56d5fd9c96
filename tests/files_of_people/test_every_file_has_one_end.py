# SPDX-License-Identifier: Apache-2.0
"""Random folders: every file has exactly one end, nothing labelled goes in silence, and the input stays as it is."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import umed
from tests.random_trees import TREES, Thing, plant, png, snapshot
from umed.cases.file_source import FileSource
from umed.data.accounting import Accounting
from umed.data.layouts import find_dataset

Tree = tuple[list[Thing], str, bool]
SLOW = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
    "report_multiple_bugs": False,
}
FEW, RUNS, MANY = (settings(max_examples=count, **SLOW) for count in (100, 60, 1000))


def check_accounting(found: Accounting, there: dict[str, tuple[str, bytes]]) -> None:
    names = [one.name for one in found.files]
    assert sorted(names) == sorted(there)  # each once
    assert sum(found.counts.values()) == len(there)
    for one in found.files:
        kind, content = there[one.name]
        assert one.why or one.end == "protected"
        if one.end == "left out" and not one.grave:  # nothing that may have had a label
            plain = kind == "file" and content.startswith(b"\x89PNG")
            assert not plain or ".git" in Path(one.name).parts, one
    assert found.public()["left out"].keys() <= {one.kind for one in found.left_out}
    assert all(line.isprintable() for line in found.lines())


@FEW
@given(TREES)
def test_names_alone_add_up(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = plant(Path(folder) / "in", tree)
        there = snapshot(root)
        check_accounting(FileSource(find_dataset(root)).account({}), there)
        check_accounting(FileSource(find_dataset(root), carry=True).account({}), there)
        assert snapshot(root) == there


def check_run(tree: Tree, carry: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, out = plant(Path(folder) / "in", tree), Path(folder) / "out"
        there = snapshot(root)
        result = umed.protect(root, out, method="checkerboard", report=False, carry=carry)
        assert snapshot(root) == there
        check_accounting(result.files, there)
        assert result.counts["protected"] >= 1
        assert result.exit_code == (3 if result.files.grave or not result.check.ok else 0), result.summary()
        assert result.check.ok, result.summary()
        written, listed = snapshot(out), json.loads((out / "umed/manifest.json").read_text())["files"]
        assert written.keys() == {*listed, "umed/manifest.json"}
        ends = {one.name: one.end for one in result.files.files}
        for name, entry in listed.items():
            if entry["what"] == "carried":
                assert ends[name] == "carried" and written[name] == there[name]
            if entry["what"] == "label":
                assert written[name][1] == (root / name).read_bytes()
        assert not [
            one.name for one in result.files.left_out if one.kind not in ("image", "label") and one.name in listed
        ]
        checked = umed.verify(root, out)
        assert checked.ok, checked.summary()
        assert umed.verify(root, out, promise={"epsilon": 4 / 255, "carry": carry}, private=None).ok
        (root / "images/late.png").write_bytes(png("picture", "late"))
        assert [line for line in umed.verify(root, out).problems if "images/late.png" in line]


@RUNS
@given(TREES)
def test_runs_add_up(tree: Tree) -> None:
    check_run(tree, carry=len(tree[0]) % 2 == 0)


@pytest.mark.slow
@pytest.mark.skipif("UMED_STUDIES" not in os.environ, reason="some minutes: set UMED_STUDIES=1 to run it")
@MANY
@given(TREES)
def test_a_thousand_runs_add_up(tree: Tree) -> None:
    check_run(tree, carry=len(tree[0]) % 2 == 0)
