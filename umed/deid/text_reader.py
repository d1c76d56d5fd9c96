# SPDX-License-Identifier: Apache-2.0
"""A second look at pixels: words that tesseract reads in a picture. It finds much of what people can read, not all."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umed.core.errors import ConfigError, InputError

PROGRAM, LANGUAGE = "tesseract", "eng"
SECONDS = 60
"""Most time for one reading of one frame."""
LEAST_CONFIDENCE = {3: 85.0, 4: 75.0}
"""Letters and digits that a word has, and the confidence from which it counts: noise and bones read as short words."""
SMALL, LARGE = 1024, 3000
"""Pictures below the first are read at twice their size, since small letters are not read; above the second at half."""
CURE = "Install it (Debian, Ubuntu: apt-get install tesseract-ocr), or leave --look-for-text out."


@dataclass(frozen=True)
class Word:
    """A word that was read.

    Args:
        text: as it was read; may be the name of a patient.
        confidence: 0 to 100.
        box: top, left, height and width in pixels.
    """

    text: str
    confidence: float
    box: tuple[int, int, int, int]

    @property
    def counts(self) -> bool:
        """Whether it is more than noise."""
        letters = min(len(re.findall(r"[^\W_]", self.text)), max(LEAST_CONFIDENCE))
        return self.confidence >= LEAST_CONFIDENCE.get(letters, 101.0)


class TextReader:
    """Reads words in pictures with tesseract, found on the path.

    Raises:
        ConfigError: when there is none, or it does not know English.
    """

    def __init__(self) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise ConfigError(f"--look-for-text: expected the program {PROGRAM} on PATH, got none. {CURE}")
        self.program = program
        self.version = next(iter(self._say("--version").split("\n")), "").removeprefix(PROGRAM).strip()
        if LANGUAGE not in self._say("--list-langs").split():
            raise ConfigError(f"--look-for-text: expected {PROGRAM} with the language {LANGUAGE}, got none. {CURE}")

    def words(self, frame: NDArray[np.floating], window: tuple[float, float] | None = None) -> tuple[Word, ...]:
        """Words in a picture: the first of its readings that has any.

        Args:
            frame: ``(rows, columns)`` or ``(rows, columns, 3)``, any unit.
            window: lowest and highest value that is shown, if the file says so.

        Returns:
            Those that count, with boxes in pixels of the frame.

        Raises:
            InputError: when it cannot be read, or takes too long.
        """
        for shown in renderings(frame, window):
            rows, columns = shown.shape
            scale = 2.0 if max(rows, columns) < SMALL else 0.5 if max(rows, columns) > LARGE else 1.0
            found = parse_words(self._read(shown, scale), scale)
            if counted := tuple(word for word in found if word.counts):
                return counted
        return ()

    def _read(self, shown: NDArray[np.uint8], scale: float) -> str:
        image, file = Image.fromarray(shown), io.BytesIO()
        if scale != 1.0:
            sides = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            image = image.resize(sides, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)
        image.save(file, "PNG", compress_level=1)
        # Sparse text: words anywhere, in no order. The density only matters to tesseract's guess of the letters' size.
        return self._run("stdin", "stdout", "--psm", "11", "-l", LANGUAGE, "--dpi", "150", "tsv", given=file.getvalue())

    def _say(self, option: str) -> str:
        try:
            return self._run(option)
        except InputError as error:
            raise ConfigError(f"--look-for-text: {error}. {CURE}") from error

    def _run(self, *options: str, given: bytes = b"") -> str:
        try:
            done = subprocess.run(
                [self.program, *options],
                input=given,
                capture_output=True,
                timeout=SECONDS,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"expected {PROGRAM} to read a picture within {SECONDS} s, got no answer") from error
        except OSError as error:
            raise InputError(f"expected {PROGRAM} to run, got: {error.strerror}") from error
        if done.returncode:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[:200]
            raise InputError(f"expected {PROGRAM} to read a picture, got exit code {done.returncode} ({said})")
        return done.stdout.decode("utf-8", "replace")


def parse_words(table: str, scale: float = 1.0) -> tuple[Word, ...]:
    """Words of tesseract's TSV output, whose lines of level 5 are words; lines that are none are left out.

    Args:
        table: a header and one line of twelve columns for each box.
        scale: by which the picture was enlarged.

    Returns:
        Every word, with its box in the picture before it was enlarged.
    """
    found = []
    for line in table.splitlines():
        cells = line.split("\t", 11)
        if len(cells) != 12 or cells[0] != "5" or not cells[11].strip():
            continue
        try:
            left, top, width, height = (round(int(cell) / scale) for cell in cells[6:10])
            found.append(Word(cells[11].strip(), float(cells[10]), (top, left, height, width)))
        except ValueError:
            continue
    return tuple(found)


def renderings(frame: NDArray[np.floating], window: tuple[float, float] | None = None) -> Iterator[NDArray[np.uint8]]:
    """Pictures of 8 bits: by the file's window and from least to largest value, each also inverted; no flat ones.

    Colours become brightness, and where there are any, the strength of the colour too.

    Args:
        frame: ``(rows, columns)`` or ``(rows, columns, 3)``.
        window: lowest and highest value that is shown.

    Yields:
        ``(rows, columns)``.
    """
    values = np.nan_to_num(np.asarray(frame, np.float64), posinf=0.0, neginf=0.0)
    planes = [values] if values.ndim == 2 else [values @ (0.299, 0.587, 0.114), np.ptp(values, axis=-1)]
    seen: set[bytes] = set()
    for plane in planes:
        for low, high in ([window] if window is not None else []) + [(float(plane.min()), float(plane.max()))]:
            if not high > low:
                continue
            shown = np.clip((plane - low) / (high - low) * 255, 0, 255).round().astype(np.uint8)
            if shown.min() == shown.max() or shown.tobytes() in seen:
                continue
            seen.add(shown.tobytes())
            yield shown
            yield 255 - shown
