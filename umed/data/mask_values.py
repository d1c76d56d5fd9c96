# SPDX-License-Identifier: Apache-2.0
"""From the values of one mask to its classes: those that occur, unless they look as if they meant something else.

What may be a mask drawn another way (inverted, negative, coloured, probabilities, an image) is refused with what was
seen and what settles it, never guessed: a class that is taken for background is released unprotected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umed.core.errors import InputError
from umed.core.mask_rules import MaskRules, colour_code

IGNORED = -1
"""What a label map holds where nothing may be changed and no class is."""
LARGEST = 2**31 - 2
MOST_CLASSES = 64
"""A picture with more distinct values than this is no mask but an anti-aliased or lossy one."""
MANY = 64
"""A volume with more distinct values than this is an image if neighbours differ as they do in images."""
FULL_SCALE = (255, 65535)
"""What white is in pictures of 8 and 16 bits: where there is one class, this is it."""
SHOWN = 6
_HALO, _TOUCH = 0.9, 0.01
"""Share of the border that one value holds where it surrounds all others, and most that the others may touch."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One mask as its file has it.

    Args:
        values: whole numbers ``(*spatial)``; of colours ``0xRRGGBB``.
        coloured: whether they are colours.
        picture: whether it is a picture, where many values mean blurred edges rather than many classes.
        doubt: what in the file speaks against 0 as background, as a clause; empty if nothing.
    """

    values: NDArray[Any]
    coloured: bool = False
    picture: bool = False
    doubt: str = ""


def by_colour(rules: MaskRules) -> bool:
    """Whether the rules name colours."""
    return any(isinstance(entry, str) for entry in (*rules.values, *rules.background))


def present(values: NDArray[Any]) -> list[int]:
    """Distinct whole numbers of an array, sorted; quick where neighbours mostly are the same."""
    if not values.size:
        return []
    low, high = int(values.min()), int(values.max())
    if low == high:
        return [low]
    if high - low == 1 and values.dtype.kind in "iu":
        return [low, high]
    flat = values.ravel("K")
    heads = flat[1:][flat[1:] != flat[:-1]]
    return sorted({int(flat[0]), *(int(value) for value in np.unique(heads))})


def to_classes(path: Path, drawn: Drawn, rules: MaskRules) -> NDArray[Any]:
    """Class number of each voxel of a mask.

    Args:
        path: of the mask, for messages.
        drawn: what it holds.
        rules: of its data set.

    Returns:
        Integers of the shape of the mask: 0 is background, :data:`IGNORED` is ignored; a class is the place in
        ``rules.values``, else the value itself, else (where 0 is no background) the value + 1.

    Raises:
        InputError: when it is not clear what the values mean.
    """
    named = by_colour(rules)
    if drawn.coloured and not named:
        many = len(np.unique(drawn.values)) > MOST_CLASSES
        raise InputError(
            f"{path}: expected one class number a pixel, got colours: {_shares(drawn)}. "
            f"{'So many look like an image. ' if many else ''}Name those of the classes in "
            "their order, such as --mask-values '#ff0000,#00ff00', or save the mask as grey values or with a palette."
        )
    values = drawn.values
    if named and not drawn.coloured:
        values = _grey_as_colour(path, values)
    drawn = Drawn(values, drawn.coloured or named, drawn.picture, drawn.doubt)
    seen = present(values)
    classes = [_number(entry) for entry in rules.values]
    background = [_number(entry) for entry in rules.background] or [0]
    if classes:
        _check_named(path, drawn, seen, classes, rules)
    else:
        _check_many(path, drawn, seen)
        _check_values(path, drawn, seen, background, rules)
    shift = 0 if 0 in background else 1
    table = {value: 0 if value in background else value + shift for value in seen}
    if classes:
        table = {value: classes.index(value) + 1 if value in classes else 0 for value in seen}
    if rules.ignore in table and not drawn.coloured:
        table[rules.ignore] = IGNORED
    if all(value == number for value, number in table.items()):
        return values
    return translate(values, table)


def class_values(seen: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Foreground values of a data set, sorted, for :func:`rank`.

    Args:
        seen: values that occur in each of its masks.

    Returns:
        At least one; ``(1,)`` where each mask has one of 1, 255 and 65535 only, which then are the same.
    """
    found = [{value for value in one if value > 0} for one in seen]
    every: set[int] = set().union(*found)
    if every <= {1, *FULL_SCALE} and all(len(one) < 2 for one in found):
        return (1,)
    return tuple(sorted(every))


