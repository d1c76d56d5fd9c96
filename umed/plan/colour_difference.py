# SPDX-License-Identifier: Apache-2.0
"""How far a change can be seen: CIEDE2000 of every pixel after the blur of the eye, as S-CIELAB has it.

Both pictures are taken to opponent colours (brightness, red-green, blue-yellow), each of which is filtered with the
contrast sensitivity of the eye, and then compared in CIELAB. Filters and colours: Zhang & Wandell 1997 (doi
10.1889/1.1985127); with CIEDE2000: Johnson & Fairchild 2003 (doi 10.1002/col.10195); CIEDE2000 itself: Sharma, Wu &
Dalal 2005 (doi 10.1002/col.20070), computed by scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

SAMPLES_PER_DEGREE = 32.0
"""Pixels in a degree of the visual field: a screen of 96 pixels an inch, one to one, from 49 cm."""
OPPONENT = np.array(
    [
        [0.2787336, 0.7218031, -0.1065520],
        [-0.4487736, 0.2898056, 0.0771569],
        [0.0859513, -0.5899859, 0.5011089],
    ]
)
"""XYZ to brightness, red-green and blue-yellow."""
KERNELS = (
    ((0.921, 0.0283), (0.105, 0.133), (-0.108, 4.336)),
    ((0.531, 0.0392), (0.330, 0.494)),
    ((0.488, 0.0536), (0.371, 0.386)),
)
"""Of each opponent colour: weight and spread s (degrees) of Gaussians ``exp(-r^2 / s^2)`` of volume 1."""
MARGIN = 2.0
"""Degrees around a change that are filtered with it; beyond, nothing is seen of it."""
MOST_PLANES = 8
MOST_PIXELS = 1 << 12
_GOLDEN = 0.6180339887498949
Planes = NDArray[np.float32]


def sensitivity(
    shape: tuple[int, int], kernel: tuple[tuple[float, float], ...], samples_per_degree: float = SAMPLES_PER_DEGREE
) -> NDArray[np.float32]:
    """What the eye passes of each term of a picture's cosine transform.

    Args:
        shape: rows and columns.
        kernel: one of :data:`KERNELS`; scaled so that a flat field passes whole.
        samples_per_degree: pixels in a degree of the visual field.

    Returns:
        Factors, shape ``shape``.
    """
    squares = [np.square(np.arange(size) / (2 * size) * samples_per_degree) for size in shape]  # cycles per degree
    passed, total = np.zeros(shape), sum(weight for weight, _ in kernel)
    for weight, spread in kernel:
        rows, columns = (np.exp(-np.square(np.pi * spread) * square) for square in squares)
        passed += np.multiply.outer(weight / total * rows, columns)
    return passed.astype(np.float32)


def seen(planes: Planes, kernel: tuple[tuple[float, float], ...], samples_per_degree: float) -> Planes:
    """Filter pictures ``(n, rows, columns)`` with the eye's sensitivity; mirrored at their edges."""
    factors = sensitivity((planes.shape[1], planes.shape[2]), kernel, samples_per_degree)
    return np.asarray(idctn(dctn(planes, axes=(1, 2)) * factors, axes=(1, 2)), dtype=np.float32)


def grey_delta_e(
    before: Planes, after: Planes, at: NDArray[np.intp], samples_per_degree: float = SAMPLES_PER_DEGREE
) -> NDArray[np.float64]:
    """CIEDE2000 between grey pictures; only brightness is filtered, so that grey stays grey.

    Args:
        before: display values in [0, 1] on the sRGB curve, ``(n, rows, columns)``.
        after: the same, changed.
        at: flat indices of the pixels that are wanted.
        samples_per_degree: pixels in a degree of the visual field.

    Returns:
        Delta E 2000 of each of them.
    """
    old, moved = before != after, after[before != after]
    light = _linear(before)
    step = np.zeros_like(light)
    step[old] = _linear(moved) - light[old]
    first = seen(light, KERNELS[0], samples_per_degree).ravel()[at].astype(np.float64)
    second = first + seen(step, KERNELS[0], samples_per_degree).ravel()[at]
    one, two = _lightness(first), _lightness(second)
    middle = np.square((one + two) / 2 - 50)
    return np.asarray(np.abs(two - one) / (1 + 0.015 * middle / np.sqrt(20 + middle)))


