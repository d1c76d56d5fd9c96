# SPDX-License-Identifier: Apache-2.0
"""Verification on hand-made outputs: whatever is tampered with must be found."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from umed.cases.file_check import check_file
from umed.core.types import Outcome
from umed.data import files, formats
from umed.data.files import sha256
from umed.data.layouts import find_dataset, write_index
from umed.data.masks import read_label
from umed.plan.budget import apply, insert, make_budget
from umed.plan.metrics import measure
from umed.plan.planning import Plan
from umed.plan.regions import plan_regions
from umed.protect.manifest import make_manifest, write_manifest
from umed.protect.verify import verify

PLAN = Plan(method="random", epsilon=8 / 255, range="percentile", radius=2.0, spatial_dims=3)


def release(root, output, plan):
    """Protect with plain noise, without any of umed's methods."""
    dataset = find_dataset(root)
    rng = np.random.default_rng(0)
    outcomes, released = [], set()
    for case in dataset.cases:
        if case.label is None:
            outcomes.append(Outcome(case.id, "skipped", "no label"))
            continue
        volumes = [formats.read(root / name) for name in case.images]
        regions = plan_regions(read_label(root / case.label, volumes[0]), volumes[0], plan)
        records = []
        for volume, name in zip(volumes, case.outputs, strict=True):
            stored, figures = np.array(volume.stored), {}
            if not regions.empty:
                budget = make_budget(volume, epsilon=plan.epsilon, range=plan.range, percentiles=plan.percentiles)
                crop = volume.channels[(slice(None),) + regions.box]
                noise = rng.uniform(-1, 1, crop.shape).astype(np.float32)
                stored = insert(volume, regions.box, apply(crop, noise, regions.support, budget, volume.encoding))
                figures = measure(volume, stored, regions, budget)
            with files.atomic(output / name) as temporary:
                formats.write(volume, stored, temporary)
                if not regions.empty:
                    assert check_file(volume, temporary, regions, budget)[0] == []
            sums = {"sha256_in": sha256(volume.source), "sha256_out": sha256(output / name)}
            records.append({**sums, **figures})
        files.copy(root / case.label, output / case.label)
        measures = {"files": records, "label_sha256": files.sha256(root / case.label)}
        status, reason = ("unchanged", "empty label") if regions.empty else ("protected", "")
        outcomes.append(Outcome(case.id, status, reason, measures))
        released.add(case.id)
    write_index(dataset, released, output)
    write_manifest(output, make_manifest(plan, dataset.layout, outcomes, "test"))


@pytest.fixture
def decathlon(tmp_path, make_decathlon):
    root = make_decathlon(tmp_path / "in", empty=True)
    release(root, tmp_path / "out", PLAN)
    return root, tmp_path / "out"


def rewrite(root, output, name, change, manifest=True):
    """Write other values into an output file, and make the checksums fit."""
    volume = formats.read(output / name)
    stored = np.array(volume.stored)
    change(stored, np.asarray(formats.read(root / name).stored))
    formats.write(volume, stored, output / name)
    if manifest:
        fix_sums(output, name)


def fix_sums(output, name):
    path = output / "umed" / "manifest.json"
    content = json.loads(path.read_text())
    for case in content["cases"]:
        if case["id"] in str(name):
            case["files"][0]["sha256_out"] = files.sha256(output / name)
    path.write_text(json.dumps(content))


def test_all_layouts_hold(tmp_path, decathlon, make_pairs, make_nnunet):
    found = verify(*decathlon)
    assert found.ok, found.summary()
    assert [case.status for case in found.cases] == ["unchanged", "protected", "protected", "skipped"]
    assert [case.id for case in found.unprotected] == ["case_000", "case_900"]
    assert "every promise holds" in found.summary() and json.loads(found.to_json())["ok"]
    flat = replace(PLAN, range="dtype", spatial_dims=2)
    release(make_pairs(tmp_path / "p", ending=".jpg"), tmp_path / "q", flat)
    assert verify(tmp_path / "p", tmp_path / "q").ok
    release(make_nnunet(tmp_path / "n"), tmp_path / "m", PLAN)
    assert verify(tmp_path / "n", tmp_path / "m").ok


