# SPDX-License-Identifier: Apache-2.0
"""Folders that are one case each: image and mask, the channels of BraTS, a file a class as in TotalSegmentator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from umed.data import formats
from umed.data.case_collector import CaseCollector
from umed.data.layout_index import PICTURES
from umed.data.layout_names import family

CLASS_FOLDERS = ("segmentations", "segmentation", "segs")
"""Folders whose files are classes even where there is only one case."""


@dataclass
class CaseFolder:
    """One case as found.

    Args:
        name: of the case.
        images: image files, by channel.
        channels: names of the channels.
        masks: mask files.
        stems: name of each mask, without that of the case.
        named: whether masks of other names are classes of their own, not instances.
        way: folder of the masks; empty where they lie beside the images.
    """

    name: str
    images: list[str]
    channels: tuple[str, ...]
    masks: list[str]
    stems: list[str]
    named: bool
    way: str = ""


def one_kind(images: Sequence[str], masks: Sequence[str]) -> list[str]:
    """The images of the kind of the masks: volumes, or pictures; a preview beside a volume is no channel."""
    flat = formats.ending(Path(masks[0])) in PICTURES
    return [name for name in images if (formats.ending(Path(name)) in PICTURES) == flat]


def sound_cases(cases: Sequence[CaseFolder]) -> tuple[list[CaseFolder], list[CaseFolder]]:
    """Cases to believe in, and those whose masks lie in a folder under names that are no image's by mere chance.

    Such a mask belongs to all that lies beside its folder only if the folder says so (``segmentations``), or if there
    are several such cases, with the same images.
    """
    channels = Counter(_channels(case) for case in cases if case.way)
    kept: list[CaseFolder] = []
    other: list[CaseFolder] = []
    for case in cases:
        sure = not case.way or PurePosixPath(case.way).name.lower() in CLASS_FOLDERS or channels[_channels(case)] > 1
        (kept if sure else other).append(case)
    return kept, other


def add_case_folders(collector: CaseCollector, cases: Sequence[CaseFolder]) -> None:
    """Add the cases; those that lack a channel of most others are problems, and so are those with two kinds of mask.

    Args:
        collector: of the data set.
        cases: as found.
    """
    if not cases:
        return
    usual = Counter(_channels(case) for case in cases).most_common(1)[0][0]
    classes = _class_numbers(cases)
    for case in sorted(cases, key=lambda one: one.name):
        files = [*case.images, *case.masks]
        kinds = {family(stem, "") for stem in case.stems}
        if _channels(case) != usual:
            got = ", ".join(case.channels) or "none"
            collector.problem(files, f"expected the channels of most cases, {', '.join(usual)}, got {got}")
        elif classes:
            order = sorted(range(len(case.masks)), key=lambda k: case.stems[k])
            numbers = [classes[case.stems[k]] for k in order]
            collector.add(case.name, case.images, [case.masks[k] for k in order], classes=numbers)
        elif len(kinds) > 1 and not case.named:
            got = ", ".join(PurePosixPath(name).name for name in case.masks)
            collector.problem(files, f"expected one mask of a case, got {got}; say which with --layout map.yaml")
        else:
            collector.add(case.name, case.images, sorted(case.masks))


def _channels(case: CaseFolder) -> tuple[str, ...]:
    """Names of the channels; a single one may be called as it likes."""
    return case.channels if len(case.channels) != 1 else ("one image",)


def _class_numbers(cases: Sequence[CaseFolder]) -> dict[str, int]:
    """Number of each class by name, over the whole data set, so that it is the same in every case.

    Empty where the masks are instances: of one name with numbers, or of names that never come back.
    """
    named = [case for case in cases if case.named]
    names = Counter(stem for case in named for stem in set(case.stems))
    if len(named) < len(cases):
        return {}
    sure = all(PurePosixPath(case.way).name.lower() in CLASS_FOLDERS for case in cases) and len(names) > 1
    if not sure and (max(names.values()) < 2 or len({family(name, "") for name in names}) < 2):
        return {}
    return {name: number for number, name in enumerate(sorted(names), start=1)}
