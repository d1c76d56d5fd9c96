# SPDX-License-Identifier: Apache-2.0
"""The split that keeps test cases away from everything, and data sets cut to some of their cases; no torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from umed.core.errors import InputError
from umed.data.files import atomic, copy
from umed.data.formats import read
from umed.data.layouts import find_dataset, load_index, write_index
from umed.data.mask_values import class_values, present, rank
from umed.data.masks import read_labels


@dataclass(frozen=True)
class Split:
    """Which case is used for what. The three sets have no case in common.

    Args:
        train: cases that are published, hence protected, and trained on.
        validation: cases that choose a checkpoint; published as well, and known in both forms.
        test: clean cases that judge, never protected.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        together = self.train + self.validation + self.test
        if len(set(together)) != len(together):
            raise InputError("benchmark: a case is in two parts of the split. Case ids must be unique.")


def split_cases(ids: Sequence[str], *, seed: int = 0, test: float = 0.25, validation: float = 0.1) -> Split:
    """Split by case; depends on the set of ids and the seed alone.

    Args:
        ids: unique case ids, at least 4.
        seed: which split.
        test: share of all cases that are tested on.
        validation: share of the other cases that are held back clean to choose a checkpoint.

    Returns:
        The split; every part has at least one case.

    Raises:
        InputError: When there are fewer than 4 cases, an id occurs twice, or nothing is left to train on.

    Example:
        >>> split = split_cases([str(number) for number in range(40)])
        >>> len(split.train), len(split.validation), len(split.test)
        (27, 3, 10)
    """
    if len(ids) < 4:
        raise InputError(f"benchmark: expected at least 4 labelled cases to split, got {len(ids)}.")
    names = sorted(ids)
    order = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    tests = max(1, round(len(names) * test))
    checks = max(1, round((len(names) - tests) * validation))
    if tests + checks >= len(names):
        raise InputError(
            f"benchmark: expected cases to train on, got {len(names)} cases with test {test:g} and validation "
            f"{validation:g}. Lower these shares."
        )
    return Split(
        train=tuple(sorted(order[tests + checks :])),
        validation=tuple(sorted(order[tests : tests + checks])),
        test=tuple(sorted(order[:tests])),
    )


def labelled_ids(root: str | Path) -> tuple[str, ...]:
    """Sorted ids of the cases that have a label and are not in the data set's own unlabelled test split."""
    dataset = find_dataset(Path(root))
    return tuple(case.id for case in dataset.cases if case.labels and case.id not in dataset.split)


def class_names(root: str | Path, classes: int, values: Sequence[int] = ()) -> tuple[str, ...]:
    """Names of the foreground classes: from ``dataset.json`` where there is one, else their numbers.

    ``classes`` counts the background, too; ``values`` are those of the classes in masks, if not their numbers.
    """
    names = {value: str(value) for value in values or range(1, classes)}
    found = (load_index(Path(root)) or {}).get("labels", {})
    for key, value in found.items() if isinstance(found, dict) else ():
        number, name = (key, value) if str(key).isdigit() else (value, key)  # Decathlon, nnU-Net
        if str(number).isdigit() and int(number) in names:
            names[int(number)] = str(name)
    return tuple(names.values())


def subset_dataset(root: str | Path, ids: Collection[str], out: str | Path) -> Path:
    """Make a data set folder that holds some of the cases only, so that nothing else can be protected or learnt from.

    It has the same layout; files are hard links where the disk allows it, else copies. InputError when a case is
    missing.
    """
    dataset = find_dataset(Path(root))
    cases = [case for case in dataset.cases if case.id in set(ids)]
    missing = sorted(set(ids) - {case.id for case in cases})
    if missing:
        raise InputError(f"{root}: expected case {missing[0]!r}, found none. Run umed inspect on the folder.")
    out = Path(out)
    for path in (path for case in cases for path in (*case.images, *case.labels)):
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _link(dataset.root / path, target)
    write_index(dataset, set(ids), out)
    return out


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except FileExistsError:
        return
    except OSError:  # another disk, or a file system without links
        copy(source, target)


def resized_pictures(root: str | Path, size: int, out: str | Path, ids: Collection[str] | None = None) -> Path:
    """Write a copy of a data set of pictures at another size, as PNG pairs: the data that are then protected.

    A victim needs whole pictures to learn a lesion's outline, and whole pictures of 256 x 256 are slow on a CPU.

    Args:
        root: data set of 2D pictures with one image file a case.
        size: height and width of the copy.
        out: folder to make, with ``images`` and ``masks``; what is there already is kept.
        ids: which cases, ``None`` for all that have a label.

    Returns:
        ``out``.

    Raises:
        InputError: When a case is not a flat 8-bit picture with a label.
    """
    dataset, out = find_dataset(Path(root)), Path(out)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    wanted = {case.id for case in dataset.cases} if ids is None else set(ids)
    drawn: list[tuple[str, NDArray[Any], NDArray[Any]]] = []
    for case in (case for case in dataset.cases if case.labels and case.id in wanted):
        volume = read(dataset.root / case.images[0])
        if len(volume.spatial_shape) != 2 or volume.stored.dtype != np.uint8:
            raise InputError(f"{case.images[0]}: expected an 8-bit picture to resize, got {volume.stored.dtype}.")
        paths = [dataset.root / one for one in case.labels]
        drawn.append((case.id, volume.stored, read_labels(paths, case.classes, volume, dataset.rules)))
    values = class_values([present(label) for _, _, label in drawn])
    for name, stored, label in drawn:
        classes = np.maximum(rank(label, values), 0).astype(np.uint8)
        small = Image.fromarray(stored).resize((size, size), Image.Resampling.BOX)
        for folder, picture in (("images", small), ("masks", Image.fromarray(shrunk_mask(classes, size)))):
            target = out / folder / f"{name}.png"
            if not target.exists():
                with atomic(target) as temporary:
                    picture.save(temporary, format="PNG")
    return out


def shrunk_mask(classes: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A mask ``(h, w)`` uint8 at ``(size, size)`` by the nearest pixel, in which every class that it had is left.

    A class of a few pixels, the background as well, may lie between those that are kept. It then gets one pixel where
    it was: a mask without background would say something else.

    >>> shrunk_mask(np.array([[1, 0], [1, 1]], np.uint8), 1)  # one pixel cannot hold two classes
    array([[0]], dtype=uint8)
    >>> lesion = np.ones((8, 8), np.uint8)
    >>> lesion[0, 7] = 0
    >>> shrunk_mask(lesion, 2)
    array([[1, 0],
           [1, 1]], dtype=uint8)
    """
    small = np.array(Image.fromarray(classes).resize((size, size), Image.Resampling.NEAREST))
    for value in np.setdiff1d(classes, small):
        place = np.argwhere(classes == value)[0] * size // np.array(classes.shape)
        small[tuple(place)] = value
    return small
