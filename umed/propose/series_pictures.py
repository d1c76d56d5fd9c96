# SPDX-License-Identifier: Apache-2.0
"""A DICOM series as flat pictures that Segment Anything can look at, one slice in memory at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from umed.cases.spans import Slices, percentiles, slice_encoding
from umed.core.errors import InputError
from umed.dicom.objects import Limits, Series
from umed.methods.unseg.colour_pictures import as_colour
from umed.propose.planes import PERCENTILES, between
from umed.propose.prompts_file import Extent


class SeriesPictures:
    """A series as pictures: x is the column and y the row of the stored pixels, whatever way the patient lies.

    8-bit series keep their scale, 0 to 255; all others are scaled by the percentiles of the whole series without its
    padding. MONOCHROME1 is turned around, as every viewer does; padding is black.

    Args:
        series: image series whose pixels can be perturbed.
        limits: bounds against hostile files.
    """

    def __init__(self, series: Series, limits: Limits) -> None:
        self.series = series
        self._slices = Slices(series, limits)
        self._window: tuple[float, float] | None = None

    @property
    def extent(self) -> Extent:
        """Size as prompts see it; a series of one slice is a flat picture."""
        _, rows, columns = self.series.instances[0].shape
        count = len(self.series.slices)
        return Extent(columns, rows, None if count == 1 else count)

    def picture(self, place: int | None) -> NDArray[np.float32]:
        """One picture ``(3, rows, columns)`` in [0, 1].

        Args:
            place: number of the slice, ``None`` for the only one.

        Raises:
            InputError: when its file cannot be read.
        """
        k = place or 0
        [values], padding = self._slices.read(k, k + 1)
        file, _ = self.series.slices[k]
        if file in self._slices.broken:
            raise InputError(f"{self.series.id}, slice {k}: {self._slices.broken[file]}")
        code = slice_encoding(self.series, k)
        physical = values.astype(np.float64) * code.slope + code.inter
        channels = np.moveaxis(physical, -1, 0) if physical.ndim == 3 else physical[None]
        if np.dtype(code.dtype) == np.uint8:
            ends = sorted(bound * code.slope + code.inter for bound in (0, 255))
        else:
            ends = list(self._ends())
        image = between(channels, np.array(ends[:1]), np.array(ends[1:]))
        if self.series.instances[file].photometric == "MONOCHROME1":
            image = 1 - image
        image[:, padding[0]] = 0
        return np.ascontiguousarray(as_colour(image))

    @property
    def unread(self) -> int:
        """Number of slices that could not be read so far."""
        return sum(file in self._slices.broken for file, _ in self.series.slices)

    def _ends(self) -> tuple[float, float]:
        """Black and white of the whole series; it is read for that once."""
        if self._window is None:
            # all padding: nothing is to be seen whatever the window, and the picture is black
            self._window = percentiles(self.series, self._slices, PERCENTILES) or (0.0, 0.0)
        return self._window
