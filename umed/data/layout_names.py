# SPDX-License-Identifier: Apache-2.0
"""What names of folders and files say: images, masks, and which mask belongs to which image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import NamedTuple

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
LABEL_FOLDERS = ("masks", "mask", "labels", "label", "segmentations", "annotations", "gt")
LABEL_SUFFIXES = ("", "_segmentation", "_seg", "_mask", "_label", "_labels", "_gt")
IMAGE_SUFFIXES = ("", "_image", "_img")
_IMAGE_TOKENS = frozenset(IMAGE_FOLDERS)
_LABEL_TOKENS = frozenset(
    {*LABEL_FOLDERS, "segmentation", "seg", "segs", "annotation", "gts", "groundtruth", "groundtruths"}
)
_STRONG = "segmentations?|seg|masks?|labels?|gt|ground[_-]?truth"
_WORDS = f"{_STRONG}|lesions?|rois?|annotations?|contours?"
_SUFFIX = re.compile(rf"(?P<base>.*?)(?:^|[_\-. ]+)(?P<word>{_WORDS})(?:[_\-. ]*\(?(?P<number>\d{{1,4}})\)?)?", re.I)
_PREFIX = re.compile(rf"(?P<word>{_WORDS})(?:[_\-. ]+|(?=\d))(?P<base>.+)", re.I)
_IMAGE_PREFIX = re.compile(r"(?:images?|imgs?|volume|scan)(?:[_\-. ]+|(?=\d))(?P<base>.+)", re.I)
_NUMBERED = re.compile(r"(?P<base>.+?)[_\-. ]+\(?(?P<number>\d{1,4})\)?")
_BARE = re.compile(rf"(?:{_STRONG})(?:[_\-. ]*\d{{1,4}})?", re.I)


class FolderPlace(NamedTuple):
    """Where a file lies, as the names of its folders tell.

    Args:
        kind: ``"image"`` or ``"label"`` below a folder of that name, else ``""``.
        head: folders above it.
        rest: other words of that folder's name, such as ``"train"`` of ``TrainImages``.
        tail: folders below it.
    """

    kind: str
    head: tuple[str, ...]
    rest: str
    tail: tuple[str, ...]


def folder_kind(name: str) -> tuple[str, str]:
    """Whether a folder's name says images or masks, and its other words.

    >>> folder_kind("Images"), folder_kind("train_masks"), folder_kind("image_1")
    (('image', ''), ('label', 'train'), ('', ''))
    """
    lower = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = re.findall(r"[a-z]+|[^a-z]+", re.sub(r"ground[_\- ]truth", "groundtruth", lower))
    words = [word.strip("_-. ") for word in words if word.strip("_-. ")]
    if not all(word.isalpha() for word in words):
        return "", ""
    rest = " ".join(word for word in words if word not in _IMAGE_TOKENS | _LABEL_TOKENS)
    if _LABEL_TOKENS & set(words):
        return "label", rest
    return ("image", rest) if _IMAGE_TOKENS & set(words) else ("", "")


def place_of(folders: tuple[str, ...], heads: Set[tuple[str, ...]]) -> FolderPlace:
    """Where a file lies; the first folder above it that says images or masks and nothing else decides.

    Args:
        folders: above the file.
        heads: folders with a folder of images in them: there other words may stand beside, as in ``train_masks``.
    """
    kinds = [folder_kind(name) for name in folders]
    plain = [number for number, (kind, rest) in enumerate(kinds) if kind and not rest]
    other = [number for number, (kind, rest) in enumerate(kinds) if kind and rest and folders[:number] in heads]
    for number in [*plain, *other][:1]:
        return FolderPlace(kinds[number][0], folders[:number], kinds[number][1], folders[number + 1 :])
    return FolderPlace("", folders, "", ())


def mask_stems(stem: str) -> list[str]:
    """Names, without ending, under which an image's mask is looked for in a folder of masks.

    >>> mask_stems("a_img")[:2], "a_mask" in mask_stems("a_img")
    (['a_img', 'a_img_segmentation'], True)
    """
    bases = [stem.removesuffix(suffix) for suffix in IMAGE_SUFFIXES if stem.endswith(suffix)]
    return list(dict.fromkeys(base + suffix for base in bases for suffix in LABEL_SUFFIXES))


def image_keys(stem: str) -> list[str]:
    """Names under which an image may be meant, its own first.

    >>> image_keys("img_7"), image_keys("a_0000")
    (['img_7', '7'], ['a_0000', 'a'])
    """
    keys = [stem, *(stem.removesuffix(suffix) for suffix in (*IMAGE_SUFFIXES, "_0000") if suffix)]
    if match := _IMAGE_PREFIX.fullmatch(stem):
        keys.append(match["base"])
    return [key for key in dict.fromkeys(keys) if key]


def mask_bases(stem: str) -> Iterator[str]:
    """Images that a name with a word for masks in it may belong to, the nearest first; ``""`` for any.

    >>> list(mask_bases("a_mask_1")), list(mask_bases("seg-3")), list(mask_bases("mask")), list(mask_bases("a"))
    (['a'], ['3', ''], [''], [])
    """
    seen, front = {stem: True}, [stem]
    while front:
        name = front.pop(0)
        for match in (_SUFFIX.fullmatch(name), _PREFIX.fullmatch(name)):
            if match and match["base"] not in seen:
                seen[match["base"]] = True
                front.append(match["base"])
    bases = [*seen][1:]
    yield from sorted(bases, key=lambda base: not base)


def numbered_base(stem: str) -> str:
    """A name without the number at its end, ``""`` where there is none.

    >>> numbered_base("a_12"), numbered_base("a"), numbered_base("a12")
    ('a', '', '')
    """
    match = _NUMBERED.fullmatch(stem)
    return match["base"] if match else ""


def family(stem: str, base: str) -> str:
    """What the name of a mask adds to that of its image, without numbers; masks of one family are united.

    >>> family("a_mask_1", "a"), family("a_mask", "a"), family("a_seg", "a"), family("a", "a")
    ('mask', 'mask', 'seg', '')
    """
    added = stem.lower().replace(base.lower(), "", 1) if base else stem.lower()
    return re.sub(r"[^a-z]+", " ", added).strip()


def bare_mask(stem: str) -> bool:
    """Whether a name is a word for masks and at most a number.

    >>> bare_mask("mask"), bare_mask("Seg_2"), bare_mask("lesion1"), bare_mask("a_mask")
    (True, True, False, False)
    """
    return _BARE.fullmatch(stem) is not None


def without_folder(stem: str, folder: str) -> str:
    """A name without that of its folder in front, as in ``case_7/case_7_flair.nii.gz``.

    >>> without_folder("case_7_flair", "case_7"), without_folder("case_7", "case_7"), without_folder("ct", "s1")
    ('flair', '', 'ct')
    """
    if folder and stem.lower().startswith(folder.lower()):
        rest = stem[len(folder) :]
        if not rest or rest[0] in "_-. ":
            return rest.lstrip("_-. ")
    return stem
