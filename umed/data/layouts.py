# SPDX-License-Identifier: Apache-2.0
"""Folder layouts of segmentation data sets: Decathlon, nnU-Net v2 raw, and pairs of image and mask folders.

Each finder looks at a folder and returns a :class:`umed.core.types.Dataset`, or ``None`` if it is of another kind.
A new layout is one finder in :data:`FINDERS`. What is seen but cannot be a case is listed in ``Dataset.problems``,
never copied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from umed.core.errors import InputError
from umed.core.reasons import group_reasons
from umed.core.types import Case, Dataset
from umed.data import files, formats, raster
from umed.data.declared import declared_rules
from umed.data.dicom_input import is_dicom

INDEX = Path("dataset.json")
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
LABEL_FOLDERS = ("masks", "mask", "labels", "label", "segmentations", "annotations", "gt")
LABEL_SUFFIXES = ("", "_segmentation", "_seg", "_mask", "_label", "_labels", "_gt")
IMAGE_SUFFIXES = ("", "_image", "_img")
LICENCES = re.compile(r"(licen[cs]e|copying)", re.IGNORECASE)
"""Files at the root that are carried over: the licence of the data must go with them."""


def find_dataset(root: Path) -> Dataset:
    """Find the cases of a data set.

    Looked for in this order: nnU-Net v2 raw (``dataset.json`` with ``channel_names``), Decathlon (``dataset.json`` with
    ``training``), pairs (``images/`` beside ``masks/`` or ``labels/``).

    Args:
        root: the folder.

    Returns:
        The data set, cases sorted by id.

    Raises:
        InputError: if it is no folder, of no known layout, or holds no case.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(f"{root}: expected the folder of a data set, got {found}. Check the path.")
    files.check_readable(root)
    dataset = _in_known_layout(root)
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
        "dataset.json with 'training' (Decathlon), images/ beside masks/ or labels/ (pairs), a folder of DICOM files. "
        "Arrange the files in one of these ways."
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
    dataset = _in_known_layout(root)
    if dataset is None:
        folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), root)
        stray = next((name for name in LABEL_FOLDERS if folder == root and (root / name).is_dir()), None)
        if stray is not None:
            raise InputError(f"{root}: expected images/ beside {stray}/, got none. Move the images into images/.")
        gathered = _Collector(root, "images")
        for path in _visible(folder):
            if formats.looks_like_image(path):
                name = _stem(path.relative_to(folder).as_posix()).replace("/", "_")
                gathered.add(name, [path.relative_to(root).as_posix()], None)
        dataset = gathered.done()
    if not dataset.cases:
        raise InputError(
            f"{root}: expected images, got none that is read: {', '.join(formats.READERS)}. Check the path."
        )
    return dataset


def _in_known_layout(root: Path) -> Dataset | None:
    return next((one for one in (finder(root) for finder in FINDERS.values()) if one is not None), None)


def mask_stems(stem: str) -> list[str]:
    """Names, without ending, under which an image's mask is looked for in the layout of pairs.

    >>> mask_stems("a_img")[:2], "a_mask" in mask_stems("a_img")
    (['a_img', 'a_img_segmentation'], True)
    """
    bases = [stem.removesuffix(suffix) for suffix in IMAGE_SUFFIXES if stem.endswith(suffix)]
    return list(dict.fromkeys(base + suffix for base in bases for suffix in LABEL_SUFFIXES))


def index_bytes(dataset: Dataset, released: Collection[str]) -> bytes | None:
    """Content of the output's ``dataset.json``: as it was, or with the released cases only.

    ``None`` for a layout without an index.
    """
    if dataset.layout == "pairs":
        return None
    raw = (dataset.root / INDEX).read_bytes()
    cases = {case.images[0].as_posix(): case for case in dataset.cases if case.id in released}
    renamed = any(case.images != case.outputs for case in cases.values())
    if len(cases) == len(dataset.cases) and not dataset.problems and not renamed:
        return raw
    index = json.loads(raw)
    if dataset.layout == "nnunet":
        index["numTraining"] = sum(case.id not in dataset.split for case in cases.values())
    else:
        for section, number in _SECTIONS.items():
            if not isinstance(index.get(section), list):
                continue
            kept = []
            for entry in index[section]:
                case = cases.get(_plain(entry["image"] if isinstance(entry, dict) else entry))
                if case is not None:
                    name = "./" + case.outputs[0].as_posix()
                    kept.append({**entry, "image": name} if isinstance(entry, dict) else name)
            index[section] = kept
            if number in index:
                index[number] = len(kept)
    return (json.dumps(index, indent=4, ensure_ascii=False) + "\n").encode()


