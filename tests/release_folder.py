# SPDX-License-Identifier: Apache-2.0
"""Releases made by hand: a few originals, their protected copies, and a sealed public manifest of format 2."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from umed.core.keyfile import Key
from umed.core.version import __version__
from umed.protect.manifest import PROTECTED, bound_text
from umed.report.about_page import render_about

MANIFEST, ABOUT = "umed/manifest.json", "umed/about.html"
PLAN = {"epsilon": 4 / 255, "support": "roi", "epsilon_background": None}


@dataclass
class ReleaseFolder:
    """Input, output and private folder; ``write`` seals the manifest over what then lies in the output."""

    source: Path
    output: Path
    private: Path
    key: Key
    page: str | None = None

    def kind(self, name: str) -> str:
        if name.startswith(("imagesTr", "images/")):
            return "unprotected image" if "empty" in name else "protected image"
        return "label" if name.startswith(("labelsTr", "masks/")) else "other"

    def files(self) -> dict[str, dict[str, str]]:
        """What the manifest lists, but for the page."""
        found = {path.relative_to(self.output).as_posix(): path for path in self.output.rglob("*") if path.is_file()}
        return {
            name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "what": self.kind(name)}
            for name, path in sorted(found.items())
            if name not in (MANIFEST, ABOUT)
        }

    def write(self, **changes: Any) -> None:
        """Seal a manifest over what is there; the page that belongs to it is written, unless somebody edited it."""
        files, page = {**(changes.pop("files", None) or self.files())}, self.output / ABOUT
        files.pop(ABOUT, None)
        if self.page is None or (page.is_file() and page.read_text() == self.page):
            told = {name: entry for name, entry in files.items() if isinstance(entry, dict)}
            self.page = render_about({"files": told, "umed_version": __version__, "plan": PLAN})
            page.write_text(self.page)
        if page.is_file():
            files[ABOUT] = {"sha256": hashlib.sha256(page.read_bytes()).hexdigest(), "what": "other"}
        content = {
            "format": 2,
            "umed_version": __version__,
            "notice": PROTECTED,
            "layout": "decathlon",
            "bound": {"epsilon": PLAN["epsilon"], "text": bound_text(PLAN)},
            "key": self.key.digest(),
            "files": files,
            **changes,
        }
        (self.output / MANIFEST).write_text(
            json.dumps(self.key.seal("manifest", content), sort_keys=True, indent=1) + "\n"
        )


def save_volume(path: Path, values: np.ndarray, **fields: str) -> None:
    """A NIfTI file with text fields as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([1.5, 1.5, 2.0, 1.0]))
    for name, text in fields.items():
        image.header[name] = text
    nibabel.save(image, path)


def make_volumes(root: Path, cases: int = 2, **fields: str) -> ReleaseFolder:
    """A Decathlon release: labelled cases whose labelled slices are changed, and one with an empty label."""
    made = ReleaseFolder(root / "in", root / "out", root / "out-private", Key(bytes(range(32))))
    names = [f"case_{number}.nii.gz" for number in range(cases)] + ["empty.nii.gz"]
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        values = rng.integers(0, 1000, (14, 12, 10)).astype(np.int16)
        labels = np.zeros(values.shape, np.uint8)
        if number < cases:
            labels[4:9, 3:8, 2:6] = 1
        changed = values + labels.astype(np.int16) * rng.choice([-3, 3], values.shape).astype(np.int16)
        save_volume(made.source / "imagesTr" / name, values, **fields)
        save_volume(made.source / "labelsTr" / name, labels)
        save_volume(made.output / "imagesTr" / name, changed, **fields)
        (made.output / "labelsTr").mkdir(exist_ok=True)
        (made.output / "labelsTr" / name).write_bytes((made.source / "labelsTr" / name).read_bytes())
    training = [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names]
    index = json.dumps({"name": "tiny", "modality": {"0": "MRI"}, "training": training})
    for folder in (made.source, made.output):
        (folder / "dataset.json").write_text(index)
    _finish(made)
    return made


def make_photographs(root: Path, cases: int = 2) -> ReleaseFolder:
    """A release of pairs of pictures and masks; the blue channel stays as it is."""
    made = ReleaseFolder(root / "in", root / "out", root / "out-private", Key(bytes(range(32))))
    for number in range(cases):
        rng = np.random.default_rng(number)
        pixels = rng.integers(10, 240, (20, 24, 3)).astype(np.uint8)
        mask = np.zeros((20, 24), np.uint8)
        mask[5:12, 6:15] = 255
        changed = pixels.copy()
        changed[5:12, 6:15, :2] += 3
        for folder, values in ((made.source, pixels), (made.output, changed)):
            for name, array in (("images", values), ("masks", mask)):
                (folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / name / f"photo_{number}.png")
    _finish(made)
    return made


def _finish(made: ReleaseFolder) -> None:
    (made.output / "umed").mkdir()
    made.private.mkdir(mode=0o700)
    made.key.write(made.private / "release.key")
    (made.private / "plan.json").write_text('{"epsilon": 0.0157, "radius": 3, "method": "umed", "seed": 0}')
    (made.private / "report.html").write_text("<!doctype html><p>originals</p>")
    for path in made.private.iterdir():
        os.chmod(path, 0o600)
    made.write()
