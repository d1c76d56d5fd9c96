# SPDX-License-Identifier: Apache-2.0
"""Pictures of README and gallery: a computed image, the same protected, and their difference times 20.

    python benchmarks/picture.py docs/images/phantom.png
    python benchmarks/picture.py docs/images/colour-strong.png --colour --strength strong

Nothing is downloaded and no patient is in it. The difference is drawn around mid-grey, so grey means unchanged.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

import umed
from umed.data.phantom import make_phantom

FACTOR = 20
GAP = 8
TITLE = 30
WIDTH = 288
"""Pixels that a panel has at least; images are enlarged by a whole number."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--side", type=int, default=96, help="voxels along each row of the phantom")
    parser.add_argument("--strength", choices=("invisible", "strong"), help="as of umed protect")
    parser.add_argument("--colour", action="store_true", help="computed pictures of skin instead of volumes")
    args = parser.parse_args()
    strength = {"strength": args.strength} if args.strength else {}
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "phantom", Path(folder) / "protected"
        if args.colour:
            make_skin(data, cases=16, side=192)
        else:
            make_phantom(data, cases=4, size=(args.side, args.side, 32))
        result = umed.protect(data, out, seed=0, **strength)
        if args.colour:
            before, after = (read_picture(path / "images" / "skin_00.png") for path in (data, out))
            low, high = 0.0, 255.0
            name, unit = "full scale", "steps"
        else:
            before, after = (read_slice(path, data) for path in (data, out))
            low, high = result.plan.range
            name, unit = "window", "HU"
    scaled = [(panel - low) / (high - low) for panel in (before, after)]
    panels = [*scaled, 0.5 + FACTOR * (scaled[1] - scaled[0])]
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw(panels, ["original", "protected", f"difference x {FACTOR}"])
    drawn.save(args.picture, optimize=True)
    moved, carriers = np.abs(after - before).max(), result.plan.method_options.get("carriers")
    print(
        f"{args.picture}: {name} {low:g} to {high:g}, largest change {moved:g} {unit}, carriers {carriers}, "
        f"{args.picture.stat().st_size // 1000} kB"
    )


def read_slice(folder: Path, data: Path) -> NDArray[np.float64]:
    """The slice of the first phantom with most of the label, as it is shown: rows are the second axis."""
    labels = nib.load(data / "labelsTr" / "phantom_000.nii.gz").get_fdata()
    index = int(np.argmax((labels > 0).sum(axis=(0, 1))))
    return np.asarray(nib.load(folder / "imagesTr" / "phantom_000.nii.gz").get_fdata())[..., index].T


def read_picture(path: Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path), dtype=np.float64)


def make_skin(folder: Path, cases: int, side: int) -> None:
    """Write pictures that are coloured like skin with a dark spot, and masks of the spots.

    Texture falls with the frequency as that of photographs does: much in brightness, little in red against green.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    for case in range(cases):
        random = np.random.default_rng(case)
        radius = random.uniform(0.2, 0.28) + 0.03 * smooth(random, side, 14)
        spot = np.hypot(rows - random.uniform(-0.08, 0.08), columns - random.uniform(-0.08, 0.08)) < radius
        depth = gaussian_filter(spot.astype(float), 3) * (1 + 0.25 * smooth(random, side, 8))
        skin = np.array([222, 172, 150.0]) - depth[..., None] * np.array([95, 95, 85.0])
        skin += 14 * texture(random, side)[..., None] + 2 * texture(random, side)[..., None] * np.array([1, -1, 1.0])
        pixels = np.rint(np.clip(skin, 0, 255)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"skin_{case:02d}.png")
        Image.fromarray((255 * spot).astype(np.uint8)).save(folder / "masks" / f"skin_{case:02d}.png")


def texture(random: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Noise with the spectrum of photographs, about 1 over the frequency, and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((side, side))) / frequency, s=(side, side))
    return np.asarray(noise / noise.std())


def smooth(random: np.random.Generator, side: int, scale: float) -> NDArray[np.float64]:
    """Noise of one scale in pixels, with standard deviation 1."""
    noise = gaussian_filter(random.standard_normal((side, side)), scale, mode="wrap")
    return np.asarray(noise / noise.std())


def draw(panels: list[NDArray[np.float64]], titles: list[str]) -> Image.Image:
    """Panels side by side, each enlarged without smoothing and titled."""
    scale = -(-WIDTH // panels[0].shape[1])
    rows, columns = (scale * length for length in panels[0].shape[:2])
    colour = panels[0].ndim == 3
    picture = Image.new("RGB" if colour else "L", (len(panels) * (columns + GAP) - GAP, rows + TITLE), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=20)
    for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        left = number * (columns + GAP)
        shown = Image.fromarray(np.rint(255 * np.clip(panel, 0, 1)).astype(np.uint8))
        picture.paste(shown.resize((columns, rows), Image.Resampling.NEAREST), (left, TITLE))
        pen.text((left + columns // 2, TITLE // 2), title, fill=0, font=font, anchor="mm")
    return picture


if __name__ == "__main__":
    main()
