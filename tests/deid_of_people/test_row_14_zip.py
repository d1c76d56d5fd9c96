# SPDX-License-Identifier: Apache-2.0
"""Row 14: nothing of an original is ever laid on the disk from a zip, so that no signal can leave it there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.dicom_files import image, save
from tests.files_of_people.every_command import call
from umed.deid.keys import DeidKey
from umed.dicom.read import reader

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
SECRET = "Qxzvwy^Jkplmn"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 300 files; the key lies beside it."""
    folder = tmp_path_factory.mktemp("zip")
    pixels = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
    one = save(image(pixels, PatientName=SECRET), folder / "one")
    ds = reader.read(one, pixels=True)
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(300):
            ds.SOPInstanceUID, ds.InstanceNumber = f"1.2.3.{number}", number
            ds.ImagePositionPatient = [0, 0, number]
            file.write(save(ds, one), f"{number}.dcm")
    one.unlink()
    DeidKey.create(folder / "key")
    return folder / "all.zip"


def holding(folder: Path) -> list[Path]:
    """Files that hold the name of the patient as it is stored."""
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "number, workers", [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGTERM, 1), (signal.SIGINT, 1)]
)
def test_a_run_that_is_stopped_leaves_no_original(
    number: signal.Signals, workers: int, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    words = ["anonymize", archive, tmp_path / "out", "--key-file", archive.with_name("key"), "--workers", workers]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "tmp")}
    process = subprocess.Popen(
        [sys.executable, "-m", "umed", *map(str, words)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 120
        while not list((tmp_path / "out").rglob("*.dcm")) and process.poll() is None and time.monotonic() < end:
            assert holding(tmp_path) == []  # neither while it runs
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(60)
    finally:
        process.kill()
    written = len(list((tmp_path / "out").rglob("*.dcm")))
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number) and written < 300
    assert list((tmp_path / "tmp").rglob("*.dcm")) == [] and holding(tmp_path) == []
    if number == signal.SIGTERM:
        assert list((tmp_path / "tmp").iterdir()) == []


def test_a_zip_needs_no_temporary_folder_at_all(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, checking with the originals and verifying, with a temporary folder in which nothing can be made."""
    few = tmp_path / "few.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(few, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist()[:3]:
            target.writestr(name, source.read(name))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    key = str(archive.with_name("key"))
    out = str(tmp_path / "out")
    said = call(["anonymize", str(few), out, "--key-file", key, "--quiet"])
    assert said.code == 0, said.err
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3
    said = call(["anonymize", "--check", out, "--original", str(few)])
    assert "absent" not in said.err and said.code in (0, 1), said.err
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(few) as file:
        file.extractall(tmp_path / "in")
    said = call(["anonymize", str(tmp_path / "in"), str(tmp_path / "plain"), "--key-file", key, "--quiet"])
    written = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.dcm")}
        for root in (tmp_path / "out", tmp_path / "plain")
    ]
    assert written[0] == written[1] and len(written[0]) == 3
