# SPDX-License-Identifier: Apache-2.0
"""Drafts a mapping file (:mod:`umed.data.layout_map`) from the names of the files of a folder."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from umed.core.errors import ConfigError, InputError
from umed.core.types import Dataset
from umed.data.case_collector import FolderTree, stem_of
from umed.data.layout_map import find_mapped
from umed.data.layout_names import folder_kind, mask_bases
from umed.data.layouts import find_dataset

MASK_WORDS = frozenset(
    "mask masks seg segs segmentation segmentations label labels gt gts roi rois annotation annotations truth "
    "groundtruth ground lesion lesions contour contours manual delineation delineations target targets".split()
)
_CUT = re.compile(r"[_\-. ]+")
MOST_WORDS = 10
"""Words of one name that are looked at."""


@dataclass
class MapDraft:
    """A mapping file in the making.

    Args:
        images: patterns of the images.
        labels: patterns of the masks.
        channels: names of the channels.
        remarks: what a reader must know.
    """

    images: list[str]
    labels: list[str]
    channels: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def content(self) -> str:
        """YAML without comments."""
        found: dict[str, object] = {"images": self.images[0] if len(self.images) == 1 else self.images}
        if self.channels:
            found["channels"] = self.channels
        if self.labels:
            found["labels"] = self.labels[0] if len(self.labels) == 1 else self.labels
        return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000, default_style=None)


def suggest_map(root: Path) -> str:
    """Draft a mapping file.

    Args:
        root: folder of images and masks, in a known layout or in none.

    Returns:
        YAML with comments, which ``--layout`` accepts where the names in the folder are regular; where they are not,
        the comments say what to edit.

    Raises:
        InputError: when it is no folder, or holds no image.
    """
    if not root.is_dir():
        raise InputError(f"{root}: expected the folder of a data set, got none. Check the path.")
    tree = FolderTree(root)
    if not tree.images:
        raise InputError(f"{root}: expected images, got no file that looks like one. Check the path.")
    known = _known(root)
    if known is not None:
        images = {path.as_posix() for case in known.cases for path in case.images}
        labels = {path.as_posix() for case in known.cases for path in case.labels}
        classes = any(case.classes for case in known.cases)
        single = all(len(case.images) == 1 for case in known.cases)
        says = f"umed reads this folder without it (layout {known.layout}, {len(known.cases)} cases)"
        draft = draft_patterns(sorted(images), sorted(labels), classes=classes, single=single)
    else:
        guessed, says = _guess(tree)
        labels = set(guessed)
        images = set(tree.images) - labels
        draft = draft_patterns(sorted(images), sorted(labels))
    head = ["Where images and masks lie, for umed ... --layout; drafted from the names of the files.", says]
    head += draft.remarks + _trial(tree, draft, images | labels)
    return _text(draft, head)


def _known(root: Path) -> Dataset | None:
    try:
        dataset = find_dataset(root)
    except (InputError, ConfigError):
        return None
    return dataset if any(case.labels for case in dataset.cases) else None


def _guess(tree: FolderTree) -> tuple[list[str], str]:
    """What of a folder looks like masks, and how that was told."""
    named = [name for name in tree.images if _sounds_like_mask(name)]
    if named and len(named) < len(tree.images):
        return named, "umed cannot read this folder by itself; masks are told by words in their names"
    sizes: Counter[str] = Counter()
    stems: dict[str, set[str]] = defaultdict(set)
    for name in tree.images:
        folder = str(PurePosixPath(name).parent)
        sizes[folder] += os.stat(tree.root / name).st_size
        stems[folder].add(PurePosixPath(stem_of(name)).name)
    if len(stems) == 2 and len({frozenset(one) for one in stems.values()}) == 1:
        small = min(sizes, key=lambda folder: sizes[folder])
        masks = [name for name in tree.images if str(PurePosixPath(name).parent) == small]
        return masks, f"{small}/ IS TAKEN FOR THE MASKS BECAUSE ITS FILES ARE SMALLER: look at them"
    return [], "NO MASK WAS FOUND: fill in labels"


def _sounds_like_mask(name: str) -> bool:
    parts = PurePosixPath(stem_of(name)).parts
    words = {word for part in parts for word in _CUT.split(re.sub(r"(?<=[a-z])(?=[A-Z])|\d+", " ", part).lower())}
    return (
        bool(words & MASK_WORDS)
        or any(folder_kind(part)[0] == "label" for part in parts[:-1])
        or any(mask_bases(parts[-1]))
    )


def _spans(name: str) -> dict[str, str]:
    """Patterns of a name by what ``{case}`` would stand for: each run of words of each part, wherever it comes back."""
    whole = stem_of(name)
    found: dict[str, str] = {}
    for part in dict.fromkeys(PurePosixPath(whole).parts):
        cuts = [match.span() for match in _CUT.finditer(part)][:MOST_WORDS]
        starts = [0, *(end for _, end in cuts)]
        ends = [*(start for start, _ in cuts), len(part)]
        for number, start in enumerate(starts):
            for end in ends[number:]:
                if text := part[start:end]:
                    pattern = rf"(?<![^/_\-. ]){re.escape(text)}(?![^/_\-. ])"
                    found.setdefault(text, re.sub(pattern, "{case}", whole) + name[len(whole) :])
    return found


def _choose(
    names: Sequence[str], allowed: Mapping[str, int] | None, *, free: bool = False
) -> dict[str, tuple[str, str]]:
    """Pattern and case of each name: the pattern that most names share, then the longest case.

    Args:
        names: of files.
        allowed: what cases are called; anything if ``None``.
        free: patterns come from those, and other names may be other cases of them.
    """
    options = {name: _spans(name) for name in names}
    shared = Counter(
        pattern
        for some in options.values()
        for pattern in {made for key, made in some.items() if allowed is None or key in allowed}
    )
    found = {}
    for name, some in options.items():
        leaf = PurePosixPath(stem_of(name)).name
        good = [key for key, made in some.items() if shared[made] and (free or allowed is None or key in allowed)]
        if good:
            key = max(good, key=lambda one: (shared[some[one]], one in leaf, len(one), one))
            found[name] = (some[key], key)
    return found


def draft_patterns(
    images: Sequence[str], labels: Sequence[str], *, classes: bool = True, single: bool = False
) -> MapDraft:
    """Draft the patterns of a data set.

    Args:
        images: names of the image files.
        labels: names of the mask files.
        classes: masks of other names are classes, not instances.
        single: every case is one image file.

    Returns:
        The patterns.
    """
    of_labels = Counter(key for name in labels for key in _spans(name))
    chosen = _choose(images, of_labels if labels else None, free=True)
    lone = not chosen
    if lone:
        chosen = _choose(images, None)
    keys = Counter(key for _, key in chosen.values())
    masks = _choose(labels, keys)
    first, second = _by_pattern(chosen), _by_pattern(masks)
    draft = MapDraft(sorted(first), sorted(second))
    if lone:
        draft.remarks.append("NAMES OF IMAGES AND MASKS HAVE NOTHING IN COMMON: put each case into a folder of its own")
    several = any(count > 1 for count in keys.values())
    slot, middles = _slot(first)
    label_slot, label_middles = _slot(second)
    if (
        slot
        and label_slot
        and len(first) > 1
        and set(middles) == set(label_middles)
        and (single or _named_in(middles, labels))
    ):
        draft.images, draft.labels = [slot.replace("\0", "{part}")], [label_slot.replace("\0", "{part}")]
        return draft
    if slot and several and not single:
        draft.images, draft.channels = [slot.replace("\0", "{channel}")], sorted(middles)
    elif several and len(first) > 1:
        draft.remarks.append(
            "SEVERAL IMAGES HAVE THE SAME CASE: use {channel} for channels, {part} for splits or sites"
        )
    often = any(count > 1 for count in Counter(key for _, key in masks.values()).values())
    if label_slot and len(second) > 1 and often:
        words = [middle for middle in middles_of_classes(label_middles)]
        draft.labels = [label_slot.replace("\0", "{class}" if classes and words else "*")]
    return draft


def _named_in(middles: Iterable[str], labels: Sequence[str]) -> bool:
    return all(any(middle in PurePosixPath(name).parts for name in labels) for middle in middles if middle)


def middles_of_classes(middles: Iterable[str]) -> list[str]:
    """Names that are classes: none where they are numbers, or one is empty, or all are one word with numbers.

    >>> middles_of_classes(["liver", "spleen"]), middles_of_classes(["", "_1"]), middles_of_classes(["mask1", "mask2"])
    (['liver', 'spleen'], [], [])
    """
    names = list(middles)
    words = {re.sub(r"[^a-z]+", "", name.lower()) for name in names}
    return names if len(words) > 1 and "" not in words else []


def _by_pattern(chosen: Mapping[str, tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for pattern, key in chosen.values():
        found[pattern].add(key)
    return found


def _slot(patterns: Iterable[str]) -> tuple[str, list[str]]:
    """One pattern with a NUL where several differ within one part of the path, and what stands there."""
    names = sorted(patterns)
    if len(names) < 2:
        return "", []
    front = os.path.commonprefix(names)
    back = os.path.commonprefix([name[len(front) :][::-1] for name in names])[::-1]
    front = front[: max((match.end() for match in re.finditer(r"[/_\-. }]", front)), default=0)]
    if match := re.search(r"[/_\-. {]", back):
        back = back[match.start() :]
    middles = [name[len(front) : len(name) - len(back)] for name in names]
    if any("/" in middle or "{" in middle for middle in middles):
        return "", []
    return f"{front}\0{back}", middles


def _trial(tree: FolderTree, draft: MapDraft, wanted: set[str]) -> list[str]:
    """Try the draft; what is wrong with it, in words."""
    with tempfile.TemporaryDirectory(prefix="umed-") as folder:
        path = Path(folder, "map.yaml")
        path.write_text(draft.content(), encoding="utf-8")
        try:
            dataset = find_mapped(tree, path)
        except (ConfigError, InputError) as error:
            return [f"EDIT IT FIRST: {str(error).replace(f'--layout {path}: ', '')}"]
    labelled = sum(bool(case.labels) for case in dataset.cases)
    inside = {path.as_posix() for case in dataset.cases for path in (*case.images, *case.labels)}
    left = sorted(wanted - inside)
    remarks = [f"It finds {len(dataset.cases)} cases, {labelled} of them with masks."]
    if left:
        remarks.append(f"NOT IN A CASE: {len(left)} files, such as {', '.join(left[:3])}")
    return remarks


def _text(draft: MapDraft, head: Sequence[str]) -> str:
    lines = [f"# {line}" for line in head]
    lines += [
        "# {case}, {channel}, {class} and {part} stand for a part of a name, * for any, **/ for folders.",
        '# More keys: classes: {liver: 1, spleen: 2}; modality: [CT, PET]; split: ["test_*"].',
    ]
    if not draft.labels:
        lines.append('# labels: "masks/{case}.png"')
    return "\n".join([*lines, draft.content()])
