# SPDX-License-Identifier: Apache-2.0
"""Which half of its ROI carries the code of a case, where evidence counts more than protection.

A network learns to read the code where it is, and what the other half looks like it must learn from the images, or by
heart: which half was coded is another secret of each case, and that is what ``umed trace`` finds again. Measured in
docs/trace.md; the idea is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def half_of(labels: NDArray[np.int16], rng: np.random.Generator, axis: int = -1) -> NDArray[np.bool_]:
    """Draw the half of each labelled object that carries the code.

    Each connected object of each class is cut by lines at one secret angle, slice by slice through its middle, so that
    no object, class or slice is left without a code. What lies outside the labels goes with the nearest labelled voxel.

    Args:
        labels: class of each voxel ``(*spatial)``, 2D or 3D, 0 is background; holds at least one object.
        rng: source of the secret angles.
        axis: that slices follow in 3D.

    Returns:
        Where the code stays, ``(*spatial)`` bool; of every object in every slice at least half.
    """
    stack = labels[..., None] if labels.ndim == 2 else np.moveaxis(labels, axis, -1)
    coded = np.zeros(stack.shape, bool)
    for number in np.unique(stack[stack > 0]):
        objects, count = ndimage.label(stack == number, np.ones((3,) * stack.ndim))
        boxes = ndimage.find_objects(objects)
        for index, (box, angle) in enumerate(zip(boxes, rng.uniform(0, 2 * np.pi, count), strict=True), 1):
            rows, columns = np.ogrid[box[0], box[1]]
            along = rows * np.sin(angle) + columns * np.cos(angle)
            for place in range(box[2].start, box[2].stop):
                here = (box[0], box[1], place)
                mine = objects[here] == index
                if mine.any():
                    coded[here] |= mine & (along >= np.median(along[mine]))
    nearest = ndimage.distance_transform_edt(stack == 0, return_distances=False, return_indices=True)
    coded = coded[tuple(nearest)]
    return coded[..., 0] if labels.ndim == 2 else np.ascontiguousarray(np.moveaxis(coded, -1, axis))


def slices_along(shape: tuple[int, ...]) -> int:
    """Axis that the slices of a whole image follow: its shortest side, the last one of several.

    >>> slices_along((512, 512, 90)), slices_along((40, 40, 40)), slices_along((20, 512, 512))
    (2, 2, 0)
    """
    return len(shape) - 1 - int(np.argmin(shape[::-1]))
