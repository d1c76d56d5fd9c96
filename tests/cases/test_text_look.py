# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import enhanced, image, save, write_series
from umed.cases.instance_writer import CATEGORIES, Refused
from umed.cases.quarantine_list import NEXT
from umed.cases.text_look import look_for_text
from umed.core.errors import InputError
from umed.deid.identity import Anonymous, Derived
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile
from umed.deid.text_reader import Word
from umed.dicom.objects import LIMITS, Series
from umed.dicom.read.scan import scan

FOUND = (Word("MUSTER", 96.0, (3, 4, 2, 5)), Word("4711", 96.0, (4, 10, 3, 2)))
SHAPE = (7, 10, 14)


class Reader:
    """Stands in for tesseract: "reads" words in frames that have a certain value."""

    version = "0"

    def __init__(self, marked: float = -1.0, error: str = "") -> None:
        self.marked, self.error = marked, error
        self.frames: list[np.ndarray] = []
        self.windows: list[tuple[float, float] | None] = []

    def words(self, frame: np.ndarray, window: tuple[float, float] | None = None) -> tuple[Word, ...]:
        self.frames.append(frame)
        self.windows.append(window)
        if self.error:
            raise InputError(self.error)
        return FOUND if (frame == self.marked).any() else ()


def identity(reader: Any, folder: Path, profile: str | Path = "basic", accept: bool = False) -> Anonymous:
    path = folder / "key"
    if not path.exists():
        DeidKey.create(path)
    return Anonymous(DeidKey.load(path), load_profile(profile), accept, reader)


def numbered() -> np.ndarray:
    """Slice k is full of k + 1."""
    return np.repeat(np.arange(1, SHAPE[0] + 1, dtype=np.int16), SHAPE[1] * SHAPE[2]).reshape(SHAPE)


def only(folder: Path) -> Series:
    [found] = scan(folder).series
    return found


def look(folder: Path, reader: Reader, tmp_path: Path, **options: Any) -> int:
    return look_for_text(only(folder), identity(reader, tmp_path, **options), LIMITS)


@pytest.mark.parametrize("multi", [False, True])
def test_first_middle_and_last_slice_are_looked_at(multi: bool, tmp_path: Path) -> None:
    if multi:
        save(enhanced(numbered(), order=[3, 1, 0, 2, 6, 5, 4]), tmp_path / "in" / "all.dcm")
    else:
        write_series(tmp_path / "in", numbered())
    reader = Reader()
    assert look(tmp_path / "in", reader, tmp_path) == 3
    assert [frame.max() for frame in reader.frames] == [1, 4, 7]
    with pytest.raises(
        Refused, match=r"2 words in frame \d, within \[top, left, height, width\] = \[3, 4, 4, 8\]"
    ) as it:
        look(tmp_path / "in", Reader(marked=4), tmp_path)
    assert it.value.category == "burned-in" and "MUSTER" not in str(it.value) and "4711" not in str(it.value)
    assert look(tmp_path / "in", Reader(marked=3), tmp_path) == 3  # not one of them: the limit that the docs tell


def test_every_frame_of_what_may_hold_text_is_looked_at_and_equal_ones_once(tmp_path: Path) -> None:
    frames = numbered().astype(np.uint8)
    frames[5] = frames[2]
    save(image(frames, "US", position=None), tmp_path / "in" / "us.dcm")
    reader = Reader()
    assert look(tmp_path / "in", reader, tmp_path, accept=True) == 7
    assert [frame.max() for frame in reader.frames] == [1, 2, 3, 4, 5, 7]
    with pytest.raises(Refused, match="in frame 5"):
        look(tmp_path / "in", Reader(marked=5), tmp_path, accept=True)
    assert look(tmp_path / "in", Reader(marked=5), tmp_path) == 0  # it is put aside by itself


def test_what_the_profile_blanks_is_not_seen(tmp_path: Path) -> None:
    frames = np.full(SHAPE, 9, np.uint8)
    frames[4, 1, 2] = 200
    save(image(frames, "US", position=None), tmp_path / "in" / "us.dcm")
    profile = tmp_path / "site.yaml"
    for height in (1, 2):
        profile.write_text(
            f"burned_in: [{{modality: US, rows: 10, columns: 14, rectangles: [[0, 0, {height}, 14]]}}]\n"
        )
        if height == 1:
            with pytest.raises(Refused, match="frame 5"):
                look(tmp_path / "in", Reader(marked=200), tmp_path, profile=profile)
        else:
            assert look(tmp_path / "in", Reader(marked=200), tmp_path, profile=profile) == 7


