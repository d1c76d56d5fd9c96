# SPDX-License-Identifier: Apache-2.0
"""Data sets whose cases stand in ``dataset.json``: Medical Segmentation Decathlon, nnU-Net raw of versions 1 and 2."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from umed.core.errors import InputError
from umed.core.reasons import examples
from umed.core.types import Case, Dataset
from umed.data.case_collector import CHOOSE, CaseCollector, FolderTree, stem_of
from umed.data.declared import channel_names

INDEX = Path("dataset.json")
SECTIONS = {"training": "numTraining", "validation": "numValidation", "test": "numTest"}
PICTURES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
"""Endings of files that may hold several channels of a case, as nnU-Net's NaturalImage2DIO reads them."""


def load_index(root: Path) -> dict[str, Any] | None:
    """``dataset.json`` of a data set, ``None`` where there is none."""
    path = root / INDEX
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}. Repair the file.") from error
    if not isinstance(index, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(index).__name__}. Repair the file.")
    return index


def refuse_inner_indexes(tree: FolderTree) -> None:
    """A data set's index counts only at the root; what one says further down must not be passed over.

    Args:
        tree: a folder without an index of its own.

    Raises:
        InputError: where a folder below it holds the index of a data set, which declares channels, classes and what
            to ignore; or where the root's own is called otherwise (``Dataset.json``).
    """
    found = [name for name in tree.files if PurePosixPath(name).name.lower() == INDEX.name and name != INDEX.name]
    inner = [name for name in found if _is_index(tree.root / name)]
    if not inner:
        return
    folders = [PurePosixPath(name).parent.as_posix() for name in inner]
    if "." in folders:
        name = inner[folders.index(".")]
        raise InputError(f"{tree.root}: expected the index to be called {INDEX.name}, got {name}. Rename it.")
    raise InputError(
        f"{tree.root}: expected one data set, got {len(inner)} below it with a dataset.json of its own, which says "
        f"what channels and classes are: {examples(folders, len(folders))}. Give umed such a folder, one after the "
        f"other, or {CHOOSE}."
    )


def _is_index(path: Path) -> bool:
    """Whether a file declares the channels or cases of a data set, also where a comma too many breaks it."""
    keys = ("channel_names", "modality", "training")
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        text = path.read_text(encoding="utf-8-sig")
        index = json.loads(text)
    except (OSError, UnicodeDecodeError):
        return False  # accounted for as what it is
    except ValueError:
        return any(f'"{key}"' in text for key in keys)
    return isinstance(index, dict) and not index.keys().isdisjoint(keys)


def find_decathlon(tree: FolderTree) -> Dataset | None:
    """Decathlon, and nnU-Net v1, whose ``dataset.json`` names ``x.nii.gz`` where ``x_0000.nii.gz`` lies."""
    index = load_index(tree.root)
    if index is None or not isinstance(index.get("training"), list):
        return None
    modality = channel_names(index.get("modality"))
    parts = [(section, entry) for section in SECTIONS for entry in _listed(index, section)]
    first = next((files for files in (_named(entry)[0] for _, entry in parts) if files), [])
    collector = CaseCollector(tree, "decathlon")
    shared = _shared_names(collector, parts)
    numbered = len(first) == 1 and not _there(collector, first[0]) and bool(_numbered(collector, first[0]))
    collector.layout = "nnunet_v1" if numbered else "decathlon"
    for section, entry in parts:
        images, label = _named(entry)
        if not images or not isinstance(label, str | None):
            reason = f"expected an image and a label name in {section}, got {str(entry)[:80]}"
            collector.problem(str(INDEX), reason)
            continue
        name = PurePosixPath(images[0]).name
        if name.startswith("._"):
            continue
        found = [*map(collector.relative, images)]
        if numbered:
            found = _numbered(collector, images[0]) or found
            if len(found) != len(modality) > 0:
                got = ", ".join(PurePosixPath(one).name for one in found)
                collector.problem(found, f"expected {len(modality)} channels from _0000 on, got {got}")
                continue
        title = stem_of(found[0] if name in shared and section != "test" else name)
        collector.add(title, found, [] if label is None else [collector.relative(label)], test=section == "test")
    known = {path.as_posix() for case in collector.cases.values() for path in (*case.images, *case.labels)}
    known |= {name for name, _ in collector.problems}
    for name in tree.images:
        if name not in known:
            collector.problem(name, "is not listed in dataset.json")
    return collector.done(modality)


