# SPDX-License-Identifier: Apache-2.0
"""BIDS data sets: images, masks of derivatives matched by their entities, and the output as a BIDS derivative.

An image ``sub-1_T1w.nii.gz`` is written as ``sub-1_desc-protected_T1w.nii.gz`` with a JSON sidecar; masks keep their
names.
Source: BIDS 1.10, https://bids-specification.readthedocs.io (derivatives, imaging data types).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel
import numpy as np

from umed.core.errors import InputError
from umed.core.types import Dataset
from umed.data.case_collector import CHOOSE, CaseCollector, FolderTree, stem_of
from umed.data.layout_names import family

DESCRIPTION = Path("dataset_description.json")
IGNORE = Path(".bidsignore")
IGNORED = b"umed\n"
"""Content of ``.bidsignore``: the folder of the public manifest is no part of BIDS."""
MASKS = ("dseg", "mask", "roi", "msk", "seg")
"""Suffixes of masks: those of BIDS, and what published data sets have instead (lesion_roi, ISLES's msk)."""
OF_MASKS = frozenset({"label", "desc", "seg", "atlas", "hemi", "res", "den", "space"})
"""Entities that tell masks from each other, not the image that they belong to."""
OWN_SPACE = frozenset({"", "orig", "individual", "scanner", "native", "T1w", "T2w", "FLAIR"})
PERSONAL = re.compile(
    r"(Other)?Patient(Name|ID|IDs|BirthDate|BirthTime|Address|TelephoneNumbers|MotherBirthName)|AccessionNumber|StudyID"
    r"|.*(Physician|Operator|Reader)s?Name|(Study|Series|SOP|FrameOfReference)InstanceUID|FrameOfReferenceUID"
    r"|(Acquisition|Study|Series|Content|Instance)(DateTime|Date|CreationDate)"
)
"""Keys of a sidecar that name a person or a visit: converters write them, BIDS has no use for them; never carried."""


@dataclass(frozen=True)
class BidsFile:
    """A file by what its name says.

    Args:
        name: relative to the root.
        entities: such as ``{"sub": "01", "ses": "1"}``.
        suffix: such as ``"T1w"``.
        hint: suffix of the image that a mask names besides, else empty.
        part: ``""`` for the raw data set, else the folder of the pipeline, ``derivatives/NAME``.
    """

    name: str
    entities: Mapping[str, str]
    suffix: str
    hint: str
    part: str


def parse_name(name: str) -> BidsFile | None:
    """What a name of BIDS says; ``None`` where it is none.

    >>> parse_name("sub-1/anat/sub-1_run-2_T1w.nii.gz").entities, parse_name("sub-1/x.nii.gz")
    ({'sub': '1', 'run': '2'}, None)
    """
    path = PurePosixPath(name)
    words = stem_of(path.name).split("_")
    pairs = [word.split("-", 1) for word in words[:-1] if "-" in word]
    entities = {key: value for key, value in pairs}
    if not words or "-" in words[-1] or "sub" not in entities or f"sub-{entities['sub']}" not in path.parts:
        return None
    hint = "".join(word for word in words[:-1] if "-" not in word)
    return BidsFile(name, entities, words[-1], hint, name[: name.index(f"sub-{entities['sub']}")].rstrip("/"))


def find_bids(tree: FolderTree) -> Dataset | None:
    """BIDS: images of ``sub-*`` folders, and the ``_dseg`` and ``_mask`` files beside them or in derivatives."""
    known = [one for name in tree.images if (one := parse_name(name)) is not None]
    masks = [one for one in known if one.suffix in MASKS]
    images = [one for one in known if one.suffix not in (*MASKS, "probseg")]
    described = (tree.root / DESCRIPTION).is_file()
    if not images or not (masks or described) or not (described or any(not one.part for one in known)):
        return None
    collector = CaseCollector(tree, "bids")
    owner: dict[str, list[BidsFile]] = defaultdict(list)
    for mask in masks:
        for image in _images_of(tree.root, mask, images):
            owner[image.name].append(mask)
    _refuse_two_pipelines(tree.root, owner)
    groups: dict[tuple[str, ...], list[BidsFile]] = defaultdict(list)
    for image in images:
        found = tuple(one.name for one in owner[image.name])
        groups[found or (image.name,)].append(image)
    usual = Counter(_suffixes(group) for group in groups.values() if owner[group[0].name]).most_common(1)
    named = _label_numbers(owner.values())
    for group in groups.values():
        _add(collector, group, owner[group[0].name], usual[0][0] if usual else (), named)
    for mask in masks:
        if not any(mask in some for some in owner.values()):
            collector.problem(mask.name, "is a mask without an image of the same entities and grid")
    for one in known:
        if one.suffix == "probseg":
            collector.problem(one.name, "expected classes, got probabilities; threshold them into a dseg or mask file")
    channels = usual[0][0] if usual else ()
    return collector.done(channels)


def _images_of(root: Path, mask: BidsFile, images: Sequence[BidsFile]) -> list[BidsFile]:
    """The images that a mask belongs to: by entities, then by what it names, then by its grid."""
    wanted = {key: value for key, value in mask.entities.items() if key not in OF_MASKS}
    space = mask.entities.get("space", "")
    found = [
        one
        for one in images
        if all(one.entities.get(key) == value for key, value in wanted.items())
        and one.entities.get("ses") == mask.entities.get("ses")
        and (one.entities.get("space", "") == space or {one.entities.get("space", ""), space} <= OWN_SPACE)
        and one.part in ("", mask.part)
    ]
    kind = PurePosixPath(mask.name).parent.name  # anat, pet ...
    found = [one for one in found if PurePosixPath(one.name).parent.name == kind] or found
    near = [one for one in found if one.part == mask.part]
    named = [one for one in found if one.suffix == mask.hint] or _sources(root, mask, found)
    chosen = named or near or found
    if len(chosen) > 1:
        chosen = [one for one in chosen if _grid(root, one.name) == _grid(root, mask.name)] or chosen
    return chosen


def _sources(root: Path, mask: BidsFile, images: Sequence[BidsFile]) -> list[BidsFile]:
    """The images that a mask's sidecar names as its sources."""
    content = _json(root, Path(stem_of(mask.name) + ".json"))
    listed = [content.get(key) for key in ("Sources", "RawSources", "SpatialReference")]
    text = json.dumps(listed)
    return [one for one in images if PurePosixPath(one.name).name in text]


def _grid(root: Path, name: str) -> Any:
    """Shape and affine from a header; the name where it cannot be read."""
    try:
        image = nibabel.load(root / name)
        return image.shape[:3], np.round(image.affine, 3).tolist()
    except Exception:  # a damaged file: reading says what is wrong
        return name


def _refuse_two_pipelines(root: Path, owner: Mapping[str, Sequence[BidsFile]]) -> None:
    for image, masks in sorted(owner.items()):
        parts = {one.part: one.name for one in masks}
        if len(parts) > 1:
            first, second = [*parts.values()][:2]
            raise InputError(
                f"{root}: expected one place for masks, got two for {image}: {first} and {second}. Remove what is no "
                f"mask of it, or {CHOOSE}."
            )


def _label_numbers(groups: Iterable[Sequence[BidsFile]]) -> dict[str, int]:
    """Class of each ``label-`` entity over the whole data set; none where one label is all there is."""
    names = {one.entities["label"] for masks in groups for one in masks if "label" in one.entities}
    return {name: number for number, name in enumerate(sorted(names), start=1)} if len(names) > 1 else {}


def _suffixes(group: Sequence[BidsFile]) -> tuple[str, ...]:
    return tuple(sorted(one.suffix for one in group))


def _add(
    collector: CaseCollector,
    group: list[BidsFile],
    masks: Sequence[BidsFile],
    usual: tuple[str, ...],
    named: Mapping[str, int],
) -> None:
    """Add the images that share their masks as one case."""
    group.sort(key=lambda one: (one.suffix, one.name))
    images, labels = [one.name for one in group], [one.name for one in masks]
    if len(group) > 1 and _suffixes(group) != usual:
        got = ", ".join(one.suffix for one in group)
        collector.problem([*images, *labels], f"expected the channels of most cases, {', '.join(usual)}, got {got}")
        return
    classes: list[int] = []
    if masks and all("label" in one.entities for one in masks) and named:
        classes = [named[one.entities["label"]] for one in masks]
    kinds = {_family(one, classes) for one in masks}
    if len(kinds) > 1 or len(set(classes)) < len(classes):
        got = ", ".join(PurePosixPath(name).name for name in labels)
        collector.problem([*images, *labels], f"expected one kind of mask, got {got}; {CHOOSE}")
        return
    identity = _case_name(group)
    targets = [protected_name(name) for name in images]
    case = collector.add(identity, images, labels, classes=classes, outputs=targets)
    if case is not None and labels:
        for name in labels:
            for other in (f"{stem_of(name)}.json", f"{stem_of(name)}.tsv"):
                if collector.carries(other):
                    collector.companions.append((case, Path(other), Path(other)))
        shared = [f"{one.part}/{name}" for one in masks if one.part for name in (DESCRIPTION, "dseg.tsv", "dseg.json")]
        collector.sidecars |= {name for name in shared if collector.carries(name)}


def _family(mask: BidsFile, classes: Sequence[int]) -> str:
    """What tells a mask from others of its image, without numbers: those that are alike are united, or are classes."""
    left = {key: value for key, value in mask.entities.items() if key in OF_MASKS and (key != "label" or not classes)}
    return f"{mask.suffix} {family(' '.join(f'{key} {left[key]}' for key in sorted(left)), '')}"


def _case_name(group: Sequence[BidsFile]) -> str:
    """Name of a case: the same for an input and for what was written for it."""
    first = group[0].entities
    shared = [key for key in first if all(one.entities.get(key) == first[key] for one in group)]
    words = [f"{key}-{first[key]}" for key in shared if key != "desc"]
    if (desc := re.sub(r"protected$", "", first.get("desc", ""))) and "desc" in shared:
        words.append(f"desc-{desc}")
    front = [PurePosixPath(group[0].part).name] if group[0].part else []
    return "_".join([*front, *words, *([group[0].suffix] if len(group) == 1 else [])])


def protected_name(name: str) -> str:
    """Name of the written image.

    >>> protected_name("sub-1/anat/sub-1_T1w.nii.gz"), protected_name("sub-1_desc-preproc_T1w.nii")
    ('sub-1/anat/sub-1_desc-protected_T1w.nii.gz', 'sub-1_desc-preprocprotected_T1w.nii')
    """
    path = PurePosixPath(name)
    *words, suffix = path.name.split("_")
    own = next((word for word in words if word.startswith("desc-")), "")
    words = [word for word in words if word != own]
    desc = own.removeprefix("desc-").removesuffix("protected") + "protected"
    return str(path.with_name("_".join([*words, f"desc-{desc}", suffix])))


def bids_files(dataset: Dataset, released: Collection[str]) -> dict[Path, bytes]:
    """What makes the output a BIDS derivative: its description, ``.bidsignore``, a sidecar of each image; by name."""
    if dataset.layout != "bids":
        return {}
    before = _json(dataset.root, DESCRIPTION)
    raw = before.get("DatasetType", "raw") == "raw"
    made = before.get("GeneratedBy")
    after = {key: value for key, value in before.items() if key != "DatasetDOI"}
    after["Name"] = str(before.get("Name") or "data set") + ("" if _ours(made) else ", protected")
    after["BIDSVersion"] = str(before.get("BIDSVersion") or "1.10.0")
    after["DatasetType"] = "derivative"
    step = {"Name": "umed", "Description": "bounded perturbation against training; see umed/about.html"}
    after["GeneratedBy"] = [*(made if isinstance(made, list) else []), *([] if _ours(made) else [step])]
    if isinstance(before.get("DatasetDOI"), str):
        after["SourceDatasets"] = [*(before.get("SourceDatasets") or []), {"DOI": before["DatasetDOI"]}]
    found = {DESCRIPTION: _bytes(after), IGNORE: IGNORED}
    for case in dataset.cases:
        if case.id in released:
            for source, target in zip(case.images, case.outputs, strict=True):
                found[Path(stem_of(target.as_posix()) + ".json")] = _bytes(_sidecar(dataset.root, source, raw=raw))
    return found


def _ours(made: object) -> bool:
    return isinstance(made, list) and any(isinstance(one, dict) and one.get("Name") == "umed" for one in made)


def _sidecar(root: Path, image: Path, *, raw: bool) -> dict[str, Any]:
    """What holds of an image by the inheritance principle, without what names a person."""
    parsed = parse_name(image.as_posix())
    content: dict[str, Any] = {}
    for folder in reversed(image.parents):
        for path in sorted((root / folder).glob(f"*{parsed.suffix if parsed else ''}.json")):
            words = path.name.removesuffix(".json").split("_")
            own = dict(word.split("-", 1) for word in words[:-1] if "-" in word)
            if parsed and words[-1] == parsed.suffix and all(parsed.entities.get(k) == v for k, v in own.items()):
                content |= _json(root, path.relative_to(root))
    content = {key: value for key, value in content.items() if not PERSONAL.fullmatch(key)}
    if raw:
        content.setdefault("SkullStripped", False)  # which a derivative must say, and raw images are not
    return content


def _json(root: Path, name: Path) -> dict[str, Any]:
    """A JSON object of the data set; empty where there is none, or a link to one that leads out."""
    path = root / name
    if root.resolve() not in path.resolve().parents:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