def write_index(dataset: Dataset, released: Collection[str], output: Path) -> None:
    """Write ``dataset.json`` (if the layout has one), for the ids that are released, and the sidecars to the output."""
    content = index_bytes(dataset, released)
    if content is not None:
        with files.atomic(output / INDEX) as temporary:
            temporary.write_bytes(content)
    for sidecar in dataset.sidecars:
        files.copy(dataset.root / sidecar, output / sidecar)


_SECTIONS = {"training": "numTraining", "validation": "numValidation", "test": "numTest"}


class _Collector:
    """Gathers cases and problems of one data set and keeps ids, outputs and paths safe."""

    def __init__(self, root: Path, layout: str) -> None:
        self.root, self.layout = root, layout
        self.cases: dict[str, Case] = {}
        self.problems: list[tuple[str, str]] = []
        self.split: set[str] = set()
        self.taken: dict[str, str] = {}
        self.data: dict[str, str] = {}
        self._real = root.resolve()

    def inside(self, name: str) -> Path:
        """A relative path that stays in the root, lexically and through links."""
        pure = PurePosixPath(_plain(name))
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\\" in name or ":" in pure.parts[0]:
            raise InputError("expected a path inside the data set, got one that leads out of it; remove the entry")
        if pure.parts[0] == files.RECORDS:
            raise InputError(f"expected a folder other than {files.RECORDS}/, which is umed's own; rename the folder")
        real = (self.root / pure).resolve()
        if real != self._real and self._real not in real.parents:
            raise InputError("expected a file inside the data set, got a link that leads out of it; copy the file in")
        return Path(pure)

    def add(self, name: str, images: Iterable[str], label: str | None, test: bool = False) -> None:
        """Add a case, or a problem if its names are not safe or not unique."""
        identity = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "case"
        if identity in self.cases and test:
            identity = f"test_{identity}"
        listed = list(images)
        try:
            paths = tuple(self.inside(image) for image in listed)
            masks = (self.inside(label),) if label is not None else ()
            outputs = tuple(p.with_suffix(".png") if formats.ending(p) in raster.JPEG else p for p in paths)
            if identity in self.cases:
                raise InputError(f"expected a case name of its own, got {identity} twice; rename one of the files")
            clash = next((self.taken[str(out)] for out in outputs if str(out) in self.taken), None)
            if clash is not None:
                raise InputError(f"expected an output name of its own, got that of {clash}; rename one of the files")
            self.claim([*paths, *masks])
        except InputError as error:
            self.problems.append((listed[0], str(error)))
            return
        self.taken.update((str(out), str(image)) for out, image in zip(outputs, paths, strict=True))
        self.cases[identity] = Case(identity, paths, masks, outputs)
        if test:
            self.split.add(identity)

    def claim(self, headers: Iterable[Path]) -> None:
        """Make sure that the data file of each header (MetaImage, NRRD) is that of no other."""
        new: dict[str, str] = {}
        for header in headers:
            for data in formats.with_companions(self.root, header)[1:]:
                name = str(self.inside(data.as_posix()))
                other = self.data.get(name) or new.get(name) or str(header)
                if other != str(header):
                    raise InputError(
                        f"expected a data file of its own, got {data}, which is that of {other}, too; save each image "
                        "as a file of its own, such as .mha or .nrrd"
                    )
                new[name] = str(header)
        self.data |= new

    def done(self, modality: tuple[str, ...] = ()) -> Dataset:
        """The data set."""
        names = sorted(entry.name for entry in self.root.iterdir() if entry.is_file() and not entry.is_symlink())
        return Dataset(
            root=self.root,
            layout=self.layout,
            cases=tuple(self.cases[key] for key in sorted(self.cases)),
            sidecars=tuple(Path(name) for name in names if LICENCES.match(name)),
            modality=modality,
            problems=tuple(sorted(self.problems)),
            split=frozenset(self.split),
            rules=declared_rules(self.root),
        )


def _plain(name: str) -> str:
    return name[2:] if name.startswith("./") else name


def _stem(name: str) -> str:
    return name[: len(name) - len(formats.ending(Path(name)))]


def load_index(root: Path) -> dict[str, Any] | None:
    """``dataset.json`` of a data set, ``None`` where there is none."""
    path = root / INDEX
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}. Repair the file.") from error
    if not isinstance(index, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(index).__name__}. Repair the file.")
    return index


def _names(names: object) -> tuple[str, ...]:
    """Channel names in channel order."""
    if not isinstance(names, dict):
        return ()
    return tuple(str(names[key]) for key in sorted(names, key=lambda key: (len(str(key)), str(key))))


