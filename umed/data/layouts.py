# SPDX-License-Identifier: Apache-2.0
"""Folder layouts of segmentation data sets: which files are images, which are masks, and what is written for them.

Each finder looks at a folder and returns a :class:`umed.core.types.Dataset`, or ``None`` if it is of another kind.
A new layout is one finder in :data:`FINDERS`. What is seen but cannot be a case is listed in ``Dataset.problems``,
never copied. A mapping file (:mod:`umed.data.layout_map`) says it for all other folders.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath

from umed.core.errors import InputError
from umed.core.reasons import group_reasons
from umed.core.types import Dataset
from umed.data import files, formats
from umed.data.case_collector import CHOOSE, CaseCollector, FolderTree, stem_of
from umed.data.dicom_input import is_dicom
from umed.data.layout_bids import bids_files, find_bids
from umed.data.layout_index import (
    INDEX,
    find_decathlon,
    find_nnunet,
    load_index,
    refuse_inner_indexes,
    rewritten_index,
)
from umed.data.layout_map import find_mapped
from umed.data.layout_names import LABEL_SUFFIXES, folder_kind, mask_stems
from umed.data.layout_pairs import find_pairs

__all__ = [
    "FINDERS",
    "INDEX",
    "LABEL_SUFFIXES",
    "carried_files",
    "companions_of",
    "find_dataset",
    "find_images",
    "index_files",
    "index_sources",
    "load_index",
    "mask_stems",
    "write_index",
    "write_others",
]

FINDERS: dict[str, Callable[[FolderTree], Dataset | None]] = {
    "nnunet": find_nnunet,
    "decathlon": find_decathlon,
    "bids": find_bids,
    "pairs": find_pairs,
}
"""Layouts in the order in which they are tried; Decathlon's finder knows nnU-Net v1, that of pairs case folders."""


