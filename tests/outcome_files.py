# SPDX-License-Identifier: Apache-2.0
"""Writes one tiny image or mask in any format that people bring, for the tests behind docs/formats.md."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests import dicom_files, itk_files

SIDES = (28, 24)
DEPTH = 6
ITK = (".mha", ".mhd", ".nrrd", ".nhdr", ".gipl")
PLACE = {
    "space": "left-posterior-superior",
    "space dimension": None,
    "space directions": "(0,0.9,0) (1.1,0,0) (0,0,-2)",
    "space origin": "(-10,5,30)",
}
"""Fields that put an NRRD where :func:`itk_files.save` puts its own."""
VOLUMES = (".nii", ".nii.gz", *ITK)
"""Endings of volumes; all others are pictures."""


def grey(name: str, dtype: str = "u1", top: int = 230) -> NDArray[Any]:
    """Noise of 20 to ``top``, another for every name, ``SIDES``."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.integers(20, top, SIDES).astype(dtype)


def colours(name: str, samples: int = 3, dtype: str = "u1", top: int = 230) -> NDArray[Any]:
    """The same with several samples a pixel, the fourth of them (or second of two) opaque."""
    planes = [grey(f"{name} {sample}", dtype, top) for sample in range(samples)]
    if samples in (2, 4):
        planes[-1][:] = np.iinfo(dtype).max
    return np.stack(planes, axis=-1)


def scan(name: str, dtype: str = "i2") -> NDArray[Any]:
    """A volume of ``(*SIDES, DEPTH)`` that looks like an MR."""
    return np.stack([grey(f"{name} {z}", dtype) for z in range(DEPTH)], axis=-1)


def lesion(value: int = 1, depth: int = 0, name: str = "") -> NDArray[np.uint8]:
    """A mask; where it lies follows from its name."""
    row, column = np.random.default_rng(zlib.crc32(name.encode())).integers(3, 8, 2)
    mask = np.zeros((*SIDES, depth) if depth else SIDES, np.uint8)
    mask[row : row + 14, column : column + 12] = value
    return mask


def save_volume(path: Path, array: NDArray[Any], *, packed: bool = True, vector: bool = False) -> Path:
    """A volume in the format of its ending; axes x, y, z, and components last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.name.endswith(ITK):
        image = nibabel.Nifti1Image(array, np.diag([0.8, 0.9, 2.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, path)
        return path
    axes = array.ndim - vector
    turned = array.transpose(*range(axes)[::-1], *range(axes, array.ndim))
    itk_files.save(turned, path, compress=packed, vector=vector)
    return path


def save_picture(path: Path, array: NDArray[Any], **options: Any) -> Path:
    """A picture in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        photometric = "rgb" if array.ndim == 3 and array.shape[-1] in (3, 4) else "minisblack"
        tifffile.imwrite(path, array, **{"photometric": photometric, **options})
    else:
        Image.fromarray(array).save(path, **options)
    return path


def write(path: Path, value: int = 0) -> Path:
    """An image in the format of its ending, or with a value a mask of that class."""
    name = path.as_posix().rpartition("/in/")[2]
    if path.name.endswith(VOLUMES):
        return save_volume(path, lesion(value, DEPTH, name) if value else scan(name))
    return save_picture(path, lesion(value, 0, name) if value else grey(name))


def lay(root: Path, *names: str) -> Path:
    """Write an image at each name, a mask where it ends in ``=1``."""
    for entry in names:
        name, _, value = entry.partition("=")
        write(root / name, int(value or 0))
    return root


def planar(path: Path) -> None:
    """A TIFF with a plane for each colour."""
    tifffile.imwrite(path, np.moveaxis(colours(path.name), -1, 0), photometric="rgb", planarconfig="separate")


def pages(path: Path) -> None:
    """A TIFF of three pages."""
    with tifffile.TiffWriter(path) as writer:
        for number in range(3):
            writer.write(grey(f"{path.name} {number}"), photometric="minisblack", contiguous=False)


def palette(path: Path) -> None:
    """A picture of colour numbers."""
    Image.fromarray(colours(path.name)).quantize(16).save(path)


def cmyk(path: Path) -> None:
    """A JPEG for printing."""
    Image.fromarray(colours(path.name)).convert("CMYK").save(path)


def bzip2(path: Path) -> None:
    """An NRRD that SimpleITK does not unpack."""
    itk_files.nrrd(path, scan(path.name), packing="bzip2", changes=PLACE)
    path.write_bytes(path.read_bytes().replace(b"# a comment\n", b"", 1))  # free text, which would be warned about


def as_text(path: Path) -> None:
    """An NRRD whose numbers are written out."""
    itk_files.nrrd(path, scan(path.name), changes={**PLACE, "encoding": "ascii"})


def segments(path: Path) -> None:
    """A segmentation of 3D Slicer, without the names of its segments, which are free text."""
    fields = (("Segment0_LabelValue", "1"), ("Segment0_Layer", "0"))
    itk_files.save(lesion(1, DEPTH).transpose(2, 1, 0), path, compress=True, texts=fields)


def nifti(path: Path, dtype: str = "i2", kind: Any = nibabel.Nifti1Image, slope: float = 1.0) -> None:
    """A NIfTI of any version, type and scale; ``RGB`` for colours."""
    array = scan(path.name, "u1" if dtype == "RGB" else dtype)
    if dtype == "RGB":
        array = np.stack([array] * 3, -1).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    image = kind(array, np.diag([0.8, 0.9, 2.0, 1.0]))
    if slope != 1.0:
        image.header.set_slope_inter(slope, -20.0)
    nibabel.save(image, path)


def freesurfer(path: Path) -> None:
    """A volume of FreeSurfer."""
    nibabel.save(nibabel.MGHImage(scan(path.name), np.eye(4)), path)


def analyze(path: Path) -> None:
    """A header and an image of Analyze."""
    nibabel.save(nibabel.AnalyzeImage(scan(path.name), np.eye(4)), path)


def gipl(path: Path) -> None:
    """A volume that SimpleITK wrote as GIPL."""
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(scan(path.name).transpose(2, 1, 0)), str(path))


def dicom(path: Path) -> None:
    """One slice."""
    [written] = dicom_files.write_series(path.parent / "series", np.zeros((1, *SIDES), np.int16))
    written.rename(path)
    written.parent.rmdir()


def array_file(path: Path) -> None:
    """An array of numpy, one or packed."""
    (np.save if path.suffix == ".npy" else np.savez)(path, scan(path.name))


def archive(path: Path) -> None:
    """A zip that holds a picture."""
    inner = save_picture(path.with_name("inner.png"), grey(path.name))
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(inner, inner.name)
    inner.unlink()


def cut(path: Path) -> None:
    """A picture that ends too early."""
    save_picture(path, grey(path.name))
    path.write_bytes(path.read_bytes()[:300])
