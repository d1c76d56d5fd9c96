# SPDX-License-Identifier: Apache-2.0
"""A small CT-like data set that is computed, not downloaded, so that everything in umed can be tried at once.

Each case is an abdomen in miniature: a body with fat and muscle, spine and aorta, and the organs of
:data:`LABELS`. Organs that look alike but carry no label (a spleen as bright as the liver, bowel as bright as the
kidneys) and a contrast that differs from case to case keep a threshold from solving it; a small 3D U-Net learns it in
a minute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from umed.core.errors import ConfigError, InputError

LABELS = {"0": "background", "1": "liver", "2": "kidney", "3": "lesion"}
"""Classes of the phantom as ``dataset.json`` names them."""

NAME = "umed phantom"
INDEX, FOLDERS = "dataset.json", ("imagesTr", "labelsTr")

Floats = NDArray[np.float64]


def make_phantom(
    root: str | Path, *, cases: int = 32, seed: int = 0, size: tuple[int, int, int] = (48, 48, 32)
) -> Path:
    """Write the phantom as a data set in Decathlon layout; the same arguments give the same bytes.

    Args:
        root: folder to make; an earlier phantom in it is replaced.
        cases: number of volumes.
        seed: seeds every case together with the case's number, so that a case does not depend on how many follow.
        size: voxels along each axis, at least 16 each.

    Returns:
        The folder, which holds ``dataset.json``, ``imagesTr`` (int16, HU) and ``labelsTr`` (uint8, see :data:`LABELS`).

    Raises:
        ConfigError: when there is no case, or an axis is too short to hold the organs.
        InputError: when the folder holds anything but an earlier phantom.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     root = make_phantom(folder, cases=2, size=(24, 24, 16))
        ...     sorted(path.name for path in (root / "imagesTr").iterdir())
        ['phantom_000.nii.gz', 'phantom_001.nii.gz']
    """
    if cases < 1:
        raise ConfigError(f"make_phantom: expected cases >= 1, got {cases}. Ask for at least one case.")
    if len(size) != 3 or min(size) < 16:
        raise ConfigError(
            f"make_phantom: expected size of three axes >= 16, got {tuple(size)}. Use (48, 48, 32) or larger."
        )
    root = Path(root)
    _clear(root)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"phantom_{number:03d}.nii.gz" for number in range(cases)]
    for number, name in enumerate(names):
        image, label, spacing = make_case(np.random.default_rng((seed, number)), size)
        affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
        for folder, array in zip(FOLDERS, (image, label), strict=True):
            file = nib.Nifti1Image(array, affine)
            file.header.set_xyzt_units("mm")
            file.to_filename(root / folder / name)
    index: dict[str, Any] = {
        "name": NAME,
        "description": f"Computed by umed.sample.make_phantom, seed {seed}; no patient",
        "reference": "umed",
        "licence": "CC0-1.0",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": LABELS,
        "numTraining": cases,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }
    (root / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return root


def _clear(root: Path) -> None:
    """Delete the cases of an earlier phantom; a folder with anybody else's data is refused, not written over."""
    earlier = [path for folder in FOLDERS for path in sorted((root / folder).glob("phantom_*.nii.gz"))]
    known = {root, root / INDEX, *(root / folder for folder in FOLDERS), *earlier}
    others = sorted(set(root.rglob("*")) - known) if root.exists() else []
    if not others and (root / INDEX).is_file():
        try:
            ours = json.loads((root / INDEX).read_text(encoding="utf-8"))["name"] == NAME
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        others = [] if ours else [root / INDEX]
    if root.exists() and not root.is_dir():
        others = [root]
    if others:
        got = f"got {others[0].name!r}. Pick another folder."
        raise InputError(f"{root}: expected a new folder or an earlier phantom, {got}")
    for path in earlier:
        path.unlink()