def _shared_names(collector: CaseCollector, parts: Iterable[tuple[str, Any]]) -> set[str]:
    """Names of files that several labelled cases have, in folders of their own; these tell the cases apart."""
    first = {collector.relative(images[0]) for part, entry in parts if part != "test" and (images := _named(entry)[0])}
    there = set(collector.tree.files)  # an entry that leads out is no case
    names = Counter(PurePosixPath(name).name for name in first & there)
    return {name for name, count in names.items() if count > 1}


def _listed(index: Mapping[str, Any], section: str) -> list[Any]:
    entries = index.get(section) or []
    return entries if isinstance(entries, list) else []


def _named(entry: Any) -> tuple[list[str], Any]:
    """Image files and label of an entry: a name, or a mapping with one name or a list of them, a channel each."""
    image = entry.get("image") if isinstance(entry, dict) else entry
    images = image if isinstance(image, list) else [image]
    label = entry.get("label") if isinstance(entry, dict) else None
    return ([*images] if all(isinstance(one, str) and one for one in images) else []), label


def _there(collector: CaseCollector, name: str) -> bool:
    return (collector.root / collector.relative(name)).is_file()


def _numbered(collector: CaseCollector, name: str) -> list[str]:
    """Files ``x_0000.nii.gz`` and on that lie where an index of nnU-Net v1 says ``x.nii.gz``."""
    name = collector.relative(name)
    stem, ending = stem_of(name), name[len(stem_of(name)) :]
    pattern = re.compile(re.escape(stem) + r"_\d{4}" + re.escape(ending))
    return [one for one in collector.tree.images if pattern.fullmatch(one)]


def find_nnunet(tree: FolderTree) -> Dataset | None:
    """nnU-Net v2 raw: ``channel_names``, cases by file names or, with a ``dataset`` entry, as it says."""
    index = load_index(tree.root)
    if index is None or not isinstance(index.get("channel_names"), dict):
        return None
    if not isinstance(index.get("dataset"), dict) and not (tree.root / "imagesTr").is_dir():
        return None
    collector = CaseCollector(tree, "nnunet")
    ending, channels = str(index.get("file_ending", ".nii.gz")), channel_names(index["channel_names"])
    if "dataset" in index:
        _add_entries(collector, index["dataset"], channels)
        _add_folder(collector, "imagesTs", "labelsTs", ending, channels)
        return collector.done(channels)
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        _add_folder(collector, images, labels, ending, channels)
    return collector.done(channels)


def _add_entries(collector: CaseCollector, entries: object, channels: tuple[str, ...]) -> None:
    """Cases as the ``dataset`` entry names them: ``{"case": {"images": [...], "label": "..."}}``."""
    if not isinstance(entries, dict):
        raise InputError(f"{collector.root / INDEX}: expected a mapping as 'dataset', got {type(entries).__name__}.")
    for name, entry in entries.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        names = images if isinstance(images, list) else []
        if not names or not all(isinstance(one, str) for one in names) or not isinstance(label, str | None):
            collector.problem(str(INDEX), f"expected images and a label of {name} in dataset, got {str(entry)[:80]}")
            continue
        found = [*map(collector.relative, names)]
        if _fits(collector, found, channels):
            collector.add(name, found, [] if label is None else [collector.relative(label)])


def _add_folder(collector: CaseCollector, images: str, labels: str, ending: str, channels: tuple[str, ...]) -> None:
    """Cases of a folder by their names ``case_0000.ending``."""
    tree, pattern = collector.tree, re.compile(r"(.+)_(\d{4})" + re.escape(ending))
    groups: dict[str, dict[int, str]] = {}
    for name in tree.below(images):
        match = pattern.fullmatch(name.removeprefix(f"{images}/"))
        if match and "/" not in match[1]:
            groups.setdefault(match[1], {})[int(match[2])] = name
        else:
            collector.problem(name, f"expected a name like CASE_0000{ending}; rename it")
    for name, parts in groups.items():
        found = [parts[number] for number in sorted(parts)]
        label = f"{labels}/{name}{ending}"
        there = [label] if (collector.root / label).is_file() else []
        if sorted(parts) != list(range(len(parts))):
            _misfit(collector, [*found, *there], channels)
        elif _fits(collector, found, channels, there):
            collector.add(name, found, there, test=images == "imagesTs")
    for name in tree.below(labels):
        if name.removeprefix(f"{labels}/").removesuffix(ending) not in groups:
            collector.problem(name, "is a label without an image")


