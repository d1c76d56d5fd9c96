# SPDX-License-Identifier: Apache-2.0
"""The picture of the README: a slice of the computed phantom, the same slice protected, and their difference times 20.

    python benchmarks/picture.py docs/images/phantom.png

Nothing is downloaded. The difference is drawn around mid-grey, so grey means unchanged.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import umed
from umed.data.phantom import make_phantom

FACTOR = 20
SCALE = 3
GAP = 8
TITLE = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--side", type=int, default=96, help="voxels along each row of the phantom")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = make_phantom(Path(folder) / "phantom", cases=4, size=(args.side, args.side, 32))
        out = Path(folder) / "protected"
        result = umed.protect(data, out, seed=0)
        low, high = result.plan.range
        name = "phantom_000.nii.gz"
        before, after, labels = (
            np.asarray(nib.load(path / name).get_fdata())
            for path in (data / "imagesTr", out / "imagesTr", data / "labelsTr")
        )
    index = int(np.argmax((labels > 0).sum(axis=(0, 1))))
    unit = [(volume[..., index].T - low) / (high - low) for volume in (before, after)]
    panels = [*unit, 0.5 + FACTOR * (unit[1] - unit[0])]
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw(panels, ["original", "protected", f"difference x {FACTOR}"])
    drawn.save(args.picture, optimize=True)
    moved = np.abs(after - before).max()
    print(f"{args.picture}: slice {index + 1}, window {low:g} to {high:g} HU, largest change {moved:g} HU, "
          f"{args.picture.stat().st_size // 1000} kB")  # fmt: skip


def draw(panels: list[NDArray[np.float64]], titles: list[str]) -> Image.Image:
    """Panels side by side, each enlarged without smoothing and titled."""
    rows, columns = (SCALE * length for length in panels[0].shape)
    picture = Image.new("L", (len(panels) * (columns + GAP) - GAP, rows + TITLE), 255)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=20)
    for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        left = number * (columns + GAP)
        grey = Image.fromarray(np.rint(255 * np.clip(panel, 0, 1)).astype(np.uint8))
        picture.paste(grey.resize((columns, rows), Image.Resampling.NEAREST), (left, TITLE))
        pen.text((left + columns // 2, TITLE // 2), title, fill=0, font=font, anchor="mm")
    return picture


if __name__ == "__main__":
    main()
