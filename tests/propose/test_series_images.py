# SPDX-License-Identifier: Apache-2.0
"""DICOM series as pictures: what is black and white, which way they lie, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from tests.dicom_files import image, save, write_series
from umed.core.errors import InputError
from umed.dicom.objects import Limits
from umed.dicom.read.scan import scan
from umed.propose.prompts_file import Extent
from umed.propose.series_images import SeriesPictures


def pictures(root, work):
    [series] = scan(root).series
    return SeriesPictures(series, Limits())


def test_a_ct_is_scaled_by_the_whole_series_without_its_padding(tmp_path):
    volume = np.random.default_rng(0).integers(0, 1000, (3, 30, 40)).astype(np.int16)
    volume[1] += 1000
    volume[:, :4] = -2000
    write_series(tmp_path / "in", volume, PixelPaddingValue=-2000)
    seen = pictures(tmp_path / "in", tmp_path / "w")
    assert seen.extent == Extent(40, 30, 3)
    inside = volume[:, 4:]
    low, high = np.sort(inside.ravel())[[int(0.005 * inside.size), int(0.995 * inside.size)]]
    for k in range(3):
        shown = seen.picture(k)
        assert shown.shape == (3, 30, 40) and np.array_equal(shown[0], shown[2]) and not shown[:, :4].any()
        assert np.allclose(shown[0, 4:], np.clip((inside[k] - low) / (high - low), 0, 1), atol=5e-3)


def test_8_bit_keeps_its_scale_and_colours_and_is_flat(tmp_path):
    colour = np.random.default_rng(0).integers(50, 200, (10, 20, 3), dtype=np.uint8)
    save(image(colour, "OT", position=None), tmp_path / "a" / "x")
    save(image(colour[..., 0], "US", position=None), tmp_path / "b" / "x")
    first, second = pictures(tmp_path / "a", tmp_path / "w"), pictures(tmp_path / "b", tmp_path / "w")
    assert first.extent == second.extent == Extent(20, 10, None)
    assert np.allclose(first.picture(None), np.moveaxis(colour, -1, 0) / 255)
    assert np.allclose(second.picture(None), np.repeat(colour[None, ..., 0] / 255, 3, axis=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_monochrome1_is_shown_as_viewers_do(tmp_path, dtype):
    ramp = np.arange(200, dtype=dtype).reshape(10, 20)
    for name, photometric in (("one", "MONOCHROME1"), ("two", "MONOCHROME2")):
        save(image(ramp, "OT", position=None, photometric=photometric), tmp_path / name / "x")
    first, second = (pictures(tmp_path / name, tmp_path / "w").picture(None) for name in ("one", "two"))
    assert np.allclose(first, 1 - second) and first[0, 0, 0] == 1 and first[0, -1, -1] < first[0, 0, 0]
    padded = image(ramp, "OT", position=None, photometric="MONOCHROME1", PixelPaddingValue=0)
    save(padded, tmp_path / "three" / "x")  # its padding would be white
    assert not pictures(tmp_path / "three", tmp_path / "w").picture(None)[:, 0, 0].any()


def test_a_slice_that_cannot_be_read_is_named(tmp_path):
    volume = np.random.default_rng(0).integers(0, 1000, (3, 10, 12)).astype(np.int16)
    volume[1, 3, 4] = 5000  # above BitsStored: nobody knows what was meant
    write_series(tmp_path / "in", volume, bits=12)
    seen = pictures(tmp_path / "in", tmp_path / "w")
    assert seen.picture(0).any() and seen.picture(2).any()
    with pytest.raises(InputError, match="series_0001, slice 1: "):
        seen.picture(1)
    assert seen.unread == 1