def make_case(
    rng: np.random.Generator, size: tuple[int, int, int]
) -> tuple[NDArray[np.int16], NDArray[np.uint8], tuple[float, float, float]]:
    """Draw one anatomy and scan it: image int16 in HU, label uint8, both of ``size`` voxels, and spacing in mm."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    in_plane = float(np.round(rng.uniform(1.5, 1.8), 3))
    grid[:2] += rng.uniform(-0.08, 0.08, (2, 1, 1, 1))

    def organ(
        centre: tuple[float, float, float], radii: tuple[float, float, float], wobble: float = 0.2
    ) -> NDArray[np.bool_]:
        shift = np.asarray(centre) + rng.uniform(-0.06, 0.06, 3)
        stretch = np.asarray(radii) * rng.uniform(0.85, 1.15, 3)
        turned = _turn(grid - shift.reshape(3, 1, 1, 1), rng.uniform(-0.25, 0.25))
        distance = np.sqrt(((turned / stretch.reshape(3, 1, 1, 1)) ** 2).sum(0))
        return np.asarray(distance < 1 + wobble * _noise(rng, size, 5.0), dtype=np.bool_)

    skin = np.sqrt((grid[0] / rng.uniform(0.84, 0.94)) ** 2 + (grid[1] / rng.uniform(0.68, 0.78)) ** 2)
    hu = np.where(skin < 1, -95.0, -1000.0) + np.where(skin < 1, 12 * _noise(rng, size, 1.5), 0)
    inside = skin < rng.uniform(0.84, 0.9)
    hu[inside] = (45 + 10 * _noise(rng, size, 2.0))[inside]

    enhancement = rng.uniform(-15, 35)  # contrast phase: moves every parenchyma of a case together
    liver_hu, kidney_hu = 75 + enhancement, 120 + 1.5 * enhancement
    speckle = 14 * _noise(rng, size, 0.8)

    def paint(where: NDArray[np.bool_], value: Floats | float) -> None:
        where = where & inside
        hu[where] = np.broadcast_to(value, hu.shape)[where]

    paint(organ((0.5, -0.05, 0.3), (0.24, 0.24, 0.4)), liver_hu + speckle)  # spleen: liver's twin, no label
    for _ in range(4):  # bowel: as bright as kidney, some with gas
        loop = organ((rng.uniform(-0.1, 0.5), rng.uniform(-0.5, -0.2), rng.uniform(-0.8, 0)), (0.15, 0.13, 0.2))
        paint(loop, kidney_hu + 30 * _noise(rng, size, 1.0))
        if rng.random() < 0.5:
            paint(ndimage.binary_erosion(loop, iterations=2), -700.0)
    paint(organ((0.0, 0.5, 0.0), (0.14, 0.14, 3.0), 0.1), 380 + 90 * _noise(rng, size, 0.7))  # spine
    paint(organ((0.06, 0.27, 0.0), (0.07, 0.07, 3.0), 0.05), 140 + 3 * enhancement)  # aorta

    liver = organ((-0.4, -0.12, 0.3), (0.42, 0.44, 0.58)) & inside
    kidneys = (
        organ((-0.42, 0.36, -0.35), (0.17, 0.15, 0.42)) | organ((0.42, 0.36, -0.25), (0.17, 0.15, 0.42))
    ) & inside
    lesion = organ((-0.4, -0.14, 0.35), (0.16, 0.16, 0.24)) & liver
    vessels = _noise(rng, size, 1.2) > 1.9
    paint(liver, liver_hu + speckle + np.where(vessels, 45.0, 0.0))
    cortex = ndimage.distance_transform_edt(kidneys) < 2
    paint(kidneys, kidney_hu + np.where(cortex, 25.0, -25.0) + 10 * _noise(rng, size, 1.0))
    paint(lesion, liver_hu - rng.uniform(50, 75) + 12 * _noise(rng, size, 1.5))

    label = np.zeros(size, np.uint8)
    for value, where in ((1, liver), (2, kidneys), (3, lesion)):
        label[where] = value
    scanned = ndimage.gaussian_filter(hu, 0.55)  # point spread
    scanned += 9 * _noise(rng, size, 0.8)  # reconstruction noise of a soft kernel
    return np.clip(np.rint(scanned), -1024, 3071).astype(np.int16), label, (in_plane, in_plane, 2.0)


def _noise(rng: np.random.Generator, size: tuple[int, ...], sigma: float) -> Floats:
    """Gaussian noise with a correlation length of ``sigma`` voxels, mean 0, standard deviation 1."""
    smooth = np.asarray(
        ndimage.gaussian_filter(rng.standard_normal(size), sigma, mode="wrap", truncate=2.0), dtype=np.float64
    )
    normal: Floats = (smooth - smooth.mean()) / smooth.std()
    return normal


def _turn(points: Floats, angle: float) -> Floats:
    """Rotate ``(3, ...)`` coordinates in the axial plane by ``angle`` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * points[0] + sine * points[1], cosine * points[1] - sine * points[0], points[2]])