def rank(labels: NDArray[Any], values: Sequence[int]) -> NDArray[Any]:
    """Number the classes of a label map by the place of their values in a data set.

    Args:
        labels: from :func:`to_classes`.
        values: all foreground values of the data set, sorted; empty for labels that are numbered already.

    Returns:
        Integers of the same shape: 1 for the first value and so on; 0 and below stay. Where 1 is the only one, white
        (255 or 65535) is the same class.

    Raises:
        InputError: when there is another value.
    """
    if not values or not labels.size:
        return labels
    count = len(values)
    numbered = values[0] == 1 and values[-1] == count
    if numbered and int(labels.max()) <= count:
        return labels
    table = {value: place for place, value in enumerate(values, start=1)}
    if count == 1 and numbered:
        table |= dict.fromkeys(FULL_SCALE, 1)
    seen = present(labels)
    other = [value for value in seen if value > 0 and value not in table]
    if other:
        raise InputError(
            f"expected mask values that the data set has or declares ({_few(values)}), got {_few(other)}. Declare it "
            "in dataset.json, or mend the mask."
        )
    return translate(labels, {value: table.get(value, value) for value in seen})


def _few(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:SHOWN])) + (" ..." if len(values) > SHOWN else "")


def translate(values: NDArray[Any], table: dict[int, int]) -> NDArray[np.int32]:
    """Replace each value by its number, in one pass whatever the numbers are; all that occur must be in the table."""
    keys = sorted(table)
    if keys[-1] - keys[0] <= 0xFFFF:
        lookup = np.zeros(keys[-1] - keys[0] + 1, np.int32)
        for key in keys:
            lookup[key - keys[0]] = table[key]
        turned = values.T if values.flags.f_contiguous and not values.flags.c_contiguous else values
        small = turned if keys[0] == 0 else turned.astype(np.int64) - keys[0]
        found: NDArray[np.int32] = lookup[small]
        return found.T if turned is not values else found
    numbers = np.array([table[key] for key in keys], np.int32)
    exact: NDArray[np.int32] = numbers[np.searchsorted(keys, values)]
    return exact


def _number(entry: int | str) -> int:
    return colour_code(entry, "mask_values") if isinstance(entry, str) else entry


