# SPDX-License-Identifier: Apache-2.0
"""Which files of a release are one case, for Croissant's records: what their public names say, and nothing else."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from umed.data.layout_names import IMAGE_SUFFIXES, LABEL_SUFFIXES

CHANNEL = re.compile(r"_\d{4}")
"""What nnU-Net puts behind the name of a case for each of its images."""
BARRED = re.compile(r'[\s<>"{}|\\^`]')
"""What no ``@id`` may hold: spaces, which readers of Croissant refuse, and what no address can have."""
SERIES = (".dcm", ".dicom", "")
"""Endings of DICOM files: a case is a folder of them, and its mask may be any of several objects."""
Pairs = dict[str, tuple[list[str], list[str]]]
"""Images and masks of each case, by its id."""


def pair_up(images: Sequence[str], masks: Sequence[str]) -> Pairs | str:
    """Cases of a release.

    Args:
        images: names of image files, relative to the release.
        masks: likewise.

    Returns:
        Images and masks by id, in the order of the ids; or, where names do not tell them surely, one sentence why not.
    """
    if not images or not masks:
        return "there are no images with masks"
    if any(PurePosixPath(name).suffix.lower() in SERIES for name in (*images, *masks)):
        return "a case is a series of DICOM files, whose UIDs tell what belongs together"
    tails = (*(re.compile(re.escape(one)) for one in IMAGE_SUFFIXES), CHANNEL)
    for tail, word in product(tails, LABEL_SUFFIXES):
        of_images, of_masks = _by_id(images, tail), _by_id(masks, re.compile(re.escape(word)))
        if of_images is None or of_masks is None or of_images.keys() != of_masks.keys():
            continue
        one_mask = all(len(names) == 1 for names in of_masks.values())
        if one_mask and (tail is CHANNEL or all(len(names) == 1 for names in of_images.values())):
            return {key: (of_images[key], of_masks[key]) for key in sorted(of_images)}
    return "the names of images and masks do not tell for each image which mask is its own"


def _by_id(names: Sequence[str], tail: re.Pattern[str]) -> dict[str, list[str]] | None:
    """Files by the name without its ending and a tail that all of them must have; ``None`` where one has not."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        base = PurePosixPath(name).name
        base = base[:-3] if base.lower().endswith(".gz") else base
        stem = PurePosixPath(base).stem
        match = re.fullmatch(f"(?P<id>.+?){tail.pattern}", stem)
        if match is None:
            return None
        found[match["id"]].append(name)
    return dict(found)


def file_ids(files: Iterable[str]) -> dict[str, str]:
    """The ``@id`` of each file: its name, with ``_`` for what no ``@id`` may hold.

    Args:
        files: names, relative to the release.

    Returns:
        By name; no two are alike, and none is that of a set.

    >>> file_ids(["images/a b.png", "images/a_b.png"])
    {'images/a_b.png': 'images/a_b.png', 'images/a b.png': 'images/a_b.png~2'}
    """
    found: dict[str, str] = {}
    taken = {"images", "masks", "cases"}
    for file in sorted(files, key=lambda name: (bool(BARRED.search(name)), name)):  # a name that may stay is not taken
        base = one = BARRED.sub("_", file)
        count = 1
        while one in taken:
            count += 1
            one = f"{base}~{count}"
        taken.add(one)
        found[file] = one
    return found


def record_set(pairs: Pairs, ids: Mapping[str, str]) -> dict[str, Any]:
    """Croissant's record set: a record a case, whose values stand in it.

    The values are the ``@id`` of files, so that whoever loads them opens the very bytes: Croissant's readers turn
    pictures into 8 bits a channel, and know no NIfTI.

    Args:
        pairs: as :func:`pair_up` gives them.
        ids: as :func:`file_ids` gives them.
    """
    several = any(len(images) > 1 for images, _ in pairs.values())
    return {
        "@type": "cr:RecordSet",
        "@id": "cases",
        "name": "cases",
        "description": f"One record a case, {len(pairs)} in all: its id, and the files of its image and its mask.",
        "key": {"@id": "cases/id"},
        "field": [
            _field("id", "Name of the case, as the names of its files have it."),
            _field(
                "image", f"File{'s' if several else ''} of the image, one a channel: @id in the distribution.", several
            ),
            _field("mask", "File of the mask: @id in the distribution."),
        ],
        "data": [
            _record(key, [ids[name] for name in images], [ids[name] for name in masks], several)
            for key, (images, masks) in pairs.items()
        ],
    }


def _record(key: str, images: Sequence[str], masks: Sequence[str], several: bool) -> Mapping[str, Any]:
    return {"cases/id": key, "cases/image": list(images) if several else images[0], "cases/mask": masks[0]}


def _field(name: str, text: str, repeated: bool = False) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"cases/{name}",
        "name": f"cases/{name}",
        "description": text,
        "dataType": "sc:Text",
        **({"repeated": True} if repeated else {}),
    }