def test_a_broken_file_is_left_to_the_writer_and_its_neighbour_looked_at(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", numbered())
    series = only(tmp_path / "in")
    broken = series.instances[0].path
    ds = pydicom.dcmread(broken)
    ds.PixelData = b""
    ds.save_as(broken)
    reader = Reader()
    assert look(tmp_path / "in", reader, tmp_path) == 3
    assert [frame.max() for frame in reader.frames] == [4, 7, 2]
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.PixelData = b""
        ds.save_as(path)
    with pytest.raises(Refused, match="no picture of it can be looked at for text") as caught:
        look(tmp_path / "in", Reader(), tmp_path)
    assert caught.value.category == "pixels"


def test_a_reading_that_fails_is_never_no_text(tmp_path: Path) -> None:
    write_series(tmp_path / "in", numbered())
    with pytest.raises(Refused, match=r"could not be looked at for text \(no answer\)\. Blank it") as caught:
        look(tmp_path / "in", Reader(error="no answer"), tmp_path)
    assert caught.value.category == "burned-in"


def test_the_window_is_that_of_the_file_in_stored_values(tmp_path: Path) -> None:
    window = {"WindowCenter": [40, 300], "WindowWidth": [400, 1500], "RescaleSlope": 2, "RescaleIntercept": -1000}
    write_series(tmp_path / "a", numbered(), **window)
    reader = Reader()
    look(tmp_path / "a", reader, tmp_path)
    assert reader.windows == [(420.0, 620.0)] * 3  # (40 -+ 200 + 1000) / 2
    ds = enhanced(numbered())
    shown = Dataset()
    shown.WindowCenter, shown.WindowWidth = 0, 100
    ds.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [shown]
    save(ds, tmp_path / "b" / "all.dcm")
    look(tmp_path / "b", reader := Reader(), tmp_path)
    assert reader.windows == [(475.0, 525.0)] * 3
    write_series(tmp_path / "c", numbered(), WindowCenter="", WindowWidth="0")
    look(tmp_path / "c", reader := Reader(), tmp_path)
    assert reader.windows == [None] * 3


def test_palettes_floats_bits_and_ybr_are_looked_at_as_they_are_shown(tmp_path: Path) -> None:
    pixels = np.arange(140, dtype=np.uint8).reshape(10, 14)
    palette = image(pixels, "OT", position=None, photometric="PALETTE COLOR", instance=1)
    for number, colour in enumerate(("Red", "Green", "Blue")):
        setattr(palette, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256) * 256 // (number + 1)).astype("<u2").tobytes()
        setattr(palette, f"{colour}PaletteColorLookupTableData", table)
    save(palette, tmp_path / "palette" / "a.dcm")
    colours = image(np.stack([pixels] * 3, -1), "OT", position=None, photometric="YBR_FULL", instance=2)
    save(colours, tmp_path / "ybr" / "a.dcm")
    floats = image(pixels, "OT", position=None, instance=3)
    del floats.PixelData, floats.BitsStored, floats.HighBit, floats.PixelRepresentation
    floats.BitsAllocated, floats.FloatPixelData = 32, np.linspace(0, 1, 140, dtype="<f4").tobytes()
    save(floats, tmp_path / "float" / "a.dcm")
    bits = image(pixels, "OT", position=None, instance=4)
    bits.BitsAllocated = bits.BitsStored = 1
    bits.HighBit = 0
    bits.PixelData = np.packbits(np.arange(140) % 3 == 0, bitorder="little").tobytes()
    save(bits, tmp_path / "bits" / "a.dcm")
    for name, shape in (("palette", (10, 14, 3)), ("ybr", (10, 14, 3)), ("float", (10, 14)), ("bits", (10, 14))):
        reader = Reader()
        assert look(tmp_path / name, reader, tmp_path, accept=True) == 1
        assert reader.frames[0].shape == shape and np.ptp(reader.frames[0]) > 0, name


def test_nothing_is_looked_at_without_being_asked(tmp_path: Path) -> None:
    write_series(tmp_path / "in", numbered())
    series = only(tmp_path / "in")
    assert look_for_text(series, identity(None, tmp_path), LIMITS) == look_for_text(series, Derived([]), LIMITS) == 0


def test_every_category_says_what_to_do() -> None:
    assert NEXT.keys() == CATEGORIES.keys() and all(NEXT.values())
