# SPDX-License-Identifier: Apache-2.0
"""Tiny data sets whose masks are drawn in the ways that people have, and what came of protecting them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from umed.cli.main import main

SIDE = 40
CHECKERBOARD = ["--method", "checkerboard"]


def lesion(row=20, column=20, radius=8, side=SIDE):
    """A disc, bool."""
    rows, columns = np.ogrid[:side, :side]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def pictures(root, **masks):
    """Pairs of pictures and masks; a mask is an array, a Pillow image, or a function that writes a file."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (name, mask) in enumerate(sorted(masks.items())):
        noise = np.random.default_rng(number).integers(60, 200, (SIDE, SIDE, 3)).astype(np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{name}.png")
        path = root / "masks" / f"{name}.png"
        if callable(mask):
            mask(path)
        else:
            (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
    return root


def volumes(root, labels=None, /, **masks):
    """nnU-Net's raw format: one CT channel, labels as given."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (name, mask) in enumerate(sorted(masks.items())):
        noise = np.random.default_rng(number).normal(40, 20, mask.shape[:3]).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), root / "imagesTr" / f"{name}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), root / "labelsTr" / f"{name}.nii.gz")
    content = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": len(masks), "file_ending": ".nii.gz"}
    if labels is None:
        del content["labels"]
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def protect(root, capsys, *options):
    """Exit code, outcome of each case, and all that was said."""
    out = root.with_name(root.name + "-out")
    code = main(["protect", str(root), str(out), *CHECKERBOARD, *options, "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out) if said.out.strip() else {}
    return code, {one["id"]: one for one in found.get("outcomes", ())}, said.out + said.err


def changed(root, name, folder="images"):
    """Where a released picture differs from its original, bool."""
    path = Path(folder) / name
    if path.suffix == ".png":
        one, other = (np.array(Image.open(base / path)) for base in (root, root.with_name(root.name + "-out")))
        return (one != other).any(axis=-1)
    one, other = (np.asarray(nibabel.load(base / path).dataobj) for base in (root, root.with_name(root.name + "-out")))
    return one != other


def same_labels(root, name, folder="masks"):
    """Whether the released label has the bytes of the original."""
    path = Path(folder) / name
    return (root / path).read_bytes() == (root.with_name(root.name + "-out") / path).read_bytes()


def verified(root, capsys, *options):
    """Exit code of verify, and what it said."""
    code = main(["verify", str(root), str(root.with_name(root.name + "-out")), *options])
    return code, capsys.readouterr().out