def find_dataset(root: Path, layout: Path | None = None) -> Dataset:
    """Find the cases of a data set.

    Args:
        root: the folder.
        layout: mapping file that says where images and masks lie; without it the layouts of :data:`FINDERS` are tried.

    Returns:
        The data set, cases sorted by id.

    Raises:
        InputError: if it is no folder, of no known layout, holds no case, or can be read in two ways.
        ConfigError: if the mapping file is wrong.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(f"{root}: expected the folder of a data set, got {found}. Check the path.")
    files.check_readable(root)
    dataset = _in_known_layout(FolderTree(root)) if layout is None else find_mapped(FolderTree(root), layout)
    if dataset is not None:
        if not dataset.cases:
            why = "; ".join(group_reasons(dataset.problems)) or "no image was found"
            raise InputError(f"{root}: expected cases of a {dataset.layout} data set, got none ({why}).")
        return dataset
    if is_dicom(root):
        raise InputError(
            f"{root}: expected a data set of NIfTI files or pictures, got DICOM files. umed protect, anonymize, "
            "verify, inspect, plan and train-generator take them; convert them for anything else."
        )
    raise InputError(
        f"{root}: expected a data set, got none of: dataset.json with 'channel_names' and imagesTr/ (nnU-Net v2 raw), "
        "dataset.json with 'training' (Decathlon), sub-*/ with *_dseg or *_mask (BIDS), images/ beside masks/ or "
        "labels/, a.png beside a_mask.png, a folder a case with image and mask, a folder of DICOM files. Arrange the "
        "files in one of these ways, or run umed inspect INPUT --suggest and give the file it drafts as --layout."
    )


def find_images(root: Path) -> Dataset:
    """Find images that may lack masks: a data set as above, a folder with ``images/``, or a folder of images.

    Args:
        root: the folder.

    Returns:
        The data set; ``labels`` is empty for all images without a mask. Layout ``"images"`` where there is no mask
        at all and no ``dataset.json``.

    Raises:
        InputError: if it is no folder, holds DICOM files, masks without images/ beside them, or no image.
    """
    if is_dicom(root):
        raise InputError(f"{root}: expected NIfTI files or pictures, got DICOM files. Convert them to NIfTI first.")
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(f"{root}: expected a folder of images, got {found}. Check the path.")
    tree = FolderTree(root)
    dataset = _in_known_layout(tree)
    if dataset is None:
        top = {folder_kind(name)[0]: name for name in reversed(tree.folders) if "/" not in name}
        if "label" in top and "image" not in top:
            raise InputError(
                f"{root}: expected images/ beside {top['label']}/, got none. Move the images into images/."
            )
        collector = CaseCollector(tree, "images")
        folder = top.get("image", "")
        for name in tree.below(folder) if folder else tree.images:
            own = PurePosixPath(name).relative_to(folder).as_posix()
            collector.add((stem_of(own) if formats.ending(Path(name)) else own).replace("/", "_"), [name])
        dataset = collector.done()
    if not dataset.cases:
        raise InputError(
            f"{root}: expected images, got none that is read: {', '.join(formats.READERS)}. Check the path."
        )
    return dataset


def _in_known_layout(tree: FolderTree) -> Dataset | None:
    """The first layout that fits; InputError where dataset.json can be read in two ways with different masks."""
    found = None
    if not (tree.root / INDEX).is_file():
        refuse_inner_indexes(tree)
    for finder in FINDERS.values():
        if finder is find_pairs and found is not None:
            break  # an index says what is meant
        dataset = finder(tree)
        if found is None:
            found = dataset
        elif dataset is not None:
            _refuse_contradiction(tree.root, found, dataset)
    return found


def _refuse_contradiction(root: Path, one: Dataset, other: Dataset) -> None:
    masks = {image: case.labels for case in one.cases for image in case.images}
    for case in other.cases:
        for image in case.images:
            if masks.get(image) and case.labels and set(masks[image]) != set(case.labels):
                first, second = (", ".join(map(str, labels)) for labels in (masks[image], case.labels))
                raise InputError(
                    f"{root}: expected one mask for {image}, got {first} ({one.layout}) and {second} ({other.layout}). "
                    f"Remove what is not meant from the index, or {CHOOSE}."
                )


def index_files(dataset: Dataset, released: Collection[str]) -> dict[Path, bytes]:
    """Files that describe the whole output, with their content, for the ids that are released.

    ``dataset.json`` as it was, or with the released cases only; of BIDS ``dataset_description.json`` and the sidecars
    of the images. None for a layout without an index.
    """
    content = rewritten_index(dataset, released)
    return {**({} if content is None else {INDEX: content}), **bids_files(dataset, released)}


def companions_of(dataset: Dataset, released: Collection[str]) -> dict[Path, Path]:
    """Source of each file that goes with a released case, byte for byte, by its name in the output."""
    return {target: source for case, source, target in dataset.companions if case in released}


def carried_files(dataset: Dataset, released: Collection[str]) -> dict[Path, Path]:
    """Source of each file that is copied byte for byte, by its name in the output: sidecars and companions."""
    return {**{name: name for name in dataset.sidecars}, **companions_of(dataset, released)}


def write_index(dataset: Dataset, released: Collection[str], output: Path) -> list[Path]:
    """Write the files of :func:`index_files` and :func:`carried_files` to the output; gives their names there."""
    contents, copies = index_files(dataset, released), carried_files(dataset, released)
    write_others(dataset.root, contents, copies, output)
    return [*contents, *copies]


def index_sources(dataset: Dataset) -> set[str]:
    """Files of the data set that are not copied, since :func:`index_files` writes what they say anew."""
    ids = {case.id for case in dataset.cases}
    merged = {f"{stem_of(image.as_posix())}.json" for case in dataset.cases for image in case.images}
    names = {name.as_posix() for name in index_files(dataset, ids)} | (merged if dataset.layout == "bids" else set())
    return {name for name in names if (dataset.root / name).is_file()}


def write_others(root: Path, contents: Mapping[Path, bytes], copies: Mapping[Path, Path], output: Path) -> None:
    """Write what stands beside the cases: content by name, and copies of files below ``root``, by name."""
    for name, content in contents.items():
        with files.atomic(output / name) as temporary:
            temporary.write_bytes(content)
    for name, source in copies.items():
        files.copy(root / source, output / name)
