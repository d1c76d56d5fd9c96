# SPDX-License-Identifier: Apache-2.0
"""Drawings of presentation states: marks that cannot spell a word stay (PS3.15 E.3.3, Clean Graphics Option)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from umed.deid.elements import element, strings

ANNOTATIONS = 0x00700001  # Graphic Annotation Sequence
_TEXTS, _OBJECTS = 0x00700008, 0x00700009
_COMPOUND = 0x00700209  # rulers, axes and titles, with text of their own
_TYPE, _COUNT, _DATA = 0x00700023, 0x00700021, 0x00700022
_ROUND = {"POINT": 1, "CIRCLE": 2, "ELLIPSE": 4}
_MOST_CORNERS = 5  # an arrow, a distance, an angle, a box; handwriting has more


def keep_marks(dataset: Dataset) -> bool:
    """Leave points, circles, ellipses and lines of up to five corners in the annotations of a data set.

    Freehand drawings, which may be handwriting, and compound graphics go. Text objects stay for the engine, which makes
    dummies of their text, or with clean_descriptors keeps imaging terms.

    Args:
        dataset: with annotations, changed in place.

    Returns:
        Whether any annotation is left; otherwise the sequence is gone.
    """
    kept = []
    for item in dataset[ANNOTATIONS].value or ():
        marks = [mark for mark in (item[_OBJECTS].value or () if _OBJECTS in item else ()) if _is_mark(mark)]
        for tag in (_OBJECTS, _COMPOUND):
            if tag in item:
                del item[tag]
        if marks:
            item[_OBJECTS] = element(_OBJECTS, "SQ", Sequence(marks))
        if marks or (_TEXTS in item and item[_TEXTS].value):
            kept.append(item)
    if kept:
        dataset[ANNOTATIONS] = element(ANNOTATIONS, "SQ", Sequence(kept))
    else:
        del dataset[ANNOTATIONS]
    return bool(kept)


def _is_mark(mark: Dataset) -> bool:
    """Whether a graphic object is what it says, and simple (PS3.3 C.10.5.1.2)."""
    try:
        [kind] = [one.strip() for one in strings(mark, _TYPE)]
        [count] = [int(one) for one in strings(mark, _COUNT)]
        numbers = strings(mark, _DATA)
    except (KeyError, ValueError):
        return False
    if len(numbers) != 2 * count:
        return False
    return count == _ROUND.get(kind) or (kind == "POLYLINE" and 2 <= count <= _MOST_CORNERS)
