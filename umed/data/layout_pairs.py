# SPDX-License-Identifier: Apache-2.0
"""Images and masks told by their names: folders of both side by side, masks beside images, case folders."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath

from umed.core.errors import InputError
from umed.core.types import Dataset
from umed.data import formats
from umed.data.case_collector import CHOOSE, CaseCollector, FolderTree, stem_of
from umed.data.layout_case_folders import CaseFolder, add_case_folders, one_kind, sound_cases
from umed.data.layout_names import (
    FolderPlace,
    bare_mask,
    family,
    folder_kind,
    image_keys,
    mask_bases,
    numbered_base,
    place_of,
    without_folder,
)

ORPHAN = "is a mask without an image"


@dataclass
class ImageFolder:
    """Images of one folder, and what of it looks like a mask.

    Args:
        folder: its path.
        place: what its name says.
        images: names by stem; masks are taken out.
        beside: masks that lie beside their image, by stem of the image.
        bare: masks of all that lies here (``mask.png``, ``case_7_seg.nii.gz``).
        other: what looks like a mask of no image here.
    """

    folder: str
    place: FolderPlace
    images: dict[str, list[str]] = field(default_factory=dict)
    beside: dict[str, list[str]] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @cached_property
    def short(self) -> dict[str, set[str]]:
        """Stems by the names that their masks may give them, in lower case."""
        found: dict[str, set[str]] = defaultdict(set)
        for one in self.images:
            for key in image_keys(one):
                found[_folded(key)].add(one)
        return found

    @cached_property
    def numbered(self) -> frozenset[str]:
        """Names that come back with a number behind them."""
        return frozenset(map(numbered_base, self.images))

    def match(self, stem: str, bases: Iterable[str], skip: Container[str] = ()) -> str | None:
        """Stem of the image that a mask belongs to: by an image's own name first, then by a shortened one."""
        for key in (stem, *bases):
            if key in self.images and key not in skip:
                return key
            found = [one for one in self.short.get(_folded(key), ()) if one in self.images and one not in skip]
            if len(found) == 1:
                return found[0]
        return None


