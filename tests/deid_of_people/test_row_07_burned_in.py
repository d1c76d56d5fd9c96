# SPDX-License-Identifier: Apache-2.0
"""Row 7: anything but a plain NO about text or faces in a picture is put aside; so is text that can be read in it."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.dicom_files import image, save, write_series
from tests.release_files import make_key, released, volume
from umed.cli.main import main
from umed.core.errors import ConfigError
from umed.deid.text_reader import TextReader

SHAPE = (6, 8)
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


def run(source: Path, folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Exit code and everything that was said."""
    key = folder / "project.key"
    if not key.is_file():
        make_key(folder)
    code = main(["anonymize", str(source), str(folder / "out"), "--key-file", str(key), "--quiet", *options])
    said = capsys.readouterr()
    return code, said.out + said.err


def aside(folder: Path) -> dict[str, dict[str, str]]:
    """The list of what was put aside, by name."""
    return {one["name"]: one for one in json.loads((folder / "out-private" / "quarantine.json").read_text())["files"]}


def put(path: Path, number: int = 1, kind: str = "CT", **attributes: Any) -> None:
    """One picture of a series of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = image(np.full(SHAPE, number, np.uint16), kind, series=number, instance=number, **attributes)
        save(made, path)


def test_odd_values_are_put_aside_beside_plain_ones_that_go_out(tmp_path: Path, capsys) -> None:
    source = tmp_path / "in"
    plain = [{}, {"BurnedInAnnotation": "NO"}, {"BurnedInAnnotation": " NO "}, {"RecognizableVisualFeatures": "NO"}]
    odd = [{"BurnedInAnnotation": one} for one in ("YES", "Y", "TRUE", "1", "UNKNOWN", "no", ["NO", "NO"])]
    odd += [{"RecognizableVisualFeatures": one} for one in ("YES", "Y", "UNKNOWN")]
    odd += [{"ConversionType": one} for one in ("DF", "WSD", "DV", "DI", "SD", "SI", "DRW", "SYN")]
    for number, attributes in enumerate([*plain, *odd], 1):
        put(source / f"{'plain' if number <= len(plain) else 'odd'}_{number:02d}.dcm", number, **attributes)
    code, said = run(source, tmp_path, capsys)
    listed = aside(tmp_path)
    assert code == 3 and len(released(tmp_path / "out")) == len(plain)
    assert sorted(listed) == sorted(path.name for path in source.glob("odd_*"))
    assert {one["category"] for one in listed.values()} == {"burned-in"}
    assert all("--accept-burned-in" in one["reason"] and "burned_in rule" in one["next"] for one in listed.values())
    assert f"{len(odd)} quarantined" in said and "what to do about burned-in: look at the picture" in said
    assert str(tmp_path / "out-private" / "quarantine.json") in said


def test_accepting_is_said_with_reasons_and_no_false_promise_is_made(tmp_path: Path, capsys) -> None:
    source = tmp_path / "in"
    put(source / "a.dcm", 1, BurnedInAnnotation="UNKNOWN")
    put(source / "b.dcm", 2, RecognizableVisualFeatures="YES")
    put(source / "c.dcm", 3, "US")
    put(source / "d.dcm", 4)
    code, said = run(source, tmp_path, capsys, "--accept-burned-in")
    assert (code, aside(tmp_path)) == (0, {})
    assert "WARNING: --accept-burned-in let through 3 files that may show text or a face: " in said
    for reason in ("BurnedInAnnotation (0028,0301) is neither YES nor NO (1)", "an ultrasound picture (1)"):
        assert reason in said
    removed = sorted(str(one.PatientIdentityRemoved) for one in released(tmp_path / "out").values())
    assert removed == ["NO", "NO", "YES", "YES"]
    code, said = run(source, tmp_path, capsys, "--accept-burned-in", "--resume")
    assert code == 0 and "let through 3 files" in said  # the records know it, too


def test_what_the_profile_blanks_is_counted_and_faces_stay_aside(tmp_path: Path, capsys) -> None:
    source, profile = tmp_path / "in", tmp_path / "site.yaml"
    profile.write_text("burned_in: [{modality: US, rows: 6, columns: 8, rectangles: [[0, 0, 2, 8]]}]\n")
    put(source / "a.dcm", 1, "US")
    put(source / "b.dcm", 2, "US", RecognizableVisualFeatures="YES")
    code, said = run(source, tmp_path, capsys, "--profile", str(profile))
    assert code == 3 and "rules of the profile blanked parts of 1 file;" in said
    assert list(aside(tmp_path)) == ["b.dcm"]
    [found] = released(tmp_path / "out").values()
    assert found.BurnedInAnnotation == "NO" and found.PatientIdentityRemoved == "YES"


def test_a_screen_among_the_slices_is_put_aside_alone(tmp_path: Path, capsys) -> None:
    source = tmp_path / "in"
    paths = write_series(source, volume(shape=(4, 16, 16)))
    screen = pydicom.dcmread(paths[1])
    screen.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    screen.save_as(paths[1])
    code, _ = run(source, tmp_path, capsys)
    assert code == 3 and list(aside(tmp_path)) == [paths[1].name] and len(released(tmp_path / "out")) == 3


def test_without_tesseract_one_line_says_so_before_anything_is_written(tmp_path: Path, capsys, monkeypatch) -> None:
    write_series(tmp_path / "in", volume(shape=(2, 16, 16)))
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = run(tmp_path / "in", tmp_path, capsys, "--look-for-text")
    assert code == 2 and said.count("\n") == 1
    assert "expected the program tesseract on PATH, got none" in said and "apt-get install tesseract-ocr" in said
    assert not (tmp_path / "out").exists() and not (tmp_path / "out-private").exists()
    with pytest.raises(ConfigError, match="leave --look-for-text out"):
        TextReader()


def write(pixels: np.ndarray, text: str, place: tuple[int, int], value: int, size: int = 14) -> None:
    """Draw text into a slice; ``place`` is left and top."""
    mask = Image.new("L", pixels.shape[::-1])
    ImageDraw.Draw(mask).text(place, text, font=ImageFont.load_default(size), fill=255)
    pixels[np.asarray(mask) > 127] = value


def smooth(shape: tuple[int, int, int] = (5, 128, 160)) -> np.ndarray:
    """A body of water in air, without noise."""
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    disc = (rows - shape[1] / 2) ** 2 + (columns - shape[2] / 2) ** 2 < (shape[1] / 3) ** 2
    return np.repeat(np.where(disc, 1064, 24)[None], shape[0], axis=0).astype(np.int16)


@needs_tesseract
def test_a_ct_with_a_name_in_its_pixels_is_put_aside_whole_and_its_words_are_not_quoted(tmp_path: Path, capsys) -> None:
    named, clean = smooth(), smooth()
    write(named[2], "MUSTER 4711", (10, 6), 2000)  # the middle slice
    write_series(tmp_path / "in" / "named", named, series=1, study=1)
    write_series(tmp_path / "in" / "clean", clean, series=2, study=2)
    code, said = run(tmp_path / "in", tmp_path, capsys, "--look-for-text")
    listed = aside(tmp_path)
    assert code == 3 and len(released(tmp_path / "out")) == 5
    assert len(listed) == 5 and all(name.startswith("named/") for name in listed)
    [reason] = {one["reason"] for one in listed.values()}
    assert "text can be read in the pixels of named/" in reason and "MUSTER" not in said + json.dumps(listed).upper()
    assert "burned_in rule" in reason and "without --look-for-text" in reason
    assert "looked at 3 frames of what went out and read no text" in said
    top, left, height, width = json.loads(reason.split("] = ")[1].split("].")[0] + "]")
    assert abs(left - 10) < 4 and 4 <= top <= 14 and 6 <= height <= 20 and 40 <= width <= 120
    report = json.loads((tmp_path / "out-private" / "report.json").read_text())
    assert report["tools"]["tesseract"][0].isdigit()
    assert str(json.loads((tmp_path / "out-private" / "plan.json").read_text())["look_for_text"]) == "True"


@needs_tesseract
def test_resume_without_the_second_look_is_noticed(tmp_path: Path, capsys) -> None:
    write_series(tmp_path / "in", smooth((3, 64, 64)))
    assert run(tmp_path / "in", tmp_path, capsys, "--look-for-text")[0] == 0
    code, said = run(tmp_path / "in", tmp_path, capsys, "--resume")
    assert code == 2 and "look_for_text" in said
    assert run(tmp_path / "in", tmp_path, capsys, "--look-for-text", "--resume")[0] == 0


@needs_tesseract
def test_blanked_text_is_not_found_and_accepted_pictures_are_looked_at_in_every_frame(tmp_path: Path, capsys) -> None:
    frames = np.full((4, 96, 160), 20, np.uint8)
    frames[:] += np.arange(4, dtype=np.uint8)[:, None, None]
    write(frames[2], "ERIKA MUSTER", (8, 6), 250)  # a frame that is neither first, middle nor last of a file of five
    save(image(frames, "US", position=None), tmp_path / "in" / "cine.dcm")
    code, _ = run(tmp_path / "in", tmp_path, capsys, "--accept-burned-in", "--look-for-text")
    assert code == 1 and "frame 3" in aside(tmp_path)["cine.dcm"]["reason"]
    assert not released(tmp_path / "out")
    profile = tmp_path / "site.yaml"
    profile.write_text("burned_in: [{modality: US, rows: 96, columns: 160, rectangles: [[0, 0, 30, 160]]}]\n")
    code, said = run(tmp_path / "in", tmp_path, capsys, "--profile", str(profile), "--look-for-text", "--overwrite")
    assert code == 0 and "looked at 4 frames" in said and len(released(tmp_path / "out")) == 1