def colour_delta_e(
    before: Planes, after: Planes, at: NDArray[np.intp], samples_per_degree: float = SAMPLES_PER_DEGREE
) -> NDArray[np.float64]:
    """CIEDE2000 between colour pictures.

    Args:
        before: sRGB in [0, 1], ``(n, rows, columns, 3)``.
        after: the same, changed.
        at: flat indices ``(n, rows, columns)`` of the pixels that are wanted.
        samples_per_degree: pixels in a degree of the visual field.

    Returns:
        Delta E 2000 of each of them.
    """
    from skimage.color import deltaE_ciede2000, rgb2xyz, xyz2lab  # only where a colour picture is measured

    moved = (before != after).any(axis=-1)
    colours = rgb2xyz(before).astype(np.float32, copy=False)
    step = np.zeros_like(colours)
    step[moved] = rgb2xyz(after[moved]) - colours[moved]
    forth, back = OPPONENT.T.astype(np.float32), np.linalg.inv(OPPONENT).T
    first, second = np.empty((2, at.size, 3))
    for index, kernel in enumerate(KERNELS):
        first[:, index] = seen(colours @ forth[:, index], kernel, samples_per_degree).ravel()[at]
        second[:, index] = first[:, index] + seen(step @ forth[:, index], kernel, samples_per_degree).ravel()[at]
    labs = (xyz2lab(one @ back) for one in (first, second))
    return np.asarray(deltaE_ciede2000(*labs), dtype=np.float64)