def _fits(collector: CaseCollector, images: list[str], channels: tuple[str, ...], labels: Collection[str] = ()) -> bool:
    """Whether the files of a case hold its channels: one each, or pictures with several in one file."""
    if len(images) == len(channels):
        return True
    if len(images) < len(channels) and all(name.lower().endswith(PICTURES) for name in images):
        bands = [_bands(collector, name) for name in images]
        if sum(bands) == len(channels):
            return True
    _misfit(collector, [*images, *labels], channels)
    return False


def _bands(collector: CaseCollector, name: str) -> int:
    """Channels of a picture, from its header; 0 where it cannot be read."""
    try:
        with Image.open(collector.root / collector.inside(name)) as picture:
            return len(picture.getbands())
    except (OSError, ValueError, InputError, Image.DecompressionBombError):
        return 0


def _misfit(collector: CaseCollector, names: list[str], channels: tuple[str, ...]) -> None:
    numbers = [match[1] for name in names if (match := re.search(r"(_\d{4})\.", name))]
    got = ", ".join(numbers) or ", ".join(names)
    collector.problem(names, f"expected {len(channels)} channels from _0000 on, got {got}")


def rewritten_index(dataset: Dataset, released: Collection[str]) -> bytes | None:
    """Content of the output's ``dataset.json``: as it was, or with the released cases only and no absolute path.

    ``None`` for a layout without this index.
    """
    if dataset.layout not in ("decathlon", "nnunet", "nnunet_v1"):
        return None
    raw = (dataset.root / INDEX).read_bytes()
    index = load_index(dataset.root) or {}
    cases = {case.images[0].as_posix(): case for case in dataset.cases if case.id in released}
    renamed = any(case.images != case.outputs for case in cases.values())
    absolute = any(PurePosixPath(name).is_absolute() for name in _strings(index))
    if len(cases) == len(dataset.cases) and not dataset.problems and not renamed and not absolute:
        return raw
    collector = CaseCollector(UnseenTree(dataset.root), dataset.layout)
    if dataset.layout == "nnunet":
        index["numTraining"] = sum(case.id not in dataset.split for case in cases.values())
        if isinstance(index.get("dataset"), dict):
            index["dataset"] = dict(_kept_entries(index["dataset"], cases, collector))
    else:
        numbered = dataset.layout == "nnunet_v1"
        if numbered:  # x_0000.nii.gz stands as x.nii.gz in the index
            cases = {re.sub(r"_\d{4}(?=\.)", "", name): case for name, case in cases.items()}
        for section, number in SECTIONS.items():
            if not isinstance(index.get(section), list):
                continue
            entries = index[section]
            index[section] = [new for entry in entries if (new := _kept(entry, cases, collector, numbered)) is not None]
            if number in index:
                index[number] = len(index[section])
    return (json.dumps(index, indent=4, ensure_ascii=False) + "\n").encode()


class UnseenTree(FolderTree):
    """A tree that is not looked at, where only names are worked out."""

    def __init__(self, root: Path) -> None:
        self.root, self.files, self.folders = root, [], []


def _kept(entry: Any, cases: Mapping[str, Case], collector: CaseCollector, numbered: bool) -> Any:
    """An entry of a section as the output has it; ``None`` where its case is not released."""
    images, label = _named(entry)
    case = cases.get(collector.relative(images[0])) if images else None
    if case is None:
        return None
    names = ["./" + collector.relative(one) for one in images]
    if not numbered:
        names = ["./" + one.as_posix() for one in case.outputs]
    if not isinstance(entry, dict):
        return names[0]
    new = {**entry, "image": names if isinstance(entry["image"], list) else names[0]}
    if isinstance(label, str) and PurePosixPath(label).is_absolute():
        new["label"] = "./" + collector.relative(label)
    return new


def _kept_entries(
    entries: Mapping[str, Any], cases: Mapping[str, Case], collector: CaseCollector
) -> Iterator[tuple[str, Any]]:
    for name, entry in entries.items():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else ([], None)
        case = cases.get(collector.relative(str(images[0]))) if isinstance(images, list) and images else None
        if case is not None:
            new = {**entry, "images": [one.as_posix() for one in case.outputs]}
            yield name, new if label is None else {**new, "label": collector.relative(str(label))}


def _strings(content: Any) -> Iterator[str]:
    """All strings of the sections that name files."""
    parts = [content.get(key) for key in (*SECTIONS, "dataset")] if isinstance(content, dict) else []
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            parts += part.values() if isinstance(part, dict) else part
