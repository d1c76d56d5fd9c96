# SPDX-License-Identifier: Apache-2.0
"""Data sets as tensors for victims, and the split that keeps test cases away from everything."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from umed.core.config import CT_WINDOWS
from umed.core.errors import InputError
from umed.core.types import Case, Volume
from umed.data.files import atomic, copy
from umed.data.formats import read
from umed.data.layouts import find_dataset, write_index
from umed.data.masks import read_label
from umed.plan.planning import ct_window

AIR = -500.0
"""HU; only CT holds values below it."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Cases in memory, each at its own size.

    Args:
        ids: case ids.
        images: one tensor a case, ``(C, *spatial)`` float32.
        labels: one tensor a case, ``(*spatial)`` uint8, class of each voxel.
        classes: number of classes, background included.
        truths: labels on the grid that predictions are judged on, where that differs from ``labels``.
        scales: full scale of each case in the units of its image (255 for 8-bit pictures), what epsilon is a share of.
        spacings: size of a voxel of each case along each axis in ``unit``.
        unit: ``"mm"``, or ``"px"`` where the files do not know their size.
    """

    ids: tuple[str, ...]
    images: tuple[torch.Tensor, ...]
    labels: tuple[torch.Tensor, ...]
    classes: int
    truths: tuple[torch.Tensor, ...] | None = None
    scales: tuple[float, ...] = ()
    spacings: tuple[tuple[float, ...], ...] = ()
    unit: str = "px"

    def __post_init__(self) -> None:
        if not self.scales:
            object.__setattr__(self, "scales", tuple(float(image.max() - image.min()) for image in self.images))
        if not self.spacings:
            object.__setattr__(self, "spacings", tuple((1.0,) * label.ndim for label in self.labels))

    def map(
        self, image: Callable[[torch.Tensor, float], torch.Tensor], label: Callable[[torch.Tensor], torch.Tensor]
    ) -> Samples:
        """Change every image and label; the labels of before stay as truths.

        Args:
            image: of an image and its full scale.
            label: of a label.

        Returns:
            New cases.
        """
        images = tuple(image(one, scale) for one, scale in zip(self.images, self.scales, strict=True))
        truths = self.labels if self.truths is None else self.truths
        return replace(self, images=images, labels=tuple(map(label, self.labels)), truths=truths)

    def clip(self, window: tuple[float, float] | None) -> Samples:
        """Clip every image to a window, which then is its full scale; ``None`` leaves them as they are."""
        if window is None:
            return self
        low, high = window
        images = tuple(image.clamp(low, high) for image in self.images)
        return replace(self, images=images, scales=(high - low,) * len(images))

    def pick(self, ids: Collection[str]) -> Samples:
        """Keep some of the cases, in the order of this record.

        Args:
            ids: which ones; all must be there.

        Returns:
            Those cases.

        Raises:
            InputError: When one is missing.
        """
        missing = sorted(set(ids) - set(self.ids))
        if missing:
            raise InputError(f"benchmark: expected case {missing[0]!r} among {len(self.ids)} cases, but it is missing.")
        rows = [row for row, name in enumerate(self.ids) if name in ids]
        truths = None if self.truths is None else tuple(self.truths[row] for row in rows)
        images, labels = (tuple(items[row] for row in rows) for items in (self.images, self.labels))
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            images=images,
            labels=labels,
            truths=truths,
            scales=tuple(self.scales[row] for row in rows),
            spacings=tuple(self.spacings[row] for row in rows),
        )


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
    """Ids of the cases of a data set that have a label and are not in its own unlabelled test split.

    Args:
        root: a data set in any layout that umed reads.

    Returns:
        Their ids, sorted.
    """
    dataset = find_dataset(Path(root))
    return tuple(case.id for case in dataset.cases if case.label is not None and case.id not in dataset.split)


def load_samples(root: str | Path, ids: Collection[str] | None = None) -> Samples:
    """Read cases from files: physical values, nothing normalised, clipped or resampled.

    Args:
        root: a data set in any layout that umed reads, original or written by ``umed protect``.
        ids: which cases, ``None`` for all that have a label.

    Returns:
        The cases, sorted by id; ``classes`` is the largest label value in them plus one.

    Raises:
        InputError: When a case is missing or cannot be read.
    """
    dataset = find_dataset(Path(root))
    wanted = set(labelled_ids(root) if ids is None else ids)
    cases = [case for case in dataset.cases if case.id in wanted and case.label is not None]
    missing = sorted(wanted - {case.id for case in cases})
    if missing:
        raise InputError(f"{root}: expected a labelled case {missing[0]!r}, found none. Run umed inspect on it.")
    loaded = [_load(dataset.root, case) for case in cases]
    images, labels = [one[0] for one in loaded], tuple(one[1] for one in loaded)
    volumes = [one[2] for one in loaded]
    scales = [full_scale(image, volume) for image, volume in zip(images, volumes, strict=True)]
    classes = max(int(label.max()) for label in labels) + 1
    return Samples(
        tuple(case.id for case in cases),
        tuple(images),
        labels,
        classes,
        scales=tuple(scales),
        spacings=tuple(volume.spacing for volume in volumes),
        unit=volumes[0].unit,
    )


def window_of(samples: Samples) -> tuple[float, float] | None:
    """The CT window of what is labelled. Every set of a comparison must be clipped to the same one.

    Air and metal would make up most of a CT image's spread; no segmentation pipeline feeds them to its network.

    Args:
        samples: cases that a thief may know; never test cases.

    Returns:
        Lower and upper end in HU; ``None`` for what is no CT.
    """
    if min(float(image.min()) for image in samples.images) >= AIR:
        return None
    pairs = zip(samples.images, samples.labels, strict=True)
    inside = [float(image[:, label > 0].median()) for image, label in pairs if label.any()]
    return CT_WINDOWS[ct_window(float(np.median(inside)) if inside else None)]


def full_scale(image: torch.Tensor, volume: Volume) -> float:
    """What epsilon is a share of: the scale of the type for pictures, else the image's percentiles 0.5 to 99.5.

    Args:
        image: ``(C, *spatial)`` in physical units.
        volume: where it came from.

    Returns:
        The width of the scale in physical units; the plan of ``umed protect`` has it the same way.
    """
    if volume.unit == "px" and volume.encoding.is_integer:
        low, high = volume.encoding.stored_limits
        return (high - low) * abs(volume.encoding.slope)
    low, high = np.percentile(image.numpy(), (0.5, 99.5))
    return float(max(high - low, 1e-12))


def class_names(root: str | Path, classes: int) -> tuple[str, ...]:
    """Names of the foreground classes: from ``dataset.json`` where there is one, else their numbers.

    Args:
        root: a data set.
        classes: number of classes, background included.

    Returns:
        One name a foreground class.
    """
    names = {number: str(number) for number in range(1, classes)}
    index = Path(root) / "dataset.json"
    if index.is_file():
        found = json.loads(index.read_text(encoding="utf-8")).get("labels", {})
        for key, value in found.items() if isinstance(found, dict) else ():
            number, name = (key, value) if str(key).isdigit() else (value, key)  # Decathlon, nnU-Net
            if str(number).isdigit() and int(number) in names:
                names[int(number)] = str(name)
    return tuple(names.values())


def _load(root: Path, case: Case) -> tuple[torch.Tensor, torch.Tensor, Volume]:
    """Read one case: channels of all its files stacked, its label, and its first file without the pixels."""
    assert case.label is not None
    volumes = [read(root / path) for path in case.images]
    parts = [v.channels.astype(np.float32) * v.encoding.slope + v.encoding.inter for v in volumes]
    image = torch.from_numpy(np.ascontiguousarray(np.concatenate(parts).astype(np.float32, copy=False)))
    label = torch.from_numpy(np.ascontiguousarray(read_label(root / case.label, volumes[0])).astype(np.uint8))
    return image, label, replace(volumes[0], stored=volumes[0].stored[:0], header=None)


def subset_dataset(root: str | Path, ids: Collection[str], out: str | Path) -> Path:
    """Make a data set folder that holds some of the cases only, so that nothing else can be protected or learnt from.

    Args:
        root: a data set in any layout that umed reads.
        ids: which cases.
        out: folder to make; files are hard links where the disk allows it, else copies.

    Returns:
        ``out``, in the same layout.

    Raises:
        InputError: When a case is missing.
    """
    dataset = find_dataset(Path(root))
    cases = [case for case in dataset.cases if case.id in set(ids)]
    missing = sorted(set(ids) - {case.id for case in cases})
    if missing:
        raise InputError(f"{root}: expected case {missing[0]!r}, found none. Run umed inspect on the folder.")
    out = Path(out)
    for path in (path for case in cases for path in (*case.images, case.label) if path is not None):
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
    for case in (case for case in dataset.cases if case.label is not None and case.id in wanted):
        volume = read(dataset.root / case.images[0])
        if len(volume.spatial_shape) != 2 or volume.stored.dtype != np.uint8:
            raise InputError(f"{case.images[0]}: expected an 8-bit picture to resize, got {volume.stored.dtype}.")
        assert case.label is not None
        label = read_label(dataset.root / case.label, volume).astype(np.uint8)
        pictures = (("images", volume.stored, Image.Resampling.BOX), ("masks", label, Image.Resampling.NEAREST))
        for folder, array, filtering in pictures:
            target = out / folder / f"{case.id}.png"
            if not target.exists():
                with atomic(target) as temporary:
                    Image.fromarray(array).resize((size, size), filtering).save(temporary, format="PNG")
    return out