def _folded(name: str) -> str:
    """A name as it is compared: macOS writes an umlaut as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name).lower()


def find_pairs(tree: FolderTree) -> Dataset | None:
    """Images and masks told by their names; layout ``pairs``, or ``case_folders`` where a folder is a case.

    Raises:
        InputError: where an image would get different masks by two ways of reading.
    """
    heads = frozenset(tuple(parts[:-1]) for parts in _parts(tree.folders) if folder_kind(parts[-1])[0] == "image")
    masks, plain = _by_folder(tree, heads)
    folders = {name: _sort_out(name, place, files) for (name, place), files in plain.items()}
    collector = CaseCollector(tree, "pairs")
    ways: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    cases, lost = _case_folders(folders), []
    for folder in folders.values():
        for stem, beside in folder.beside.items():
            ways[folder.images[stem][0]]["beside it"] += beside
    places: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[ImageFolder]] = defaultdict(list)
    for folder in folders.values():
        places[folder.place.kind, folder.place.head, folder.place.tail].append(folder)
    for (name, place), files in masks.items():
        lost += _assign(name, place, files, places, ways, cases)
    cases, doubtful = sound_cases(cases)
    lost += [name for case in doubtful for name in case.masks]
    kinds = {place_of(parts, heads).kind for parts in _parts(tree.folders)}
    if not ways and not cases and not {"image", "label"} <= kinds:
        return None
    _refuse_two_ways(tree, ways)
    if cases:
        collector.layout = "case_folders"
    taken = {name for case in cases for name in (*case.images, *case.masks)}
    rests = {one.place.rest for one in folders.values() if one.images}
    for folder in folders.values():
        labelled = any(ways.get(name) for names in folder.images.values() for name in names)
        if labelled or folder.place.kind == "image":
            _add_images(collector, folder, ways, taken, many=len(rests) > 1)
        collector.problem(
            (name for name in (*folder.bare, *folder.other) if name not in taken), f"by its name {ORPHAN}"
        )
    add_case_folders(collector, cases)
    collector.problem(lost, ORPHAN)
    return collector.done()


def _parts(folders: Iterable[str]) -> list[tuple[str, ...]]:
    return [PurePosixPath(name).parts for name in folders]


_Folders = dict[tuple[str, FolderPlace], list[str]]


def _by_folder(tree: FolderTree, heads: Set[tuple[str, ...]]) -> tuple[_Folders, _Folders]:
    """Files of folders of masks, and of all others, by folder."""
    masks: _Folders = defaultdict(list)
    plain: _Folders = defaultdict(list)
    for name in tree.images:
        folder = PurePosixPath(name).parent
        place = place_of(folder.parts, heads)
        (masks if place.kind == "label" else plain)[str(folder), place].append(name)
    return masks, plain


def _leaf(name: str) -> str:
    leaf = PurePosixPath(stem_of(name)).name
    return leaf[:-4] if len(leaf) > 4 and leaf.lower().endswith(".ome") else leaf  # its mask is ``a``


def _sort_out(name: str, place: FolderPlace, files: Sequence[str]) -> ImageFolder:
    """Tell the masks of a folder from its images."""
    folder = ImageFolder(name, place)
    for file in files:
        folder.images.setdefault(_leaf(file), []).append(file)
    own = PurePosixPath(name).name
    found: dict[str, str] = {}
    for stem in sorted(folder.images, key=lambda one: (len(one), one)):
        bases = [base for base in mask_bases(stem) if base]
        image = folder.match("", bases, {stem, *found}) if bases else None
        if image is not None:
            found[stem] = image
    for stem in [*folder.images]:
        if stem in found:
            names = folder.images.pop(stem)
            folder.beside.setdefault(found[stem], []).extend(names)
        elif folder.place.kind == "" and stem not in folder.beside and stem not in found.values():
            short = without_folder(stem, own)
            if "" in mask_bases(short) and "" not in (stem, short):
                folder.bare += folder.images.pop(stem)
            elif any(mask_bases(short)) and not stem == own:
                folder.other += folder.images.pop(stem)
    return folder


def _case_folders(folders: dict[str, ImageFolder]) -> list[CaseFolder]:
    """Folders that are one case each: images and a mask of them all, or masks of several classes."""
    found: list[CaseFolder] = []
    seen: dict[str, int] = defaultdict(int)
    for folder in folders.values():
        for stem in {
            without_folder(_leaf(name), PurePosixPath(folder.folder).name) for name in (*folder.bare, *folder.other)
        }:
            seen[stem.lower()] += 1
    for folder in folders.values():
        own = PurePosixPath(folder.folder).name
        if not folder.images or folder.beside:
            continue
        names = {name: without_folder(_leaf(name), own) for name in folder.bare}
        sure = [name for name, short in names.items() if bare_mask(short) or seen[short.lower()] > 1]
        classes = False
        if not sure:
            names = {name: without_folder(_leaf(name), own) for name in folder.other}
            sure = [name for name, short in names.items() if seen[short.lower()] > 1]
            classes = True
        if sure:
            if not classes:  # others make it two kinds of mask, which is refused
                sure, names = (
                    [*sure, *folder.other],
                    {name: without_folder(_leaf(name), own) for name in (*folder.bare, *folder.other)},
                )
            found.append(_case(folder, sure, [names[name] for name in sure], classes=classes))
    return found


def _case(folder: ImageFolder, masks: list[str], stems: list[str], *, classes: bool, way: str = "") -> CaseFolder:
    own = PurePosixPath(folder.folder).name
    images = one_kind([name for names in folder.images.values() for name in names], masks)
    channels = [(without_folder(_leaf(name), own) or _leaf(name)).lower() for name in images]
    order = sorted(range(len(images)), key=lambda k: channels[k])
    return CaseFolder(
        name="_".join((*folder.place.head, *folder.place.tail)) or _leaf(images[0] if images else masks[0]),
        images=[images[k] for k in order],
        channels=tuple(channels[k] for k in order),
        masks=masks,
        stems=stems,
        named=classes,
        way=way,
    )


def _assign(
    name: str,
    place: FolderPlace,
    files: Sequence[str],
    folders: Mapping[tuple[str, tuple[str, ...], tuple[str, ...]], list[ImageFolder]],
    ways: dict[str, dict[str, list[str]]],
    cases: list[CaseFolder],
) -> list[str]:
    """Give the masks of a folder to their images; gives those that have none."""
    there = folders.get(("image", place.head, place.tail), [])
    same = [one for one in there if one.place.rest == place.rest] or there
    plain = folders.get(("", (*place.head, *place.tail), ()), [])
    lost = []
    for file in files:
        stem = _leaf(file)
        bases = [base for base in mask_bases(stem) if base]
        hits = [(one, hit) for one in same or plain if (hit := one.match(stem, bases)) is not None]
        if not hits and (base := numbered_base(stem)):  # instances: a_1.png, a_2.png of a.png
            hits = [(one, base) for one in same or plain if base in one.images and base not in one.numbered]
        for folder, hit in hits:
            ways[folder.images[hit][0]][name].append(file)
        if not hits:
            lost.append(file)
    only = same or plain
    if lost and len(lost) == len(files) and len(only) == 1 and only[0].images:
        images = [one for names in only[0].images.values() for one in names]
        if len(one_kind(images, files)) == 1 or only[0].place.kind == "":
            cases.append(_case(only[0], list(files), [_leaf(one) for one in files], classes=True, way=name))
            return []
    return lost


def _refuse_two_ways(tree: FolderTree, ways: dict[str, dict[str, list[str]]]) -> None:
    """InputError where an image has masks in two places."""
    for image, found in sorted(ways.items()):
        if len(found) > 1:
            first, second = (
                "; ".join(f"{files[0]} ({way})" for files in [files]) for way, files in [*found.items()][:2]
            )
            raise InputError(
                f"{tree.root}: expected one place for masks, got two for {image}: {first} and {second}. Remove what is "
                f"no mask of it, or {CHOOSE}."
            )


def _add_images(
    collector: CaseCollector, folder: ImageFolder, ways: dict[str, dict[str, list[str]]], taken: set[str], *, many: bool
) -> None:
    """Add the images of a folder as cases of one file each."""
    place = folder.place
    front = (*place.head, *((place.rest,) if many and place.rest else ()), *place.tail)
    channels = _channels(folder, ways)
    further = {name for names in channels.values() for name in names}
    for stem, names in folder.images.items():
        if taken & set(names) or names[0] in further:
            continue
        masks = sorted(
            mask for found in (ways.get(name, {}) for name in names) for some in found.values() for mask in some
        )
        kinds = {family(_leaf(mask), _shared(stem, _leaf(mask))) for mask in masks}
        leaves = [_leaf(mask) for mask in masks]
        if len(names) > 1 and not any(formats.ending(Path(name)) for name in names):
            kind = PurePosixPath(names[0]).suffix
            collector.problem([*names, *masks], f"{kind} is a format not read; convert it to .nii.gz, PNG or TIFF")
            continue
        if len(names) > 1 or len(kinds) > 1 or len(set(leaves)) < len(leaves):
            what = "images" if len(names) > 1 else "masks"
            got = ", ".join(names if len(names) > 1 else masks)
            reason = f"expected one image and one mask of this name, got {what} {got}; rename or remove one"
            collector.problem([*names, *masks], f"{reason}, or {CHOOSE}")
            continue
        collector.add("_".join((*front, stem)), [*names, *channels.get(stem, [])], masks)


def _channels(folder: ImageFolder, ways: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    """Further channels ``a_0001`` of labelled images ``a_0000``, as nnU-Net names them; all have as many."""
    found: dict[str, list[str]] = {}
    for stem, names in folder.images.items():
        if stem.endswith("_0000") and any(ways.get(name) for name in names):
            others = (f"{stem.removesuffix('_0000')}_{number:04d}" for number in range(1, len(folder.images)))
            files = [folder.images.get(other, []) for other in takewhile(folder.images.__contains__, others)]
            found[stem] = [one for some in files for one in some if not ways.get(one)]
    return found if len({len(files) for files in found.values()}) == 1 else {}


def _shared(stem: str, mask: str) -> str:
    """What names of image and mask share: the image's, or the shortened one that is in the mask's name."""
    return next((key for key in image_keys(stem) if key.lower() in mask.lower()), "")