def _visible(folder: Path) -> list[Path]:
    """Files of a folder and below, without hidden ones (``._*`` of macOS)."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _decathlon(root: Path) -> Dataset | None:
    index = load_index(root)
    if index is None or not isinstance(index.get("training"), list):
        return None
    found = _Collector(root, "decathlon")
    for section in _SECTIONS:
        entries = index.get(section) or []
        for entry in entries if isinstance(entries, list) else []:
            image = entry.get("image") if isinstance(entry, dict) else entry
            label = entry.get("label") if isinstance(entry, dict) else None
            if not isinstance(image, str) or not isinstance(label, str | None):
                reason = f"expected an image and a label name in {section}, got {str(entry)[:80]}"
                found.problems.append((str(INDEX), reason))
                continue
            name = PurePosixPath(image).name
            if name.startswith("._"):
                continue
            found.add(_stem(name), [_plain(image)], label, test=section == "test")
    listed = {str(path) for case in found.cases.values() for path in (*case.images, *case.labels)}
    listed |= {name for name, _ in found.problems}
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        for path in _visible(root / folder):
            relative = path.relative_to(root).as_posix()
            if formats.looks_like_image(path) and relative not in listed:
                found.problems.append((relative, "is not listed in dataset.json"))
    return found.done(_names(index.get("modality")))


def _nnunet(root: Path) -> Dataset | None:
    index = load_index(root)
    if index is None or not isinstance(index.get("channel_names"), dict) or not (root / "imagesTr").is_dir():
        return None
    if "dataset" in index:
        raise InputError(f"{root / INDEX}: expected files found by their names, got a 'dataset' entry. Remove it.")
    file_ending = str(index.get("file_ending", ".nii.gz"))
    channels = _names(index["channel_names"])
    found = _Collector(root, "nnunet")
    pattern = re.compile(r"(.+)_(\d{4})" + re.escape(file_ending))
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        groups: dict[str, dict[int, str]] = {}
        for path in _visible(root / images):
            relative, match = path.relative_to(root).as_posix(), pattern.fullmatch(path.name)
            if match and path.parent == root / images:
                groups.setdefault(match[1], {})[int(match[2])] = relative
            elif formats.looks_like_image(path):
                found.problems.append((relative, f"expected a name like CASE_0000{file_ending}; rename it"))
        for name, parts in groups.items():
            if sorted(parts) != list(range(len(channels))):
                got = ", ".join(f"_{number:04d}" for number in sorted(parts))
                reason = f"expected {len(channels)} channels from _0000 on, got {got}"
                found.problems.append((min(parts.values()), reason))
                continue
            label = f"{labels}/{name}{file_ending}"
            there = (root / label).is_file()
            found.add(name, [parts[n] for n in sorted(parts)], label if there else None, images == "imagesTs")
        for path in _visible(root / labels):
            if formats.looks_like_image(path) and path.name.removesuffix(file_ending) not in groups:
                found.problems.append((path.relative_to(root).as_posix(), "is a label without an image"))
    return found.done(channels)


def _pairs(root: Path) -> Dataset | None:
    image_folder = next((name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    label_folder = next((name for name in LABEL_FOLDERS if (root / name).is_dir()), None)
    if image_folder is None or label_folder is None:
        return None
    found = _Collector(root, "pairs")
    labels = _by_stem(root, label_folder, formats.ending)
    images = _by_stem(root, image_folder, formats.looks_like_image)
    used: set[str] = set()
    for stem, names in images.items():
        masks = [name for key in mask_stems(stem) for name in labels.get(key, [])]
        used.update(masks)
        if len(names) > 1 or len(masks) > 1:
            what = "images" if len(names) > 1 else "masks"
            got = ", ".join(names if len(names) > 1 else masks)
            reason = f"expected one image and one mask of this name, got {what} {got}; rename or remove one"
            found.problems.extend((name, reason) for name in names)
            continue
        found.add(stem.replace("/", "_"), names, masks[0] if masks else None)
    for name in sorted({name for names in labels.values() for name in names} - used):
        found.problems.append((name, "is a mask without an image"))
    return found.done()


def _by_stem(root: Path, folder: str, wanted: Callable[[Path], object]) -> dict[str, list[str]]:
    """Relative names of the files of a folder by their names within it, without ending."""
    found: dict[str, list[str]] = {}
    for path in _visible(root / folder):
        if wanted(path):
            stem = _stem(path.relative_to(root / folder).as_posix())
            found.setdefault(stem, []).append(path.relative_to(root).as_posix())
    return found


FINDERS: dict[str, Callable[[Path], Dataset | None]] = {"nnunet": _nnunet, "decathlon": _decathlon, "pairs": _pairs}
"""Layouts in the order in which they are tried."""
