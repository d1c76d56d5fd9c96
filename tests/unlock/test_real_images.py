# SPDX-License-Identifier: Apache-2.0
"""Real images, protected with the default method and unlocked; skipped where there are none beside the repository."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pydicom
import pytest

from tests.unlock.unlock_runs import files, person, protect, unlock

METHOD = ("--method", "random", "--recipients")


def test_hippocampi_come_back_byte_for_byte_and_cost_little(shared_data, tmp_path):
    root, out, anne = tmp_path / "in", tmp_path / "out", person(tmp_path, "anne")
    names = sorted(path.name for path in (shared_data / "Task04_Hippocampus" / "imagesTr").glob("hippo*"))[:6]
    for ours, theirs in (("images", "imagesTr"), ("masks", "labelsTr")):
        (root / ours).mkdir(parents=True)
        for name in names:
            shutil.copyfile(shared_data / "Task04_Hippocampus" / theirs / name, root / ours / name)
    assert protect(root, out, *METHOD, str(anne.list)) == 0
    assert unlock(out, tmp_path / "again", anne.key) == 0
    before, after = files(root), files(tmp_path / "again")
    assert {n: gzip.decompress(d) for n, d in before.items()} == {n: gzip.decompress(d) for n, d in after.items()}
    sealed = sum(path.stat().st_size for path in (out / "umed" / "unlock").iterdir())
    assert sealed < 0.15 * sum(map(len, files(out).values()))  # noise without any pattern; codes take a third of it


def test_pictures_that_were_jpeg_come_back_byte_for_byte(shared_data, tmp_path):
    root, out, anne = tmp_path / "in", tmp_path / "out", person(tmp_path, "anne")
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for path in sorted((shared_data / "isic_600" / folder).iterdir())[:6]:
            shutil.copyfile(path, root / folder / path.name)
    assert protect(root, out, *METHOD, str(anne.list)) == 0
    assert unlock(out, tmp_path / "again", anne.key) == 0
    assert files(root) == files(tmp_path / "again")
    sealed = sum(path.stat().st_size for path in (out / "umed" / "unlock").iterdir())
    assert sealed < 0.14 * sum(map(len, files(out).values()))  # of six pictures; the list and the least size weigh more


def test_a_real_ct_has_its_pixels_again(shared_data, tmp_path):
    root, out, anne = shared_data / "dicom_series" / "ct_liver_3slice", tmp_path / "out", person(tmp_path, "anne")
    if not root.is_dir():
        pytest.skip("no such series in the real test data")
    assert protect(root, out, *METHOD, str(anne.list)) in (0, 3)
    assert unlock(out, tmp_path / "again", anne.key) == 0
    pairs = [
        (path, out / path.relative_to(root), tmp_path / "again" / path.relative_to(root)) for path in root.rglob("*")
    ]
    seen = 0
    for old, new, back in pairs:
        if new.is_file() and (read := pydicom.dcmread(old)).get("Modality") == "CT":
            pixels = read.pixel_array
            assert np.array_equal(pydicom.dcmread(back).pixel_array, pixels)
            seen += not np.array_equal(pydicom.dcmread(new).pixel_array, pixels)
    assert seen > 0