def _grey_as_colour(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """Grey values as the colours that they show."""
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 255:
        raise InputError(
            f"{path}: expected a mask of 8 bits, since colours were named (mask_values, mask_background), got values "
            f"from {int(values.min())} to {int(values.max())}. Name the values as numbers."
        )
    return values.astype(np.int32) * 0x010101


def _check_named(path: Path, drawn: Drawn, seen: list[int], classes: list[int], rules: MaskRules) -> None:
    """Where foreground is named, a mask without it must be one that is plainly empty."""
    background = [_number(entry) for entry in rules.background]
    other = [value for value in seen if value not in (*classes, *(background or [0]), rules.ignore)]
    if other and (background or not set(classes) & set(seen)):
        also = " or background" if background else ""
        raise InputError(
            f"{path}: expected values that --mask-values{' and --background' if also else ''} name, got "
            f"{_shares(drawn)}, of which {', '.join(_name(value, drawn) for value in other[:SHOWN])} is no class{also}."
            " Name it with --mask-values, or with --background if nothing is there to protect."
        )


def _check_many(path: Path, drawn: Drawn, seen: list[int]) -> None:
    """A mask has few values, in regions."""
    if drawn.picture and len(seen) > MOST_CLASSES:
        raise InputError(
            f"{path}: expected at most {MOST_CLASSES} classes, got {len(seen)} distinct values from "
            f"{_name(seen[0], drawn)} to {_name(seen[-1], drawn)}. This looks like an image, probabilities, or an "
            "anti-aliased or lossy mask: threshold it first, or name the values that are foreground with --mask-values."
        )
    if drawn.picture and not drawn.coloured and seen and seen[-1] in FULL_SCALE and len(seen) > 5:
        edges = [value for value in seen[1:-1] if _solid(drawn.values, value) < 0.05]
        if len(edges) >= 4 and 2 * len(edges) >= len(seen) - 2:
            raise InputError(
                f"{path}: expected regions of one value each, got {_shares(drawn)}; {len(edges)} of these {len(seen)} "
                "values are only seen along edges, as in anti-aliased or lossy masks. Threshold it first, or name the "
                "values that are foreground with --mask-values."
            )
    if not drawn.picture and len(seen) > MANY and _alike(drawn.values) < 0.5:
        raise InputError(
            f"{path}: expected a label map, got {len(seen)} distinct values from {seen[0]} to {seen[-1]} that differ "
            "from voxel to voxel, as in an image or a map of probabilities. Check the file, or threshold it first."
        )


def _check_values(path: Path, drawn: Drawn, seen: list[int], background: list[int], rules: MaskRules) -> None:
    """Background is where one expects it, and nothing has a value that could mean anything."""
    known = [value for value in seen if value != rules.ignore or drawn.coloured]
    rest = [value for value in known if value not in background]
    if rest and rest[0] < 0:
        low = [value for value in rest if value < 0]
        raise InputError(
            f"{path}: expected class numbers from 0 on, got {_shares(drawn)}. Say whether "
            f"{', '.join(map(str, low[:SHOWN]))} is background (--background {low[0]}) or not to be touched (--ignore "
            f"{low[0]}), or name the foreground, such as --mask-values {rest[-1] if rest[-1] > 0 else 1}."
        )
    if rest and rest[-1] > LARGEST:
        raise InputError(f"{path}: expected classes up to {LARGEST}, got {rest[-1]}. Renumber the classes.")
    if rest and len(rest) == len(known) and not (rules.background and 0 in background):
        what = f"the background that is named, {', '.join(_name(one, drawn) for one in background)}"
        raise InputError(
            f"{path}: expected {what if rules.background else '0 somewhere as background'}, got only {_shares(drawn)}: "
            "all of the image would be foreground. If a value is background, name it (--background "
            f"{_name(rest[0], drawn)}); if all of it is foreground, name that (--mask-values "
            f"{','.join(_name(one, drawn) for one in rest[:SHOWN])})."
        )
    if rules.background and 0 in background:
        return  # the user has looked
    halo = _halo(drawn.values, background)
    if rules.background:
        if halo == 0:
            raise InputError(
                f"{path}: expected {_name(background[0], drawn)} around the rest, since it was named as background, "
                f"got it surrounded by 0 ({_shares(drawn)}). Masks of this data set are drawn in two ways: save this "
                "one like the others."
            )
        return
    doubt = drawn.doubt if rest else ""
    if halo is not None and halo not in background:
        doubt = f"0 is surrounded by {_name(halo, drawn)}, which holds the border"
    if doubt:
        raise InputError(
            f"{path}: expected 0 as background, got {_shares(drawn)}, where {doubt}. Is 0 what is to be protected? "
            f"Then give --background {_name(halo if halo else rest[-1], drawn)}; if 0 is background, --background 0."
        )


def _halo(values: NDArray[Any], background: Sequence[int]) -> int | None:
    """The one value that holds the border of a mask, where the background does not touch it; else ``None``."""
    sides = [side for axis in range(values.ndim) if values.shape[axis] > 2 for side in _sides(values, axis)]
    for side in sides:  # most masks are done with the first
        if np.isin(side, background).mean() > _HALO:
            return None
    border = np.concatenate(sides) if sides else np.zeros(0, np.int64)
    touching = int(np.isin(border, background).sum())
    if not border.size or touching > _TOUCH * border.size:
        return None
    if touching and touching > 0.1 * np.isin(values, background).sum():
        return None  # a last pixel in the corner
    kinds, counts = np.unique(border, return_counts=True)
    most = int(counts.argmax())
    return int(kinds[most]) if counts[most] >= _HALO * border.size else None


def _sides(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return values.take(0, axis).ravel(), values.take(-1, axis).ravel()


def _solid(values: NDArray[Any], value: int) -> float:
    """Share of the pixels of a value whose neighbours all have it, too."""
    here = np.pad(values == value, 1, mode="edge")
    inner = here.copy()
    for axis in range(here.ndim):
        inner &= np.roll(here, 1, axis) & np.roll(here, -1, axis)
    middle = (slice(1, -1),) * here.ndim
    return float(inner[middle].sum() / max(1, here[middle].sum()))


def _alike(values: NDArray[Any]) -> float:
    """Share of neighbours, both of them not 0, that have the same value."""
    same = both = 0
    for axis in range(values.ndim):
        one, other = (values.take(range(start, values.shape[axis] - 1 + start), axis) for start in (0, 1))
        filled = (one != 0) & (other != 0)
        both += int(filled.sum())
        same += int((filled & (one == other)).sum())
    return same / both if both else 1.0


def _name(value: int, drawn: Drawn) -> str:
    return f"#{value:06x}" if drawn.coloured else str(value)


def _shares(drawn: Drawn) -> str:
    """The values that hold most of a mask, with their share."""
    kinds, counts = np.unique(drawn.values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    parts = [f"{_name(int(kinds[k]), drawn)} ({_percent(counts[k] / counts.sum())})" for k in order]
    more = len(kinds) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %"
