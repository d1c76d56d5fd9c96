# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import umed.deid.text_reader as text_reader
from umed.core.errors import ConfigError, InputError
from umed.deid.text_reader import TextReader, Word, parse_words, renderings

HEADER = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for tesseract is a shell script")


def line(text: str, confidence: str = "96.1", level: int = 5, box: str = "20\t10\t80\t24") -> str:
    return f"{level}\t1\t1\t1\t1\t1\t{box}\t{confidence}\t{text}"


def test_words_are_parsed_with_boxes_of_the_picture_before_it_was_enlarged() -> None:
    table = "\n".join([HEADER, line("", "-1", 1), line("MUSTER"), line("x\ty", "12"), ""])
    first, second = parse_words(table, 2.0)
    assert first == Word("MUSTER", 96.1, (5, 10, 12, 40)) and second.text == "x\ty"
    assert parse_words(table)[0].box == (10, 20, 24, 80)


@pytest.mark.parametrize(
    "table",
    ["", HEADER, line("   "), line("A", "none"), line("A", box="1\t2\t3"), line("A", box="1\ta\t3\t4"), "no table\0"],
)
def test_lines_that_are_no_words_are_left_out(table: str) -> None:
    assert parse_words(table) == ()


@pytest.mark.parametrize(
    ("text", "confidence", "counts"),
    [
        ("Roe", 85.0, True),
        ("Rose", 75.0, True),
        ("4711", 96.0, True),
        ("M\u00fcl", 90.0, True),
        ("R.,-o/e", 90.0, True),
        ("Roe", 84.9, False),
        ("Rosemary", 74.9, False),
        ("LR", 99.0, False),
        ("-_-==", 99.0, False),
    ],
)
def test_short_and_doubtful_words_do_not_count(text: str, confidence: float, counts: bool) -> None:
    assert Word(text, confidence, (0, 0, 1, 1)).counts == counts


def test_a_picture_is_shown_by_its_window_and_whole_each_also_inverted() -> None:
    frame = np.array([[0.0, 100.0], [200.0, 1000.0]])
    shown = list(renderings(frame, (0.0, 200.0)))
    assert [one.tolist() for one in shown] == [
        [[0, 128], [255, 255]], [[255, 127], [0, 0]], [[0, 26], [51, 255]], [[255, 229], [204, 0]],
    ]  # fmt: skip
    assert all(one.dtype == np.uint8 for one in shown)
    assert len(list(renderings(frame, (0.0, 1000.0)))) == len(list(renderings(frame))) == 2  # equal ones once
    assert len(list(renderings(frame, (2000.0, 3000.0)))) == 2 and list(renderings(np.ones((2, 2)), (0, 2))) == []
    assert len(list(renderings(np.array([[np.nan, 1.0], [np.inf, 0.0]])))) == 2


def test_letters_in_a_colour_as_bright_as_the_ground_are_seen() -> None:
    picture = np.full((4, 6, 3), 100.0)
    assert list(renderings(picture)) == []
    picture[1, 2] = 100 + 0.587 * 60, 100 - 0.299 * 60, 100  # the same brightness
    assert any(one[1, 2] == 255 and one[0, 0] == 0 for one in renderings(picture))


def stand_in(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tesseract of a few lines."""
    said = 'case "$1" in --version) echo tesseract 9.8.7;; --list-langs) echo eng;; *)\n' + body + "\n;; esac\n"
    (folder / "tesseract").write_text(f"#!/bin/sh\n{said}")
    (folder / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


GRADIENT = np.arange(64.0).reshape(8, 8)


@needs_posix
def test_the_program_gets_a_png_of_twice_the_size_and_no_shell(tmp_path: Path, monkeypatch) -> None:
    row = line("MUSTER").replace("\t", "\\t")
    stand_in(tmp_path, f'echo "$@" > "{tmp_path}/words"; cat > "{tmp_path}/in.png"; printf "{row}\\n"', monkeypatch)
    reader = TextReader()
    assert reader.version == "9.8.7"
    assert reader.words(GRADIENT) == (Word("MUSTER", 96.1, (5, 10, 12, 40)),)
    assert (tmp_path / "words").read_text().split()[:2] == ["stdin", "stdout"]
    assert Image.open(tmp_path / "in.png").size == (16, 16)
    reader.words(np.arange(1100.0)[None] * np.ones((4, 1)))
    assert Image.open(tmp_path / "in.png").size == (1100, 4)
    reader.words(np.arange(4000.0)[None] * np.ones((4, 1)))
    assert Image.open(tmp_path / "in.png").size == (2000, 2)


@needs_posix
@pytest.mark.parametrize(
    ("body", "message"),
    [("exec sleep 20", "within 0.5 s, got no answer"), ("echo no room >&2; exit 3", r"exit code 3 \(no room\)")],
)
def test_a_reading_that_hangs_or_fails_is_an_error_and_never_no_text(body, message, tmp_path, monkeypatch) -> None:
    stand_in(tmp_path, body, monkeypatch)
    reader = TextReader()
    monkeypatch.setattr(text_reader, "SECONDS", 0.5)
    with pytest.raises(InputError, match=message):
        reader.words(GRADIENT)


@needs_posix
def test_a_program_without_its_language_or_that_does_not_run_is_refused_with_the_cure(tmp_path, monkeypatch) -> None:
    for body in ("#!/bin/sh\necho tesseract 9\n", "#!/bin/sh\nexit 1\n", "#!/nowhere/sh\n"):
        (tmp_path / "tesseract").write_text(body)
        (tmp_path / "tesseract").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="^--look-for-text: .*apt-get install tesseract-ocr.*out.$") as caught:
            TextReader()
        assert "\n" not in str(caught.value)


@needs_tesseract
@pytest.mark.parametrize("shape", [(128, 160), (512, 640)])
@pytest.mark.parametrize("size", [10, 16, 28])
@pytest.mark.parametrize("inverted", [False, True])
def test_drawn_words_are_read(shape: tuple[int, int], size: int, inverted: bool) -> None:
    canvas = Image.new("L", shape[::-1])
    ImageDraw.Draw(canvas).text((9, 20), "MUSTER", font=ImageFont.load_default(size), fill=255)
    frame = np.where(np.asarray(canvas) > 127, 900.0, 100.0) * (-1 if inverted else 1)
    [word] = TextReader().words(frame)
    top, left, height, width = word.box
    assert word.text == "MUSTER" and abs(left - 9) <= 4 and 20 <= top <= 20 + size and height <= 1.4 * size
    assert width >= 3 * size


@needs_tesseract
def test_noise_gradients_and_discs_hold_no_words() -> None:
    reader = TextReader()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :80]
    disc = np.where((rows - 32) ** 2 + (columns - 40) ** 2 < 400, 1000.0, 0.0)
    for frame in (rng.normal(0, 50, (48, 64)), columns * 1.0, disc, disc + rng.normal(0, 30, disc.shape)):
        assert reader.words(frame, (-100.0, 500.0)) == ()
