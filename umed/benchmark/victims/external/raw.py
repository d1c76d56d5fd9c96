# SPDX-License-Identifier: Apache-2.0
"""Data sets in nnU-Net's raw format: what it calls cases, channels, labels and splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from PIL import Image

from umed.core.errors import InputError
from umed.core.mask_rules import AS_DRAWN, MaskRules
from umed.core.types import Case, Dataset, Volume
from umed.data.formats import read
from umed.data.layouts import find_dataset
from umed.data.mask_values import rank
from umed.data.masks import read_labels

DATASET = "Dataset001_umed"


def write_raw(
    folder: Path,
    published: Path,
    originals: Path,
    train: Sequence[str],
    validation: Sequence[str],
    test: Sequence[str],
    values: tuple[int, ...],
    ct: bool = False,
    rules: MaskRules = AS_DRAWN,
) -> dict[str, str]:
    """Write a release and the clean test images as nnU-Net's raw data, with a split that it must keep to.

    Args:
        folder: to make; holds ``raw`` and ``splits.json``.
        published: folder of what was published.
        originals: folder of the originals, for the test cases.
        train: cases to train on.
        validation: published cases that nnU-Net validates on.
        test: clean cases to predict.
        values: of the classes in the masks, in the order of their numbers, see :func:`umed.data.mask_values.rank`.
        ct: whether volumes are CT, which nnU-Net clips and normalises in a way of its own.
        rules: how masks are read.

    Returns:
        nnU-Net's name of each test case, by case id.

    Raises:
        InputError: when a case is missing, or is a picture of more than 8 bits.
    """
    root = folder / "raw" / DATASET
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        (root / name).mkdir(parents=True, exist_ok=True)
    ids = [*train, *validation, *test]
    names = {case: f"case_{number:04d}" for number, case in enumerate(ids)}
    ending, channels = "", 0
    for source, wanted, images in (
        (published, {*train, *validation}, "imagesTr"),
        (originals, set(test), "imagesTs"),
    ):
        dataset = find_dataset(source)
        cases = {case.id: case for case in dataset.cases}
        for case_id in sorted(wanted):
            if case_id not in cases:
                raise InputError(f"{source}: expected case {case_id!r}, found none. Run umed inspect on the folder.")
            case = cases[case_id]
            ending, channels = _write_image(dataset.root, case, root / images, names[case_id])
            if images == "imagesTr":
                _write_label(
                    replace(dataset, rules=rules), case, values, root / "labelsTr" / f"{names[case_id]}{ending}"
                )
    volume = "CT" if ct else "MR"
    content: dict[str, Any] = {
        "channel_names": {str(k): volume if ending == ".nii.gz" else f"colour{k}" for k in range(channels)},
        "labels": {"background": 0, **{f"class{k}": k for k in range(1, len(values) + 1)}},
        "numTraining": len(train) + len(validation),
        "file_ending": ending,
    }
    if ending == ".png":
        content["overwrite_image_reader_writer"] = "NaturalImage2DIO"
    (root / "dataset.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    split = [{"train": [names[one] for one in train], "val": [names[one] for one in validation]}]
    (folder / "splits.json").write_text(json.dumps(split), encoding="utf-8")
    return {case: names[case] for case in test}


def _write_image(root: Path, case: Case, folder: Path, name: str) -> tuple[str, int]:
    """Write all channels of a case; gives the file ending and the number of channels."""
    volumes = [read(root / path) for path in case.images]
    if len(volumes[0].spatial_shape) == 2:
        if len(volumes) > 1 or volumes[0].stored.dtype != np.uint8:
            raise InputError(f"{case.images[0]}: expected one picture of 8 bits a case for nnU-Net, got another kind.")
        pixels = np.moveaxis(volumes[0].channels, 0, -1)
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(folder / f"{name}_0000.png")
        return ".png", pixels.shape[-1]
    parts = [(volume, channel) for volume in volumes for channel in volume.channels]
    for number, (volume, channel) in enumerate(parts):
        physical = channel.astype(np.float32) * volume.encoding.slope + volume.encoding.inter
        nibabel.save(nibabel.Nifti1Image(physical, _affine(volume)), folder / f"{name}_{number:04d}.nii.gz")
    return ".nii.gz", len(parts)


def _write_label(dataset: Dataset, case: Case, values: tuple[int, ...], path: Path) -> None:
    assert case.labels
    root = dataset.root
    volume = read(root / case.images[0])
    label = read_labels([root / one for one in case.labels], case.classes, volume, dataset.rules)
    label = np.maximum(rank(label, values), 0).astype(np.uint8)
    if path.suffix == ".png":
        Image.fromarray(label).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(label, _affine(volume)), path)


def _affine(volume: Volume) -> NDArray[np.float64]:
    """The source's affine, or one of its spacing."""
    try:
        return np.asarray(nibabel.load(volume.source).affine, dtype=np.float64)
    except ImageFileError:
        affine = getattr(volume.header, "affine", None)
        if affine is not None:
            return np.asarray(affine, np.float64)
        return np.diag([*volume.spacing, 1.0])


def read_answer(path: Path) -> NDArray[np.uint8]:
    """Class of each voxel ``(*spatial)`` that nnU-Net wrote at a path without its ending; InputError without one."""
    for ending in (".nii.gz", ".png"):
        file = path.with_name(path.name + ending)
        if file.is_file():
            loaded = np.asarray(Image.open(file)) if ending == ".png" else np.asarray(nibabel.load(file).dataobj)
            found: NDArray[np.uint8] = np.rint(loaded).astype(np.uint8)
            return found
    raise InputError(f"{path.name}: expected a prediction of nnU-Net, got none. Delete the work folder and run again.")