NAME = "imagesTr/case_001.nii.gz"
LABEL = "labelsTr/case_001.nii.gz"
UNLABELLED = "imagesTs/case_900.nii.gz"


def broken(decathlon, words):
    found = verify(*decathlon)
    text = found.summary()
    assert not found.ok
    for word in words:
        assert word in text, text


def test_change_outside_the_support(decathlon):
    rewrite(*decathlon, NAME, lambda new, old: new.__setitem__((0, 0, 0), new[0, 0, 0] + 1))
    broken(decathlon, ["case_001", "outside ROI", "1 changed"])


def test_change_above_the_bound(decathlon):
    def jump(new, old):
        place = tuple(np.argwhere(new != old)[0])
        new[place] = old[place] + (60 if new[place] > old[place] else -60)

    rewrite(*decathlon, NAME, jump)
    broken(decathlon, ["case_001", "at most", "60"])


def test_value_outside_the_range_moved(decathlon):
    root, output = decathlon
    volume = formats.read(root / NAME)
    budget = make_budget(volume, epsilon=PLAN.epsilon, range=PLAN.range)
    labels = np.asarray(formats.read(root / "labelsTr/case_001.nii.gz").stored)
    place = tuple(np.argwhere((labels > 0) & (volume.stored > budget.high))[0])
    rewrite(root, output, NAME, lambda new, old: new.__setitem__(place, new[place] + 1))
    broken(decathlon, ["case_001", "outside the range untouched"])


def test_original_passed_off_as_protected(decathlon):
    root, output = decathlon
    rewrite(root, output, NAME, lambda new, old: new.__setitem__(..., old))
    broken(decathlon, ["case_001", "expected changed voxels"])


def test_one_header_byte(decathlon):
    root, output = decathlon
    import gzip

    raw = bytearray(gzip.decompress((output / NAME).read_bytes()))
    raw[150] ^= 1  # descrip
    (output / NAME).write_bytes(gzip.compress(bytes(raw)))
    fix_sums(output, NAME)
    broken(decathlon, ["header bytes", "byte 150"])


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda root, out: (out / NAME).unlink(), ["expected a file, got nothing"]),
        (lambda root, out: (out / NAME).write_bytes(b"x"), ["cannot be read again", "checksums"]),
        (lambda root, out: (out / LABEL).write_bytes(b"x"), [LABEL, "identical bytes"]),
        (lambda root, out: files.copy(root / UNLABELLED, out / UNLABELLED), ["file of a skipped case"]),
        (lambda root, out: files.copy(root / NAME, out / "imagesTr/extra.nii.gz"), ["extra.nii.gz", "no such file"]),
        (lambda root, out: (out / "notes.csv").write_text("Jane"), ["notes.csv"]),
        (lambda root, out: files.copy(root / NAME, out / "umed/work/a.nii.gz"), ["umed/work/a.nii.gz"]),
        (lambda root, out: files.copy(root / "dataset.json", out / "dataset.json"), ["index of exactly the released"]),
        (lambda root, out: rewrite(root, out, NAME, lambda new, old: new.sort(0), manifest=False), ["checksums"]),
    ],
)  # fmt: skip
def test_tampering_is_found(decathlon, tamper, words):
    tamper(*decathlon)
    broken(decathlon, words)


def test_manifest_that_lies(decathlon):
    root, output = decathlon
    path = output / "umed" / "manifest.json"
    whole = json.loads(path.read_text())
    for change, words in [
        (lambda m: m["plan"].update(epsilon=4 / 255), ["at most"]),
        (lambda m: m["plan"].update(radius=0.0), ["outside ROI"]),
        (lambda m: m["cases"].pop(1), ["missing", "not in the manifest"]),
        (lambda m: m["cases"][1].update(status="unchanged"), ["expected status protected"]),
        (lambda m: m["cases"][1]["files"][0].update(epsilon_steps=1), ["steps in the manifest"]),
        (lambda m: m["cases"].append({"id": "x", "status": "failed"}), ["not in the input"]),
    ]:
        content = json.loads(json.dumps(whole))
        change(content)
        path.write_text(json.dumps(content))
        broken(decathlon, words)


def test_neither_torch_nor_monai():
    code = "import sys, umed.protect.verify, umed.data.layouts; print({'torch', 'monai'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"
