# SPDX-License-Identifier: Apache-2.0
"""Flat grey pictures of a data set of volumes: of each case the slice with the most foreground, 8 bit, as PNG.

One slice a case, so that no case is on both sides of a split. Black and white are the percentiles 0.5 and 99.5 of the
volume.

    python benchmarks/slices.py Task04_Hippocampus SLICES
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from umed.data import layouts
from umed.plan.facts import open_case
from umed.propose.file_images import FilePictures


def main() -> None:
    """Write ``images/`` and ``masks/`` into a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data set of volumes with labels")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--axis", type=int, default=2, choices=(0, 1, 2), help="slices are taken along it (2)")
    options = parser.parse_args()
    dataset = layouts.find_dataset(options.data)
    for name in ("images", "masks"):
        (options.out / name).mkdir(parents=True)
    written = 0
    for case in dataset.cases:
        opened = open_case(dataset, case)
        if opened.labels is None or not opened.labels.any():
            continue
        labels = np.moveaxis(opened.labels, options.axis, 0)
        place = int((labels > 0).sum(axis=(1, 2)).argmax())
        planes = FilePictures(opened.volumes[0], options.axis)
        picture = np.rint(planes.picture(place)[0] * 255).astype(np.uint8)
        mask = labels[place].T if planes.turned else labels[place]
        Image.fromarray(picture).save(options.out / "images" / f"{case.id}.png")
        Image.fromarray(np.ascontiguousarray(mask).astype(np.uint8)).save(options.out / "masks" / f"{case.id}.png")
        written += 1
    print(f"{options.out}: {written} slices")


if __name__ == "__main__":
    main()
