# SPDX-License-Identifier: Apache-2.0
"""The DICOM configuration runs through monai.bundle, as the command line of umed does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import run

from tests.release_files import SHAPE, hospital, make_key, released
from umed.core.errors import ConfigError
from umed.monai.bundle import command, require_key
from umed.release.anonymize import anonymize

CONFIG = "configs/dicom.yaml"


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, str]:
    return {
        "dataset_dir": str(hospital(tmp_path / "in")),
        "output_dir": str(tmp_path / "out"),
        "key_file": str(make_key(tmp_path)),
        "method": "checkerboard",
    }


def test_anonymize_and_protect_and_verify(
    overrides: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("anonymize_and_protect", config_file=CONFIG, **overrides, transfer_syntax="jpegls", seed=3)
    said = capsys.readouterr().out
    assert f"{SHAPE[0] + 1} files written, 3 quarantined" in said and "series_0001: protected" in said
    found = released(tmp_path / "out").values()
    images = [ds for ds in found if ds.Modality == "CT"]
    assert len(images) == SHAPE[0] and {ds.PatientIdentityRemoved for ds in found} == {"YES"}
    assert {ds.file_meta.TransferSyntaxUID.name for ds in images} == {"JPEG-LS Lossless Image Compression"}
    assert {ds.ImageType[0] for ds in images if "umed" in ds.get("DerivationDescription", "")} == {"DERIVED"}
    run("verify", config_file=CONFIG, **overrides)
    assert "every promise holds" in capsys.readouterr().out
    victim = next(path for path in (tmp_path / "out").rglob("*.dcm"))
    victim.unlink()
    run("verify", config_file=CONFIG, **overrides)
    assert "expected a file, got nothing" in capsys.readouterr().out


def test_anonymize_alone(overrides: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("anonymize_and_protect", config_file=CONFIG, **overrides, protect=False, profile="longitudinal")
    assert "series_0001: unchanged" in capsys.readouterr().out
    codes = [ds.DeidentificationMethodCodeSequence for ds in released(tmp_path / "out").values()]
    assert {tuple(item.CodeValue for item in items) for items in codes} == {("113100", "113107")}


def test_what_is_missing_is_named(overrides: dict[str, str]) -> None:
    source, output, key = (overrides[name] for name in ("dataset_dir", "output_dir", "key_file"))
    for given in (("", output, key), (source, "", key), (source, output, "")):
        with pytest.raises(ConfigError, match="expected dataset_dir, output_dir and key_file, got less"):
            require_key(**dict(zip(("dataset_dir", "output_dir", "key_file"), given, strict=True)))
    with pytest.raises(ConfigError, match="Did you mean 'longitudinal'"):
        command(anonymize, input=source, output=output, key_file=key, profile="longitudnal")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--key_fil", "k"], 2, "unknown id 'key_fil'. Did you mean 'key_file'?"),
        (["--transfer_syntax", "rle"], 3, ""),
    ],
)
def test_exit_codes_on_the_command_line(
    words: list[str],
    code: int,
    message: str,
    overrides: dict[str, str],
    tmp_path: Path,
    monai_bundle: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    given = [word for key, value in {**overrides, "protect": "False"}.items() for word in (f"--{key}", value)]
    done = monai_bundle("run", "anonymize_and_protect", "--config_file", CONFIG, *given, *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr and (tmp_path / "out").exists() == (code == 3)