@dataclass
class ColourDifference:
    """Gathers what can be seen of the change of a case, picture by picture or span by span.

    Of a volume at most :data:`MOST_PLANES` changed slices of each part that is added are looked at, evenly spaced, and
    at most :data:`MOST_PIXELS` pixels inside and as many outside the ROI are compared, spread evenly, always the same
    ones; they stand for the others. The filters see every pixel.

    Args:
        samples_per_degree: pixels in a degree of the visual field.
    """

    samples_per_degree: float = SAMPLES_PER_DEGREE
    _inside: list[tuple[NDArray[np.float64], float]] = field(default_factory=list)
    _outside: list[tuple[NDArray[np.float64], float]] = field(default_factory=list)
    _all: int = 0
    _roi: int = 0

    def add(
        self,
        before: NDArray[Any],
        after: NDArray[Any],
        roi: NDArray[np.bool_],
        box: tuple[slice, ...],
        show: Callable[[NDArray[Any]], Planes],
        *,
        axis: int | None = None,
        colour: bool = False,
    ) -> None:
        """Count a part of a case.

        Args:
            before: stored values ``(C, *spatial)``.
            after: same shape and dtype.
            roi: ROI and dilated contour, ``(*box)``.
            box: where it lies; nothing changed outside.
            show: stored values to display values in [0, 1], any shape.
            axis: spatial axis across which a volume is a stack of slices, the last if ``None``.
            colour: whether the three channels are red, green and blue; else each is a grey picture of its own.
        """
        flat = roi.ndim == 2
        axis = 0 if flat else roi.ndim - 1 if axis is None else axis
        before, after = ((a[:, None] if flat else np.moveaxis(a, axis + 1, 1)) for a in (before, after))
        roi = roi[None] if flat else np.moveaxis(roi, axis, 0)
        box = (slice(0, 1), *box) if flat else (box[axis], *(part for i, part in enumerate(box) if i != axis))
        pictures = 1 if colour else len(before)
        self._all += before[0].size * pictures
        self._roi += int(roi.sum()) * pictures
        held = (slice(None), *box)
        moved = (before[held] != after[held]).any(axis=0)
        planes = np.flatnonzero(moved.any(axis=(1, 2)))
        if not planes.size:
            return
        chosen = planes[np.unique(np.linspace(0, planes.size - 1, min(MOST_PLANES, planes.size)).astype(int))]
        window = self._window(moved[chosen].any(axis=0), box[1:], before.shape[2:])
        whole = np.zeros((chosen.size, *before.shape[2:]), bool)
        whole[:, box[1], box[2]] = roi[chosen]
        inside = whole[:, window[0], window[1]]
        where = (slice(None), box[0].start + chosen, *window)
        old, new = (show(values[where]) for values in (before, after))
        if colour:
            old, new = (np.moveaxis(values, 0, -1) for values in (old, new))
        else:
            old, new = (values.reshape(-1, *values.shape[2:]) for values in (old, new))
            inside = np.concatenate([inside] * pictures)
        compare = colour_delta_e if colour else grey_delta_e
        parts = [_spread(np.flatnonzero(mask)) for mask in (inside, ~inside)]
        found = compare(old, new, np.concatenate(parts), self.samples_per_degree)
        # How many pixels each that was compared stands for: in the ROI by its area, which differs from slice to slice.
        shares = int(roi[planes].sum()) / max(1, int(roi[chosen].sum())), planes.size / chosen.size
        for kept, mask, share, values in zip(
            (self._inside, self._outside), (inside, ~inside), shares, np.split(found, [parts[0].size]), strict=True
        ):
            if values.size:
                kept.append((values, share * int(mask.sum()) / values.size))

    def _window(self, moved: NDArray[np.bool_], box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Bounding box of the change in the plane, with the margin that the filters need."""
        margin = round(MARGIN * self.samples_per_degree)
        lines = (np.flatnonzero(moved.any(axis=1 - i)) + box[i].start for i in (0, 1))
        rows, columns = (
            slice(max(0, int(line[0]) - margin), min(size, int(line[-1]) + 1 + margin))
            for line, size in zip(lines, shape, strict=True)
        )
        return rows, columns

    def to_dict(self) -> dict[str, float]:
        """``delta_e`` and ``delta_e_roi``, mean Delta E 2000 of all pixels and of ROI and dilated contour.

        ``delta_e_99`` and ``delta_e_roi_99`` are what 99 % of these pixels do not exceed.
        """
        both = [*self._inside, *self._outside]
        return {
            "delta_e": _mean(both, self._all),
            "delta_e_99": _most(both, self._all),
            "delta_e_roi": _mean(self._inside, self._roi),
            "delta_e_roi_99": _most(self._inside, self._roi),
        }


def _linear(display: Planes) -> Planes:
    """Light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.asarray(np.where(display > 0.04045, ((display + 0.055) / 1.055) ** 2.4, display / 12.92), np.float32)


def _lightness(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """L* of light in [0, 1] (CIE 15:2004)."""
    return np.where(light > 216 / 24389, 116 * np.cbrt(light) - 16, light * 24389 / 27)


def _spread(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most :data:`MOST_PIXELS` of some places, by steps of the golden ratio, which fall in with no texture."""
    if places.size <= MOST_PIXELS:
        return places
    return places[(np.arange(1, MOST_PIXELS + 1) * _GOLDEN % 1 * places.size).astype(np.intp)]


def _mean(parts: list[tuple[NDArray[np.float64], float]], count: int) -> float:
    return round(sum(weight * float(values.sum()) for values, weight in parts) / max(1, count), 4)


def _most(parts: list[tuple[NDArray[np.float64], float]], count: int, share: float = 0.99) -> float:
    """What a share of all pixels does not exceed; those that were not compared did not change."""
    if not parts:
        return 0.0
    values = np.concatenate([part for part, _ in parts])
    weights = np.concatenate([np.full(part.size, weight) for part, weight in parts])
    order = np.argsort(-values)
    above = np.cumsum(weights[order]) > (1 - share) * count + 1e-9
    return round(float(values[order][np.argmax(above)]), 4) if above.any() else 0.0
